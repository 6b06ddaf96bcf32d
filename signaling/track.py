"""`livemask track`: follow objects through a video file, with the tracker of the live sessions."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from engine.types import Box, EngineError, Frame, Mask, MaskSet, Point, Points, Prompt
from signaling.command import CommandError
from signaling.settings import Settings, read_settings
from signaling.settings import add_arguments as add_settings
from signaling.videofile import VideoPicture, VideoReader, VideoWriter

if TYPE_CHECKING:
    from engine.tracker import Tracker

MODES = ("overlay", "cutout", "blur", "mask", "plain")


class Mark(NamedTuple):
    """One --point, --box or --mask as it was typed, with the object that it belongs to."""

    object_id: int
    kind: str
    text: str


class _Object(argparse.Action):
    """`--object N`: the marks that follow belong to object N."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option: Any = None) -> None:
        namespace.object = values


class _Mark(argparse.Action):
    """`--point`, `--box`, `--mask`: one more mark on the object named last."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option: Any = None) -> None:
        namespace.marks = [*namespace.marks, Mark(namespace.object, self.dest, values)]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `livemask track`."""
    parser.add_argument("input", type=Path, metavar="IN", help="video file")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="OUT", help="masked video (.mp4, .mov, .mkv, .webm)"
    )
    parser.add_argument("--masks", type=Path, metavar="FILE", help="masks, one JSON line per frame")
    marks = parser.add_argument_group("what to follow, in pixels of the source picture")
    marks.add_argument(
        "--object", type=int, action=_Object, default=1, metavar="ID", help="of the next marks"
    )
    marks.add_argument("--point", action=_Mark, metavar="X,Y[,LABEL]", help="label 1 includes, 0 excludes")
    marks.add_argument("--box", action=_Mark, metavar="X0,Y0,X1,Y1", help="left, top, right, bottom")
    marks.add_argument("--mask", action=_Mark, metavar="FILE", help="picture, white on the object")
    marks.add_argument(
        "--start", type=int, default=0, metavar="N", help="frame that the marks are on, from 0"
    )
    parser.add_argument("--mode", choices=MODES, default=MODES[0], help="how masks are drawn")
    parser.set_defaults(marks=[])
    add_settings(
        parser.add_argument_group("model"),
        *("model", "checkpoint", "config", "device", "image_size", "dtype", "max_cond_frames", "max_objects"),
    )


def run(arguments: argparse.Namespace) -> int:
    """Track, write, and say what came of it.

    Raises:
        CommandError: an input, mark or output that cannot be used.
    """
    if arguments.output is None and arguments.masks is None:
        raise CommandError("nothing to write: give -o OUT.mp4, --masks FILE or both")
    if arguments.start < 0:
        raise CommandError(f"--start: expected 0 or more, got {arguments.start}")
    settings = read_settings(arguments, os.environ)
    with ExitStack() as stack:
        source = stack.enter_context(VideoReader(arguments.input))
        prompts = read_marks(arguments.marks, source.width, source.height)
        try:
            tracker = make_tracker(settings)
            print(_track(arguments, source, prompts, tracker, stack))
        except EngineError as error:
            raise CommandError(f"{error} [{error.code}]") from None
    return 0


def make_tracker(settings: Settings) -> Tracker:
    """A tracker of its own model, as the settings say; torch is loaded here."""
    from engine.tracker import Tracker
    from signaling.boot import boot_model

    return Tracker(
        boot_model(settings),
        max_cond_frames=settings.max_cond_frames,
        max_objects=settings.max_objects,
        history=0,
    )


def _track(
    arguments: argparse.Namespace,
    source: VideoReader,
    prompts: Sequence[Prompt],
    tracker: Tracker,
    stack: ExitStack,
) -> str:
    from tqdm import tqdm

    writer = stack.enter_context(_video_out(arguments.output, source)) if arguments.output else None
    lines = stack.enter_context(_lines_out(arguments.masks)) if arguments.masks else None
    seen: dict[int, int] = {}
    frames = 0
    with tqdm(total=source.frames or None, unit="frame", desc=arguments.input.name) as progress:
        for picture, masks in follow(source, tracker, prompts, arguments.start, writer):
            if writer is not None:
                writer.write(draw(picture, masks, arguments.mode), picture.pts)
            if lines is not None:
                lines.write(json_line(masks) + "\n")
            for found in masks.objects:
                seen[found.object_id] = seen.get(found.object_id, 0) + (found.box is not None)
            frames += 1
            progress.update()
    if frames <= arguments.start:
        raise CommandError(f"--start {arguments.start}: the video has only {frames} frames")
    objects = "; ".join(f"object {i} seen in {n} frames" for i, n in sorted(seen.items()))
    return f"{frames} frames of {source.width}x{source.height}; {objects}"


