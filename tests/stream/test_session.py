import asyncio
import gc
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np
import pytest
from scene import Camera, ColourEngine, HandSource, Kept, Scene

from engine.masks import rle_to_mask
from engine.types import Frame, MaskSet, Points, Prompt
from stream import mask_url
from stream.prompt_message import read_prompt_message
from stream.replies import Ack
from stream.session import Session
from stream.sources.webrtc import WebRTCSource
from stream.wire import WireError


@dataclass
class Stage:
    """A running session with all its ends in the test's hands."""

    source: HandSource
    engine: ColourEngine
    kept: Kept
    session: Session
    task: asyncio.Task[str]

    def say(self, **message: object) -> asyncio.Future[Ack]:
        return self.session.submit(read_prompt_message(message))

    def click(self, object_id: int, at: tuple[int, int], **more: object) -> asyncio.Future[Ack]:
        half = self.source.scene.side / 2
        return self.say(prompts=[{"x": at[0] + half, "y": at[1] + half, "object_id": object_id}], **more)


@asynccontextmanager
async def running(engine: ColourEngine | None = None, scene: Scene | None = None) -> AsyncIterator[Stage]:
    source, engine, kept = HandSource(scene or Scene()), engine or ColourEngine(), Kept()
    session = Session(source, engine, [kept], rtp_origin=2**32 - 4000)
    stage = Stage(source, engine, kept, session, asyncio.create_task(session.run()))
    try:
        yield stage
    finally:
        session.close("test over")
        await stage.task


async def refusal(answer: asyncio.Future[Ack]) -> str:
    with pytest.raises(WireError) as caught:
        await asyncio.wait_for(answer, 20)
    return caught.value.code


async def test_frames_are_numbered_and_stamped_and_leave_in_order() -> None:
    async with running() as stage:
        for i in range(4):
            stage.source.show(i)
            await stage.kept.until(i + 1)
    assert [shown.frame.index for shown in stage.kept.shown] == [0, 1, 2, 3]
    stamps = [2**32 - 4000, 2**32 - 1000, 2000, 5000]
    assert [shown.frame.rtp_timestamp for shown in stage.kept.shown] == stamps
    assert [shown.result["rtp_timestamp"] for shown in stage.kept.shown] == stamps
    assert [shown.result["pts"] for shown in stage.kept.shown] == [0.0, 0.0333, 0.0667, 0.1]


async def test_a_click_is_acknowledged_with_the_frame_that_shows_it() -> None:
    async with running() as stage:
        stage.source.show(0)
        await stage.kept.until(1)
        answer = stage.click(7, stage.source.scene.red(1), request_id="r1")
        stage.source.show(1)
        ack = await asyncio.wait_for(answer, 20)
        shown = await stage.kept.until(2)
    assert (ack.request_id, ack.frame_index, ack.rtp_timestamp) == ("r1", 1, shown.frame.rtp_timestamp)
    assert (ack.object_ids, ack.seen_frame_index, ack.reanchored, ack.rejected) == ((7,), None, False, ())
    assert ack.timings["total"] >= ack.timings["step"] >= 0
    (found,) = shown.result["objects"]
    assert np.array_equal(rle_to_mask(found["rle"]), shown.masks.objects[0].mask)
    x, y = stage.source.scene.red(1)
    assert found["object_id"] == 7
    assert np.allclose(found["box"], [(x + 30) / 320, (y + 30) / 240, 60 / 320, 60 / 240], atol=0.01)


async def test_the_mask_is_drawn_on_its_own_frame() -> None:
    scene = Scene(speed=8)
    async with running(scene=scene) as stage:
        stage.click(1, scene.red(0))
        for i in range(5):
            stage.source.show(i)
            await stage.kept.until(i + 1)
    for i, shown in enumerate(stage.kept.shown):
        changed = shown.image[: scene.height] != shown.frame.image[: scene.height]
        x, y = scene.red(i)
        columns, rows = np.flatnonzero(changed.any(0)), np.flatnonzero(changed.any(1))
        assert abs(columns[0] - x) <= 3
        assert abs(columns[-1] - (x + scene.side - 1)) <= 3
        assert abs(rows[0] - y) <= 3


async def test_prompts_that_wait_all_go_into_the_next_step_in_order() -> None:
    scene = Scene()
    async with running() as stage:
        answers = [
            stage.click(1, scene.red(0), request_id="a"),
            stage.click(2, scene.green(0), request_id="b"),
            stage.say(remove=1, request_id="c"),
            stage.click(3, scene.red(0), request_id="d"),
        ]
        stage.source.show(0)
        acks = await asyncio.wait_for(asyncio.gather(*answers), 20)
    assert [ack.request_id for ack in acks] == ["a", "b", "c", "d"]
    assert {ack.frame_index for ack in acks} == {0}
    assert {ack.object_ids for ack in acks} == {(2, 3)}


