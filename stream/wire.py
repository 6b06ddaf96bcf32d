"""Bytes to maps and maps to bytes, and the reading of their fields. Pure; docs/protocol.md sections 4 and 9.

It knows no channel, no session and no engine: only what a message may look like and how it is refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import msgpack

MESSAGE_BYTES = 64 * 1024
MASK_MESSAGE_BYTES = 256 * 1024
REQUEST_ID_CHARACTERS = 128

Message = dict[str, Any]
RequestId = str | int | None


class WireError(Exception):
    """A message that is refused: `code` of docs/protocol.md section 9, a reason for people."""

    def __init__(self, code: str, reason: str, request_id: RequestId = None) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason
        self.request_id = request_id

    def message(self) -> Message:
        """The `x-fal-error` message, to be sent as JSON text."""
        error: Message = {"type": "x-fal-error", "error": self.code, "reason": self.reason}
        if self.request_id is not None:
            error["request_id"] = self.request_id
        return error


def decode(data: bytes | str, most: int | None = None) -> Message:
    """One message: msgpack when it came as bytes, JSON when it came as text.

    Args:
        most: bytes allowed on a carrier whose messages hold pictures; None is a data channel's limits.

    Raises:
        WireError: TOO_LARGE, BAD_ENCODING. It carries the `request_id` where that could be read.
    """
    size = len(data) if isinstance(data, bytes) else len(data.encode("utf-8", "surrogatepass"))
    limit = MASK_MESSAGE_BYTES if most is None else most
    if size > limit:
        raise WireError("TOO_LARGE", f"message: expected at most {limit} bytes, got {size}")
    value = _unpack(data) if isinstance(data, bytes) else _parse(data)
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise WireError("BAD_ENCODING", f"message: expected one map with text keys, got {_name(value)}")
    if most is None and size > MESSAGE_BYTES and not isinstance(value.get("mask_url"), str):
        reason = f"message: expected at most {MESSAGE_BYTES} bytes without mask_url, got {size}"
        raise WireError("TOO_LARGE", reason, request_id_of(value))
    return value


def encode(message: Mapping[str, object], *, binary: bool) -> bytes | str:
    """`message` as msgpack bytes (`binary`) or as compact JSON text."""
    if binary:
        return bytes(msgpack.packb(message, use_bin_type=True))
    return json.dumps(message, separators=(",", ":"), allow_nan=False)


def request_id_of(message: Mapping[str, object]) -> RequestId:
    """The request id if there is a usable one, for answers to messages that are otherwise wrong."""
    value = message.get("request_id")
    if isinstance(value, str) and 1 <= len(value) <= REQUEST_ID_CHARACTERS:
        return value
    if isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63:
        return value
    return None


class Fields:
    """Typed access to the fields of a map; a wrong one is refused by its path, e.g. `prompts[2].x`.

    Every reader treats null as absent and raises WireError: INVALID_INPUT for a wrong type or a missing
    field, OUT_OF_RANGE for a number outside its bounds, TOO_MANY or TOO_LARGE for lengths.
    """

    def __init__(self, values: Mapping[str, Any], path: str = "", request_id: RequestId = None) -> None:
        self._values = values
        self.path = path
        self.request_id = request_id

    def refuse(self, code: str, field: str, expected: str, got: object) -> NoReturn:
        where = f"{self.path}{field}" if field else (self.path or "message")
        raise WireError(code, f"{where}: expected {expected}, got {_name(got)}", self.request_id)

    def has(self, field: str) -> bool:
        return self._values.get(field) is not None

    def get(self, field: str) -> Any:
        return self._values.get(field)

    def number(self, field: str, low: float, high: float) -> float:
        value = self._required(field, "a number")
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.refuse("INVALID_INPUT", field, "a number", value)
        if not low <= value <= high:  # which NaN is not either
            self.refuse("OUT_OF_RANGE", field, f"{low:g}..{high:g}", value)
        return float(value)

    def integer(self, field: str, low: int, high: int) -> int:
        value = self._required(field, "an integer")
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            # NaN and infinity are floats too, and "not an integer" would hide what is wrong with them.
            code = (
                "OUT_OF_RANGE" if isinstance(value, float) and not math.isfinite(value) else "INVALID_INPUT"
            )
            self.refuse(code, field, "an integer", value)
        if not low <= value <= high:
            self.refuse("OUT_OF_RANGE", field, f"{low}..{high}", value)
        return value

    def boolean(self, field: str, default: bool) -> bool:
        value = default if not self.has(field) else self._values[field]
        if not isinstance(value, bool):
            self.refuse("INVALID_INPUT", field, "true or false", value)
        return value

    def text(self, field: str, longest: int) -> str:
        value = self._required(field, "a string")
        if not isinstance(value, str):
            self.refuse("INVALID_INPUT", field, "a string", value)
        if not 1 <= len(value) <= longest:
            self.refuse(
                "TOO_LARGE" if value else "INVALID_INPUT", field, f"1..{longest} characters", len(value)
            )
        return value

    def one_of(self, field: str, choices: Mapping[Any, Any] | tuple[str, ...]) -> Any:
        """The value (for a tuple) or what it maps to; compared by type too, so true is not 1."""
        value = self._required(field, "one of " + ", ".join(map(repr, choices)))
        for choice in choices:
            if type(choice) is type(value) and choice == value:
                return choices[choice] if isinstance(choices, Mapping) else choice
        self.refuse("INVALID_INPUT", field, "one of " + ", ".join(map(repr, choices)), value)

    def sequence(self, field: str, most: int) -> list[Any]:
        """The list in `field`, empty when absent."""
        value = [] if not self.has(field) else self._values[field]
        if not isinstance(value, list):
            self.refuse("INVALID_INPUT", field, "a list", value)
        if len(value) > most:
            self.refuse("TOO_MANY", field, f"at most {most} items", len(value))
        return value

    def items(self, field: str, most: int) -> Iterator[Fields]:
        """The maps in the list `field`, each with its own path."""
        for i, item in enumerate(self.sequence(field, most)):
            if not isinstance(item, dict):
                self.refuse("INVALID_INPUT", f"{field}[{i}]", "a map", item)
            yield Fields(item, f"{self.path}{field}[{i}].", self.request_id)

    def nested(self, field: str) -> Fields:
        value = self._required(field, "a map")
        if not isinstance(value, dict):
            self.refuse("INVALID_INPUT", field, "a map", value)
        return Fields(value, f"{self.path}{field}.", self.request_id)

    def _required(self, field: str, expected: str) -> Any:
        if not self.has(field):
            self.refuse("INVALID_INPUT", field, expected, None)
        return self._values[field]


def _unpack(data: bytes) -> object:
    try:
        return msgpack.unpackb(data, raw=False, strict_map_key=False)
    except Exception as error:  # msgpack raises many kinds, some of them plain ValueError
        raise WireError("BAD_ENCODING", f"message: not msgpack ({error or type(error).__name__})") from error


def _parse(data: str) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise WireError("BAD_ENCODING", f"message: not JSON ({error})") from error


def _name(value: object) -> str:
    """A value as it may appear in a reason: short, and never a whole payload."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value.bit_length() > 64:
        return "an integer of more than 64 bits"
    if isinstance(value, int | float):
        return f"{value!r}"
    if isinstance(value, str):
        return repr(value if len(value) <= 40 else value[:37] + "...")
    kinds: dict[type, str] = {dict: "a map", list: "a list", bytes: "bytes"}
    return kinds.get(type(value), f"a value of type {type(value).__name__}")
