"""What is measured against what: Livemask's tracker and the official predictor, on the same network.

Each contender follows the same objects, given as masks on the first picture, over the same pictures. Masks
come out as bool [N, H, W] at the size of the picture. The third one is in `transformers_sam2.py`.
"""

from __future__ import annotations

import copy
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from sam2.sam2_video_predictor import SAM2VideoPredictor
from torch import Tensor

from engine.models import Model
from engine.tracker import Tracker
from engine.types import Frame, Mask

Picture = NDArray[np.uint8]
Masks = NDArray[np.bool_]


class Contender(Protocol):
    """One implementation of SAM 2 following objects."""

    name: str

    def step(self, index: int) -> Masks:
        """Follow onto picture `index`; indices come in order from 0."""
        ...

    def nbytes(self) -> int:
        """Bytes of tensors held for the stream so far, the network's own not counted."""
        ...


class Livemask:
    """Our tracker. Its time includes reading the picture, which the others get ready made."""

    name = "livemask"

    def __init__(self, model: Model, pictures: Sequence[Picture], masks: Sequence[Masks]) -> None:
        self._tracker = Tracker(model, max_objects=len(masks), history=0)
        self._pictures = pictures
        self._prompts = [Mask(i, mask) for i, mask in enumerate(masks, 1)]

    def step(self, index: int) -> Masks:
        prompts = self._prompts if index == 0 else ()
        found = self._tracker.step(Frame(index, self._pictures[index]), prompts)
        if found.rejected:
            raise found.rejected[0][1]
        return np.stack([thing.mask for thing in found.objects])

    def nbytes(self) -> int:
        return self._tracker.nbytes()


class Official:
    """`sam2.SAM2VideoPredictor` over a clip whose pictures it has been given before it starts.

    It is made of the very modules of `model.net`, so that the weights are the same by construction.
    """

    name = "sam2"

    def __init__(self, model: Model, pictures: Sequence[Picture], masks: Sequence[Masks]) -> None:
        warnings.filterwarnings("ignore", message=".*cannot import name '_C'", category=UserWarning)
        self._model = model
        self._state = self._clip(predictor := predictor_of(model), pictures)
        for i, mask in enumerate(masks, 1):
            predictor.add_new_mask(self._state, 0, i, mask)
        self._frames: Iterator[Any] = predictor.propagate_in_video(self._state)
        self._done = 0

    def _clip(self, predictor: Any, pictures: Sequence[Picture]) -> dict[str, Any]:
        """Its state for a clip: made from black files of the right size, then given our pictures."""
        with tempfile.TemporaryDirectory() as folder, torch.inference_mode(), self._model.autocast():
            black = Image.fromarray(np.zeros_like(pictures[0]))
            for i in range(len(pictures)):
                black.save(Path(folder) / f"{i}.jpg")
            state: dict[str, Any] = predictor.init_state(folder)
        frames = [self._model.pixels.read(Frame(0, picture)) for picture in pictures]
        state["images"] = torch.cat(frames)
        state["cached_features"] = {}
        return state

    def step(self, index: int) -> Masks:
        with torch.inference_mode(), self._model.autocast():
            frame, _, logits = next(self._frames)
        assert frame == index
        self._done = index + 1
        masks: Masks = (logits[:, 0] > 0).cpu().numpy()
        return masks

    def nbytes(self) -> int:
        """Without the pictures not yet reached; those behind it stays in need of, so they count."""
        images: Tensor = self._state["images"]
        rest = {key: value for key, value in self._state.items() if key != "images"}
        return tensor_bytes(rest) + images[: self._done].nbytes


def predictor_of(model: Model) -> Any:
    """The official predictor around a network that is there already, with its documented defaults.

    `add_all_frames_to_correct_as_cond` does not matter without corrections; the other three are what
    `sam2.build_sam.build_sam2_video_predictor` sets.
    """
    predictor = copy.copy(model.net)
    predictor.__class__ = SAM2VideoPredictor
    predictor.fill_hole_area = model.preset.fill_hole_area
    predictor.non_overlap_masks = False
    predictor.clear_non_cond_mem_around_input = False
    predictor.add_all_frames_to_correct_as_cond = False
    return predictor


def tensor_bytes(value: object) -> int:
    """Bytes of all distinct tensor storages reachable through dicts, sequences and plain objects."""
    storages: dict[int, int] = {}
    _collect(value, storages, set())
    return sum(storages.values())


def _collect(value: object, storages: dict[int, int], seen: set[int]) -> None:
    if isinstance(value, Tensor):
        storage = value.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
    elif id(value) not in seen:
        seen.add(id(value))
        if isinstance(value, dict):
            children: Sequence[object] = list(value.values())
        elif isinstance(value, list | tuple | set):
            children = list(value)
        else:
            children = list(getattr(value, "__dict__", {}).values())
        for child in children:
            _collect(child, storages, seen)
