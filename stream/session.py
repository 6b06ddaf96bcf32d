"""One session: newest frame and waiting prompts -> step -> masked picture -> outputs, until one end.

It knows what a source, a step and an output are, and nothing of WebRTC, HTTP or the model.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.masks import mask_to_rle
from engine.render import render
from engine.types import Frame, Keep, MaskSet, Prompt, Release, Reset
from stream import previews, replies
from stream.framelog import Entry, FrameLog
from stream.inbox import Inbox
from stream.intake import Intake, Preparer, Taken
from stream.latest import Latest, LatestClosed
from stream.outage import Outage, slate
from stream.outputs.output import Output, Shown
from stream.picture import Picture
from stream.previews import Previewer
from stream.prompt_message import PromptMessage
from stream.replies import Ack
from stream.roster import Roster
from stream.sources.source import Source
from stream.stats import Stats
from stream.timeline import RTP_RATE, Timeline
from stream.turns import Turn, admit
from stream.view import View
from stream.wire import Message

T = TypeVar("T")
Step = Callable[[Frame, Sequence[Prompt]], Awaitable[MaskSet]]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Stepped:
    """A frame that the engine has done; monotonic seconds when its step began and ended."""

    taken: Taken
    masks: MaskSet
    turns: list[Turn]
    began_at: float
    stepped_at: float


class Session:
    """Owns the loop between one source and its outputs.

    At most one step is in flight; while it runs the picture before it is drawn and sent, and the one after it
    may be encoded. Frames that come meanwhile replace each other and are counted. Prompts wait for the next
    step and are never dropped.

    Args:
        source: drained all the time, at its own pace.
        step: the engine, for this session's objects.
        outputs: each gets every processed frame, in order.
        view: how masks are drawn to begin with.
        rle: whether results carry run lengths.
        rtp_origin: RTP timestamp of the first frame.
        stats: where to count; its own if none is given.
        on_demand: the source has time: it is asked for the next picture when the engine has taken the one
            before, none is left out, and times are the source's own.
    """

    def __init__(
        self,
        source: Source,
        step: Step,
        outputs: Sequence[Output] = (),
        *,
        view: View | None = None,
        rle: bool = True,
        rtp_origin: int = 0,
        stats: Stats | None = None,
        on_demand: bool = False,
    ) -> None:
        self.stats = stats or Stats()
        self._source = source
        self._step = step
        self._outputs = list(outputs)
        self._view = view or View()
        self._rle = rle
        self._roster = Roster(self._view)
        self._on_demand = on_demand
        self._timeline = Timeline(rtp_origin, math.inf if on_demand else Timeline.TOLERANCE_SECONDS)
        self._framelog = FrameLog()
        self._inbox = Inbox()
        self._latest: Latest[Picture | Outage] = Latest()
        self._intake = Intake(
            self._latest,
            self._timeline,
            step if isinstance(step, Preparer) else None,
            self._in_thread,
            patient=on_demand,
        )
        self._last: Shown | None = None
        self._object_ids: frozenset[int] = frozenset()
        self._open: list[Turn] = []
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._delivery: asyncio.Task[None] | None = None
        # Not the event loop's own pool: aiortc encodes there, and neither must wait for the other.
        self._threads = ThreadPoolExecutor(2, "session")

    def submit(self, message: PromptMessage) -> asyncio.Future[Ack]:
        """Queue a prompt message for the next step; the future gives its answer or raises WireError."""
        return self._inbox.submit(message)

    def preview(self, message: PromptMessage) -> Awaitable[Message] | None:
        """What a message that was just submitted would show on the frame that it names: a `preview` message.

        None where there is nothing to preview. The awaitable may raise EngineError.
        """
        found = previews.previewed(self._inbox.waiting, self._framelog)
        if found is None or not isinstance(self._step, Previewer):
            return None
        seen, prompts = found
        return self._previewed(message, seen, self._step.preview(prompts))

    def state(self) -> Message:
        """The current `state` message."""
        return self._roster.message()

    def add_output(self, output: Output) -> None:
        self._outputs.append(output)

    def remove_output(self, output: Output) -> None:
        if output in self._outputs:
            self._outputs.remove(output)

    def record(self, name: str, ended: str | None = None) -> None:
        """Tell clients with the next picture that a recording runs, or why it ended."""
        self._roster.record(name, ended)

    def close(self, reason: str) -> None:
        """Ask the session to end; the first reason stands."""
        if not self._ended.done():
            self._ended.set_result(reason)

    async def run(self) -> str:
        """Run until the source ends, `close` is called or the engine fails; gives the reason."""
        reason = "cancelled"
        drain, follow = asyncio.create_task(self._drain()), asyncio.create_task(self._follow())
        try:
            await asyncio.wait([follow, self._ended], return_when=asyncio.FIRST_COMPLETED)
            reason = self._reason(follow)
            return reason
        finally:
            await self._release([drain, follow], reason)

    # The two parts that run side by side.

    async def _drain(self) -> None:
        """Take every picture of the source as it comes, whatever the engine does."""
        reason = "source ended"
        try:
            async for item in self._source.frames():
                if isinstance(item, Picture):
                    self.stats.frames_in.add()
                    self.stats.decoder = item.decoder
                self._latest.put(item)
                self.stats.dropped_in = self._latest.dropped
                if self._on_demand:
                    await self._latest.taken()
        except Exception as error:
            log.exception("source failed")
            # The system's words without the path, which is nobody's business.
            reason = f"source failed: {getattr(error, 'strerror', None) or error}"
        self._latest.close(reason)

    async def _follow(self) -> str:
        """Process the newest picture, again and again; gives the reason why no more will come."""
        while True:
            try:
                item = await self._intake.next()
            except LatestClosed as closed:
                await self._delivered()
                return closed.reason
            if isinstance(item, Outage):
                await self._bridge(item)
            else:
                self._intake.look_ahead()
                await self._advance(item)

    async def _advance(self, taken: Taken) -> None:
        frame = taken.frame
        self._framelog.add(frame)
        turns = admit(self._inbox.take(), frame, self._object_ids, self._framelog)
        began_at = time.monotonic()
        for turn in turns:
            turn.began_at = began_at
        try:
            masks = await self._step(frame, [prompt for turn in turns for prompt in turn.prompts])
            stepped_at = time.monotonic()
            self._intake.learn(masks, stepped_at - began_at)
            turns, self._open = _settled([*self._open, *turns], masks)
            self._object_ids = _present(masks)
            await self._delivered()
        except BaseException:
            _abandon(turns)
            raise
        self._delivery = asyncio.create_task(
            self._deliver(Stepped(taken, masks, turns, began_at, stepped_at))
        )

    async def _bridge(self, outage: Outage) -> None:
        """Show a slate. The engine takes no step and no frame is counted, so that nothing is forgotten."""
        await self._delivered()
        last = self._last
        image = await self._in_thread(slate, last and last.frame.image, outage.text)
        ticks = self._timeline.ticks(None, outage.captured_at)
        frame = Frame(
            max(self._intake.count - 1, 0),
            image,
            outage.captured_at,
            ticks / RTP_RATE,
            self._timeline.rtp_timestamp(ticks),
        )
        if last:
            self._framelog.add(frame)
        masks = last.masks if last else MaskSet(frame.index, ())
        self._hand(Shown(frame, masks, image, None, self._roster.lose(outage.since)))

    def _hand(self, shown: Shown) -> None:
        for output in tuple(self._outputs):
            output.put(shown)

    async def _delivered(self) -> None:
        """Wait for the picture before to have left, so that pictures leave in order and never pile up."""
        if self._delivery is not None:
            await self._delivery

    async def _deliver(self, stepped: Stepped) -> None:
        """Draw one processed frame, hand it to the outputs, and answer the messages it carried out."""
        frame, masks, turns = stepped.taken.frame, stepped.masks, stepped.turns
        try:
            self._look(turns)
            image, result = await self._in_thread(self._paint, frame, masks, self._view)
            shown = Shown(frame, masks, image, result, self._roster.update(frame, masks, self._view))
            self._last = shown
            self._hand(shown)
        except BaseException:
            _abandon(turns)
            raise
        done_at = time.monotonic()
        self._count(stepped, done_at)
        for turn in turns:
            turn.answer(frame, masks, _timings(stepped, turn, done_at))

    async def _previewed(self, message: PromptMessage, seen: Entry, masks: Awaitable[MaskSet]) -> Message:
        return await self._in_thread(previews.message, message.request_id, seen, await masks)

    # The verbs of one frame.

    def _look(self, turns: Sequence[Turn]) -> None:
        """Draw from this frame on as the messages it carried out ask."""
        for turn in turns:
            if not turn.refused:
                self._view = self._view.changed(turn.waiting.message.view)

    def _paint(self, frame: Frame, masks: MaskSet, view: View) -> tuple[NDArray[np.uint8], Message]:
        image = render(frame, masks, view.drawn_mode, hidden=view.hidden, background=view.background)
        rles = [dict(mask_to_rle(found.mask)) for found in masks.objects] if self._rle else None
        return image, replies.result(frame, masks, rles)

    def _count(self, stepped: Stepped, done_at: float) -> None:
        stats, taken = self.stats, stepped.taken
        captured_at = taken.frame.captured_at
        stats.frames_model.add()
        stats.queue_age = taken.taken_at - captured_at
        stats.latency.add(done_at - captured_at)
        stats.stages["wait"].add(stats.queue_age)
        stats.stages["convert"].add(taken.ready_at - taken.taken_at)
        stats.stages["step"].add(stepped.stepped_at - taken.ready_at)
        stats.stages["render"].add(done_at - stepped.stepped_at)
        stats.engine = dict(stepped.masks.timings)
        stats.memory_bytes = stepped.masks.memory_bytes

    async def _in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    # The end.

    def _reason(self, follow: asyncio.Task[str]) -> str:
        if not follow.done():
            return self._ended.result()
        error = follow.exception()
        if error is None:
            return follow.result()
        log.error("session failed", exc_info=error)
        return f"failed: {type(error).__name__}"

    async def _release(self, tasks: list[asyncio.Task[str] | asyncio.Task[None]], reason: str) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._intake.close()
        if self._delivery is not None:
            self._delivery.cancel()
            await asyncio.gather(self._delivery, return_exceptions=True)
        self._inbox.close(reason)
        for turn in self._open:
            turn.waiting.refuse("SESSION_CLOSED", f"the session has ended: {reason}")
        for output in self._outputs:
            output.close()
        await self._source.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
        log.info("session ended: %s, after %d frames", reason, self._intake.count)


def _timings(stepped: Stepped, turn: Turn, done_at: float) -> dict[str, float]:
    received_at = turn.waiting.received_at
    return {
        "total": done_at - received_at,
        "wait": turn.began_at - received_at,
        "replay": stepped.began_at - turn.began_at,
        "step": stepped.stepped_at - stepped.began_at,
        "render": done_at - stepped.stepped_at,
    }


def _settled(turns: Sequence[Turn], masks: MaskSet) -> tuple[list[Turn], list[Turn]]:
    """Those of which `masks` show everything, and those that something is still to come of."""
    done = {id(turn) for turn in turns if turn.settled(masks)}
    return [t for t in turns if id(t) in done], [t for t in turns if id(t) not in done]


def _present(masks: MaskSet) -> frozenset[int]:
    """Objects that are there, or on their way."""
    coming = {prompt.object_id for prompt in masks.pending if not isinstance(prompt, Keep | Release | Reset)}
    return frozenset(found.object_id for found in masks.objects) | {i for i in coming if i is not None}


def _abandon(turns: Sequence[Turn]) -> None:
    for turn in turns:
        turn.waiting.refuse("INTERNAL_ERROR", "the step that was to carry this out failed")
