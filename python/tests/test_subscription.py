from __future__ import annotations

import asyncio

import pytest
from fake_bus import FakeBus
from reading import numbers

from arqonbus import ArqonBusClient, ArqonBusError, BusError, Envelope, Position, Reset, StreamReset


async def test_iterating_joins_and_yields_what_is_published(client: ArqonBusClient, bus: FakeBus) -> None:
    async def read() -> list[int]:
        found = []
        async for message in client.subscribe("science:explore"):
            found.append(message["payload"]["n"])
            if len(found) == 3:
                break
        return found

    reading = asyncio.create_task(read())
    await bus.got("join_channel")
    for n in range(3):
        await bus.publish("science", "explore", {"n": n})
    assert await asyncio.wait_for(reading, 5) == [0, 1, 2]


async def test_each_subscription_gets_its_own_and_the_inbox_the_rest(client: ArqonBusClient, bus: FakeBus) -> None:
    await client.recv_json(timeout=2)
    await client.join("a:x")
    async with client.subscribe("a:y") as y, client.subscribe("b") as b:
        await bus.publish("a", "x", {"n": 1})
        await bus.publish("a", "y", {"n": 2})
        await bus.publish("b", "z", {"n": 3})
        await bus.publish("a", "*", {"n": 4})
        assert await numbers(y, 2) == [2, 4]
        assert await numbers(b, 1) == [3]
        assert [(await client.recv_json(timeout=2))["payload"]["n"] for _ in range(2)] == [1, 4]


async def test_leaving_the_block_leaves_the_channel_and_ends_the_iteration(
    client: ArqonBusClient, bus: FakeBus
) -> None:
    async with client.subscribe("a:b") as subscription:
        await bus.publish("a", "b", {"n": 1})
        assert await numbers(subscription, 1) == [1]
    assert bus.peers[0].joined == {}
    assert [message async for message in subscription] == []


async def test_closing_the_client_ends_every_iteration(client: ArqonBusClient, bus: FakeBus) -> None:
    async def read() -> list[int]:
        return [message["payload"]["n"] async for message in client.subscribe("a:b")]

    reading = asyncio.create_task(read())
    watching = asyncio.create_task(anext(client.store.watch(), None))
    await bus.got("join_channel")
    await bus.got("op.store.watch")
    await bus.publish("a", "b", {"n": 1})
    await client.command("ping")
    await client.close()
    assert await asyncio.wait_for(reading, 5) == [1]
    assert await asyncio.wait_for(watching, 5) is None


async def test_leaving_after_the_connection_is_gone_is_no_error(client: ArqonBusClient, bus: FakeBus) -> None:
    async with client.subscribe("a:b"), client.store.watch():
        await client.join("a:c")
        await client.close()
    assert await client.leave("a:c") is True


async def test_one_of_two_subscriptions_of_an_address_leaves_alone(client: ArqonBusClient, bus: FakeBus) -> None:
    async with client.subscribe("a:b") as first:
        async with client.subscribe("a:b"):
            pass
        assert "leave_channel" not in [frame.get("command") for frame in bus.received]
        await bus.publish("a", "b", {"n": 1})
        assert await numbers(first, 1) == [1]
    assert bus.peers[0].joined == {}


async def test_join_and_leave(client: ArqonBusClient, bus: FakeBus) -> None:
    await client.recv_json(timeout=2)
    joined = await client.join("a:b", presence=True)
    assert joined.position == Position(0, "epoch-1") and joined.recovered is None
    notice = bus.frame("system", {"event": "presence", "joined": [{"client_id": "x"}]}, room="a", channel="b")
    await bus.peers[0].send(notice)
    assert (await client.recv_json(timeout=2))["payload"]["event"] == "presence"
    assert await client.leave("a:b") is True
    assert await client.leave("a:b") is False


async def test_a_refused_join_raises_and_leaves_nothing_behind(client: ArqonBusClient, bus: FakeBus) -> None:
    bus.commands["join_channel"] = lambda args: {"error_code": "AUTHORIZATION_ERROR"}
    with pytest.raises(BusError):
        async for _ in client.subscribe("a:b"):
            pass
    with pytest.raises(BusError):
        await client.join("a:b")
    assert await client.leave("a:b") is False


async def test_history_and_since_come_before_live_traffic(client: ArqonBusClient, bus: FakeBus) -> None:
    events = [await bus.publish("a", "b", {"n": n}) for n in range(5)]
    async with (
        client.subscribe("a:b", history=2) as last,
        client.subscribe(
            "a:b",
            since=Position.of(events[0]),  # type: ignore[arg-type]
        ) as since,
    ):
        await bus.publish("a", "b", {"n": 5})
        assert await numbers(last, 3) == [3, 4, 5]
        assert await numbers(since, 5) == [1, 2, 3, 4, 5]
    async with client.subscribe("a", since={"b": Position.of(events[3])}) as room:  # type: ignore[dict-item]
        assert await numbers(room, 2) == [4, 5]


