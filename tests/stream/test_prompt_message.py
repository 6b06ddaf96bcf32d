import json
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.render import RenderMode
from engine.types import (
    Box,
    Keep,
    Mask,
    Pin,
    Point,
    Points,
    Redo,
    Release,
    Remove,
    Reset,
    Restart,
    Restore,
    Text,
    Undo,
)
from stream import mask_url, wire
from stream.prompt_message import PromptMessage, read_prompt_message
from stream.view import ViewChange
from stream.wire import WireError

NAN = float("nan")
PNG = mask_url.encode(np.ones((2, 3), bool))


def read(**message: object) -> PromptMessage:
    return read_prompt_message(message)


def prompts(width: int = 100, height: int = 50, **message: object) -> list[object]:
    return list(read(**message).engine_prompts(width, height, None))


def test_a_fal_input_object_as_it_is() -> None:
    message = json.loads(
        '{"video_url":"https://x/y.mp4","prompts":[{"x":50,"y":25,"label":1,"object_id":7,"frame_index":0}],'
        '"box_prompts":[],"apply_mask":true,"boundingbox_zip":false}'
    )
    checked = read_prompt_message(message)
    assert checked.engine_prompts(100, 50, None) == (Points(7, (Point(0.5, 0.5, True),), False, 0, True),)
    assert checked.view == ViewChange(apply_mask=True)


def test_the_same_as_msgpack_bytes() -> None:
    data = bytes.fromhex(
        "82aa726571756573745f6964a272 31a770726f6d70747391 83a17832a179ca41200000a56c6162656ca130".replace(
            " ", ""
        )
    )
    assert read_prompt_message(wire.decode(data)).engine_prompts(100, 50, None) == (
        Points(1, (Point(0.5, 0.2, False),)),
    )


@pytest.mark.parametrize(
    ("label", "positive"), [(0, False), (1, True), ("0", False), ("1", True), (None, True)]
)
def test_labels_as_numbers_and_as_text(label: object, positive: bool) -> None:
    (points,) = prompts(prompts=[{"x": 0, "y": 0, "label": label}])
    assert points == Points(1, (Point(0, 0, positive),))


def test_points_are_gathered_by_object_and_join_its_box() -> None:
    found = prompts(
        prompts=[
            {"x": 10, "y": 10, "object_id": 2},
            {"x": 20, "y": 20, "object_id": 1},
            {"x": 30, "y": 30, "object_id": 2, "label": 0},
        ],
        box_prompts=[{"x_min": 0, "y_min": 5, "x_max": 50, "y_max": 50, "object_id": 1}],
    )
    assert found == [
        Box(1, 0, 0.1, 0.5, 1, (Point(0.2, 0.4),)),
        Points(2, (Point(0.1, 0.2), Point(0.3, 0.6, False))),
    ]


def test_everything_at_once_in_the_documented_order() -> None:
    found = prompts(
        reset=True, prompt="cat", mask_url=PNG, object_id=4, prompts=[{"x": 1, "y": 1, "object_id": 5}]
    )
    assert [type(each) for each in found] == [Reset, Text, Mask, Points]
    assert isinstance(found[2], Mask)
    assert found[2].object_id == 4
    assert found[2].mask.shape == (2, 3)


def test_remove_takes_one_or_many() -> None:
    assert prompts(remove=3) == [Remove(3)]
    assert prompts(remove=[3, 1]) == [Remove(3), Remove(1)]


def test_coordinates_count_the_named_picture_or_the_source_frame() -> None:
    (named,) = prompts(prompts=[{"x": 400, "y": 100}], width=800, height=200)
    (source,) = prompts(prompts=[{"x": 50, "y": 25}])
    assert named == source == Points(1, (Point(0.5, 0.5),))


def test_the_frame_seen_goes_to_every_prompt_and_a_prompts_own_wins() -> None:
    message = read(
        prompts=[{"x": 1, "y": 1, "object_id": 1}, {"x": 1, "y": 1, "object_id": 2, "frame_index": 3}],
        rtp_timestamp=9,
    )
    first, second = message.engine_prompts(100, 50, 7)
    assert isinstance(first, Points)
    assert isinstance(second, Points)
    assert (first.frame_index, second.frame_index) == (7, 3)


def test_output_changes() -> None:
    message = read(output={"mode": "cutout", "hidden": [2, 3], "background": "#00FF7f"}, apply_mask=False)
    assert message.view == ViewChange(False, RenderMode.CUTOUT, frozenset({2, 3}), (0, 255, 127))
    assert read(output={"hidden": []}).view == ViewChange(hidden=frozenset())


