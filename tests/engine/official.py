"""The small random SAM 2.1 of the tests, and the official predictor over the same weights and frames.

The predictor is configured so that a live tracker can be compared with it: every prompted frame conditions,
equally many conditioning frames are read, and after prompts on frame t it is propagated from t on, stopping
before the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from hydra.utils import instantiate
from omegaconf import OmegaConf
from sam2.modeling.sam2_base import SAM2Base
from sam2.sam2_video_predictor import SAM2VideoPredictor
from torch import Tensor

from engine import nets
from engine.models import Model, Preset
from engine.prompts import labelled
from engine.synthetic import SyntheticClip
from engine.types import Box, Frame, Mask, Points, Prompt, Remove

SMALL = str(Path(__file__).with_name("small.yaml"))
CPU = torch.device("cpu")


def small_net(image_size: int | None = None, score_bias: float = -5.3) -> SAM2Base:
    """Random weights of a fixed seed. What starts near zero in training is made large enough to matter."""
    torch.manual_seed(2)
    net = nets.from_config(SMALL, image_size)
    for name, parameter in net.named_parameters():
        if name.endswith(("gamma", "maskmem_tpos_enc", "no_mem_embed", "no_obj_ptr", "no_obj_embed_spatial")):
            torch.nn.init.normal_(parameter, std=0.5)
    for layer in net.memory_attention.layers:
        layer.cross_attn_image.out_proj.weight.data.mul_(10)
    head = net.sam_mask_decoder.pred_obj_score_head.layers[-1]
    head.weight.data.mul_(100)  # so that what is seen and remembered moves the score
    head.bias.data.fill_(score_bias)
    nets.ready(net, CPU, torch.float32)
    return net


def small_model(net: SAM2Base | None = None, fill_hole_area: int = 0) -> Model:
    net = net or small_net()
    preset = Preset("small", "none", SMALL, fill_hole_area=fill_hole_area)
    return Model(net, preset, net.image_size, CPU, torch.float32, "the network of the tests")


def clip_frames(count: int, width: int = 160, height: int = 120, blank: Sequence[int] = ()) -> list[Frame]:
    """The first frames of the built-in clip; those in `blank` are red, where `small_net` sees no object."""
    clip = SyntheticClip(width, height)
    red = np.full((height, width, 3), (255, 0, 0), dtype=np.uint8)
    return [Frame(i, red if i in blank else clip.frame(i)[0]) for i in range(count)]


def _interpolate(x: Tensor, **options: Any) -> Tensor:
    """`F.interpolate` channel by channel.

    On one thread torch has a kernel for exactly three channels, SAM 2's three candidates, that rounds unlike
    the one for any other number, and unlike itself on two threads. Taken one by one the candidates are
    enlarged by the kernel that every other mask is, with any number of threads.
    """
    return torch.cat([F.interpolate(channel, **options) for channel in x.split(1, dim=1)], dim=1)


class Official:
    """`SAM2VideoPredictor` fed prompts frame by frame, as a stream would."""

    def __init__(self, model: Model, frames: Sequence[Frame], max_cond_frames: int) -> None:
        config: Any = OmegaConf.load(SMALL).model
        config._target_ = "sam2.sam2_video_predictor.SAM2VideoPredictor"
        config.image_size = model.image_size
        config.update(nets.POSTPROCESSING)
        config.update(
            max_cond_frames_in_attn=max_cond_frames,
            add_all_frames_to_correct_as_cond=True,
            fill_hole_area=model.preset.fill_hole_area,
        )
        self.predictor: SAM2VideoPredictor = instantiate(config).eval()
        self.predictor.load_state_dict(model.net.state_dict(), strict=True)
        images = torch.cat([model.pixels.read(frame) for frame in frames])
        loaded = (images, frames[0].height, frames[0].width)
        with mock.patch("sam2.sam2_video_predictor.load_video_frames", return_value=loaded):
            self.state = self.predictor.init_state("frames.mp4")

    def run(self, script: dict[int, Sequence[Prompt]]) -> Iterator[dict[int, dict[str, Tensor]]]:
        """Outputs by object id of each frame from the first prompt on."""
        starts = sorted(script)
        with mock.patch("sam2.modeling.sam2_base.F", SimpleNamespace(interpolate=_interpolate)):
            for start, stop in zip(starts, [*starts[1:], self.state["num_frames"]], strict=True):
                for prompt in script[start]:
                    self._prompt(start, prompt)
                # The frame of the next prompts is tracked too: they correct it.
                for index, _, _ in self.predictor.propagate_in_video(self.state, start, stop - start):
                    if index < stop:
                        yield self._outputs(index)

    def _outputs(self, index: int) -> dict[int, dict[str, Tensor]]:
        outputs = {}
        for object_id, slot in self.state["obj_id_to_idx"].items():
            kept = self.state["output_dict_per_obj"][slot]
            outputs[object_id] = (
                kept["cond_frame_outputs"].get(index) or kept["non_cond_frame_outputs"][index]
            )
        return outputs

    def _prompt(self, index: int, prompt: Prompt) -> None:
        if isinstance(prompt, Remove):
            self.predictor.remove_object(self.state, prompt.object_id)
        elif isinstance(prompt, Mask):
            self.predictor.add_new_mask(self.state, index, prompt.object_id, prompt.mask)
        elif isinstance(prompt, Points | Box):
            points = labelled(prompt)
            self.predictor.add_new_points_or_box(
                self.state,
                index,
                prompt.object_id,
                points=torch.tensor([(x, y) for x, y, label in points if label < 2]).reshape(-1, 2),
                labels=torch.tensor([label for _, _, label in points if label < 2], dtype=torch.int32),
                box=[prompt.x0, prompt.y0, prompt.x1, prompt.y1] if isinstance(prompt, Box) else None,
                clear_old_points=isinstance(prompt, Box) or prompt.replace,
                normalize_coords=False,
            )
        else:
            raise TypeError(f"the official predictor has no {prompt}")
