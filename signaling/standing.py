"""Cameras that are followed from the start of the service on, whether anybody watches or not."""

from __future__ import annotations

import asyncio
import logging

from signaling.cameras import Camera
from signaling.opening import open_session
from signaling.sessions import ServerFull
from signaling.state import AppState
from stream.options import Offer, SessionOptions
from stream.sources.request import CameraRequest

LOOK_SECONDS = 0.2
AGAIN_SECONDS = 5.0

logger = logging.getLogger("livemask")


async def keep_standing(state: AppState) -> None:
    """Keep a session for each camera with `autostart`: one that failed is opened anew, a deleted one not."""
    cameras = [camera for camera in state.sources.cameras.values() if camera.autostart]
    while cameras and not (state.worker.ready or state.worker.error):  # noqa: ASYNC110 (it is a thread)
        await asyncio.sleep(LOOK_SECONDS)
    if not state.worker.error:
        await asyncio.gather(*(_keep(state, camera) for camera in cameras))


async def _keep(state: AppState, camera: Camera) -> None:
    offer = Offer(None, SessionOptions(CameraRequest(camera.name)), camera.prompts)
    while True:
        try:
            session_id, _ = await state.sessions.open(
                lambda session_id: open_session(state, session_id, offer)
            )
        except ServerFull:
            logger.error("camera %s: all sessions are taken; see --max-sessions", camera.name)
        else:
            logger.info("camera %s is followed by session %s", camera.name, session_id)
            reason = await state.sessions.ended_because(session_id)
            if not reason.startswith("failed"):
                return
        await asyncio.sleep(AGAIN_SECONDS)
