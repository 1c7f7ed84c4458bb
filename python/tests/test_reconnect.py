"""What comes back after a lost connection."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fake_bus import FakeBus
from reading import numbers, reconnected

from arqonbus import (
    ArqonBusClient,
    BusError,
    ConnectionClosed,
    Position,
    ReconnectPolicy,
    Reset,
    StreamReset,
)

FULL = ReconnectPolicy(base=1, cap=30, draw=lambda: 1.0)


async def test_a_subscription_resumes_without_gap_or_duplicate(
    client: ArqonBusClient, bus: FakeBus, pauses: list[float]
) -> None:
    async with client.subscribe("a:b") as subscription:
        for n in range(3):
            await bus.publish("a", "b", {"n": n})
        await client.command("ping")
        await bus.close_all(4408)
        for n in range(3, 6):
            await bus.publish("a", "b", {"n": n})
        await reconnected(bus, client)
        await bus.publish("a", "b", {"n": 6})
        assert await numbers(subscription, 7) == list(range(7))
    joins = [frame["args"] for frame in bus.received if frame.get("command") == "join_channel"]
    assert "since" not in joins[0]
    assert joins[1]["since"] == {"sequence": 3, "epoch": "epoch-1"}


async def test_what_is_not_kept_any_more_is_told_and_then_live_traffic_goes_on(
    client: ArqonBusClient, bus: FakeBus, pauses: list[float]
) -> None:
    async with client.subscribe("a:b") as subscription:
        await bus.publish("a", "b", {"n": 0})
        await client.command("ping")
        await bus.close_all(4429)
        await bus.publish("a", "b", {"n": 1})
        bus.lose_history("a", "b")
        await reconnected(bus, client)
        await bus.publish("a", "b", {"n": 2})
        assert await numbers(subscription, 1) == [0]
        with pytest.raises(StreamReset) as raised:
            await subscription.receive(timeout=5)
        assert raised.value.reset.reason == "not_recovered"
        assert raised.value.reset.position is not None and raised.value.reset.position.sequence == 2
        assert await numbers(subscription, 1) == [2]


async def test_own_events_count_as_seen_whether_acked_or_not(
    client: ArqonBusClient, bus: FakeBus, pauses: list[float]
) -> None:
    async with client.subscribe("a:b") as subscription:
        await client.publish("a:b", {"n": "own"})
        await client.publish("a:b", {"n": "own"}, ack=False)
        await bus.publish("a", "b", {"n": 2})
        await client.publish("a:b", {"n": "own"}, ack=False)
        await client.command("ping")
        await bus.close_all(4408)
        await reconnected(bus, client)
        await bus.publish("a", "b", {"n": 4})
        assert await numbers(subscription, 2) == [2, 4]


async def test_with_echo_own_events_come_once(client: ArqonBusClient, bus: FakeBus, pauses: list[float]) -> None:
    async with client.subscribe("a:b", echo=True) as subscription:
        await client.publish("a:b", {"n": 0})
        await client.publish("a:b", {"n": 1})
        await client.command("ping")
        await bus.close_all(4408)
        await reconnected(bus, client)
        await client.publish("a:b", {"n": 2})
        assert await numbers(subscription, 3) == [0, 1, 2]


async def test_a_room_resumes_every_channel_and_those_made_meanwhile(
    client: ArqonBusClient, bus: FakeBus, pauses: list[float]
) -> None:
    await bus.publish("r", "x", {"n": -1})
    async with client.subscribe("r") as subscription:
        await bus.publish("r", "x", {"n": 0})
        await bus.publish("r", "*", {"n": 1})
        await client.command("ping")
        await bus.close_all(4408)
        await bus.publish("r", "x", {"n": 2})
        await bus.publish("r", "*", {"n": 3})
        await bus.publish("r", "new", {"n": 4})
        await reconnected(bus, client)
        await bus.publish("r", "new", {"n": 5})
        assert sorted(await numbers(subscription, 6)) == [0, 1, 2, 3, 4, 5]
    since = bus.received[-2]["args"].get("since") or next(
        frame["args"]["since"] for frame in bus.received if "since" in frame.get("args", {})
    )
    assert since == {"x": {"sequence": 2, "epoch": "epoch-1"}, "*": {"sequence": 1, "epoch": "epoch-2"}}


async def test_members_of_a_channel_get_the_room_wide_events_that_they_missed(
    client: ArqonBusClient, bus: FakeBus, pauses: list[float]
) -> None:
    resets: list[Reset] = []
    async with (
        client.subscribe("r:x", on_reset=resets.append) as x,
        client.subscribe("r:y", on_reset=resets.append) as y,
    ):
        for round in range(4):
            await bus.publish("r", "*", {"n": 2 * round})
            await client.command("ping")
            await bus.close_all(4408)
            await bus.publish("r", "*", {"n": 2 * round + 1})
            await reconnected(bus, client, times=round + 1)
        await bus.publish("r", "*", {"n": 8})
        assert await numbers(x, 9) == list(range(9))
        assert await numbers(y, 9) == list(range(9))
        assert isinstance(x.since, dict) and x.since["*"].sequence == 9
    assert resets == []


async def test_the_first_room_wide_events_of_a_room_are_not_missed_either(
    client: ArqonBusClient, bus: FakeBus, pauses: list[float]
) -> None:
    async with client.subscribe("r:x") as x:
        assert x.since == Position(0, bus.stream("r", "x").epoch)
        await bus.close_all(4408)
        await bus.publish("r", "*", {"n": 0})
        await reconnected(bus, client)
        await bus.publish("r", "*", {"n": 1})
        assert await numbers(x, 2) == [0, 1]
        assert x.result is not None and x.result.recovered is True


async def test_a_new_epoch_is_had_from_its_start_and_told(
    client: ArqonBusClient, bus: FakeBus, pauses: list[float]
) -> None:
    resets: list[Reset] = []
    async with (
        client.subscribe("a:b", on_reset=resets.append) as channel,
        client.subscribe("a", on_reset=resets.append) as room,
    ):
        await bus.publish("a", "b", {"n": 0})
        await client.command("ping")
        await bus.close_all(1011)
        bus.restart()
        await bus.publish("a", "b", {"n": 1})
        await bus.publish("a", "b", {"n": 2})
        await reconnected(bus, client)
        await bus.publish("a", "b", {"n": 3})
        assert await numbers(channel, 4) == [0, 1, 2, 3]
        assert await numbers(room, 4) == [0, 1, 2, 3]
        assert channel.result is not None and channel.result.recovered is False
    start = Position(0, bus.stream("a", "b").epoch)
    assert [(reset.address, reset.reason, reset.position) for reset in resets] == [("a:b", "new_epoch", start)] * 2


@pytest.mark.parametrize("address", ["a:b", "a"])
async def test_what_the_server_could_not_place_is_joined_again_until_it_can(
    client: ArqonBusClient, bus: FakeBus, pauses: list[float], address: str
) -> None:
    resets: list[Reset] = []
    async with client.subscribe(address, on_reset=resets.append) as subscription:
        await bus.publish("a", "b", {"n": 0})
        await client.command("ping")
        await bus.close_all(1011)
        await bus.publish("a", "b", {"n": 1})
        nowhere = {"sequence": 0, "epoch": ""}

        def answer(args: dict[str, Any]) -> dict[str, Any]:
            # The storage is away, and back when it is asked for the third time.
            if len([frame for frame in bus.received if frame.get("command") == "join_channel"]) == 3:
                del bus.commands["join_channel"]
            positions = {"positions": {"b": nowhere, "*": nowhere}} if address == "a" else {}
            return {"room": "a", "channel": args["channel"], "recovered": False, **nowhere, **positions}

        bus.commands["join_channel"] = answer
        await reconnected(bus, client)
        await bus.until(lambda: "join_channel" not in bus.commands)
        await bus.publish("a", "b", {"n": 2})
        assert await numbers(subscription, 3) == [0, 1, 2]
        joins = [frame["args"] for frame in bus.received if frame.get("command") == "join_channel"]
        assert len(joins) == 4 and joins[1]["since"] == joins[3]["since"]
    assert resets == []


async def test_the_inbox_has_new_epochs_from_their_start_too(
    client: ArqonBusClient, bus: FakeBus, pauses: list[float]
) -> None:
    resets: list[str] = []
    await client.recv_json(timeout=2)
    client._router.inbox._on_reset = lambda reset: resets.append(reset.address)
    await client.join("r:x")
    await client.join("r")
    await bus.publish("r", "x", {"n": 0})
    await bus.publish("r", "*", {"n": 1})
    await client.command("ping")
    await bus.close_all(1011)
    bus.restart()
    for n, channel in enumerate(("x", "*", "x", "*"), 2):
        await bus.publish("r", channel, {"n": n})
    await reconnected(bus, client)
    await bus.publish("r", "x", {"n": 6})
    found = [(await client.recv_json(timeout=2))["payload"].get("n", "welcome") for _ in range(8)]
    assert sorted(n for n in found if n != "welcome") == list(range(7))
    assert [n for n in found if n in (0, 2, 4, 6)] == [0, 2, 4, 6]
    assert sorted(resets) == ["r:*", "r:x"]


async def test_a_new_epoch_that_is_not_kept_from_its_start_is_told_as_well(
    client: ArqonBusClient, bus: FakeBus, pauses: list[float]
) -> None:
    resets: list[Reset] = []
    async with client.subscribe("a:b", on_reset=resets.append) as subscription:
        await bus.publish("a", "b", {"n": 0})
        await client.command("ping")
        await bus.close_all(1011)
        bus.restart()
        await bus.publish("a", "b", {"n": 1})
        bus.lose_history("a", "b")
        await reconnected(bus, client)
        await bus.publish("a", "b", {"n": 2})
        assert await numbers(subscription, 2) == [0, 2]
    assert [reset.reason for reset in resets] == ["new_epoch", "not_recovered"]


async def test_overlapping_subscriptions_and_the_inbox_resume_with_one_copy_each(
    client: ArqonBusClient, bus: FakeBus, pauses: list[float]
) -> None:
    await client.recv_json(timeout=2)
    await client.join("r:x")
    await client.join("r")
    async with client.subscribe("r") as room, client.subscribe("r:x") as channel:
        for n in range(4):
            await bus.publish("r", "x", {"n": n})
        await client.command("ping")
        await bus.close_all(4408)
        for n in range(4, 8):
            await bus.publish("r", "x", {"n": n})
        await reconnected(bus, client)
        await bus.publish("r", "x", {"n": 8})
        assert await numbers(room, 9) == list(range(9))
        assert await numbers(channel, 9) == list(range(9))
    inbox = [await client.recv_json(timeout=2) for _ in range(10)]
    assert [message["payload"].get("n", "welcome") for message in inbox] == [0, 1, 2, 3, "welcome", 4, 5, 6, 7, 8]


async def test_an_unacked_publish_is_sent_again_with_its_id_and_counts_once(
    client: ArqonBusClient, bus: FakeBus, pauses: list[float]
) -> None:
    bus.mute.add("ack")
    publishing = asyncio.gather(*(client.publish("a:b", {"n": n}) for n in range(3)))
    await bus.got("event", 3)
    bus.mute.clear()
    await bus.close_all(4408)
    acks = await publishing
    assert [ack.sequence for ack in acks] == [1, 2, 3] and all(ack.duplicate for ack in acks)
    ids = [frame["id"] for frame in bus.received if frame["type"] == "event"]
    assert ids[:3] == ids[3:]
    assert len(bus.streams["a", "b"].events) == 3
    assert bus.queries[0]["client_key"] == bus.queries[1]["client_key"]


async def test_commands_and_requests_in_flight_fail_as_retryable(
    client: ArqonBusClient, bus: FakeBus, pauses: list[float]
) -> None:
    bus.mute.add("create_channel")
    async with ArqonBusClient(bus.url) as silent:
        waiting = [
            asyncio.create_task(client.create_channel("a:new")),
            asyncio.create_task(client.request(silent.client_id, {})),
        ]
        await bus.got("create_channel")
        await bus.got("private")
        await bus.close_all(4408)
        for task in waiting:
            with pytest.raises(ConnectionClosed) as raised:
                await task
            assert raised.value.retryable and raised.value.close_code == 4408


async def test_commands_that_only_read_are_sent_again(
    client: ArqonBusClient, bus: FakeBus, pauses: list[float]
) -> None:
    bus.mute.add("status")
    waiting = asyncio.create_task(client.status())
    await bus.got("status")
    bus.mute.clear()
    await bus.close_all(4408)
    assert await waiting == {"args": {}}


async def test_what_is_sent_while_away_waits_for_the_connection(bus: FakeBus) -> None:
    away = asyncio.Event()
    async with ArqonBusClient(bus.url, reconnect=ReconnectPolicy(base=0.01)) as client:
        client.on("state", lambda state: away.set() if state == "reconnecting" else None)
        await bus.close_all(4429)
        await asyncio.wait_for(away.wait(), 5)
        assert (await client.publish("a:b", {"n": 1})).sequence == 1


async def test_a_refused_rejoin_ends_that_subscription_only(
    client: ArqonBusClient, bus: FakeBus, pauses: list[float]
) -> None:
    kept, refused = client.subscribe("a:kept"), client.subscribe("a:gone")
    await kept.open()
    await refused.open()
    bus.commands["join_channel"] = lambda args: (
        {"error_code": "AUTHORIZATION_ERROR"}
        if args["channel"] == "gone"
        else {"room": "a", "channel": "kept", "sequence": 0, "epoch": "epoch-1", "recovered": True}
    )
    await bus.close_all(4408)
    await reconnected(bus, client)
    with pytest.raises(BusError):
        await refused.receive(timeout=5)
    bus.peers[0].joined["a", "kept"] = {}
    await bus.publish("a", "kept", {"n": 1})
    assert await numbers(kept, 1) == [1]


async def test_a_rejoin_that_fails_for_now_is_tried_again(
    client: ArqonBusClient, bus: FakeBus, pauses: list[float]
) -> None:
    subscription = client.subscribe("a:b")
    await subscription.open()
    answers = iter(
        [
            {"error_code": "RATE_LIMITED", "retryable": True, "retry_after_ms": 1},
            {"error_code": "STORAGE_UNAVAILABLE", "retryable": True},
            {"room": "a", "channel": "b", "sequence": 0, "epoch": "epoch-1", "recovered": True},
        ]
    )
    bus.commands["join_channel"] = lambda args: next(answers)
    await bus.close_all(4408)
    await bus.got("join_channel", 4)
    await reconnected(bus, client)
    assert next(answers, None) is None and len(bus.queries) == 2
    bus.peers[0].joined["a", "b"] = {}
    await bus.publish("a", "b", {"n": 1})
    assert await numbers(subscription, 1) == [1]


async def test_a_watch_goes_on_and_tells_of_the_interruption(
    client: ArqonBusClient, bus: FakeBus, pauses: list[float]
) -> None:
    async with client.store.watch() as watch:
        await bus.close_all(4408)
        await reconnected(bus, client)
        with pytest.raises(StreamReset) as raised:
            await watch.receive(timeout=5)
        assert raised.value.reset.reason == "watch_interrupted"
    assert len([frame for frame in bus.received if frame.get("command") == "op.store.watch"]) == 2


async def test_a_new_connection_is_told_again_what_the_client_is(
    client: ArqonBusClient, bus: FakeBus, pauses: list[float]
) -> None:
    card = {"skills": [{"id": "sum", "name": "Addition"}]}
    await client.identify(card=card, state="idle", note="ready")
    await bus.close_all(4408)
    await reconnected(bus, client)
    await client.identify(state="busy", ttl_seconds=60)
    await bus.close_all(4408)
    await reconnected(bus, client)
    await client.command("ping")
    told = [frame["args"] for frame in bus.received if frame.get("command") == "identify"]
    assert told[1] == {"card": card, "state": "idle", "note": "ready"}
    # A state with a time says that the client works, which a new line does not.
    assert told[2:] == [{"state": "busy", "ttl_seconds": 60}, {"card": card}]
