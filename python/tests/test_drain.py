"""Ending without losing what is under way."""

from __future__ import annotations

import asyncio

import pytest
from fake_bus import FakeBus

from arqonbus import ArqonBusClient, ConnectionClosed, Envelope, JsonObject, RequestFailed, RequestTimeout


async def test_handlers_finish_what_had_arrived_and_what_they_publish_is_sent(bus: FakeBus) -> None:
    client = await ArqonBusClient(bus.url).connect()
    gate = asyncio.Event()

    async def handle(message: Envelope) -> None:
        await gate.wait()
        await client.publish("a:done", message["payload"])

    await client.subscribe("a:b", on_message=handle).open()
    for n in range(3):
        await bus.publish("a", "b", {"n": n})
    await client.command("anything")
    draining = asyncio.create_task(client.drain())
    await bus.got("leave_channel")
    assert client.state == "open"
    gate.set()
    await draining
    assert [event["payload"]["n"] for event in bus.stream("a", "done").events] == [0, 1, 2]
    assert client.state == "closed"


async def test_a_loop_takes_what_it_holds_and_finishes_the_last_of_it(bus: FakeBus) -> None:
    client = await ArqonBusClient(bus.url).connect()
    subscription = client.subscribe("a:b")
    gate = asyncio.Event()

    async def read() -> list[int]:
        seen = []
        async for message in subscription:
            await gate.wait()
            seen.append(message["payload"]["n"])
            await client.publish("a:done", message["payload"])
        return seen

    reading = asyncio.create_task(read())
    await bus.got("join_channel")
    for n in range(2):
        await bus.publish("a", "b", {"n": n})
    await client.command("anything")
    draining = asyncio.create_task(client.drain())
    await bus.got("leave_channel")
    assert client.state == "open"
    gate.set()
    await draining
    assert await reading == [0, 1]
    assert len(bus.stream("a", "done").events) == 2


async def test_what_nobody_takes_is_not_waited_for(bus: FakeBus) -> None:
    client = await ArqonBusClient(bus.url).connect()
    await client.subscribe("a:b").open()
    await bus.publish("a", "b", {"n": 1})
    await client.command("anything")
    await asyncio.wait_for(client.drain(), 5)
    assert client.state == "closed"


async def test_acks_and_requests_are_waited_for(bus: FakeBus) -> None:
    async with ArqonBusClient(bus.url) as asker:
        service = await ArqonBusClient(bus.url).connect()
        asked, gate = asyncio.Event(), asyncio.Event()

        @service.on_request
        async def serve(payload: JsonObject, message: Envelope) -> JsonObject:
            asked.set()
            await gate.wait()
            return {"sum": sum(payload["numbers"])}

        asking = asyncio.create_task(asker.request(service.id, {"numbers": [1, 2]}))
        await asyncio.wait_for(asked.wait(), 5)
        draining = asyncio.create_task(service.drain())
        await asyncio.sleep(0)
        gate.set()
        assert (await asking)["payload"] == {"sum": 3}
        await draining
        assert service.state == "closed"


async def test_it_closes_all_the_same_when_it_takes_too_long(bus: FakeBus) -> None:
    client = await ArqonBusClient(bus.url).connect()
    bus.mute.add("ack")
    publishing = asyncio.create_task(client.publish("a:b", {}))
    await bus.got("event")
    draining = asyncio.create_task(client.drain(timeout=0.05))
    await asyncio.sleep(0)
    with pytest.raises(ConnectionClosed) as refused:
        await client.subscribe("a:c").open()
    assert refused.value.code == "CLOSED"
    with pytest.raises(RequestTimeout):
        await draining
    with pytest.raises(ConnectionClosed):
        await publishing
    assert client.state == "closed"
    await client.drain()
    await ArqonBusClient(bus.url).drain()


async def test_a_handler_answers_refuses_and_keeps_its_secrets(bus: FakeBus, caplog: pytest.LogCaptureFixture) -> None:
    async with ArqonBusClient(bus.url) as asker, ArqonBusClient(bus.url) as service:

        def divide(payload: JsonObject, message: Envelope) -> JsonObject | None:
            if payload.get("by") == 0:
                raise RequestFailed("DIVISION_BY_ZERO", "I cannot divide by zero.", details={"asked": message["from"]})
            if "by" not in payload:
                raise ValueError("password is hunter2")
            return None

        remove = service.on_request(divide)
        assert (await asker.request(service.id, {"by": 1}))["payload"] == {}
        with pytest.raises(RequestFailed, match="divide by zero") as told:
            await asker.request(service.id, {"by": 0})
        assert (told.value.code, told.value.details) == ("DIVISION_BY_ZERO", {"asked": asker.id})
        with pytest.raises(RequestFailed, match="The request failed") as hidden:
            await asker.request(service.id, {})
        assert hidden.value.code == "INTERNAL_ERROR" and "hunter2" in caplog.text
        remove()
        told_privately = asyncio.Event()
        service.on("private", lambda message: told_privately.set())
        with pytest.raises(RequestTimeout):
            await asker.request(service.id, {"by": 1}, timeout=0.05)
        assert told_privately.is_set()


async def test_an_answer_that_is_cut_short_by_closing_is_nothing_to_tell(
    bus: FakeBus, caplog: pytest.LogCaptureFixture
) -> None:
    async with ArqonBusClient(bus.url) as asker:
        service = await ArqonBusClient(bus.url).connect()

        @service.on_request
        async def serve(payload: JsonObject, message: Envelope) -> JsonObject:
            await service.close()
            return {"late": True}

        with pytest.raises(RequestTimeout):
            await asker.request(service.id, {}, timeout=0.1)
        assert service.state == "closed"
    assert caplog.text == ""
