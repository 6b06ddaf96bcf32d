"""What an HTTP client is told when something is refused: `{"detail": text, "error_type": code}`."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

logger = logging.getLogger("livemask")

ERROR_TYPES = {
    400: "INVALID_INPUT",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "TOO_LARGE",
}


class ApiError(HTTPException):
    """A refusal: HTTP status, a stable code in upper case, a text for people, maybe headers."""

    def __init__(
        self, status: int, error_type: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.error_type = error_type

    def response(self) -> JSONResponse:
        body = {"detail": self.detail, "error_type": self.error_type}
        return JSONResponse(body, self.status_code, headers=dict(self.headers or {}))


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Answer a refusal of ours or of Starlette's (no such route, body too large) in our shape."""
    assert isinstance(error, HTTPException)
    if isinstance(error, ApiError):
        return error.response()
    error_type = ERROR_TYPES.get(error.status_code, "HTTP_ERROR")
    return ApiError(error.status_code, error_type, error.detail, error.headers).response()


async def on_exception(request: Request, error: Exception) -> Response:
    """Answer a fault of ours without its details; Starlette raises it again for the log."""
    return ApiError(500, "INTERNAL_ERROR", "something went wrong here; the log says what").response()
