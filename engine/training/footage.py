"""Frames of a video file, one after the other, as RGB."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


def play(path: Path, size: tuple[int, int] | None = None) -> Iterator[Image]:
    """The frames in order, uint8 [H, W, 3]; resized to `size` (height, width) when that is given."""
    import av

    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            if size is not None:
                frame = frame.reformat(width=size[1], height=size[0])
            yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def find_clip(folder: Path, name: str) -> Path:
    """The video called `name`, with or without its suffix, anywhere below `folder`.

    Raises:
        FileNotFoundError: there is none.
    """
    found = next((p for p in sorted(folder.rglob(f"{name}*")) if name in (p.name, p.stem)), None)
    if found is None:
        raise FileNotFoundError(f"no video {name} below {folder}")
    return found