POINT = {"x": 1, "y": 1}
BOX = {"x_min": 1, "y_min": 1, "x_max": 3, "y_max": 2}
BAD: list[tuple[str, str, dict[str, Any]]] = [
    ("INVALID_INPUT", "message", {}),
    ("INVALID_INPUT", "message", {"request_id": "r", "object_id": 3, "width": 5, "height": 5}),
    ("INVALID_INPUT", "message", {"prompts": []}),
    ("INVALID_INPUT", "message", {"reset": False}),
    ("INVALID_INPUT", "message", {"output": {}}),
    ("INVALID_INPUT", "request_id", {"request_id": True, "reset": True}),
    ("INVALID_INPUT", "request_id", {"request_id": "x" * 129, "reset": True}),
    ("INVALID_INPUT", "prompts", {"prompts": {"x": 1, "y": 1}}),
    ("INVALID_INPUT", "prompts", {"prompts": "11"}),
    ("INVALID_INPUT", "prompts[1]", {"prompts": [{"x": 1, "y": 1}, 7]}),
    ("INVALID_INPUT", "prompts[0].x", {"prompts": [{"y": 1}]}),
    ("INVALID_INPUT", "prompts[0].y", {"prompts": [{"x": 1, "y": "1"}]}),
    ("INVALID_INPUT", "prompts[0].x", {"prompts": [{"x": True, "y": 1}]}),
    ("OUT_OF_RANGE", "prompts[0].x", {"prompts": [{"x": NAN, "y": 1}]}),
    ("OUT_OF_RANGE", "prompts[0].y", {"prompts": [{"x": 1, "y": float("inf")}]}),
    ("OUT_OF_RANGE", "prompts[0].x", {"prompts": [{"x": -1, "y": 1}]}),
    ("OUT_OF_RANGE", "prompts[0].x", {"prompts": [{"x": 81, "y": 1}], "width": 80, "height": 40}),
    ("INVALID_INPUT", "prompts[0].label", {"prompts": [{"x": 1, "y": 1, "label": 2}]}),
    ("INVALID_INPUT", "prompts[0].label", {"prompts": [{"x": 1, "y": 1, "label": True}]}),
    ("OUT_OF_RANGE", "prompts[0].object_id", {"prompts": [{"x": 1, "y": 1, "object_id": -1}]}),
    ("OUT_OF_RANGE", "prompts[0].object_id", {"prompts": [{"x": 1, "y": 1, "object_id": 2**31}]}),
    ("INVALID_INPUT", "prompts[0].object_id", {"prompts": [{"x": 1, "y": 1, "object_id": "1"}]}),
    ("INVALID_INPUT", "prompts[0].object_id", {"prompts": [{"x": 1, "y": 1, "object_id": 1.5}]}),
    ("OUT_OF_RANGE", "prompts[0].frame_index", {"prompts": [{"x": 1, "y": 1, "frame_index": -1}]}),
    (
        "INVALID_INPUT",
        "prompts[1].frame_index",
        {"prompts": [dict(POINT, frame_index=i) for i in (1, 2)]},
    ),
    ("TOO_MANY", "prompts", {"prompts": [{"x": 1, "y": 1}] * 10_000}),
    ("TOO_MANY", "prompts", {"prompts": [{"x": 1, "y": 1}] * 129}),
    ("TOO_MANY", "box_prompts", {"box_prompts": [{}] * 65}),
    ("INVALID_INPUT", "box_prompts[0].x_max", {"box_prompts": [{"x_min": 1, "y_min": 1, "y_max": 2}]}),
    (
        "INVALID_INPUT",
        "box_prompts[0].x_max",
        {"box_prompts": [dict(BOX, x_min=3)]},
    ),
    (
        "INVALID_INPUT",
        "box_prompts[0].y_max",
        {"box_prompts": [dict(BOX, y_min=9)]},
    ),
    ("INVALID_INPUT", "box_prompts", {"box_prompts": [BOX] * 2}),
    ("BAD_MASK", "mask_url", {"mask_url": "https://example.com/m.png"}),
    ("INVALID_INPUT", "mask_url", {"mask_url": b"bytes"}),
    ("INVALID_INPUT", "mask_url", {"mask_url": ""}),
    ("TOO_LARGE", "prompt", {"prompt": "x" * 257}),
    ("INVALID_INPUT", "remove", {"remove": "1"}),
    ("INVALID_INPUT", "remove[1]", {"remove": [1, "2"]}),
    ("INVALID_INPUT", "remove", {"remove": [1, 1]}),
    ("TOO_MANY", "remove", {"remove": list(range(65))}),
    ("INVALID_INPUT", "reset", {"reset": 1}),
    ("INVALID_INPUT", "replace", {"reset": True, "replace": "yes"}),
    ("INVALID_INPUT", "apply_mask", {"apply_mask": 1}),
    ("INVALID_INPUT", "output", {"output": "blur"}),
    ("INVALID_INPUT", "output.mode", {"output": {"mode": "sparkle"}}),
    ("INVALID_INPUT", "output.background", {"output": {"background": "#12345g"}}),
    ("OUT_OF_RANGE", "output.hidden[0]", {"output": {"hidden": [-1]}}),
    ("INVALID_INPUT", "height", {"reset": True, "width": 5}),
    ("OUT_OF_RANGE", "width", {"reset": True, "width": 0, "height": 5}),
    ("OUT_OF_RANGE", "rtp_timestamp", {"reset": True, "rtp_timestamp": 2**32}),
    ("UNSUPPORTED", "unpin", {"unpin": 1}),
    ("INVALID_INPUT", "undo", {"undo": 1}),
    ("INVALID_INPUT", "pin", {"pin": [1]}),
    ("INVALID_INPUT", "preview", {"reset": True, "preview": 2}),
]


