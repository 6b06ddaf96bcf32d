"""A weights file learns how far its convolutions' inputs reach, from clips that are followed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from engine import weights
from engine.models import MODELS, load_model
from engine.training import calibrate
from engine.training.material import Material
from engine.training.textures import procedural_pictures


def test_ranges_are_written_beside_the_weights_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = weights.find(MODELS["pico"])
    path = tmp_path / shipped.name
    with safe_open(shipped, "pt") as file:
        told = {key: value for key, value in file.metadata().items() if key != weights.RANGES}
    save_file(load_file(shipped), path, told)
    assert weights.ranges(path) == {}
    material = Material(procedural_pictures(8, torch.Generator().manual_seed(0)))
    count = calibrate.calibrate(path, material, clips=1)
    found = weights.ranges(path)
    assert set(found) == set(calibrate.ROUNDED)
    assert count == sum(map(len, found.values())) > 30
    assert all(low < high for of in found.values() for low, high in of.values())
    with safe_open(path, "pt") as file:
        assert file.metadata().items() >= told.items()
    assert all(torch.equal(value, load_file(path)[key]) for key, value in load_file(shipped).items())
    monkeypatch.setattr(weights, "BUNDLED", tmp_path)
    image = torch.rand(1, 3, 32, 32).repeat_interleave(8, 2).repeat_interleave(8, 3)
    exact, rounded = (load_model("pico", device="cpu", dtype=dtype) for dtype in (torch.float32, None))
    with torch.inference_mode():
        (one, *_), (other, *_) = (model.parts.levels(image) for model in (exact, rounded))
    assert not torch.allclose(one, other, rtol=1e-3, atol=1e-3)


def test_other_files_have_none(tmp_path: Path) -> None:
    assert weights.ranges(shutil.copy(__file__, tmp_path / "net.pt")) == {}
