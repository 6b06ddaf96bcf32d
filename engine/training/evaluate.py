"""Score a model, on real clips with boxes drawn by eye and on made clips with exact masks.

    python -m engine.training.evaluate real FOLDER --weights runs/pico/last.pt --sheets runs/pico/sheets
    python -m engine.training.evaluate synthetic --data FOLDER --weights runs/pico/last.pt

Prints tables; --json keeps all numbers.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from engine.models import MODELS, Model, load_model, made_of, precision
from engine.pico import PicoConfig, build_pico, resize
from engine.training import heldout
from engine.training.annotations import HELD_OUT, Annotated, load_annotations
from engine.training.export import read_checkpoint
from engine.training.followers import CsrtFollower, TrackerFollower
from engine.training.heldout import Score
from engine.training.material import Material
from engine.training.real import ObjectScore, Report, score_clips
from engine.training.scenes import SceneConfig
from engine.training.sheets import Sheets
from engine.training.textures import VIDEOS, join, load_pictures, procedural_pictures
from engine.types import EngineError

SEED = 90_001  # of the made clips; training's seeds are small


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True)
    real = actions.add_parser("real", help="box IoU on clips held out of training")
    real.add_argument("clips", type=Path, help="folder of the clips")
    real.add_argument("--boxes", type=Path, default=HELD_OUT, help="JSON of boxes by clip, object and frame")
    real.add_argument(
        "--first", choices=("box", "click", "both"), default="both", help="prompt to start from"
    )
    real.add_argument("--csrt", action="store_true", help="score OpenCV's CSRT beside it")
    real.add_argument("--every", type=int, default=1, help="show every so many frames only")
    real.add_argument("--only", default="", help="clips whose name contains this")
    real.add_argument("--sheets", type=Path, help="folder for pictures of the best and the worst")
    made = actions.add_parser("synthetic", help="mask IoU on made clips")
    made.add_argument("--data", type=Path, help="folder of clips; those held out give textures")
    made.add_argument("--count", type=int, default=24, help="clips per row")
    for sub in (real, made):
        sub.add_argument("--model", default="pico", choices=("auto", *MODELS))
        sub.add_argument(
            "--weights", type=Path, help="a training run's last.pt, instead of --model's weights"
        )
        sub.add_argument("--image-size", type=int)
        sub.add_argument("--dtype", choices=("float32", "bfloat16"))
        sub.add_argument("--threads", type=int, default=0, help="CPU threads; 0 leaves torch's choice")
        sub.add_argument("--json", type=Path, help="write all numbers here")


def run(arguments: argparse.Namespace) -> int:
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    model = open_model(arguments)
    print(model.why)
    numbers = _real(arguments, model) if arguments.action == "real" else _synthetic(arguments, model)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps({"model": model.why, **numbers}, indent=1) + "\n")
    return 0


def open_model(arguments: argparse.Namespace) -> Model:
    """The model that the arguments name: a preset, or the averaged network of a training run.

    Raises:
        EngineError: no such run or weights.
    """
    dtype = None if arguments.dtype is None else getattr(torch, arguments.dtype)
    if arguments.weights is None:
        return load_model(arguments.model, image_size=arguments.image_size, dtype=dtype)
    state = read_checkpoint(arguments.weights)
    net = build_pico(PicoConfig(**state["pico"]))
    net.load_state_dict(state["average"])
    if arguments.image_size:
        resize(net, arguments.image_size)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = dtype or precision(device)
    why = f"{arguments.weights} at step {state['step']}, {net.image_size} pixels, {dtype} on {device}."
    return made_of(net, MODELS["pico"], device, dtype, why)


def _real(arguments: argparse.Namespace, model: Model) -> dict[str, Any]:
    annotated = [a for a in load_annotations(arguments.boxes) if arguments.only in a.clip]
    if not annotated:
        raise EngineError("NO_CLIPS", f"{arguments.boxes} has no clip whose name contains {arguments.only!r}")
    reports: dict[str, Report] = {}
    for first in ("box", "click") if arguments.first == "both" else (arguments.first,):
        sheets = Sheets(annotated)
        follower = partial(TrackerFollower, model, first)
        report = score_clips(arguments.clips, annotated, follower, arguments.every, sheets.watch)
        reports[first] = report
        if arguments.sheets:
            _save_sheets(sheets, report, arguments.sheets, first)
    if arguments.csrt:
        reports["csrt"] = score_clips(arguments.clips, annotated, CsrtFollower, arguments.every)
    _print_real(annotated, reports)
    return {name: report.as_json() for name, report in reports.items()}


def _save_sheets(sheets: Sheets, report: Report, folder: Path, first: str, rows: int = 6) -> None:
    ranked = sorted(report.objects, key=lambda s: s.mean, reverse=True)
    sheets.save(ranked[:rows], folder / f"{first}_good.png")
    sheets.save(ranked[-rows:], folder / f"{first}_bad.png")


def _print_real(annotated: Sequence[Annotated], reports: dict[str, Report]) -> None:
    print(f"\n{'clip':26} {'object':12}" + "".join(f"{name:>8}" for name in reports))
    for k, a in enumerate(annotated):
        print(f"{a.clip:26} {a.name:12}" + "".join(f"{r.objects[k].mean:8.2f}" for r in reports.values()))
    rows: list[tuple[str, Callable[[Report], float]]] = [
        ("mean IoU, later frames", lambda r: r.mean),
        ("mean IoU, prompted frame", lambda r: r.first),
        ("false alarms, share", lambda r: _alarms(r.objects)),
        ("ms per frame, all objects", lambda r: r.ms_per_frame),
        ("ms per frame and object", lambda r: r.ms_per_object),
    ]
    for label, value in rows:
        print(f"{label:39}" + "".join(f"{value(r):8.3g}" for r in reports.values()))


def _alarms(scores: Sequence[ObjectScore]) -> float:
    return sum(s.false_alarms for s in scores) / max(1, sum(s.absent for s in scores))


def _synthetic(arguments: argparse.Namespace, model: Model) -> dict[str, Any]:
    print(f"\n{'':30} {'J':>6} {'clear':>6} {'first':>6} {'absent':>7} {'objects':>8}")
    numbers = {}
    for name, s in score_made(model, _material(arguments.data), arguments.count):
        print(f"{name:30} {s.j:6.3f} {s.clear:6.3f} {s.first:6.3f} {s.absent:7.2f} {s.objects:8}", flush=True)
        numbers[name] = asdict(s)
    return numbers


def score_made(
    model: Model, material: Material, count: int, config: SceneConfig = heldout.SCENES
) -> Iterator[tuple[str, Score]]:
    """The rows of the table, each over `count` clips."""

    def plain() -> Iterator[heldout.Clip]:
        return heldout.clips(material, count, SEED, config)

    yield "60 frames from one click", heldout.score(model, plain(), "click")
    yield "60 frames from a box", heldout.score(model, plain(), "box")
    hidden = heldout.occlusions(material, count, SEED + 7, config)
    yield "after 15 hidden frames", heldout.score(model, hidden, "box")
    yield "without memory, from a click", heldout.score(model, plain(), "click", memory=False)


def _material(folder: Path | None) -> Material:
    """Textures that training has not seen: procedural ones of another seed, and clips held out of it."""
    pictures = procedural_pictures(64, torch.Generator().manual_seed(SEED + 3))
    if folder is not None:
        held_out = {Path(a.clip).stem for a in load_annotations()}
        others = {p.stem for p in folder.rglob("*") if p.suffix.lower() in VIDEOS} - held_out
        pictures = join(load_pictures(folder, 2, others), pictures)
    return Material(pictures)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Score a model.")
    add_arguments(parser)
    return run(parser.parse_args(arguments))


if __name__ == "__main__":
    raise SystemExit(main())
