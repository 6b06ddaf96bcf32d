"""What is recorded and pushed, by session: started and stopped, within what the operator allows."""

from __future__ import annotations

import secrets
import weakref
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from signaling.errors import ApiError
from signaling.settings import Settings
from stream.live import Live
from stream.outputs.push import Push
from stream.outputs.recorder import Recorder
from stream.outputs.remux import FORMS

PUSHES = 4


class Archive:
    """Recordings and pushes of all sessions."""

    def __init__(self, settings: Settings) -> None:
        self.folder = Path(settings.recordings_dir).resolve() if settings.recordings_dir else None
        self._allowed = settings.push_urls
        self._recorders: dict[str, Recorder] = {}
        self._pushes: weakref.WeakKeyDictionary[Live, dict[str, Push]] = weakref.WeakKeyDictionary()
        self._last: weakref.WeakKeyDictionary[Live, Recorder] = weakref.WeakKeyDictionary()

    def recorder(self, live: Live) -> Recorder | None:
        """What records this session now, or did last."""
        return self._recorders.get(live.session_id) or self._last.get(live)

    def record(self, live: Live) -> Recorder:
        """Begin to record.

        Raises:
            ApiError: 403 where recording is off, 409 while it is being recorded, 507 on a full disk.
        """
        if self.folder is None:
            raise ApiError(403, "NOT_ALLOWED", "recording is off here; see --recordings-dir")
        if live.session_id in self._recorders:
            raise ApiError(409, "RECORDING", "this session is being recorded already")
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{live.name or live.session_id[:8]}-{secrets.token_hex(2)}"
        try:
            recorder = Recorder(self.folder / name, lambda ended: self._ended(live, ended))
        except OSError as error:
            raise ApiError(507, "DISK", f"the recording cannot be written: {error.strerror}") from None
        self._recorders[live.session_id] = recorder
        live.session.add_output(recorder)
        live.session.record(name)
        return recorder

    async def stop(self, live: Live) -> Recorder:
        """Stop recording; the files are whole when this returns.

        Raises:
            ApiError: 404, it is not being recorded.
        """
        recorder = self._recorders.get(live.session_id)
        if recorder is None:
            last = self._last.get(live)
            why = f"; the last recording ended: {last.ended}" if last else ""
            raise ApiError(404, "NOT_FOUND", f"this session is not being recorded{why}")
        live.session.remove_output(recorder)
        recorder.close()
        await recorder.finished()
        return recorder

    def pushes(self, live: Live) -> dict[str, Push]:
        return self._pushes.get(live, {})

    def push(self, live: Live, url: str) -> tuple[str, Push]:
        """Begin to send the masked video to `url`; gives the push's id.

        Raises:
            ApiError: 403 for a URL that is not allowed, 409 when there are too many.
        """
        if not self._may_push(url):
            raise ApiError(403, "NOT_ALLOWED", "url: not one that sessions may be pushed to; see --push-urls")
        pushes = self._pushes.setdefault(live, {})
        if len(pushes) >= PUSHES:
            raise ApiError(409, "TOO_MANY", f"expected at most {PUSHES} pushes of one session")
        push_id, push = secrets.token_hex(8), Push(url, _shown(url))
        pushes[push_id] = push
        live.session.add_output(push)
        return push_id, push

    def stop_push(self, live: Live, push_id: str) -> None:
        """End a push.

        Raises:
            ApiError: 404.
        """
        push = self._pushes.get(live, {}).pop(push_id, None)
        if push is None:
            raise ApiError(404, "NOT_FOUND", "there is no such push")
        live.session.remove_output(push)
        push.close()

    def _may_push(self, url: str) -> bool:
        """Whether a beginning that is allowed ends at a border: x://cdn does not allow x://cdn.evil."""
        try:
            parts = urlsplit(url)
            if parts.scheme not in FORMS or not parts.hostname or ".." in parts.path.split("/"):
                return False
        except ValueError:
            return False
        begun = (each for each in self._allowed if url.startswith(each))
        return any(each.endswith("/") or url[len(each) :][:1] in ("", "/", "?") for each in begun)

    def _ended(self, live: Live, recorder: Recorder) -> None:
        live.session.remove_output(recorder)
        live.session.record(recorder.stem.name, recorder.ended)
        self._recorders.pop(live.session_id, None)
        self._last[live] = recorder


def _shown(url: str) -> str:
    """Host and scheme: path and query are the stream's key with most services."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}/..."
