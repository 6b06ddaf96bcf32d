"""The networks of these tests are so small that threads would only wait for each other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from engine.models import Model, load_model
from engine.synthetic import SyntheticClip


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def pico() -> Model:
    """The bundled model as it runs here; compiling it takes seconds."""
    return load_model("pico")


@pytest.fixture(scope="session")
def exact_pico() -> Model:
    """The same in float32, on the CPU."""
    return load_model("pico", device="cpu", dtype=torch.float32)


@pytest.fixture(scope="module")
def clip() -> SyntheticClip:
    return SyntheticClip(320, 240, fps=15)
