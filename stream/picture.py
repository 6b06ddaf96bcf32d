"""A picture as a source delivers it: still in the decoder's buffer, converted only when it is used."""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np
from numpy.typing import NDArray

CUDA, SOFTWARE = "cuda", "software"
Plane = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One picture of a source.

    Attributes:
        video: the decoded frame, any size and pixel format.
        captured_at: `time.monotonic()` seconds when it was received.
        pts: seconds on the source's clock, None where it has none.
        capture_time: Unix seconds of its capture by the wall clock of whoever sent it, None where unknown.
        decoder: CUDA where an NVIDIA GPU decoded it, else SOFTWARE.
    """

    video: av.VideoFrame
    captured_at: float
    pts: float | None = None
    capture_time: float | None = None
    decoder: str = SOFTWARE

    @property
    def plain(self) -> bool:
        """`i420` has nothing to do but copy: sooner done than handed to a thread."""
        return self.video.format.name == "yuv420p" and not self.video.rotation

    def i420(self) -> NDArray[np.uint8]:
        """Planar I420 uint8 [H * 3 / 2, W], upright, cropped to even H and W.

        Frames that are planar 4:2:0 already keep their samples; others are converted by libswscale.
        """
        video = self.video
        if video.format.name != "yuv420p":
            video = video.reformat(format="yuv420p", dst_color_range="MPEG")
        quarter_turns = round(self.video.rotation / 90) % 4
        planes = [np.rot90(_plane(video, i), quarter_turns) for i in range(3)]
        return _stack(planes)


def _plane(video: av.VideoFrame, index: int) -> Plane:
    """Samples of one plane without the padding at the end of its lines: uint8 [h, w]."""
    plane = video.planes[index]
    lines: Plane = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return lines[: plane.height, : plane.width]


def _stack(planes: list[Plane]) -> NDArray[np.uint8]:
    height, width = planes[0].shape[0] // 2 * 2, planes[0].shape[1] // 2 * 2
    image = np.empty((height * 3 // 2, width), np.uint8)
    image[:height] = planes[0][:height, :width]
    chroma = image[height:].reshape(2, height // 2, width // 2)
    for i in (0, 1):
        chroma[i] = planes[i + 1][: height // 2, : width // 2]
    return image
