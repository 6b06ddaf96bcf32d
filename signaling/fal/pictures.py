"""Still pictures in and out: bounded decoding, masks, encoding."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from signaling.fal.errors import Loc, invalid
from signaling.fal.sniff import Media

MASK_LEVEL = 127
QUALITY = 90
CONTENT_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}


class BadPicture(Exception):
    """A picture that cannot be read; `large` when it has too many pixels."""

    def __init__(self, reason: str, *, large: bool = False) -> None:
        super().__init__(reason)
        self.large = large


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


def decoded(source: Path | IO[bytes], media: Media, max_pixels: int) -> Image.Image:
    """A picture with all its pixels, upright by its EXIF orientation; the source is not needed any more.

    Raises:
        BadPicture: before a pixel is decoded when there are more than `max_pixels`.
    """
    try:
        with warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning):
            picture = Image.open(source, formats=[media.format])
        with picture:
            width, height = picture.size
            if width * height > max_pixels:
                raise BadPicture(f"it has {width}x{height} pixels, at most {max_pixels} are read", large=True)
            return ImageOps.exif_transpose(picture)
    except Image.DecompressionBombError as error:
        raise BadPicture(f"at most {max_pixels} pixels are read", large=True) from error
    # ValueError: text or a colour profile in the file that unpacks to megabytes.
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise BadPicture(str(error).replace(str(source), "it")) from error


def _opened(path: Path, media: Media, max_pixels: int, loc: Loc) -> Image.Image:
    try:
        return decoded(path, media, max_pixels)
    except BadPicture as error:
        if error.large:
            text = f"The image is too large: {error}"
            raise invalid(loc, text, "image_too_large", ctx={"max_pixels": max_pixels}) from error
        raise invalid(loc, f"The image cannot be read ({error})", "image_load_error") from error
