"""A whole SAM 2.1, every part and feature there, small enough to run a hundred frames in a second on a CPU.

Its weights are random from a fixed seed, so its masks mean nothing: it stands in for the bundled model where
what runs around the model is looked at for long, as in tests and in `livemask bench soak`.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import torch
from omegaconf import OmegaConf

from engine import nets

IMAGE_SIZE = 128
SEED = 7


def write(folder: Path) -> tuple[Path, Path]:
    """Write it into `folder`: the paths of its weights and of its configuration, for `load_model`."""
    tree = OmegaConf.load(str(resources.files("sam2") / "configs/sam2.1/sam2.1_hiera_t.yaml"))
    model = tree.model
    model.image_size = IMAGE_SIZE
    trunk = {"embed_dim": 16, "stages": [1, 1, 2, 1], "global_att_blocks": [3]}
    model.image_encoder.trunk.merge_with(trunk)
    model.image_encoder.neck.backbone_channel_list = [128, 64, 32, 16]
    model.memory_attention.num_layers = 1
    model.memory_attention.layer.dim_feedforward = 64
    config, weights = folder / "tiny.yaml", folder / "tiny.pt"
    OmegaConf.save(tree, config)
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        torch.save({"model": nets.from_config(str(config)).state_dict()}, weights)
    return weights, config
