"""fal's synchronous calls: run, and stream as server-sent events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from signaling.fal.queue_routes import log_line
from signaling.fal.responses import KEEP_ALIVE, answer, event, events
from signaling.fal.service import FalService
from signaling.fal.submission import outcome_of, submit, wait_for
from signaling.fal.tables import COMPLETED, Job

KEEP_ALIVE_SECONDS = 15.0
HANG_UP_SECONDS = 0.5


class RunRoutes:
    """The handlers, around one service."""

    def __init__(self, service: FalService) -> None:
        self._service = service

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/{app:path}/stream", self.stream, methods=["POST"]),
            Route("/{app:path}", self.run, methods=["GET", "POST"]),
        ]

    async def run(self, request: Request) -> Response:
        """The model's output itself. A caller that hangs up cancels the request."""
        who = await self._service.access.require(request, "run", "realtime")
        job = await submit(self._service, request, request.path_params["app"], who)
        done = asyncio.create_task(wait_for(self._service, job.id))
        gone = asyncio.create_task(_hung_up(request))
        try:
            await asyncio.wait((done, gone), return_when=asyncio.FIRST_COMPLETED)
            if not done.done():
                await self._service.cancel(job.id)
            finished = await done
        finally:
            done.cancel()
            gone.cancel()
        return answer(outcome_of(finished), finished.id)

    async def stream(self, request: Request) -> Response:
        """Log lines as they come, each `{"logs": [...]}`; the last event is the output."""
        who = await self._service.access.require(request, "run", "realtime")
        job = await submit(self._service, request, request.path_params["app"], who)
        if job.status == COMPLETED:
            return answer(outcome_of(job), job.id)
        return events(self._progress(job), {"x-fal-request-id": job.id})

    async def _progress(self, job: Job) -> AsyncIterator[bytes]:
        sent, quiet_since = 0, time.monotonic()
        finished = False
        try:
            while not finished:
                now = await self._service.jobs.get(job.id)
                if now is None:
                    return
                lines = await self._service.jobs.logs(job.id, sent)
                if lines:
                    yield event({"logs": [log_line(line) for line in lines]})
                    sent, quiet_since = lines[-1].id, time.monotonic()
                finished = now.status == COMPLETED
                if finished:
                    yield event(now.result)
                    return
                if time.monotonic() - quiet_since >= KEEP_ALIVE_SECONDS:
                    yield KEEP_ALIVE
                    quiet_since = time.monotonic()
                await self._service.bells.wait(job.id, 1.0)
        finally:
            if not finished:  # the caller hung up, and this task is being cancelled
                self._service.spawn(self._service.cancel(job.id))


async def _hung_up(request: Request) -> None:
    while not await request.is_disconnected():  # noqa: ASYNC110 (ASGI has no event for it)
        await asyncio.sleep(HANG_UP_SECONDS)
