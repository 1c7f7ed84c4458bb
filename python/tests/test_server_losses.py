"""Lost lines, stopped and killed servers: the client against the real server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from reading import cut, numbers
from server import RunningServer, running_server

from arqonbus import (
    ArqonBusClient,
    ConnectionClosed,
    Envelope,
    Reconnecting,
    ReconnectPolicy,
    StreamReset,
)

pytestmark = pytest.mark.server


async def test_a_lost_connection_resumes_while_others_publish(
    server: RunningServer, other: ArqonBusClient, room: str
) -> None:
    policy = ReconnectPolicy(base=0.01, cap=0.05)
    async with ArqonBusClient(server.url, reconnect=policy) as client:
        reopened = asyncio.Event()
        client.on("state", lambda state: reopened.set() if state == "open" else None)
        async with client.subscribe(f"{room}:x") as channel, client.subscribe(room) as whole:
            publishing = asyncio.create_task(publish_all(other, f"{room}:x", 400))
            found: list[int] = []
            for _ in range(3):
                found += await numbers(channel, 10)
                reopened.clear()
                cut(client)
                await asyncio.wait_for(reopened.wait(), 5)
            await publishing
            assert found + await numbers(channel, 370) == list(range(400))
            assert await numbers(whole, 400) == list(range(400))


async def publish_all(client: ArqonBusClient, address: str, count: int) -> None:
    for n in range(count):
        await client.publish(address, {"n": n})


async def test_publishes_over_lost_connections_count_once(
    server: RunningServer, other: ArqonBusClient, room: str
) -> None:
    policy = ReconnectPolicy(base=0.01, cap=0.05)
    async with ArqonBusClient(server.url, reconnect=policy) as client, other.subscribe(f"{room}:x") as subscription:
        for round in range(5):
            publishing = asyncio.gather(*(client.publish(f"{room}:x", {"n": round * 50 + n}) for n in range(50)))
            await asyncio.sleep(0)
            cut(client)
            await publishing
        assert sorted(await numbers(subscription, 250)) == list(range(250))
        assert len([message async for message in client.history(f"{room}:x")]) == 250


async def test_a_server_that_stops_and_comes_back_in_memory_is_told_as_a_loss() -> None:
    with running_server() as server:
        policy = ReconnectPolicy(base=0.05, cap=0.1)
        async with ArqonBusClient(server.url, reconnect=policy) as client:
            async with client.subscribe("science:explore") as subscription:
                await client.publish("science:explore", {"n": 0})
                away = asyncio.Event()
                client.on("state", lambda state: away.set() if state == "reconnecting" else None)
                assert await asyncio.to_thread(server.stop) == 0
                await asyncio.wait_for(away.wait(), 5)
                publishing = asyncio.create_task(client.publish("science:explore", {"n": 1}))
                await asyncio.to_thread(server.restart)
                assert (await publishing).sequence == 1
                with pytest.raises(StreamReset) as raised:
                    await subscription.receive(timeout=10)
                assert raised.value.reset.reason == "new_epoch"
                async with ArqonBusClient(server.url) as other:
                    await other.publish("science:explore", {"n": 2})
                assert await numbers(subscription, 1) == [2]


async def test_a_killed_server_with_durable_storage_loses_and_repeats_nothing(tmp_path: Path) -> None:
    storage = {"ARQONBUS_STORAGE_BACKEND": "sqlite", "ARQONBUS_SQLITE_PATH": str(tmp_path / "bus.db")}
    policy = ReconnectPolicy(base=0.05, cap=0.1)
    with running_server(**storage) as server:
        async with (
            ArqonBusClient(server.url, reconnect=policy) as publisher,
            ArqonBusClient(server.url, reconnect=policy) as reader,
            reader.subscribe("science:explore") as channel,
            reader.subscribe("science") as room,
        ):
            for round in range(2):
                first = [publisher.publish("science:explore", {"n": round * 200 + n}, timeout=60) for n in range(200)]
                publishing = asyncio.gather(*first)
                await numbers(channel, 50)
                await asyncio.to_thread(server.kill)
                await asyncio.to_thread(server.restart)
                acks = await publishing
                assert all(ack.stored == "disk" for ack in acks)
                await numbers(channel, 150)
            messages = [await room.receive(timeout=5) for _ in range(400)]
            assert sorted(message["payload"]["n"] for message in messages) == list(range(400))
            assert [message["metadata"]["sequence"] for message in messages] == list(range(1, 401))


async def test_room_wide_events_reach_every_subscription_of_a_room_however_often_it_is_cut(
    server: RunningServer, other: ArqonBusClient, room: str
) -> None:
    resets: list[object] = []
    policy = ReconnectPolicy(base=0.01, cap=0.05)
    async with (
        ArqonBusClient(server.url, reconnect=policy) as client,
        client.subscribe(f"{room}:x", on_reset=resets.append) as x,
        client.subscribe(f"{room}:y", on_reset=resets.append) as y,
    ):
        publishing = asyncio.create_task(publish_all(other, room, 300))
        found: list[int] = []
        for _ in range(3):
            found += await numbers(x, 20)
            cut(client)
        await publishing
        assert found + await numbers(x, 240) == list(range(300))
        assert await numbers(y, 300) == list(range(300))
    assert resets == []


async def test_joins_and_what_has_waited_keep_to_the_pace_of_the_server() -> None:
    policy = ReconnectPolicy(base=0.01, cap=0.5)
    heard: set[int] = set()
    lost: list[int | None] = []
    all_heard, both_lost = asyncio.Event(), asyncio.Event()

    def hear(message: Envelope) -> None:
        heard.add(message["payload"]["n"])
        if len(heard) == 120:
            all_heard.set()

    def lose(info: Reconnecting) -> None:
        assert isinstance(info.error, ConnectionClosed)
        lost.append(info.error.close_code)
        if len(lost) == 2:
            both_lost.set()

    with running_server(ARQONBUS_RATE_LIMIT_PER_SECOND="40") as server:
        async with (
            ArqonBusClient(server.url, reconnect=policy) as reader,
            ArqonBusClient(server.url, reconnect=policy) as writer,
        ):
            await asyncio.gather(*(reader.subscribe(f"r:c{n}", on_message=hear).open() for n in range(120)))
            for client in (reader, writer):
                client.on("reconnecting", lose)
                cut(client)
            await asyncio.wait_for(both_lost.wait(), 5)
            acks = await asyncio.gather(*(writer.publish(f"r:c{n}", {"n": n}) for n in range(120)))
            assert len(acks) == 120
            await asyncio.wait_for(all_heard.wait(), 30)
            assert lost == [1006, 1006]
