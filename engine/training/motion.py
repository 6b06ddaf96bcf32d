"""What moves between two pictures: optical flow, the camera's share of it, and what is left."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.training.footage import Image

Flow = NDArray[np.float32]


def flow(first: Image, second: Image) -> Flow:
    """Where each pixel of `first` is in `second`, relative; DIS optical flow (Kroeger et al., ECCV 2016)."""
    grey = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (first, second)]
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return np.asarray(dis.calc(grey[0], grey[1], np.zeros((*grey[0].shape, 2), np.float32)), np.float32)


def camera(motion: Flow) -> Flow:
    """The part of a flow that one homography explains: the camera's, if most of the picture is still."""
    height, width = motion.shape[:2]
    ys, xs = np.mgrid[4:height:8, 4:width:8]
    start = np.stack((xs, ys), -1).reshape(-1, 2).astype(np.float32)
    cv2.setRNGSeed(0)
    matrix, _ = cv2.findHomography(start, start + motion[ys, xs].reshape(-1, 2), cv2.RANSAC, 1.0)
    if matrix is None:
        return np.zeros_like(motion)
    everywhere = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    return np.asarray(cv2.perspectiveTransform(everywhere, matrix) - everywhere, np.float32)


def own_motion(picture: Image, forth: Flow, back: Flow, least: float) -> NDArray[np.bool_]:
    """Pixels that move by `least` against the camera both after and before `picture`.

    One of the two alone would also see what the thing uncovers. Where there is no texture there is no
    telling what moves, and nothing is said to.
    """
    both = np.minimum(*(np.linalg.norm(motion - camera(motion), axis=2) for motion in (forth, back)))
    return np.asarray((both > least) & _textured(picture), np.bool_)


def _textured(picture: Image, least: float = 6.0) -> NDArray[np.bool_]:
    """Where a colour changes by `least` levels per pixel on average, nearby."""
    rgb = picture.astype(np.float32)
    slope = np.hypot(cv2.Scharr(rgb, cv2.CV_32F, 1, 0), cv2.Scharr(rgb, cv2.CV_32F, 0, 1)) / 32
    return np.asarray(cv2.blur(slope.max(axis=2), (9, 9)) > least, np.bool_)
