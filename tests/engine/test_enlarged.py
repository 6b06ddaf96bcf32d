import numpy as np
import pytest
import torch
import torch.nn.functional as F

from engine.enlarged import enlarged


def _blobs(*boxes: tuple[int, int, int, int], side: int = 64) -> torch.Tensor:
    """Rough logits, positive somewhere in each box (x0, y0, x1, y1)."""
    generator = torch.Generator().manual_seed(5)
    logits = torch.full((len(boxes), 1, side, side), -1.0)
    for lane, (x0, y0, x1, y1) in zip(logits[:, 0], boxes, strict=True):
        lane[y0:y1, x0:x1] = torch.randn(y1 - y0, x1 - x0, generator=generator) * 5
    return logits


@pytest.mark.parametrize(("height", "width"), [(480, 640), (721, 333), (64, 64), (40, 50), (1080, 1920)])
def test_every_pixel_is_as_if_all_had_been_enlarged(height: int, width: int) -> None:
    logits = _blobs((10, 20, 30, 33), (0, 0, 5, 64), (60, 60, 64, 64), (0, 0, 64, 64), (31, 31, 32, 32))
    whole = F.interpolate(logits, size=(height, width), mode="bilinear", align_corners=False)[:, 0]
    clear = whole.abs() > 1e-4  # rounding may take the others either way
    assert clear.float().mean() > 0.99
    masks = enlarged(logits, height, width)
    assert masks.any(axis=(1, 2)).tolist() == [True, True, True, True, bool((logits[4] > 0).any())]
    np.testing.assert_array_equal(masks[clear.numpy()], (whole > 0).numpy()[clear.numpy()])


def test_what_is_nowhere_has_an_empty_mask() -> None:
    assert not enlarged(torch.full((2, 1, 16, 16), -1024.0), 48, 64).any()
