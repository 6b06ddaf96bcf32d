"""Whole sessions: two aiortc peers, the HTTP service and the engine between them."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time

import pytest
from signaling_service import Service, held, serving, until

import engine.worker
import stream.connection
from engine.models import Model
from engine.tracker import Tracker
from engine.worker import Worker
from signaling.settings import Settings


def trackers() -> int:
    gc.collect()
    return sum(type(each) is Tracker for each in gc.get_objects())


async def test_camera_in_masked_video_and_results_out(service: Service) -> None:
    async with service.viewer() as viewer:
        ack = await viewer.click(object_id=3)
        assert ack["object_ids"] == [3]
        await until(lambda: len(viewer.frames) > 5 and viewer.of("stats"))
        results = viewer.of("result")
        after = [result for result in results if result["frame_index"] >= ack["frame_index"]]
        assert {found["object_id"] for result in after for found in result["objects"]} == {3}
        assert all(result["objects"] == [] for result in results if result not in after)
        assert all(found["rle"]["size"] == [120, 160] for result in after for found in result["objects"])
        # Every picture seen belongs to exactly one result, by its RTP timestamp.
        stamps = [result["rtp_timestamp"] for result in results]
        assert len(set(stamps)) == len(stamps)
        await until(lambda: set(viewer.frames[:5]) <= {r["rtp_timestamp"] for r in viewer.of("result")})

        (snapshot,) = await service.sessions()
        assert (snapshot["state"], snapshot["source"]) == ("live", "webrtc")
        assert [found["object_id"] for found in snapshot["objects"]] == [3]
        one = await service.http.get(f"/sessions/{snapshot['id']}")
        assert one.json()["id"] == snapshot["id"]
        assert (await service.http.delete(f"/sessions/{snapshot['id']}")).status_code == 204
        gone = await service.http.get(f"/sessions/{snapshot['id']}")
        assert gone.status_code == 404
        assert gone.json()["error_type"] == "NOT_FOUND"
        assert (await service.http.delete(f"/sessions/{snapshot['id']}")).status_code == 404


async def test_the_built_in_clip_needs_no_camera(service: Service) -> None:
    messages: list[dict[str, object]] = []
    client = await stream_client(service, messages)
    try:
        await until(lambda: any(message["type"] == "result" for message in messages))
        (snapshot,) = await service.sessions()
        assert snapshot["source"] == "sample"
    finally:
        await client.close()


async def stream_client(service: Service, messages: list[dict[str, object]]):  # type: ignore[no-untyped-def]
    from stream.client import LiveClient

    return await LiveClient.connect(service.url, None, options={"source": "sample"}, listener=messages.append)


async def test_sessions_do_not_see_each_others_objects(service: Service) -> None:
    async with service.viewer() as one, service.viewer() as other:
        await one.click(object_id=1)
        await one.click(object_id=7, x=100)
        assert (await other.click(object_id=2))["object_ids"] == [2]
        assert (await one.client.prompt({"reset": True}))["object_ids"] == []
        assert (await other.click(object_id=2, x=60))["object_ids"] == [2]
        seen = [
            {found["object_id"] for result in viewer.of("result") for found in result["objects"]}
            for viewer in (one, other)
        ]
        assert seen == [{1, 7}, {2}]


async def test_a_slow_engine_skips_frames_and_stays_fresh(
    tiny_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = engine.worker.answer_many

    def slow(*arguments):  # type: ignore[no-untyped-def]
        time.sleep(0.3)
        return real(*arguments)

    async with serving(Settings(port=0), Worker(lambda: tiny_model)) as service:
        monkeypatch.setattr(engine.worker, "answer_many", slow)
        async with service.viewer(fps=30) as viewer:
            await viewer.click()
            await until(lambda: len(viewer.of("result")) >= 12, 60)
            (snapshot,) = await service.sessions()
    stats = snapshot["stats"]
    assert stats["dropped_in"] > 3 * stats["frames_model"]
    assert stats["frames_in"] >= stats["frames_model"] + stats["dropped_in"]
    # A queue of all that came would be seconds old by now; here a frame waits for less than two steps.
    assert stats["queue_age_ms"] < 600
    ages = [result["pts"] for result in viewer.of("result")]
    assert ages == sorted(ages)
    assert ages[-1] - ages[0] > 2.5


async def test_a_client_that_is_killed_leaves_nothing_behind(service: Service) -> None:
    async with service.viewer() as viewer:  # what is made once stays: threads, sockets of the resolver
        await viewer.click()
    await until(lambda: not len(service.registry))
    before, kept = held(), trackers()
    code = f"""
