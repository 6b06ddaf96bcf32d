"""Videos through the API: the results of `livemask track`, in the containers that were asked for."""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest
from harness import FRAMES, SIZE, Server, fetch, pictures, write_clip
from PIL import Image

from engine.masks import fal_rle_to_mask
from engine.types import Frame, MaskSet, ObjectMask, ObjectState, Prompt
from signaling.fal.work import Lane


def run(server: Server, app: str, **body: Any) -> dict[str, Any]:
    answer = httpx.post(f"{server.url}/run/{app}", json=body, timeout=120)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(server: Server, app: str, **body: Any) -> dict[str, Any]:
    answer = httpx.post(f"{server.url}/run/{app}", json=body, timeout=120)
    assert answer.status_code == 422, answer.text
    (entry,) = answer.json()["detail"]
    return entry


@pytest.fixture(scope="module")
def video(server: Server, clip: Path) -> str:
    return upload(server, clip, "video/mp4")


def upload(server: Server, path: Path, content_type: str) -> str:
    token = httpx.post(f"{server.url}/rest/storage/auth/token", json={}).json()
    headers = {"authorization": f"{token['token_type']} {token['token']}", "content-type": content_type}
    answer = httpx.post(f"{server.url}/cdn/files/upload", content=path.read_bytes(), headers=headers)
    return answer.json()["access_url"]


MARKS = {
    "prompts": [
        {"x": 40, "y": 50, "label": 1, "object_id": 1},
        {"x": 5, "y": 5, "label": "0", "object_id": 1},
    ],
    "box_prompts": [{"x_min": 60, "y_min": 60, "x_max": 100, "y_max": 110, "object_id": 2}],
}


def test_boxes_scores_and_metadata_belong_together(server: Server, video: str) -> None:
    out = run(server, "fal-ai/sam-3/video-rle", video_url=video, **MARKS)
    for index, entry in enumerate(out["metadata"]):
        assert entry == {"index": index, "score": out["scores"][index], "box": out["boxes"][index]}
        assert all(0 <= side <= 1 for side in entry["box"])


def test_a_prompt_acts_on_its_own_frame(server: Server, video: str) -> None:
    late = {"x": 40, "y": 50, "frame_index": 4, "object_id": 3}
    out = run(server, "fal-ai/sam-3/video-rle", video_url=video, prompts=[late])
    assert [bool(text) for text in out["rle"]] == [False] * 4 + [True] * (FRAMES - 4)
    alone = run(server, "fal-ai/sam-3/video-rle", video_url=video, prompts=[{"x": 40, "y": 50}])
    second = {"x": 120, "y": 100, "object_id": 9, "frame_index": 5}
    both = run(server, "fal-ai/sam-3/video-rle", video_url=video, prompts=[{"x": 40, "y": 50}, second])
    assert both["rle"][:5] == alone["rle"][:5]
    assert both["rle"][5] != alone["rle"][5]


class Watched:
    """A lane of the engine; whether each step was somebody's who watches is written down."""

    def __init__(self, lane: Lane, live: list[bool]) -> None:
        self._lane, self._live = lane, live
        self.prepare = lane.prepare

    def submit(self, frame: Frame, prompts: Sequence[Prompt], live: bool = True) -> Future[MaskSet]:
        self._live.append(live)
        return self._lane.submit(frame, prompts, live)

    def close(self) -> None:
        self._lane.close()


