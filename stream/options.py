"""What a client asks for when it opens a session. Pure; docs/protocol.md section 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stream.view import View, read_view_change
from stream.wire import Fields, WireError

SDP_BYTES = 64 * 1024
MEDIA_LINES = 8
CANDIDATES = 64


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """The options of `POST /sessions`, defaults as documented there."""

    source: str = "webrtc"
    codec: str | None = None
    view: View = field(default_factory=View)
    binary: bool = False
    rle: bool = True


@dataclass(frozen=True, slots=True)
class Offer:
    """A checked body of `POST /sessions`."""

    sdp: str
    options: SessionOptions


def read_offer(body: object) -> Offer:
    """Check a decoded JSON body.

    Raises:
        WireError: INVALID_INPUT, TOO_LARGE or TOO_MANY.
    """
    if not isinstance(body, Mapping):
        raise WireError("INVALID_INPUT", "body: expected a JSON object")
    fields = Fields(body)
    fields.one_of("type", ("offer",))
    sdp = fields.text("sdp", SDP_BYTES)
    check_sdp(sdp)
    return Offer(sdp, _read_options(fields))


def check_sdp(sdp: str) -> None:
    """Refuse an SDP that would make us do too much work.

    Raises:
        WireError: TOO_MANY.
    """
    for what, prefix, most in (("m-lines", "m=", MEDIA_LINES), ("candidates", "a=candidate:", CANDIDATES)):
        count = sum(line.startswith(prefix) for line in sdp.splitlines())
        if count > most:
            raise WireError("TOO_MANY", f"sdp: expected at most {most} {what}, got {count}")


def _read_options(fields: Fields) -> SessionOptions:
    default = SessionOptions()
    encodings = {"json": False, "msgpack": True}
    return SessionOptions(
        source=fields.one_of("source", ("webrtc", "sample")) if fields.has("source") else default.source,
        codec=fields.one_of("codec", ("vp8", "h264")) if fields.has("codec") else default.codec,
        view=default.view.changed(read_view_change(fields)),
        binary=fields.one_of("encoding", encodings) if fields.has("encoding") else default.binary,
        rle=fields.boolean("rle", default.rle),
    )
