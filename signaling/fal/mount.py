"""The API around the service's own settings and engine: the seam between `signaling` and `signaling.fal`."""

from __future__ import annotations

from engine.worker import Worker
from signaling.fal.service import FalService
from signaling.fal.settings import FalSettings
from signaling.keyring import KeyRing
from signaling.settings import Settings

# For the CORS middleware: what browsers' clients send and read.
CORS_METHODS = ("GET", "POST", "PUT", "DELETE")
CORS_EXPOSED = (
    "etag",
    "x-fal-request-id",
    "x-fal-error-type",
    "x-fal-request-timeout-type",
    "x-fal-retryable",
    "x-fal-billable-units",
)


def fal_service(settings: Settings, worker: Worker, fal: FalSettings) -> FalService:
    """The API on `worker`. A key is required where the service is reachable from the network, or has keys."""
    required = fal.require_key or settings.keys_required

    def model() -> str:
        return worker.model.name if worker.ready else settings.model

    return FalService(
        fal,
        open_lane=lambda: worker.open(
            max_cond_frames=settings.max_cond_frames, max_objects=settings.max_objects, history=0
        ),
        call=worker.call,
        ready=lambda: worker.ready,
        model=model,
        ring=KeyRing(settings, required=required, rate=fal.key_rate),
    )