async def test_an_overloaded_engine_skips_frames_and_counts_them_and_latency_stays_bounded() -> None:
    engine, kept = ColourEngine(seconds=0.15), Kept()
    camera = Camera(Scene(), fps=60)
    session = Session(WebRTCSource(camera), engine.step, [kept])
    task = asyncio.create_task(session.run())
    await kept.until(12)
    session.close("enough")
    await task
    stats = session.stats
    assert stats.dropped_in > 20
    assert stats.frames_in.count - stats.dropped_in - len(kept.shown) <= 3  # all others are accounted for
    assert engine.most_running == 1
    ages = [shown.frame.captured_at for shown in kept.shown]
    assert stats.latency.percentile(1.0) < 3 * 0.15 + 0.3  # not growing by 0.15 s a frame
    assert ages == sorted(ages)


async def test_prompts_are_not_dropped_while_frames_are() -> None:
    gate = asyncio.Event()
    async with running(ColourEngine(gate=gate)) as stage:
        stage.source.show(0)
        await asyncio.sleep(0.05)
        answers = [stage.click(1, stage.source.scene.red(9), request_id=i) for i in range(20)]
        for i in range(1, 10):
            stage.source.show(i)
        await asyncio.sleep(0.05)
        gate.set()
        acks = await asyncio.wait_for(asyncio.gather(*answers), 20)
    assert [ack.request_id for ack in acks] == list(range(20))
    assert {ack.frame_index for ack in acks} == {1}
    assert stage.session.stats.dropped_in == 8
    assert len([prompt for prompt in stage.engine.prompts if isinstance(prompt, Points)]) == 20


async def test_the_frame_seen_is_found_by_timestamp_or_number() -> None:
    async with running() as stage:
        for i in range(3):
            stage.source.show(i)
            await stage.kept.until(i + 1)
        stamp = stage.kept.shown[1].frame.rtp_timestamp
        assert stamp is not None
        answers = [
            stage.click(1, (10, 40), rtp_timestamp=stamp),
            stage.click(2, (10, 40), frame_index=0),
            stage.say(prompts=[{"x": 9, "y": 9, "object_id": 3, "frame_index": 2}]),
            stage.click(4, (10, 40)),
            stage.click(5, (10, 40), rtp_timestamp=stamp + 1),
            stage.click(5, (10, 40), frame_index=4),
        ]
        stage.source.show(3)
        acks = await asyncio.wait_for(asyncio.gather(*answers[:4]), 20)
        assert [await refusal(answer) for answer in answers[4:]] == ["OUT_OF_RANGE"] * 2
    assert [(ack.seen_frame_index, ack.applied_frame_index, ack.frame_index) for ack in acks] == [
        (1, 1, 3),
        (0, 0, 3),
        (2, 2, 3),
        (None, 3, 3),
    ]
    assert not any(ack.reanchored for ack in acks)
    seen = [prompt.frame_index for prompt in stage.engine.prompts if isinstance(prompt, Points)]
    assert seen == [1, 0, 2, None]


async def test_a_click_hits_what_was_under_it_when_it_was_seen() -> None:
    """The red square is 60 pixels wide and moves 20 a frame: five frames later there is only grey."""
    scene = Scene(speed=20)
    async with running(scene=scene) as stage:
        for i in range(6):
            stage.source.show(i)
            await stage.kept.until(i + 1)
        stamp = stage.kept.shown[0].frame.rtp_timestamp
        answers = [stage.click(1, scene.red(0), rtp_timestamp=stamp), stage.click(2, scene.red(0))]
        stage.source.show(6)
        await asyncio.wait_for(asyncio.gather(*answers), 20)
        red, grey = (await stage.kept.until(7)).masks.objects
    assert abs(red.mask.sum() - 60 * 60) < 400
    assert grey.mask.sum() > 200 * 200