@pytest.mark.parametrize(
    ("code", "where", "message"), BAD, ids=[f"{i}-{b[0]}-{b[1]}" for i, b in enumerate(BAD)]
)
def test_bad_messages_are_refused_by_code_and_place(code: str, where: str, message: dict[str, Any]) -> None:
    with pytest.raises(WireError) as caught:
        read_prompt_message({"request_id": "r1", **message})
    assert caught.value.code == code
    assert caught.value.reason.startswith(f"{where}: expected ") or code == "BAD_MASK"
    if "request_id" not in message:
        assert caught.value.request_id == "r1"


def test_a_coordinate_outside_a_source_frame_shows_when_its_size_is_known() -> None:
    message = read(request_id="r1", prompts=[{"x": 1, "y": 1}, {"x": 101, "y": 1}])
    with pytest.raises(WireError, match=r"OUT_OF_RANGE: prompts\[1\].x: expected 0..100, got 101") as caught:
        message.engine_prompts(100, 50, None)
    assert caught.value.request_id == "r1"


FIELDS = (
    "request_id prompts box_prompts mask_url prompt apply_mask output remove reset object_id replace "
    "width height rtp_timestamp frame_index reanchor preview x y label"
).split()
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=6))
@settings(max_examples=400, deadline=None)
def test_any_map_is_read_or_refused_and_never_breaks(message: dict[str, object]) -> None:
    try:
        read_prompt_message(message).engine_prompts(640, 480, None)
    except WireError as error:
        json.dumps(error.message())


def test_msgpack_timestamps_and_extensions_are_just_wrong_values() -> None:
    data = msgpack.packb({"prompts": [{"x": msgpack.ExtType(5, b"x"), "y": msgpack.Timestamp(1)}]})
    with pytest.raises(WireError, match="INVALID_INPUT"):
        read_prompt_message(wire.decode(data))


def test_what_may_be_done_to_an_object_besides() -> None:
    seen = 7
    for verb, expected in {
        "undo": Undo(3),
        "redo": Redo(3),
        "restore": Restore(3),
        "restart": Restart(3, seen, True),
        "pin": Pin(3, seen, True),
    }.items():
        message = read(**{verb: True, "object_id": 3, "reanchor": True})
        assert message.engine_prompts(10, 10, seen) == (expected,)
        assert message.object_ids == (3,)
        with pytest.raises(WireError, match="something to do"):
            read(**{verb: False})


def test_it_is_done_before_the_clicks_and_what_is_remembered_after_them() -> None:
    click = {"x": 5, "y": 5}
    ahead = read(restart=True, prompts=[click], remove=2, reset=True).engine_prompts(10, 10, 4)
    assert [type(prompt) for prompt in ahead] == [Reset, Remove, Restart, Points]
    last = read(pin=True, prompts=[click]).engine_prompts(10, 10, None)
    assert [type(prompt) for prompt in last] == [Points, Pin]
    with pytest.raises(WireError, match="undo, redo, restore, restart, pin") as caught:
        read(undo=True, pin=True)
    assert caught.value.code == "INVALID_INPUT"


def test_a_frame_is_kept_and_let_go() -> None:
    assert read(keep=True, rtp_timestamp=9).engine_prompts(10, 10, 7) == (Keep(7),)
    assert read(keep=True).sees
    assert read(keep=False).engine_prompts(10, 10, None) == (Release(),)
    assert not read(keep=False).sees
    assert read(keep=True).object_ids == ()
    both = read(keep=False, prompts=[{"x": 5, "y": 5}]).engine_prompts(10, 10, 4)
    assert [type(prompt) for prompt in both] == [Points, Release]
    with pytest.raises(WireError, match="keep"):
        read(keep="yes")


def test_reanchoring_and_previews_are_asked_for() -> None:
    message = read(prompts=[{"x": 1, "y": 1}], box_prompts=[], reanchor=True, preview=True)
    assert message.preview
    assert message.engine_prompts(10, 10, 3) == (Points(1, (Point(0.1, 0.1),), False, 3, reanchor=True),)
    assert not read(prompts=[{"x": 1, "y": 1}]).preview
