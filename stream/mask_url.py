"""A mask that comes as a PNG data URI (RFC 2397) to a bool array, and back. Pure."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PREFIX = "data:image/png;base64,"
MASK_SIDE = 2048
LEVEL = 127


class MaskError(ValueError):
    """The text is not a mask that we read; the message says what was expected and what came."""


class MaskTooLarge(MaskError):
    """The picture has more than MASK_SIDE pixels on a side."""


def decode(url: str) -> NDArray[np.bool_]:
    """bool [h, w]: True where luminance, and alpha where there is one, are above 127.

    Raises:
        MaskError: not a base64 PNG data URI, not a PNG that decodes, or no pixel set.
        MaskTooLarge: larger than MASK_SIDE; refused before any pixel is decoded.
    """
    if not url.startswith(PREFIX):
        raise MaskError(f"expected a data URI that starts with {PREFIX!r}")
    try:
        data = base64.b64decode(url[len(PREFIX) :], validate=True)
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            mask = _pixels(picture)
    except MaskError:
        raise
    except (ValueError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise MaskError(f"expected base64 of a PNG ({error})") from error
    if not mask.any():
        raise MaskError("expected at least one pixel above 127, got none")
    return mask


def encode(mask: NDArray[np.bool_]) -> str:
    """A one-bit PNG data URI of bool [h, w], as a client would send it."""
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(mask, np.uint8) * 255).convert("1").save(buffer, "PNG")
    return PREFIX + base64.b64encode(buffer.getvalue()).decode("ascii")


def _pixels(picture: Image.Image) -> NDArray[np.bool_]:
    if max(picture.size) > MASK_SIDE:
        raise MaskTooLarge(f"expected at most {MASK_SIDE} x {MASK_SIDE} pixels, got {picture.size}")
    if picture.has_transparency_data:
        luminance, alpha = picture.convert("LA").split()
        return (np.asarray(luminance) > LEVEL) & (np.asarray(alpha) > LEVEL)
    return np.asarray(picture.convert("L")) > LEVEL
