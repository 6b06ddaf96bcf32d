"""Inputs of wrong types, numbers that are none, text that is none: each a 4xx that names its place."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import msgpack
import pytest
from harness import Server
from test_video import refused
from websockets.asyncio.client import connect

APP = "fal-ai/sam-3/video-rle"
URL = "http://127.0.0.1:1/none.mp4"
HALF = "\\ud83d"  # of a surrogate pair, as JSON escapes it


def posted(server: Server, text: str | bytes, surface: str = "run") -> httpx.Response:
    return httpx.post(f"{server.url}/{surface}/{APP}", content=text, timeout=60)


def body(more: str) -> str:
    return f'{{"video_url": "{URL}", {more}}}'


@pytest.mark.parametrize("surface", ["run", "queue"])
@pytest.mark.parametrize(
    "text",
    [
        body('"prompts": [{"x": NaN}]'),
        body('"prompts": [{"x": 1e999}]'),
        body('"prompts": [{"x": 1}], "detection_threshold": Infinity'),
        body('"prompts": [{"x": 1}], "detection_threshold": -1e999'),
        body('"prompts": [{"x": 1}], "nobody_reads_this": 1e999'),
        body('"prompts": [{"x": 1}], "prompt": "' + HALF + '"'),
        body('"prompts": [{"x": 1}], "' + HALF + '": 1'),
        '{"video_url": "' + HALF + '", "prompts": [{"x": 1}]}',
        body('"prompts": [{"x": 1' + 5000 * "0" + "}]"),
        100_000 * "[",
        5_000 * '{"a":',
        "{",
        b"\xff\xfe",
    ],
    ids=lambda text: repr(text[-40:]) if isinstance(text, str | bytes) else None,
)
def test_what_is_no_json(server: Server, text: str | bytes, surface: str) -> None:
    answer = posted(server, text, surface)
    assert answer.status_code == 400, answer.text
    assert answer.json()["detail"].startswith("The body is not JSON")
    assert answer.json()["error_type"] == "bad_request"


@pytest.mark.parametrize(
    ("more", "loc"),
    [
        ({"prompts": [{"x": "left"}]}, ["prompts", 0, "x"]),
        ({"prompts": [{"x": 1.5}]}, ["prompts", 0, "x"]),
        ({"prompts": [{"x": [1]}]}, ["prompts", 0, "x"]),
        ({"prompts": [{"x": -1}]}, ["prompts", 0, "x"]),
        ({"prompts": [{"x": 10**400}]}, ["prompts", 0, "x"]),
        ({"prompts": [{"label": 2}]}, ["prompts", 0, "label"]),
        ({"prompts": [{"label": "2"}]}, ["prompts", 0, "label"]),
        ({"prompts": [{"label": []}]}, ["prompts", 0, "label"]),
        ({"prompts": [{"label": {"a": 1}}]}, ["prompts", 0, "label"]),
        ({"prompts": [{"object_id": 1 << 31}]}, ["prompts", 0, "object_id"]),
        ({"prompts": [{"frame_index": -1}]}, ["prompts", 0, "frame_index"]),
        ({"prompts": [[1, 2]]}, ["prompts", 0]),
        ({"prompts": {"x": 1}}, ["prompts"]),
        ({"prompts": "x"}, ["prompts"]),
        ({"prompts": [{}] * 1001}, ["prompts"]),
        ({"box_prompts": [{"x_min": "a"}]}, ["box_prompts", 0, "x_min"]),
        ({"box_prompts": [{}] * 257}, ["box_prompts"]),
        ({"prompts": [{}], "apply_mask": "perhaps"}, ["apply_mask"]),
        ({"prompts": [{}], "detection_threshold": 1.01}, ["detection_threshold"]),
        ({"prompts": [{}], "video_output_type": "AVI"}, ["video_output_type"]),
        ({"prompts": [{}], "mask_url": 5}, ["mask_url"]),
        ({"prompts": [{}], "mask_url": ""}, ["mask_url"]),
        ({"prompts": [{}], "frame_index": "first"}, ["frame_index"]),
        ({"prompts": [{}], "video_url": ""}, ["video_url"]),
        ({"prompts": [{}], "video_url": None}, ["video_url"]),
        ({"prompts": [{}], "video_url": ["a", "b"]}, ["video_url"]),
    ],
    ids=lambda given: str(given)[:50],
)
def test_wrong_types_are_named_where_they_stand(
    server: Server, more: dict[str, Any], loc: list[str | int]
) -> None:
    entry = refused(server, APP, **{"video_url": URL, **more})
    assert entry["loc"] == ["body", *loc]
    assert entry["msg"]
    assert len(json.dumps(entry)) < 1000, "what was sent is not all sent back"


@pytest.mark.parametrize("text", ["[]", "1", '"x"', "null", ""])
def test_what_is_no_object(server: Server, text: str) -> None:
    answer = posted(server, text)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body"]


@pytest.mark.parametrize("prompts", ['[{"x": NaN}]', '[{"x": 1e999}]', "[[[", "x"])
def test_lists_in_a_query_that_are_none(server: Server, prompts: str) -> None:
    params = {"video_url": URL, "prompts": prompts}
    answer = httpx.get(f"{server.url}/run/{APP}", params=params, timeout=60)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "prompts"]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"prompts": [{"x": float("nan")}]}, "prompts.0.x: Input should be a finite number"),
        ({"prompts": [{"x": float("inf")}]}, "prompts.0.x: Input should be a finite number"),
        ({"prompts": [{"x": b"left"}]}, "prompts.0.x: "),
        ({"prompts": [{}], "detection_threshold": float("nan")}, "detection_threshold: "),
        # What nobody reads may be anything that msgpack knows.
        ({"prompts": [{}], "picture": b"\xff"}, "video_url: Failed to download"),
        ({"prompts": [{}], "when": msgpack.Timestamp(1)}, "video_url: Failed to download"),
        ({"prompts": [{}], "share": float("inf")}, "video_url: Failed to download"),
    ],
    ids=lambda given: str(given)[:50],
)
async def test_what_msgpack_can_say_and_json_cannot(
    server: Server, more: dict[str, Any], reason: str
) -> None:
    async with connect(f"ws://{server.host}/run/{APP}/realtime") as socket:
        await socket.send(msgpack.packb({"video_url": URL, **more}))
        answer = json.loads(await asyncio.wait_for(socket.recv(), 60))
    assert (answer["type"], answer["error"]) == ("x-fal-error", "INVALID_INPUT")
    assert reason in answer["reason"]


@pytest.mark.parametrize("field", ["prompt", "text_prompt"])
@pytest.mark.parametrize("app", [APP, "fal-ai/sam-3/video"])
@pytest.mark.parametrize("more", [{}, {"prompts": [{"x": 1, "y": 1}]}], ids=["alone", "with a click"])
def test_words_are_refused_with_what_to_give_instead(
    server: Server, app: str, field: str, more: dict[str, Any]
) -> None:
    given = {"video_url": URL, field: "a red car", **more}
    entry = refused(server, app, **given)
    assert (entry["loc"], entry["type"]) == (["body", field], "feature_not_supported")
    assert entry["input"] == "a red car"
    assert server.service.model() in entry["msg"]
    for way in (f"leave {field} empty", "prompts (points)", "box_prompts", "mask_url"):
        assert way in entry["msg"]
    blank = refused(server, app, video_url=URL, **{field: "  "})
    assert (blank["loc"], blank["type"]) == (["body", "prompts"], "missing")
    assert "box_prompts" in blank["msg"]
