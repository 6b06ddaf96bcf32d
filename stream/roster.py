"""What clients are told of a session when it changes: its objects, how they are drawn, the picture's size.

Pure: frames and masks in, a `state` message out where something in it changed (docs/protocol.md section 7).
"""

from __future__ import annotations

from engine.palette import hex_colour
from engine.types import Frame, MaskSet, ObjectMask
from stream.view import View
from stream.wire import Message


class Roster:
    """The last known state of a session."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._frame_index: int | None = None
        self._size: tuple[int, int] | None = None
        self._objects: dict[int, ObjectMask] = {}
        self._since: dict[int, int] = {}
        self._no_signal_since: float | None = None
        self._recording: Message | None = None
        self._told = self._news()

    @property
    def object_ids(self) -> tuple[int, ...]:
        return tuple(self._objects)

    def update(self, frame: Frame, masks: MaskSet, view: View) -> Message | None:
        """Take in a processed frame; the new `state` message if anything but scores changed."""
        self._view, self._size, self._frame_index = view, (frame.width, frame.height), frame.index
        self._no_signal_since = None
        known = self._objects
        self._objects = {found.object_id: found for found in masks.objects}
        self._since = {
            object_id: self._since[object_id]
            if object_id in known and known[object_id].state == found.state
            else frame.index
            for object_id, found in self._objects.items()
        }
        return self._changed()

    def lose(self, since: float) -> Message | None:
        """Take in that no pictures came since `since` (Unix seconds); the state if that is new."""
        self._no_signal_since = round(since, 3)
        return self._changed()

    def record(self, name: str, ended: str | None) -> None:
        """Take in that a recording runs, or why it ended; told with the next picture."""
        self._recording = {"name": name, "ended": ended}

    def message(self) -> Message:
        """The `state` message."""
        width, height = self._size or (None, None)
        return {
            "type": "state",
            "frame_index": self._frame_index,
            "width": width,
            "height": height,
            "apply_mask": self._view.apply_mask,
            "output": self._view.output(),
            "no_signal_since": self._no_signal_since,
            "recording": self._recording,
            "objects": [self._object(found) for found in self._objects.values()],
        }

    def _changed(self) -> Message | None:
        news = self._news()
        if news == self._told:
            return None
        self._told = news
        return self.message()

    def _news(self) -> tuple[object, ...]:
        """What clients are told of when it changes."""
        states = [(object_id, found.state) for object_id, found in self._objects.items()]
        return self._view, self._size, self._no_signal_since, self._recording, states

    def _object(self, found: ObjectMask) -> Message:
        return {
            "object_id": found.object_id,
            "state": str(found.state),
            "score": round(found.score, 4),
            "color": hex_colour(found.object_id),
            "since_frame_index": self._since[found.object_id],
        }
