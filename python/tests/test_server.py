"""The client against the real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from reading import numbers
from server import RunningServer

from arqonbus import (
    ArqonBusClient,
    BusError,
    Position,
)

pytestmark = pytest.mark.server


@pytest.fixture
async def client(server: RunningServer) -> AsyncIterator[ArqonBusClient]:
    async with ArqonBusClient(server.url) as connected:
        yield connected


async def test_the_first_five_lines(server: RunningServer) -> None:
    async with ArqonBusClient(server.url) as client:
        message = await client.recv_json(timeout=2.0)
        assert message["payload"]["welcome"] == "Connected to ArqonBus"
        assert client.welcome["role"] == "admin"


async def test_publish_and_subscribe(client: ArqonBusClient, other: ArqonBusClient, room: str) -> None:
    async with other.subscribe(f"{room}:x") as subscription:
        ack = await client.publish(f"{room}:x", {"n": 1, "text": "žluťoučký 🐎"})
        assert (ack.sequence, ack.delivered, ack.duplicate, ack.stored) == (1, 1, False, "memory")
        message = await subscription.receive(timeout=5)
        assert message["payload"] == {"n": 1, "text": "žluťoučký 🐎"}
        assert message["from"] == client.client_id
        assert Position.of(message) == Position(1, str(ack.epoch))
        await client.publish(room, {"n": 2})
        assert (await subscription.receive(timeout=5))["channel"] == "*"


async def test_many_messages_keep_their_order(client: ArqonBusClient, other: ArqonBusClient, room: str) -> None:
    async with other.subscribe(f"{room}:x") as subscription:
        acks = await asyncio.gather(*(client.publish(f"{room}:x", {"n": n}) for n in range(1_000)))
        assert [ack.sequence for ack in acks] == list(range(1, 1_001))
        assert await numbers(subscription, 1_000) == list(range(1_000))


async def test_requests_and_replies(client: ArqonBusClient, other: ArqonBusClient) -> None:
    @other.on("private")
    async def answer(message: dict) -> None:
        await other.reply(message, {"sum": message["payload"]["a"] + 1})

    replies = await asyncio.gather(*(client.request(other.client_id, {"a": a}) for a in range(20)))
    assert [reply["payload"]["sum"] for reply in replies] == list(range(1, 21))
    with pytest.raises(BusError) as raised:
        await client.request("arq_client_nobody", {})
    assert raised.value.code == "TARGET_NOT_FOUND" and raised.value.retryable


async def test_commands(client: ArqonBusClient, other: ArqonBusClient, room: str) -> None:
    assert 0 < await client.ping() < 5
    assert (await client.status())["server"]["protocol"] == "1.0"
    assert {"science", "integriguard"} <= {entry["room"] for entry in await client.list_rooms()}
    await client.create_channel(f"{room}:made", description="for a test", history={"size": 3})
    with pytest.raises(BusError) as raised:
        await client.create_channel(f"{room}:made")
    assert raised.value.code == "ALREADY_EXISTS" and not raised.value.retryable
    await other.join(f"{room}:made")
    info = await client.channel_info(f"{room}:made")
    assert [member["screen_name"] for member in info["members"]] == ["Other"]
    with pytest.raises(BusError) as raised:
        await client.delete_channel(f"{room}:made")
    assert raised.value.code == "CHANNEL_NOT_EMPTY" and raised.value.retryable
    assert await other.leave(f"{room}:made") is True
    await client.delete_channel(f"{room}:made")
    assert (await other.identify(screen_name="Renamed"))["screen_name"] == "Renamed"
    assert any(entry["name"] == "join_channel" for entry in await client.help())


async def test_history(client: ArqonBusClient, room: str) -> None:
    for n in range(7):
        await client.publish(f"{room}:x", {"n": n})
    assert [message["payload"]["n"] async for message in client.history(f"{room}:x")] == list(range(7))
    assert [message["payload"]["n"] async for message in client.history(f"{room}:x", after=5)] == [5, 6]
    page = await client.history_page(f"{room}:x", limit=2)
    assert [message["payload"]["n"] for message in page.messages] == [5, 6] and page.previous == 6
    await client.publish(room, {"n": "wide"})
    assert [message["payload"]["n"] async for message in client.history(f"{room}:*")] == ["wide"]


async def test_presence_and_echo(client: ArqonBusClient, other: ArqonBusClient, room: str) -> None:
    async with client.subscribe(f"{room}:x", presence=True, echo=True) as subscription:
        await other.join(f"{room}:x")
        notice = await subscription.receive(timeout=5)
        assert notice["payload"]["event"] == "presence"
        assert [member["client_id"] for member in notice["payload"]["joined"]] == [other.client_id]
        await client.publish(f"{room}:x", {"n": 1})
        assert await numbers(subscription, 1) == [1]


async def test_store(client: ArqonBusClient, other: ArqonBusClient, room: str) -> None:
    async with other.store.watch("jobs/", namespace=room) as watch:
        version = await client.store.set("jobs/1", {"state": "new"}, namespace=room, if_version=0)
        with pytest.raises(BusError) as raised:
            await client.store.set("jobs/1", {}, namespace=room, if_version=0)
        assert raised.value.code == "CONFLICT" and raised.value.details["current_version"] == version
        change = await watch.receive(timeout=5)
        assert (change.key, change.operation, change.value) == ("jobs/1", "set", {"state": "new"})
        entry = await client.store.get("jobs/1", namespace=room)
        assert entry is not None and entry.value == {"state": "new"} and entry.version == version
        assert await client.store.keys("jobs/", namespace=room) == ["jobs/1"]
        page = await client.store.list("jobs/", namespace=room, values=True)
        assert page.entries == {"jobs/1": entry}
        assert await client.store.delete("jobs/1", namespace=room) is True
        assert (await watch.receive(timeout=5)).operation == "delete"
        assert await client.store.get("jobs/1", namespace=room) is None


async def test_cron(client: ArqonBusClient, room: str) -> None:
    async with client.subscribe(f"{room}:x") as subscription:
        job = await client.cron.schedule(
            f"{room}:x", {"n": 1}, delay_seconds=0.05, interval_seconds=0.1, repeat_count=2
        )
        messages = [await subscription.receive(timeout=5) for _ in range(2)]
        assert [message["metadata"]["iteration"] for message in messages] == [1, 2]
        assert messages[0]["metadata"]["cron_job_id"] == job["job_id"]
    later = await client.cron.schedule(f"{room}:x", {}, delay_seconds=3600)
    assert later["job_id"] in [entry["job_id"] for entry in await client.cron.list()]
    await client.cron.cancel(later["job_id"])


async def test_webhooks(client: ArqonBusClient, room: str) -> None:
    with pytest.raises(BusError) as raised:
        await client.webhooks.register("http://127.0.0.1:9/", f"{room}:x")
    assert raised.value.code == "VALIDATION_ERROR"
    rule = await client.webhooks.register("https://example.com/hook", f"{room}:x")
    assert rule["rule_id"] in [entry["rule_id"] for entry in await client.webhooks.list()]
    await client.webhooks.unregister(rule["rule_id"])