async def test_presence_notices_come_in_between(client: ArqonBusClient, bus: FakeBus) -> None:
    notice = bus.frame("system", {"event": "presence"}, room="a", channel="b")
    async with client.subscribe("a:b", presence=True) as watching, client.subscribe("a:b") as plain:
        await bus.peers[0].send(notice)
        await bus.publish("a", "b", {"n": 1})
        assert (await watching.receive(timeout=5))["payload"]["event"] == "presence"
        assert await numbers(watching, 1) == [1]
        assert await numbers(plain, 1) == [1]


async def test_a_full_buffer_has_the_rest_replayed(client: ArqonBusClient, bus: FakeBus) -> None:
    resets: list[Reset] = []
    async with client.subscribe("a:b", buffer_limit=4, on_reset=resets.append) as subscription:
        for n in range(20):
            await bus.publish("a", "b", {"n": n})
        await client.command("ping")
        assert await numbers(subscription, 20) == list(range(20))
        await bus.publish("a", "b", {"n": 20})
        assert await numbers(subscription, 1) == [20]
        assert subscription.dropped == 0
    assert resets == []
    assert len([frame for frame in bus.received if frame.get("command") == "join_channel"]) > 2


async def test_a_slow_reader_is_told_when_history_did_not_keep_the_rest(client: ArqonBusClient, bus: FakeBus) -> None:
    resets: list[Reset] = []
    async with client.subscribe("a:b", buffer_limit=2, on_reset=resets.append) as subscription:
        for n in range(6):
            await bus.publish("a", "b", {"n": n})
        await client.command("ping")
        bus.lose_history("a", "b")
        assert await numbers(subscription, 2) == [0, 1]
        await client.command("ping")
        await bus.publish("a", "b", {"n": 6})
        assert await numbers(subscription, 1) == [6]
    assert [reset.reason for reset in resets] == ["not_recovered"]


async def test_a_slow_reader_may_prefer_the_present(client: ArqonBusClient, bus: FakeBus) -> None:
    async with client.subscribe("a:b", buffer_limit=3, overflow="drop-oldest") as subscription:
        for n in range(10):
            await bus.publish("a", "b", {"n": n})
        await client.command("ping")
        assert await numbers(subscription, 3) == [7, 8, 9]
        assert subscription.dropped == 7


async def test_what_is_not_stored_is_lost_to_a_slow_reader_and_counted(client: ArqonBusClient, bus: FakeBus) -> None:
    async with client.subscribe("a:b", buffer_limit=1) as subscription:
        await bus.publish("a", "b", {"n": 0})
        for n in range(2):
            await bus.peers[0].send(bus.frame("event", {"n": n}, room="a", channel="b", metadata={}))
        await client.command("ping")
        assert subscription.dropped == 2
        assert await numbers(subscription, 1) == [0]


async def test_the_inbox_tells_an_overflow_once_and_goes_on(bus: FakeBus) -> None:
    resets: list[Reset] = []
    async with ArqonBusClient(bus.url, buffer_limit=3, on_reset=resets.append) as client:
        await client.recv_json(timeout=2)
        await client.join("a:b")
        for n in range(6):
            await bus.publish("a", "b", {"n": n})
        await client.command("ping")
        assert [(await client.recv_json(timeout=2))["payload"]["n"] for _ in range(3)] == [0, 1, 2]
        await bus.publish("a", "b", {"n": 6})
        assert (await client.recv_json(timeout=2))["payload"]["n"] == 6
    assert resets == [Reset("inbox", "overflow")]


async def test_without_on_reset_the_iteration_raises_at_the_place_of_the_loss_and_can_go_on(
    client: ArqonBusClient, bus: FakeBus
) -> None:
    async with client.subscribe("a:b") as subscription:
        await bus.publish("a", "b", {"n": 0})
        await bus.tell({"event": "history_gap", "room": "a", "channel": "b"}, room="a", channel="b")
        await bus.publish("a", "b", {"n": 1})
        await client.command("ping")
        assert await numbers(subscription, 1) == [0]
        with pytest.raises(StreamReset) as raised:
            await subscription.receive(timeout=5)
        assert raised.value.reset.reason == "history_gap" and "did not store" in str(raised.value)
        assert await numbers(subscription, 1) == [1]


