"""Segment and follow objects in a stream of pictures.

from engine import Frame, Point, Points, Tracker, load_model

What needs torch is imported when it is first asked for: the rooms that only speak of frames and masks
(`engine.types`, `engine.render`) stay light.
"""

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
