"""Sending the masked video on to a media server, again and again if it has to be."""

from __future__ import annotations

import logging
import os
import select
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import BinaryIO, cast

import av

from stream.outputs.backlog import Backlog
from stream.outputs.film import Film
from stream.outputs.output import Shown
from stream.outputs.remux import PIPE
from stream.timeline import RTP_RATE
from stream.wire import Message

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
LAST_SECONDS = 5.0
LIVE = {"live": "1", "cluster_time_limit": "50", "flush_packets": "1"}

log = logging.getLogger(__name__)


class Push:
    """Encodes a session's pictures and has them sent to `url`; after a failure again in 1, 2 ... 30 s.

    Slates are sent too, so that the server's own viewers see them.

    Args:
        url: rtsp, rtmp or srt. May hold credentials: it is never logged or told.
        shown_as: how people see the URL.
    """

    def __init__(self, url: str, shown_as: str) -> None:
        self.shown_as = shown_as
        self.frames = 0
        self.connections = 0
        self.error: str | None = None
        self._url = url
        self._backlog = Backlog()
        self._start: int | None = None
        self._last = -1
        self._thread = threading.Thread(target=self._run, name="push", daemon=True)
        self._thread.start()

    def put(self, shown: Shown) -> None:
        self._backlog.put(shown)

    def close(self) -> None:
        self._backlog.close()

    def snapshot(self) -> Message:
        """How it is doing; `error` is why the last connection ended, null once the server takes pictures."""
        return {
            "url": self.shown_as,
            "frames": self.frames,
            "connections": self.connections,
            "dropped": self._backlog.dropped,
            "error": self.error,
        }

    # In the thread.

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while True:
            began_at = time.monotonic()
            try:
                if self._send():
                    return
            except Exception:
                log.exception("push to %s failed", self.shown_as)
                self.error = "failed"
            log.warning("push to %s: %s", self.shown_as, self.error)
            pause = FIRST_PAUSE if time.monotonic() - began_at > LONGEST_PAUSE else pause
            if not self._backlog.rest(pause):
                return
            pause = min(pause * 2, LONGEST_PAUSE)

    def _send(self) -> bool:
        """One connection, until it breaks or the pictures change size; True when the push was closed."""
        shown = self._backlog.take()
        if shown is None:
            return True
        self._start, self._last = None, -1
        command = [sys.executable, "-m", "stream.outputs.remux"]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
            self.connections += 1
            try:
                return self._feed(process, shown)
            except (av.FFmpegError, OSError):  # the other process has left, and says why
                self.error = _last_words(process) or "the server left"
                return False
            finally:
                process.kill()
                with suppress(OSError):  # what the other process did not take
                    cast(BinaryIO, process.stdin).close()

    def _feed(self, process: subprocess.Popen[bytes], first: Shown) -> bool:
        pipe = cast(BinaryIO, process.stdin)
        pipe.write(self._url.encode() + b"\n")
        pipe.flush()
        shown: Shown | None = first
        film = Film(pipe, PIPE, LIVE, _size(first))
        while shown is not None and _size(shown) == film.size:
            film.write(shown.image, self._ticks(shown))
            pipe.flush()
            self.frames += 1
            if self.error is not None and _is_sending(process):
                self.error = None
            shown = self._backlog.take()
        film.close()
        pipe.close()
        process.wait(LAST_SECONDS)
        self.error = None if shown is None else "the pictures changed their size"
        return shown is None

    def _ticks(self, shown: Shown) -> int:
        ticks = round((shown.frame.pts or 0.0) * RTP_RATE)
        self._start = ticks if self._start is None else self._start
        self._last = max(self._last + 1, ticks - self._start)
        return self._last


def _size(shown: Shown) -> tuple[int, int]:
    return shown.image.shape[1], shown.image.shape[0] * 2 // 3


def _is_sending(process: subprocess.Popen[bytes]) -> bool:
    """Whether the other process has said so; all that it ever says is that."""
    out = cast(BinaryIO, process.stdout)
    can_be_read, _, _ = select.select([out], [], [], 0)
    return bool(can_be_read) and bool(os.read(out.fileno(), 1))  # at its end there is nothing to read


def _last_words(process: subprocess.Popen[bytes]) -> str:
    try:
        process.wait(LAST_SECONDS)
    except subprocess.TimeoutExpired:
        return "nothing came in time"
    lines = process.stderr.read().decode(errors="replace").splitlines() if process.stderr else []
    return lines[-1] if lines else ""
