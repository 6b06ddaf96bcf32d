"""fal's storage and tokens: the JavaScript client's uploads, the Python client's CDN, downloads.

Addresses: an upload goes to `/files/upload/{id}/{name}?token=...`, which is worth one upload; the file is
then at `/files/{id}/{name}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from signaling.fal.access import CDN, REALTIME, UPLOAD
from signaling.fal.errors import FalError
from signaling.fal.outbox import file_url
from signaling.fal.responses import read_json
from signaling.fal.service import FalService
from signaling.fal.settings import DAY
from signaling.fal.storage import ANYTHING, NewFile
from signaling.fal.submission import lifecycle_seconds
from signaling.fal.surfaces import files_origin
from signaling.fal.tables import File
from signaling.rights import Principal

TOKEN_SECONDS = 120
MAX_TOKEN_SECONDS = 3600
CDN_TOKEN_SECONDS = 3600
SHOWN = ("image/png", "image/jpeg", "image/webp", "image/gif", "image/bmp", "video/", "audio/")
# What is stored comes from strangers: no page, no script, whatever type it claims.
SAFE_HEADERS = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "sandbox; default-src 'none'",
    "cross-origin-resource-policy": "cross-origin",
    "accept-ranges": "bytes",
}


class TokenRoutes:
    """`/tokens/`, `/storage/...` of rest.fal.ai."""

    def __init__(self, service: FalService) -> None:
        self._service = service

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/tokens/", self.realtime_token, methods=["POST"]),
            Route("/tokens", self.realtime_token, methods=["POST"]),
            Route("/tokens/realtime", self.realtime_token, methods=["POST"]),
            Route("/storage/auth/token", self.cdn_token, methods=["POST"]),
            Route("/storage/upload/initiate", self.initiate, methods=["POST"]),
            Route("/storage/upload/initiate-multipart", self.initiate, methods=["POST"]),
            Route("/.well-known/jwks.json", self.jwks, methods=["GET"]),
        ]

    async def jwks(self, request: Request) -> Response:
        return JSONResponse(self._service.signer.jwks(), headers={"cache-control": "max-age=3600"})

    async def realtime_token(self, request: Request) -> Response:
        """A bare JSON string, which both clients read."""
        who = await self._service.access.require(request, "run")
        body = await _object(request, self._service)
        asked = body.get("token_expiration", body.get("duration", TOKEN_SECONDS))
        if isinstance(asked, bool) or not isinstance(asked, int | float) or asked != asked:
            raise FalError(400, f"token_expiration: expected seconds, got {asked!r}", "bad_request")
        seconds = min(max(float(asked), 1.0), MAX_TOKEN_SECONDS)
        apps = body.get("allowed_apps", [body["app"]] if "app" in body else [])
        if not isinstance(apps, list) or not all(isinstance(app, str) for app in apps):
            raise FalError(400, "allowed_apps: expected a list of strings", "bad_request")
        return JSONResponse(self._service.signer.token(REALTIME, who.key_id, seconds, apps=apps), 201)

    async def cdn_token(self, request: Request) -> Response:
        who = await self._service.access.require(request, "run")
        return JSONResponse(
            {
                "token": self._service.signer.token(CDN, who.key_id, CDN_TOKEN_SECONDS),
                "token_type": "Bearer",
                "base_url": files_origin(request, self._service.settings.public_url),
                "expires_at": (datetime.now(UTC) + timedelta(seconds=CDN_TOKEN_SECONDS)).isoformat(),
            }
        )

    async def initiate(self, request: Request) -> Response:
        service = self._service
        who = await service.access.require(request, "run")
        body = await _object(request, service)
        await service.storage.room(who.key_id)
        name, content_type = str(body.get("file_name") or "file"), str(body.get("content_type") or ANYTHING)
        new = NewFile(who.key_id, name, content_type, lifecycle_seconds(request.headers))
        file = await service.storage.reserve(new)
        origin = files_origin(request, service.settings.public_url)
        token = service.signer.token(UPLOAD, who.key_id, DAY, file=file.id)
        upload = f"{origin}/files/upload/{file.id}/{file.name}?token={quote(token)}"
        return JSONResponse({"upload_url": upload, "file_url": file_url(origin, file)})


class FileRoutes:
    """`/files/...` of v3.fal.media: uploads of both clients, downloads."""

    def __init__(self, service: FalService) -> None:
        self._service = service

    def routes(self) -> list[BaseRoute]:
        upload, part = "/files/upload/{file_id}/{name}", "/files/{file_id}/{name}/multipart/{upload_id}"
        return [
            Route("/files/upload", self.post_whole, methods=["POST"]),
            Route("/files/upload/multipart", self.post_multipart, methods=["POST"]),
            Route(upload, self.put_whole, methods=["PUT"]),
            Route(f"{upload}/complete", self.complete, methods=["POST"]),
            Route(f"{upload}/{{number:int}}", self.put_part, methods=["PUT"]),
            Route(f"{part}/complete", self.complete, methods=["POST"]),
            Route(f"{part}/{{number:int}}", self.put_part, methods=["PUT"]),
            Route("/files/{file_id}/{name}", self.download, methods=["GET"]),
            Route("/files/{file_id}", self.download, methods=["GET"]),
        ]

    async def post_whole(self, request: Request) -> Response:
        """The Python client's CDN: one request, and the file is there."""
        service, who = self._service, await self._service.access.require(request, "run", CDN)
        left = await service.storage.room(who.key_id)
        spooled = await service.storage.receive(request.stream(), left)
        file = await service.storage.reserve(_from_headers(request.headers, who))
        file = await service.storage.finish(file.id, spooled)
        origin = files_origin(request, service.settings.public_url)
        return JSONResponse({"access_url": file_url(origin, file)})

    async def post_multipart(self, request: Request) -> Response:
        service, who = self._service, await self._service.access.require(request, "run", CDN)
        await service.storage.room(who.key_id)
        file = await service.storage.reserve(_from_headers(request.headers, who))
        origin = files_origin(request, service.settings.public_url)
        return JSONResponse({"access_url": file_url(origin, file), "uploadId": file.id})

    async def put_whole(self, request: Request) -> Response:
        service = self._service
        file = await self._pending(request)
        left = await service.storage.room(file.owner)
        spooled = await service.storage.receive(request.stream(), left)
        file = await service.storage.finish(file.id, spooled)
        return JSONResponse(
            {"access_url": file_url(files_origin(request, service.settings.public_url), file)}
        )

    async def put_part(self, request: Request) -> Response:
        """Each client looks for the ETag in another place."""
        service = self._service
        file = await self._pending(request)
        left = await service.storage.room(file.owner)
        spooled = await service.storage.receive(request.stream(), left)
        part = await service.storage.add_part(file.id, request.path_params["number"], spooled)
        return JSONResponse({"partNumber": part.number, "etag": part.etag}, headers={"etag": part.etag})

    async def complete(self, request: Request) -> Response:
        service = self._service
        file = await self._pending(request)
        parts = (await _object(request, service)).get("parts", [])
        numbers: list[Any] = [part.get("partNumber") for part in parts if isinstance(part, dict)]
        if not all(isinstance(number, int) for number in numbers) or len(numbers) != len(parts):
            raise FalError(400, "parts: expected a list of {partNumber, etag}", "bad_request")
        file = await service.storage.complete(file.id, numbers)
        origin = files_origin(request, service.settings.public_url)
        return JSONResponse({"access_url": file_url(origin, file), "file_url": file_url(origin, file)})

    async def download(self, request: Request) -> Response:
        """The file, or one range of it. Whoever knows the address may read it."""
        file = await self._service.storage.find(request.path_params["file_id"])
        if file is None:
            raise FalError(404, "There is no such file, or it has expired", "not_found")
        inline = file.content_type.startswith(SHOWN)
        disposition = f'{"inline" if inline else "attachment"}; filename="{file.name}"'
        headers = {**SAFE_HEADERS, "content-disposition": disposition, "content-type": file.content_type}
        span = byte_range(request.headers.get("range"), file.size)
        if span is None:
            return Response(status_code=416, headers={"content-range": f"bytes */{file.size}"})
        start, end = span
        headers["content-length"] = str(end - start)
        partial = end - start != file.size
        if partial:
            headers["content-range"] = f"bytes {start}-{end - 1}/{file.size}"
        if request.method == "HEAD":
            return Response(status_code=206 if partial else 200, headers=headers)
        body = self._service.storage.read(file, start, end)
        return StreamingResponse(body, 206 if partial else 200, headers)

    async def _pending(self, request: Request) -> File:
        """The file that this upload is for, its owner's by the address's own token, a CDN token or key.

        Raises:
            FalError: 401 or 403 a wrong token, 404 no such upload, or it is complete.
        """
        service, file_id = self._service, request.path_params["file_id"]
        file = await service.storage.pending(file_id)
        token = request.query_params.get("token")
        if token is not None:
            claims = service.signer.read_token(token, UPLOAD)
            if claims is None or claims.get("file") != file_id:
                raise FalError(403, "This upload address is not valid, or no longer", "forbidden")
            owner = await service.access.of_token(claims)
        else:
            owner = await service.access.require(request, "run", CDN)
        if file is None or owner is None or file.owner != owner.key_id:
            raise FalError(404, "There is no such upload, or it is complete", "not_found")
        return file


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The (start, end) that one `Range: bytes=...` asks for; all of it when there is none or several, None
    if outside.

    RFC 9110 section 14: a range that is not understood is ignored.
    """
    if header is None or not header.startswith("bytes=") or "," in header:
        return 0, size
    first, dash, last = header.removeprefix("bytes=").strip().partition("-")
    if not dash or not (first or last) or not (first + last).isdecimal():
        return 0, size
    if not first:
        return (max(0, size - int(last)), size) if int(last) and size else None
    start, end = int(first), min(int(last) + 1, size) if last else size
    return (start, end) if start < end else None


def _from_headers(headers: Mapping[str, str], who: Principal) -> NewFile:
    name = headers.get("x-fal-file-name") or "file"
    return NewFile(who.key_id, name, headers.get("content-type") or ANYTHING, lifecycle_seconds(headers))


async def _object(request: Request, service: FalService) -> dict[str, Any]:
    body = await read_json(request, service.settings.body_bytes)
    if body is None:
        return {}
    if not isinstance(body, dict):
        raise FalError(400, "Expected a JSON object", "bad_request")
    return body