import asyncio, sys
sys.path[:0] = {[os.path.dirname(__file__), os.path.dirname(os.path.dirname(__file__))]!r}
from signaling_service import Camera
from stream.client import LiveClient
async def main():
    client = await LiveClient.connect({service.url!r}, Camera())
    await client.prompt({{"prompts": [{{"x": 50, "y": 50}}]}})
    print("live", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 60) == b"live\n"
    assert len(service.registry) == 1
    process.kill()
    await process.wait()
    await until(lambda: not len(service.registry), 30)
    assert service.registry.ended["peer lost"] == 1
    process._transport.close()  # type: ignore[attr-defined]
    await until(lambda: not held() - before, 20, lambda: held() - before)
    assert trackers() <= kept


async def test_an_offer_that_never_connects_gives_its_place_back(
    tiny_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stream.client import LiveClient

    monkeypatch.setattr(stream.connection, "CONNECT_SECONDS", 0.5)
    async with serving(Settings(port=0, max_sessions=1), Worker(lambda: tiny_model)) as service:
        client = LiveClient(None)
        try:
            body = {"sdp": await client.offer(), "type": "offer", "source": "sample"}
            assert (await service.http.post("/sessions", json=body)).status_code == 201
            assert (await service.http.post("/sessions", json=body)).status_code == 503
            await until(lambda: not len(service.registry))
            assert (await service.http.post("/sessions", json=body)).status_code == 201
        finally:
            await client.close()


async def test_no_more_are_let_in_than_there_is_room_for(tiny_model: Model) -> None:
    from stream.client import LiveClient

    settings = Settings(port=0, max_sessions=2, offers_per_second=100)
    async with serving(settings, Worker(lambda: tiny_model)) as service:
        client = LiveClient(None)
        try:
            body = {"sdp": await client.offer(), "type": "offer", "source": "sample"}
            answers = await asyncio.gather(*(service.http.post("/sessions", json=body) for _ in range(6)))
        finally:
            await client.close()
        assert sorted(answer.status_code for answer in answers) == [201, 201, 503, 503, 503, 503]
        refused = next(answer for answer in answers if answer.status_code == 503)
        assert refused.json()["error_type"] == "SERVER_FULL"
        assert int(refused.headers["retry-after"]) > 0
        ids = {answer.json()["id"] for answer in answers if answer.status_code == 201}
        assert len(ids) == 2
        assert all(len(each) == 32 for each in ids)


async def test_a_session_may_not_last_longer_than_allowed(tiny_model: Model) -> None:
    async with serving(Settings(port=0, max_duration=1.5), Worker(lambda: tiny_model)) as service:
        async with service.viewer():
            assert len(service.registry) == 1
            await until(lambda: not len(service.registry))
        assert service.registry.ended["time limit reached"] == 1


async def test_shutdown_ends_every_session(tiny_model: Model) -> None:
    async with serving(Settings(port=0), Worker(lambda: tiny_model)) as service:
        async with service.viewer() as one, service.viewer() as other:
            await one.click()
            await other.click()
            await service.registry.close_all("shutdown")
            assert len(service.registry) == 0
            assert service.registry.ended["shutdown"] == 2
            await until(lambda: one.of("bye"))
            again = await service.http.post("/sessions", json={"type": "offer", "sdp": "v=0"})
            assert again.status_code in (400, 503)


async def test_one_failing_session_harms_no_other(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    real = engine.worker.answer_many

    def some_fail(model, jobs):  # type: ignore[no-untyped-def]
        results = real(model, jobs)
        wrong = [any(found.object_id == 666 for found in r.masks.objects) for r in results]
        return [RuntimeError("boom") if bad else r for bad, r in zip(wrong, results, strict=True)]

    monkeypatch.setattr(engine.worker, "answer_many", some_fail)
    async with service.viewer() as good, service.viewer() as bad:
        await good.click()
        with pytest.raises(Exception, match="step"):
            await bad.click(object_id=666)
        await until(lambda: len(service.registry) == 1)
        seen = len(good.of("result"))
        await until(lambda: len(good.of("result")) > seen + 3)
    assert service.registry.ended["failed"] == 1


async def test_a_silent_client_keeps_its_place_until_somebody_needs_it(
    tiny_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream.connection, "SILENT_SECONDS", 2.0)
    settings = Settings(port=0, max_sessions=1, offers_per_second=100)
    async with serving(settings, Worker(lambda: tiny_model)) as service:
        async with service.viewer() as gone:
            await gone.click()
            ice = gone.client._transceiver.receiver.transport.transport._connection
            for protocol in ice._protocols:
                protocol.transport.sendto = lambda *_: None
            async with asyncio.timeout(30):
                while (await service.sessions())[0]["state"] != "silent":  # noqa: ASYNC110 (a state to poll)
                    await asyncio.sleep(0.1)
            assert len(service.registry) == 1
            async with service.viewer() as newcomer:
                await newcomer.click()
                assert service.registry.ended["peer lost"] == 1
