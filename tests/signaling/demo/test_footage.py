"""What the demo films: the built-in clip with its truth, and files."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from engine.synthetic import SyntheticClip
from signaling.command import CommandError
from signaling.demo.footage import BuiltIn, VideoFile


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Twelve grey pictures, each brighter than the one before."""
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", Fraction(24), {"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for i in range(12):
            image = np.full((96, 96), 128, np.uint8)
            image[:64] = 40 + 10 * i
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="yuv420p")))
        container.mux(stream.encode(None))
    return path


def brightness(film: VideoFile, index: int) -> float:
    return float(film.picture(index)[: film.height].mean())


def test_the_built_in_clip_comes_with_its_exact_masks() -> None:
    footage, clip = BuiltIn(0.2, (160, 120)), SyntheticClip(160, 120)
    assert len(footage) == 6
    assert footage.picture(3).shape == (180, 160)
    for object_id, mask in clip.frame(3)[1].items():
        assert np.array_equal(footage.truth(3)[object_id], mask)


def test_the_built_in_clip_is_clicked_once_per_object_inside_it() -> None:
    footage = BuiltIn(0.1, (160, 120))
    truth = footage.truth(0)
    for message in footage.prompts():
        (point,) = message["prompts"]
        assert truth[message["object_id"]][int(point["y"]), int(point["x"])]
    assert [message["object_id"] for message in footage.prompts()] == sorted(truth)


def test_moments_lie_within_the_footage() -> None:
    assert list(BuiltIn(0.2, (160, 120)).moments()) == [5]
    assert len(BuiltIn(size=(64, 64)).moments()) == 6


def test_a_file_is_read_in_order_and_again_from_the_front(film: Path) -> None:
    footage = VideoFile(film, None, [(1, 2, 30, 40)], [])
    assert (footage.width, footage.height, footage.fps, len(footage)) == (96, 64, 24.0, 12)
    assert [abs(brightness(footage, i) - (40 + 10 * i)) < 3 for i in (0, 0, 5, 11, 2)] == [True] * 5
    assert footage.truth(0) is None


def test_a_file_may_be_cut_short(film: Path) -> None:
    assert len(VideoFile(film, 0.25, [], [(1, 2)])) == 6
    assert len(VideoFile(film, 100.0, [], [(1, 2)])) == 12


def test_each_box_and_point_is_an_object_of_its_own(film: Path) -> None:
    boxed, pointed = VideoFile(film, None, [(1, 2, 30, 40)], [(5, 6)]).prompts()
    assert boxed == {"object_id": 1, "box_prompts": [{"x_min": 1, "y_min": 2, "x_max": 30, "y_max": 40}]}
    assert pointed == {"object_id": 2, "prompts": [{"x": 5, "y": 6, "label": 1}]}


@pytest.mark.parametrize(
    ("boxes", "points", "reason"),
    [
        ([], [], "say what to follow"),
        ([(10, 10, 5, 20)], [], "not a box within 96x64"),
        ([(0, 0, 200, 20)], [], "not a box within 96x64"),
        ([], [(97, 3)], "outside the picture, which has 96x64"),
    ],
)
def test_marks_that_cannot_be_used_are_named(
    film: Path, boxes: list[tuple[float, ...]], points: list[tuple[float, ...]], reason: str
) -> None:
    with pytest.raises(CommandError, match=reason):
        VideoFile(film, None, boxes, points)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no such file"):
        VideoFile(tmp_path / "none.mp4", None, [(1, 2, 3, 4)], [])