async def test_the_answer_comes_when_the_effect_shows() -> None:
    async with running(ColourEngine(late=2)) as stage:
        for i in range(3):
            stage.source.show(i)
            await stage.kept.until(i + 1)
        late = stage.click(1, stage.source.scene.red(0), frame_index=0, output={"mode": "cutout"})
        for i in (3, 4):
            stage.source.show(i)
            await stage.kept.until(i + 1)
            assert not late.done()
            assert stage.session.state()["output"]["mode"] == "overlay"
        remove = stage.say(remove=9)
        stage.source.show(5)
        ack = await asyncio.wait_for(late, 20)
        assert await refusal(remove) == "UNKNOWN_OBJECT"
        assert stage.session.state()["output"]["mode"] == "cutout"
        await stage.kept.until(6)
        stage.click(2, stage.source.scene.green(0), frame_index=4)
        stage.source.show(6)
        await stage.kept.until(7)
        unanswered = stage.click(3, stage.source.scene.green(0), frame_index=4)
        known = stage.say(remove=2)  # on its way already
        stage.source.show(7)
        await stage.kept.until(8)
        assert "UNKNOWN_OBJECT" in str(await refusal(known))  # the engine's word: it is the last to know
    assert (ack.seen_frame_index, ack.applied_frame_index, ack.frame_index) == (0, 0, 5)
    assert ack.timings["replay"] > 0
    assert await refusal(unanswered) == "SESSION_CLOSED"


async def test_a_frame_kept_no_more_is_refused_or_taken_for_the_newest() -> None:
    async with running(ColourEngine(kept=2)) as stage:
        for i in range(4):
            stage.source.show(i)
            await stage.kept.until(i + 1)
        first = stage.kept.shown[0].frame.rtp_timestamp
        assert first is not None
        long_ago = (first - 90_000 * 20) % 2**32
        answers = [
            stage.click(1, (10, 40), rtp_timestamp=first),
            stage.click(1, (10, 40), rtp_timestamp=long_ago),
            stage.click(2, (10, 40), rtp_timestamp=first, reanchor=True),
            stage.click(3, (10, 40), rtp_timestamp=long_ago, reanchor=True),
        ]
        stage.source.show(4)
        assert [await refusal(answer) for answer in answers[:2]] == ["FRAME_EXPIRED"] * 2
        acks = await asyncio.wait_for(asyncio.gather(*answers[2:]), 20)
    with pytest.raises(WireError, match=r"that frame is 20\.1 s old, the oldest that is known 0\.1 s"):
        answers[1].result()
    assert [(ack.seen_frame_index, ack.applied_frame_index, ack.reanchored) for ack in acks] == [
        (0, 4, True),
        (None, 4, True),
    ]


async def test_the_documented_default_of_frame_index_never_expires() -> None:
    """fal's documents give 0; the first frame is meant while it is kept, the newest one after."""
    async with running(ColourEngine(kept=3)) as stage:

        async def show(first: int, last: int) -> None:
            for i in range(first, last + 1):
                stage.source.show(i)
                await stage.kept.until(i + 1)

        def click(object_id: int, frame_index: int) -> asyncio.Future[Ack]:
            return stage.say(prompts=[{"x": 10, "y": 40, "object_id": object_id, "frame_index": frame_index}])

        await show(0, 1)
        early = click(1, 0)
        await show(2, 5)
        late = [click(2, 0), stage.click(3, (10, 40), frame_index=0)]
        expired = click(4, 1)
        await show(6, 6)
        assert await refusal(expired) == "FRAME_EXPIRED"
        first, *others = await asyncio.wait_for(asyncio.gather(early, *late), 20)
    assert (first.applied_frame_index, first.reanchored) == (0, False)
    assert [(ack.applied_frame_index, ack.reanchored) for ack in others] == [(6, True), (6, True)]


async def test_a_preview_shows_the_frame_seen_before_anything_is_done() -> None:
    scene = Scene(speed=20)
    async with running(scene=scene) as stage:
        for i in range(4):
            stage.source.show(i)
            await stage.kept.until(i + 1)
        stamp = stage.kept.shown[1].frame.rtp_timestamp
        x, y = scene.red(1)
        message = read_prompt_message(
            {
                "prompts": [{"x": x + 30, "y": y + 30}],
                "rtp_timestamp": stamp,
                "request_id": 5,
                "preview": True,
            }
        )
        stage.click(2, scene.green(0), frame_index=1)  # on another object: not shown
        answer = stage.session.submit(message)
        waiting = stage.session.preview(message)
        assert waiting is not None
        preview = await waiting
        assert not answer.done()
        nothing = read_prompt_message({"undo": True, "preview": True})
        stage.session.submit(nothing)
        assert stage.session.preview(nothing) is None
    assert {k: preview[k] for k in ("type", "request_id", "frame_index", "rtp_timestamp", "rejected")} == {
        "type": "preview",
        "request_id": 5,
        "frame_index": 1,
        "rtp_timestamp": stamp,
        "rejected": [],
    }
    (found,) = preview["objects"]
    rows, columns = np.nonzero(rle_to_mask(found["rle"]))
    assert found["object_id"] == 1
    assert abs(columns.min() - x) <= 2
    assert abs(rows.min() - y) <= 2


