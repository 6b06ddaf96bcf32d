"""The WebSocket protocol of the server, where the stock clients need it gentler than uvicorn's own."""

from __future__ import annotations

import logging
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Close, CloseCode, Frame, Opcode
from websockets.server import ServerProtocol

PLAIN_CLOSE = Close(CloseCode.NORMAL_CLOSURE, "").serialize()


class NormalClose(ServerProtocol):
    """Answers a Close without a status by 1000.

    Echoed as it is (RFC 6455 section 5.5.1 allows both), the JavaScript client reports it as error 1005
    although it asked for the end itself.
    """

    def recv_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE and not frame.data:
            frame = Frame(Opcode.CLOSE, PLAIN_CLOSE)
        super().recv_frame(frame)


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """For `uvicorn.Config(ws=...)`. Declines permessage-deflate: pictures are compressed already."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = NormalClose(max_size=self.config.ws_max_size, logger=logging.getLogger("uvicorn.error"))
