import asyncio

import pytest

from stream.latest import Latest, LatestClosed


async def test_put_replaces_what_nobody_took_and_counts_it() -> None:
    latest: Latest[int] = Latest()
    for item in (1, 2, 3):
        latest.put(item)
    assert await latest.get() == 3
    assert latest.dropped == 2


async def test_taken_items_are_not_counted_as_dropped() -> None:
    latest: Latest[int] = Latest()
    for item in (1, 2, 3):
        latest.put(item)
        assert await latest.get() == item
    assert latest.dropped == 0


async def test_get_waits_for_the_next_item() -> None:
    latest: Latest[str] = Latest()
    waiting = asyncio.create_task(latest.get())
    await asyncio.sleep(0)
    assert not waiting.done()
    latest.put("frame")
    assert await waiting == "frame"


async def test_close_wakes_a_waiter_with_the_first_reason() -> None:
    latest: Latest[int] = Latest()
    waiting = asyncio.create_task(latest.get())
    await asyncio.sleep(0)
    latest.close("track ended")
    latest.close("later")
    with pytest.raises(LatestClosed, match="track ended"):
        await waiting


async def test_what_was_put_before_the_closing_is_still_given_out() -> None:
    latest: Latest[int] = Latest()
    latest.put(1)
    latest.close("done")
    latest.put(2)
    assert await latest.get() == 1
    with pytest.raises(LatestClosed, match="done"):
        await latest.get()


async def test_a_cancelled_waiter_loses_nothing() -> None:
    latest: Latest[int] = Latest()
    waiting = asyncio.create_task(latest.get())
    await asyncio.sleep(0)
    waiting.cancel()
    latest.put(1)
    assert await latest.get() == 1
