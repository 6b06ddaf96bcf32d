"""Segment and follow objects in a stream of pictures.

from engine import Frame, Point, Points, Tracker, load_model

What needs torch is imported when it is first asked for: the rooms that only speak of frames and masks
(`engine.types`, `engine.render`) stay light.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING

from engine.types import (
    Box,
    EngineError,
    Frame,
    Mask,
    MaskSet,
    ObjectMask,
    ObjectState,
    Point,
    Points,
    Prompt,
    Remove,
    Reset,
    Text,
)

# A step is hundreds of short parallel parts, after each of which OpenMP's threads wait for each other: by
# spinning, unless told otherwise before torch loads the library. Where a core has other work as well (a
# codec, a client), the thread that belongs there gets no turn while the others burn theirs: 30 ms became 6 s
# (docs/decisions.md).
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # what OpenMP takes itself with too few cores

if TYPE_CHECKING:
    from engine.models import MODELS, Model, load_model
    from engine.tracker import Tracker

__all__ = [
    "MODELS",
    "Box",
    "EngineError",
    "Frame",
    "Mask",
    "MaskSet",
    "Model",
    "ObjectMask",
    "ObjectState",
    "Point",
    "Points",
    "Prompt",
    "Remove",
    "Reset",
    "Text",
    "Tracker",
    "load_model",
]

_LATER = {
    "MODELS": "engine.models",
    "Model": "engine.models",
    "load_model": "engine.models",
    "Tracker": "engine.tracker",
}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
