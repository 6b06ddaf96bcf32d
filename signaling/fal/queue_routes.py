"""fal's queue: submit, status, status stream, result, cancel."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from signaling.fal.errors import FalError
from signaling.fal.responses import KEEP_ALIVE, answer, event, events
from signaling.fal.service import FalService
from signaling.fal.submission import outcome_of, submit
from signaling.fal.surfaces import normal_app, owner_and_alias, queue_base
from signaling.fal.tables import COMPLETED, IN_PROGRESS, IN_QUEUE, Job, Log
from signaling.rights import Principal

KEEP_ALIVE_SECONDS = 15.0
LOGS = {"1": True, "true": True, "0": False, "false": False}
TOO_EARLY = "Request is still in progress"


class QueueRoutes:
    """The handlers, around one service."""

    def __init__(self, service: FalService) -> None:
        self._service = service

    def routes(self, submitting: bool = True) -> list[BaseRoute]:
        """`submitting` is false where POST to an app means to run it at once."""
        request = "/{app:path}/requests/{request_id}"
        routes: list[BaseRoute] = [
            Route(f"{request}/status/stream", self.stream, methods=["GET"]),
            Route(f"{request}/status", self.status, methods=["GET"]),
            Route(f"{request}/cancel", self.cancel, methods=["PUT"]),
            Route(f"{request}/response", self.result, methods=["GET"]),
            Route(request, self.result, methods=["GET"]),
            Route(f"{request}/", self.result, methods=["GET"]),
        ]
        return [*routes, Route("/{app:path}", self.submit, methods=["POST"])] if submitting else routes

    async def submit(self, request: Request) -> Response:
        who = await self._service.access.require(request, "run")
        job = await submit(self._service, request, request.path_params["app"], who)
        body = {**await self._status(request, job, [], with_logs=False), "status": IN_QUEUE}
        body = {
            name: value
            for name, value in body.items()
            if name not in ("logs", "metrics", "error", "error_type")
        }
        return JSONResponse({"queue_position": 0, **body}, headers={"x-fal-request-id": job.id})

    async def status(self, request: Request) -> Response:
        job = await self._job(request)
        with_logs = _wants_logs(request)
        logs = await self._service.jobs.logs(job.id) if with_logs else []
        body = await self._status(request, job, logs, with_logs=with_logs)
        return JSONResponse(body, 200 if job.status == COMPLETED else 202, {"x-fal-request-id": job.id})

    async def stream(self, request: Request) -> Response:
        job = await self._job(request)
        return events(self._changes(request, job.id, _wants_logs(request)), {"x-fal-request-id": job.id})

    async def _changes(self, request: Request, job_id: str, with_logs: bool) -> AsyncIterator[bytes]:
        """The status whenever it differs, each time with the lines that were not sent yet."""
        last, sent, quiet_since = None, 0, time.monotonic()
        while True:
            job = await self._service.jobs.get(job_id)
            if job is None:
                return
            # The job is read before its log: lines are written before the state, so none is missed.
            logs = await self._service.jobs.logs(job_id, sent) if with_logs else []
            body = await self._status(request, job, logs, with_logs=with_logs)
            now = (job.status, body.get("queue_position"))
            if now != last or logs:
                yield event(body)
                last, sent, quiet_since = now, logs[-1].id if logs else sent, time.monotonic()
            if job.status == COMPLETED:
                return
            if time.monotonic() - quiet_since >= KEEP_ALIVE_SECONDS:
                yield KEEP_ALIVE
                quiet_since = time.monotonic()
            await self._service.bells.wait(job_id, 1.0)

    async def result(self, request: Request) -> Response:
        job = await self._job(request)
        if job.status != COMPLETED:
            raise FalError(400, TOO_EARLY, "bad_request", {"x-fal-request-id": job.id})
        return answer(outcome_of(job), job.id)

    async def cancel(self, request: Request) -> Response:
        try:
            job = await self._job(request, "run")
        except FalError as error:
            if error.status != 404:
                raise
            return JSONResponse({"status": "NOT_FOUND"}, 404)
        found = await self._service.cancel(job.id)
        if found == "completed":
            return JSONResponse({"status": "ALREADY_COMPLETED"}, 400)
        return JSONResponse({"status": "CANCELLATION_REQUESTED"}, 202)

    async def _job(self, request: Request, scope: str = "view") -> Job:
        """The request that the path names, if the caller may see it; one of somebody else's is not found."""
        who = await self._service.access.require(request)
        job = await self._service.jobs.get(request.path_params["request_id"])
        app = owner_and_alias(normal_app(request.path_params["app"]))
        if job is None or owner_and_alias(job.endpoint) != app or not _may(who, job, scope):
            raise FalError(404, "Request not found", "not_found")
        return job

    async def _status(
        self, request: Request, job: Job, logs: Sequence[Log], *, with_logs: bool
    ) -> dict[str, Any]:
        body = self._addresses(request, job)
        if job.status == IN_QUEUE:
            return {**body, "queue_position": await self._service.jobs.position(job)}
        body["logs"] = [log_line(line) for line in logs] if with_logs else None
        if job.status == IN_PROGRESS:
            return body
        body["metrics"] = {"inference_time": job.inference_seconds or 0.0}
        if job.error is not None:
            body |= {"error": job.error, "error_type": job.error_type}
        return body

    def _addresses(self, request: Request, job: Job) -> dict[str, Any]:
        base = f"{queue_base(request, self._service.settings.public_url, job.endpoint)}/{job.id}"
        return {
            "status": job.status,
            "request_id": job.id,
            "gateway_request_id": job.id,
            "response_url": base,
            "status_url": f"{base}/status",
            "cancel_url": f"{base}/cancel",
        }


def log_line(line: Log) -> dict[str, str]:
    when = datetime.fromtimestamp(line.timestamp, UTC).isoformat()
    return {"message": line.message, "level": line.level, "source": "USER", "timestamp": when}


def _may(who: Principal, job: Job, scope: str) -> bool:
    own = who.key_id == job.owner and who.may("run")
    return own or who.may("admin") or (scope == "view" and who.may("view"))


def _wants_logs(request: Request) -> bool:
    params: Mapping[str, str] = request.query_params
    return LOGS.get(params.get("logs", "0").lower(), False)
