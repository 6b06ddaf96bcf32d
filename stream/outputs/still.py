"""One masked picture as JPEG or PNG."""

from __future__ import annotations

import io
from typing import Literal

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

QUALITY = 85


def encode_still(image: NDArray[np.uint8], form: Literal["jpeg", "png"]) -> bytes:
    """An I420 picture uint8 [H * 3 / 2, W] as a file."""
    rgb = av.VideoFrame.from_ndarray(image, format="yuv420p").to_ndarray(format="rgb24")
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, form.upper(), **({"quality": QUALITY} if form == "jpeg" else {}))
    return buffer.getvalue()
