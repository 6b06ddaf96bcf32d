"""A clip of a disc crossing a patterned background, and an untrained run to score."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from crossing import FRAMES, frame

from engine.pico import PicoConfig, build_pico


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with crossing.mkv, lossless."""
    folder = tmp_path_factory.mktemp("clips")
    with av.open(str(folder / "crossing.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        first, _ = frame(0)
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "bgr0"
        for t in range(FRAMES):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame(t)[0]), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return folder


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a training run saves, before it has learned anything."""
    path = tmp_path_factory.mktemp("run") / "last.pt"
    config = PicoConfig(image_size=64)
    with torch.random.fork_rng():
        torch.manual_seed(4)
        state = {"average": build_pico(config).state_dict(), "pico": asdict(config), "step": 0}
    torch.save(state, path)
    return path