def follow(
    source: VideoReader,
    tracker: Tracker,
    prompts: Sequence[Prompt],
    start: int,
    writer: VideoWriter | None = None,
) -> Iterator[tuple[VideoPicture, MaskSet]]:
    """Every picture of the source with its masks.

    The prompts act on frame `start`; before it nothing is followed. Sound goes to the writer as it comes.

    Raises:
        CommandError: the tracker refused a prompt.
    """
    index = -1
    for item in source:
        if not isinstance(item, VideoPicture):
            if writer is not None:
                writer.copy(item)
            continue
        index += 1
        if index < start:
            yield item, MaskSet(index, ())
            continue
        masks = tracker.step(Frame(index, item.image, pts=float(item.pts * source.time_base)), prompts)
        if masks.rejected:
            raise CommandError("; ".join(str(error) for _, error in masks.rejected))
        prompts = ()
        yield item, masks


def draw(picture: VideoPicture, masks: MaskSet, mode: str) -> NDArray[np.uint8]:
    """The picture with its masks drawn in, in the picture's own layout."""
    from engine.render import RenderMode, render

    return render(Frame(masks.frame_index, picture.image), masks, RenderMode(mode))


def json_line(masks: MaskSet) -> str:
    """One frame as JSON: boxes normalised (cx, cy, w, h), COCO compressed run lengths at source size."""
    from engine.masks import mask_to_rle

    objects = [
        {
            "object_id": found.object_id,
            "score": round(found.score, 4),
            "state": str(found.state),
            "box": None if found.box is None else [round(side, 6) for side in found.box],
            "rle": mask_to_rle(found.mask),
        }
        for found in masks.objects
    ]
    return json.dumps({"frame": masks.frame_index, "objects": objects})


@contextmanager
def _video_out(path: Path, source: VideoReader) -> Iterator[VideoWriter]:
    writer = VideoWriter(path, source)
    try:
        yield writer
    except BaseException:
        writer.discard()
        raise
    writer.finish()


@contextmanager
def _lines_out(path: Path) -> Iterator[IO[str]]:
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("w") as file:
            yield file
        partial.replace(path)
    except OSError as error:
        raise CommandError(f"{path}: cannot be written ({error.strerror})") from None
    finally:
        partial.unlink(missing_ok=True)


def read_marks(marks: Sequence[Mark], width: int, height: int) -> list[Prompt]:
    """Prompts from what was typed, one per object, or two where a mask comes with points.

    Raises:
        CommandError: a mark that cannot be read, lies outside the picture, or contradicts another.
    """
    if not marks:
        raise CommandError("nothing to follow: give --point, --box or --mask")
    by_object: dict[int, list[Mark]] = {}
    for mark in marks:
        by_object.setdefault(mark.object_id, []).append(mark)
    return [prompt for given in by_object.values() for prompt in _object_prompts(given, width, height)]


def _object_prompts(marks: Sequence[Mark], width: int, height: int) -> Iterator[Prompt]:
    object_id = marks[0].object_id
    points = tuple(_point(mark, width, height) for mark in marks if mark.kind == "point")
    boxes = [_box(mark, width, height) for mark in marks if mark.kind == "box"]
    masks = [_mask(mark) for mark in marks if mark.kind == "mask"]
    if len(boxes) + len(masks) > 1:
        raise CommandError(f"object {object_id}: expected one --box or --mask, got {len(boxes) + len(masks)}")
    for mask in masks:
        yield Mask(object_id, mask)
    for x0, y0, x1, y1 in boxes:
        yield Box(object_id, x0, y0, x1, y1, points)
    if points and not boxes:
        yield Points(object_id, points)


def _numbers(mark: Mark, names: str, limits: Sequence[int]) -> list[float]:
    """The numbers of a mark, each within 0 and its limit."""
    try:
        numbers = [float(part) for part in mark.text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != len(limits):
        raise CommandError(f"--{mark.kind}: expected {names}, got {mark.text!r}")
    if not all(0 <= number <= limit for number, limit in zip(numbers, limits, strict=True)):
        raise CommandError(
            f"--{mark.kind} {mark.text}: outside the picture, which has {limits[0]}x{limits[1]} pixels"
        )
    return numbers


def _point(mark: Mark, width: int, height: int) -> Point:
    place, _, label = mark.text.rpartition(",") if mark.text.count(",") == 2 else (mark.text, "", "1")
    if label.strip() not in ("0", "1"):
        raise CommandError(f"--point {mark.text}: expected label 1 (include) or 0 (exclude), got {label!r}")
    x, y = _numbers(mark._replace(text=place), "X,Y or X,Y,LABEL", (width, height))
    return Point(x / width, y / height, label.strip() == "1")


def _box(mark: Mark, width: int, height: int) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = _numbers(mark, "X0,Y0,X1,Y1", (width, height, width, height))
    if x0 >= x1 or y0 >= y1:
        raise CommandError(f"--box {mark.text}: expected X0 < X1 and Y0 < Y1")
    return x0 / width, y0 / height, x1 / width, y1 / height


def _mask(mark: Mark) -> NDArray[np.bool_]:
    try:
        with Image.open(mark.text) as picture:
            mask: NDArray[np.bool_] = np.asarray(picture.convert("L")) > 127
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise CommandError(f"--mask {mark.text}: cannot be read ({error})") from None
    if not mask.any():
        raise CommandError(f"--mask {mark.text}: nothing in it is white")
    return mask
