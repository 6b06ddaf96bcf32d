"""Pictures made ready for the engine: taken late, in order, one ahead at most."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from scene import ColourEngine, Scene
from test_session import running

from engine.types import Frame, MaskSet, Prompt
from stream.intake import Intake, Taken
from stream.latest import Latest, LatestClosed
from stream.outage import Outage
from stream.picture import Picture
from stream.prompt_message import read_prompt_message
from stream.timeline import Timeline

SCENE = Scene()
SLOW = MaskSet(0, (), {"read": 0.01, "encode": 0.09})


class Recorder:
    """Writes down what it was to prepare."""

    def __init__(self, spare: bool = True) -> None:
        self.prepared: list[Frame] = []
        self.asked = asyncio.Event()
        self.spare = lambda: spare

    def prepare(self, frame: Frame) -> None:
        self.prepared.append(frame)
        self.asked.set()


class Slot:
    """An intake with its newest-wins slot in the test's hands."""

    def __init__(self, preparer: Recorder | None, patient: bool = False) -> None:
        self.latest: Latest[Picture | Outage] = Latest()
        self.intake = Intake(self.latest, Timeline(0), preparer, in_thread, patient)

    def show(self, index: int) -> None:
        video = av.VideoFrame.from_ndarray(SCENE.paint(index), format="rgb24")
        self.latest.put(Picture(video, time.monotonic(), index / 30))

    async def stepped(self, masks: MaskSet, seconds: float) -> None:
        """A first picture has been taken, and its step has been done."""
        self.show(0)
        assert picture(await self.next()) == 0
        self.intake.learn(masks, seconds)

    async def next(self) -> Taken | Outage:
        return await asyncio.wait_for(self.intake.next(), 20)


async def in_thread(work: Callable[[], NDArray[np.uint8]]) -> NDArray[np.uint8]:
    return await asyncio.to_thread(work)


def picture(item: Taken | Outage) -> int:
    """Which picture of the scene it is, by its time."""
    assert isinstance(item, Taken)
    assert item.frame.pts is not None
    return round(item.frame.pts * 30)


async def test_an_engine_that_cannot_look_ahead_gets_the_picture_that_is_newest_when_it_asks() -> None:
    slot = Slot(None)
    await slot.stepped(SLOW, 0.0)
    slot.show(1)
    slot.intake.look_ahead()
    await asyncio.sleep(0.05)
    slot.show(2)
    assert picture(await slot.next()) == 2
    assert slot.latest.dropped == 1


async def test_the_next_picture_is_prepared_just_before_the_engine_gets_free() -> None:
    engine = Recorder()
    slot = Slot(engine)
    await slot.stepped(SLOW, 0.4)  # so 0.3 seconds are spare
    slot.intake.look_ahead()
    began = time.monotonic()
    for index in range(1, 60):
        slot.show(index)
        if engine.prepared:
            break
        await asyncio.sleep(0.02)
    waited = time.monotonic() - began
    assert 0.25 < waited < 1.0
    (prepared,) = engine.prepared
    assert prepared.captured_at > began + 0.2, "the newest of then, not the first that came"
    slot.show(index + 1)
    found = await slot.next()
    assert isinstance(found, Taken)
    assert found.frame is prepared
    assert found.frame.index == 1
    assert picture(await slot.next()) == index + 1


async def test_an_engine_that_is_free_sooner_waits_for_nothing() -> None:
    engine = Recorder()
    slot = Slot(engine)
    await slot.stepped(SLOW, 30.0)
    slot.intake.look_ahead()
    slot.show(1)
    began = time.monotonic()
    assert picture(await slot.next()) == 1
    assert time.monotonic() - began < 5


async def test_an_engine_that_others_want_is_not_looked_ahead_of() -> None:
    engine = Recorder(spare=False)
    slot = Slot(engine)
    await slot.stepped(SLOW, 0.0)
    slot.intake.look_ahead()
    slot.show(1)
    await asyncio.sleep(0.1)
    assert engine.prepared == []
    slot.show(2)
    assert picture(await slot.next()) == 2, "the newest when it is free"


async def test_a_source_that_waits_is_looked_ahead_of_at_once() -> None:
    engine = Recorder()
    slot = Slot(engine, patient=True)
    await slot.stepped(SLOW, 30.0)
    slot.intake.look_ahead()
    slot.show(1)
    await asyncio.wait_for(engine.asked.wait(), 5)
    assert [frame.index for frame in engine.prepared] == [1]
    await slot.intake.close()


async def test_outages_and_the_end_come_in_their_turn() -> None:
    engine = Recorder()
    slot = Slot(engine)
    await slot.stepped(MaskSet(0, ()), 0.0)
    outage = Outage(time.time(), time.monotonic())
    slot.intake.look_ahead()
    slot.latest.put(outage)
    assert await slot.next() is outage
    assert engine.prepared == []
    assert slot.intake.count == 1
    slot.intake.look_ahead()
    slot.latest.close("source ended")
    with pytest.raises(LatestClosed):
        await slot.next()


class Farsighted(ColourEngine):
    """A colour engine that can be asked ahead, and says when it begins."""

    def __init__(self, gate: asyncio.Event) -> None:
        super().__init__(gate=gate)
        self.began, self.asked = asyncio.Event(), asyncio.Event()
        self.prepared: list[int] = []

    def spare(self) -> bool:
        return True

    def prepare(self, frame: Frame) -> None:
        self.prepared.append(frame.index)
        self.asked.set()

    async def step(self, frame: Frame, prompts: Sequence[Prompt]) -> MaskSet:
        self.began.set()
        return await super().step(frame, prompts)


async def test_a_session_speaks_of_a_prepared_frame_only_when_its_step_has_come() -> None:
    gate = asyncio.Event()
    gate.set()
    engine = Farsighted(gate)
    async with running(engine) as stage:
        stage.source.show(0)
        await stage.kept.until(1)
        gate.clear()
        engine.began.clear()
        stage.source.show(1)
        await asyncio.wait_for(engine.began.wait(), 20)
        stage.source.show(2)
        await asyncio.wait_for(engine.asked.wait(), 20)
        assert engine.prepared == [2]
        stage.source.show(3)
        x, y = SCENE.red(0)
        message = read_prompt_message(
            {"prompts": [{"x": x + 30, "y": y + 30, "object_id": 4}], "preview": True, "request_id": "r"}
        )
        answer = stage.session.submit(message)
        preview = stage.session.preview(message)
        assert preview is not None
        assert (await preview)["frame_index"] == 1, "the one prepared has not been followed onto yet"
        gate.set()
        assert (await asyncio.wait_for(answer, 20)).frame_index == 2
        await stage.kept.until(4)
    assert [shown.frame.index for shown in stage.kept.shown] == [0, 1, 2, 3]
    assert engine.most_running == 1
