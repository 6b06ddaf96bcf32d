"""What a stream sees of its tracker. Equality with upstream is in test_parity.py."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from official import CPU, clip_frames, small_model, small_net

from engine import lanes, nets, rounds
from engine.masks import mask_box
from engine.models import Model, Preset
from engine.pico import PicoConfig, build_pico
from engine.rounds import Job, step_many
from engine.tracker import Tracker
from engine.types import (
    Box,
    EngineError,
    Frame,
    Mask,
    MaskSet,
    Point,
    Points,
    Prompt,
    Remove,
    Reset,
    Text,
)

FRAMES = clip_frames(24)
CLICK = Points(1, (Point(0.4, 0.5),))
BOX = Box(2, 0.1, 0.2, 0.5, 0.7)
STAGES = {"read", "encode", "track", "prompt", "replay", "remember", "masks", "total"}


@pytest.fixture(scope="module")
def model() -> Model:
    return small_model(small_net(score_bias=5.0))


def tiny_model() -> Model:
    """The smallest network that has every part, for many frames."""
    torch.manual_seed(0)
    config = PicoConfig(
        image_size=32, stem=8, dims=(8, 8, 16, 16), depths=(0, 0, 0, 0), d_model=32, mem_dim=16
    )
    net = build_pico(replace(config, memory_feedforward=32))
    nets.ready(net, CPU, torch.float32)
    return Model(net, Preset("tiny", "none", dense_prompts=True), 32, CPU, torch.float32, "")


def codes(result: MaskSet) -> list[tuple[Prompt, str]]:
    return [(prompt, error.code) for prompt, error in result.rejected]


def test_masks_are_complete_and_at_the_size_of_the_picture(model: Model) -> None:
    tracker = Tracker(model)
    tracker.step(FRAMES[0], [BOX, CLICK])
    result = tracker.step(FRAMES[1])
    assert result.frame_index == 1
    assert [o.object_id for o in result.objects] == [1, 2] == list(tracker.object_ids)
    for o in result.objects:
        assert o.mask.shape == (120, 160)
        assert o.mask.dtype == np.bool_
        assert 0.0 <= o.score <= 1.0
        assert o.box == mask_box(o.mask)
    assert set(result.timings) == STAGES
    assert result.timings["total"] == pytest.approx(sum(v for k, v in result.timings.items() if k != "total"))


def test_pictures_may_change_their_size_between_frames(model: Model) -> None:
    tracker = Tracker(model)
    tracker.step(FRAMES[0], [CLICK])
    other = clip_frames(2, 96, 64)[1]
    assert tracker.step(other).objects[0].mask.shape == (64, 96)


def test_without_objects_there_is_nothing(model: Model) -> None:
    assert Tracker(model).step(FRAMES[0]).objects == ()


@pytest.mark.parametrize(
    ("prompt", "code"),
    [
        (Points(1, ()), "BAD_PROMPT"),
        (Points(1, (Point(1.5, 0.5),)), "BAD_PROMPT"),
        (Points(1, (Point(float("nan"), 0.5),)), "BAD_PROMPT"),
        (Points(1, (Point(0.5, 0.5),) * 65), "BAD_PROMPT"),
        (Points(1, (Point(0.5, 0.5, positive=False),)), "BAD_PROMPT"),
        (Box(1, 0.5, 0.5, 0.5, 0.9), "BAD_PROMPT"),
        (Box(1, -0.1, 0.5, 0.5, 0.9), "BAD_PROMPT"),
        (Box(1, 0.1, 0.5, 0.5, 0.9, (Point(2.0, 0.0),)), "BAD_PROMPT"),
        (Mask(1, np.zeros((10, 10), dtype=bool)), "BAD_PROMPT"),
        (Mask(1, np.ones((10, 10, 1), dtype=bool)), "BAD_PROMPT"),
        (Mask(1, np.ones((10, 10), dtype=np.uint8)), "BAD_PROMPT"),  # type: ignore[arg-type]
        (Remove(1), "UNKNOWN_OBJECT"),
        (Text("a dog"), "UNSUPPORTED"),
    ],
)
def test_bad_prompts_come_back_and_the_others_are_done(model: Model, prompt: Prompt, code: str) -> None:
    tracker = Tracker(model)
    result = tracker.step(FRAMES[0], [prompt, BOX])
    assert codes(result) == [(prompt, code)]
    assert tracker.object_ids == (2,)


def test_too_many_objects_and_too_many_clicks_are_refused(model: Model) -> None:
    tracker = Tracker(model, max_objects=1)
    many = Points(1, (Point(0.5, 0.5),) * 60)
    result = tracker.step(
        FRAMES[0], [CLICK, BOX, many, replace(many, replace=True), replace(many, points=many.points[:9])]
    )
    assert [code for _, code in codes(result)] == ["TOO_MANY_OBJECTS", "BAD_PROMPT"]
    assert tracker.object_ids == (1,)


def test_remove_reset_and_use_an_id_again(model: Model) -> None:
    tracker = Tracker(model, history=0)
    tracker.step(FRAMES[0], [CLICK, BOX])
    result = tracker.step(FRAMES[1], [Remove(1), Remove(1), CLICK])
    assert [code for _, code in codes(result)] == ["UNKNOWN_OBJECT"]
    assert tracker.object_ids == (1, 2)
    assert [e.frame for e in tracker.tracks[1].memory.bank] == [1]
    result = tracker.step(FRAMES[2], [Reset(), BOX])
    assert tracker.object_ids == (2,)
    tracker.step(FRAMES[3], [Reset()])
    assert tracker.object_ids == ()
    assert tracker.nbytes() == 0


def test_frames_must_advance_and_a_refused_one_changes_nothing(model: Model) -> None:
    tracker = Tracker(model)
    tracker.step(FRAMES[3], [CLICK])
    track = tracker.tracks[1]
    for frame in (FRAMES[3], FRAMES[1], Frame(4, np.zeros((7, 7), dtype=np.uint8))):
        with pytest.raises(EngineError) as caught:
            tracker.step(frame, [Reset()])
        assert caught.value.code == "BAD_FRAME"
    assert tracker.tracks[1] is track


def test_frames_may_be_far_apart_and_what_is_too_old_is_not_read(model: Model) -> None:
    late = replace(FRAMES[2], index=500)
    tracker, beside = Tracker(model), Tracker(model)
    for each, frames in ((tracker, FRAMES[:2]), (beside, FRAMES[:1])):
        for frame in frames:
            each.step(frame, [CLICK] if frame.index == 0 else [])
    one, other = (each.step(late).objects[0] for each in (tracker, beside))
    assert one.score == other.score
    assert np.array_equal(one.mask, other.mask)
    again = Points(1, (Point(0.5, 0.5),), frame_index=500)
    shown = [each.preview([again]).objects[0].mask for each in (tracker, beside)]
    assert np.array_equal(*shown)
    after = [each.step(replace(FRAMES[3], index=501), [again]) for each in (tracker, beside)]
    assert [result.rejected for result in after] == [(), ()]
    landed = [each.step(replace(FRAMES[4], index=502)).objects[0].mask for each in (tracker, beside)]
    assert np.array_equal(*landed)


def test_a_step_that_fails_half_way_changes_nothing(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = Tracker(model)
    tracker.step(FRAMES[0], [CLICK])
    track = tracker.tracks[1]
    with monkeypatch.context() as patch:
        patch.setattr(rounds, "remember", lambda *_: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            tracker.step(FRAMES[1], [BOX])
    assert tracker.tracks == {1: track}
    tracker.step(FRAMES[1])


def test_objects_do_not_touch_each_other(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Adding, correcting and removing others changes no bit of an object that is computed by itself."""
    monkeypatch.setattr(lanes, "MAX_BATCH", 1)
    alone, among = Tracker(model), Tracker(model)
    script: dict[int, list[Prompt]] = {
        3: [BOX],
        6: [Points(2, (Point(0.3, 0.6),)), Points(7, (Point(0.8, 0.3),))],
        9: [Remove(2), Mask(9, np.eye(40, dtype=bool))],
        12: [Remove(7)],
    }
    for frame in FRAMES[:16]:
        first: list[Prompt] = [CLICK] if frame.index == 0 else []
        alone.step(frame, first)
        among.step(frame, [*first, *script.get(frame.index, [])])
        assert torch.equal(alone.tracks[1].answer.filled, among.tracks[1].answer.filled), frame.index
        assert torch.equal(alone.tracks[1].answer.pointer, among.tracks[1].answer.pointer)


