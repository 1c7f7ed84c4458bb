"""Against the real server: streams, at both ends and across lost lines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from reading import cut
from server import RunningServer, require_features

from arqonbus import ArqonBusClient, ArqonBusError, BusError, ReconnectPolicy, Sender, StreamError

pytestmark = pytest.mark.server


@pytest.fixture
async def writer(server: RunningServer, room: str) -> AsyncIterator[ArqonBusClient]:
    policy = ReconnectPolicy(base=0.01, cap=0.05)
    async with ArqonBusClient(server.url, subject=f"writer-{room}", reconnect=policy) as connected:
        require_features(connected, ["streams"])
        yield connected


@pytest.fixture
async def reader(server: RunningServer, room: str) -> AsyncIterator[ArqonBusClient]:
    policy = ReconnectPolicy(base=0.01, cap=0.05)
    async with ArqonBusClient(server.url, subject=f"reader-{room}", reconnect=policy) as connected:
        yield connected


async def whole(client: ArqonBusClient, *where: str) -> str:
    return "".join([text async for text in client.read_stream(*where)])


async def test_streams_are_read_while_they_are_written(
    writer: ArqonBusClient, reader: ArqonBusClient, room: str
) -> None:
    asked: asyncio.Queue[Sender] = asyncio.Queue()
    async with writer.open_stream(f"{room}:answers") as stream:
        stream.on_cancel(asked.put_nowait)
        await stream.append("Once 😀 upon ")
        text = reader.read_stream(stream.id)
        assert await asyncio.wait_for(anext(text), 20) == "Once 😀 upon "
        own = asyncio.create_task(whole(writer, stream.id))
        await reader.command("stream.cancel", stream_id=stream.id)
        assert (await asyncio.wait_for(asked.get(), 20)).subject == f"reader-{room}"
        await asyncio.gather(*(stream.append(part) for part in ("a \ud83d", "\ude00 time", "\ud83d")))
        assert await asyncio.wait_for(anext(text), 20) == "a 😀 time"
        end = await stream.close("cancelled")
    assert (end.sequence, end.length) == (1, 23)
    assert [piece async for piece in text] == ["\ufffd"]
    expected = "Once 😀 upon a 😀 time\ufffd"
    assert await asyncio.wait_for(own, 20) == await whole(reader, stream.id, room, "answers") == expected
    with pytest.raises(ArqonBusError, match="NOT_FOUND"):
        await whole(reader, stream.id)
    with pytest.raises(BusError, match="NOT_FOUND"):
        await stream.append("late")


async def test_they_go_on_after_the_line_broke_at_both_ends(
    writer: ArqonBusClient, reader: ArqonBusClient, room: str
) -> None:
    reading = asyncio.create_task(whole(reader, "story", f"{room}:answers"))
    with pytest.raises(ZeroDivisionError):
        async with writer.open_stream(f"{room}:answers", id="story") as stream:
            appends: list[asyncio.Task[None]] = []
            for n in range(300):
                appends.append(asyncio.create_task(stream.append(f"{n} ")))
                if n % 100 == 50:
                    await asyncio.gather(appends[-1], writer.ping(), reader.ping())
                    for client in (writer, reader):
                        cut(client)
                elif n % 7 == 0:
                    await asyncio.sleep(0)
            await asyncio.gather(*appends)
            raise ZeroDivisionError
    with pytest.raises(StreamError) as told:
        await asyncio.wait_for(reading, 20)
    assert told.value.state == "failed"
    pieces: list[str] = []
    with pytest.raises(StreamError):
        async for piece in reader.read_stream("story", room, "answers"):
            pieces.append(piece)
    assert pieces == ["".join(f"{n} " for n in range(300))]
