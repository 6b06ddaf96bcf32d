"""What a client may ask for as the source of a session. Pure; docs/protocol.md section 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from stream.wire import Fields

NAME_CHARACTERS = 64
URL_CHARACTERS = 2048
TRANSPORTS: Mapping[str, Literal["tcp", "udp"]] = {"tcp": "tcp", "udp": "udp"}


@dataclass(frozen=True, slots=True)
class CameraRequest:
    """A camera of the operator's configuration."""

    name: str


@dataclass(frozen=True, slots=True)
class UrlRequest:
    """An address: rtsp(s) for a camera, http(s) for a video. `realtime` False: as fast as the engine goes."""

    url: str
    transport: Literal["tcp", "udp"] = "tcp"
    loop: bool = False
    realtime: bool = True


@dataclass(frozen=True, slots=True)
class FileRequest:
    """A file of the operator's media folder, by its path in there."""

    path: str
    loop: bool = False
    realtime: bool = True


SourceRequest = Literal["webrtc", "sample"] | CameraRequest | UrlRequest | FileRequest


def read_source_request(fields: Fields) -> SourceRequest:
    """The `source` field: "webrtc", "sample", {"camera"}, {"url"} or {"file"}; "webrtc" when absent.

    Raises:
        WireError: as Fields.
    """
    if not fields.has("source"):
        return "webrtc"
    if not isinstance(fields.get("source"), Mapping):
        return fields.one_of("source", ("webrtc", "sample"))  # type: ignore[no-any-return]
    source = fields.nested("source")
    loop, realtime = source.boolean("loop", False), source.boolean("realtime", True)
    kinds = [kind for kind in ("camera", "url", "file") if source.has(kind)]
    if len(kinds) != 1:
        source.refuse("INVALID_INPUT", "", "one of camera, url and file", ", ".join(kinds) or None)
    if kinds[0] == "camera":
        return CameraRequest(source.text("camera", NAME_CHARACTERS))
    if kinds[0] == "file":
        return FileRequest(source.text("file", URL_CHARACTERS), loop, realtime)
    transport: Literal["tcp", "udp"] = "tcp"
    if source.has("transport"):
        transport = source.one_of("transport", TRANSPORTS)
    return UrlRequest(source.text("url", URL_CHARACTERS), transport, loop, realtime)
