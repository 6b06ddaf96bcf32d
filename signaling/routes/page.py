"""The page at `/`: plain files, always fetched afresh when they changed."""

from __future__ import annotations

from os import PathLike, stat_result
from pathlib import Path

from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

PAGE = Path(__file__).parents[2] / "web"


class PageFiles(StaticFiles):
    """Static files that a browser asks for again each time; unchanged ones cost a 304."""

    def file_response(
        self,
        full_path: str | PathLike[str],
        stat_result: stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["cache-control"] = "no-cache"
        return response


routes = [Mount("/", PageFiles(directory=PAGE, html=True), name="page")]