async def test_bad_messages_change_nothing() -> None:
    async with running() as stage:
        good = stage.click(1, stage.source.scene.red(0))
        stage.source.show(0)
        await asyncio.wait_for(good, 20)
        before = stage.session.state()
        bad = [
            stage.say(remove=[1, 9], prompts=[{"x": 1, "y": 1, "object_id": 2}], apply_mask=False),
            stage.say(prompts=[{"x": 321, "y": 1, "object_id": 2}], remove=1),
            stage.say(reset=True, remove=1),
            stage.say(prompt="cat", output={"mode": "blur"}),
        ]
        stage.source.show(1)
        assert [await refusal(answer) for answer in bad] == [
            "UNKNOWN_OBJECT",
            "OUT_OF_RANGE",
            "UNKNOWN_OBJECT",
            "UNSUPPORTED",
        ]
        await stage.kept.until(2)
        after = stage.session.state()
    same = ("apply_mask", "output", "width", "height")
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    assert [found["object_id"] for found in after["objects"]] == [1]


async def test_what_the_engine_refuses_in_part_is_told_in_the_ack() -> None:
    async with running(ColourEngine(most=1)) as stage:
        answer = stage.say(prompts=[{"x": 1, "y": 1, "object_id": i} for i in (1, 2)])
        stage.source.show(0)
        ack = await asyncio.wait_for(answer, 20)
        third = stage.say(prompts=[{"x": 1, "y": 1, "object_id": 3}])
        stage.source.show(1)
        assert await refusal(third) == "TOO_MANY_OBJECTS"
    assert ack.object_ids == (1,)
    (rejected,) = ack.message()["rejected"]
    assert (rejected["object_id"], rejected["error"]) == (2, "TOO_MANY_OBJECTS")


