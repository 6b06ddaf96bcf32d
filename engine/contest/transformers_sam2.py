"""`transformers.Sam2VideoModel` in its streaming session, with the weights of one of our networks.

The only file that knows the names of that library. It is not among Livemask's dependencies: its
version is pinned in the `bench` group of pyproject.toml.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sam2.modeling.backbones.hieradet import Hiera
from torch import Tensor

from engine.contest.contenders import Masks, Picture, tensor_bytes
from engine.models import Model
from engine.prompts import mask_input
from engine.types import Frame, Mask

# Names of sam2's parameters to those of transformers', applied in order.
RENAMED: Sequence[tuple[str, str]] = (
    (r"^maskmem_tpos_enc$", "memory_temporal_positional_encoding"),
    (r"^no_mem_embed$", "no_memory_embedding"),
    (r"^no_mem_pos_enc$", "no_memory_positional_encoding"),
    (r"^no_obj_ptr$", "no_object_pointer"),
    (r"^no_obj_embed_spatial$", "occlusion_spatial_embedding_parameter"),
    (r"^obj_ptr_proj\.", "object_pointer_proj."),
    (r"^obj_ptr_tpos_proj\.", "temporal_positional_encoding_projection_layer."),
    (r"^image_encoder\.trunk\.patch_embed\.proj\.", "vision_encoder.backbone.patch_embed.projection."),
    (r"^image_encoder\.trunk\.", "vision_encoder.backbone."),
    (r"^image_encoder\.neck\.convs\.(\d+)\.conv\.", r"vision_encoder.neck.convs.\1."),
    (r"^sam_prompt_encoder\.pe_layer\.positional_encoding_gaussian_matrix$", SHARED := "shared_embedding"),
    (r"^sam_prompt_encoder\.mask_downscaling\.0\.", "prompt_encoder.mask_embed.conv1."),
    (r"^sam_prompt_encoder\.mask_downscaling\.1\.", "prompt_encoder.mask_embed.layer_norm1."),
    (r"^sam_prompt_encoder\.mask_downscaling\.3\.", "prompt_encoder.mask_embed.conv2."),
    (r"^sam_prompt_encoder\.mask_downscaling\.4\.", "prompt_encoder.mask_embed.layer_norm2."),
    (r"^sam_prompt_encoder\.mask_downscaling\.6\.", "prompt_encoder.mask_embed.conv3."),
    (r"^sam_prompt_encoder\.", "prompt_encoder."),
    (r"^sam_mask_decoder\.output_upscaling\.0\.", "mask_decoder.upscale_conv1."),
    (r"^sam_mask_decoder\.output_upscaling\.1\.", "mask_decoder.upscale_layer_norm."),
    (r"^sam_mask_decoder\.output_upscaling\.3\.", "mask_decoder.upscale_conv2."),
    (r"^sam_mask_decoder\.", "mask_decoder."),
    (r"\.norm_final_attn\.", ".layer_norm_final_attn."),
    (r"^memory_encoder\.mask_downsampler\.encoder\.12\.", "memory_encoder.mask_downsampler.final_conv."),
    (r"^memory_encoder\.pix_feat_proj\.", "memory_encoder.feature_projection."),
    (r"^memory_encoder\.out_proj\.", "memory_encoder.projection."),
    (r"^memory_encoder\.fuser\.", "memory_encoder.memory_fuser."),
    (r"\.gamma$", ".scale"),
    (r"\.dwconv\.", ".depthwise_conv."),
    (r"\.pwconv(\d)\.", r".pointwise_conv\1."),
    (r"^(memory_encoder\.memory_fuser.*|memory_attention)\.norm\.", r"\1.layer_norm."),
    (r"\.norm(\d)\.", r".layer_norm\1."),
    (r"\.out_proj\.", ".o_proj."),
)
# Multi-layer perceptrons: first and last layer have names of their own there, those between are counted anew.
PERCEPTRON = re.compile(r"^(.*(?:mlp|mlps\.\d+|_head|_proj))\.layers\.(\d+)\.(weight|bias)$")
DOWNSAMPLER = re.compile(r"^memory_encoder\.mask_downsampler\.encoder\.(\d+)\.(weight|bias)$")


class Transformers:
    """Its video model fed one picture at a time, each ready made as the network's input."""

    name = "transformers"

    def __init__(self, model: Model, pictures: Sequence[Picture], masks: Sequence[Masks]) -> None:
        self._model = model
        self._net, session = _build(model)
        height, width = pictures[0].shape[:2]
        self._size = (height, width)
        self._session = session(
            video_height=height,
            video_width=width,
            inference_device=model.device,
            inference_state_device=model.device,
            video_storage_device=model.device,
            dtype=torch.float32,
        )
        self._inputs = [model.pixels.read(Frame(0, picture)) for picture in pictures]
        for i, mask in enumerate(masks, 1):
            given = mask_input(Mask(i, mask), model.image_size, model.device)
            self._session.add_mask_inputs(self._session.obj_id_to_idx(i), 0, given)
            self._session.obj_with_new_inputs.append(i)

    def step(self, index: int) -> Masks:
        with torch.inference_mode(), self._model.autocast():
            found = self._net(inference_session=self._session, frame=self._inputs[index])
            # What its processor's `post_process_masks` does.
            logits = F.interpolate(found.pred_masks.float(), self._size, mode="bilinear", align_corners=False)
            masks: NDArray[np.bool_] = (logits[:, 0] > 0).cpu().numpy()
        return masks

    def nbytes(self) -> int:
        return tensor_bytes(self._session)


