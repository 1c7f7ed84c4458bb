from __future__ import annotations

import asyncio

import pytest

from arqonbus import ConnectionClosed, RequestTimeout
from arqonbus.feed import AsyncQueue


async def test_takers_are_served_in_order() -> None:
    box: AsyncQueue[int] = AsyncQueue()
    takers = [asyncio.create_task(box.take()) for _ in range(3)]
    await asyncio.sleep(0)
    for n in range(3):
        box.put(n)
    assert await asyncio.gather(*takers) == [0, 1, 2]


async def test_a_cancelled_taker_loses_no_item() -> None:
    box: AsyncQueue[int] = AsyncQueue()
    first, second = asyncio.create_task(box.take()), asyncio.create_task(box.take())
    await asyncio.sleep(0)
    box.put(1)
    first.cancel()
    assert await asyncio.wait_for(second, 5) == 1
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_taker_that_timed_out_is_forgotten() -> None:
    box: AsyncQueue[int] = AsyncQueue()
    with pytest.raises(RequestTimeout):
        await box.take(0)
    box.put(1)
    assert len(box) == 1 and await box.take(0) == 1


async def test_the_end_comes_after_what_is_there() -> None:
    box: AsyncQueue[int] = AsyncQueue()
    waiting = asyncio.create_task(box.take())
    await asyncio.sleep(0)
    box.put(1)
    box.put(2)
    box.end(ConnectionClosed("over"))
    assert await waiting == 1
    assert await box.take() == 2
    for _ in range(2):
        with pytest.raises(ConnectionClosed, match="over"):
            await box.take()


async def test_the_end_wakes_everybody() -> None:
    box: AsyncQueue[int] = AsyncQueue()
    waiting = [asyncio.create_task(box.take()) for _ in range(3)]
    await asyncio.sleep(0)
    box.end(ConnectionClosed("over"))
    assert all(isinstance(r, ConnectionClosed) for r in await asyncio.gather(*waiting, return_exceptions=True))
