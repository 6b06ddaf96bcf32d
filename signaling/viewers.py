"""The viewers there are, of all sessions; found by id, counted, closed."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable

from stream.viewer import Viewer

CLOSE_SECONDS = 5.0

logger = logging.getLogger("livemask")


class ViewersFull(Exception):
    """The limit of viewers is reached."""


class Viewers:
    """All viewers of the service; `limit` at once, those counted whose offer is being answered."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._running: dict[str, tuple[Viewer, asyncio.Task[None]]] = {}
        self._opening = 0

    def __len__(self) -> int:
        return len(self._running) + self._opening

    async def open(self, make: Callable[[str], Awaitable[tuple[Viewer, str]]]) -> tuple[str, str]:
        """Let somebody in, if need be in the place of one who is silent; gives the new id and the SDP answer.

        Raises:
            ViewersFull: there is no place.
        """
        if len(self) >= self.limit:
            await self._close_a_silent_one()
        if len(self) >= self.limit:
            raise ViewersFull
        self._opening += 1
        viewer_id = secrets.token_hex(16)
        try:
            viewer, answer = await make(viewer_id)
        finally:
            self._opening -= 1
        self._running[viewer_id] = viewer, asyncio.create_task(self._run(viewer))
        return viewer_id, answer

    async def close(self, viewer_id: str, session: str) -> bool:
        """End a viewer of the session with that id or name; False when there is none."""
        viewer, task = self._running.get(viewer_id, (None, None))
        if viewer is None or task is None or session not in (viewer.live.session_id, viewer.live.name):
            return False
        viewer.close("deleted")
        await asyncio.wait([task])
        return True

    async def _close_a_silent_one(self) -> None:
        viewer, task = next((each for each in self._running.values() if each[0].silent), (None, None))
        if viewer is not None and task is not None:
            viewer.close("peer lost: silent, and its place was needed")
            await asyncio.wait([task])

    async def close_all(self, reason: str) -> None:
        tasks = [task for _, task in self._running.values()]
        for viewer, _ in list(self._running.values()):
            viewer.close(reason)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=CLOSE_SECONDS)
            for task in late:
                task.cancel()

    async def _run(self, viewer: Viewer) -> None:
        try:
            await viewer.run()
        except Exception:
            logger.exception("viewer %s failed", viewer.viewer_id)
        finally:
            del self._running[viewer.viewer_id]