def convert(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of sam2's `SAM2Base` under the names of `Sam2VideoModel`."""
    depths = _depths(weights)
    converted: dict[str, Tensor] = {}
    points: dict[int, Tensor] = {}
    for name, value in weights.items():
        if match := re.fullmatch(r"sam_prompt_encoder\.point_embeddings\.(\d+)\.weight", name):
            points[int(match[1])] = value
            continue
        renamed = _rename(name, depths)
        if renamed == SHARED:
            converted["shared_image_embedding.positional_embedding"] = value
            converted["prompt_encoder.shared_embedding.positional_embedding"] = value
        else:
            converted[renamed] = value
    converted["prompt_encoder.point_embed.weight"] = torch.cat([points[i] for i in sorted(points)])
    return converted


def _depths(weights: Mapping[str, Tensor]) -> dict[str, int]:
    """The number of the last layer of each perceptron."""
    depths: dict[str, int] = {}
    for name in weights:
        if match := PERCEPTRON.match(name):
            depths[match[1]] = max(depths.get(match[1], 0), int(match[2]))
    return depths


def _rename(name: str, depths: Mapping[str, int]) -> str:
    if match := PERCEPTRON.match(name):
        layer, last = int(match[2]), depths[match[1]]
        place = "proj_in" if layer == 0 else "proj_out" if layer == last else f"layers.{layer - 1}"
        name = f"{match[1]}.{place}.{match[3]}"
    elif (match := DOWNSAMPLER.match(name)) and int(match[1]) < 12:
        block, part = divmod(int(match[1]), 3)
        kind = ("conv", "layer_norm")[part]
        name = f"memory_encoder.mask_downsampler.layers.{block}.{kind}.{match[2]}"
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def _build(model: Model) -> tuple[Any, Any]:
    """The video model with our weights, and the class of its sessions."""
    # The torchvision of PyPI does not load beside a torch of the CPU index; the model does without.
    sys.modules.setdefault("torchvision", None)  # type: ignore[arg-type]
    from transformers import Sam2VideoModel
    from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

    net: torch.nn.Module = Sam2VideoModel(_config(model))
    net.eval().requires_grad_(False)
    net.load_state_dict(convert(model.net.state_dict()), strict=True)
    return net.to(model.device), Sam2VideoInferenceSession


def _config(model: Model) -> Any:
    """Its configuration of a SAM 2.1 with our net's trunk and size."""
    from transformers import Sam2HieraDetConfig, Sam2VideoConfig, Sam2VisionConfig

    trunk, size = model.net.image_encoder.trunk, model.image_size
    layers = model.net.memory_attention.layers
    if not isinstance(trunk, Hiera):
        raise TypeError(f"transformers has no {type(trunk).__name__} trunk, only Hiera")
    ends = [-1, *trunk.stage_ends]
    dims = list(reversed(trunk.channel_list))
    heads = trunk.blocks[0].attn.num_heads
    backbone = Sam2HieraDetConfig(
        hidden_size=dims[0],
        num_attention_heads=heads,
        image_size=[size, size],
        window_positional_embedding_background_size=list(trunk.window_pos_embed_bkg_spatial_size),
        blocks_per_stage=[end - start for start, end in itertools.pairwise(ends)],
        embed_dim_per_stage=dims,
        num_attention_heads_per_stage=[heads * 2**i for i in range(len(dims))],
        window_size_per_stage=list(trunk.window_spec),
        global_attention_blocks=list(trunk.global_att_blocks),
    )
    vision = Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=list(trunk.channel_list),
        backbone_feature_sizes=[[size // stride] * 2 for stride in (4, 8, 16)],
    )
    return Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config={"image_size": size},
        image_size=size,
        memory_attention_rope_feat_sizes=[size // 16, size // 16],
        memory_attention_num_layers=len(layers),
        memory_attention_feed_forward_hidden_size=layers[0].linear1.out_features,
    )
