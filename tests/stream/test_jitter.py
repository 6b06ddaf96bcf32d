"""The jitter buffer: frames leave whole, in order and at their last packet; no hole holds them for long."""

from __future__ import annotations

import random

import pytest
from aiortc.rtp import RtpPacket

from stream.jitter import KEY_AGAIN_SECONDS, KEY_SECONDS, MISSING_SECONDS, MarkerJitterBuffer

VP8_KEY = bytes.fromhex("1000009d012a")
H264_KEYS = [bytes.fromhex(f"00000001{start}") for start in ("0910 00000001 65", "67", "68aa 000001 25")]


class Wire:
    """A buffer, its clock, and what came out of it as (packets sent by then, data)."""

    def __init__(self) -> None:
        self.now, self.sent, self.asked = 100.0, 0, 0
        self.out: list[tuple[int, bytes]] = []
        self.buffer = MarkerJitterBuffer(
            512, lambda _, frame: self.out.append((self.sent, frame.data)), lambda: self.now
        )

    def feed(self, packets: list[RtpPacket], apart: float = 0.0) -> Wire:
        for packet in packets:
            asked, frame = self.buffer.add(packet)
            self.asked += asked
            if frame is not None:
                self.out.append((self.sent, frame.data))
            self.sent += 1
            self.now += apart
        return self

    @property
    def frames(self) -> list[int]:
        return [int(data.split(b".")[0].split(b" ")[-1]) for _, data in self.out]


def packets(
    frames: int, each: int, first: int = 65530, markers: bool = True, key: int = -1, start: bytes = VP8_KEY
) -> list[RtpPacket]:
    """`frames` frames of `each` packets; sequence numbers wrap. Frame `key` is a key frame."""
    made = []
    for n in range(frames * each):
        frame, part = divmod(n, each)
        packet = RtpPacket(
            sequence_number=(first + n) % 65536,
            timestamp=3000 * frame,
            marker=int(markers and part == each - 1),
        )
        name = f"{frame}.{part} ".encode()
        packet._data = start + b" " + name if (frame, part) == (key, 0) else name
        made.append(packet)
    return made


def test_a_frame_leaves_with_its_last_packet() -> None:
    assert Wire().feed(packets(3, 2)).out == [(1, b"0.0 0.1 "), (3, b"1.0 1.1 "), (5, b"2.0 2.1 ")]


def test_without_markers_a_frame_leaves_when_the_next_begins() -> None:
    assert Wire().feed(packets(3, 2, markers=False)).out == [(2, b"0.0 0.1 "), (4, b"1.0 1.1 ")]


@pytest.mark.parametrize("seed", range(20))
def test_disorder_within_a_few_packets_changes_neither_frames_nor_their_order(seed: int) -> None:
    sent = packets(40, 3)
    dice = random.Random(seed)
    shuffled = [sent[0], *sorted(sent[1:], key=lambda p: sent.index(p) + dice.random() * 4)]
    wire = Wire().feed(shuffled)
    assert [data for _, data in wire.out] == [f"{k}.0 {k}.1 {k}.2 ".encode() for k in range(40)]
    assert wire.asked == 0


def test_all_that_waited_behind_a_packet_leave_with_it() -> None:
    sent = packets(9, 1)
    late = sent.pop(1)
    wire = Wire().feed(sent, apart=0.03)
    assert wire.frames == [0]
    wire.feed([late])
    assert wire.frames == list(range(9))
    assert wire.asked == 0


def test_what_stays_away_is_given_up_and_a_key_frame_asked_for() -> None:
    sent = packets(60, 2, key=40)
    missing = sent.pop(5)
    wire = Wire().feed(sent, apart=1 / 60)
    assert wire.frames == [0, 1, *range(40, 60)], "nothing that needs a lost frame"
    assert wire.sent == 119
    first_skipped = 5 + round(MISSING_SECONDS * 60)
    waited = (79 - first_skipped) / 60
    assert wire.asked == 1 + int(waited / KEY_AGAIN_SECONDS)
    wire.feed([missing])
    assert wire.frames[-1] == 59, "too late"


@pytest.mark.parametrize("start", [VP8_KEY, *H264_KEYS])
def test_after_a_long_darkness_the_next_key_frame_is_shown_at_once(start: bytes) -> None:
    """More than senders remember: nothing to wait for."""
    sent = packets(300, 1, key=212, start=start)
    wire = Wire().feed(sent[:50], apart=1 / 30)
    wire.now += 5
    wire.feed(sent[200:], apart=1 / 30)
    assert wire.frames == [*range(50), *range(212, 300)]


def test_what_was_sent_again_after_it_was_given_up_does_no_harm() -> None:
    sent = packets(400, 1, key=205)
    wire = Wire().feed(sent[:50]).feed([sent[200]])
    wire.feed(sent[73:200])  # the newest 127, as the sender has them
    wire.feed(sent[201:])
    assert wire.frames == [*range(50), *range(205, 400)]


def test_a_sender_without_key_frames_is_shown_damaged_after_a_while() -> None:
    sent = packets(200, 1)
    wire = Wire().feed([*sent[:5], *sent[6:]], apart=1 / 30)
    away = wire.frames[5] - 5
    assert away / 30 == pytest.approx(MISSING_SECONDS + KEY_SECONDS, abs=0.15)
    assert wire.frames[5:] == list(range(5 + away, 200))


@pytest.mark.parametrize("first", [30_000, 65_000])
def test_a_sender_that_counts_anew_is_heard(first: int) -> None:
    """Far away at once; where it may be packets that come late, after a while of nothing else."""
    wire = Wire().feed(packets(5, 1, first=65_500)).feed(packets(600, 1, first=first, key=300))
    assert wire.frames == [*range(5), *range(300, 600)]
