"""What the routes of one application share."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import HTTPConnection

from engine.worker import Worker
from signaling.archive import Archive
from signaling.fal.service import FalService
from signaling.metrics import Metrics
from signaling.sessions import Registry
from signaling.settings import Settings
from signaling.sources import Sources
from signaling.viewers import Viewers
from stream.bucket import Bucket


@dataclass(frozen=True, slots=True, eq=False)
class AppState:
    """Made by `create_app`, one for each application."""

    settings: Settings
    worker: Worker
    sessions: Registry
    metrics: Metrics
    offers: Bucket
    sources: Sources
    h264: str
    decoder: str
    viewers: Viewers
    archive: Archive
    fal: FalService | None = None


def state_of(connection: HTTPConnection) -> AppState:
    """The state of the application that a request came to."""
    state = connection.app.state.livemask
    assert isinstance(state, AppState)
    return state
