import av
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from engine.pixels import MEAN, STD, PixelReader
from engine.synthetic import SyntheticClip
from engine.types import EngineError, Frame

CPU = torch.device("cpu")


def test_rgb_is_resized_and_normalised_as_sam2_does() -> None:
    image = SyntheticClip(320, 240).frame(0)[0]
    got = PixelReader(128, CPU).read(Frame(0, image))
    plain = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    resized = F.interpolate(plain, size=(128, 128), mode="bilinear", antialias=True) / 255
    mean, std = torch.tensor(MEAN).view(1, 3, 1, 1), torch.tensor(STD).view(1, 3, 1, 1)
    assert got.shape == (1, 3, 128, 128)
    assert got.dtype == torch.float32
    assert float((got - (resized - mean) / std).abs().max()) < 1.5 / 255 / min(STD)  # resized in uint8


def test_planar_pictures_look_like_their_rgb() -> None:
    """Against FFmpeg's own conversion; the chroma planes are a quarter of the size, so edges differ."""
    image = SyntheticClip(320, 240).frame(10)[0]
    planes = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
    back = planes.reformat(format="rgb24").to_ndarray()
    reader = PixelReader(128, CPU)
    from_planes = reader.read(Frame(0, planes.to_ndarray()))
    from_rgb = reader.read(Frame(0, np.ascontiguousarray(back)))
    difference = (from_planes - from_rgb).abs() * min(STD) * 255
    assert float(difference.mean()) < 2.0
    assert float(difference.quantile(0.99)) < 12.0


@pytest.mark.parametrize(
    ("yuv", "rgb"),
    [((16, 128, 128), (0, 0, 0)), ((235, 128, 128), (255, 255, 255)), ((81, 90, 240), (255, 0, 0))],
)
def test_known_colours(yuv: tuple[int, int, int], rgb: tuple[int, int, int]) -> None:
    flat = [np.full(n, v, dtype=np.uint8) for n, v in zip((64, 16, 16), yuv, strict=True)]
    got = PixelReader(32, CPU).read(Frame(0, np.concatenate(flat).reshape(12, 8)))
    colour = (got[0, :, 16, 16] * torch.tensor(STD) + torch.tensor(MEAN)) * 255
    assert colour.tolist() == pytest.approx(rgb, abs=2.0)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4, 4), dtype=np.uint8),
        np.zeros((4, 4, 3), dtype=np.float32),
        np.zeros((0, 4, 3), dtype=np.uint8),
        np.zeros((7, 4), dtype=np.uint8),
        np.zeros((6, 5), dtype=np.uint8),
        np.zeros(4, dtype=np.uint8),
    ],
)
def test_pictures_of_another_kind_are_refused(image: np.ndarray) -> None:
    with pytest.raises(EngineError) as caught:
        PixelReader(32, CPU).read(Frame(0, image))
    assert caught.value.code == "BAD_FRAME"


def test_views_and_read_only_pictures_are_read() -> None:
    image = SyntheticClip(320, 240).frame(0)[0]
    flipped = image[:, ::-1]
    flipped.flags.writeable = False
    reader = PixelReader(64, CPU)
    assert torch.equal(reader.read(Frame(0, flipped)), reader.read(Frame(0, flipped.copy())))
