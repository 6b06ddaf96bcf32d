"""The command line of `livemask bench`."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from math import inf
from pathlib import Path
from typing import NamedTuple

from signaling.command import CommandError

OUT = Path("docs/benchmarks.md")


class Kind(NamedTuple):
    module: str
    title: str


KINDS = {
    "engine": Kind("engine", "Engine"),
    "steps": Kind("steps", "Whole steps"),
    "clicks": Kind("clicks", "Clicks"),
    "service": Kind("service", "Service"),
    "fal": Kind("fal", "fal-compatible API"),
    "outputs": Kind("outputs", "Outputs"),
    "faults": Kind("faults", "Faults"),
    "soak": Kind("soak", "Soak"),
    "hour": Kind("hour", "An hour as a request"),
}
ENDURANCE = ("soak", "hour")  # an hour's worth: on demand only
IN_ALL = tuple(what for what in KINDS if what not in ENDURANCE)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `livemask bench`."""
    parser.add_argument("what", nargs="?", choices=(*KINDS, "all"), default="all")
    parser.add_argument("--out", type=Path, default=OUT, help=f"rows are added to this file (default: {OUT})")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    engine = parser.add_argument_group("engine")
    engine.add_argument("--models", default="pico,sam2.1-tiny", help="comma-separated")
    engine.add_argument(
        "--objects", default="1,4,16", help="comma-separated numbers of objects (default: %(default)s)"
    )
    engine.add_argument("--image-size", type=int, default=512, help="of Meta's models (default: 512)")
    engine.add_argument(
        "--dtype", choices=("float32", "bfloat16"), help="default: what the device is best at"
    )
    engine.add_argument("--frames", type=int, default=100, help="measured at most for a row")
    engine.add_argument(
        "--seconds", type=float, default=45.0, help="for one number of objects, all contenders together"
    )
    steps = parser.add_argument_group("steps", "640x480 pictures of the built-in clip")
    steps.add_argument("--step-objects", default="1,4", help="comma-separated numbers (default: %(default)s)")
    steps.add_argument("--step-frames", type=int, default=200, help="of the clip (default: %(default)s)")
    clicks = parser.add_argument_group("clicks")
    clicks.add_argument("--tries", type=int, default=20, help="clicks of each kind (default: %(default)s)")
    service = parser.add_argument_group("service")
    service.add_argument("--model", default="auto", help="of steps, the server, the clicks and the API")
    service.add_argument("--sizes", default="640x480,1280x720", help="comma-separated")
    service.add_argument("--sessions", default="1,2,4", help="comma-separated numbers of sessions at once")
    service.add_argument("--session-objects", type=int, default=1, help="objects in each session")
    service.add_argument("--session-seconds", type=float, default=15.0, help="measured for a row")
    fal = parser.add_argument_group("fal", "requests of a 1280x720 clip, realtime pictures of 640x480")
    fal.add_argument("--clip-seconds", type=float, default=10.0, help="of the clip (default: %(default)s)")
    fal.add_argument("--jobs", type=int, default=4, help="requests of it at once (default: %(default)s)")
    fal.add_argument("--connections", default="1,8", help="comma-separated numbers of realtime connections")
    fal.add_argument("--live-seconds", type=float, default=15.0, help="measured for a row")
    outputs = parser.add_argument_group("outputs", "one session of 640x480, and an RTSP camera")
    outputs.add_argument("--viewers", default="1,2,4,8", help="comma-separated numbers")
    outputs.add_argument("--viewer-fps", type=int, default=30, help="of the video that they watch")
    outputs.add_argument("--viewer-seconds", type=float, default=10.0, help="measured for each number")
    outputs.add_argument("--latency-seconds", type=float, default=20.0, help="measured for each row")
    faults = parser.add_argument_group("faults")
    faults.add_argument("--fault-seconds", type=float, default=15.0, help="that each lasts, blackouts apart")
    soak = parser.add_argument_group("soak")
    soak.add_argument("--cycles", type=int, default=50, help="visits (default: %(default)s)")
    soak.add_argument("--soak-frames", type=int, default=100_000, help="default: %(default)s")
    soak.add_argument("--soak-seconds", type=float, default=inf, help="for the frames; default: no limit")
    hour = parser.add_argument_group("hour")
    hour.add_argument("--hour-frames", type=int, default=108_000, help="default: %(default)s")


def run(arguments: argparse.Namespace) -> int:
    """Measure, print, and add the rows to the file; 1 when something grows that must not.

    Raises:
        CommandError: a flag that cannot be used, or a library that is not installed.
    """
    os.environ["TQDM_DISABLE"] = "1"  # the official predictor draws a bar for each clip
    from signaling.bench import report

    command = ["livemask", *sys.argv[1:]]
    status = 0
    for what in IN_ALL if arguments.what == "all" else (arguments.what,):
        module, title = KINDS[what]
        header, rows = importlib.import_module(f"signaling.bench.{module}").measure(arguments)
        print(report.append(arguments.out, title, command, header, rows))
        status |= what in ENDURANCE and any(row[-1] != "nothing" for row in rows)
    return status


def numbers(text: str, flag: str) -> list[int]:
    """Comma-separated positive integers.

    Raises:
        CommandError: naming the flag.
    """
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 1:
        raise CommandError(f"{flag}: expected positive numbers such as 1,4, got {text!r}")
    return found
