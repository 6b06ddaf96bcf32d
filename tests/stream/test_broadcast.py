"""Viewers of one session: one encoding, key frames for whoever needs one, and slow ones on their own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import av
import numpy as np
import pytest
from scene import Scene

from engine.types import Frame, MaskSet
from stream.outputs import seat as seat_module
from stream.outputs.broadcast import Broadcast
from stream.outputs.output import Shown
from stream.outputs.seat import WAITING, Seat
from stream.stats import Stats


class Film:
    """A broadcast that is shown one picture after the other."""

    def __init__(self) -> None:
        self.stats = Stats()
        self.broadcast = Broadcast(self.stats)
        self.scene = Scene()
        self.index = 0

    def show(self) -> None:
        rgb = av.VideoFrame.from_ndarray(self.scene.paint(self.index), format="rgb24")
        image = rgb.reformat(format="yuv420p").to_ndarray()
        frame = Frame(self.index, image, rtp_timestamp=3000 * (self.index + 1))
        self.broadcast.put(Shown(frame, MaskSet(self.index, ()), image, {}, None))
        self.index += 1

    def join(self, codec: str = "video/h264") -> Seat:
        seat = Seat()
        self.broadcast.join(seat, codec)
        return seat

    async def pass_on(self, *seats: Seat) -> list[av.Packet]:
        """Show one more picture and receive it on every seat."""
        waiting = [asyncio.create_task(seat.recv()) for seat in seats]
        await asyncio.sleep(0)
        self.show()
        return await asyncio.wait_for(asyncio.gather(*waiting), 20)


@asynccontextmanager
async def film() -> AsyncIterator[Film]:
    made = Film()
    try:
        yield made
    finally:
        made.broadcast.close()
        await asyncio.sleep(0)


@pytest.mark.parametrize("codec", ["video/h264", "video/vp8"])
async def test_each_picture_is_coded_once_for_all(codec: str) -> None:
    async with film() as shown:
        one, other = shown.join(codec), shown.join(codec)
        packets = [await shown.pass_on(one, other) for _ in range(5)]
        (rendition,) = shown.broadcast.renditions.values()
        assert rendition.encoded == 5
        assert all(first is second for first, second in packets)
        assert [first.is_keyframe for first, _ in packets] == [True, False, False, False, False]
        assert [first.pts for first, _ in packets] == [3000, 6000, 9000, 12000, 15000]
        assert shown.stats.frames_out.count == 5


async def test_nobody_watching_costs_nothing() -> None:
    async with film() as shown:
        seat = shown.join()  # its connection is not up yet
        for _ in range(3):
            shown.show()
        await asyncio.sleep(0.05)
        (rendition,) = shown.broadcast.renditions.values()
        assert rendition.encoded == 0
        seat.stop()
        assert shown.broadcast.renditions == {}


async def test_a_late_viewer_begins_with_a_key_frame_and_others_go_on() -> None:
    async with film() as shown:
        early = shown.join()
        for _ in range(3):
            await shown.pass_on(early)
        late = shown.join()
        await asyncio.sleep(0.35)  # key frames have a distance
        early_packet, late_packet = await shown.pass_on(early, late)
        assert early_packet is late_packet
        assert late_packet.is_keyframe


async def test_a_late_viewer_of_a_camera_that_is_out_sees_the_last_picture() -> None:
    async with film() as shown:
        early = shown.join()
        await shown.pass_on(early)
        late = shown.join()
        packet = await asyncio.wait_for(late.recv(), 20)  # nothing new is shown
        assert packet.is_keyframe
        assert packet.pts == 3001


async def test_a_lost_picture_brings_a_key_frame_but_not_one_for_each_complaint() -> None:
    async with film() as shown:
        seat = shown.join()
        await shown.pass_on(seat)
        (rendition,) = shown.broadcast.renditions.values()
        await asyncio.sleep(0.35)
        for _ in range(10):
            seat.request_key()
        packets = [(await shown.pass_on(seat))[0] for _ in range(4)]
        assert [packet.is_keyframe for packet in packets] == [True, False, False, False]
        assert rendition.key_frames == 2


async def test_a_viewer_that_does_not_take_its_pictures_hurts_only_itself() -> None:
    async with film() as shown:
        quick, stuck = shown.join(), shown.join()
        await shown.pass_on(quick, stuck)
        for _ in range(WAITING + 2):
            await shown.pass_on(quick)
        assert stuck.dropped > 0
        assert len(stuck._packets) <= WAITING
        deadline = time.monotonic() + 20
        while True:  # it goes on, with a key frame
            task = asyncio.create_task(stuck.recv())
            await shown.pass_on(quick)
            packet = await asyncio.wait_for(task, 20)
            if packet.is_keyframe:
                break
            assert time.monotonic() < deadline


async def test_feedback_moves_the_bitrate_and_a_slow_viewer_out_of_the_way() -> None:
    async with film() as shown:
        fast, slow = shown.join(), shown.join()
        await shown.pass_on(fast, slow)
        main = shown.broadcast.renditions["video/h264", "main"]
        start = main.bitrate
        fast.estimate(round(start * 1.5))
        assert main.bitrate == round(start * 1.5)
        slow.estimate(start // 3)
        assert main.bitrate == round(start * 1.5)
        lean = shown.broadcast.renditions["video/h264", "lean"]
        assert (main.seats, lean.seats) == ([fast], [slow])
        first = await shown.pass_on(fast, slow)
        assert first[1].is_keyframe
        assert first[0] is not first[1]
        assert lean.bitrate < start / 2
        slow.estimate(start * 2)
        assert shown.broadcast.renditions.keys() == {("video/h264", "main")}
        assert shown.broadcast.viewers == 2


async def test_a_viewer_that_needs_key_frames_all_the_time_is_served_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(seat_module, "ONE_COMPLAINT", 0.0)
    async with film() as shown:
        good, bad = shown.join(), shown.join()
        await shown.pass_on(good, bad)
        main = shown.broadcast.renditions["video/h264", "main"]
        for _ in range(seat_module.COMPLAINTS):
            bad.request_key()
        lean = shown.broadcast.renditions["video/h264", "lean"]
        assert (main.seats, lean.seats) == ([good], [bad])
        await asyncio.sleep(0.35)  # key frames have a distance
        calm = main.key_frames
        for _ in range(3):
            for _ in range(seat_module.COMPLAINTS):
                bad.request_key()
            _, packet = await shown.pass_on(good, bad)
            bad.estimate(main.bitrate * 2)
            assert lean.seats == [bad], "it does not come back while it is in trouble"
        assert packet is not None
        assert main.key_frames <= calm + 1  # what it had asked for before it was moved
        monkeypatch.setattr(seat_module, "COMPLAINT_SECONDS", 0.0)  # long ago
        bad.estimate(main.bitrate * 2)
        assert main.seats == [good, bad]


async def test_what_is_coded_can_be_decoded_from_any_key_frame_on() -> None:
    async with film() as shown:
        early = shown.join()
        for _ in range(4):
            await shown.pass_on(early)
        late = shown.join()
        await asyncio.sleep(0.35)
        decoder = av.CodecContext.create("h264", "r")
        for _ in range(5):
            _, packet = await shown.pass_on(early, late)
            (picture,) = decoder.decode(av.Packet(bytes(packet)))
            expected = shown.scene.paint(shown.index - 1)
            assert np.abs(picture.to_ndarray(format="rgb24").astype(int) - expected).mean() < 8
