"""Opening a session: an engine lane, a source, and whoever runs the two."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import nullcontext

from prometheus_client import Histogram

from engine.types import Frame, MaskSet, Prompt
from engine.worker import Lane
from signaling.sessions import Opened
from signaling.sources import Made
from signaling.state import AppState
from signaling.turn import reach
from stream.live import Live
from stream.options import Offer
from stream.peer import Peer
from stream.prompt_message import PromptMessage
from stream.replies import Ack
from stream.session import Session, Step

logger = logging.getLogger("livemask")


async def open_session(state: AppState, session_id: str, offer: Offer) -> Opened:
    """A session for a checked body of `POST /sessions`.

    Raises:
        ApiError: a source that may not be used.
        WireError: an offer that cannot be answered.
    """
    made = await state.sources.make(offer.options.source)
    lane, step = open_lane(state)
    try:
        if offer.sdp is None:
            assert made is not None
            live = unattended(state, session_id, made, step, offer)
            return Opened(live, lane)
        peer = _peer(state, session_id, made, step, offer)
        opened = Opened(peer, lane, await peer.answer(offer.sdp))
        if peer.session is not None:
            prompt_first(peer.session, offer.prompts)
        return opened
    except BaseException:
        lane.close()
        raise


def open_lane(state: AppState) -> tuple[Lane, Step]:
    """A place at the engine, and it as a session sees it."""
    settings = state.settings
    lane = state.worker.open(
        max_cond_frames=settings.max_cond_frames,
        max_objects=settings.max_objects,
        history=settings.history,
    )
    return lane, EngineStep(lane, state.metrics.step_seconds)


def unattended(state: AppState, session_id: str, made: Made, step: Step, offer: Offer) -> Live:
    """A session that runs whether anybody watches or not."""
    live = Live(
        session_id,
        made.source,
        step,
        offer.options,
        name=made.name,
        h264=state.h264,
        status=made.status,
        on_demand=made.on_demand,
    )
    prompt_first(live.session, offer.prompts)
    return live


def prompt_first(session: Session, prompts: Sequence[PromptMessage]) -> None:
    """Let the first picture be processed with these; a refusal has nobody to hear it but the log."""
    for message in prompts:
        session.submit(message).add_done_callback(_log_refusal)


class EngineStep:
    """The engine as a session sees it: one awaitable call; pictures to begin with beforehand; and previews.

    Args:
        seconds: where steps are timed, if they are to be.
    """

    def __init__(self, lane: Lane, seconds: Histogram | None = None) -> None:
        self._lane, self._seconds = lane, seconds

    async def __call__(self, frame: Frame, prompts: Sequence[Prompt]) -> MaskSet:
        with self._seconds.time() if self._seconds else nullcontext():
            return await asyncio.wrap_future(self._lane.submit(frame, prompts))

    def spare(self) -> bool:
        return self._lane.spare()

    def prepare(self, frame: Frame) -> None:
        self._lane.prepare(frame)

    def preview(self, prompts: Sequence[Prompt]) -> asyncio.Future[MaskSet]:
        return asyncio.wrap_future(self._lane.preview(prompts))


def _peer(state: AppState, session_id: str, made: Made | None, step: Step, offer: Offer) -> Peer:
    if made is None:
        return Peer(session_id, step, offer.options, reach(state.settings), h264=state.h264)
    return Peer(
        session_id,
        step,
        offer.options,
        reach(state.settings),
        source=made.source,
        h264=state.h264,
        status=made.status,
        on_demand=made.on_demand,
        name=made.name,
    )


def _log_refusal(answer: asyncio.Future[Ack]) -> None:
    if not answer.cancelled() and answer.exception() is not None:
        logger.warning("a prompt given at the start was refused: %s", answer.exception())
