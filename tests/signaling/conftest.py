"""Fixtures of the service's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from checkpoint import Checkpoint
from signaling_service import Service, serving

from engine.models import Model, load_model
from engine.worker import Worker
from signaling.settings import Settings


@pytest.fixture(scope="session")
def tiny_model(tiny_checkpoint: Checkpoint) -> Model:
    return load_model(checkpoint=tiny_checkpoint.weights, config=tiny_checkpoint.config, device="cpu")


@pytest.fixture
async def service(tiny_model: Model) -> AsyncIterator[Service]:
    """The service with default settings and a tiny network."""
    async with serving(Settings(port=0, offers_per_second=100), Worker(lambda: tiny_model)) as running:
        yield running
