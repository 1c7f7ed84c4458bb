"""Options of a publication, senders, waits, history of several channels, patterns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from fake_bus import FakeBus, Frame
from fake_delivery import FEATURES
from reading import cut, numbers, reconnected

from arqonbus import (
    ArqonBusClient,
    ArqonBusError,
    BusError,
    CommandError,
    LeaseLost,
    LoopDetected,
    MailboxFull,
    NoResponders,
    Position,
    SchemaMismatch,
    Sender,
)
from arqonbus.errors import RequestTimeout
from arqonbus.pattern import is_channel_pattern, matches


@pytest.fixture
async def bus() -> AsyncIterator[FakeBus]:
    bus = FakeBus()
    bus.features = [*FEATURES]
    async with bus.running() as running:
        yield running


async def test_options_go_out_as_they_were_given(client: ArqonBusClient, bus: FakeBus) -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=1)))
    await client.publish(
        "science:explore", {}, ttl_seconds=5, expect=Position(0, "e"), ephemeral=False, deliver_at=at, receipt="billing"
    )
    assert bus.received[-1]["options"] == {
        "ttl_seconds": 5,
        "expect": {"sequence": 0, "epoch": "e"},
        "deliver_at": "2026-01-02T03:04:05+01:00",
        "receipt": "billing",
    }
    await client.publish("science:explore", {}, expect={"last_id": "arq_1"}, delay_seconds=0)
    assert bus.received[-1]["options"] == {"expect": {"last_id": "arq_1"}, "delay_seconds": 0}
    await client.publish("science:explore", {}, ephemeral=True, ack=False)
    await client.ping()
    assert bus.received[-2]["options"] == {"ephemeral": True}
    await client.publish("science:explore", {}, ttl_seconds=None)
    assert "options" not in bus.received[-1]


async def test_an_option_that_is_none_is_refused(client: ArqonBusClient, bus: FakeBus) -> None:
    with pytest.raises(TypeError, match="no option 'ttl'; there are: ttl_seconds, expect"):
        await client.publish("science:explore", {}, ttl=5)  # type: ignore[call-overload]
    with pytest.raises(ArqonBusError, match='"deliver_at" has no time zone'):
        await client.publish("science:explore", {}, deliver_at=datetime(2026, 1, 1))
    assert not bus.received


async def test_a_server_that_would_ignore_them_gets_none(bus: FakeBus) -> None:
    bus.features = []
    async with ArqonBusClient(bus.url) as client:
        with pytest.raises(ArqonBusError, match='does not offer "options"'):
            await client.publish("science:explore", {}, ttl_seconds=5)
        with pytest.raises(ArqonBusError, match='"wait"'):
            await client.wait("science:explore", since=Position(1, "e"))
        with pytest.raises(ArqonBusError, match='"patterns"'):
            await client.subscribe("science:explore.*").open()
        assert (await client.publish("science:explore", {})).sequence == 1
    assert [frame["type"] for frame in bus.received] == ["event"]


async def test_what_waited_for_a_line_is_told_too(bus: FakeBus, pauses: list[float]) -> None:
    """The server that comes back is an older one."""
    async with ArqonBusClient(bus.url) as client:
        bus.features = ["options"]
        bus.mute.add("ack")
        publishing = asyncio.create_task(client.publish("science:explore", {}, receipt="billing"))
        await bus.got("event")
        cut(client)
        with pytest.raises(ArqonBusError, match='"receipts"'):
            await publishing


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("LEASE_LOST", LeaseLost),
        ("NO_RESPONDERS", NoResponders),
        ("MAILBOX_FULL", MailboxFull),
        ("LOOP_DETECTED", LoopDetected),
        ("SCHEMA_MISMATCH", SchemaMismatch),
        ("CONFLICT", CommandError),
    ],
)
async def test_each_code_has_its_class(client: ArqonBusClient, bus: FakeBus, code: str, kind: type[BusError]) -> None:
    bus.commands["op.some.thing"] = lambda args: {"error_code": code, "field": "x", "retryable": True}
    with pytest.raises(BusError) as told:
        await client.command("op.some.thing")
    assert type(told.value) is kind
    assert (told.value.code, told.value.command, told.value.retryable) == (code, "op.some.thing", True)
    assert told.value.details == {"field": "x"}


async def test_messages_say_who_sent_them(client: ArqonBusClient, bus: FakeBus) -> None:
    async with client.subscribe("science:explore") as messages:
        event = bus.frame("event", {"n": 1}, room="science", channel="explore")
        sender = {"subject": "ada", "name": "Ada", "type": "human", "role": "user"}
        await bus.peers[0].send({**event, "metadata": {"sender": sender}})
        await bus.peers[0].send({**event, "metadata": {"sender": {"type": "service", "role": "admin"}}})
        await bus.peers[0].send({**event, "metadata": {"sender": "ada"}})
        await bus.peers[0].send(event)
        told = [(await messages.receive(timeout=5)).sender for _ in range(4)]
    assert told == [Sender("ada", "Ada", "human", "user"), Sender(None, None, "service", "admin"), None, None]


class Waiting:
    """Answers waits when it is told to."""

    def __init__(self, bus: FakeBus) -> None:
        self.asked: list[Frame] = []
        self.pages: list[Frame] = []
        bus.commands["history"] = self.answer

    def answer(self, args: Frame) -> Frame:
        self.asked.append(args)
        return self.pages.pop(0)


async def test_a_wait_asks_again_until_there_is_something(client: ArqonBusClient, bus: FakeBus) -> None:
    waiting = Waiting(bus)
    there = {"sequence": 7, "epoch": "e"}
    message = bus.frame("event", {"n": 8}, room="science", channel="explore")
    moved = {"sequence": 9, "epoch": "e"}
    waiting.pages = [
        {"messages": [], "position": moved, "recovered": True},
        {"messages": [message], "position": {"sequence": 10, "epoch": "e"}, "recovered": True},
    ]
    page = await client.wait("science:explore", since=Position(7, "e"), timeout_ms=90_000, limit=5)
    assert [each["payload"] for each in page.messages] == [{"n": 8}] and page.messages[0].metadata == {}
    assert (page.position, page.recovered, page.next) == (Position(10, "e"), True, None)
    first, second = waiting.asked
    assert first == {"room": "science", "channel": "explore", "since": there, "limit": 5, "wait_ms": 55_000}
    assert second["since"] == moved and 54_000 < second["wait_ms"] <= 55_000


async def test_a_wait_without_since_begins_where_the_stream_stands(client: ArqonBusClient, bus: FakeBus) -> None:
    waiting = Waiting(bus)
    waiting.pages = [
        {"messages": [], "position": {"a": {"sequence": 1, "epoch": "e"}}},
        {"messages": [], "position": {"a": {"sequence": 1, "epoch": "e"}}, "recovered": True},
    ]
    page = await client.wait("science", timeout_ms=0)
    assert page.messages == [] and page.position == {"a": Position(1, "e")}
    assert waiting.asked == [
        {"room": "science", "limit": 1, "wait_ms": 0},
        {"room": "science", "since": {"a": {"sequence": 1, "epoch": "e"}}, "limit": 50, "wait_ms": 0},
    ]
    waiting.pages = [{"messages": [], "position": {"sequence": 1, "epoch": "e"}, "recovered": False}]
    page = await client.wait("@ada", since=datetime(2026, 1, 1, tzinfo=timezone.utc), timeout_ms=60_000)
    assert page.recovered is False
    asked = waiting.asked[-1]
    assert (asked["room"], asked["channel"], asked["since"]) == ("@", "ada", {"time": "2026-01-01T00:00:00+00:00"})


async def test_a_wait_goes_on_over_a_broken_line_and_holds_nobody_up(bus: FakeBus) -> None:
    async with ArqonBusClient(bus.url, request_timeout=5) as client:
        bus.mute.add("history")
        waiting = asyncio.create_task(client.wait("science:explore", since=Position(0, "epoch-1"), timeout_ms=9_000))
        await bus.got("history")
        # The queue that has waited for the line is not held up by the wait at its head.
        cut(client)
        publishing = [asyncio.create_task(client.publish("science:explore", {"n": n})) for n in range(3)]
        await bus.got("history", 2)
        assert [ack.sequence for ack in await asyncio.gather(*publishing)] == [1, 2, 3]
        assert not waiting.done()
        # Nor does drain() wait for it.
        await client.drain(timeout=5)
        with pytest.raises(ArqonBusError, match="CLOSED"):
            await waiting


async def test_what_has_waited_for_a_line_does_not_wait_for_a_wait(bus: FakeBus) -> None:
    async with ArqonBusClient(bus.url, request_timeout=5) as client:
        lost = asyncio.Event()
        client.on("reconnecting", lambda _: lost.set())
        bus.mute.add("history")
        cut(client)
        await asyncio.wait_for(lost.wait(), 5)
        waiting = asyncio.create_task(client.wait("science:explore", since=Position(0, "epoch-1"), timeout_ms=9_000))
        await asyncio.sleep(0)
        acks = await asyncio.gather(*(client.publish("science:explore", {"n": n}) for n in range(3)))
        assert [ack.sequence for ack in acks] == [1, 2, 3]
        assert [frame["type"] for frame in bus.received] == ["command", "event", "event", "event"]
        waiting.cancel()


async def test_a_wait_whose_line_stays_away_ends_where_it_began(bus: FakeBus) -> None:
    async with ArqonBusClient(bus.url, request_timeout=0.05) as client:
        bus.mute.add("history")
        page = await client.wait("science:explore", since=Position(7, "e"), timeout_ms=50)
        assert (page.messages, page.position, page.recovered) == ([], Position(7, "e"), None)
        with pytest.raises(RequestTimeout):
            await client.wait("science:explore", since=datetime(2026, 1, 1, tzinfo=timezone.utc), timeout_ms=50)


async def test_a_wait_that_is_refused_for_the_rate_comes_again(client: ArqonBusClient, bus: FakeBus) -> None:
    waiting = Waiting(bus)
    waiting.pages = [
        {"error_code": "RATE_LIMITED", "retryable": True, "retry_after_ms": 5},
        {"messages": [], "position": {"sequence": 1, "epoch": "e"}, "recovered": False},
    ]
    await client.wait("science:explore", since=Position(1, "e"), timeout_ms=9_000)
    assert len(waiting.asked) == 2


async def test_history_of_a_room_hands_its_cursors_back(client: ArqonBusClient, bus: FakeBus) -> None:
    waiting = Waiting(bus)
    one, two = (bus.frame("event", {"n": n}, room="r", channel=name) for n, name in ((1, "a"), (2, "b")))
    cursor = {"a": 1}
    waiting.pages = [{"messages": [one], "next": cursor, "previous": None}, {"messages": [two], "next": None}]
    got = [message["payload"]["n"] async for message in client.history("r", after={"a": 0}, limit=10)]
    assert got == [1, 2]
    assert [asked.get("after") for asked in waiting.asked] == [{"a": 0}, cursor]
    position = {"b": {"sequence": 2, "epoch": "e"}}
    waiting.pages = [{"messages": [], "next": None, "previous": {"a": 1}, "position": position}]
    page = await client.history_page("r:*", before={"a": 9})
    assert (page.previous, page.position) == ({"a": 1}, {"b": Position(2, "e")})
    assert waiting.asked[-1] == {"room": "r", "channel": "*", "limit": 50, "before": {"a": 9}}


@pytest.mark.parametrize(
    ("pattern", "channel", "expected"),
    [
        ("orders.*", "orders.created", True),
        ("orders.*", "orders.eu.created", False),
        ("orders.*", "orders.eu/created", False),
        ("orders.*", "orders.", False),
        ("orders.*", "orders/created", False),
        ("orders.*", "reorders.created", False),
        ("orders.>", "orders.eu/created.late", True),
        ("orders.>", "orders", False),
        ("orders.>", "orders.", False),
        ("*.created", "orders.created", True),
        ("a/*/c", "a/b/c", True),
        ("a/*/c", "a/b.b/c", False),
        (">", "anything/at.all", True),
    ],
)
def test_patterns_mean_what_the_server_means(pattern: str, channel: str, expected: bool) -> None:
    assert is_channel_pattern(pattern)
    assert matches(pattern, channel) is expected


@pytest.mark.parametrize(
    "text",
    ["", "*", "orders", "ord*", "*s.a", "a.>.b", "a>", ".*", "-a.*", "a b.*", "**", "a.**", ">.a", "a" * 127 + ".*"],
)
def test_what_is_no_pattern(text: str) -> None:
    assert not is_channel_pattern(text)


async def test_one_does_not_publish_to_a_pattern(client: ArqonBusClient, bus: FakeBus) -> None:
    with pytest.raises(ArqonBusError, match="stands for many channels"):
        await client.publish("orders:eu.*", {})
    with pytest.raises(ArqonBusError, match="not an address"):
        client.subscribe("orders:eu*")


async def test_a_pattern_takes_what_matches_and_goes_on_in_each_channel(bus: FakeBus) -> None:
    def join(peer: Any, args: Frame) -> tuple[Frame, list[Frame]]:
        peer.joined[args["room"], "*"] = args
        at = {name: bus.stream("orders", name) for name in ("eu.cz", "eu.de")}
        since = args.get("since", {})
        replay = [
            event
            for name, stream in at.items()
            for event in stream.events
            if event["metadata"]["sequence"] > since.get(name, {"sequence": len(stream.events)})["sequence"]
        ]
        positions = {name: {"sequence": len(stream.events), "epoch": stream.epoch} for name, stream in at.items()}
        joined = {"room": "orders", "channel": "eu.*", "members": 1, "scope": "matching", "positions": positions}
        return {**joined, **({"recovered": True} if since else {})}, replay

    bus._join = join  # type: ignore[method-assign]
    async with ArqonBusClient(bus.url) as client, client.subscribe("orders:eu.*") as messages:
        assert messages.result is not None and messages.result.scope == "matching"
        await bus.publish("orders", "eu.cz", {"n": 1})
        await bus.publish("orders", "us.ny", {"n": 99})
        await bus.publish("orders", "eu.de", {"n": 2})
        assert await numbers(messages, 2) == [1, 2]
        cut(client)
        await bus.until(lambda: not bus.peers)
        await bus.publish("orders", "eu.cz", {"n": 3})
        await reconnected(bus, client)
        await bus.publish("orders", "eu.de", {"n": 4})
        assert await numbers(messages, 2) == [3, 4]
        with pytest.raises(RequestTimeout):
            await messages.receive(timeout=0.01)
    rejoin = [frame["args"] for frame in bus.received if frame.get("command") == "join_channel"][1]
    assert {name: at["sequence"] for name, at in rejoin["since"].items()} == {"eu.cz": 1, "eu.de": 1}
