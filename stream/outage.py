"""A source that has no picture to give for now: since when, and what viewers are shown meanwhile. Pure."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.ImageFont import FreeTypeFont

EMPTY = (640, 360)


@dataclass(frozen=True, slots=True)
class Outage:
    """What a source yields, about once a second, while its pictures are missing.

    Attributes:
        since: Unix seconds of the last picture, or of the first attempt when there never was one.
        captured_at: `time.monotonic()` seconds of this notice.
    """

    since: float
    captured_at: float

    @property
    def text(self) -> str:
        return f"no signal since {datetime.fromtimestamp(self.since, UTC):%Y-%m-%d %H:%M:%S} UTC"


def slate(image: NDArray[np.uint8] | None, text: str) -> NDArray[np.uint8]:
    """The last picture, darkened, with `text` on a band across its middle; on black where there was none.

    Args:
        image: I420 uint8 [H * 3 / 2, W]; stays as it is.
    """
    whole = black(*EMPTY) if image is None else image.copy()
    height, width = whole.shape[0] * 2 // 3, whole.shape[1]
    luma = whole[:height]
    luma[:] = 16 + (luma.astype(np.uint16) - np.minimum(luma, 16)) // 2
    letters = _letters(text, width)
    rows = min(letters.shape[0], height)
    top = (height - rows) // 4 * 2
    luma[top : top + rows] = letters[:rows]
    chroma = whole[height:].reshape(2, height // 2, width // 2)
    chroma[:, top // 2 : (top + rows + 1) // 2] = 128
    return whole


def black(width: int, height: int) -> NDArray[np.uint8]:
    """I420 black, limited range."""
    image = np.full((height * 3 // 2, width), 128, np.uint8)
    image[:height] = 16
    return image


@functools.lru_cache(maxsize=8)
def _letters(text: str, width: int) -> NDArray[np.uint8]:
    """White on black luma uint8 [rows, width], as large as fits in nine tenths of the width."""
    font = ImageFont.load_default(40)
    assert isinstance(font, FreeTypeFont)
    size = max(6.0, min(40 * 0.9 * width / font.getlength(text), width / 16))
    font = font.font_variant(size=size)
    rows = round(size * 2) // 2 * 2
    picture = Image.new("L", (width, rows), 16)
    ImageDraw.Draw(picture).text((width / 2, rows / 2), text, fill=235, font=font, anchor="mm")
    return np.asarray(picture)