async def test_a_mask_prompt_reaches_the_engine() -> None:
    scene = Scene()
    mask = np.zeros((24, 32), bool)
    x, y = scene.green(0)
    mask[y // 10 : (y + scene.side) // 10, x // 10 : (x + scene.side) // 10] = True
    async with running() as stage:
        answer = stage.say(mask_url=mask_url.encode(mask), object_id=5)
        stage.source.show(0)
        await asyncio.wait_for(answer, 20)
        shown = await stage.kept.until(1)
    (found,) = shown.masks.objects
    assert abs(int(found.mask.sum()) - scene.side**2) < 0.1 * scene.side**2


async def test_views_change_with_the_frame_that_is_acknowledged() -> None:
    async with running() as stage:
        clicked = stage.click(1, stage.source.scene.red(0))
        stage.source.show(0)
        await asyncio.wait_for(clicked, 20)
        for i, (message, drawn) in enumerate(
            [
                ({"apply_mask": False}, False),
                ({"apply_mask": True}, True),
                ({"output": {"hidden": [1]}}, False),
                ({"output": {"hidden": [], "mode": "mask"}}, True),
                ({"output": {"mode": "plain"}}, False),
            ],
            start=1,
        ):
            answer = stage.say(**message)
            stage.source.show(i)
            ack = await asyncio.wait_for(answer, 20)
            shown = await stage.kept.until(i + 1)
            assert ack.frame_index == i
            assert (not np.array_equal(shown.image, shown.frame.image)) is drawn, message
            assert shown.state is not None
            assert [found["object_id"] for found in shown.result["objects"]] == [1]


async def test_a_size_change_midstream_is_survived() -> None:
    async with running() as stage:
        clicked = stage.click(1, stage.source.scene.red(0))
        stage.source.show(0)
        await asyncio.wait_for(clicked, 20)
        stage.source.show(1, Scene(640, 480))
        shown = await stage.kept.until(2)
        assert (shown.frame.width, shown.frame.height) == (640, 480)
        assert shown.image.shape == (720, 640)
        assert shown.state is not None
        assert (shown.state["width"], shown.state["height"]) == (640, 480)
        # A click on the picture as it was before the change counts the pixels of that picture.
        answer = stage.say(prompts=[{"x": 160, "y": 120, "object_id": 2}], frame_index=0)
        stage.source.show(2, Scene(640, 480))
        await asyncio.wait_for(answer, 20)
    points = [prompt for prompt in stage.engine.prompts if isinstance(prompt, Points)][-1].points
    assert (points[0].x, points[0].y) == (0.5, 0.5)


async def test_the_end_of_the_source_ends_the_session_and_frees_everything() -> None:
    async with running() as stage:
        stage.source.show(0)
        await stage.kept.until(1)
        stage.source.end()
        assert await asyncio.wait_for(stage.task, 20) == "source ended"
        assert await refusal(stage.say(reset=True)) == "SESSION_CLOSED"
    assert stage.kept.closed
    assert stage.source.closed


async def test_a_failing_source_ends_the_session_with_its_reason() -> None:
    async with running() as stage:
        stage.source.end(OSError("camera unplugged"))
        assert await asyncio.wait_for(stage.task, 20) == "source failed: camera unplugged"


async def test_messages_that_wait_at_the_end_are_answered() -> None:
    async with running() as stage:
        answers = [stage.say(reset=True), stage.say(reset=True)]
        stage.session.close("deleted")
        stage.session.close("later")
        assert await asyncio.wait_for(stage.task, 20) == "deleted"
        assert [await refusal(answer) for answer in answers] == ["SESSION_CLOSED"] * 2


async def test_a_failing_engine_ends_this_session_and_answers_its_prompts() -> None:
    async def step(frame: Frame, prompts: Sequence[Prompt]) -> MaskSet:
        raise RuntimeError("out of memory at 0xdeadbeef")

    async with running() as stage:
        source = HandSource(Scene())
        broken = Session(source, step, [])
        task = asyncio.create_task(broken.run())
        answer = broken.submit(read_prompt_message({"reset": True}))
        source.show(0)
        assert await asyncio.wait_for(task, 20) == "failed: RuntimeError"
        with pytest.raises(WireError, match="INTERNAL_ERROR") as caught:
            await answer
        assert "0xdeadbeef" not in caught.value.reason
        stage.source.show(0)
        await stage.kept.until(1)


async def test_masks_of_another_size_end_the_session_and_answer() -> None:
    wrong, source = ColourEngine(), HandSource(Scene())

    async def step(frame: Frame, prompts: Sequence[Prompt]) -> MaskSet:
        return await wrong.step(Frame(frame.index, np.full((24, 16), 128, np.uint8)), prompts)

    broken = Session(source, step, [])
    task = asyncio.create_task(broken.run())
    answer = broken.submit(read_prompt_message({"prompts": [{"x": 1, "y": 1}]}))
    source.show(0)
    with pytest.raises(WireError, match="INTERNAL_ERROR"):
        await asyncio.wait_for(answer, 20)
    source.show(1)
    assert await asyncio.wait_for(task, 20) == "failed: ValueError"


async def test_cancelling_run_frees_everything_too() -> None:
    async with running(ColourEngine(gate=asyncio.Event())) as stage:
        stage.source.show(0)
        await asyncio.sleep(0.05)
        answer = stage.say(reset=True)
        stage.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stage.task
        assert await refusal(answer) == "SESSION_CLOSED"
        assert stage.kept.closed
        assert stage.source.closed
        stage.task = asyncio.create_task(asyncio.sleep(0, ""))


async def test_the_inbox_is_bounded() -> None:
    async with running() as stage:
        answers = [stage.say(reset=True) for _ in range(257)]
        assert await refusal(answers[-1]) == "RATE_LIMITED"
        stage.source.show(0)
        await asyncio.wait_for(asyncio.gather(*answers[:-1]), 20)


async def test_nothing_is_left_of_ended_sessions() -> None:
    async def once() -> None:
        async with running() as stage:
            stage.source.show(0)
            await stage.kept.until(1)

    await once()
    tasks = len(asyncio.all_tasks())
    for _ in range(5):
        await once()
    deadline = time.monotonic() + 10
    while any(thread.name.startswith("session") for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        gc.collect()
        await asyncio.sleep(0.02)
    assert len(asyncio.all_tasks()) == tasks


async def test_state_is_told_when_something_changes_and_only_then() -> None:
    async with running() as stage:
        stage.source.show(0)
        first = await stage.kept.until(1)
        stage.source.show(1)
        second = await stage.kept.until(2)
        clicked = stage.click(2, stage.source.scene.green(2))
        stage.source.show(2)
        await asyncio.wait_for(clicked, 20)
        third = await stage.kept.until(3)
        stage.source.show(3)
        fourth = await stage.kept.until(4)
    assert first.state is not None  # the size became known
    assert second.state is None
    assert third.state is not None
    assert third.state["objects"] == [
        {"object_id": 2, "state": "tracking", "score": 0.99, "color": "#e69f00", "since_frame_index": 2}
    ]
    assert fourth.state is None
