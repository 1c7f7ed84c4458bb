"""Members of groups: who gets what, and what is answered of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from fake_delivery import DeliveryBus
from reading import cut, reconnected

from arqonbus import ArqonBusClient, ArqonBusError, Delivery, LeaseLost, Position, RequestTimeout


@pytest.fixture
async def bus() -> AsyncIterator[DeliveryBus]:
    async with DeliveryBus().running() as running:
        yield running


async def test_each_message_goes_to_one_member_and_taking_the_next_acknowledges_it(bus: DeliveryBus) -> None:
    async with ArqonBusClient(bus.url) as one, ArqonBusClient(bus.url) as two:
        first = one.subscribe("orders:new", group="billing", prefetch=1)
        second = two.subscribe("orders:new", group="billing", prefetch=1)
        async with first, second:
            for n in range(6):
                await bus.publish("orders", "new", {"n": n})
            got = [(await each.receive(timeout=5))["payload"]["n"] for each in (first, second) * 3]
        assert sorted(got) == [0, 1, 2, 3, 4, 5]
    group = bus.group("orders", "new", "billing")
    assert len(group.handled) == 6 and not group.leases and not group.waiting and not group.members


async def test_a_delivery_says_what_it_is(client: ArqonBusClient, bus: DeliveryBus) -> None:
    async with client.subscribe("orders:new", group="billing", manual_ack=True) as orders:
        await bus.publish("orders", "new", {"n": 1})
        message = await orders.receive(timeout=5)
        assert isinstance(message, Delivery) and isinstance(message, dict)
        assert (message.group, message.attempt, message.answered) == ("billing", 1, None)
        assert message.deadline == "2026-01-01T00:00:30.000Z"
        await asyncio.gather(message.extend(), message.extend())
        await message.extend()
        await message.nack(delay_seconds=3, reason="later")
        again = await orders.receive(timeout=5)
        assert (again["payload"], again.attempt) == ({"n": 1}, 2)
        await again.reject("never")
        with pytest.raises(ArqonBusError, match="already answered with reject"):
            await again.ack()
        with pytest.raises(ArqonBusError, match="already answered"):
            await again.extend()
    [(dead, reason)] = bus.group("orders", "new", "billing").dead
    assert (dead["payload"], reason) == ({"n": 1}, "never")
    nack = next(frame for frame in bus.received if frame.get("command") == "delivery.nack")
    assert nack["args"] == {"tokens": [message.token], "delay_seconds": 3, "reason": "later"}


async def test_an_answer_that_comes_too_late_says_so(client: ArqonBusClient, bus: DeliveryBus) -> None:
    async with client.subscribe("orders:new", group="billing", manual_ack=True) as orders:
        for n in range(2):
            await bus.publish("orders", "new", {"n": n})
        stale, other = await orders.receive(timeout=5), await orders.receive(timeout=5)
        await bus.lose(bus.group("orders", "new", "billing"))
        fresh = [await orders.receive(timeout=5) for _ in range(2)]
        # In one command with one that is still held: each gets its own outcome.
        late, done = await asyncio.gather(stale.ack(), fresh[0].ack(), return_exceptions=True)
        assert isinstance(late, LeaseLost) and done is None
        assert late.code == "LEASE_LOST" and late.details["lost"] == [stale.token]
        with pytest.raises(LeaseLost) as told:
            await other.ack()
        assert told.value.details["lost"] == [other.token]


async def test_acks_of_one_moment_are_one_command(client: ArqonBusClient, bus: DeliveryBus) -> None:
    async with client.subscribe("orders:new", group="billing", manual_ack=True) as orders:
        for n in range(10):
            await bus.publish("orders", "new", {"n": n})
        messages = [await orders.receive(timeout=5) for _ in range(10)]
        await asyncio.gather(*(message.ack() for message in messages))
    acks = [frame["args"]["tokens"] for frame in bus.received if frame.get("command") == "delivery.ack"]
    assert acks == [[message.token for message in messages]]


async def test_acks_gather_while_the_one_before_is_on_its_way(client: ArqonBusClient, bus: DeliveryBus) -> None:
    async with client.subscribe("orders:new", group="billing", prefetch=1_000, manual_ack=True) as orders:
        for n in range(601):
            await bus.publish("orders", "new", {"n": n})
        messages = [await orders.receive(timeout=5) for _ in range(601)]
        first = asyncio.create_task(messages[0].ack())
        await asyncio.sleep(0)
        await asyncio.gather(first, *(message.ack() for message in messages[1:]))
    sizes = [len(frame["args"]["tokens"]) for frame in bus.received if frame.get("command") == "delivery.ack"]
    assert sum(sizes) == 601 and max(sizes) == 500 and len(sizes) <= 4
    assert len(bus.group("orders", "new", "billing").handled) == 601


async def test_an_ack_that_is_refused_for_the_rate_is_sent_again(client: ArqonBusClient, bus: DeliveryBus) -> None:
    refused: list[str] = []

    def refuse(args: dict) -> dict:
        refused.extend(args["tokens"])
        del bus.commands["delivery.ack"]
        return {"error_code": "RATE_LIMITED", "retryable": True, "retry_after_ms": 5}

    async with client.subscribe("orders:new", group="billing", manual_ack=True) as orders:
        await bus.publish("orders", "new", {"n": 1})
        message = await orders.receive(timeout=5)
        bus.commands["delivery.ack"] = refuse
        await message.ack()
    assert refused == [message.token] and len(bus.group("orders", "new", "billing").handled) == 1


async def test_a_callback_acknowledges_when_it_is_done_and_gives_back_when_it_raises(
    client: ArqonBusClient, bus: DeliveryBus
) -> None:
    seen: list[tuple[int, int]] = []
    done = asyncio.Event()

    async def bill(message: Delivery) -> None:
        seen.append((message["payload"]["n"], message.attempt))
        if message.attempt == 1 and message["payload"]["n"] == 0:
            raise ValueError("a secret of the handler")
        if len(seen) == 3:
            done.set()

    async with client.subscribe("orders:new", group="billing", on_message=bill) as orders:
        with pytest.raises(ArqonBusError, match="nothing to iterate"):
            await orders.receive()
        await bus.publish("orders", "new", {"n": 0})
        await bus.publish("orders", "new", {"n": 1})
        await asyncio.wait_for(done.wait(), 5)
        await bus.until(lambda: len(bus.group("orders", "new", "billing").handled) == 2)
    assert sorted(seen) == [(0, 1), (0, 2), (1, 1)]
    nack = next(frame for frame in bus.received if frame.get("command") == "delivery.nack")
    assert nack["args"]["reason"] == "ValueError"


async def test_leaving_the_block_acknowledges_the_last_one_and_an_error_gives_it_back(
    client: ArqonBusClient, bus: DeliveryBus
) -> None:
    group = bus.group("orders", "new", "billing")
    await bus.publish("orders", "new", {"n": 0})
    with pytest.raises(RuntimeError):
        async with client.subscribe("orders:new", group="billing") as orders:
            async for _ in orders:
                raise RuntimeError
    assert not group.handled and [attempt > 1 for _, attempt in group.waiting] == [True]
    async with client.subscribe("orders:new", group="billing") as orders:
        async for message in orders:
            assert message["payload"] == {"n": 0}
            break
    assert len(group.handled) == 1 and not group.waiting


async def test_what_was_not_taken_goes_to_others_on_close(client: ArqonBusClient, bus: DeliveryBus) -> None:
    orders = client.subscribe("orders:new", group="billing", prefetch=3)
    await orders.open()
    for n in range(5):
        await bus.publish("orders", "new", {"n": n})
    assert (await orders.receive(timeout=5))["payload"] == {"n": 0}
    await orders.close()
    await orders.close()
    group = bus.group("orders", "new", "billing")
    assert orders.closed and not group.leases and not group.handled and len(group.waiting) == 5
    assert [message async for message in orders] == []


async def test_a_callback_that_closes_its_subscription_is_still_acknowledged(
    client: ArqonBusClient, bus: DeliveryBus
) -> None:
    async def only_one(message: Delivery) -> None:
        await orders.close()

    orders = client.subscribe("orders:new", group="billing", on_message=only_one)
    await orders.open()
    for n in range(3):
        await bus.publish("orders", "new", {"n": n})
    await bus.got("leave_channel")
    group = bus.group("orders", "new", "billing")
    await bus.until(lambda: not group.members)
    assert [event["payload"]["n"] for event in group.handled] == [0]
    assert len(group.waiting) == 2 and not group.leases


async def test_after_a_lost_line_the_group_is_joined_again_with_the_same_prefetch(bus: DeliveryBus) -> None:
    async with ArqonBusClient(bus.url) as client:
        orders = client.subscribe("orders:new", group="billing", prefetch=2, manual_ack=True)
        await orders.open()
        await bus.publish("orders", "new", {"n": 0})
        await bus.publish("orders", "new", {"n": 1})
        held = await orders.receive(timeout=5)
        cut(client)
        await reconnected(bus, client)
        again = [await orders.receive(timeout=5) for _ in range(2)]
        # What lay in the buffer came over the old line: its lease is gone, and it is not handed on.
        assert sorted(message["payload"]["n"] for message in again) == [0, 1]
        assert all(message.attempt > 1 for message in again)
        with pytest.raises(LeaseLost):
            await held.ack()
        await asyncio.gather(*(message.ack() for message in again))
    joins = [frame["args"] for frame in bus.received if frame.get("command") == "join_channel"]
    assert joins == [{"room": "orders", "channel": "new", "group": "billing", "prefetch": 2}] * 2
    assert len(bus.group("orders", "new", "billing").handled) == 2


async def test_draining_finishes_what_is_in_hand_before_it_leaves(bus: DeliveryBus) -> None:
    client = await ArqonBusClient(bus.url).connect()
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def bill(message: Delivery) -> None:
        begun.set()
        await go_on.wait()

    orders = client.subscribe("orders:new", group="billing", on_message=bill)
    await orders.open()
    for n in range(3):
        await bus.publish("orders", "new", {"n": n})
    await asyncio.wait_for(begun.wait(), 5)
    draining = asyncio.create_task(client.drain(timeout=10))
    while not orders._draining:
        await asyncio.sleep(0)
    assert not any(frame.get("command") == "leave_channel" for frame in bus.received)
    go_on.set()
    await draining
    group = bus.group("orders", "new", "billing")
    assert [event["payload"]["n"] for event in group.handled] == [0]
    assert len(group.waiting) == 2 and client.state == "closed"


async def test_a_group_on_a_pattern_takes_every_channel_that_matches(client: ArqonBusClient, bus: DeliveryBus) -> None:
    async with (
        client.subscribe("orders:eu.*", group="billing", manual_ack=True) as many,
        client.subscribe("orders:eu.cz", group="billing", manual_ack=True) as one,
    ):
        await bus.publish("orders", "eu.de", {"n": 1})
        message = await many.receive(timeout=5)
        assert message["channel"] == "eu.de"
        await message.ack()
        await bus.publish("orders", "us.ny", {"n": 2})
        await bus.publish("orders", "eu.cz", {"n": 3})
        assert (await one.receive(timeout=5))["payload"] == {"n": 3}
        with pytest.raises(RequestTimeout):
            await many.receive(timeout=0.01)


async def test_members_get_nothing_but_deliveries_and_plain_subscriptions_no_delivery(
    client: ArqonBusClient, bus: DeliveryBus
) -> None:
    async with client.subscribe("orders:new") as plain, client.subscribe("orders:new", group="billing") as orders:
        await bus.publish("orders", "new", {"n": 1})
        event, delivery = await plain.receive(timeout=5), await orders.receive(timeout=5)
        assert not isinstance(event, Delivery) and isinstance(delivery, Delivery)
        for subscription in (plain, orders):
            with pytest.raises(RequestTimeout):
                await subscription.receive(timeout=0.01)
    welcome = await client.recv_json(timeout=2)
    assert welcome["payload"]["event"] == "welcome"
    with pytest.raises(RequestTimeout):
        await client.recv_json(timeout=0.01)


async def test_a_server_that_hands_out_too_much_is_not_believed(client: ArqonBusClient, bus: DeliveryBus) -> None:
    async with client.subscribe("orders:new", group="billing", prefetch=2, manual_ack=True) as orders:
        group = bus.group("orders", "new", "billing")
        group.members[client.id] = (bus.peers[0], 100)
        for n in range(5):
            await bus.publish("orders", "new", {"n": n})
        await client.ping()
        assert [(await orders.receive(timeout=5))["payload"]["n"] for _ in range(2)] == [0, 1]
        with pytest.raises(RequestTimeout):
            await orders.receive(timeout=0.01)


async def test_what_cannot_be_asked_of_a_group(client: ArqonBusClient, bus: DeliveryBus) -> None:
    with pytest.raises(ArqonBusError, match="only prefetch, manual_ack and on_message"):
        client.subscribe("orders:new", group="billing", since=Position(1, "e"))  # type: ignore[call-overload]
    with pytest.raises(ArqonBusError, match="name the group"):
        client.subscribe("orders:new", manual_ack=True)  # type: ignore[call-overload]
    with pytest.raises(ArqonBusError, match="1 to 1000"):
        client.subscribe("orders:new", group="billing", prefetch=0)
    async with client.subscribe("orders:new", group="billing"):
        with pytest.raises(ArqonBusError, match="a member of the group 'billing' of orders:new already"):
            await client.subscribe("orders:new", group="billing").open()


async def test_a_refused_group_ends_the_iteration_with_the_reason(client: ArqonBusClient, bus: DeliveryBus) -> None:
    bus.commands["join_channel"] = lambda args: {"error_code": "AUTHORIZATION_ERROR", "retryable": False}
    with pytest.raises(ArqonBusError, match="AUTHORIZATION_ERROR"):
        async for _ in client.subscribe("orders:new", group="billing"):
            pass


async def test_a_group_that_may_be_read_no_more_ends(client: ArqonBusClient, bus: DeliveryBus) -> None:
    async with client.subscribe("orders:new", group="billing") as orders:
        await bus.tell({"event": "membership_revoked", "group": "billing"}, room="orders", channel="new")
        with pytest.raises(ArqonBusError, match="no longer allows"):
            await orders.receive(timeout=5)


async def test_a_group_that_was_deleted_ends(client: ArqonBusClient, bus: DeliveryBus) -> None:
    async with client.subscribe("orders:new", group="billing") as orders, client.subscribe("orders:new") as plain:
        gone = {"event": "membership_revoked", "group": "billing", "reason": "deleted"}
        await bus.tell(gone, room="orders", channel="new")
        with pytest.raises(ArqonBusError, match="NOT_FOUND: The group billing of orders:new was deleted"):
            await orders.receive(timeout=5)
        await bus.publish("orders", "new", {"n": 1})
        assert (await plain.receive(timeout=5))["payload"] == {"n": 1}


async def test_a_server_without_groups_is_told_apart_in_one_sentence(client: ArqonBusClient, bus: DeliveryBus) -> None:
    bus.features.remove("groups")
    async with ArqonBusClient(bus.url) as newcomer:
        with pytest.raises(ArqonBusError, match='does not offer "groups"') as told:
            await newcomer.subscribe("orders:new", group="billing").open()
        assert told.value.code == "FEATURE_MISSING"
        with pytest.raises(ArqonBusError, match='"groups"'):
            await newcomer.groups.info("orders:new", "billing")
    assert not any(frame.get("command") in ("join_channel", "group.info") for frame in bus.received)


async def test_the_commands_of_groups(client: ArqonBusClient, bus: DeliveryBus) -> None:
    def sent() -> tuple[str, dict]:
        return bus.received[-1]["command"], bus.received[-1]["args"]

    where = {"room": "orders", "channel": "new", "group": "billing"}
    await client.groups.create("orders:new", "billing", start=Position(7, "e"), max_attempts=3, backoff_seconds=(1, 2))
    start = {"sequence": 7, "epoch": "e"}
    expected = {**where, "start": start, "max_attempts": 3, "backoff_seconds": [1, 2]}
    assert sent() == ("group.create", expected)
    await client.groups.create("orders", "all-of-it")
    assert sent() == ("group.create", {"room": "orders", "channel": "*", "group": "all-of-it"})
    await client.groups.seek("orders:new", "billing", 9)
    assert sent() == ("group.seek", {**where, "sequence": 9})
    for verb in ("info", "pause", "resume", "delete"):
        await getattr(client.groups, verb)("orders:new", "billing")
        assert sent() == (f"group.{verb}", where)
    bus.commands["group.list"] = lambda args: {"groups": [{"group": "billing"}]}
    assert await client.groups.list("orders") == [{"group": "billing"}]
    assert sent()[1] == {"room": "orders"}
    bus.commands["group.retry"] = lambda args: {"retried": 2}
    assert await client.groups.retry("orders:new", "billing", ["arq_1"]) == 2
    bus.commands["group.dead_letters"] = lambda args: {"messages": [], "next": None}
    assert (await client.groups.dead_letters("orders:new", "billing", limit=5))["messages"] == []


async def test_pulled_messages_are_answered_like_others(client: ArqonBusClient, bus: DeliveryBus) -> None:
    group = bus.group("orders", "new", "billing")
    await bus.publish("orders", "new", {"n": 1})
    bus.commands["group.pull"] = lambda args: {"messages": [bus.take(group, None)], "pending": 0}
    [message] = await client.groups.pull("orders:new", "billing", limit=5, wait_ms=99_000)
    assert bus.received[-1]["args"] == {
        "room": "orders",
        "channel": "new",
        "group": "billing",
        "limit": 5,
        "wait_ms": 55_000,
    }
    await message.ack()
    assert len(group.handled) == 1


async def test_an_answer_whose_line_breaks_says_that_its_outcome_is_unknown(bus: DeliveryBus) -> None:
    async with ArqonBusClient(bus.url) as client:
        async with client.subscribe("orders:new", group="billing", manual_ack=True) as orders:
            await bus.publish("orders", "new", {"n": 1})
            message = await orders.receive(timeout=5)
            bus.mute.add("delivery.ack")
            answer = asyncio.create_task(message.ack())
            await bus.got("delivery.ack")
            cut(client)
            with pytest.raises(ArqonBusError) as told:
                await answer
            assert (told.value.code, told.value.retryable) == ("CONNECTION_LOST", True)


@pytest.mark.parametrize("closes_first", [False, True])
async def test_a_client_that_is_closed_on_purpose_warns_of_no_ack(
    bus: DeliveryBus, caplog: pytest.LogCaptureFixture, closes_first: bool
) -> None:
    bus.mute.add("delivery.ack")
    taken, done = asyncio.Event(), asyncio.Event()

    async def handle(message: Delivery) -> None:
        taken.set()
        await done.wait()

    client = ArqonBusClient(bus.url)
    await client.connect()
    orders = client.subscribe("orders:new", group="billing", on_message=handle)
    await orders.open()
    await bus.publish("orders", "new", {"n": 1})
    await taken.wait()
    if closes_first:
        await client.close()
        done.set()
    else:
        done.set()
        await bus.got("delivery.ack")
        await client.close()
    handing = [task for task in asyncio.all_tasks() if task.get_name() == "arqonbus-group"]
    if handing:
        await asyncio.wait(handing, timeout=5)
    await asyncio.sleep(0)
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == []
