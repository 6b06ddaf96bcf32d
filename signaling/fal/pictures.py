"""Still pictures in and out: bounded decoding, masks, encoding."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from signaling.fal.errors import Loc, invalid
from signaling.fal.sniff import Media

MASK_LEVEL = 127
QUALITY = 90
CONTENT_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}


def read_picture(path: Path, media: Media, max_pixels: int, loc: Loc) -> NDArray[np.uint8]:
    """RGB uint8 [H, W, 3], upright by its EXIF orientation.

    Raises:
        FalError: 422 `image_too_large` before any pixel is decoded, or `image_load_error`.
    """
    with _opened(path, media, max_pixels, loc) as picture:
        return np.array(picture.convert("RGB"))


def read_mask(path: Path, media: Media, max_pixels: int, loc: Loc) -> NDArray[np.bool_]:
    """bool [h, w]: luminance above 127, and alpha above 127 where there is alpha.

    Raises:
        FalError: 422 as `read_picture`, or a mask without a pixel set.
    """
    with _opened(path, media, max_pixels, loc) as picture:
        if picture.has_transparency_data:
            luminance, alpha = picture.convert("LA").split()
            mask = (np.asarray(luminance) > MASK_LEVEL) & (np.asarray(alpha) > MASK_LEVEL)
        else:
            mask = np.asarray(picture.convert("L")) > MASK_LEVEL
    if not mask.any():
        raise invalid(loc, "The mask is empty: nothing in it is white", "image_load_error")
    return mask


def write_picture(image: NDArray[np.uint8], path: Path, image_format: str) -> None:
    """Save RGB [H, W, 3] or grey [H, W] as png, jpeg or webp."""
    Image.fromarray(image).save(path, image_format.upper(), quality=QUALITY)


def _opened(path: Path, media: Media, max_pixels: int, loc: Loc) -> Image.Image:
    try:
        with warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning):
            picture = Image.open(path, formats=[media.format])
        width, height = picture.size
        if width * height > max_pixels:
            text = f"The image has {width}x{height} pixels, at most {max_pixels} are read"
            raise invalid(loc, text, "image_too_large", ctx={"max_pixels": max_pixels})
        return ImageOps.exif_transpose(picture)
    except (OSError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise invalid(loc, f"The image cannot be read ({error})", "image_load_error") from error
