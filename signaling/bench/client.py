"""One client of the service benchmark, in a process of its own.

    python -m signaling.bench.client URL WIDTH HEIGHT SECONDS OBJECTS

Says `ready` when its pictures are painted, begins when it reads a line, and prints its score as JSON.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from signaling.demo.footage import BuiltIn, Message
from signaling.demo.score import score
from signaling.demo.watch import Watcher

PAINTED_SECONDS = 2.0


class Swing:
    """The beginning of the built-in clip, forth and back for as long as wanted."""

    def __init__(self, size: tuple[int, int], seconds: float, objects: int) -> None:
        self._clip = BuiltIn(PAINTED_SECONDS, size)
        self.name, self.fps = self._clip.name, self._clip.fps
        self.width, self.height = size
        self._count = round(seconds * self.fps)
        self._objects = objects

    def __len__(self) -> int:
        return self._count

    def picture(self, index: int) -> NDArray[np.uint8]:
        last = len(self._clip) - 1
        return self._clip.picture(last - abs(last - index % (2 * last)))

    def truth(self, index: int) -> None:
        return None

    def prompts(self) -> Sequence[Message]:
        """The clip's four objects, over and over, under ids of their own."""
        clicks = self._clip.prompts()
        return [{**clicks[i % len(clicks)], "object_id": i + 1} for i in range(self._objects)]

    def moments(self) -> Sequence[int]:
        return []


def main(url: str, width: int, height: int, seconds: float, objects: int) -> None:
    """Play when told to, and print the score."""
    logging.getLogger("aiortc").setLevel(logging.ERROR)
    footage = Swing((width, height), seconds, objects)
    print("ready", flush=True)
    sys.stdin.readline()
    recording = asyncio.run(Watcher(url, footage, None).play())
    print(json.dumps(score(recording).as_json()), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]))
