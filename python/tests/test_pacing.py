"""Joining and sending on a bus that limits the rate."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from fake_bus import FakeBus
from reading import reconnected

from arqonbus import ArqonBusClient, BusError, QueueFullError, QueueLimits, ReconnectPolicy, RequestTimeout

QUICK = ReconnectPolicy(base=0.01, cap=0.5)


async def test_everything_is_joined_again_as_fast_as_it_may_be(bus: FakeBus) -> None:
    heard: set[int] = set()
    async with ArqonBusClient(bus.url, reconnect=QUICK) as client:
        for n in range(150):
            await client.subscribe(f"r:c{n}", on_message=lambda message: heard.add(message["payload"]["n"])).open()
        bus.rate = (100, 20)
        await bus.close_all(1011)
        await bus.until(lambda: len(bus.peers) == 1 and len(bus.peers[0].joined) == 150)
        bus.rate = None
        await reconnected(bus, client)
        assert len(bus.queries) == 2
        for n in range(150):
            await bus.publish("r", f"c{n}", {"n": n})
        await client.command("anything")
        await asyncio.sleep(0)
        assert len(heard) == 150


async def test_many_joins_at_once_are_none_of_them_refused(bus: FakeBus) -> None:
    bus.rate = (200, 5)
    async with ArqonBusClient(bus.url) as client:
        joined = await asyncio.gather(*(client.join(f"r:c{n}") for n in range(120)))
        assert len(joined) == 120 and len(bus.queries) == 1


async def test_what_has_waited_is_sent_in_its_order_and_none_of_it_is_refused(bus: FakeBus) -> None:
    bus.rate = (400, 20)
    async with ArqonBusClient(bus.url, reconnect=QUICK) as client:
        await bus.close_all(1011)
        await away(client)
        publishing = [asyncio.create_task(client.publish("a:b", {"n": n}, ack=n % 3 > 0)) for n in range(300)]
        await asyncio.gather(*publishing)
        assert [event["payload"]["n"] for event in bus.stream("a", "b").events] == list(range(300))
        assert client.queued.messages == 0 and client.queued.bytes == 0 and len(bus.queries) == 2


async def test_what_is_published_meanwhile_goes_behind_what_waits(bus: FakeBus) -> None:
    bus.rate = (20, 1)
    async with ArqonBusClient(bus.url, reconnect=QUICK) as client:
        await bus.close_all(1011)
        await away(client)
        waiting = [asyncio.create_task(client.publish("a:b", {"n": n})) for n in range(4)]
        await bus.got("event")
        await asyncio.gather(client.publish("a:b", {"n": 4}), *waiting)
        assert [event["payload"]["n"] for event in bus.stream("a", "b").events] == list(range(5))


async def test_what_is_published_too_fast_on_an_open_line_is_the_callers_to_repeat(
    client: ArqonBusClient, bus: FakeBus
) -> None:
    bus.rate = (10, 1)
    first, second = await asyncio.gather(client.publish("a:b", {}), client.publish("a:b", {}), return_exceptions=True)
    assert getattr(first, "sequence", None) == 1
    assert isinstance(second, BusError) and second.code == "RATE_LIMITED" and second.retry_after is not None
    assert 0 < second.retry_after <= 0.1


async def test_a_client_that_is_refused_again_and_again_stays_away_longer(bus: FakeBus) -> None:
    loop = asyncio.get_running_loop()
    asked: list[float] = []

    def refuse(args: dict) -> dict:
        asked.append(loop.time())
        return {"error_code": "RATE_LIMITED", "retryable": True, "retry_after_ms": 5}

    bus.commands["join_channel"] = refuse
    async with ArqonBusClient(bus.url, reconnect=ReconnectPolicy(cap=0.3)) as client:
        with pytest.raises(RequestTimeout):
            await client.join("a:b", timeout=1.5)
    waits = [later - earlier for earlier, later in pairwise(asked)]
    assert waits[0] < 0.1 and 0.1 < max(waits) < 0.5 and len(asked) < 40


async def test_what_waits_is_bounded_in_messages_and_in_bytes(bus: FakeBus) -> None:
    async with ArqonBusClient(bus.url, reconnect=QUICK, queue=QueueLimits(messages=2)) as few:
        await bus.close_all(1011)
        await away(few)
        waiting = [asyncio.create_task(few.publish("a:b", {"n": n})) for n in range(2)]
        await asyncio.sleep(0)
        assert few.queued.messages == 2 and few.queued.bytes > 100
        with pytest.raises(QueueFullError) as raised:
            await few.publish("a:b", {"n": 2})
        assert raised.value.code == "QUEUE_FULL" and raised.value.retryable
        await asyncio.gather(*waiting)
    async with ArqonBusClient(bus.url, reconnect=QUICK, queue=QueueLimits(bytes=300)) as small:
        await bus.close_all(1011)
        await away(small)
        fits = asyncio.create_task(small.publish("a:b", {}))
        await asyncio.sleep(0)
        with pytest.raises(QueueFullError):
            await small.publish("a:b", {"text": "x" * 300})
        await fits


async def test_what_its_caller_has_given_up_is_not_sent(bus: FakeBus) -> None:
    bus.rate = (20, 1)
    async with ArqonBusClient(bus.url, reconnect=QUICK) as client:
        await bus.close_all(1011)
        await away(client)
        first, second, third = [asyncio.create_task(client.publish("a:b", {"n": n})) for n in range(3)]
        await first
        second.cancel()
        await third
        assert [event["payload"]["n"] for event in bus.stream("a", "b").events] == [0, 2]


async def test_an_id_can_be_on_its_way_only_once(client: ArqonBusClient, bus: FakeBus) -> None:
    bus.mute.add("ack")
    first = asyncio.create_task(client.publish("a:b", {}, id="arq_same", timeout=0.1))
    await bus.got("event")
    with pytest.raises(Exception, match="ID_IN_USE"):
        await client.publish("a:b", {}, id="arq_same")
    with pytest.raises(RequestTimeout) as raised:
        await first
    assert raised.value.id == "arq_same"


async def test_what_the_server_may_have_forgotten_is_not_repeated(
    bus: FakeBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arqonbus.send_queue._IDEMPOTENCE_WINDOW", 0.0)
    bus.mute.add("ack")
    async with ArqonBusClient(bus.url, reconnect=QUICK) as client:
        publishing = asyncio.create_task(client.publish("a:b", {}))
        await bus.got("event")
        await bus.close_all(1011)
        with pytest.raises(Exception, match="OUTCOME_UNKNOWN"):
            await publishing
        assert len(bus.stream("a", "b").events) == 1


async def test_the_message_that_was_too_large_for_the_server_is_not_repeated(bus: FakeBus) -> None:
    bus.mute.add("ack")
    async with ArqonBusClient(bus.url, reconnect=QUICK) as client:
        large = asyncio.create_task(client.publish("a:b", {"text": "x" * 1_000}))
        small = asyncio.create_task(client.publish("a:b", {}))
        await bus.got("event", 2)
        bus.mute.clear()
        await bus.close_all(1009)
        with pytest.raises(Exception, match="MESSAGE_TOO_LARGE"):
            await large
        assert (await small).duplicate


async def away(client: ArqonBusClient) -> None:
    """Waits until the client has noticed that its connection is gone."""
    gone = asyncio.Event()
    client.on("state", lambda state: gone.set() if state == "reconnecting" else None)
    if client.state != "reconnecting":
        await asyncio.wait_for(gone.wait(), 5)
