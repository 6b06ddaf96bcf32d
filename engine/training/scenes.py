"""Clips made on the fly: sprites moving over a moving background, with exact masks.

A scene has two objects to follow, each of two jointed parts (or the two parts of one thing), and more layers
that only occlude or distract (sometimes in the very texture of an object). Knows no network and no loss.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.training.material import Material, Reels
from engine.training.sprites import Wardrobe
from engine.training.textures import PICTURE, Pictures

OBJECTS = 2
OTHERS = 2
LAYERS = 2 * OBJECTS + OTHERS


@dataclass(frozen=True, slots=True)
class Clips:
    """A batch of clips.

    Attributes:
        images: float [B, T, 3, S, S] in 0..1.
        masks: bool [B, T, O, S, S], what is to be seen of each object.
        shown: float [B, T, O], which share that is of what there would be with nothing in front; 1 where
            nothing of it is in the picture.
    """

    images: Tensor
    masks: Tensor
    shown: Tensor


@dataclass(frozen=True, slots=True)
class SceneConfig:
    """What a scene may do. Speeds are in half-widths of the picture per frame step."""

    size: int = 256
    frames: int = 4
    speed: float = 0.35
    pace: float = 1.0  # time that passes per frame; under 1 everything is slower
    leave: float = 0.2  # share of objects that go out of the picture, and come back if there is time
    hide: float = 0.25  # share of clips in which something larger passes slowly over the first object
    twin: float = 0.25  # share of clips with a distractor dressed like an object
    apart: float = 0.3  # share of clips whose objects are two parts of one thing
    wobble: float = 0.4  # share of sprites that deform
    reels: float = 0.35  # share of clips over a reel with a marked object, where there are any


def make_clips(
    material: Material, wardrobe: Wardrobe, batch: int, config: SceneConfig, g: torch.Generator
) -> Clips:
    """Render `batch` clips on the device that the material is on.

    Where the background is a marked reel, the marked thing takes the place of the first object.
    """
    device = material.pictures.data.device
    frames = config.frames
    apart = torch.rand(batch, generator=g) < config.apart
    sprites = _cast(wardrobe, batch, config, apart, g)
    ids = torch.where(apart[:, None], torch.tensor([1, 2, 0, 0, 0, 0]), torch.tensor([1, 1, 2, 2, 0, 0]))
    hidden = _hidden(batch, config, g)
    poses = _choreograph(batch, config, hidden, g)
    order = _stacking(batch, hidden, g)
    rows = torch.arange(batch)[:, None]
    sprites, ids, poses = sprites[rows.to(device), order.to(device)], ids[rows, order], poses[rows, order]
    image, owner, marked = _backgrounds(material, batch, config, g)
    whole = _each(owner)
    sprites[:, :, 3] *= ~((ids == 1) & marked[:, None])[..., None, None].to(device)
    shadow = (torch.rand(batch, 1, 1, 1, generator=g) < 0.4).repeat_interleave(frames, 0) * 0.35
    for layer in range(LAYERS):
        grid = _grids(poses[:, layer], config, g, device)
        sprite = sprites[:, layer, None].expand(-1, frames, -1, -1, -1).flatten(0, 1)
        rgba = F.grid_sample(sprite, grid, padding_mode="zeros", align_corners=False)
        alpha = rgba[:, 3:]
        image = image * (1 - shadow.to(device) * _soft_shadow(alpha))
        image = image + alpha * (rgba[:, :3] - image)
        number = ids[:, layer, None].expand(-1, frames).flatten()[:, None, None].to(device, torch.int8)
        solid = alpha[:, 0] > 0.5
        owner = torch.where(solid, number, owner)
        whole |= _each(number * solid)
    image = _camera(torch.unflatten(image, 0, (batch, frames)), config.pace, g)
    masks = _each(owner)
    seen, there = (m.flatten(2).sum(dim=2) for m in (masks, whole))
    shown = torch.where(there > 0, seen / there.clamp(min=1), 1.0)
    return Clips(image, *(torch.unflatten(x, 0, (batch, frames)) for x in (masks, shown)))


def _each(owner: Tensor) -> Tensor:
    """bool [N, OBJECTS, S, S], what each object owns, for [N, S, S]: 1 to OBJECTS, 0 for nobody."""
    return torch.stack([owner == k for k in range(1, OBJECTS + 1)], dim=1)


def _cast(wardrobe: Wardrobe, batch: int, config: SceneConfig, apart: Tensor, g: torch.Generator) -> Tensor:
    """Sprites [B, LAYERS, 4, R, R]. Second parts are often absent; distractors are sometimes twins."""
    sprites = torch.unflatten(wardrobe.draw(batch * LAYERS, g), 0, (batch, LAYERS))
    device = sprites.device
    for part in (1, 3):
        keep = (torch.rand(batch, generator=g) < 0.4) | apart
        sprites[:, part, 3] *= keep[:, None, None].to(device)
    twin = torch.rand(batch, generator=g) < config.twin
    whole = torch.rand(batch, generator=g) < 0.6  # same shape too, not only the same cloth
    for b in range(batch):
        if twin[b]:
            sprites[b, 4, : 4 if whole[b] else 3] = sprites[b, 0, : 4 if whole[b] else 3]
    return sprites


def _hidden(batch: int, config: SceneConfig, g: torch.Generator) -> Tensor:
    """bool [B], clips in which the first object is hidden for a while."""
    if config.frames == 1 or not config.hide:
        return torch.zeros(batch, dtype=torch.bool)
    return torch.rand(batch, generator=g) < config.hide


def _soft_shadow(alpha: Tensor) -> Tensor:
    """Coverage [N, 1, S, S], blurred and thrown down and to the right."""
    size = alpha.shape[-2:]
    return F.interpolate(
        F.avg_pool2d(alpha.roll((6, 4), (2, 3)), 8), size, mode="bilinear", align_corners=False
    )


def _stacking(batch: int, hidden: Tensor, g: torch.Generator) -> Tensor:
    """Back-to-front order of the layers per clip; the parts of one object stay together.

    Where the first object is `hidden`, what hides it, the last layer, is in front.
    """
    depth = torch.rand(batch, OBJECTS + OTHERS, generator=g)
    depth[:, -1] += hidden
    units = depth.argsort(1)
    expand = {0: (0, 1), 1: (2, 3), 2: (4,), 3: (5,)}
    return torch.tensor([[layer for unit in row for layer in expand[unit]] for row in units.tolist()])


def _matrix(x: Tensor, y: Tensor, sx: Tensor, sy: Tensor, angle: Tensor) -> Tensor:
    """Sprite to picture: scale, rotate, translate; all of one shape, giving [..., 3, 3]."""
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    cos, sin = angle.cos(), angle.sin()
    rows = [sx * cos, -sy * sin, x, sx * sin, sy * cos, y, zero, zero, one]
    return torch.unflatten(torch.stack(rows, -1), -1, (3, 3))


def _choreograph(batch: int, config: SceneConfig, hidden: Tensor, g: torch.Generator) -> Tensor:
    """Poses [B, LAYERS, T, 3, 3] of all layers, parts riding on their object.

    Args:
        hidden: bool [B], clips whose last layer passes over the first object.
    """
    frames, count = config.frames, OBJECTS + OTHERS
    span = frames * config.pace

    def rand(*shape: int) -> Tensor:
        return torch.rand(batch, *shape, generator=g)

    t = torch.arange(frames)[None, None].float() * config.pace
    heading = rand(count, 1) * 2 * math.pi
    speed = rand(count, 1) ** 3 * config.speed  # most things amble, a few dart
    start = (rand(count, 2) * 2 - 1) * 0.75
    sway = 0.05 * rand(count, 1) * (t * (0.2 + rand(count, 1)) + heading).sin()
    middle = rand(count, 1) * span
    x = start[..., :1] + speed * heading.cos() * (t - middle) + sway
    y = start[..., 1:] + speed * heading.sin() * (t - middle) - sway
    away = (rand(count, 1) < config.leave) & (frames > 1)
    gone = ((t - (0.35 + 0.5 * rand(count, 1)) * span).abs() < 0.22 * span).float()
    reach = torch.where(rand(count, 1) < 0.5, 2.2, -2.2) * F.avg_pool1d(gone, 3, 1, 1)
    sideways = rand(count, 1) < 0.5
    back = (gone.cumsum(-1) > 0) * (gone == 0) * away  # it may come back at another place
    elsewhere = (rand(count, 2) * 2 - 1) * 0.8 * (rand(count, 1) < 0.6)
    x = x + reach * away * sideways + back * elsewhere[..., :1]
    y = y + reach * away * ~sideways + back * elsewhere[..., 1:]
    size = 0.07 + 0.6 * rand(count, 1) ** 1.5
    size[:, OBJECTS:] *= 1.2
    if hidden.any():
        size[:, -1] = torch.where(hidden[:, None], size[:, 0] * (1.3 + rand(1)), size[:, -1])
        towards, when = rand(1) * 2 * math.pi, (0.35 + 0.35 * rand(1)) * span
        past = size[:, -1] * (0.3 + 0.5 * rand(1)) * (t[:, 0] - when)  # how far it is from what it hides
        x[:, -1] = torch.where(hidden[:, None], x[:, 0] + past * towards.cos(), x[:, -1])
        y[:, -1] = torch.where(hidden[:, None], y[:, 0] + past * towards.sin(), y[:, -1])
    zoom = ((rand(count, 1) - 0.5) * 0.06 * t).exp()
    aspect = ((rand(count, 1) - 0.5) * 0.9).exp()
    spin = (rand(count, 1) - 0.5) * 0.25 * t + rand(count, 1) * torch.where(rand(count, 1) < 0.4, 6.28, 0.5)
    bodies = _matrix(x, y, size * zoom * aspect, size * zoom / aspect, spin)
    swing = (
        0.6 * (t * (0.3 + 0.7 * rand(OBJECTS, 1)) + rand(OBJECTS, 1) * 6.28).sin() + rand(OBJECTS, 1) * 6.28
    )
    ratio = (0.45 + 0.5 * rand(OBJECTS, 1)).expand_as(swing)
    joint = (rand(OBJECTS, 2) * 2 - 1) * 0.6
    limbs = bodies[:, :OBJECTS] @ _matrix(
        joint[..., :1].expand_as(swing), joint[..., 1:].expand_as(swing), ratio, ratio, swing
    )
    parts = [bodies[:, 0], limbs[:, 0], bodies[:, 1], limbs[:, 1], bodies[:, 2], bodies[:, 3]]
    return torch.stack(parts, dim=1)


def _grids(poses: Tensor, config: SceneConfig, g: torch.Generator, device: torch.device) -> Tensor:
    """Sampling grids [B * T, S, S, 2] of one layer, computed at a quarter of the size."""
    batch, frames = poses.shape[:2]
    coarse = config.size // 4
    inverse = torch.linalg.inv(poses.flatten(0, 1).double()).float()[:, :2].to(device)
    grid = F.affine_grid(inverse, [batch * frames, 1, coarse, coarse], align_corners=False)
    wobbles = (torch.rand(batch, 1, generator=g) < config.wobble) * 0.16 * torch.rand(batch, 1, generator=g)
    t = torch.arange(frames)[None] * config.pace
    phase = t * (0.2 + 0.8 * torch.rand(batch, 1, generator=g)) + 6.28 * torch.rand(batch, 1, generator=g)
    waves = 2 + 3 * torch.rand(batch, 1, generator=g)
    size, shift, waves = (
        v.expand(batch, frames).flatten()[:, None, None].to(device) for v in (wobbles, phase, waves)
    )
    x, y = grid.unbind(-1)
    bent = torch.stack((x + size * (waves * y + shift).sin(), y + size * (waves * x - shift).cos()), dim=1)
    fine = F.interpolate(bent, (config.size, config.size), mode="bilinear", align_corners=False)
    return fine.permute(0, 2, 3, 1)


def _backgrounds(
    material: Material, batch: int, config: SceneConfig, g: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures [B * T, 3, S, S], owners int8 [B * T, S, S] and which clips [B] show a marked object.

    The others stand on a run of real video, or on a still under a moving camera.
    """
    frames, device, size = config.frames, material.pictures.data.device, config.size
    source = torch.empty(batch, frames, 3, *PICTURE, device=device)
    mask = torch.zeros(batch, frames, 1, *PICTURE, device=device)
    marked = torch.zeros(batch, dtype=torch.bool)
    if material.reels is not None:
        marked = torch.rand(batch, generator=g) < config.reels
    for b in range(batch):
        if material.reels is not None and marked[b]:
            index = _reel(material.reels, frames, g).to(device)
            source[b], mask[b, :, 0] = material.reels.frames[index], material.reels.masks[index]
        else:
            source[b] = material.pictures.data[_run(material.pictures, frames, g).to(device)]
    theta = _camera_path(batch, config, g)
    grid = F.affine_grid(theta.to(device), [batch * frames, 3, size, size], align_corners=False)
    picture, owner = (
        F.grid_sample(x.flatten(0, 1), grid, padding_mode="reflection", align_corners=False)
        for x in (source / 255, mask)
    )
    return picture, (owner[:, 0] > 0.5).to(torch.int8), marked


