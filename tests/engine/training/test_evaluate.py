"""Scoring: followers on a clip with known boxes, made clips with exact masks, tables, sheets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from crossing import FRAMES, HEIGHT, WIDTH, box
from PIL import Image as Picture

from engine.models import MODELS, Model
from engine.training import heldout
from engine.training.annotations import Annotated, Box, load_annotations
from engine.training.evaluate import main, score_made
from engine.training.followers import CsrtFollower, Seen
from engine.training.footage import Image, find_clip, play
from engine.training.heldout import HIDDEN, SLIDE, Clip
from engine.training.heldout import clips as made_clips
from engine.training.material import Material
from engine.training.real import score_clips
from engine.training.scenes import SceneConfig
from engine.training.textures import procedural_pictures

SMALL = SceneConfig(size=64, frames=46, pace=0.26, speed=0.07, leave=0.0)


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("boxes") / "boxes.json"
    frames: dict[str, list[int] | None] = {str(t): box(t) for t in (2, 8, 14, 20)}
    content = {
        "size": [WIDTH, HEIGHT],
        "clips": {"crossing.mkv": {"disc": frames, "ghost": {"0": box(0), "9": None, "12": box(12)}}},
    }
    path.write_text(json.dumps(content))
    return path


@pytest.fixture(scope="module")
def material() -> Material:
    return Material(procedural_pictures(4, torch.Generator().manual_seed(1)))


def relative(t: int) -> Box:
    x0, y0, x1, y1 = box(t)
    return x0 / WIDTH, y0 / HEIGHT, x1 / WIDTH, y1 / HEIGHT


class Knowing:
    """Says where the disc is, because it counts the frames."""

    def __init__(self) -> None:
        self.shown = 0
        self.names: list[str] = []

    def step(self, rgb: Image, starts: Mapping[str, Box]) -> Mapping[str, Seen]:
        self.names += starts
        found = {name: Seen(relative(self.shown)) for name in self.names}
        self.shown += 1
        return found


class Blind(Knowing):
    def step(self, rgb: Image, starts: Mapping[str, Box]) -> Mapping[str, Seen]:
        self.names += starts
        return {name: Seen(None) for name in self.names}


def test_knowing_scores_one_and_seeing_nothing_scores_zero(clips: Path, boxes: Path) -> None:
    annotated = load_annotations(boxes)
    right, blind = (score_clips(clips, annotated, make) for make in (Knowing, Blind))
    assert right.mean == pytest.approx(1.0)
    assert right.first == pytest.approx(1.0)
    assert [s.false_alarms for s in right.objects] == [0, 1]
    assert blind.mean == 0
    assert [(s.absent, s.false_alarms) for s in blind.objects] == [(0, 0), (1, 0)]


def test_only_every_so_many_frames_are_shown_but_all_with_boxes(clips: Path, boxes: Path) -> None:
    disc = load_annotations(boxes)[0]
    shown: list[int] = []
    follower = Knowing()
    score_clips(clips, [disc], lambda: follower, 5, lambda clip, index, rgb, seen: shown.append(index))
    assert shown == [2, 8, 14, 20]
    assert follower.shown == len({2, 5, 8, 10, 14, 15, 20})


def test_boxes_beyond_the_end_of_a_clip_are_an_error(clips: Path) -> None:
    late = Annotated("crossing.mkv", "disc", {0: relative(0), FRAMES + 5: relative(0)})
    with pytest.raises(FileNotFoundError, match=f"has {FRAMES} frames"):
        score_clips(clips, [late], Blind)
    with pytest.raises(FileNotFoundError, match="no video missing"):
        find_clip(clips, "missing")


def test_csrt_follows_the_disc(clips: Path, boxes: Path) -> None:
    report = score_clips(clips, load_annotations(boxes)[:1], CsrtFollower)
    assert report.first == pytest.approx(1.0)
    assert report.mean > 0.6


def test_frames_come_resized_when_asked(clips: Path) -> None:
    path = find_clip(clips, "crossing")
    assert [f.shape for f in play(path)] == [(HEIGHT, WIDTH, 3)] * FRAMES
    assert next(play(path, (36, 64))).shape == (36, 64, 3)


def test_the_command_scores_a_run_on_clips(clips: Path, boxes: Path, untrained: Path, tmp_path: Path) -> None:
    numbers, sheets = tmp_path / "numbers.json", tmp_path / "sheets"
    options = ["--boxes", str(boxes), "--weights", str(untrained), "--every", "4", "--csrt"]
    assert main(["real", str(clips), *options, "--json", str(numbers), "--sheets", str(sheets)]) == 0
    content = json.loads(numbers.read_text())
    assert {"model", "box", "click", "csrt"} == content.keys()
    assert content["csrt"]["mean_iou"] > content["box"]["mean_iou"]
    assert [o["name"] for o in content["click"]["objects"]] == ["disc", "ghost"]
    assert Picture.open(sheets / "box_good.png").width == 5 * 320


def test_made_clips_are_scored_in_four_ways(untrained: Path, material: Material) -> None:
    rows = dict(score_made(open_untrained(untrained), material, 1, SMALL))
    assert len(rows) == 4
    assert all(0 <= score.j <= 1 and score.objects for score in rows.values())


def test_made_clips_are_the_same_each_time(material: Material) -> None:
    first, again = (list(made_clips(material, 2, 5, SMALL)) for _ in range(2))
    for a, b in zip(first, again, strict=True):
        assert np.array_equal(a.images, b.images)
        assert a.images.shape == (46, 64, 64, 3)
        assert all(np.array_equal(a.masks[i], b.masks[i]) for i in a.masks)


def test_the_curtain_hides_the_object_for_fifteen_frames(material: Material) -> None:
    for clip in heldout.occlusions(material, 2, 5, SMALL):
        (mask,) = clip.masks.values()
        assert HIDDEN.stop - HIDDEN.start == 15
        assert not mask[HIDDEN].any()
        assert mask[: HIDDEN.start - SLIDE].any((1, 2)).all()
        assert mask[HIDDEN.stop + SLIDE :].any()
        assert clip.scored == HIDDEN.stop + SLIDE


def test_a_click_is_well_inside_and_a_box_is_tight() -> None:
    mask = np.zeros((40, 80), np.bool_)
    mask[10:30, 20:60] = True
    click = heldout.prompt(1, mask, "click").points[0]  # type: ignore[union-attr]
    assert 25 <= click.x * 80 <= 55
    assert click.y * 40 == pytest.approx(20, abs=1)
    ask = heldout.prompt(1, mask, "box")
    assert (ask.x0, ask.y0, ask.x1, ask.y1) == (0.25, 0.25, 0.75, 0.75)  # type: ignore[union-attr]


def test_scores_are_of_the_frames_after_the_prompt(untrained: Path) -> None:
    model = open_untrained(untrained)
    truth = np.zeros((4, 64, 64), np.bool_)
    truth[:, 16:48, 16:48] = True
    clip = Clip(np.zeros((4, 64, 64, 3), np.uint8), {1: truth})
    said = heldout.follow(model, clip, "box")[1]
    expected = np.mean([(said[t] & truth[t]).sum() / (said[t] | truth[t]).sum() for t in (1, 2, 3)])
    score = heldout.score(model, iter([clip]), "box")
    assert score.j == pytest.approx(expected)
    assert score.objects == 1
    assert score.clear == score.j
    covered = replace(clip, covered=frozenset({1}))
    assert np.isnan(heldout.score(model, iter([covered]), "box").clear)
    with pytest.raises(ValueError, match="got none"):
        heldout.score(model, iter([]), "box")


def open_untrained(path: Path) -> Model:
    from engine import nets
    from engine.pico import PicoConfig, build_pico

    state = torch.load(path, weights_only=True)
    net = build_pico(PicoConfig(**state["pico"]))
    net.load_state_dict(state["average"])
    device = torch.device("cpu")
    nets.ready(net, device, torch.float32)
    return Model(net, MODELS["pico"], net.image_size, device, torch.float32, "untrained")
