"""What a camera, or the wire to it, does to a stream while it runs; none of it ends the session."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import numpy as np
import pytest
from rtsp import rtsp_camera
from rtsp_proxy import Change, Wire, corrupted, lost, shifted, spoiled, unchanged, wrapping
from scene import ColourEngine, Kept

from stream.outputs.output import Shown
from stream.prompt_message import read_prompt_message
from stream.session import Session
from stream.sources.address import read_address
from stream.sources.rtsp import RtspCamera, RtspSource

BAR = {"prompts": [{"x": 160, "y": 60, "object_id": 4}], "width": 320, "height": 240}


class Following:
    """A session that follows one of the colour bars."""

    def __init__(self, url: str) -> None:
        self.source = RtspSource("gate", RtspCamera(read_address(url, ("rtsp",))), pauses=(0.2,))
        self.kept = Kept()
        self.session = Session(self.source, ColourEngine().step, [self.kept])

    async def more(self, count: int) -> Shown:
        """Wait for so many further pictures, slates left out; the newest."""
        last = None
        for _ in range(count):
            shown = await self.kept.until(len(self.kept.shown) + 1)
            while shown.result is None:
                shown = await self.kept.until(len(self.kept.shown) + 1)
            last = shown
        assert last is not None
        return last


@asynccontextmanager
async def following(url: str) -> AsyncIterator[Following]:
    found = Following(url)
    task = asyncio.create_task(found.session.run())
    try:
        await asyncio.wait_for(found.session.submit(read_prompt_message(BAR)), 30)
        await found.more(3)
        yield found
    finally:
        found.session.close("test over")
        await task


def is_followed(shown: Shown) -> bool:
    """Whether the object is the bar that was clicked, the fourth of seven and two thirds of the height."""
    (found,) = shown.masks.objects
    return (
        found.object_id == 4
        and found.mask[20:140, 145:175].mean() > 0.95
        and found.mask[:140, :130].mean() < 0.05
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [(unchanged, shifted(3600)), (unchanged, shifted(-3600)), (wrapping(1.5), None)],
    ids=["ahead", "back", "wrap"],
)
async def test_a_clock_that_jumps_runs_back_or_wraps_changes_nothing(
    before: Change, after: Change | None
) -> None:
    wire = Wire(before)
    async with (
        rtsp_camera() as camera,
        spoiled(camera.port, wire) as url,
        following(url) as found,
    ):
        wire.change = after or before
        last = await found.more(30)
        assert is_followed(last)
        assert found.source.status()["connections"] == 1
    stamps = [shown.frame.pts or 0.0 for shown in found.kept.shown]
    assert all(later > earlier for earlier, later in itertools.pairwise(stamps))
    assert stamps[-1] - stamps[0] < 60  # the clock of the wall, not of the camera
    results = [shown.result is not None for shown in found.kept.shown]
    assert all(results[results.index(True) :])  # no slate after the first picture


@pytest.mark.parametrize("codec", ["h264", "h265", "mjpeg"])
@pytest.mark.parametrize("fault", [corrupted, lost])
async def test_broken_packets_are_survived_and_forgotten_with_the_next_key_frame(
    codec: str, fault: Callable[[int], Change]
) -> None:
    wire = Wire()
    async with (
        rtsp_camera("--codec", codec) as camera,
        spoiled(camera.port, wire) as url,
        following(url) as found,
    ):
        clean = found.kept.shown[-1].frame.image
        wire.change, begun = fault(3), wire.packets
        async with asyncio.timeout(60):
            while wire.packets < begun + 60:
                await wire.passed.wait()
        wire.change = unchanged
        async with asyncio.timeout(60):
            while not is_followed(shown := await found.more(1)) or strayed(shown.frame.image, clean) > 3:
                pass
        assert found.source.status()["connections"] == 1
        assert found.session.state()["no_signal_since"] is None


def strayed(image: np.ndarray, clean: np.ndarray) -> float:
    """Mean difference of the luma in the upper half, where the bars stand still."""
    return float(np.abs(image[:120].astype(int) - clean[:120].astype(int)).mean())


async def test_garbage_between_packets_costs_a_connection_at_most() -> None:
    wire = Wire()
    async with (
        rtsp_camera() as camera,
        spoiled(camera.port, wire) as url,
        following(url) as found,
    ):
        wire.garbage = random.Random(1).randbytes(5000)
        assert is_followed(await found.more(20))
        assert found.source.status()["connections"] <= 2


@pytest.mark.parametrize(("codec", "known"), [("h265", "hevc"), ("mjpeg", "mjpeg")])
async def test_a_camera_that_comes_back_with_another_codec_and_size_is_followed_on(
    codec: str, known: str
) -> None:
    async with rtsp_camera() as camera, following(camera.url) as found:
        assert found.source.status()["codec"] == "h264"
        await camera.kill()
        await camera.start("--codec", codec, "--size", "640x480")
        while (shown := await found.more(1)).frame.width != 640:
            pass
        status = found.source.status()
        (held,) = shown.masks.objects
    assert (status["codec"], status["state"], status["connections"]) == (known, "live", 2)
    assert held.object_id == 4
    assert held.mask[40:280, 290:350].mean() > 0.95
