import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgpack
import pytest
from scene import ColourEngine, HandSource, Kept, Scene

from stream.dialogue import Dialogue
from stream.session import Session
from stream.wire import Message


class Said:
    """A dialogue with a running session, and all that was said to the client, as it went over the wire."""

    def __init__(self, session: Session, source: HandSource, kept: Kept, binary: bool) -> None:
        self.raw: list[bytes | str] = []
        self.session, self.source, self.kept = session, source, kept
        self._arrived = asyncio.Event()
        self.dialogue = Dialogue("9f0c", session, self._send, binary=binary)

    @property
    def messages(self) -> list[Message]:
        return [msgpack.unpackb(raw) if isinstance(raw, bytes) else json.loads(raw) for raw in self.raw]

    async def until(self, count: int) -> list[Message]:
        while len(self.raw) < count:
            self._arrived.clear()
            await asyncio.wait_for(self._arrived.wait(), 20)
        return self.messages

    def _send(self, data: bytes | str) -> bool:
        self.raw.append(data)
        self._arrived.set()
        return True


@asynccontextmanager
async def talking(binary: bool = False) -> AsyncIterator[Said]:
    source, kept = HandSource(Scene()), Kept()
    session = Session(source, ColourEngine(), [kept])
    task = asyncio.create_task(session.run())
    try:
        yield Said(session, source, kept, binary)
    finally:
        session.close("test over")
        await task


CLICK = {"prompts": [{"x": 30, "y": 50, "label": 1, "object_id": 1}]}


async def test_greets_with_ready_and_state() -> None:
    async with talking() as said:
        said.dialogue.begin()
        ready, state = said.messages
    assert ready == {
        "type": "ready",
        "protocol": 1,
        "session_id": "9f0c",
        "encoding": "json",
        "limits": {"message_bytes": 65536, "mask_message_bytes": 262144, "points": 128, "boxes": 64},
    }
    assert state == {
        "type": "state",
        "frame_index": None,
        "width": None,
        "height": None,
        "apply_mask": True,
        "output": {"mode": "overlay", "hidden": [], "background": "#000000"},
        "no_signal_since": None,
        "recording": None,
        "objects": [],
    }


@pytest.mark.parametrize("binary", [False, True])
async def test_answers_come_in_kind_and_timings_and_errors_as_text(binary: bool) -> None:
    async with talking() as said:
        message = {**CLICK, "request_id": "r1"}
        said.dialogue.receive(msgpack.packb(message) if binary else json.dumps(message))
        said.source.show(0)
        ack, timings = await said.until(2)
        said.dialogue.receive(msgpack.packb({"remove": 9}) if binary else '{"remove": 9}')
        said.source.show(1)
        await said.until(3)
    assert [isinstance(raw, bytes) for raw in said.raw] == [binary, False, False]
    assert (ack["type"], ack["request_id"], ack["frame_index"], ack["object_ids"]) == ("ack", "r1", 0, [1])
    assert (timings["type"], timings["action"], timings["request_id"]) == ("x-fal-message", "timings", "r1")
    assert timings["timing"] >= timings["timings"]["step"] >= 0
    assert said.messages[2]["error"] == "UNKNOWN_OBJECT"


async def test_each_message_is_answered_once_with_its_own_id() -> None:
    async with talking() as said:
        for i in range(30):
            broken = {"prompts": [{"x": "left"}]}
            said.dialogue.receive(json.dumps({**(broken if i % 3 == 0 else CLICK), "request_id": f"r{i}"}))
        said.source.show(0)
        messages = await said.until(10 + 20 * 2)
    refused = [message["request_id"] for message in messages if message["type"] == "x-fal-error"]
    done = [message["request_id"] for message in messages if message["type"] == "ack"]
    assert refused == [f"r{i}" for i in range(0, 30, 3)]
    assert done == [f"r{i}" for i in range(30) if i % 3]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\xc1", "BAD_ENCODING"),
        ("{", "BAD_ENCODING"),
        ("null", "BAD_ENCODING"),
        (b"\x00" * 300_000, "TOO_LARGE"),
        ('{"type": "shout"}', "INVALID_INPUT"),
        ('{"type": 7}', "INVALID_INPUT"),
        ('{"type": "ping", "id": [1]}', "INVALID_INPUT"),
        ('{"prompts": [{"x": NaN, "y": 1}]}', "OUT_OF_RANGE"),
    ],
)
async def test_nonsense_is_answered_with_an_error_and_the_talk_goes_on(data: bytes | str, code: str) -> None:
    async with talking() as said:
        said.dialogue.receive(data)
        (error,) = said.messages
        assert (error["type"], error["error"]) == ("x-fal-error", code)
        said.dialogue.receive(json.dumps(CLICK))
        said.source.show(0)
        assert (await said.until(2))[1]["type"] == "ack"


async def test_ping_and_state_are_answered_at_once() -> None:
    async with talking() as said:
        said.dialogue.receive('{"type": "ping", "id": "abc"}')
        said.dialogue.receive(msgpack.packb({"type": "state", "request_id": 4}))
    pong, state = said.messages
    assert (pong["type"], pong["id"]) == ("pong", "abc")
    assert (state["type"], state["request_id"]) == ("state", 4)
    assert isinstance(said.raw[1], bytes)


async def test_a_pong_gives_the_round_trip_and_a_strange_one_nothing() -> None:
    async with talking(binary=True) as said:
        said.dialogue.ping()
        (ping,) = said.messages
        assert isinstance(said.raw[0], bytes)
        said.dialogue.receive(json.dumps({"type": "pong", "id": ping["id"] + 1}))
        assert said.session.stats.round_trip is None
        said.dialogue.receive(json.dumps({"type": "pong", "id": ping["id"]}))
        assert said.session.stats.round_trip is not None
        assert said.session.stats.round_trip >= 0


async def test_a_flood_is_cut_off() -> None:
    async with talking() as said:
        for _ in range(400):
            said.dialogue.receive('{"type": "ping"}')
    kinds = [message.get("error") or message["type"] for message in said.messages]
    assert 200 <= kinds.count("pong") < 300
    assert kinds.count("RATE_LIMITED") == 400 - kinds.count("pong")


async def test_a_preview_comes_before_the_answer() -> None:
    async with talking() as said:
        for i in range(2):
            said.source.show(i)
            await said.kept.until(i + 1)
        said.dialogue.receive(json.dumps({**CLICK, "request_id": "r1", "frame_index": 0, "preview": True}))
        (preview,) = await said.until(1)
        said.source.show(2)
        _, ack, _ = await said.until(3)
    assert (preview["type"], preview["request_id"], preview["frame_index"]) == ("preview", "r1", 0)
    assert preview["timing"] >= 0
    assert [found["object_id"] for found in preview["objects"]] == [1]
    assert (ack["type"], ack["seen_frame_index"], ack["applied_frame_index"]) == ("ack", 0, 0)
    assert (ack["frame_index"], ack["reanchored"]) == (2, False)