async def test_a_handler_gets_every_message_one_after_the_other(client: ArqonBusClient, bus: FakeBus) -> None:
    seen: list[int] = []
    comings: list[str] = []
    done = asyncio.Event()

    async def handle(message: Envelope) -> None:
        await asyncio.sleep(0)
        seen.append(message["payload"]["n"])
        if message["payload"]["n"] == 1:
            raise ValueError("in a handler")
        if len(seen) == 4:
            done.set()

    def come(notice: Envelope) -> None:
        comings.append(notice["payload"]["event"])

    async with client.subscribe("a:b", on_message=handle, on_presence=come, presence=True) as subscription:
        await bus.peers[0].send(bus.frame("system", {"event": "presence"}, room="a", channel="b"))
        for n in range(4):
            await bus.publish("a", "b", {"n": n})
        await asyncio.wait_for(done.wait(), 5)
        with pytest.raises(ArqonBusError):
            await subscription.receive()
    assert seen == [0, 1, 2, 3] and comings == ["presence"]


async def test_a_hole_in_a_replay_is_told(client: ArqonBusClient, bus: FakeBus) -> None:
    resets: list[Reset] = []

    async def on_reset(reset: Reset) -> None:
        resets.append(reset)

    async with client.subscribe("a:b", on_reset=on_reset) as subscription:
        await bus.publish("a", "b", {"n": 1})
        payload = {"event": "history_gap", "room": "a", "channel": "b", "after_sequence": 1}
        await bus.tell(payload, room="a", channel="b")
        await bus.publish("a", "b", {"n": 2})
        assert await numbers(subscription, 2) == [1, 2]
    assert [reset.reason for reset in resets] == ["history_gap"]


async def test_a_hole_is_told_room_wide_and_without_a_position_too(client: ArqonBusClient, bus: FakeBus) -> None:
    resets: list[str] = []
    bus.commands["join_channel"] = lambda args: {"room": args["room"], "channel": args["channel"], "epoch": ""}
    for address in ("a:b", "a:c", "a", "z:b"):
        await client.subscribe(address, on_message=print, on_reset=lambda reset, at=address: resets.append(at)).open()
    await bus.tell({"event": "history_gap", "room": "a", "channel": "*"}, room="a", channel="*")
    await client.command("ping")
    await asyncio.sleep(0)
    assert resets == ["a:b", "a:c", "a"]


async def test_degraded_traffic_without_a_sequence_is_delivered(client: ArqonBusClient, bus: FakeBus) -> None:
    async with client.subscribe("a:b") as subscription:
        for n in range(2):
            await bus.peers[0].send(bus.frame("event", {"n": n}, room="a", channel="b", metadata={}))
        assert await numbers(subscription, 2) == [0, 1]


async def test_store_watch(client: ArqonBusClient, bus: FakeBus) -> None:
    def change(key: str, version: int) -> dict[str, object]:
        return {
            "event": "store_changed",
            "namespace": "default",
            "key": key,
            "operation": "set",
            "version": version,
            "value": {"v": version},
        }

    async with client.store.watch("jobs/") as watch:
        await bus.tell(change("other", 1))
        await bus.tell(change("jobs/1", 2))
        told = await watch.receive(timeout=5)
        assert (told.key, told.operation, told.version, told.value) == ("jobs/1", "set", 2, {"v": 2})
    assert bus.received[-1]["args"] == {"namespace": "default", "prefix": "jobs/"}
    assert bus.received[-1]["command"] == "op.store.unwatch"
    assert [change async for change in watch] == []


async def test_a_membership_that_the_token_no_longer_allows_ends(client: ArqonBusClient, bus: FakeBus) -> None:
    kept, revoked = client.subscribe("a:kept"), client.subscribe("a:gone")
    await kept.open()
    await revoked.open()
    payload = {"event": "membership_revoked", "room": "a", "channel": "gone", "reason": "grants"}
    await bus.tell(payload, room="a", channel="gone")
    with pytest.raises(BusError) as raised:
        await revoked.receive(timeout=5)
    assert raised.value.code == "AUTHORIZATION_ERROR"
    await bus.publish("a", "kept", {"n": 1})
    assert await numbers(kept, 1) == [1]


async def test_several_takers_of_one_subscription_join_once(client: ArqonBusClient, bus: FakeBus) -> None:
    subscription = client.subscribe("a:b")
    takers = [asyncio.create_task(subscription.receive(timeout=5)) for _ in range(3)]
    await bus.got("join_channel")
    for n in range(3):
        await bus.publish("a", "b", {"n": n})
    taken = await asyncio.gather(*takers)
    assert sorted(message["payload"]["n"] for message in taken) == [0, 1, 2]
    await subscription.close()
    assert [frame["command"] for frame in bus.received] == ["join_channel", "leave_channel"]