def _camera_path(batch: int, config: SceneConfig, g: torch.Generator) -> Tensor:
    """Affine views [B * T, 2, 3] of the background: a random crop, drifting, shaking, some mirrored."""
    frames = config.frames
    height, width = PICTURE
    zoom = 0.45 + 0.5 * torch.rand(batch, 1, generator=g)
    t = torch.arange(frames)[None].float() * config.pace
    shake = torch.randn(2, batch, frames, generator=g) * 0.004
    pan = torch.where(torch.rand(batch, 1, generator=g) < 0.3, 0.08, 0.02)
    drift = torch.randn(2, batch, 1, generator=g) * pan * t + shake
    centre = (torch.rand(2, batch, 1, generator=g) * 2 - 1) * (1 - zoom)
    roll = torch.randn(batch, 1, generator=g) * 0.01 * t
    zooms = zoom * (1 + torch.randn(batch, 1, generator=g) * 0.01 * t)
    stretch = height / width * (1 + 0.8 * torch.rand(batch, 1, generator=g))  # up to a squeezed 16:9
    views = _matrix(drift[0] + centre[0], drift[1] + centre[1], zooms * stretch, zooms, roll)
    theta = views[..., :2, :].flatten(0, 1)
    mirror = torch.where(torch.rand(batch, 1, generator=g) < 0.5, 1.0, -1.0)
    theta[:, 0, 0] *= mirror.expand(batch, frames).flatten()
    return theta


