"""`livemask train`: train the bundled model, or fine-tune it, on a folder of videos or pictures."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from engine.types import EngineError

if TYPE_CHECKING:
    import torch

    from engine.training.material import Material


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", nargs="?", default="run", choices=("run", "export", "calibrate", "plot"))
    parser.add_argument("--out", type=Path, default=Path("runs/pico"), help="last.pt and log.csv live here")
    parser.add_argument(
        "--data", type=Path, help="videos and pictures to learn from; default procedural ones"
    )
    parser.add_argument("--exclude", default="", help="file stems below --data to hold out, comma separated")
    parser.add_argument(
        "--cutouts",
        type=Path,
        nargs="+",
        default=(),
        help="real objects: files made by engine.training.cutouts, folders of pictures with transparency",
    )
    parser.add_argument("--reels", type=Path, help="pictures with masks as made by engine.training.cutouts")
    parser.add_argument(
        "--stages",
        default="still,video,full,long,clicks,look,boxes,outlines",
        help="e.g. still:1200,video:8000; `clicks` teaches the redrawer of what is clicked, `look` what "
        "filters see, `boxes` where things end, `outlines` the redrawer of what is in a box",
    )
    parser.add_argument("--init", type=Path, help="weights (.safetensors) to start from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lr", type=float, default=6e-4, help="peak learning rate")
    parser.add_argument(
        "--cooldown", type=float, default=0.2, help="last share of the steps, 0 to 1, to fall"
    )
    parser.add_argument("--minutes", type=float, help="stop (resumable) after so long")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 leaves torch's choice")
    parser.add_argument(
        "--weights",
        type=Path,
        default=Path("pico.safetensors"),
        help="what `export` writes, `calibrate` changes",
    )


def run(arguments: argparse.Namespace) -> int:
    if arguments.action == "export":
        return _export(arguments)
    if arguments.action == "calibrate":
        return _calibrate(arguments)
    if arguments.action == "plot":
        return _plot(arguments)
    return _train(arguments)


def _export(arguments: argparse.Namespace) -> int:
    from engine.training.export import export

    step = export(arguments.out / "last.pt", arguments.weights)
    size = arguments.weights.stat().st_size / 1e6
    print(f"{arguments.weights}: averaged weights of step {step}, {size:.1f} MB")
    return 0


def _calibrate(arguments: argparse.Namespace) -> int:
    from engine.training.calibrate import calibrate

    count = calibrate(arguments.weights, _material(arguments))
    print(f"{arguments.weights}: {count} convolutions can be computed in eight bits")
    return 0


def _plot(arguments: argparse.Namespace) -> int:
    from engine.training.export import plot

    plot(arguments.out / "log.csv", arguments.out / "curve.png")
    print(arguments.out / "curve.png")
    return 0


def _train(arguments: argparse.Namespace) -> int:
    import torch

    from engine.models import precision
    from engine.training.loop import Run, RunConfig
    from engine.training.plan import parse_stages
    from engine.training.team import join

    torch.set_flush_denormal(True)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = _device(arguments.device)
    if not 0 <= arguments.cooldown <= 1:
        raise EngineError("BAD_COOLDOWN", f"--cooldown: expected a share, 0 to 1, got {arguments.cooldown}")
    try:
        stages = parse_stages(arguments.stages)
    except ValueError as error:
        raise EngineError("BAD_STAGES", str(error)) from error
    amp = precision(device) == torch.bfloat16
    config = RunConfig(arguments.out, stages, arguments.seed, arguments.lr, arguments.cooldown, amp=amp)
    team = join(device)
    state = Run(config, _material(arguments), device, team)
    last = arguments.out / "last.pt"
    if last.is_file():
        state.resume(last)
    elif arguments.init:
        state.start_from(arguments.init)
    if team.leads:
        log = arguments.out / "log.csv"
        print(f"step {state.step} of {state.total} on {device}, log in {log}", flush=True)
    state.train(None if arguments.minutes is None else time.monotonic() + 60 * arguments.minutes)
    if team.leads:
        print(f"stopped at step {state.step}")
    return 0


def _material(arguments: argparse.Namespace) -> Material:
    from engine.training.material import gather

    exclude = [stem for stem in arguments.exclude.split(",") if stem]
    return gather(arguments.data, exclude, arguments.cutouts, arguments.reels, arguments.seed)


def _device(name: str) -> torch.device:
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if name == "cuda" else name)
