"""A small web server of the tests: files, redirects, slow and wrong answers, and a catcher of webhooks."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, dict[str, str], bytes]


@dataclass
class Caught:
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Web:
    """`pages` answer GET by path; POSTs are kept in `caught` and answered by `statuses` in turn, then 200,
    each after the seconds of `delays`, with `moved` as the place to go instead.
    """

    pages: dict[str, Callable[[], Reply]] = field(default_factory=dict)
    statuses: list[int] = field(default_factory=list)
    caught: list[Caught] = field(default_factory=list)
    posted: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    moved: str = ""
    stalled: set[str] = field(default_factory=set)
    shut: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Web:
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.asked.append(self.path)
                if self.path in web.stalled:
                    return self.trickle()
                page = web.pages.get(self.path)
                status, headers, body = page() if page else (404, {}, b"")
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def trickle(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", "100000")
                self.end_headers()
                with suppress(OSError):
                    while not web.shut.wait(1):
                        self.wfile.write(b"x")

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                web.posted.append(self.path)
                web.caught.append(Caught({k.lower(): v for k, v in self.headers.items()}, body))
                web.shut.wait(web.delays.pop(0) if web.delays else 0)
                self.send_response(web.statuses.pop(0) if web.statuses else 200)
                if web.moved:
                    self.send_header("Location", web.moved)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shut.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def serve(self, path: str, body: bytes, status: int = 200, **headers: str) -> str:
        self.pages[path] = lambda: (status, {k.replace("_", "-"): v for k, v in headers.items()}, body)
        return self.url + path

    def stall(self, path: str) -> str:
        """A page that comes byte by byte, until the server ends."""
        self.stalled.add(path)
        return self.url + path

    def wait(self, count: int = 1, seconds: float = 20) -> list[Caught]:
        deadline = time.monotonic() + seconds
        while len(self.caught) < count:
            assert time.monotonic() < deadline, f"{len(self.caught)} of {count} webhooks came"
            time.sleep(0.02)
        return self.caught