def _run(pictures: Pictures, frames: int, g: torch.Generator) -> Tensor:
    """Indices of `frames` pictures: consecutive with a skip of 1 to 3 in a video, or one repeated."""
    if not pictures.clips or torch.rand((), generator=g) < 0.4:
        return torch.randint(len(pictures.data), (1,), generator=g).expand(frames)
    start, length = pictures.clips[int(torch.randint(len(pictures.clips), (1,), generator=g))]
    skip = min(int(torch.randint(1, 4, (1,), generator=g)), max(0, (length - 1) // max(1, frames - 1)))
    first = start + int(torch.randint(length - skip * (frames - 1), (1,), generator=g))
    return first + skip * torch.arange(frames)


def _reel(reels: Reels, frames: int, g: torch.Generator) -> Tensor:
    """Indices of `frames` pictures of one marked object: every nth of a run, either way, or one repeated."""
    start, length = reels.runs[int(torch.randint(len(reels.runs), (1,), generator=g))]
    most = (length - 1) // max(1, frames - 1)
    skip = min(int(torch.randint(6, (1,), generator=g)), most)
    first = int(torch.randint(length - skip * (frames - 1), (1,), generator=g))
    forth = start + first + skip * torch.arange(frames)
    return forth if torch.rand((), generator=g) < 0.5 else forth.flip(0)


def _camera(images: Tensor, pace: float, g: torch.Generator) -> Tensor:
    """What a camera does: light that drifts, a soft lens or few pixels, and noise."""
    batch, frames, _, size, _ = images.shape
    device = images.device
    flicker = 0.03 * torch.randn(batch, 1, generator=g) * torch.arange(frames) * pace
    gain = 1 + 0.15 * torch.randn(batch, 1, generator=g) + flicker
    offset = 0.06 * torch.randn(batch, 1, generator=g)
    images = images * gain[..., None, None, None].to(device) + offset[..., None, None, None].to(device)
    soft = torch.rand(batch, generator=g) < 0.35
    for b in soft.nonzero().flatten().tolist():
        small = int(size * (0.35 + 0.4 * float(torch.rand((), generator=g))))
        fewer = F.interpolate(images[b], (small, small), mode="area")
        images[b] = F.interpolate(fewer, (size, size), mode="bilinear", align_corners=False)
    level = 0.03 * torch.rand(batch, 1, 1, 1, 1, generator=g) ** 2
    seed = int(torch.randint(2**62, (), generator=g))
    grain = torch.Generator(device).manual_seed(seed)
    noise = torch.randn(images.shape, device=device, generator=grain) * level.to(device)
    return (images + noise).clamp(0, 1)
