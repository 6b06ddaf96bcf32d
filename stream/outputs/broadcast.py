"""The masked video for any number of viewers: each picture is coded once and handed to all of them.

A viewer that can take much less than the others, or that needs key frames all the time, is served by a
second, leaner encoding, so that a slow one hurts only itself; one that lost pictures gets a key frame, at
most a few a second for all together.
"""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal

import av

from stream.codecs import ENCODERS, LiveEncoder, LiveH264Encoder
from stream.encoders import TIME_BASE, X264
from stream.latest import Latest
from stream.outputs.output import Shown
from stream.outputs.seat import Seat
from stream.stats import Stats
from stream.timeline import RTP_MODULUS
from stream.wire import Message

if TYPE_CHECKING:
    from stream.encoders import VideoPacket

# Estimates against the main encoding's bitrate: below the first a viewer is moved to the lean one, above the
# second it comes back. Between them nothing moves.
LEAN_BELOW, MAIN_ABOVE = 0.5, 0.8
KEY_SECONDS = 0.3
# A key frame is made of the picture shown last when no newer one came for so long (a camera that is out).
REPEAT_AFTER = 0.25

log = logging.getLogger(__name__)

Tier = Literal["main", "lean"]


class Rendition:
    """One encoder and the viewers that it serves; idle while nobody looks."""

    def __init__(self, codec: str, h264: str) -> None:
        self.seats: list[Seat] = []
        self.encoded = 0
        self.key_frames = 0
        self._encoder: LiveEncoder = LiveH264Encoder(h264) if codec == "video/h264" else ENCODERS[codec]()
        self._latest: Latest[Shown] = Latest()
        self._shown: Shown | None = None
        self._pts: int | None = None
        self._key_wanted = False
        self._key_at = float("-inf")
        self._threads = ThreadPoolExecutor(1, "session-encoder")
        self._task = asyncio.create_task(self._run())

    @property
    def bitrate(self) -> int:
        """Bits per second aimed at."""
        return self._encoder.target_bitrate

    @property
    def encoder(self) -> str | None:
        """FFmpeg's name of the encoder at work; None before the first picture."""
        return self._encoder.name

    @property
    def dropped(self) -> int:
        return self._latest.dropped

    def put(self, shown: Shown) -> None:
        self._shown = shown
        if any(seat.watching for seat in self.seats):
            self._latest.put(shown)

    def request_key(self) -> None:
        """Somebody cannot go on without a key frame; requests that come close together get one."""
        if self._key_wanted or self._shown is None:
            self._key_wanted = True
            return
        self._key_wanted = True
        wait = max(0.0, self._key_at + KEY_SECONDS - time.monotonic())
        asyncio.get_running_loop().call_later(wait + REPEAT_AFTER, self._repeat)

    def follow(self, bitrate: int) -> None:
        self._encoder.target_bitrate = bitrate

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._threads.submit(self._encoder.release)
        self._threads.shutdown(wait=False)

    def _repeat(self) -> None:
        """Code the last picture again if the key frame still waits for one."""
        if self._key_wanted and self._shown is not None and not self._task.done():
            self._latest.put(self._shown)

    async def _run(self) -> None:
        try:
            while True:
                await self._advance(await self._latest.get())
        except Exception:
            log.exception("the encoder failed")
            for seat in tuple(self.seats):
                seat.stop()

    async def _advance(self, shown: Shown) -> None:
        key = self._key_wanted and time.monotonic() >= self._key_at + KEY_SECONDS
        if key:
            self._key_wanted, self._key_at = False, time.monotonic()
        packet = await asyncio.get_running_loop().run_in_executor(
            self._threads, self._encode, shown, self._next_pts(shown), key
        )
        self.encoded += 1
        self.key_frames += packet.is_keyframe
        for seat in tuple(self.seats):
            seat.offer(packet)

    def _encode(self, shown: Shown, pts: int, key: bool) -> VideoPacket:
        video = av.VideoFrame.from_ndarray(shown.image, format="yuv420p")
        video.pts, video.time_base = pts, TIME_BASE
        return self._encoder.compress(video, key)

    def _next_pts(self, shown: Shown) -> int:
        """The RTP timestamp, going on where its 32 bits begin again; a repeated picture is one tick later."""
        stamp = shown.frame.rtp_timestamp or 0
        last = stamp - 1 if self._pts is None else self._pts
        step = (stamp - last) % RTP_MODULUS
        self._pts = last + (step if 0 < step < RTP_MODULUS // 2 else 1)
        return self._pts


class Broadcast:
    """An output that any number of seats can take part in.

    Args:
        stats: `frames_out` and `dropped_out` are counted in it.
        h264: name of the H264 encoder (`stream.encoders.pick_h264`).
    """

    def __init__(self, stats: Stats, h264: str = X264) -> None:
        self._stats = stats
        self._h264 = h264
        self._renditions: dict[tuple[str, Tier], Rendition] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._last: Shown | None = None

    @property
    def renditions(self) -> dict[tuple[str, Tier], Rendition]:
        """Encodings that run now, by codec ("video/h264", "video/vp8") and tier."""
        return dict(self._renditions)

    @property
    def viewers(self) -> int:
        return sum(len(rendition.seats) for rendition in self._renditions.values())

    def snapshot(self) -> list[Message]:
        """The encodings that run now, as `GET /sessions/{id}` shows them."""
        return [
            {
                "codec": codec.partition("/")[2],
                "encoder": rendition.encoder,
                "bitrate": rendition.bitrate,
                "viewers": len(rendition.seats),
                "key_frames": rendition.key_frames,
            }
            for (codec, _), rendition in self._renditions.items()
        ]

    def join(self, seat: Seat, codec: str) -> None:
        """Serve `seat` with `codec`, from the next key frame on, which is asked for once it watches."""
        seat.codec, seat.broadcast = codec, self
        self._enter(seat, "main")

    def leave(self, seat: Seat) -> None:
        """Serve `seat` no longer; an encoder that nobody needs is let go."""
        for place, rendition in list(self._renditions.items()):
            if seat in rendition.seats:
                rendition.seats.remove(seat)
                if not rendition.seats:
                    self._let_go(place)

    def request_key(self, seat: Seat) -> None:
        """Give `seat` a key frame soon; one that wants them all the time is served apart from the others."""
        main = self._renditions.get((seat.codec, "main"))
        if seat.troubled and main is not None and seat in main.seats and len(main.seats) > 1:
            self._move(seat, "lean")  # which begins with one
            return
        for rendition in self._renditions.values():
            if seat in rendition.seats:
                rendition.request_key()

    def rebalance(self, seat: Seat) -> None:
        """Take in a new estimate of what `seat` can receive."""
        main = self._renditions.get((seat.codec, "main"))
        if main is not None and seat.estimated is not None:
            if seat in main.seats and len(main.seats) > 1 and seat.estimated < LEAN_BELOW * main.bitrate:
                self._move(seat, "lean")
            elif seat not in main.seats and not seat.troubled and seat.estimated > MAIN_ABOVE * main.bitrate:
                self._move(seat, "main")
        elif main is None:
            self._move(seat, "main")
        self._follow(seat.codec)

    def put(self, shown: Shown) -> None:
        self._last = shown
        for rendition in self._renditions.values():
            rendition.put(shown)
        if any(seat.watching for each in self._renditions.values() for seat in each.seats):
            self._stats.frames_out.add()
        self._stats.dropped_out = sum(each.dropped for each in self._renditions.values())
        self._stats.encoders = sorted({each.encoder for each in self._renditions.values() if each.encoder})

    def close(self) -> None:
        for rendition in list(self._renditions.values()):
            for seat in list(rendition.seats):
                seat.stop()

    def _enter(self, seat: Seat, tier: Tier) -> None:
        place = (seat.codec, tier)
        rendition = self._renditions.get(place)
        if rendition is None:
            rendition = self._renditions[place] = Rendition(seat.codec, self._h264)
            if self._last is not None:
                rendition.put(self._last)
        rendition.seats.append(seat)
        seat.begin()

    def _move(self, seat: Seat, tier: Tier) -> None:
        self.leave(seat)
        self._enter(seat, tier)
        trouble = ", and loses pictures" if seat.troubled else ""
        log.info("a viewer now gets the %s encoding (can take %s bit/s%s)", tier, seat.estimated, trouble)

    def _follow(self, codec: str) -> None:
        """The main encoding goes by its fastest viewer, the lean one by its slowest."""
        for tier, choose in (("main", max), ("lean", min)):
            rendition = self._renditions.get((codec, tier))  # type: ignore[arg-type]
            estimates = [s.estimated for s in rendition.seats if s.estimated is not None] if rendition else []
            if rendition is not None and estimates:
                rendition.follow(choose(estimates))

    def _let_go(self, place: tuple[str, Tier]) -> None:
        task = asyncio.create_task(self._renditions.pop(place).close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
