"""The command line of `livemask demo`."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import cast
from urllib.error import HTTPError

import av

from signaling.command import CommandError
from signaling.demo.footage import BuiltIn, Footage, VideoFile
from signaling.demo.score import ObjectScore, Score, score
from signaling.demo.sheet import contact_sheet
from signaling.demo.watch import Recording, Watcher
from signaling.serverprocess import server_process
from signaling.settings import add_arguments as add_settings
from stream.wire import WireError

MODES = ("overlay", "cutout", "blur", "mask", "plain")
SERVER = ("model", "checkpoint", "config", "device", "image_size", "dtype")
FILM_SECONDS = 30.0  # of a file, unless --seconds says otherwise


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `livemask demo`."""
    parser.add_argument("--clip", type=Path, metavar="FILE", help="a video; default: the built-in clip")
    parser.add_argument(
        "--box", action="append", default=[], metavar="X0,Y0,X1,Y1", help="follow this (pixels)"
    )
    parser.add_argument(
        "--point", action="append", default=[], metavar="X,Y", help="follow what is here (pixels)"
    )
    parser.add_argument("--seconds", type=float, metavar="N", help="play only so much of it")
    parser.add_argument("--out", type=Path, default=Path("demo"), metavar="DIR", help="default: demo")
    parser.add_argument("--mode", choices=MODES, default=MODES[0], help="how masks are drawn")
    parser.add_argument("--codec", choices=("vp8", "h264"), default="vp8")
    add_settings(cast(argparse.ArgumentParser, parser.add_argument_group("server")), *SERVER)


def run(arguments: argparse.Namespace) -> int:
    """Play, and write out.mp4, sheet.png and report.json.

    Raises:
        CommandError: a flag or a file that cannot be used, or a session that did not work.
    """
    logging.getLogger("aiortc").setLevel(logging.ERROR)
    footage = _footage(arguments)
    arguments.out.mkdir(parents=True, exist_ok=True)
    options = {"output": {"mode": arguments.mode}, "codec": arguments.codec}
    with tempfile.TemporaryFile(dir=arguments.out) as spool, server_process(list(_flags(arguments))) as url:
        print(f"playing {footage.name} ({len(footage) / footage.fps:.0f} s) through {url}", flush=True)
        try:
            recording = asyncio.run(Watcher(url, footage, spool, options).play())
        except HTTPError as error:
            raise CommandError(f"the server refused the session: {error}: {error.read().decode()}") from None
        except (TimeoutError, WireError, OSError) as error:
            raise CommandError(f"the session failed: {str(error) or 'nothing came back in time'}") from None
        if not recording.seen:
            raise CommandError("no masked picture came back")
        result = score(recording)
        (arguments.out / "report.json").write_text(json.dumps(result.as_json(), indent=2) + "\n")
        _film(recording, arguments.out / "out.mp4")
        contact_sheet(recording).save(arguments.out / "sheet.png")
    print("\n".join(lines(result)))
    print(", ".join(str(arguments.out / name) for name in ("out.mp4", "sheet.png", "report.json")))
    return 0


def lines(result: Score) -> Iterator[str]:
    """The report as people read it."""
    yield f"source         {result.source}, {result.width}x{result.height}, {result.seconds:g} s"
    yield f"model          {result.why}"
    yield (
        f"frames         {result.frames_in} in, {result.frames_tracked} tracked, {result.frames_out} out, "
        f"{result.frames_dropped} dropped"
    )
    yield f"frames/second  {result.fps_in:g} in, {result.fps_out:g} out"
    yield (
        f"latency        p50 {result.latency_p50:g} ms, p95 {result.latency_p95:g} ms, "
        f"max {result.latency_max:g} ms (capture to masked picture at the client)"
    )
    if result.server_latency_p50 is not None:
        yield (
            f"  in the server  p50 {result.server_latency_p50:g} ms, p95 {result.server_latency_p95:g} ms "
            "(receipt to encoder)"
        )
    yield "click to mask  " + ", ".join(f"object {i} {ms:g} ms" for i, ms in result.click_to_mask.items())
    for each in result.objects:
        yield f"object {each.object_id}       mean IoU {each.mean_iou:.3f}{''.join(_parts(each))}"
    if result.mean_iou is not None:
        yield f"mean IoU       {result.mean_iou:.3f}"


def _parts(each: ObjectScore) -> Iterator[str]:
    if each.visible_iou is not None:
        yield f", {each.visible_iou:.3f} while in view"
    if each.absent_empty is not None:
        yield f", mask empty on {each.absent_empty:.0%} of the frames without it"


def _footage(arguments: argparse.Namespace) -> Footage:
    if arguments.clip is None:
        if arguments.box or arguments.point:
            raise CommandError("--box and --point go with --clip; the built-in clip knows where to click")
        return BuiltIn(arguments.seconds)
    boxes = [_numbers("--box", text, 4) for text in arguments.box]
    points = [_numbers("--point", text, 2) for text in arguments.point]
    return VideoFile(arguments.clip, arguments.seconds or FILM_SECONDS, boxes, points)


def _numbers(flag: str, text: str, count: int) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count:
        raise CommandError(f"{flag}: expected {count} numbers, got {text!r}")
    return numbers


def _flags(arguments: argparse.Namespace) -> Iterator[str]:
    """The settings that were named, for the server."""
    for name in SERVER:
        if (value := getattr(arguments, name)) is not None:
            yield from (f"--{name.replace('_', '-')}", str(value))


def _film(recording: Recording, path: Path) -> None:
    """The masked pictures, each at its time in the footage."""
    footage = recording.footage
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        rate = Fraction(footage.fps).limit_denominator(1001)
        stream = container.add_stream("libx264", rate, {"crf": "20", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = footage.width, footage.height, "yuv420p"
        stream.codec_context.time_base = 1 / rate
        for index in sorted(recording.seen):
            video = av.VideoFrame.from_ndarray(recording.picture(index), format="yuv420p")
            video.pts, video.time_base = index, 1 / rate
            container.mux(stream.encode(video))
        container.mux(stream.encode(None))
