"""The training recipe: plan, scenes, prompts, losses, and a run that can be stopped and resumed."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn

from engine.pico import PicoConfig, build_pico
from engine.training import prompts
from engine.training.export import export, plot
from engine.training.looking import look
from engine.training.loop import LESSONS, Run, RunConfig, part_of, prime
from engine.training.losses import Decoded, Losses, frame_losses
from engine.training.material import Material, Reels, gather
from engine.training.outlining import outline
from engine.training.plan import Stage, learning_rate, parse_stages, stage_at
from engine.training.redrawing import redraw
from engine.training.regressing import regress
from engine.training.scenes import Clips, SceneConfig, make_clips
from engine.training.sprites import Wardrobe
from engine.training.stock import Stock, varied
from engine.training.textures import PICTURE, Pictures, procedural_pictures
from engine.training.unroll import Lesson, Outcome, promptable, unroll
from engine.types import EngineError

TINY = (
    Stage("still", 2, clips=2, frames=1, size=64, first=(0.5, 0.5, 0.0), clicks=1.0),
    Stage("video", 2, clips=1, frames=3, size=64, correct=1.0, pointed=0.5),
    Stage("clicks", 2, clips=2, frames=1, size=64, part="redrawer"),
    Stage("look", 2, clips=2, frames=3, size=64, part="look"),
    Stage("boxes", 2, clips=2, frames=3, size=64, part="regressor", repeats=2),
    Stage("outlines", 2, clips=2, frames=3, size=64, part="outliner"),
)


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    return procedural_pictures(6, torch.Generator().manual_seed(0))


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def filmed(pictures: Pictures, batch: int, frames: int, **scene: float) -> Clips:
    """Clips of 64 x 64 pixels, always the same; `scene` as for `SceneConfig`."""
    wardrobe = Wardrobe(pictures, seed=3, groups=8)
    wardrobe.at(5)
    config = replace(SceneConfig(size=64, frames=frames), **scene)
    return make_clips(Material(pictures), wardrobe, batch, config, generator())


def discs(*centres: tuple[int, int], radius: int = 20, size: int = 128) -> Tensor:
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return torch.stack([(x - cx) ** 2 + (y - cy) ** 2 < radius**2 for cx, cy in centres])


def test_stages_are_read_from_text_and_walked_in_order() -> None:
    stages = parse_stages("still:10,video:20")
    assert [s.name for s in stages] == ["still", "video"]
    assert stage_at(stages, 9)[0].name == "still"
    assert stage_at(stages, 13) == (stages[1], 3)


@pytest.mark.parametrize("text", ["nonsense:3", "still:0", "still:-4", "still:x"])
def test_bad_stages_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"stage|int"):
        parse_stages(text)


def test_learning_rate_warms_up_stays_and_cools_down() -> None:
    rates = [learning_rate(step, 1000, 1.0, warmup=100) for step in range(1000)]
    assert rates[0] < rates[50] < rates[100] == rates[700] == 1.0
    assert rates[990] < 0.05


def test_a_scene_is_the_same_for_the_same_seed_and_its_masks_do_not_overlap(pictures: Pictures) -> None:
    def render() -> tuple[Tensor, Tensor]:
        clips = filmed(pictures, 2, 3)
        return clips.images, clips.masks

    images, masks = render()
    again, _ = render()
    assert images.shape == (2, 3, 3, 64, 64)
    assert masks.shape == (2, 3, 2, 64, 64)
    assert torch.equal(images, again)
    assert masks.any()
    assert not (masks[:, :, 0] & masks[:, :, 1]).any()


def test_the_wardrobe_at_a_step_does_not_depend_on_the_way_there(pictures: Pictures) -> None:
    walked, jumped = Wardrobe(pictures, seed=3, groups=8), Wardrobe(pictures, seed=3, groups=8)
    for step in range(4):
        walked.at(step)
    jumped.at(3)
    assert torch.equal(walked.draw(16, generator()), jumped.draw(16, generator()))


def test_what_passes_over_the_first_object_hides_it_for_a_while(pictures: Pictures) -> None:
    def hidden_and_back(hide: float) -> int:
        """Clips whose first object loses most of itself, and has it again at the end."""
        clips = filmed(pictures, 24, 8, speed=0.0, leave=0.0, twin=0.0, reels=0.0, hide=hide)
        seen = clips.masks[:, :, 0].flatten(2).sum(2)
        first, least, last = seen[:, 0], seen.amin(1), seen[:, -1]
        return int(((first > 40) & (least < 0.2 * first) & (last > 0.5 * first)).sum())

    assert hidden_and_back(0.0) <= 1
    assert hidden_and_back(1.0) >= 6


def test_what_is_shown_of_an_object_is_told(pictures: Pictures) -> None:
    def shown(hide: float) -> tuple[Tensor, Tensor]:
        clips = filmed(pictures, 24, 8, speed=0.0, leave=0.0, twin=0.0, reels=0.0, hide=hide)
        assert clips.shown.shape == clips.masks.shape[:3]
        assert torch.equal(clips.shown == 0, (clips.shown < 1) & ~clips.masks.flatten(3).any(dim=3))
        return clips.shown, promptable(clips)

    (whole, often), (less, seldom) = shown(0.0), shown(1.0)
    assert 0 <= float(less.min()) < 0.1
    assert float(whole.max()) == 1
    assert float(less[:, :, 0].mean()) < float(whole[:, :, 0].mean()) - 0.1
    assert int(seldom[:, :, 0].sum()) < int(often[:, :, 0].sum())
    assert float(less[seldom].min()) > 0.5


def test_a_marked_reel_takes_the_place_of_the_first_object(pictures: Pictures) -> None:
    mask = torch.zeros(1, *PICTURE, dtype=torch.bool)
    mask[:, 60:220, 100:400] = True
    red = torch.zeros(1, 3, *PICTURE, dtype=torch.uint8)
    red[:, 0] = torch.where(mask, 255, 0)
    wardrobe = Wardrobe(pictures, seed=0, groups=8)
    wardrobe.at(0)
    config = SceneConfig(size=64, frames=2, reels=1.0)
    clips = make_clips(
        Material(pictures, None, Reels(red, mask, ((0, 1),))), wardrobe, 3, config, generator()
    )
    marked = clips.masks[:, :, 0]
    assert marked.flatten(2).sum(2).float().mean() > 200
    excess = clips.images[:, :, 0] - clips.images[:, :, 1]
    assert excess[marked].mean() > 0.5


def test_clicks_and_boxes_fit_their_masks() -> None:
    masks = discs((40, 50), (90, 70))
    points, labels = prompts.clicks(masks, generator())
    for mask, (x, y) in zip(masks, points[:, 0].round().long().tolist(), strict=True):
        assert mask[y, x]
    assert labels.tolist() == [[1], [1]]
    corners, labels = prompts.boxes(masks, generator(), noise=0.0)
    assert torch.allclose(corners[0], torch.tensor([[21.0, 31.0], [60.0, 70.0]]))
    assert labels.tolist() == [[2, 3], [2, 3]]


def test_a_correction_is_made_where_the_larger_error_is() -> None:
    truth, shifted = discs((40, 60)), discs((80, 60))
    points, labels = prompts.corrections(truth, torch.zeros_like(truth), generator())
    x, y = points[0, 0].round().long().tolist()
    assert truth[0, y, x]
    assert labels.item() == 1
    points, labels = prompts.corrections(truth, truth | shifted, generator())
    x, y = points[0, 0].round().long().tolist()
    assert shifted[0, y, x]
    assert not truth[0, y, x]
    assert labels.item() == 0


def test_boxes_of_a_filter_are_off_a_little_and_of_what_is_gone_there_is_none() -> None:
    masks = torch.cat((discs((50, 60)), torch.zeros(1, 128, 128, dtype=torch.bool)))
    true = prompts.corners(masks)
    assert true.tolist() == [[31.0, 41.0, 70.0, 80.0], [0.0, 0.0, 128.0, 128.0]]
    drawn = [prompts.jittered(true[:1], 128, generator(seed), 0.1) for seed in range(20)]
    off = torch.stack([points.view(4) - true[0] for points, _ in drawn])
    assert 0.05 * 39 < off.abs().mean() < 0.12 * 39
    assert off.abs().max() <= 0.2 * 39 + 1e-4
    assert all(labels.tolist() == [[2, 3]] for _, labels in drawn)


@pytest.mark.parametrize("pointed", [0.0, 1.0])
def test_later_frames_have_boxes_as_often_as_asked(pictures: Pictures, pointed: float) -> None:
    clips = filmed(pictures, 1, 4)
    net = build_pico(PicoConfig(image_size=64))
    asked: list[object] = []
    net.sam_prompt_encoder.register_forward_pre_hook(
        lambda _, args, kwargs: asked.append(kwargs["points"][1][0].tolist()), with_kwargs=True
    )
    unroll(net, clips, Lesson(first="click", pointed=pointed), generator())
    assert asked[0] == [1, -1] or asked[0] == [1]
    assert [labels[:2] == [2, 3] for labels in asked[1:] if isinstance(labels, list)] == [pointed == 1.0] * 3
    assert net.binarize_mask_from_pts_for_mem_enc, "only while a filter's box is looked at"


def test_every_frame_is_asked_anew_as_if_it_were_the_first(pictures: Pictures) -> None:
    clips = filmed(pictures, 2, 3)
    net = build_pico(PicoConfig(image_size=64))
    lanes: list[int] = []
    net.sam_prompt_encoder.register_forward_pre_hook(
        lambda _, args, kwargs: lanes.append(len(kwargs["points"][1])), with_kwargs=True
    )
    plain = unroll(net, clips, Lesson(first="click"), generator())
    assert lanes == [4, 4, 4], "two objects of two clips, frame by frame"
    both = unroll(net, clips, Lesson(first="click", anew=0.5), generator())
    assert lanes[3:] == [4, 4, 4, 12], "and all frames at once"
    assert both.tracked_iou == plain.tracked_iou
    assert both.losses.mask != plain.losses.mask


def test_losses_prefer_the_truth_and_leave_absent_objects_out() -> None:
    truth = torch.cat((discs((64, 64)), torch.zeros(1, 128, 128, dtype=torch.bool)))
    right = torch.where(truth[:, None, ::4, ::4], 8.0, -8.0).expand(2, 4, 32, 32)
    ious, scores = torch.ones(2, 4), torch.tensor([[6.0], [-6.0]])
    good = frame_losses(Decoded(right, ious, scores), truth, torch.ones(2), 0.0)
    bad = frame_losses(Decoded(-right, ious, -scores), truth, torch.ones(2), 0.0)
    assert good.mask < 1 < 4 < bad.mask
    assert good.score < 0.01 < 1 < bad.score
    nonsense = torch.cat((right[:1], torch.randn(1, 4, 32, 32)))
    same = frame_losses(Decoded(nonsense, ious, scores), truth, torch.ones(2), 0.0)
    assert torch.allclose(good.mask, same.mask)


def run(out: Path, pictures: Pictures) -> Run:
    return Run(RunConfig(out, TINY, seed=7, wardrobe=4), Material(pictures), torch.device("cpu"))


def test_a_resumed_run_goes_on_as_if_it_had_not_stopped(tmp_path: Path, pictures: Pictures) -> None:
    whole = run(tmp_path / "whole", pictures)
    whole.train()
    first = run(tmp_path / "parts", pictures)
    for _ in range(5):
        first.advance()
    (tmp_path / "parts").mkdir()
    first.save(tmp_path / "parts" / "last.pt")
    second = run(tmp_path / "parts", pictures)
    second.resume(tmp_path / "parts" / "last.pt")
    second.train()
    assert whole.step == second.step == 12
    for name, value in whole.net.state_dict().items():
        assert torch.equal(value, second.net.state_dict()[name]), name


def test_parts_with_lessons_of_their_own_learn_alone(tmp_path: Path, pictures: Pictures) -> None:
    def changed(one: dict[str, Tensor], other: dict[str, Tensor]) -> set[str]:
        """The parts that have."""
        return {part_of(name) for name in one if not torch.equal(one[name], other[name])}

    run_ = run(tmp_path, pictures)
    states = []
    for _ in range(12):
        states.append({name: value.clone() for name, value in run_.net.state_dict().items()})
        row = run_.advance()
        assert row["grad"] > 0
    states.append(run_.net.state_dict())
    assert all(changed(*pair) == {""} for pair in itertools.pairwise(states[:5]))
    assert all(changed(*pair) == {"redrawer"} for pair in itertools.pairwise(states[4:7]))
    assert all(changed(*pair) == {"look"} for pair in itertools.pairwise(states[6:9]))
    assert all(changed(*pair) == {"regressor"} for pair in itertools.pairwise(states[8:11]))
    assert all(changed(*pair) == {"outliner"} for pair in itertools.pairwise(states[10:]))
    assert set(LESSONS) == {"redrawer", "look", "regressor", "outliner"}


def test_clips_are_used_again_each_time_in_another_way(tmp_path: Path, pictures: Pictures) -> None:
    made: list[Clips] = []

    def make() -> Clips:
        made.append(filmed(pictures, 4, 3))
        return made[-1]

    stock = Stock(tmp_path / "clips")
    first, again = stock.take("boxes-0-5", make), stock.take("boxes-0-5", make)
    assert len(made) == 1
    torch.testing.assert_close(again.images, first.images, atol=1 / 255, rtol=0)
    assert torch.equal(again.masks, first.masks)
    assert torch.equal(again.shown, first.shown)
    other, same = varied(again, generator()), varied(again, generator())
    assert torch.equal(other.images, same.images), "the same for the same draw"
    ways = {(k, mirrored, backwards) for k in range(4) for mirrored in (0, 1) for backwards in (0, 1)}
    taken = {
        (k, mirrored, backwards)
        for k, mirrored, backwards in ways
        if torch.equal(
            other.masks[k],
            first.masks[k].flip([-1] * mirrored).flip([0] * backwards),
        )
    }
    assert {k for k, _, _ in taken} == {0, 1, 2, 3}
    assert len({way[1:] for way in taken}) > 1
    assert not torch.equal(other.images, first.images)
    torch.testing.assert_close(other.masks.sum((1, 2, 3, 4)), first.masks.sum((1, 2, 3, 4)))


def test_a_new_run_makes_its_own_clips_where_another_has_been(tmp_path: Path, pictures: Pictures) -> None:
    def trained(folder: Path, seed: int) -> dict[str, Tensor]:
        boxes = next(stage for stage in TINY if stage.repeats > 1)
        config = RunConfig(folder, (boxes,), seed=seed, wardrobe=4)
        begun = Run(config, Material(pictures), torch.device("cpu"))
        begun.train()
        return begun.net.state_dict()

    trained(tmp_path / "used", 7)
    fresh, used = trained(tmp_path / "fresh", 8), trained(tmp_path / "used", 8)
    assert all(torch.equal(value, used[name]) for name, value in fresh.items())


def untaught() -> SAM2Base:
    torch.manual_seed(0)
    return build_pico(PicoConfig(image_size=64)).eval()


def emptied(clips: Clips) -> Clips:
    """The same pictures without an object."""
    return Clips(clips.images, torch.zeros_like(clips.masks), clips.shown)


def taught(part: nn.Module, steps: int, lesson: Callable[[], Outcome]) -> tuple[Outcome, Outcome]:
    """What the first and the last of so many steps of a lesson came to."""
    optimiser = torch.optim.AdamW(part.parameters(), 3e-3)
    outcomes = []
    for _ in range(steps):
        outcome = lesson()
        optimiser.zero_grad()
        outcome.losses.total.backward()
        optimiser.step()
        losses = Losses(
            *(x.detach() for x in (outcome.losses.mask, outcome.losses.iou, outcome.losses.score))
        )
        outcomes.append(replace(outcome, losses=losses))
    return outcomes[0], outcomes[-1]


def assert_drawn_and_judged_better(then: Outcome, now: Outcome) -> None:
    assert float(now.losses.mask) < 0.7 * float(then.losses.mask)
    assert float(now.losses.iou) < 0.95 * float(then.losses.iou)


def test_the_redrawer_learns_to_draw_and_to_judge(pictures: Pictures) -> None:
    """The same two pictures over and over: their objects are drawn better, and better judged."""
    net = untaught()
    prime(net)
    clips = filmed(pictures, 2, 1)
    net.redrawer.train()
    then, now = taught(net.redrawer, 40, lambda: redraw(net, clips, generator()))
    assert_drawn_and_judged_better(then, now)


def test_what_filters_see_is_learnt_through_them(pictures: Pictures) -> None:
    """The same clips over and over: filters begun on the first pictures find more of the things later."""
    net = untaught()
    clips = filmed(pictures, 6, 4, leave=0.3)
    then, now = taught(net.look, 30, lambda: look(net, clips, generator()))
    assert float(now.losses.mask) < 0.9 * float(then.losses.mask)
    assert now.tracked_iou > 0.6
    assert float(look(net, emptied(clips), generator()).losses.total.detach()) == 0


def test_boxes_that_are_off_are_put_right(pictures: Pictures) -> None:
    """The same clips over and over: boxes come nearer to the things than they were."""
    net = untaught()
    clips = filmed(pictures, 3, 3)
    then, now = taught(net.regressor, 60, lambda: regress(net, clips, generator()))
    assert float(now.losses.mask) < 0.6 * float(then.losses.mask)
    assert float(now.losses.score) < 0.6 * float(then.losses.score), "and whether they are there is told"
    assert now.tracked_iou > now.first_iou + 0.05
    assert float(regress(net, emptied(clips), generator()).losses.total.detach()) == 0


def test_what_is_in_a_box_is_redrawn(pictures: Pictures) -> None:
    """The same clips over and over: masks come nearer to the things than the network's are."""
    net = untaught()
    prime(net)
    clips = filmed(pictures, 3, 3)
    net.outliner.train()
    then, now = taught(net.outliner, 60, lambda: outline(net, clips, generator()))
    assert_drawn_and_judged_better(then, now)
    assert now.tracked_iou > now.first_iou + 0.1
    assert float(outline(net, emptied(clips), generator()).losses.total.detach()) == 0


def test_a_run_leaves_a_log_a_curve_and_weights_that_load(tmp_path: Path, pictures: Pictures) -> None:
    from safetensors.torch import load_file

    trained = run(tmp_path, pictures)
    trained.train()
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 13
    plot(tmp_path / "log.csv", tmp_path / "curve.png", window=2)
    assert (tmp_path / "curve.png").stat().st_size > 1000
    assert export(tmp_path / "last.pt", tmp_path / "pico.safetensors") == 12
    assert (tmp_path / "pico.safetensors").stat().st_size < 16e6
    build_pico().load_state_dict(load_file(tmp_path / "pico.safetensors"))


def test_material_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"no video or picture in .* expected files ending in"):
        gather(tmp_path, [], [], None, seed=0)
    torch.save(torch.zeros(3), tmp_path / "cutouts.pt")
    with pytest.raises(EngineError, match="expected cut-outs"):
        gather(None, [], [tmp_path / "cutouts.pt"], None, seed=0)
    with pytest.raises(EngineError, match="no checkpoint at"):
        export(tmp_path / "last.pt", tmp_path / "x.safetensors")
