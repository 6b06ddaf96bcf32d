"""The stock Python client, synchronous and asynchronous, against the real service."""

from __future__ import annotations

from pathlib import Path

import fal_client
import httpx
import numpy as np
import pytest
from harness import FRAMES, SIZE, Server, fetch, pictures

from engine.masks import fal_rle_to_mask

CLICK = {"prompts": [{"x": 40, "y": 50, "label": "1"}]}


@pytest.fixture
def client(stock: Server) -> fal_client.SyncClient:
    return fal_client.SyncClient(key="id:secret")


@pytest.fixture
def video(client: fal_client.SyncClient, clip: Path) -> str:
    return client.upload_file(clip)


def test_run_gives_the_masked_video(client: fal_client.SyncClient, video: str, tmp_path: Path) -> None:
    out = client.run("fal-ai/sam2/video", {"video_url": video, **CLICK, "apply_mask": True})
    assert out["video"]["content_type"] == "video/mp4"
    path = tmp_path / "out.mp4"
    path.write_bytes(fetch(out["video"]["url"]))
    assert path.stat().st_size == out["video"]["file_size"]
    shown = pictures(path)
    assert len(shown) == FRAMES
    assert shown[0].shape == (SIZE[1], SIZE[0], 3)


def test_subscribe_reports_the_queue_in_order_and_the_log_once(
    client: fal_client.SyncClient, video: str
) -> None:
    seen: list[fal_client.Status] = []
    ids: list[str] = []
    out = client.subscribe(
        "fal-ai/sam-3/video-rle",
        {"video_url": video, **CLICK},
        with_logs=True,
        on_enqueue=ids.append,
        on_queue_update=seen.append,
    )
    kinds = [type(update).__name__ for update in seen]
    order = ["Queued", "InProgress", "Completed"]
    assert kinds == sorted(kinds, key=order.index)
    assert isinstance(seen[-1], fal_client.Completed)
    assert seen[-1].metrics["inference_time"] > 0
    messages = [line["message"] for line in seen[-1].logs or []]
    assert messages[0] == "fal-ai/sam-3/video-rle begins"
    assert len(set(messages)) == len(messages)
    assert len(out["rle"]) == len(out["boxes"]) == len(out["scores"]) == len(out["metadata"]) == FRAMES
    assert "video" not in out
    assert len(ids) == 1


def test_run_length_text_is_the_mask_at_source_size(client: fal_client.SyncClient, video: str) -> None:
    out = client.run("fal-ai/sam-3/video-rle", {"video_url": video, **CLICK})
    for text, box in zip(out["rle"], out["boxes"], strict=True):
        mask = fal_rle_to_mask(text, SIZE[1], SIZE[0])
        rows, columns = np.nonzero(mask)
        cx, cy = (
            (columns.min() + columns.max() + 1) / 2 / SIZE[0],
            (rows.min() + rows.max() + 1) / 2 / SIZE[1],
        )
        assert box[:2] == pytest.approx([cx, cy], abs=1e-5)
        starts = [int(word) for word in text.split()[::2]]
        assert starts == sorted(starts)
        assert starts[0] >= 1


def test_submit_names_addresses_that_work(client: fal_client.SyncClient, video: str, stock: Server) -> None:
    handle = client.submit("fal-ai/sam2/video", {"video_url": video, **CLICK}, priority="low", hint="x")
    base = f"{stock.url}/queue/fal-ai/sam2/requests/{handle.request_id}"
    assert (handle.response_url, handle.status_url, handle.cancel_url) == (
        base,
        f"{base}/status",
        f"{base}/cancel",
    )
    assert "video" in handle.get()
    assert client.result("fal-ai/sam2/video", handle.request_id)["video"]["url"]


def test_an_input_that_is_wrong_is_a_422_with_places(client: fal_client.SyncClient, video: str) -> None:
    with pytest.raises(fal_client.FalClientHTTPError) as caught:
        client.subscribe("fal-ai/sam2/video", {"video_url": video, "prompts": [{"x": "left"}]})
    assert caught.value.status_code == 422
    (entry,) = caught.value.response.json()["detail"]
    assert entry["loc"] == ["body", "prompts", 0, "x"]
    assert entry["type"] == "int_parsing"


def test_nothing_to_follow_says_what_to_give(client: fal_client.SyncClient, video: str) -> None:
    with pytest.raises(fal_client.FalClientHTTPError) as caught:
        client.run("fal-ai/sam2/video", {"video_url": video})
    (entry,) = caught.value.response.json()["detail"]
    assert "box_prompts" in entry["msg"]
    with pytest.raises(fal_client.FalClientHTTPError) as caught:
        client.run("fal-ai/sam-3/video-rle", {"video_url": video, "text_prompt": "pillow", **CLICK})
    (entry,) = caught.value.response.json()["detail"]
    assert entry["type"] == "feature_not_supported"
    assert entry["loc"] == ["body", "text_prompt"]


def test_unknown_things_are_404(client: fal_client.SyncClient, stock: Server) -> None:
    for call in (
        lambda: client.run("fal-ai/nothing", {}),
        lambda: client.submit("fal-ai/nothing", {}),
        lambda: client.status("fal-ai/sam2/video", "00000000-0000-0000-0000-000000000000"),
        lambda: client.result("fal-ai/sam2/video", "00000000-0000-0000-0000-000000000000"),
    ):
        with pytest.raises(fal_client.FalClientHTTPError) as caught:
            call()
        assert caught.value.status_code == 404
        assert "not found" in caught.value.response.json()["detail"]


@pytest.mark.parametrize("repository", ["fal_v3", "fal", "cdn"])
def test_upload_and_download(client: fal_client.SyncClient, repository: str) -> None:
    data = bytes(range(256)) * 100
    url = client.upload(data, "application/zip", "../we ird.zip", repository=repository)
    assert fetch(url) == data
    part = httpx.get(url, headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, data[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(data)}"


def test_multipart_upload(client: fal_client.SyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fal_client.client, "MULTIPART_THRESHOLD", 1 << 20)
    monkeypatch.setattr(fal_client.client, "MULTIPART_CHUNK_SIZE", 1 << 19)
    data = np.random.default_rng(1).bytes(2_700_000)
    assert fetch(client.upload(data, "application/octet-stream", "big.bin")) == data


def test_get_puts_the_input_into_the_query(stock: Server, video: str) -> None:
    query = {"video_url": video, "prompts": '[{"x": 40, "y": 50}]', "apply_mask": "true"}
    answer = httpx.get(f"{stock.url}/run/fal-ai/sam2/video", params=query, timeout=60)
    assert answer.status_code == 200
    assert answer.headers["x-fal-request-id"]


async def test_async_client(stock: Server, clip: Path) -> None:
    client = fal_client.AsyncClient(key="id:secret")
    video = await client.upload_file(clip)
    updates = []

    async def note(update: fal_client.Status) -> None:
        updates.append(type(update).__name__)

    out = await client.subscribe(
        "fal-ai/sam-3/video",
        {"video_url": video, "point_prompts": [{"x": 40, "y": 50}]},
        on_queue_update=note,
    )
    assert out["video"]["url"]
    assert updates[-1] == "Completed"
    events = [event async for event in client.stream("fal-ai/sam2/video", {"video_url": video, **CLICK})]
    assert "video" in events[-1]
    assert events[0]["logs"]
