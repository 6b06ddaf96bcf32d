"""The command line of `livemask bench`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from signaling.command import CommandError

OUT = Path("docs/benchmarks.md")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `livemask bench`."""
    parser.add_argument(
        "what", nargs="?", choices=("engine", "clicks", "service", "fal", "all"), default="all"
    )
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
    clicks = parser.add_argument_group("clicks")
    clicks.add_argument("--tries", type=int, default=20, help="clicks of each kind (default: %(default)s)")
    service = parser.add_argument_group("service")
    service.add_argument("--model", default="auto", help="of the server, the clicks and the API")
    service.add_argument("--sizes", default="640x480,1280x720", help="comma-separated")
    service.add_argument("--sessions", default="1,2,4", help="comma-separated numbers of sessions at once")
    service.add_argument("--session-objects", type=int, default=1, help="objects in each session")
    service.add_argument("--session-seconds", type=float, default=15.0, help="measured for a row")
    fal = parser.add_argument_group("fal", "requests of a 1280x720 clip, realtime pictures of 640x480")
    fal.add_argument("--clip-seconds", type=float, default=10.0, help="of the clip (default: %(default)s)")
    fal.add_argument("--jobs", type=int, default=4, help="requests of it at once (default: %(default)s)")
    fal.add_argument("--connections", default="1,8", help="comma-separated numbers of realtime connections")
    fal.add_argument("--live-seconds", type=float, default=15.0, help="measured for a row")


def run(arguments: argparse.Namespace) -> int:
    """Measure, print, and add the rows to the file.

    Raises:
        CommandError: a flag that cannot be used, or a library that is not installed.
    """
    os.environ["TQDM_DISABLE"] = "1"  # the official predictor draws a bar for each clip
    from signaling.bench import report

    command = ["livemask", *sys.argv[1:]]
    if arguments.what in ("engine", "all"):
        from signaling.bench import engine

        header, rows = engine.measure(arguments)
        print(report.append(arguments.out, "Engine", command, header, rows))
    if arguments.what in ("clicks", "all"):
        from signaling.bench import clicks

        header, rows = clicks.measure(arguments)
        print(report.append(arguments.out, "Clicks", command, header, rows))
    if arguments.what in ("service", "all"):
        from signaling.bench import service

        header, rows = service.measure(arguments)
        print(report.append(arguments.out, "Service", command, header, rows))
    if arguments.what in ("fal", "all"):
        from signaling.bench import fal

        header, rows = fal.measure(arguments)
        print(report.append(arguments.out, "fal-compatible API", command, header, rows))
    return 0


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
