"""Against the real server: groups, mail, requests, options, waits, presence and leases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta, timezone

import pytest
from reading import cut
from server import RunningServer, require_features, running_server

from arqonbus import (
    ArqonBusClient,
    BusError,
    Delivery,
    Envelope,
    JsonObject,
    LeaseLost,
    NoResponders,
    Position,
    RequestFailed,
    RequestTimeout,
)

pytestmark = pytest.mark.server

Offers = Callable[..., None]


@pytest.fixture
async def client(server: RunningServer, room: str) -> AsyncIterator[ArqonBusClient]:
    async with ArqonBusClient(server.url, subject=f"me-{room}") as connected:
        yield connected


@pytest.fixture
async def offers(client: ArqonBusClient) -> Offers:
    def require(*features: str) -> None:
        require_features(client, features)

    return require


async def test_the_server_says_who_sent_a_message(offers: Offers, client: ArqonBusClient, room: str) -> None:
    offers("options")
    async with client.subscribe(f"{room}:x", echo=True) as messages:
        await client.publish(f"{room}:x", {"n": 1})
        sender = (await messages.receive(timeout=20)).sender
        assert sender is not None and sender.subject == f"me-{room}" and sender.role == "admin"


async def test_options(offers: Offers, client: ArqonBusClient, other: ArqonBusClient, room: str) -> None:
    offers("options")
    async with other.subscribe(f"{room}:x") as messages:
        first = await client.publish(f"{room}:x", {"n": 1}, expect={"sequence": 0})
        await client.publish(f"{room}:x", {"n": 2}, expect={"last_id": first.id})
        with pytest.raises(BusError) as told:
            await client.publish(f"{room}:x", {"n": 3}, expect=Position.of(await messages.receive(timeout=20)))
        assert (told.value.code, told.value.details["sequence"]) == ("CONFLICT", 2)
        gone = await client.publish(f"{room}:x", {"n": 4}, ephemeral=True)
        assert gone.sequence is None and gone.stored == "none"
        later = await client.publish(f"{room}:x", {"n": 99}, delay_seconds=3600)
        assert later.job_id is not None and later.deliver_at is not None
        await client.cron.cancel(later.job_id)
        await client.publish(f"{room}:x", {"n": 5}, delay_seconds=0.2)
        at = datetime.now(timezone.utc) + timedelta(seconds=0.4)
        await client.publish(f"{room}:x", {"n": 6}, deliver_at=at)
        got = [(await messages.receive(timeout=20))["payload"]["n"] for _ in range(4)]
        assert got == [2, 4, 5, 6]
        assert [message["payload"]["n"] async for message in client.history(f"{room}:x")] == [1, 2, 5, 6]


async def test_retained_values(client: ArqonBusClient, other: ArqonBusClient, room: str) -> None:
    rules = [{"match": f"{room}:*", "retain_last": True}]
    before = await client.command("op.rules.get")
    await client.command("op.rules.set", rules=[*before["rules"], *rules], if_version=before["version"])
    for n in (1, 2):
        await client.publish(f"{room}:lamp", {"n": n})
    async with other.subscribe(f"{room}:lamp", last=True) as messages:
        first = await messages.receive(timeout=20)
        assert first["payload"] == {"n": 2} and first["metadata"]["retained"] is True
        await client.publish(f"{room}:lamp", {"n": 3}, clear=True)
        assert (await messages.receive(timeout=20))["payload"] == {"n": 3}
    async with other.subscribe(f"{room}:*", last=True) as messages:
        await client.publish(f"{room}:door", {"n": 4})
        assert (await messages.receive(timeout=20))["payload"] == {"n": 4}


async def test_waiting(offers: Offers, client: ArqonBusClient, other: ArqonBusClient, room: str) -> None:
    offers("wait")
    unborn = await client.wait(f"{room}:x", timeout_ms=50)
    assert (unborn.messages, unborn.recovered) == ([], True)
    await other.publish(f"{room}:x", {"n": 1})
    first = await client.wait(f"{room}:x", since=unborn.position, timeout_ms=30_000)
    assert ([message["payload"] for message in first.messages], first.recovered) == ([{"n": 1}], True)
    empty = await client.wait(f"{room}:x", timeout_ms=50)
    assert empty.messages == [] and empty.position is not None
    waiting = asyncio.create_task(client.wait(f"{room}:x", since=empty.position, timeout_ms=30_000))
    # The same connection is not held up by what waits on it.
    await client.ping(timeout=20)
    await other.publish(f"{room}:x", {"n": 2})
    page = await waiting
    assert [message["payload"] for message in page.messages] == [{"n": 2}]
    assert (page.recovered, isinstance(page.position, Position)) == (True, True)
    all_of_it = await client.wait(f"{room}:x", since=datetime(2020, 1, 1, tzinfo=timezone.utc), timeout_ms=30_000)
    assert [message["payload"]["n"] for message in all_of_it.messages] == [1, 2]


async def test_the_history_of_a_room(offers: Offers, client: ArqonBusClient, room: str) -> None:
    offers("wait")
    for n in range(6):
        await client.publish(f"{room}:{'ab'[n % 2]}", {"n": n})
    await client.publish(room, {"n": 6})
    # What came in one millisecond is in the order of the channels, so only each channel's own order is certain.
    for order in ("oldest-first", "newest-first"):
        got = [message async for message in client.history(room, page_size=2, order=order)]
        for channel, numbers in {"a": [0, 2, 4], "b": [1, 3, 5], "*": [6]}.items():
            own = [message["payload"]["n"] for message in got if message["channel"] == channel]
            assert own == (numbers if order == "oldest-first" else numbers[::-1])
    assert [message["payload"]["n"] async for message in client.history(f"{room}:*")] == [6]
    page = await client.history_page(room, limit=3)
    assert isinstance(page.position, dict) and {"a", "b"} <= page.position.keys()


async def test_presence(offers: Offers, client: ArqonBusClient, server: RunningServer, room: str) -> None:
    offers("presence-state")
    async with client.presence(f"{room}:x", state={"mood": "busy"}) as people:
        assert [(member.client_id, member.state) for member in people.members] == [(client.id, {"mood": "busy"})]
        ada = await ArqonBusClient(server.url, screen_name="Ada").connect()
        shown = await ada.presence(f"{room}:x", state=1).open()
        change = await people.receive(timeout=20)
        assert [(member.client_id, member.state) for member in change.joined] == [(ada.id, 1)]
        assert change.joined[0].sender is not None and change.joined[0].sender.name == "Ada"
        assert {member.client_id for member in shown.members} == {client.id, ada.id}
        await shown.update({"mood": "idle"})
        change = await people.receive(timeout=20)
        assert [member.state for member in change.updated] == [{"mood": "idle"}]
        was = ada.id
        cut(ada)
        change = await people.receive(timeout=20)
        assert [(member.previous_id, member.state) for member in change.updated] == [(was, {"mood": "idle"})]
        assert people.count == 2
        await ada.close()
        change = await people.receive(timeout=20)
        assert [member.cause for member in change.left] == ["left"]
        assert (people.count, len(people.members)) == (1, 1)


async def test_the_presence_of_a_room(offers: Offers, client: ArqonBusClient, server: RunningServer, room: str) -> None:
    offers("presence-state")
    async with client.presence(room) as people:
        assert [(member.client_id, member.channel) for member in people.members] == [(client.id, "*")]
        async with ArqonBusClient(server.url) as ada, ada.presence(f"{room}:x"), ada.presence(f"{room}:y"):
            joined = []
            while len(joined) < 2:
                joined += (await people.receive(timeout=20)).joined
            assert sorted(str(member.channel) for member in joined) == ["x", "y"]
            assert people.count == 2 and len(people.members) == 3
        left = []
        while len(left) < 2:
            left += (await people.receive(timeout=20)).left
        assert people.count == 1 and len(people.members) == 1


async def test_leases(
    offers: Offers, client: ArqonBusClient, other: ArqonBusClient, room: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    offers("leases")
    monkeypatch.setattr("arqonbus.leases._RENEW_AFTER", 1 / 100)
    async with client.leases.acquire([f"{room}/1", f"{room}/2"], ttl_seconds=20) as lease:
        with pytest.raises(BusError) as told:
            await other.leases.acquire(f"{room}/2", ttl_seconds=20)
        assert (told.value.code, told.value.details["key"]) == ("CONFLICT", f"{room}/2")
        waiting = asyncio.ensure_future(other.leases.acquire(f"{room}/2", ttl_seconds=20, wait_ms=30_000)._take())
        before = lease.expires_at

        async def renewed() -> None:
            while lease.expires_at == before:
                await asyncio.sleep(0.02)

        await asyncio.wait_for(renewed(), 20)
        assert lease.held and not waiting.done()
    theirs = await waiting
    assert theirs.token > lease.token and theirs.keys == (f"{room}/2",)
    await client.leases.release(theirs.id)
    with pytest.raises(LeaseLost):
        await theirs.release()


async def test_a_group_works_tasks_off_once_each(
    offers: Offers, client: ArqonBusClient, server: RunningServer, room: str
) -> None:
    offers("groups")
    handled: list[int] = []
    done = asyncio.Event()

    async def work(message: Delivery) -> None:
        handled.append(message["payload"]["n"])
        if len({*handled}) == 60:
            done.set()

    await client.groups.create(f"{room}:tasks", "workers", start="new", ack_wait_seconds=30)
    workers = [await ArqonBusClient(server.url).connect() for _ in range(3)]
    for worker in workers:
        await worker.subscribe(f"{room}:tasks", group="workers", prefetch=4, on_message=work).open()
    # One that takes and never answers: its line breaks.
    idler = await ArqonBusClient(server.url).connect()
    held = idler.subscribe(f"{room}:tasks", group="workers", prefetch=4, manual_ack=True)
    await held.open()
    for n in range(60):
        await client.publish(f"{room}:tasks", {"n": n})
    stale = await held.receive(timeout=20)
    await idler.close()
    await asyncio.wait_for(done.wait(), 30)
    for worker in workers:
        await worker.drain(timeout=20)
    assert sorted(handled) == list(range(60)) and stale["payload"]["n"] in handled
    info = await client.groups.info(f"{room}:tasks", "workers")
    assert (info["pending"], info["unacked"]) == (0, 0)
    with pytest.raises(LeaseLost):
        await client.command("delivery.ack", tokens=[stale.token])


async def test_a_group_survives_a_member_that_stands_still_and_one_that_is_cut_off(
    offers: Offers, client: ArqonBusClient, server: RunningServer, room: str
) -> None:
    offers("groups")
    handled: set[int] = set()
    done, cut_off = asyncio.Event(), asyncio.Event()

    async def work(message: Delivery) -> None:
        await asyncio.sleep(0)
        handled.add(message["payload"]["n"])
        if len(handled) == 50:
            cut_off.set()
        if len(handled) == 300:
            done.set()

    await client.groups.create(f"{room}:tasks", "workers", ack_wait_seconds=1, max_attempts=20, backoff_seconds=[0.05])
    async with (
        ArqonBusClient(server.url) as one,
        ArqonBusClient(server.url) as two,
        ArqonBusClient(server.url) as still,
        still.subscribe(f"{room}:tasks", group="workers", prefetch=4, manual_ack=True) as frozen,
    ):
        for worker in (one, two):
            await worker.subscribe(f"{room}:tasks", group="workers", on_message=work).open()
        for n in range(300):
            await client.publish(f"{room}:tasks", {"n": n}, ack=False)
        stale = await frozen.receive(timeout=20)
        await asyncio.wait_for(cut_off.wait(), 30)
        cut(one)
        await asyncio.wait_for(done.wait(), 60)
        assert handled == {*range(300)}
        with pytest.raises(LeaseLost):
            await stale.ack()


async def test_a_group_gives_up_at_last(offers: Offers, client: ArqonBusClient, room: str) -> None:
    offers("groups")
    await client.groups.create(f"{room}:tasks", "workers", start="all", max_attempts=2, backoff_seconds=[0.05])
    await client.publish(f"{room}:tasks", {"n": 1})
    async with client.subscribe(f"{room}:tasks", group="workers", manual_ack=True) as tasks:
        first = await tasks.receive(timeout=20)
        await first.extend()
        await first.nack(reason="not yet")
        second = await tasks.receive(timeout=20)
        assert (first.attempt, second.attempt, second["payload"]) == (1, 2, {"n": 1})
        await second.nack(delay_seconds=0, reason="never")
        with pytest.raises(RequestTimeout):
            await tasks.receive(timeout=0.3)
    letters = await client.groups.dead_letters(f"{room}:tasks", "workers")
    assert [letter["payload"] for letter in letters["messages"]] == [{"n": 1}]
    assert await client.groups.retry(f"{room}:tasks", "workers") == 1
    [again] = await client.groups.pull(f"{room}:tasks", "workers", wait_ms=20_000)
    await again.ack()
    async with client.subscribe(f"{room}:tasks", group="workers") as tasks:
        await client.groups.delete(f"{room}:tasks", "workers")
        with pytest.raises(BusError, match="NOT_FOUND"):
            await tasks.receive(timeout=20)


async def test_mail(offers: Offers, client: ArqonBusClient, server: RunningServer, room: str) -> None:
    offers("mailboxes", "receipts")
    mail = await client.send(f"@ada-{room}", {"text": "hello"}, receipt=True)
    assert mail.queued == (f"@ada-{room}",) and mail.pending == 1
    async with ArqonBusClient(server.url, subject=f"ada-{room}") as ada, ada.mailbox() as inbox:
        message = await inbox.receive(timeout=20)
        assert message["payload"] == {"text": "hello"}
        assert message.sender is not None and message.sender.subject == f"me-{room}"
    receipt = await mail.handled(timeout=20)
    assert (receipt.stage, receipt.by) == ("handled", f"ada-{room}")


async def test_requests_to_a_channel(offers: Offers, client: ArqonBusClient, other: ArqonBusClient, room: str) -> None:
    offers("groups", "requests")

    def divide(payload: JsonObject, message: Envelope) -> JsonObject:
        if payload["by"] == 0:
            raise RequestFailed("DIVISION_BY_ZERO", "I cannot.")
        return {"result": payload["n"] / payload["by"]}

    with pytest.raises(NoResponders):
        await client.request(f"{room}:divide", {"n": 1, "by": 1}, timeout_ms=20_000)
    service = await other.on_request(f"{room}:divide", divide)
    reply = await client.request(f"{room}:divide", {"n": 6, "by": 2}, timeout_ms=20_000)
    assert reply["payload"] == {"result": 3}
    with pytest.raises(RequestFailed, match="DIVISION_BY_ZERO"):
        await client.request(f"{room}:divide", {"n": 6, "by": 0}, timeout_ms=20_000, ephemeral=True)
    await service.close()


async def test_patterns(offers: Offers, client: ArqonBusClient, other: ArqonBusClient, room: str) -> None:
    offers("patterns")
    async with client.subscribe(f"{room}:eu.*") as messages:
        for n, channel in enumerate(("eu.cz", "us.ny", "eu.de")):
            await other.publish(f"{room}:{channel}", {"n": n})
        assert [(await messages.receive(timeout=20))["payload"]["n"] for _ in range(2)] == [0, 2]
        cut(client)
        for n, channel in enumerate(("eu.cz", "eu.at", "us.ny"), 3):
            await other.publish(f"{room}:{channel}", {"n": n})
        got = {(await messages.receive(timeout=20))["payload"]["n"] for _ in range(2)}
        assert got == {3, 4}
        await other.publish(f"{room}:eu.de", {"n": 6})
        assert (await messages.receive(timeout=20))["payload"] == {"n": 6}


async def test_a_server_that_begins_anew_tells_all_from_the_start(offers: Offers) -> None:
    offers("options")
    with running_server() as fresh:
        resets = []
        async with ArqonBusClient(fresh.url) as reader, ArqonBusClient(fresh.url) as writer:
            async with reader.subscribe("again:x", on_reset=resets.append) as messages:
                await writer.publish("again:x", {"n": 1})
                assert (await messages.receive(timeout=20))["payload"] == {"n": 1}
                fresh.kill()
                fresh.restart()
                async with ArqonBusClient(fresh.url) as quick:
                    for n in (2, 3):
                        await quick.publish("again:x", {"n": n})
                assert [(await messages.receive(timeout=20))["payload"]["n"] for _ in range(2)] == [2, 3]
                assert [reset.reason for reset in resets] == ["new_epoch"]
