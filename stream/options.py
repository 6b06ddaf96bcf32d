"""What a client asks for when it opens a session. Pure; docs/protocol.md section 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stream.prompt_message import PromptMessage, read_prompt_message
from stream.sources.request import SourceRequest, read_source_request
from stream.view import View, read_view_change
from stream.wire import Fields, WireError

SDP_BYTES = 64 * 1024
MEDIA_LINES = 8
CANDIDATES = 64
PROMPTS = 64


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """The options of `POST /sessions`, defaults as documented there."""

    source: SourceRequest = "webrtc"
    codec: str | None = None
    view: View = field(default_factory=View)
    binary: bool = False
    rle: bool = True


@dataclass(frozen=True, slots=True)
class Offer:
    """A checked body of `POST /sessions`.

    Attributes:
        sdp: None for a session that runs without anybody watching.
        prompts: messages for the first frame.
    """

    sdp: str | None
    options: SessionOptions
    prompts: tuple[PromptMessage, ...] = ()


def read_offer(body: object) -> Offer:
    """Check a decoded JSON body.

    Raises:
        WireError: INVALID_INPUT, TOO_LARGE or TOO_MANY.
    """
    if not isinstance(body, Mapping):
        raise WireError("INVALID_INPUT", "body: expected a JSON object")
    fields = Fields(body)
    options = _read_options(fields)
    prompts = tuple(read_prompt_message(message) for message in fields.sequence("prompts", PROMPTS))
    if not fields.has("sdp") and not fields.has("type") and options.source != "webrtc":
        return Offer(None, options, prompts)
    fields.one_of("type", ("offer",))
    sdp = fields.text("sdp", SDP_BYTES)
    check_sdp(sdp)
    return Offer(sdp, options, prompts)


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
        source=read_source_request(fields),
        codec=fields.one_of("codec", ("vp8", "h264")) if fields.has("codec") else default.codec,
        view=default.view.changed(read_view_change(fields)),
        binary=fields.one_of("encoding", encodings) if fields.has("encoding") else default.binary,
        rle=fields.boolean("rle", default.rle),
    )
