"""The jitter buffer: frames leave whole, in order, and at their last packet."""

from __future__ import annotations

import random

import pytest
from aiortc.rtp import RtpPacket

from stream.jitter import MarkerJitterBuffer


def packets(frames: int, each: int, first: int = 65530, markers: bool = True) -> list[RtpPacket]:
    """`frames` frames of `each` packets; sequence numbers wrap."""
    made = []
    for n in range(frames * each):
        frame, part = divmod(n, each)
        packet = RtpPacket(
            sequence_number=(first + n) % 65536,
            timestamp=3000 * frame,
            marker=int(markers and part == each - 1),
        )
        packet._data = f"{frame}.{part} ".encode()
        made.append(packet)
    return made


def feed(buffer: MarkerJitterBuffer, sent: list[RtpPacket]) -> list[tuple[int, bytes]]:
    released = [(n, buffer.add(packet)[1]) for n, packet in enumerate(sent)]
    return [(n, frame.data) for n, frame in released if frame is not None]


def test_a_frame_leaves_with_its_last_packet() -> None:
    released = feed(MarkerJitterBuffer(128, is_video=True), packets(3, 2))
    assert released == [(1, b"0.0 0.1 "), (3, b"1.0 1.1 "), (5, b"2.0 2.1 ")]


def test_without_markers_a_frame_leaves_when_the_next_begins() -> None:
    released = feed(MarkerJitterBuffer(128, is_video=True), packets(3, 2, markers=False))
    assert released == [(2, b"0.0 0.1 "), (4, b"1.0 1.1 ")]


@pytest.mark.parametrize("seed", range(20))
def test_disorder_within_a_few_packets_changes_neither_frames_nor_their_order(seed: int) -> None:
    sent = packets(40, 3)
    dice = random.Random(seed)
    shuffled = [sent[0], *sorted(sent[1:], key=lambda p: sent.index(p) + dice.random() * 4)]
    released = [
        data for _, data in feed(MarkerJitterBuffer(128, is_video=True), [*shuffled, *packets(9, 3, 65650)])
    ]
    whole = [f"{k}.0 {k}.1 {k}.2 ".encode() for k in range(40)]
    assert released[:40] == whole


def test_nothing_leaves_while_a_packet_is_missing() -> None:
    sent = packets(3, 2)
    missing = sent.pop(1)
    buffer = MarkerJitterBuffer(128, is_video=True)
    assert feed(buffer, sent) == []
    assert buffer.add(missing)[1].data == b"0.0 0.1 "  # type: ignore[union-attr]
