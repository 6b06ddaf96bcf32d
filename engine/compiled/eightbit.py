"""Convolutions in eight bits: integers in place of what goes into them, and of their weights.

A CPU multiplies these two to three times as fast as float32 (docs/pico-tried.md). How far what goes into
each reaches has to be known before (Jacob et al., CVPR 2018); weights are rounded channel by channel.
OpenVINO finds what is rounded so, and computes it in integers.

Knows graphs; knows no network.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import openvino

Range = tuple[float, float]  # of what goes into a convolution, the least and the greatest
Ranges = Mapping[str, Range]  # by its name
UNSIGNED, SIGNED = 256, 255  # levels of what goes in, and of weights
# Weights have half of theirs: a CPU without VNNI adds two products in sixteen bits, which would overflow.
HALF = 2


def measured(
    core: openvino.Core, model: openvino.Model, calls: Iterable[Sequence[NDArray[Any]]]
) -> dict[str, Range]:
    """How far what goes into each convolution reaches, in the mean of calls; in float32."""
    from openvino import Model, opset13

    names, sources = [], []
    watched = model.clone()
    for name, convolution in _convolutions(watched):
        names.append(name)
        sources.append(opset13.result(convolution.input_value(0)))
    if not names:
        return {}
    request = core.compile_model(
        Model(sources, watched.get_parameters()), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    ).create_infer_request()
    found = np.array([[(x.min(), x.max()) for x in request.infer(list(call)).values()] for call in calls])
    return {
        name: (float(low), float(high)) for name, (low, high) in zip(names, found.mean(axis=0), strict=True)
    }


def rounded(model: openvino.Model, ranges: Ranges) -> openvino.Model | None:
    """The same with those convolutions rounded whose ranges are known; None where there are none."""
    from openvino import opset13

    if not ranges:
        return None
    changed = model.clone()
    known = [(node, ranges[name]) for name, node in _convolutions(changed) if name in ranges]
    for convolution, (least, greatest) in known:
        low, high = _symmetric(least, greatest)
        inputs = opset13.fake_quantize(convolution.input_value(0), low, high, low, high, UNSIGNED)
        values = convolution.input_value(1).get_node().get_data()
        most = HALF * np.abs(values).max(axis=tuple(range(1, values.ndim)), keepdims=True).clip(1e-8)
        filters = opset13.fake_quantize(convolution.input_value(1), -most, most, -most, most, SIGNED)
        for index, source in enumerate((inputs, filters)):
            convolution.input(index).replace_source_output(source.output(0))
    return changed if known else None


def _convolutions(model: openvino.Model) -> Iterator[tuple[str, Any]]:
    """Names and nodes of those with constant weights."""
    nodes = (node for node in model.get_ordered_ops() if node.get_type_name() == "Convolution")
    for node in nodes:
        if node.input_value(1).get_node().get_type_name() == "Constant":
            yield node.get_friendly_name(), node


def _symmetric(low: float, high: float) -> tuple[np.float32, np.float32]:
    """From zero where nothing is below, else as far to both sides, so that zero stays zero."""
    if low >= 0:
        return np.float32(0), np.float32(max(high, 1e-8))
    most = max(high, -low)
    return np.float32(-most * 128 / 127), np.float32(most)
