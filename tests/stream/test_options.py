from typing import Any

import pytest

from engine.render import RenderMode
from stream.options import Offer, SessionOptions, read_offer
from stream.view import View
from stream.wire import WireError


def test_an_offer_alone_takes_every_default() -> None:
    assert read_offer({"type": "offer", "sdp": "v=0", "extra": 1}) == Offer("v=0", SessionOptions())
    default = SessionOptions()
    assert (default.source, default.codec, default.binary, default.rle) == ("webrtc", None, False, True)
    assert default.view == View(True, RenderMode.OVERLAY, frozenset(), (0, 0, 0))


def test_every_option() -> None:
    body = {
        "type": "offer",
        "sdp": "v=0",
        "source": "sample",
        "codec": "h264",
        "output": {"mode": "cutout", "background": "#00ff00"},
        "apply_mask": False,
        "encoding": "msgpack",
        "rle": False,
    }
    view = View(False, RenderMode.CUTOUT, frozenset(), (0, 255, 0))
    assert read_offer(body).options == SessionOptions("sample", "h264", view, True, False)


BAD: list[tuple[object, str, str]] = [
    ([], "INVALID_INPUT", "body"),
    ({}, "INVALID_INPUT", "type"),
    ({"type": "answer", "sdp": "v=0"}, "INVALID_INPUT", "type"),
    ({"type": "offer"}, "INVALID_INPUT", "sdp"),
    ({"type": "offer", "sdp": 5}, "INVALID_INPUT", "sdp"),
    ({"type": "offer", "sdp": "x" * 65537}, "TOO_LARGE", "sdp"),
    ({"type": "offer", "sdp": "m=video\n" * 9}, "TOO_MANY", "sdp"),
    ({"type": "offer", "sdp": "a=candidate:1\r\n" * 65}, "TOO_MANY", "sdp"),
    ({"type": "offer", "sdp": "v=0", "source": "rtsp://10.0.0.1"}, "INVALID_INPUT", "source"),
    ({"type": "offer", "sdp": "v=0", "codec": "av1"}, "INVALID_INPUT", "codec"),
    ({"type": "offer", "sdp": "v=0", "encoding": "xml"}, "INVALID_INPUT", "encoding"),
    ({"type": "offer", "sdp": "v=0", "rle": "no"}, "INVALID_INPUT", "rle"),
    ({"type": "offer", "sdp": "v=0", "output": {"mode": 1}}, "INVALID_INPUT", "output.mode"),
]


@pytest.mark.parametrize(("body", "code", "where"), BAD)
def test_bad_bodies_are_refused(body: Any, code: str, where: str) -> None:
    with pytest.raises(WireError) as caught:
        read_offer(body)
    assert caught.value.code == code
    assert caught.value.reason.startswith(f"{where}: expected ")