def test_batches_of_unequal_ages_and_streams_equal_single_steps(model: Model) -> None:
    """Objects of two streams, added on different frames and corrected at different times, in one batch."""
    scripts: list[dict[int, list[Prompt]]] = [
        {0: [CLICK], 4: [BOX], 8: [Points(1, (Point(0.45, 0.5),))], 11: [Points(3, (Point(0.7, 0.6),))]},
        {2: [CLICK], 3: [BOX, Mask(5, np.tri(60, dtype=bool))], 15: [Remove(2)]},
    ]
    together = [Tracker(model) for _ in scripts]
    apart = [Tracker(model) for _ in scripts]
    for frame in FRAMES:
        jobs = [Job(t, frame, s.get(frame.index, [])) for t, s in zip(together, scripts, strict=True)]
        results = step_many(model, jobs)
        for tracker, script, result in zip(apart, scripts, results, strict=True):
            assert isinstance(result, MaskSet)
            single = tracker.step(frame, script.get(frame.index, []))
            for ours, expected in zip(result.objects, single.objects, strict=True):
                union = (ours.mask | expected.mask).sum()
                assert (ours.mask & expected.mask).sum() >= 0.999 * union
                assert ours.score == pytest.approx(expected.score, abs=1e-4)


def test_clicks_on_one_frame_accumulate_unless_they_replace(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []
    decode = model.stages.decode

    def listening(conditioned, features, clicks=None, prior=None, first=False):  # type: ignore[no-untyped-def]
        if clicks is not None:
            given.append((clicks.labels[0].tolist(), prior is not None, first))
        return decode(conditioned, features, clicks, prior, first)

    monkeypatch.setattr(type(model.stages), "decode", lambda self, *args: listening(*args))
    tracker = Tracker(model)
    no = Points(1, (Point(0.9, 0.9, positive=False),))
    tracker.step(FRAMES[0], [CLICK, no])
    tracker.step(FRAMES[1], [no, CLICK, replace(CLICK, replace=True)])
    tracker.step(FRAMES[2], [Box(1, 0.1, 0.1, 0.6, 0.6, (Point(0.3, 0.3),)), no])
    assert given == [
        ([1], False, True),
        ([1, 0], True, True),
        ([0], True, False),
        ([0, 1], True, False),
        ([1], True, False),
        ([2, 3, 1], True, False),
        ([2, 3, 1, 0], True, False),
    ]
    assert [e.frame for e in tracker.tracks[1].memory.bank] == [0, 1, 2]


def test_presets_with_dense_prompts_draw_the_first_clicks(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    priors = []
    decode = model.stages.decode

    def listening(conditioned, features, clicks=None, prior=None, first=False):  # type: ignore[no-untyped-def]
        priors.append(prior)
        return decode(conditioned, features, clicks, prior, first)

    monkeypatch.setattr(type(model.stages), "decode", lambda self, *args: listening(*args))
    tracker = Tracker(model)
    tracker.step(FRAMES[0], [CLICK, Points(1, (Point(0.6, 0.6),))])
    drawn, earlier = priors
    assert drawn.shape == (1, 1, 8, 8)
    assert float(drawn.max()) > 2.0
    y, x = divmod(int(drawn.argmax()), 8)
    assert abs(x - 2.7) <= 1
    assert abs(y - 3.5) <= 1
    assert not torch.equal(drawn, earlier)


def test_a_mask_prompt_is_shown_as_it_was_given(model: Model) -> None:
    mask = np.zeros((240, 320), dtype=bool)
    mask[60:160, 80:200] = True
    shown = Tracker(model).step(FRAMES[0], [Mask(1, mask)]).objects[0]
    expected = mask[::2, ::2]
    assert (shown.mask & expected).sum() > 0.97 * (shown.mask | expected).sum()
    assert shown.score > 0.99


def test_memory_held_is_the_same_after_400_and_after_1200_frames() -> None:
    tracker = Tracker(tiny_model())
    image = clip_frames(1, 64, 64)[0].image
    held = []
    for index in range(1201):
        prompts = [CLICK] if index % 10 == 0 else []  # after 400 frames as many as can be undone are kept
        tracker.step(Frame(index, image), prompts)
        if index in (400, 800, 1200):
            held.append(tracker.nbytes())
    assert held[0] == held[1] == held[2] > 0
