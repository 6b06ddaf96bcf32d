"""Which networks there are, and how one is loaded: a table of presets and `load_model`.

Knows no stream and no object. Building from a config is in `nets.py`, weight files are in `weights.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

import torch
from sam2.modeling.sam2_base import SAM2Base

from engine import machine, nets, weights
from engine.compiled import CompiledParts
from engine.compiled.eightbit import Ranges
from engine.parts import Parts, StockParts
from engine.pico import build_pico
from engine.pixels import PixelReader
from engine.stages import Stages
from engine.types import EngineError

# The precisions that a network may be run in, by the names that people give them.
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class Preset:
    """One row of `MODELS`.

    Attributes:
        config: a SAM 2 yaml, a path or a resource of the `sam2` package; None for a net built in code.
        checkpoint: file name of the weights, in the hub repository or in this package's `weights/`.
        hub_id: Hugging Face repository; None when the weights ship with this package or are local.
        image_sizes: input sides in pixels the weights may be run at, the default first; empty for local
            weights, which run at any that the network takes.
        dense_prompts: clicks and boxes are also given drawn, as a mask prompt (`engine.dense`).
        correlation_filter: a filter for each object tells the network where to look (`engine.correlation`).
        snap: masks are redrawn along the colours of the picture (`engine.snap`).
        close: small things are looked at once more, from near by (`engine.closeup`).
        memories: tracked frames whose spatial memory is read; 0 for as many as the network was made for.
        fill_hole_area: background holes of at most this many low-resolution pixels are filled; 0 for none.
        parameters: rounded count, for people.
    """

    name: str
    checkpoint: str
    config: str | None = None
    hub_id: str | None = None
    image_sizes: tuple[int, ...] = ()
    dense_prompts: bool = False
    correlation_filter: bool = False
    snap: bool = False
    close: bool = False
    memories: int = 0
    fill_hole_area: int = 8
    parameters: str = ""


def _meta(name: str, config: str, hub_name: str, parameters: str) -> Preset:
    return Preset(
        name=f"sam2.1-{name}",
        checkpoint=f"sam2.1_hiera_{hub_name.replace('-', '_')}.pt",
        config=f"configs/sam2.1/sam2.1_hiera_{config}.yaml",
        hub_id=f"facebook/sam2.1-hiera-{hub_name}",
        image_sizes=(1024, 512),
        parameters=parameters,
    )


MODELS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            "pico",
            "pico.safetensors",
            image_sizes=(256,),
            dense_prompts=True,
            correlation_filter=True,
            snap=True,
            close=True,
            memories=1,
            fill_hole_area=0,  # snapping leaves none
            parameters="4 M",
        ),
        _meta("tiny", "t", "tiny", "39 M"),
        _meta("small", "s", "small", "46 M"),
        _meta("base-plus", "b+", "base-plus", "81 M"),
        _meta("large", "l", "large", "224 M"),
    )
}
AUTO_CUDA = "sam2.1-small"


@dataclass(frozen=True, eq=False)
class Model:
    """A network ready to run: eval mode, on its device; shared by any number of trackers.

    Attributes:
        net: the SAM 2 network; its parameters need no gradient.
        image_size: side in pixels of the square picture it takes.
        dtype: bfloat16 runs the net under autocast, float32 plainly.
        why: one sentence: which model runs and why, for the log and the page.
        compiled: its costly parts where they are, which take care of `dtype` themselves.
    """

    net: SAM2Base
    preset: Preset
    image_size: int
    device: torch.device
    dtype: torch.dtype
    why: str
    compiled: CompiledParts | None = None

    @property
    def name(self) -> str:
        return self.preset.name

    @property
    def precision(self) -> str:
        """What it computes in, for people."""
        exact = _named(self.dtype)
        return f"{exact}, eight bits" if self.compiled is not None and self.compiled.eight_bits else exact

    @cached_property
    def stages(self) -> Stages:
        """The verbs of a step, with their constant tables."""
        with torch.inference_mode():
            return Stages(self)

    @cached_property
    def parts(self) -> Parts:
        """The network's costly parts."""
        return StockParts(self.net) if self.compiled is None else self.compiled

    @cached_property
    def pixels(self) -> PixelReader:
        """Pictures to the network's input."""
        return PixelReader(self.image_size, self.device)

    @contextmanager
    def working(self) -> Iterator[None]:
        """How all its work is to be done: without gradients, and with one thread where parts are compiled.

        Those have threads of their own, and what is left to torch is too small to be shared among several.
        """
        before = torch.get_num_threads()
        torch.set_num_threads(before if self.compiled is None else 1)
        try:
            with torch.inference_mode():
                yield
        finally:
            torch.set_num_threads(before)

    def autocast(self) -> AbstractContextManager[object]:
        """The precision to run the net in, as a context."""
        if self.dtype == torch.float32 or self.compiled is not None:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)


