"""The engine's rows: our tracker, the official predictor and transformers on one network and one clip."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
from collections.abc import Iterator, Sequence

import torch

from engine import nets
from engine.models import MODELS, Model, load_model
from engine.types import EngineError
from signaling.bench.command import numbers
from signaling.bench.contenders import Livemask, Official
from signaling.bench.race import Entrant, Result, race
from signaling.bench.transformers_sam2 import Transformers
from signaling.boot import DTYPES
from signaling.command import CommandError

HEADER = ("model", "objects", "implementation", "ms/frame", "frames", "held MiB", "grows KiB/frame", "IoU")
RANDOM_SEED = 7


def measure(arguments: argparse.Namespace) -> tuple[Sequence[str], list[Sequence[str]]]:
    """The header and the rows.

    Raises:
        CommandError: an unknown model, or one that the device cannot run.
    """
    counts = numbers(arguments.objects, "--objects")
    rows: list[Sequence[str]] = []
    for name in arguments.models.split(","):
        try:
            model, label = network(name, arguments.device, arguments.image_size, arguments.dtype)
        except EngineError as error:
            raise CommandError(f"{error} [{error.code}]") from None
        for count in counts:
            rows.extend(_rows(label, count, _race(model, count, arguments)))
    return HEADER, rows


def network(name: str, device: str, image_size: int, dtype: str | None) -> tuple[Model, str]:
    """A model of the table, with random weights where its own cannot be had, and how a row names it.

    Hole filling is off in it: upstream's needs a compiled extension and transformers has none, so that all
    contenders do the same work.
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
    model = dataclasses.replace(model, preset=dataclasses.replace(model.preset, fill_hole_area=0))
    return model, f"{name} at {model.image_size}, {str(model.dtype).removeprefix('torch.')}{weights}"


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
    nets.ready(net, where, precision)
    return Model(net, preset, net.image_size, where, precision, "random weights")


def _race(model: Model, objects: int, arguments: argparse.Namespace) -> list[Result]:
    print(f"{model.name}, {objects} objects ...", flush=True)
    return race(
        model,
        list(_entrants(model)),
        objects,
        frames=arguments.frames,
        seconds=arguments.seconds,
    )


def _entrants(model: Model) -> Iterator[Entrant]:
    yield Livemask
    yield Official
    if model.preset.config is None:
        print("transformers is left out: it has no trunk such as this model's")
    elif importlib.util.find_spec("transformers") is None:
        print("transformers is left out: it is not installed (pip install --group bench)")
    else:
        yield Transformers


def _rows(label: str, objects: int, results: Sequence[Result]) -> Iterator[Sequence[str]]:
    if not results:
        yield (label, str(objects), "all", "did not finish in time", "", "", "", "")
    for result in results:
        yield (
            label,
            str(objects),
            result.contender,
            f"{result.milliseconds:.1f}",
            str(result.frames),
            f"{result.held_mib:.1f}",
            f"{result.growth_kib:.1f}",
            f"{result.agreement:.4f}",
        )