def test_requests_go_behind_live_frames(server: Server, video: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What that means to the engine is tests/engine/test_worker.py's."""
    live: list[bool] = []
    open_lane = server.service.open_lane
    monkeypatch.setattr(server.service.runner, "_open_lane", lambda: Watched(open_lane(), live))
    run(server, "fal-ai/sam-3/video-rle", video_url=video, prompts=[{"x": 40, "y": 50}])
    picture = np.random.default_rng(2).integers(0, 255, (120, 160, 3), np.uint8)
    run(server, "fal-ai/sam2/image", image_url=data_uri(picture), prompts=[{"x": 40, "y": 50}])
    assert live == [False] * (FRAMES + 1)


class Blind:
    """An engine that finds nothing."""

    def prepare(self, frame: Frame) -> None:
        pass

    def submit(self, frame: Frame, prompts: Sequence[Prompt], live: bool = True) -> Future[MaskSet]:
        nothing = np.zeros((frame.height, frame.width), bool)
        answer: Future[MaskSet] = Future()
        answer.set_result(MaskSet(frame.index, (ObjectMask(1, nothing, 0.0, None, ObjectState.LOST),)))
        return answer

    def close(self) -> None:
        pass


@pytest.mark.parametrize("app", ["fal-ai/sam2/video", "fal-ai/sam-3/video-rle"])
def test_nothing_found_is_told_in_fals_words(
    server: Server, video: str, app: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.service.runner, "_open_lane", Blind)
    entry = refused(server, app, video_url=video, prompts=[{"x": 40, "y": 50}])
    assert entry["msg"].startswith("No masks generated")
    assert entry["type"] == "no_media_generated"


def test_a_frame_that_does_not_exist_is_named(server: Server, video: str) -> None:
    prompts = [{"x": 1, "y": 1}, {"x": 1, "y": 1, "frame_index": 99}]
    entry = refused(server, "fal-ai/sam2/video", video_url=video, prompts=prompts)
    assert entry["loc"] == ["body", "prompts", 1, "frame_index"]
    assert str(FRAMES) in entry["msg"]


def test_a_place_outside_the_picture_is_named(server: Server, video: str) -> None:
    entry = refused(
        server, "fal-ai/sam2/video", video_url=video, prompts=[{"x": 40, "y": 1}, {"x": 161, "y": 1}]
    )
    assert entry["loc"] == ["body", "prompts", 1, "x"]
    box = {"x_min": 20, "y_min": 5, "x_max": 10, "y_max": 9}
    entry = refused(server, "fal-ai/sam2/video", video_url=video, box_prompts=[box])
    assert entry["loc"] == ["body", "box_prompts", 0, "x_max"]


def test_the_documented_point_is_the_default(server: Server, tmp_path: Path) -> None:
    """x 305, y 350, label 1."""
    large = upload(server, write_clip(tmp_path / "large.mp4", 2, (640, 480)), "video/mp4")
    plain = run(server, "fal-ai/sam-3/video-rle", video_url=large, prompts=[{}])
    named = run(server, "fal-ai/sam-3/video-rle", video_url=large, prompts=[{"x": 305, "y": 350, "label": 1}])
    assert plain == named


def test_a_mask_starts_an_object_on_its_frame(server: Server, video: str) -> None:
    mask = np.zeros((60, 80), np.uint8)
    mask[15:35, 10:30] = 255
    url = data_uri(mask)
    out = run(server, "fal-ai/sam-3/video-rle", video_url=video, mask_url=url, frame_index=2)
    assert out["rle"][:2] == ["", ""]
    found = fal_rle_to_mask(out["rle"][2], SIZE[1], SIZE[0])
    wanted = np.asarray(Image.fromarray(mask).resize(SIZE)) > 127
    assert (found & wanted).sum() / (found | wanted).sum() > 0.9
    entry = refused(
        server, "fal-ai/sam2/video", video_url=video, mask_url=data_uri(np.zeros((9, 9), np.uint8))
    )
    assert entry["loc"] == ["body", "mask_url"]


def data_uri(image: np.ndarray[Any, Any]) -> str:
    data = io.BytesIO()
    Image.fromarray(image).save(data, "PNG")
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()


def test_containers_zip_and_data_uris(server: Server, video: str, tmp_path: Path) -> None:
    out = run(
        server,
        "fal-ai/sam-3/video",
        video_url=video,
        point_prompts=[{"x": 40, "y": 50}],
        video_output_type="VP9 (.webm)",
        boundingbox_zip=True,
        sync_mode=True,
    )
    assert out["video"]["content_type"] == "video/webm"
    data = base64.b64decode(out["video"]["url"].removeprefix("data:video/webm;base64,"))
    path = tmp_path / "out.webm"
    path.write_bytes(data)
    with av.open(str(path)) as made:
        assert made.streams.video[0].codec_context.name in ("vp9", "libvpx-vp9")
    assert len(pictures(path)) == FRAMES
    archive = base64.b64decode(out["boundingbox_frames_zip"]["url"].partition(",")[2])
    with zipfile.ZipFile(io.BytesIO(archive)) as names:
        assert len(names.namelist()) == FRAMES
        assert Image.open(io.BytesIO(names.read(names.namelist()[3]))).size == SIZE


def test_without_apply_mask_the_video_is_the_mask(server: Server, video: str, tmp_path: Path) -> None:
    out = run(server, "fal-ai/sam2/video", video_url=video, **MARKS)
    path = tmp_path / "mask.mp4"
    path.write_bytes(fetch(out["video"]["url"]))
    rle = run(server, "fal-ai/sam-3/video-rle", video_url=video, **MARKS)["rle"]
    for picture, text in zip(pictures(path), rle, strict=True):
        mask = fal_rle_to_mask(text, SIZE[1], SIZE[0])
        assert picture[mask].mean() > 2 * picture[~mask].mean()


def test_a_video_as_a_data_uri(server: Server, clip: Path) -> None:
    url = "data:video/mp4;base64," + base64.b64encode(clip.read_bytes()).decode()
    assert (
        len(run(server, "fal-ai/sam-3/video-rle", video_url=url, prompts=[{"x": 40, "y": 50}])["rle"])
        == FRAMES
    )


def test_image(server: Server, tmp_path: Path) -> None:
    picture = np.random.default_rng(2).integers(0, 255, (120, 160, 3), np.uint8)
    out = run(server, "fal-ai/sam2/image", image_url=data_uri(picture), prompts=[{"x": 40, "y": 50}])
    image = out["image"]
    assert (image["width"], image["height"], image["content_type"]) == (160, 120, "image/png")
    mask = np.asarray(Image.open(io.BytesIO(fetch(image["url"]))))
    assert set(np.unique(mask)) == {0, 255}
    drawn = run(
        server,
        "fal-ai/sam2/image",
        image_url=data_uri(picture),
        prompts=[{"x": 40, "y": 50}],
        apply_mask=True,
        output_format="webp",
        sync_mode=True,
    )
    assert drawn["image"]["url"].startswith("data:image/webp;base64,")


def test_auto_segment(server: Server) -> None:
    picture = np.random.default_rng(2).integers(0, 255, (120, 160, 3), np.uint8)
    out = run(
        server,
        "fal-ai/sam2/auto-segment",
        image_url=data_uri(picture),
        points_per_side=4,
        pred_iou_thresh=0,
        stability_score_thresh=0,
        sync_mode=True,
    )
    masks = [np.asarray(opened(image)) for image in out["individual_masks"]]
    assert all(mask.shape == (120, 160) and set(np.unique(mask)) <= {0, 255} for mask in masks)
    colours = np.asarray(opened(out["combined_mask"]))
    assert ((colours.max(axis=2) > 0) == (np.max(masks, axis=0) > 0)).all()
    strict = {"image_url": data_uri(picture), "points_per_side": 2, "pred_iou_thresh": 1.0}
    assert "lower the thresholds" in refused(server, "fal-ai/sam2/auto-segment", **strict)["msg"]


def opened(image: dict[str, Any]) -> Image.Image:
    assert (image["width"], image["height"]) == (160, 120)
    return Image.open(io.BytesIO(base64.b64decode(image["url"].partition(",")[2])))
