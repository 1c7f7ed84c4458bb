"""Mailboxes, receipts, and requests to whoever answers them."""

from __future__ import annotations

import asyncio
import gc
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator

import pytest
from fake_delivery import DeliveryBus
from reading import cut

from arqonbus import (
    ArqonBusClient,
    ArqonBusError,
    ConnectionClosed,
    Envelope,
    JsonObject,
    MailboxFull,
    NoResponders,
    Receipt,
    RequestFailed,
    RequestTimeout,
)


@pytest.fixture
async def bus() -> AsyncIterator[DeliveryBus]:
    async with DeliveryBus().running() as running:
        yield running


def token(**claims: str) -> str:
    body = urlsafe_b64encode(str(claims).replace("'", '"').encode()).rstrip(b"=").decode()
    return f"head.{body}.signature"


async def test_mail_waits_for_its_reader_and_its_sender_is_told(client: ArqonBusClient, bus: DeliveryBus) -> None:
    told: list[Receipt] = []
    client.on("receipt", told.append)
    ack = await client.send("@ada", {"text": "hello"}, receipt=True, ttl_seconds=60)
    assert (ack.queued, ack.pending, ack.oldest_ms) == (("@ada",), 1, 5)
    assert bus.received[-1]["options"] == {"receipt": True, "ttl_seconds": 60}
    with pytest.raises(RequestTimeout):
        await ack.handled(timeout=0.01)
    async with ArqonBusClient(bus.url, subject="ada") as ada, ada.mailbox() as mail:
        assert bus.queries[-1]["subject"] == "ada"
        message = await mail.receive(timeout=5)
        assert message["payload"] == {"text": "hello"} and message.group == mail.group == "inbox"
        assert message.sender is not None and message.sender.subject == "writer"
    receipt = await ack.handled(timeout=5)
    assert receipt == Receipt(ack.id, "handled", "ada", 1) == await ack.handled(timeout=5)
    assert told == [receipt]


async def test_a_receipt_that_waited_in_the_mailbox_is_told_once_and_acknowledged(bus: DeliveryBus) -> None:
    told: list[Receipt] = []
    read: list[str] = []
    async with ArqonBusClient(bus.url, subject="bob") as bob:
        bob.on("receipt", told.append)
        ack = await bob.send("@ada", {}, receipt=True)
        inbox = bus.group("@", "bob", "inbox")

        def mail(id: str, payload: JsonObject, sender: str = "arqonbus") -> None:
            message = bus.frame("private", payload, room="@", channel="bob", request_id=ack.id)
            inbox.waiting.append((message | {"id": id, "from": sender}, 1))

        handled = {"stage": "handled", "by": {"subject": "ada"}, "attempts": 2}
        mail("arq_receipt", handled)
        # The answer was lost: it comes again.
        mail("arq_receipt", handled)
        # Whoever writes the same is not the bus, and what the bus writes otherwise is mail.
        mail("arq_forged", handled, "arq_client_eve")
        mail("arq_other", {"text": "hello"})
        async with bob.mailbox(on_message=lambda message: read.append(message["id"])):
            await bus.until(lambda: len(inbox.handled) == 4)
        assert await ack.handled(timeout=5) == Receipt(ack.id, "handled", "ada", 2)
        assert told == [await ack.handled()] and read == ["arq_forged", "arq_other"]


async def test_a_rejected_message_tells_its_sender(client: ArqonBusClient, bus: DeliveryBus) -> None:
    ack = await client.send("@ada", {"text": "hello"}, receipt=True)
    async with ArqonBusClient(bus.url, subject="ada") as ada, ada.mailbox(manual_ack=True) as mail:
        await (await mail.receive(timeout=5)).reject("not for me")
    assert (await ack.handled(timeout=5)).stage == "rejected"


