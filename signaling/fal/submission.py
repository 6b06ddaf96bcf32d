"""From an HTTP request to a job: its input, its headers, its place in the queue."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from typing import Any

from starlette.requests import HTTPConnection, Request

from signaling.fal.endpoints import Endpoint, find_endpoint
from signaling.fal.errors import FalError
from signaling.fal.fetch import UrlRefused, check_url
from signaling.fal.jobs import PRIORITIES, Limits, NewJob, Outcome
from signaling.fal.responses import read_json, strict_json
from signaling.fal.service import FalService
from signaling.fal.surfaces import files_origin, normal_app
from signaling.fal.tables import Job
from signaling.rights import Principal

LIFECYCLE_HEADERS = ("x-fal-object-lifecycle-preference", "x-fal-object-lifecycle")
MAX_LIFE_SECONDS = 10 * 366 * 86_400
NEVER = 0
OUR_PARAMETERS = ("fal_webhook", "fal_jwt_token", "max_buffering")


async def submit(service: FalService, request: Request, app: str, who: Principal) -> Job:
    """Put the request into the queue. An input that is refused becomes a completed request with that answer.

    Raises:
        FalError: 404 no such endpoint, 400 a header or query that is wrong, 413, 429.
    """
    endpoint = find_endpoint(normal_app(app))
    if request.method == "GET":
        body: Any = _from_query(request.query_params)
    else:
        body = await read_json(request, service.settings.body_bytes)
    return await enqueue(service, request, endpoint, body, who)


async def enqueue(
    service: FalService, request: HTTPConnection, endpoint: Endpoint, body: Any, who: Principal
) -> Job:
    """As `submit`, with an input that was already read."""
    headers = request.headers
    kept, outcome = None, None
    try:
        checked = endpoint.read(body, service.model())
        kept = checked.model_dump(mode="json", exclude_unset=True)
        kept = await _with_kept_files(service, endpoint, kept, who)
    except FalError as error:
        outcome = Outcome.failed(error)
    new = NewJob(
        endpoint=endpoint.app,
        owner=who.key_id,
        origin=files_origin(request, service.settings.public_url),
        input=kept,
        priority=_priority(headers),
        start_deadline=_start_deadline(headers),
        max_tries=1 if _no_retry(headers) else service.settings.max_tries,
        webhook_url=_webhook(request.query_params.get("fal_webhook")),
        file_seconds=lifecycle_seconds(headers),
        keep_io=headers.get("x-fal-store-io", "1") != "0",
    )
    limits = Limits(who.max_jobs or service.settings.key_jobs, service.settings.max_queue)
    job = await service.jobs.submit(new, limits, time.time(), outcome)
    service.bells.ring()
    service.bells.ring("webhooks")
    return job


async def wait_for(service: FalService, job_id: str) -> Job:
    """The request when it is completed."""
    while True:
        job = await service.jobs.get(job_id)
        if job is None:
            raise FalError(404, "Request not found", "not_found")
        if job.status == "COMPLETED":
            return job
        await service.bells.wait(job_id, 1.0)


def outcome_of(job: Job) -> Outcome:
    assert job.http_status is not None
    return Outcome(job.http_status, job.result, job.error, job.error_type, job.inference_seconds)


def lifecycle_seconds(headers: Mapping[str, str]) -> int | None:
    """How long files are to be kept: None when not said, 0 for ever.

    Raises:
        FalError: 400, a header that is not fal's JSON.
    """
    for name in LIFECYCLE_HEADERS:
        text = headers.get(name)
        if text is None:
            continue
        try:
            value = json.loads(text)["expiration_duration_seconds"]
        except (KeyError, TypeError):
            return None
        except ValueError:
            raise FalError(400, f"{name}: expected JSON, got {text[:100]!r}", "bad_request") from None
        if value is None:
            return NEVER
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 <= value <= MAX_LIFE_SECONDS:
            raise FalError(400, f"{name}: expected seconds, got {value!r}", "bad_request")
        return int(value)
    return None


def _from_query(params: Mapping[str, str]) -> dict[str, Any]:
    """An input in the query of a GET: lists are written as JSON there."""
    body: dict[str, Any] = {}
    for name, value in params.items():
        if name in OUR_PARAMETERS:
            continue
        try:
            body[name] = strict_json(value) if value.startswith("[") else value
        except ValueError:
            body[name] = value
    return body


def _no_retry(headers: Mapping[str, str]) -> bool:
    return headers.get("x-fal-no-retry", "").lower() in ("1", "true", "yes")


def _priority(headers: Mapping[str, str]) -> int:
    name = headers.get("x-fal-queue-priority", "normal").lower()
    if name not in PRIORITIES:
        names = ", ".join(PRIORITIES)
        raise FalError(400, f"x-fal-queue-priority: expected {names}, got {name[:50]!r}", "bad_request")
    return PRIORITIES[name]


def _start_deadline(headers: Mapping[str, str]) -> float | None:
    text = headers.get("x-fal-request-timeout")
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = float("nan")
    if not 0.1 < seconds < 1e7:
        problem = f"x-fal-request-timeout: expected seconds above 0.1, got {text[:50]!r}"
        raise FalError(400, problem, "bad_request")
    return time.time() + seconds


def _webhook(url: str | None) -> str | None:
    if not url:
        return None
    try:
        return check_url(url)
    except UrlRefused as error:
        raise FalError(400, f"fal_webhook: {error}", "bad_request") from None


async def _with_kept_files(
    service: FalService, endpoint: Endpoint, body: Mapping[str, Any], who: Principal
) -> dict[str, Any]:
    """The input with data URIs moved into the storage: the database stays small, the job survives a
    restart.
    """
    kept = dict(body)
    for name in endpoint.files:
        url = kept.get(name)
        if isinstance(url, str) and re.match("data:", url, re.IGNORECASE):
            seconds = service.settings.job_seconds
            kept[name] = await service.inbox.keep_data_uri(url, who.key_id, seconds, (name,))
    return kept
