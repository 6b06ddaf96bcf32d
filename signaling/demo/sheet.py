"""A contact sheet: input, masked picture as it came back, masks and truth, side by side at some moments."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from engine.palette import colour_of
from signaling.demo.footage import Masks
from signaling.demo.score import iou, masks_of
from signaling.demo.watch import Recording

CELL_WIDTH = 400
LINE = 26
PAPER, INK, GREY = (250, 250, 250), (20, 20, 20), (110, 110, 110)


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One moment: what to write above it and its pictures with their titles."""

    title: str
    cells: list[tuple[str, NDArray[np.uint8]]]


def contact_sheet(recording: Recording) -> Image.Image:
    """The sheet; a moment whose picture or result did not come back is shown by the next one that did."""
    rows = list(_rows(recording))
    height, width = recording.footage.height, recording.footage.width
    cell = (CELL_WIDTH, round(CELL_WIDTH * height / width))
    columns = max(len(row.cells) for row in rows)
    sheet = Image.new("RGB", (columns * (cell[0] + 8) + 8, LINE + len(rows) * (cell[1] + LINE + 8)), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for column, (title, _) in enumerate(rows[0].cells):
        draw.text((8 + column * (cell[0] + 8), 5), title, INK, font)
    for line, row in enumerate(rows):
        top = LINE + line * (cell[1] + LINE + 8)
        draw.text((8, top + 3), row.title, GREY, font)
        for column, (_, pixels) in enumerate(row.cells):
            picture = Image.fromarray(pixels).resize(cell, Image.Resampling.BILINEAR)
            sheet.paste(picture, (8 + column * (cell[0] + 8), top + LINE))
    return sheet


def _rows(recording: Recording) -> Iterator[Row]:
    footage = recording.footage
    came_back = sorted(recording.seen.keys() & recording.results.keys())
    for moment in footage.moments():
        index = next((i for i in came_back if i >= moment), None)
        if index is None:
            continue
        found, truth = masks_of(recording.results[index]), footage.truth(index)
        cells = [
            ("camera", to_rgb(footage.picture(index))),
            ("masked video", to_rgb(recording.picture(index))),
            ("masks", _painted(found, footage.height, footage.width)),
        ]
        if truth is not None:
            clicked = {i: mask for i, mask in truth.items() if i in recording.clicks}
            cells.append(("truth", _painted(clicked, footage.height, footage.width)))
        yield Row(_title(recording, index, found, truth), cells)


def _title(recording: Recording, index: int, found: Masks, truth: Masks | None) -> str:
    text = f"{index / recording.footage.fps:.1f} s"
    if truth is not None:
        parts = (f"{i}: {_agreement(found.get(i), truth[i])}" for i in recording.clicks)
        text += "   IoU " + "   ".join(parts)
    return text


def _agreement(mask: NDArray[np.bool_] | None, truth: NDArray[np.bool_]) -> str:
    if truth.any():
        return f"{iou(mask, truth):.2f}"
    return "absent" if iou(mask, truth) else "absent, but masked"


def _painted(masks: Masks, height: int, width: int) -> NDArray[np.uint8]:
    picture = np.full((height, width, 3), 24, np.uint8)
    for object_id, mask in masks.items():
        picture[mask] = colour_of(object_id)
    return picture


def to_rgb(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """I420 [H * 3 / 2, W] to RGB [H, W, 3]."""
    video = av.VideoFrame.from_ndarray(picture, format="yuv420p")
    return np.asarray(video.to_ndarray(format="rgb24"), np.uint8)
