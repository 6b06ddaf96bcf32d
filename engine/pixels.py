"""From a frame's picture to the network's input: resized, converted, normalised.

Knows RGB and planar YUV; knows no network.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.types import EngineError, Frame

MEAN = (0.485, 0.456, 0.406)  # of RGB in 0..1, ImageNet; sam2.utils.misc.load_video_frames
STD = (0.229, 0.224, 0.225)
# ITU-R BT.601-7, limited range: rows R, G, B in 0..255 of the product with (Y - 16, Cb - 128, Cr - 128).
YUV_TO_RGB = ((1.164384, 0.0, 1.596027), (1.164384, -0.391762, -0.812968), (1.164384, 2.017232, 0.0))


class PixelReader:
    """Frames to the input of a network of one image size on one device."""

    def __init__(self, image_size: int, device: torch.device) -> None:
        self._size = (image_size, image_size)
        self._device = device
        mean, std = torch.tensor(MEAN) * 255, torch.tensor(STD) * 255
        matrix = torch.tensor(YUV_TO_RGB)
        offset = -matrix @ torch.tensor([16.0, 128.0, 128.0])
        self._scale, self._shift = _columns(1 / std, device), _columns(-mean / std, device)
        self._matrix = (matrix / std[:, None]).to(device)
        self._bias = _columns((offset - mean) / std, device)
        self._low, self._high = _columns(-mean / std, device), _columns((255 - mean) / std, device)

    def read(self, frame: Frame) -> Tensor:
        """Network input of one frame.

        Planes are resized before they are converted: less to resize, and only the small picture to convert.

        Returns:
            float32 [1, 3, S, S], normalised RGB.

        Raises:
            EngineError: BAD_FRAME when the image is neither [H, W, 3] nor I420 of even size, or not uint8.
        """
        check_frame(frame)
        if frame.planar:
            return self._from_planes(frame)
        rgb = self._on_device(frame).permute(2, 0, 1)[None]
        return torch.addcmul(self._shift, self._resize(rgb).float(), self._scale)

    def _from_planes(self, frame: Frame) -> Tensor:
        h, w = frame.height, frame.width
        data = self._on_device(frame).view(-1)
        luma = data[: h * w].view(1, 1, h, w)
        chroma = data[h * w :].view(1, 2, h // 2, w // 2)
        yuv = torch.cat((self._resize(luma), self._resize(chroma)), dim=1).float()
        rgb = torch.addmm(self._bias.view(3, 1), self._matrix, yuv.view(3, -1)).view(yuv.shape)
        return torch.clamp(rgb, self._low, self._high)

    def _on_device(self, frame: Frame) -> Tensor:
        return torch.from_numpy(np.require(frame.image, requirements=("C", "W"))).to(self._device)

    def _resize(self, planes: Tensor) -> Tensor:
        if planes.device.type != "cpu":  # uint8 with antialias is CPU only
            planes = planes.float()
        return F.interpolate(planes, size=self._size, mode="bilinear", antialias=True)


def normalised(images: Tensor) -> Tensor:
    """RGB [..., 3, H, W] in 0..1 to what the image encoder expects, and `PixelReader` reads."""
    mean, std = _statistics(images.device)
    return (images - mean) / std


def restored(images: Tensor) -> Tensor:
    """uint8 RGB of what is `normalised`."""
    mean, std = _statistics(images.device)
    return torch.addcmul(mean, images, std).mul_(255).round_().clamp_(0, 255).to(torch.uint8)


@lru_cache(maxsize=8)
def _statistics(device: torch.device) -> tuple[Tensor, Tensor]:
    """`MEAN` and `STD`, [3, 1, 1] each."""
    with torch.inference_mode(False):  # used in training as well
        mean, std = (torch.tensor(each, device=device)[:, None, None] for each in (MEAN, STD))
    return mean, std


def halved(maps: Tensor) -> Tensor:
    """Maps [..., 2 * H, 2 * W] at half their size, as `avg_pool2d`, which takes eight times as long."""
    rows = maps[..., ::2, :] + maps[..., 1::2, :]
    return (rows[..., ::2] + rows[..., 1::2]) / 4


def check_frame(frame: Frame) -> None:
    """Refuse pictures that cannot be read.

    Raises:
        EngineError: BAD_FRAME saying what was expected and what came.
    """
    image = frame.image
    if image.dtype.name != "uint8" or image.ndim not in (2, 3) or 0 in image.shape:
        raise EngineError(
            "BAD_FRAME", f"expected uint8 [H, W, 3] or [H * 3 / 2, W], got {image.dtype} {image.shape}"
        )
    if image.ndim == 3 and image.shape[2] != 3:
        raise EngineError("BAD_FRAME", f"expected three channels, got {image.shape}")
    if image.ndim == 2 and (image.shape[0] % 3 or frame.width % 2):
        raise EngineError("BAD_FRAME", f"expected I420 of even height and width, got {image.shape}")


def _columns(values: Tensor, device: torch.device) -> Tensor:
    return values.view(1, -1, 1, 1).to(device)
