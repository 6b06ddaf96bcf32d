"""Recording a session and sending it on; docs/protocol.md section 17."""

from __future__ import annotations

import json
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from signaling.errors import ApiError
from signaling.routes.common import live_of, media_type
from signaling.state import state_of
from stream.outputs.coco import coco

ENDINGS = {".mp4": "video/mp4", ".jsonl": "application/jsonl"}
COCO = ".coco.json"


async def start(request: Request) -> Response:
    """201: it is being recorded from the next frame on."""
    recorder = state_of(request).archive.record(live_of(request))
    return JSONResponse(recorder.snapshot(), 201)


async def show(request: Request) -> Response:
    """How the recording is doing, or why it ended; 404 while there has been none."""
    recorder = state_of(request).archive.recorder(live_of(request))
    if recorder is None:
        raise ApiError(404, "NOT_FOUND", "this session is not being recorded")
    return JSONResponse(recorder.snapshot())


async def stop(request: Request) -> Response:
    """200 when the files are whole."""
    return JSONResponse((await state_of(request).archive.stop(live_of(request))).snapshot())


async def listing(request: Request) -> Response:
    """The files there are, oldest first."""
    folder = state_of(request).archive.folder
    files = sorted(folder.iterdir()) if folder else []
    found = [{"name": each.name, "bytes": each.stat().st_size} for each in files if each.suffix in ENDINGS]
    return JSONResponse({"recordings": found})


async def download(request: Request) -> Response:
    """One file; `NAME.coco.json` is made of `NAME.jsonl`."""
    name = request.path_params["name"]
    if name.endswith(COCO):
        lines = _file(request, name.removesuffix(COCO) + ".jsonl")
        return StreamingResponse(coco(lines), media_type="application/json")
    return FileResponse(
        _file(request, name), media_type=ENDINGS["." + name.rpartition(".")[2]], filename=name
    )


def _file(request: Request, name: str) -> Path:
    """A file of the recordings.

    Raises:
        ApiError: 404.
    """
    folder = state_of(request).archive.folder
    known = "." + name.rpartition(".")[2] in ENDINGS and "/" not in name
    if folder is None or not known or not (folder / name).is_file():
        raise ApiError(404, "NOT_FOUND", "there is no such recording")
    return folder / name


async def push(request: Request) -> Response:
    """201 with the push's id: from now on the masked video is sent to the URL in the body."""
    live = live_of(request)
    if media_type(request) != "application/json":
        raise ApiError(415, "INVALID_INPUT", "Content-Type: expected application/json")
    try:
        url = json.loads(await request.body())["url"]
    except (ValueError, KeyError, TypeError, RecursionError):
        url = None
    if not isinstance(url, str):
        raise ApiError(400, "INVALID_INPUT", 'body: expected {"url": text}')
    push_id, started = state_of(request).archive.push(live, url)
    location = f"/sessions/{live.session_id}/pushes/{push_id}"
    return JSONResponse({"id": push_id, **started.snapshot()}, 201, headers={"location": location})


async def pushes(request: Request) -> Response:
    """Every push of a session."""
    found = state_of(request).archive.pushes(live_of(request))
    return JSONResponse({"pushes": [{"id": each, **push.snapshot()} for each, push in found.items()]})


async def stop_push(request: Request) -> Response:
    """204: it is being ended."""
    state_of(request).archive.stop_push(live_of(request), request.path_params["push_id"])
    return Response(status_code=204)


routes = [
    Route("/sessions/{session_id}/recording", start, methods=["POST"]),
    Route("/sessions/{session_id}/recording", show, methods=["GET"]),
    Route("/sessions/{session_id}/recording", stop, methods=["DELETE"]),
    Route("/recordings", listing, methods=["GET"]),
    Route("/recordings/{name}", download, methods=["GET"]),
    Route("/sessions/{session_id}/pushes", push, methods=["POST"], max_body_size=8192),
    Route("/sessions/{session_id}/pushes", pushes, methods=["GET"]),
    Route("/sessions/{session_id}/pushes/{push_id}", stop_push, methods=["DELETE"]),
]
