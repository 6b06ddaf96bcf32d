"""A module as OpenVINO runs it on a CPU: traced once, compiled for each shape that it meets.

OpenVINO joins a part's hundreds of small operations into few, and lets go of Python's lock meanwhile. For a
shape that is known it takes two thirds of the time that it takes for any shape, and a quarter of a second
before. What it compiles is compared with torch first: in bfloat16 it goes wrong on some shapes.

Knows tensors; knows no network.
"""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from engine.compiled import eightbit
from engine.compiled.eightbit import Range, Ranges

if TYPE_CHECKING:
    import openvino

log = logging.getLogger(__name__)

PRECISION, PRECISIONS = "INFERENCE_PRECISION_HINT", {torch.float32: "f32", torch.bfloat16: "bf16"}
SMALL = 2**16  # bytes of a tensor
TOLERATED = {torch.float32: 1e-3, torch.bfloat16: 0.03}  # of `_difference`; usual are 1e-6 and 5e-3
EIGHT_BITS = "eight bits"
ROUNDED = 0.1  # the same in eight bits; usual are 0.007 to 0.05

_tracing = threading.Lock()  # torch keeps what it traces, and Python its warnings, in places of the process


class Graph:
    """Calls of `module`: float32, bfloat16 and int64 tensors in, float32 ones out. Any thread may call.

    Args:
        module: of tensors alone, in eval mode.
        calls: whose sizes are compiled now, and not when they come; those of other sizes have the same number
            of dimensions.
        dtype: to compute in.
        threads: to compute with.
        ranges: of convolutions that are computed in eight bits, `measured` before.

    Attributes:
        eight_bits: some are, and not found wrong.
    """

    def __init__(
        self,
        module: nn.Module,
        calls: Sequence[Sequence[Tensor]],
        dtype: torch.dtype,
        threads: int,
        ranges: Ranges = MappingProxyType({}),
    ) -> None:
        self._module = module
        self._source, self._model = _converted(module, tuple(calls[0]))
        rounded = eightbit.rounded(self._model, ranges)
        # How to compute, the first that is right.
        self._ways = [_Way(EIGHT_BITS, rounded, dtype, ROUNDED)] if rounded is not None else []
        self._ways += [
            _Way(str(exact), self._model, exact, TOLERATED[exact])
            for exact in dict.fromkeys((dtype, torch.float32))
        ]
        # One stream, on whatever core is free: others have work to do as well.
        self._options = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
        }
        self._lock = threading.Lock()
        self._compiled: dict[tuple[torch.Size, ...], _Compiled] = {}
        self.eight_bits = False
        for inputs in calls:
            self._for(inputs)

    def __call__(self, *inputs: Tensor) -> list[Tensor]:
        with self._lock:
            return self._for(inputs)(inputs)

    def _for(self, inputs: Sequence[Tensor]) -> _Compiled:
        shapes = tuple(x.shape for x in inputs)
        if shapes not in self._compiled:
            self._compiled[shapes] = self._checked(inputs)
        return self._compiled[shapes]

    def _checked(self, inputs: Sequence[Tensor]) -> _Compiled:
        """In the first way that is right.

        Raises:
            RuntimeError: in float32 it is wrong as well.
        """
        with torch.inference_mode():
            wanted = self._module(*inputs)
        wanted = wanted if isinstance(wanted, tuple) else (wanted,)
        for way in self._ways:
            _reshape(way.model, inputs)
            compiled = _Compiled(_core(), way.model, self._options | {PRECISION: PRECISIONS[way.dtype]})
            off = max(map(_difference, compiled(inputs), wanted))
            if off < way.tolerated:
                self.eight_bits |= way.name == EIGHT_BITS
                return compiled
            log.info(
                "%s in %s is off by %.2g on %s",
                type(self._module).__name__,
                way.name,
                off,
                [tuple(x.shape) for x in inputs],
            )
        raise RuntimeError(f"OpenVINO computes {type(self._module).__name__} wrongly on this machine")

    def measured(self, calls: Sequence[Sequence[Tensor]]) -> dict[str, Range]:
        """What `ranges` are over calls of one shape."""
        with self._lock:
            _reshape(self._model, calls[0])
            return eightbit.measured(_core(), self._model, ([x.numpy() for x in call] for call in calls))


@dataclass(frozen=True)
class _Way:
    """A model, what to compute it in, and by how much that may be off."""

    name: str
    model: openvino.Model
    dtype: torch.dtype
    tolerated: float


class _Compiled:
    """For one shape of each input.

    Large tensors it reads and writes where they are; small ones are copied, for to tell OpenVINO where one is
    takes longer than that.
    """

    def __init__(self, core: openvino.Core, model: openvino.Model, options: dict[str, object]) -> None:
        compiled = core.compile_model(model, "CPU", options)
        self._request = compiled.create_infer_request()
        shapes = [tuple(out.shape) for out in compiled.outputs]
        self._outputs = [torch.empty(shape) for shape in shapes]
        self._kept: dict[int, Tensor] = {}
        for index, tensor in enumerate(self._outputs):
            self._request.set_output_tensor(index, _shared(tensor))

    def __call__(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        given = [x.contiguous() for x in inputs]
        for index, tensor in enumerate(given):
            if tensor.nbytes > SMALL:
                self._request.set_input_tensor(index, _shared(tensor))
            elif index in self._kept:
                self._kept[index].copy_(tensor)
            else:
                self._kept[index] = tensor.clone()
                self._request.set_input_tensor(index, _shared(self._kept[index]))
        outputs = list(self._outputs)
        for index, tensor in enumerate(outputs):
            if tensor.nbytes > SMALL:
                outputs[index] = torch.empty_like(tensor)
                self._request.set_output_tensor(index, _shared(outputs[index]))
        self._request.infer()
        return [out.clone() if out is kept else out for out, kept in zip(outputs, self._outputs, strict=True)]


def _reshape(model: openvino.Model, inputs: Sequence[Tensor]) -> None:
    model.reshape(dict(zip(model.inputs, (list(x.shape) for x in inputs), strict=True)))


def _difference(got: Tensor, wanted: Tensor) -> float:
    """Of two tensors, in lengths of the second, or of ones if that is shorter."""
    return float((got - wanted).norm() / wanted.norm().clamp(min=wanted.numel() ** 0.5))


def _shared(tensor: Tensor) -> openvino.Tensor:
    openvino = _silent()
    if tensor.dtype == torch.bfloat16:  # which numpy does not know
        bits = tensor.view(torch.int16).numpy()
        return openvino.Tensor(bits, openvino.Shape(tensor.shape), openvino.Type.bf16)
    return openvino.Tensor(tensor.numpy(), shared_memory=True)


@lru_cache(maxsize=1)
def _silent() -> Any:
    """OpenVINO, which would tell Google Analytics that it was imported, and fork a process to do so.

    It does without where what it tells it with is not installed.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


@lru_cache(maxsize=1)
def _core() -> openvino.Core:
    return _silent().Core()


def _converted(module: nn.Module, examples: tuple[Tensor, ...]) -> tuple[Any, Any]:
    """What the constants belong to, and the model."""
    _silent()
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    with torch.inference_mode():
        with _tracing, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is traced: sizes that it takes for constants
            traced = torch.jit.trace(module, examples, check_trace=False)  # type: ignore[no-untyped-call]
        source = TorchScriptPythonDecoder(traced, example_input=examples)
        frontend = FrontEndManager().load_by_framework("pytorch")
        return source, frontend.convert(frontend.load(source))
