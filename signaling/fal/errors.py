"""Errors in fal's shapes: one exception that is an HTTP answer, a job's outcome and a webhook's payload."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from pydantic import ValidationError

Loc = tuple[str | int, ...]
INPUT_CHARS = 200


class FalError(Exception):
    """A refusal that the caller should see.

    Attributes:
        status: HTTP status. 408, 409, 429, 502, 503 and 504 make the stock clients try again.
        detail: a sentence, or pydantic-like entries `{"loc", "msg", "type", ...}` for 422.
        kind: fal's `error_type`.
        headers: more response headers.
    """

    def __init__(
        self,
        status: int,
        detail: str | list[dict[str, Any]],
        kind: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.kind = kind
        self.headers = {"x-fal-error-type": kind, **(headers or {})}

    @property
    def body(self) -> dict[str, Any]:
        """The JSON body; entries of a 422 carry their own types, so `error_type` is for sentences."""
        if isinstance(self.detail, list):
            return {"detail": self.detail}
        return {"detail": self.detail, "error_type": self.kind}

    @property
    def message(self) -> str:
        if isinstance(self.detail, str):
            return self.detail
        return "; ".join(f"{'.'.join(map(str, entry['loc']))}: {entry['msg']}" for entry in self.detail)


def invalid(
    loc: Sequence[str | int],
    message: str,
    kind: str = "value_error",
    *,
    got: object = None,
    ctx: Mapping[str, Any] | None = None,
) -> FalError:
    """A 422 about one field of the input; `loc` without the leading "body"."""
    entry: dict[str, Any] = {"loc": ["body", *loc], "msg": message, "type": kind}
    if got is not None:
        entry["input"] = shorten(got)
    if ctx:
        entry["ctx"] = dict(ctx)
    return FalError(422, [entry], kind)


def from_validation(error: ValidationError) -> FalError:
    """pydantic's complaints as fal sends them."""
    entries = []
    for item in error.errors(include_url=False):
        entry: dict[str, Any] = {
            "loc": ["body", *item["loc"]],
            "msg": item["msg"],
            "type": item["type"],
            "input": shorten(item["input"]),
        }
        if "ctx" in item:
            entry["ctx"] = {key: _plain(value) for key, value in item["ctx"].items()}
        entries.append(entry)
    return FalError(422, entries, entries[0]["type"])


def shorten(value: object) -> object:
    """An input as it may be quoted back: long text (a data URI) is cut, containers are only counted."""
    if isinstance(value, str):
        return value if len(value) <= INPUT_CHARS else f"{value[:INPUT_CHARS]}... ({len(value)} characters)"
    if isinstance(value, (list, tuple)):
        return f"list of {len(value)}"
    if isinstance(value, dict):
        return f"object with {', '.join(str(key)[:40] for key in list(value)[:10]) or 'no fields'}"
    return _plain(value)


def _plain(value: object) -> object:
    """As JSON can say it: bytes and numbers that are not finite come from msgpack, and become text."""
    if isinstance(value, float):
        return value if isfinite(value) else str(value)
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