async def test_receipts_are_kept_for_who_wants_them_only(client: ArqonBusClient, bus: DeliveryBus) -> None:
    ack = await client.send("@ada", {"text": "hello"})
    with pytest.raises(ArqonBusError, match="No receipt was asked for"):
        await ack.handled()
    for _ in range(20):
        await client.send("@ada", {"text": "hello"}, receipt=True)
    gc.collect()
    assert len(client._receipts._awaited) == 0
    kept = await client.send("@ada", {"text": "hello"}, receipt=True)
    waiting = asyncio.create_task(kept.handled())
    await asyncio.sleep(0)
    await client.close()
    with pytest.raises(ConnectionClosed):
        await waiting


@pytest.mark.parametrize(
    ("subject", "channel"),
    [("ada", "ada"), ("auth0|ada", "~YXV0aDB8YWRh"), ("ada@example.org", "~YWRhQGV4YW1wbGUub3Jn")],
)
async def test_the_mailbox_is_that_of_the_token(bus: DeliveryBus, subject: str, channel: str) -> None:
    async with ArqonBusClient(bus.url, token=token(sub=subject)) as client, client.mailbox() as mail:
        assert mail.address == f"@:{channel}"


async def test_who_is_nobody_has_no_mailbox(client: ArqonBusClient, bus: DeliveryBus) -> None:
    with pytest.raises(ArqonBusError, match="Only a subject has a mailbox"):
        await client.mailbox().open()
    async with client.mailbox(subject="bob") as mail:
        assert mail.address == "@:bob"
    async with ArqonBusClient(f"{bus.url}/?subject=carl", subject="dora") as other, other.mailbox() as mail:
        assert mail.address == "@:carl" and bus.queries[-1]["subject"] == "carl"


async def test_a_full_mailbox_is_an_error_of_its_own(client: ArqonBusClient, bus: DeliveryBus) -> None:
    with pytest.raises(MailboxFull) as told:
        await client.send("@ada", {"full": True})
    assert told.value.retryable and told.value.command == ""


async def test_a_server_without_mailboxes_is_told_before_anything_is_sent(bus: DeliveryBus) -> None:
    bus.features.remove("mailboxes")
    async with ArqonBusClient(bus.url) as client:
        with pytest.raises(ArqonBusError, match='"mailboxes"'):
            await client.send(["arq_client_1", "@ada"], {"text": "hello"})
        with pytest.raises(ArqonBusError, match='"mailboxes"'):
            await client.mailbox(subject="ada").open()
    assert not bus.received


async def test_a_request_to_a_channel_is_answered_by_one_who_serves_there(
    client: ArqonBusClient, bus: DeliveryBus
) -> None:
    asked: list[str] = []

    async with ArqonBusClient(bus.url) as one, ArqonBusClient(bus.url) as two:

        async def add(payload: JsonObject, message: Envelope) -> JsonObject:
            asked.append(str(message.sender and message.sender.subject))
            return {"sum": sum(payload["numbers"])}

        services = [await one.on_request("calc:add", add), await two.on_request("calc:add", add)]
        replies = await asyncio.gather(
            *(client.request("calc:add", {"numbers": [n, 1]}, timeout_ms=5_000) for n in range(4))
        )
        assert [reply["payload"]["sum"] for reply in replies] == [1, 2, 3, 4]
        assert asked == ["asker"] * 4
        sent = next(frame for frame in bus.received if frame["type"] == "event")
        assert sent["options"] == {"request": {"timeout_ms": 5_000, "group": "serve"}} and sent["ack"] is True
        # What nobody waits for is not handed to the handler, and does not stay.
        await bus.publish("calc", "add", {"numbers": []})
        await bus.until(lambda: len(bus.group("calc", "add", "serve").handled) == 5)
        assert len(asked) == 4
        for service in services:
            await service.close()
        with pytest.raises(NoResponders):
            await client.request("calc:add", {"numbers": []}, timeout_ms=5_000)


