"""A network on disk, as tests hand it around."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Checkpoint(NamedTuple):
    """Weights and their SAM 2 yaml, as `--checkpoint` and `--config` take them."""

    weights: Path
    config: Path
