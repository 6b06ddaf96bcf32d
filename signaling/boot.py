"""From settings to a model and to the options of a tracker."""

from __future__ import annotations

from engine.models import DTYPES, Model, load_model
from signaling.settings import Settings, SettingsError


def boot_model(settings: Settings) -> Model:
    """Load the model that the settings name.

    Raises:
        EngineError: as `load_model`; the message says which file is missing and how to fetch it.
        SettingsError: an unknown dtype.
    """
    if settings.dtype is not None and settings.dtype not in DTYPES:
        raise SettingsError(f"dtype: expected {' or '.join(DTYPES)}, got {settings.dtype!r}")
    return load_model(
        settings.model,
        device=settings.device,
        image_size=settings.image_size,
        dtype=DTYPES[settings.dtype] if settings.dtype else None,
        checkpoint=settings.checkpoint,
        config=settings.config,
    )