async def test_a_handler_that_fails_answers_so_and_is_not_asked_again(client: ArqonBusClient, bus: DeliveryBus) -> None:
    async with ArqonBusClient(bus.url) as service:

        def divide(payload: JsonObject, message: Envelope) -> JsonObject:
            if payload["by"] == 0:
                raise RequestFailed("DIVISION_BY_ZERO", "I cannot.")
            raise ValueError("a secret")

        await service.on_request("calc:divide", divide, group="dividers")
        with pytest.raises(RequestFailed, match="DIVISION_BY_ZERO"):
            await client.request("calc:divide", {"by": 0}, timeout_ms=5_000, group="dividers", ephemeral=True)
        assert next(frame for frame in bus.received if frame["type"] == "event")["options"]["ephemeral"] is True
        with pytest.raises(RequestFailed, match="The request failed"):
            await client.request("calc:divide", {"by": 1}, timeout_ms=5_000, group="dividers")
        await bus.until(lambda: len(bus.group("calc", "divide", "dividers").handled) == 2)


async def test_requests_are_answered_at_the_same_time(client: ArqonBusClient, bus: DeliveryBus) -> None:
    async with ArqonBusClient(bus.url) as service:
        meeting: list[asyncio.Event] = []

        async def meet(payload: JsonObject, message: Envelope) -> None:
            here = asyncio.Event()
            meeting.append(here)
            if len(meeting) == 2:
                for each in meeting:
                    each.set()
            await asyncio.wait_for(here.wait(), 5)

        await service.on_request("calc:meet", meet)
        await asyncio.gather(*(client.request("calc:meet", {}, timeout_ms=5_000) for _ in range(2)))


async def test_the_time_of_a_request_is_told_once(client: ArqonBusClient, bus: DeliveryBus) -> None:
    with pytest.raises(ArqonBusError, match="say the same"):
        await client.request("calc:add", {}, timeout_ms=5, timeout=1)
    bus.group("calc", "add", "serve").members["nobody"] = (bus.peers[0], 0)
    with pytest.raises(RequestTimeout):
        await client.request("calc:add", {}, timeout_ms=20)
    # Longer than a server lets a request wait.
    with pytest.raises(NoResponders):
        await client.request("calc:none", {}, timeout_ms=900_000)
    assert bus.received[-1]["options"]["request"]["timeout_ms"] == 300_000
    with pytest.raises(ArqonBusError, match="give the handler"):
        client.on_request("calc:add")  # type: ignore[call-overload]


async def test_a_request_whose_line_breaks_ends(bus: DeliveryBus) -> None:
    async with ArqonBusClient(bus.url) as client:
        bus.group("calc", "add", "serve").members["nobody"] = (bus.peers[0], 0)
        asking = asyncio.create_task(client.request("calc:add", {}, timeout_ms=5_000))
        await bus.got("event")
        cut(client)
        with pytest.raises(ConnectionClosed):
            await asking


async def test_private_requests_carry_the_mark_and_their_time(client: ArqonBusClient, bus: DeliveryBus) -> None:
    async with ArqonBusClient(bus.url) as service:
        service.on_request(lambda payload, message: {"got": payload["n"]})
        reply = await client.request(service.id, {"n": 1}, timeout_ms=5_000)
        assert reply["payload"] == {"got": 1}
    sent = next(frame for frame in bus.received if frame["type"] == "private")
    assert (sent["metadata"], sent["options"]) == ({"request": True}, {"request": {"timeout_ms": 5_000}})


async def test_draining_answers_the_requests_of_a_channel_first(client: ArqonBusClient, bus: DeliveryBus) -> None:
    service = await ArqonBusClient(bus.url).connect()
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(payload: JsonObject, message: Envelope) -> JsonObject:
        begun.set()
        await go_on.wait()
        return {"done": True}

    await service.on_request("calc:slow", slow)
    asking = asyncio.create_task(client.request("calc:slow", {}, timeout_ms=5_000))
    await asyncio.wait_for(begun.wait(), 5)
    draining = asyncio.create_task(service.drain(timeout=10))
    await asyncio.sleep(0)
    go_on.set()
    assert (await asking)["payload"] == {"done": True}
    await draining
    assert len(bus.group("calc", "slow", "serve").handled) == 1
