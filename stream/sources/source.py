"""What a source is to a session: pictures with their times, one after the other, until it ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from stream.outage import Outage
from stream.picture import Picture


class Source(Protocol):
    """A live source. The session always drains it at the source's own pace and keeps the newest picture."""

    name: str

    def frames(self) -> AsyncIterator[Picture | Outage]:
        """Pictures as they come, or now and then an outage while there are none; the iterator's end is the
        source's end. Called once."""
        ...

    async def close(self) -> None:
        """Free what the source holds; safe to call twice and while `frames` is being read."""
        ...
