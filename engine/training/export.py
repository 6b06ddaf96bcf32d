"""A run's averaged network as a weights file that `load_model` takes, and its curve as a picture."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from engine.types import EngineError

# Numbers of the log: in which of the two graphs they are drawn, and the stages in which they say nothing.
DRAWN: dict[str, tuple[int, tuple[str, ...]]] = {
    "mask": (0, ()),
    "first_iou": (1, ("look",)),
    "tracked_iou": (1, ("still", "clicks", "look")),
}


def export(last: Path, out: Path) -> int:
    """Write the averaged weights of a run's `last.pt` as float16 safetensors; returns the step.

    Raises:
        EngineError: MISSING_RUN when there is no such file.
    """
    state = read_checkpoint(last)
    average = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in state["average"].items()
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file(average, str(out), metadata={"step": str(state["step"]), "pico": json.dumps(state["pico"])})
    return int(state["step"])


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The state that `Run.save` wrote, on the CPU."""
    if not path.is_file():
        raise EngineError("MISSING_RUN", f"no checkpoint at {path}: `livemask train` writes it while it runs")
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def plot(log: Path, out: Path, window: int = 100) -> None:
    """Loss and IoU over steps, averaged over `window` rows, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with log.open(newline="") as file:
        rows = list(csv.DictReader(file))
    figure, axes = pyplot.subplots(1, 2, figsize=(12, 4))
    for name, (place, silent) in DRAWN.items():
        points = [rows[i : i + window] for i in range(0, len(rows), window)]
        kept = [p for p in points if p[0]["stage"] not in silent]
        steps = [int(p[-1]["step"]) for p in kept]
        axes[place].plot(steps, [sum(float(r[name]) for r in p) / len(p) for p in kept], label=name)
    for axis in axes:
        axis.set_xlabel("step")
        axis.grid(alpha=0.3)
        axis.legend()
    figure.tight_layout()
    figure.savefig(out, dpi=110)
    pyplot.close(figure)
