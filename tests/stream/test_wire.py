import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream import wire
from stream.wire import Fields, WireError


def refused(data: bytes | str) -> tuple[str, str]:
    with pytest.raises(WireError) as caught:
        wire.decode(data)
    return caught.value.code, caught.value.reason


def outcome(data: bytes | str) -> str:
    try:
        return "map" if isinstance(wire.decode(data), dict) else "something else"
    except WireError as error:
        return error.code


def test_msgpack_comes_as_bytes_and_json_as_text() -> None:
    assert wire.decode(b"\x81\xa1x\xcb\x40\x04\x00\x00\x00\x00\x00\x00") == {"x": 2.5}
    assert wire.decode('{"x":2.5}') == {"x": 2.5}


def test_encodes_literally() -> None:
    assert wire.encode({"type": "pong", "id": 1}, binary=False) == '{"type":"pong","id":1}'
    assert wire.encode({"type": "pong", "id": 1}, binary=True) == b"\x82\xa4type\xa4pong\xa2id\x01"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x81\xa1x",  # ends early
        b"\x80\x80",  # two values
        b"\x93\x01\x02\x03",  # a list
        b'{"x": 1}',  # JSON in a binary message
        b"\x81\x01\x02",  # a key that is not text
        b"\x91" * 5000,  # deeper than anybody nests
        b"\xdf\xff\xff\xff\xff",  # four thousand million entries to come
        "",
        "x",
        "[1]",
        '{"x": 1',
        "[" * 60_000,
        '{"x": ' + "9" * 5000 + "}",
        "\ud800",
    ],
)
def test_what_is_not_one_map_is_bad_encoding(data: bytes | str) -> None:
    assert refused(data)[0] == "BAD_ENCODING"


def test_size_limits() -> None:
    fits = json.dumps({"pad": "x" * (wire.MESSAGE_BYTES - 11)})
    assert len(fits) == wire.MESSAGE_BYTES
    wire.decode(fits)
    over = json.dumps({"request_id": "r1", "pad": "x" * wire.MESSAGE_BYTES})
    with pytest.raises(WireError) as caught:
        wire.decode(over)
    assert (caught.value.code, caught.value.request_id) == ("TOO_LARGE", "r1")
    wire.decode(json.dumps({"mask_url": "x" * wire.MESSAGE_BYTES}))
    assert refused(json.dumps({"mask_url": "x" * wire.MASK_MESSAGE_BYTES}))[0] == "TOO_LARGE"
    assert refused(b"\x00" * (wire.MASK_MESSAGE_BYTES + 1))[0] == "TOO_LARGE"


def test_size_counts_bytes_of_text_not_characters() -> None:
    assert refused(json.dumps({"pad": "é" * 40_000}, ensure_ascii=False))[0] == "TOO_LARGE"


@given(st.binary(max_size=300))
@settings(max_examples=300)
def test_any_bytes_decode_to_a_map_or_are_refused(data: bytes) -> None:
    assert outcome(data) in ("map", "BAD_ENCODING")


@given(st.text(max_size=300))
@settings(max_examples=300)
def test_any_text_decodes_to_a_map_or_is_refused(data: str) -> None:
    assert outcome(data) in ("map", "BAD_ENCODING")


def test_error_message_has_fals_shape() -> None:
    assert WireError("INVALID_INPUT", "x: expected a number, got nothing", "r1").message() == {
        "type": "x-fal-error",
        "error": "INVALID_INPUT",
        "reason": "x: expected a number, got nothing",
        "request_id": "r1",
    }
    assert "request_id" not in WireError("BAD_ENCODING", "no").message()


@pytest.mark.parametrize("value", ["r1", "x" * 128, 0, -(2**63), 2**63 - 1])
def test_usable_request_ids(value: object) -> None:
    assert wire.request_id_of({"request_id": value}) == value


@pytest.mark.parametrize("value", [None, "", "x" * 129, True, 1.0, 2**63, [], b"r"])
def test_other_request_ids_are_not_echoed(value: object) -> None:
    assert wire.request_id_of({"request_id": value}) is None


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "INVALID_INPUT"),
        ("1", "INVALID_INPUT"),
        (True, "INVALID_INPUT"),
        ([1], "INVALID_INPUT"),
        (float("nan"), "OUT_OF_RANGE"),
        (float("inf"), "OUT_OF_RANGE"),
        (-0.001, "OUT_OF_RANGE"),
        (10.001, "OUT_OF_RANGE"),
        (10**400, "OUT_OF_RANGE"),
    ],
)
def test_numbers(value: object, code: str) -> None:
    with pytest.raises(WireError) as caught:
        Fields({"x": value}, "prompts[3].", "r9").number("x", 0, 10)
    assert (caught.value.code, caught.value.request_id) == (code, "r9")
    assert caught.value.reason.startswith("prompts[3].x: expected ")


def test_integers_are_numbers_and_whole_floats_are_integers() -> None:
    assert Fields({"x": 3}).number("x", 0, 10) == 3.0
    assert Fields({"x": 3.0}).integer("x", 0, 10) == 3
    with pytest.raises(WireError, match=r"INVALID_INPUT: x: expected an integer, got 3\.5"):
        Fields({"x": 3.5}).integer("x", 0, 10)


def test_null_counts_as_absent() -> None:
    assert Fields({"flag": None}).boolean("flag", True) is True
    assert Fields({"list": None}).sequence("list", 3) == []


def test_choices_are_compared_by_type_too() -> None:
    choices = {0: "no", 1: "yes", "0": "no", "1": "yes"}
    assert [Fields({"label": v}).one_of("label", choices) for v in (0, 1, "0", "1")] == ["no", "yes"] * 2
    for wrong in (True, 1.0, 2, "2", "", [], {}):
        with pytest.raises(WireError, match="INVALID_INPUT: label: expected one of 0, 1, '0', '1', got "):
            Fields({"label": wrong}).one_of("label", choices)


def test_reasons_never_carry_a_payload() -> None:
    with pytest.raises(WireError) as caught:
        Fields({"x": "a" * 50_000}).number("x", 0, 1)
    assert len(caught.value.reason) < 100
