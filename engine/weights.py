"""Weight files: where a preset's file is, and strict loading into a network.

Knows the Hugging Face cache and the two file formats; knows no architecture.
"""

from __future__ import annotations

import json
import logging
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from engine.compiled.eightbit import Range, Ranges
from engine.types import EngineError

if TYPE_CHECKING:
    from engine.models import Preset

BUNDLED = Path(__file__).parent / "weights"
RANGES = "ranges"  # in a file's metadata, as JSON
ETAG_TIMEOUT_S = 5.0  # of the first question to the hub; offline it must fail soon

log = logging.getLogger(__name__)


def find(preset: Preset) -> Path:
    """The preset's weights on disk: bundled, cached, or fetched from the hub now.

    Raises:
        EngineError: MISSING_WEIGHTS naming the file, the hub id and the command that fetches it.
    """
    if preset.hub_id is None:
        path = BUNDLED / preset.checkpoint
        if not path.is_file():
            raise EngineError(
                "MISSING_WEIGHTS", f"{path} is missing: the package was installed without its weights"
            )
        return path
    try:
        return Path(hf_hub_download(preset.hub_id, preset.checkpoint, local_files_only=True))
    except LocalEntryNotFoundError:
        log.info("fetching %s of %s", preset.checkpoint, preset.hub_id)
    try:
        return Path(hf_hub_download(preset.hub_id, preset.checkpoint, etag_timeout=ETAG_TIMEOUT_S))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        command = f"hf download {preset.hub_id} {preset.checkpoint}"
        reason = str(error).strip().split("\n")[0]
        raise EngineError(
            "MISSING_WEIGHTS",
            f"{preset.checkpoint} of {preset.hub_id} is not cached and could not be fetched ({reason}); "
            f"fetch it with `{command}`",
        ) from error


def load(net: nn.Module, path: Path) -> None:
    """Load `path` into `net`; every key must be there, none left over, all shapes equal.

    Raises:
        EngineError: MISSING_WEIGHTS when there is no such file, BAD_WEIGHTS when it is unreadable
            (truncated, another format) or belongs to another architecture.
    """
    if not path.is_file():
        raise EngineError("MISSING_WEIGHTS", f"no weights file {path}")
    try:
        net.load_state_dict(_read(path), strict=True)
    except RuntimeError as error:  # how torch reports keys and shapes
        raise EngineError("BAD_WEIGHTS", f"{path} does not fit the network: {_brief(error)}") from error


def ranges(path: Path) -> dict[str, dict[str, Range]]:
    """Of each part's convolutions that are computed in eight bits, as `write_ranges` left them."""
    if path.suffix != ".safetensors":
        return {}
    with safe_open(path, "pt") as file:
        told = json.loads((file.metadata() or {}).get(RANGES, "{}"))
    return {part: {name: (low, high) for name, (low, high) in of.items()} for part, of in told.items()}


def write_ranges(path: Path, told: Mapping[str, Ranges]) -> None:
    """Put them beside what the file has."""
    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
    brief = {part: {k: [float(f"{x:.4g}") for x in v] for k, v in of.items()} for part, of in told.items()}
    save_file(load_file(path), path, metadata | {RANGES: json.dumps(brief)})


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, EOFError, OSError, RuntimeError, ValueError) as error:
        raise EngineError("BAD_WEIGHTS", f"{path} cannot be read: {_brief(error)}") from error
    state = content.get("model") if isinstance(content, dict) else None
    if not isinstance(state, dict):
        raise EngineError(
            "BAD_WEIGHTS", f'{path} must hold a dict with the key "model", as SAM 2 checkpoints do'
        )
    return state


def _brief(error: BaseException) -> str:
    """The error on one line that a person can read."""
    text = " ".join(str(error).split())
    return text if len(text) <= 400 else f"{text[:400]}..."
