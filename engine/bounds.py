"""Where objects end near where their filters have found them, for presets with filters.

Knows features and filters of lanes; `engine.regressor` knows the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine import correlation
from engine.around import Around
from engine.correlation import CorrelationFilter
from engine.features import Features
from engine.pixels import normalised
from engine.precision import in_precision
from engine.regressor import Ends, Found, Sketch, Template, crop, placed, tell

if TYPE_CHECKING:
    from engine.models import Model


class Bounds:
    """The verbs of the regressor of boxes."""

    def __init__(self, model: Model) -> None:
        self.autocast = model.autocast
        self._net, self._parts = model.net, model.parts

    def describe(self, features: Features, new: CorrelationFilter, mask: Tensor) -> Template:
        """What an object looks like where its filter begins, for `regress`.

        Args:
            mask: float32 [1, 1, h, w], 0..1, of the object in the picture.
        """
        around = Around.boxes(new.box[None])
        template = self._described(_crops([features], around), around.cut([mask]))
        found = self._regressed([features], [new], template, around)
        return template.measured(found.boxes, new.box[None])

    def regress(
        self, features: Sequence[Features], filters: Sequence[CorrelationFilter], newest: bool = True
    ) -> Ends:
        """Where B objects end, in terms of their first boxes.

        Args:
            filters: with a template.
            newest: compare with the newest pictures of them as well, not with the first ones alone.
        """
        template = Template.batch([f.template for f in filters if f.template])
        template = template if newest else template.first
        around = Around.boxes(torch.stack([f.box for f in filters]))
        found = self._regressed(features, filters, template, around)
        return replace(found, boxes=template.corrected(found.boxes))

    @in_precision
    def _described(self, crops: Tensor, cover: Tensor) -> Template:
        described: Template = self._net.regressor.template(crops, cover)
        return described

    def _regressed(
        self,
        features: Sequence[Features],
        filters: Sequence[CorrelationFilter],
        template: Template,
        around: Around,
    ) -> Ends:
        answers = correlation.answers(filters, around, [f.look for f in features if f.look is not None])
        found = self._found(template, _crops(features, around), tell(answers, around))
        sketch = Sketch.of(found.logits, around)
        return Ends(placed(found.edges, around), sketch, found.there.sigmoid(), found.keys)

    @in_precision
    def _found(self, template: Template, crops: Tensor, told: Tensor) -> Found:
        return self._parts.found(template.keys, template.cover, crops, told)


def _crops(features: Sequence[Features], around: Around) -> Tensor:
    """What pictures show there, as the network reads it."""
    return normalised(crop([f.image for f in features if f.image is not None], around) / 255)