def load_model(
    name: str = "auto",
    *,
    device: str = "auto",
    image_size: int | None = None,
    dtype: torch.dtype | None = None,
    checkpoint: str | Path | None = None,
    config: str | Path | None = None,
) -> Model:
    """Build a network, load its weights strictly, and make it ready.

    Args:
        name: a key of `MODELS`, or `auto`: on CUDA `sam2.1-small` when its weights are cached or can be
            fetched, else `pico`. Ignored when `checkpoint` is given.
        device: `auto` (CUDA when there is one, else CPU), `cuda`, `cuda:N`, `cpu` or `mps`.
        image_size: input side in pixels, one of the preset's `image_sizes`; default the first.
        dtype: float32 or bfloat16; default bfloat16 on CUDA and on CPUs with bf16 instructions, and on a CPU
            pico's convolutions in eight bits.
        checkpoint: local weights, .pt (a dict with "model") or .safetensors; goes with `config`.
        config: the SAM 2 yaml of `checkpoint`, a path or a resource (`configs/sam2.1/sam2.1_hiera_t.yaml`).

    Raises:
        EngineError: UNKNOWN_MODEL, NO_DEVICE, BAD_IMAGE_SIZE, BAD_CONFIG, MISSING_WEIGHTS, BAD_WEIGHTS.
    """
    where = _device(device)
    if checkpoint is not None or config is not None:
        preset, why = _local(checkpoint, config)
        size, path = image_size, Path(checkpoint or "")
    else:
        preset, why = _choose(name, where)
        size, path = _image_size(preset, image_size), weights.find(preset)
    net = nets.from_config(preset.config, size) if preset.config else build_pico()
    nets.check(net, preset.name)
    weights.load(net, path)
    chosen = dtype or precision(where)
    why = f"{why} It runs at {net.image_size} pixels in {_named(chosen)} on {where}."
    return made_of(net, preset, where, chosen, why, weights.ranges(path) if dtype is None else {})


def made_of(
    net: SAM2Base,
    preset: Preset,
    device: torch.device,
    dtype: torch.dtype,
    why: str,
    ranges: Mapping[str, Ranges] = MappingProxyType({}),
) -> Model:
    """A model of a network that has its weights, made ready in place, and compiled where that can be.

    Args:
        ranges: of convolutions that are computed in eight bits where it is compiled.
    """
    compiled = None
    if nets.ready(net, device, dtype):
        try:
            with torch.inference_mode():
                compiled = CompiledParts(net, dtype, preset.memories or net.num_maskmem - 1, ranges)
        except RuntimeError as error:
            dtype, why = torch.float32, f"{why} Not compiled, and so slower and in float32: {error}."
    if compiled is not None and compiled.eight_bits:
        why = f"{why} Convolutions are computed in eight bits."
    return Model(net, preset, net.image_size, device, dtype, why, compiled)


def _named(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _choose(name: str, device: torch.device) -> tuple[Preset, str]:
    if name != "auto":
        if name not in MODELS:
            raise EngineError("UNKNOWN_MODEL", f"no model {name!r}; there are auto, {', '.join(MODELS)}")
        return MODELS[name], f"{name} was asked for."
    pico, large = MODELS["pico"], MODELS[AUTO_CUDA]
    if device.type != "cuda":
        return pico, f"pico, the bundled model, because there is no CUDA device ({device})."
    try:
        weights.find(large)
    except EngineError as error:
        return pico, f"pico, the bundled model, because {large.name} could not be had: {error}."
    return large, f"{large.name}, because there is a CUDA device."


def _local(checkpoint: str | Path | None, config: str | Path | None) -> tuple[Preset, str]:
    if checkpoint is None or config is None:
        raise EngineError("BAD_CONFIG", "a local model needs both a checkpoint and its config (a SAM 2 yaml)")
    path = Path(checkpoint)
    preset = Preset(name=path.stem, checkpoint=path.name, config=str(config))
    return preset, f"{path} with {config} was asked for."


def _image_size(preset: Preset, asked: int | None) -> int:
    if asked is not None and asked not in preset.image_sizes:
        sizes = " or ".join(map(str, preset.image_sizes))
        raise EngineError("BAD_IMAGE_SIZE", f"{preset.name} runs at {sizes} pixels, not at {asked}")
    return asked or preset.image_sizes[0]


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise EngineError("NO_DEVICE", f"no device {name!r}; use auto, cuda, cpu or mps") from error
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(device.type, False):
        raise EngineError("NO_DEVICE", f"device {name} is not available here; use auto, cuda, cpu or mps")
    return device


def precision(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware multiplies it; emulated, as on AVX2, it is 100 times slower."""
    if device.type == "cuda":
        has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has_bf16 = device.type == "cpu" and machine.cpu_has_bf16()
    return torch.bfloat16 if has_bf16 else torch.float32
