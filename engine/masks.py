"""Masks as people pass them on: boxes and run lengths. Numpy only.

Run lengths come in two notations. COCO's: column by column, starting with background, packed into ASCII as
`rleToString` of cocoapi's maskApi.c does. fal's: row by row, pairs "start length" counted from 1.
"""

from __future__ import annotations

from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from engine.types import EngineError


class Rle(TypedDict):
    """COCO compressed run lengths; size is [height, width]."""

    size: list[int]
    counts: str


def mask_box(mask: NDArray[np.bool_]) -> tuple[float, float, float, float] | None:
    """Normalised (cx, cy, w, h) of the pixels that are True, None when there are none."""
    rows = np.flatnonzero(mask.any(axis=1))
    if rows.size == 0:
        return None
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(mask[top:bottom].any(axis=0))
    left, right = int(columns[0]), int(columns[-1]) + 1
    height, width = mask.shape
    return (
        (left + right) / 2 / width,
        (top + bottom) / 2 / height,
        (right - left) / width,
        (bottom - top) / height,
    )


def mask_to_rle(mask: NDArray[np.bool_]) -> Rle:
    """COCO compressed run lengths of a bool mask [height, width]."""
    height, width = mask.shape
    edges = _edges(mask.T)
    runs = np.diff(edges, prepend=0, append=mask.size)
    return {"size": [height, width], "counts": _pack(runs)}


def rle_to_mask(rle: Rle) -> NDArray[np.bool_]:
    """The inverse of `mask_to_rle`.

    Raises:
        EngineError: BAD_RLE when the runs do not fill the size, or the text is none of COCO's.
    """
    height, width = rle["size"]
    runs = _unpack(rle["counts"])
    if runs.min() < 0 or runs.max() > height * width or int(runs.sum()) != height * width:
        raise EngineError(
            "BAD_RLE", f"expected runs that add up to {height} x {width}, got {int(runs.sum())}"
        )
    values = np.arange(runs.size) % 2 == 1
    return np.repeat(values, runs).reshape(width, height).T


def rle_area(rle: Rle) -> int:
    """Pixels that are True.

    Raises:
        EngineError: BAD_RLE when the text is none of COCO's.
    """
    return int(_unpack(rle["counts"])[1::2].sum())


def mask_to_fal_rle(mask: NDArray[np.bool_]) -> str:
    """fal's run lengths of a bool mask: "start length start length", row by row, from 1; "" when empty."""
    edges = _edges(mask)
    if edges.size % 2:
        edges = np.append(edges, mask.size)
    starts, ends = edges[::2], edges[1::2]
    return " ".join(map(str, np.stack((starts + 1, ends - starts), axis=1).ravel().tolist()))


def fal_rle_to_mask(text: str, height: int, width: int) -> NDArray[np.bool_]:
    """The inverse of `mask_to_fal_rle`; the size is not in the text.

    Raises:
        EngineError: BAD_RLE when the text is no list of pairs, or a run leaves the picture.
    """
    try:
        pairs = np.array([int(word) for word in text.split()], dtype=np.int64).reshape(-1, 2)
    except (ValueError, OverflowError) as error:
        raise EngineError("BAD_RLE", f'expected pairs "start length", got {text[:40]!r}') from error
    size = height * width
    if pairs.size and (pairs.min() < 1 or int((pairs[:, 0] + pairs[:, 1]).max()) - 1 > size):
        raise EngineError("BAD_RLE", f"expected runs within 1..{size}, got {text[:40]!r}")
    mask = np.zeros(size, dtype=bool)
    for start, length in pairs.tolist():
        mask[start - 1 : start - 1 + length] = True
    return mask.reshape(height, width)


def _edges(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Where the flattened mask changes, starting from background; even entries switch on, odd ones off."""
    flat = mask.ravel()
    edges: NDArray[np.int64] = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    return np.concatenate(([0], edges)) if flat.size and flat[0] else edges


def _pack(runs: NDArray[np.int64]) -> str:
    """Runs as five-bit groups in ASCII from 48, low first; from the fourth on less the one two before."""
    values = runs.copy()
    values[3:] -= runs[1:-2]
    rest, alive = values, np.ones(values.size, dtype=bool)
    groups, used = [], []
    while alive.any():
        low = rest & 31
        rest = rest >> 5
        more = np.where(low & 16, rest != -1, rest != 0) & alive
        groups.append((low + 32 * more + 48).astype(np.uint8))
        used.append(alive)
        alive = more
    codes: NDArray[np.uint8] = np.stack(groups, axis=1)[np.stack(used, axis=1)]
    return codes.tobytes().decode("ascii")


def _unpack(text: str) -> NDArray[np.int64]:
    """The inverse of `_pack`."""
    codes = np.frombuffer(text.encode("ascii", "replace"), dtype=np.uint8).astype(np.int64) - 48
    last = (codes & 32) == 0
    if codes.size == 0 or codes.min() < 0 or codes.max() > 63 or not last[-1]:
        raise EngineError("BAD_RLE", f"expected COCO compressed run lengths, got {text[:40]!r}")
    first = np.flatnonzero(np.concatenate(([True], last[:-1])))
    place = np.arange(codes.size) - np.repeat(first, np.diff(first, append=codes.size))
    if place.max() > 11:
        raise EngineError("BAD_RLE", "expected runs of at most 60 bits")
    values = np.add.reduceat((codes & 31) << (5 * place), first)
    values -= np.where(codes[last] & 16, np.int64(1) << (5 * (place[last] + 1)), 0)
    for start in (1, 2):  # runs of one colour accumulate; the very first stands alone
        values[start::2] = np.cumsum(values[start::2])
    return values
