"""Recording: the masked video and, line by line, the masks that belong to its frames."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO

import av

from engine.masks import mask_to_rle
from stream.outputs.backlog import Backlog
from stream.outputs.coco import part_name
from stream.outputs.film import FRAGMENTED, Film
from stream.outputs.output import Shown
from stream.timeline import RTP_RATE
from stream.wire import Message

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

log = logging.getLogger(__name__)


class Recorder:
    """Writes `stem`.mp4 and `stem`.jsonl until it is closed, the session ends or the disk is full.

    Line n of the JSON lines is frame n of the video: the `result` message, with run lengths whatever the
    session sends, and `"video": {"part", "frame", "time"}`, time in seconds from the start of its part. A new
    picture size begins a new part, `stem`-2.mp4. Slates are not recorded. Whatever ends it, the session
    goes on.

    A crash or a full disk takes the last second of the video with it, not the lines.

    Args:
        stem: path without an ending, in a folder that exists.
        on_end: called in the event loop with this recorder when it has ended by itself.

    Raises:
        OSError: the files cannot be made.
    """

    def __init__(self, stem: Path, on_end: Callable[[Recorder], None] | None = None) -> None:
        self.stem = stem
        self.frames = 0
        self.ended: str | None = None
        self._on_end = on_end
        self._backlog = Backlog()
        self._loop = asyncio.get_running_loop()
        self._lines: TextIO = stem.with_name(f"{stem.name}.jsonl").open("w", encoding="utf-8")
        self._parts = 0
        self._part_frames = 0
        self._start = 0
        self._whole = 0  # bytes of the part's file up to the end of a fragment
        self._film: Film | None = None
        self._file: BinaryIO | None = None
        self._done = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def put(self, shown: Shown) -> None:
        if shown.result is not None:
            self._backlog.put(shown)

    def close(self) -> None:
        self._backlog.close()

    async def finished(self) -> None:
        """Wait until the files are closed; to be called after `close`."""
        await self._done.wait()

    def snapshot(self) -> Message:
        """How it is doing; `ended` is why it ended, null while it goes on."""
        return {
            "name": self.stem.name,
            "frames": self.frames,
            "parts": self._parts,
            "dropped": self._backlog.dropped,
            "ended": self.ended,
        }

    # In the thread.

    def _run(self) -> None:
        reason = "stopped"
        try:
            while (shown := self._backlog.take()) is not None:
                self._write(shown)
            self._end_part()
        except (av.FFmpegError, OSError) as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            log.warning("recording %s ended: %s", self.stem.name, reason)
        except Exception as error:
            reason = f"failed: {type(error).__name__}"
            log.exception("recording %s failed", self.stem.name)
        self._backlog.close()
        self._free()
        self._loop.call_soon_threadsafe(self._finish, reason)

    def _write(self, shown: Shown) -> None:
        size = (shown.image.shape[1], shown.image.shape[0] * 2 // 3)
        ticks = round((shown.frame.pts or 0.0) * RTP_RATE)
        if self._film is None or self._film.size != size:
            self._end_part()
            self._begin_part(size, ticks)
        assert self._film is not None
        assert self._file is not None
        self._film.write(shown.image, ticks - self._start)
        self._whole = self._file.tell()
        place = {"part": self._parts, "frame": self._part_frames, "time": (ticks - self._start) / RTP_RATE}
        line = {**(shown.result or {}), "objects": _with_rle(shown), "video": place}
        self._lines.write(json.dumps(line, separators=(",", ":")) + "\n")
        self._lines.flush()
        self._part_frames += 1
        self.frames += 1

    def _begin_part(self, size: tuple[int, int], ticks: int) -> None:
        self._parts += 1
        self._part_frames, self._start = 0, ticks
        name = part_name(self.stem.name, self._parts)
        self._file = _Whole(self.stem.with_name(name), "wb")
        self._film = Film(self._file, "mp4", FRAGMENTED, size)

    def _end_part(self) -> None:
        film, self._film = self._film, None
        if film is not None:
            film.close()
        if self._file is not None:
            self._file.close()

    def _free(self) -> None:
        """Close what is open still, on a disk that may be full."""
        if self._film is not None and self._file is not None:
            self._film.abandon()
            with suppress(OSError):
                self._file.truncate(self._whole)  # half a fragment would end in half a picture
        for file in (self._file, self._lines):
            with suppress(OSError):  # what could be written has been
                if file is not None:
                    file.close()

    def _finish(self, reason: str) -> None:
        self.ended = reason
        self._done.set()
        if self._on_end is not None:
            self._on_end(self)


class _Whole(io.FileIO):
    """Writes all that it is given or raises: FFmpeg takes the short write of a full disk for a whole one."""

    def write(self, data: ReadableBuffer, /) -> int:
        view = memoryview(data).cast("B")
        left = view
        while left:
            left = left[super().write(left) :]
        return len(view)


def _with_rle(shown: Shown) -> list[Message]:
    """The objects of the result; a session may have been told to leave their run lengths out."""
    objects: list[Message] = (shown.result or {})["objects"]
    masks = [found.mask for found in shown.masks.objects]
    return [
        found if "rle" in found else {**found, "rle": dict(mask_to_rle(mask))}
        for found, mask in zip(objects, masks, strict=True)
    ]
