"""The network that contenders race on: a model of the table, with random weights where its own are not."""

from __future__ import annotations

import dataclasses

import torch

from engine import nets
from engine.models import DTYPES, MODELS, Model, load_model, made_of
from engine.types import EngineError

RANDOM_SEED = 7


def network(name: str, device: str, image_size: int, dtype: str | None) -> tuple[Model, str]:
    """A model of the table, with random weights where its own cannot be had, and how a row names it.

    Hole filling is off in it, for upstream's needs a compiled extension and transformers has none; so is what
    pico does beside its network. All contenders do the same work then.
    """
    preset = MODELS.get(name)
    size = image_size if preset is not None and preset.hub_id else None  # pico has one of its own
    precision = DTYPES[dtype] if dtype else None
    try:
        model, weights = load_model(name, device=device, image_size=size, dtype=precision), ""
    except EngineError as error:
        if error.code != "MISSING_WEIGHTS" or preset is None or preset.config is None:
            raise
        model, weights = _random(name, device, image_size, precision), ", random weights"
    bare = dataclasses.replace(
        model.preset, fill_hole_area=0, correlation_filter=False, snap=False, memories=0
    )
    model = made_of(model.net, bare, model.device, model.dtype, model.why)
    return model, f"{name} at {model.image_size}, {model.precision}{weights}"


def _random(name: str, device: str, image_size: int, dtype: torch.dtype | None) -> Model:
    """The network of a preset with seeded random weights: as fast as the real one, of no use otherwise."""
    preset = MODELS[name]
    assert preset.config is not None
    where = torch.device("cuda" if device == "auto" and torch.cuda.is_available() else "cpu")
    where = where if device == "auto" else torch.device(device)
    precision = dtype or (torch.bfloat16 if where.type == "cuda" else torch.float32)
    with torch.random.fork_rng():
        torch.manual_seed(RANDOM_SEED)
        net = nets.from_config(preset.config, image_size)
    return made_of(net, preset, where, precision, "random weights")
