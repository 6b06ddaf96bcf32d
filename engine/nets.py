"""A SAM 2 network from its yaml, checked and made ready for inference.

Knows the module tree and the flags of `sam2`; knows no preset, no weights file and no stream.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from sam2.modeling.sam.transformer import RoPEAttention
from sam2.modeling.sam2_base import SAM2Base
from torch import nn
from yaml import YAMLError  # type: ignore[import-untyped]

from engine import convnorm
from engine.compiled import can_compile
from engine.types import EngineError

# What `sam2.build_sam.build_sam2_video_predictor` overrides in every config (its `apply_postprocessing`).
POSTPROCESSING: Mapping[str, object] = {
    "sam_mask_decoder_extra_args": {
        "dynamic_multimask_via_stability": True,
        "dynamic_multimask_stability_delta": 0.05,
        "dynamic_multimask_stability_thresh": 0.98,
    },
    "binarize_mask_from_pts_for_mem_enc": True,
}
BACKBONE_STRIDE = 16


def from_config(config: str, image_size: int | None = None) -> SAM2Base:
    """Build the `model` of a SAM 2 yaml with random weights, on the CPU, in float32.

    Args:
        config: a path, or a resource of the `sam2` package such as `configs/sam2.1/sam2.1_hiera_t.yaml`.
        image_size: side in pixels, a multiple of 32; default what the config says.

    Raises:
        EngineError: BAD_CONFIG when there is no such file or it does not describe a SAM 2, BAD_IMAGE_SIZE.
    """
    tree = {**_read(config), "_target_": "sam2.modeling.sam2_base.SAM2Base", **POSTPROCESSING}
    side = image_size or tree.get("image_size", 1024)
    if side % 32:
        raise EngineError("BAD_IMAGE_SIZE", f"the image size must be a multiple of 32, not {side}")
    tree["image_size"] = side
    try:
        net = _instantiate(tree, grid=side // BACKBONE_STRIDE)
    except (TypeError, AssertionError, AttributeError, ImportError, RuntimeError) as error:
        raise EngineError("BAD_CONFIG", f"{config} does not build a SAM 2: {error}") from error
    assert isinstance(net, SAM2Base)
    return net


def _read(config: str) -> dict[str, Any]:
    path = Path(config)
    if not path.is_file():
        path = Path(str(resources.files("sam2") / config))
    if not path.is_file():
        raise EngineError(
            "BAD_CONFIG", f"no config {config}: neither a file nor a resource of the sam2 package"
        )
    try:
        tree = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except (OmegaConfBaseException, YAMLError) as error:
        raise EngineError("BAD_CONFIG", f"{config} is not readable: {error}") from error
    model = tree.get("model") if isinstance(tree, dict) else None
    if not isinstance(model, dict):
        raise EngineError("BAD_CONFIG", f"{config} has no `model` section")
    return {str(key): value for key, value in model.items()}


def _instantiate(node: Any, grid: int) -> Any:
    """Hydra's recursive `_target_` rule, for `sam2.modeling` only; `feat_sizes` follow the image."""
    if isinstance(node, list):
        return [_instantiate(item, grid) for item in node]
    if not isinstance(node, dict):
        return node
    values = {key: _instantiate(value, grid) for key, value in node.items() if key != "_target_"}
    if "_target_" not in node:
        return values
    module, _, name = node["_target_"].rpartition(".")
    if not module.startswith("sam2.modeling."):
        raise TypeError(f"{node['_target_']} is not part of sam2.modeling")
    if "feat_sizes" in values:
        values["feat_sizes"] = (grid, grid)
    return getattr(importlib.import_module(module), name)(**values)


def check(net: SAM2Base, name: str) -> None:
    """Refuse the variants that the tracker does not follow.

    Raises:
        EngineError: BAD_CONFIG naming the flag, what it must be and what it is.
    """
    wanted = {
        "directly_add_no_mem_embed": True,
        "use_obj_ptrs_in_encoder": True,
        "use_mask_input_as_output_without_sam": True,
        "non_overlap_masks_for_mem_enc": False,
        "memory_temporal_stride_for_eval": 1,
    }
    for flag, value in wanted.items():
        if getattr(net, flag) != value:
            raise EngineError("BAD_CONFIG", f"{name}: {flag} must be {value}, it is {getattr(net, flag)}")
    if net.num_maskmem < 2 or net.max_obj_ptrs_in_encoder < 2:
        raise EngineError("BAD_CONFIG", f"{name}: num_maskmem and max_obj_ptrs_in_encoder must be at least 2")
    if not all(isinstance(layer.cross_attn_image, RoPEAttention) for layer in net.memory_attention.layers):
        raise EngineError("BAD_CONFIG", f"{name}: the memory attention must use RoPEAttention")


def ready(net: SAM2Base, device: torch.device, dtype: torch.dtype) -> bool:
    """Eval mode, norms folded into convolutions where the trunk offers it, on `device`; in place.

    Returns:
        whether its parts can be compiled (`engine.compiled`) to run there in `dtype`; else it has been made
        ready to run in it as it is.
    """
    net.eval().requires_grad_(False)
    convnorm.fuse(net)
    net.to(device)
    compiled = can_compile(net, device, dtype)
    if not compiled and dtype != torch.float32:
        _cast_products(net, dtype)
    return compiled


def _cast_products(net: nn.Module, dtype: torch.dtype) -> None:
    """Cast the weights that autocast would cast on each call; the sums around them stay float32."""
    for module in net.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            module.to(dtype)
