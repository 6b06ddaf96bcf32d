"""Where pixels come from: frames of a folder of videos or pictures, or procedural pictures alone.

Knows no shapes, no motion and no network.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

PICTURE = (288, 512)  # height and width at which pictures are kept: 720p * 0.4
VIDEOS = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v"}
STILLS = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}


@dataclass(frozen=True, slots=True)
class Pictures:
    """uint8 pictures [P, 3, 288, 512]; `clips` are (start, length) runs of consecutive video frames."""

    data: Tensor
    clips: tuple[tuple[int, int], ...] = ()

    def to(self, device: torch.device) -> Pictures:
        return Pictures(self.data.to(device), self.clips)


def load_pictures(folder: Path, every: int = 2, exclude: Iterable[str] = ()) -> Pictures:
    """Decode every `every`-th frame of the videos and all stills below `folder`, resized.

    Args:
        exclude: file names (stems) held out of training.

    Raises:
        FileNotFoundError: there is no readable picture or video in `folder`.
    """
    frames: list[Tensor] = []
    clips = []
    banned = set(exclude)
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in VIDEOS | STILLS):
        if path.stem in banned:
            continue
        start = len(frames)
        frames.extend(_decode(path, every))
        if len(frames) - start > 1:
            clips.append((start, len(frames) - start))
    if not frames:
        kinds = ", ".join(sorted(VIDEOS | STILLS))
        raise FileNotFoundError(f"no video or picture in {folder}: expected files ending in {kinds}")
    return Pictures(torch.stack(frames), tuple(clips))


def _decode(path: Path, every: int) -> Iterator[Tensor]:
    import av

    height, width = PICTURE
    with av.open(str(path)) as container:
        for i, frame in enumerate(container.decode(video=0)):
            if i % every == 0:
                rgb = frame.reformat(width=width, height=height, format="rgb24").to_ndarray()
                yield torch.from_numpy(rgb).permute(2, 0, 1).contiguous()


def procedural_pictures(count: int, generator: torch.Generator) -> Pictures:
    """Pictures out of nothing: coloured noise of several octaves, stripes, cells and gradients."""
    return Pictures(torch.cat([_procedural(min(8, count - i), generator) for i in range(0, count, 8)]))


def join(first: Pictures, second: Pictures) -> Pictures:
    return Pictures(torch.cat((first.data, second.data)), first.clips)


def _procedural(n: int, g: torch.Generator) -> Tensor:
    height, width = PICTURE
    field = torch.zeros(n, 3, height, width)
    slope = torch.rand(n, 1, 1, 1, generator=g) * 0.7 + 0.25
    for octave in range(1, 8):
        size = (max(2, 9 * 2**octave // 16), max(2, 2**octave))
        noise = torch.randn(n, 3, *size, generator=g)
        field += slope**octave * F.interpolate(noise, (height, width), mode="bicubic", align_corners=False)
    field = field / field.std((1, 2, 3), keepdim=True)
    mix = torch.rand(n, 3, generator=g)[..., None, None]  # how much of each family a picture has
    field = (
        field * (mix[:, :1] + 0.2) + _stripes(n, g) * (mix[:, 1:2] > 0.6) + _cells(n, g) * (mix[:, 2:] > 0.6)
    )
    tint = torch.rand(n, 3, 1, 1, generator=g)
    contrast = torch.rand(n, 3, 1, 1, generator=g) * 0.25 + 0.03
    return ((tint + contrast * field).clamp(0, 1) * 255).to(torch.uint8)


def _stripes(n: int, g: torch.Generator) -> Tensor:
    height, width = PICTURE
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    angle = torch.rand(n, 1, 1, generator=g) * math.pi
    period = 6 + 60 * torch.rand(n, 1, 1, generator=g) ** 2
    phase = (x * angle.cos() + y * angle.sin()) / period * 2 * math.pi
    wave = phase.sin()
    wave = torch.where(torch.rand(n, 1, 1, generator=g) > 0.5, wave.sign(), wave)
    return wave[:, None] * torch.randn(n, 3, 1, 1, generator=g)


def _cells(n: int, g: torch.Generator) -> Tensor:
    """Flat cells of a coarse random grid, warped: walls, pavements, crowds."""
    height, width = PICTURE
    cells = torch.randn(n, 3, 9, 16, generator=g)
    base = F.affine_grid(torch.eye(2, 3).expand(n, 2, 3), [n, 3, height, width], align_corners=False)
    warp = F.interpolate(torch.randn(n, 2, 6, 9, generator=g) * 0.06, (height, width), mode="bicubic")
    return F.grid_sample(
        cells, base + warp.permute(0, 2, 3, 1), mode="nearest", padding_mode="reflection", align_corners=False
    )


def sample_textures(pictures: Pictures, n: int, size: int, g: torch.Generator) -> Tensor:
    """`n` colour-jittered random crops as float [n, 3, size, size] in 0..1."""
    windows = _windows(pictures, n, g)
    device = windows.device
    zoom = 0.16 + 0.8 * torch.rand(n, generator=g) ** 1.5
    angle = torch.rand(n, generator=g) * 2 * math.pi
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 0, 1] = zoom * angle.cos(), -zoom * angle.sin()
    theta[:, 1, 0], theta[:, 1, 1] = zoom * angle.sin(), zoom * angle.cos()
    theta[:, :, 2] = (torch.rand(n, 2, generator=g) * 2 - 1) * (1 - zoom[:, None])
    grid = F.affine_grid(theta.to(device), [n, 3, size, size], align_corners=False)
    crops = F.grid_sample(windows.float() / 255, grid, padding_mode="reflection", align_corners=False)
    return jitter(crops, g)


def _windows(pictures: Pictures, n: int, g: torch.Generator, side: int = 144) -> Tensor:
    """`n` square uint8 windows [n, 3, side, side] out of random pictures."""
    device = pictures.data.device
    height, width = PICTURE
    which = torch.randint(len(pictures.data), (n, 1, 1), generator=g)
    rows = torch.randint(height - side + 1, (n, 1, 1), generator=g) + torch.arange(side)[:, None]
    columns = torch.randint(width - side + 1, (n, 1, 1), generator=g) + torch.arange(side)
    picked = [pictures.data[:, c][which.to(device), rows.to(device), columns.to(device)] for c in range(3)]
    return torch.stack(picked, dim=1)


def jitter(pictures: Tensor, g: torch.Generator, strength: float = 1.0) -> Tensor:
    """Random channel mixing, gain and offset per picture; [n, 3, H, W] in and out."""
    n, device = len(pictures), pictures.device
    mixing = torch.eye(3) + strength * 0.18 * torch.randn(n, 3, 3, generator=g)
    gain = 1 + strength * 0.3 * (torch.rand(n, 1, 1, 1, generator=g) * 2 - 1)
    offset = strength * 0.12 * torch.randn(n, 3, 1, 1, generator=g)
    mixed = torch.einsum("nij,njhw->nihw", mixing.to(device), pictures - 0.5)
    return (mixed * gain.to(device) + 0.5 + offset.to(device)).clamp(0, 1)
