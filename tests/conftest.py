"""What tests of every room share."""

from __future__ import annotations

import os
from importlib import resources

import pytest
import torch
from checkpoint import Checkpoint
from omegaconf import OmegaConf

from engine import nets

# OpenMP's threads spin while they wait: on a machine with as many busy processes as cores, two of them are
# several times slower than one. Set for the processes that tests start, too.
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A whole SAM 2.1, every feature on, small enough for tests; random weights from a fixed seed."""
    tree = OmegaConf.load(str(resources.files("sam2") / "configs/sam2.1/sam2.1_hiera_t.yaml"))
    model = tree.model
    model.image_size = 128
    trunk = {"embed_dim": 16, "stages": [1, 1, 2, 1], "global_att_blocks": [3]}
    model.image_encoder.trunk.merge_with(trunk)
    model.image_encoder.neck.backbone_channel_list = [128, 64, 32, 16]
    model.memory_attention.num_layers = 1
    model.memory_attention.layer.dim_feedforward = 64
    folder = tmp_path_factory.mktemp("tiny")
    config, weights = folder / "tiny.yaml", folder / "tiny.pt"
    OmegaConf.save(tree, config)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        torch.save({"model": nets.from_config(str(config)).state_dict()}, weights)
    return Checkpoint(weights, config)
