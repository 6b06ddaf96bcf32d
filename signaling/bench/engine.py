"""The engine's rows: our tracker, the official predictor and transformers on one network and one clip."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Iterator, Sequence

from engine.contest.contenders import Livemask, Official
from engine.contest.network import network
from engine.contest.race import Entrant, Result, race
from engine.contest.transformers_sam2 import Transformers
from engine.models import Model
from engine.types import EngineError
from signaling.bench.command import numbers
from signaling.command import CommandError

HEADER = ("model", "objects", "implementation", "ms/frame", "frames", "held MiB", "grows KiB/frame", "IoU")


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
