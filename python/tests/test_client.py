from __future__ import annotations

import asyncio

import pytest
from fake_bus import FakeBus, Refusal

from arqonbus import (
    Ack,
    ArqonBusClient,
    ArqonBusError,
    AuthenticationError,
    BusError,
    ConnectError,
    ConnectionClosed,
    RequestFailed,
    RequestTimeout,
)


async def test_the_first_message_is_the_welcome(bus: FakeBus) -> None:
    async with ArqonBusClient(bus.url) as client:
        message = await client.recv_json(timeout=2.0)
        assert message["type"] == "system"
        assert message["payload"]["client_id"] == client.client_id == "arq_client_1"
        assert client.state == "open"
    assert client.state == "closed"


async def test_no_message_in_time_is_a_timeout_error(client: ArqonBusClient) -> None:
    await client.recv_json(timeout=2.0)
    with pytest.raises(TimeoutError):
        await client.recv_json(timeout=0.01)


async def test_the_query_tells_who_the_client_is_and_keeps_the_urls_own(bus: FakeBus) -> None:
    url = f"{bus.url}/?screen_name=from%20url&extra=1"
    async with ArqonBusClient(url, client_type="ai-agent", screen_name="Ada", personality="kind & calm"):
        query = bus.queries[0]
    assert query.pop("client_key").isalnum()
    assert query == {
        "client_type": "ai-agent",
        "screen_name": "from url",
        "personality": "kind & calm",
        "extra": "1",
    }


async def test_publish_answers_with_the_ack(client: ArqonBusClient, bus: FakeBus) -> None:
    ack = await client.publish("science:explore", {"n": 1}, id="arq_mine", metadata={"traceparent": "t"})
    assert ack == Ack("arq_mine", 1, "epoch-1", 0, False, "memory")
    sent = bus.received[0]
    assert (sent["room"], sent["channel"], sent["payload"]) == ("science", "explore", {"n": 1})
    assert sent["metadata"] == {"traceparent": "t"}
    again = await client.publish("science:explore", {"n": 1}, id="arq_mine")
    assert again.duplicate and again.sequence == 1


async def test_a_room_alone_and_no_address_leave_the_resolution_to_the_server(
    client: ArqonBusClient, bus: FakeBus
) -> None:
    await client.publish("science", {})
    await client.publish(None, {})
    assert "channel" not in bus.received[0] and bus.received[0]["room"] == "science"
    assert "room" not in bus.received[1] and "channel" not in bus.received[1]


async def test_a_refused_publish_raises_what_the_server_said(client: ArqonBusClient) -> None:
    with pytest.raises(BusError) as raised:
        await client.publish("science:explore", {"refuse": True})
    error = raised.value
    assert (error.code, error.retryable, error.details) == ("RATE_LIMITED", True, {"retry_after_ms": 5})
    assert str(error) == "RATE_LIMITED: Slow down."


async def test_errors_that_nobody_waits_for_reach_the_callback_and_the_inbox(client: ArqonBusClient) -> None:
    told: asyncio.Queue[BusError] = asyncio.Queue()
    client.on("error", told.put_nowait)
    await client.recv_json(timeout=2.0)
    await client.publish("science:explore", {"refuse": True}, ack=False)
    assert (await asyncio.wait_for(told.get(), 5)).code == "RATE_LIMITED"
    assert (await client.recv_json(timeout=2.0))["error_code"] == "RATE_LIMITED"


async def test_what_is_too_large_or_not_json_is_refused_before_it_is_sent(bus: FakeBus) -> None:
    bus.limits["max_message_bytes"] = 300
    async with ArqonBusClient(bus.url) as client:
        await client.publish("a:b", {"text": "x" * 100})
        for payload in ({"text": "x" * 300}, {"text": "é" * 110}, {"n": float("nan")}, {"b": b"bytes"}):
            with pytest.raises(ArqonBusError) as raised:
                await client.publish("a:b", payload)
            assert raised.value.code in ("INVALID_ARGUMENT", "MESSAGE_TOO_LARGE")
    assert len(bus.received) == 1


async def test_an_id_and_an_address_that_are_none_are_refused_before_anything_is_sent(
    client: ArqonBusClient, bus: FakeBus
) -> None:
    sends = (
        client.publish("a:b", {}, id="x"),
        client.send("sub:ada", {}, id="arq_ä"),
        client.request("sub:ada", {}, id="arq_"),
        client.publish(5, {}),
    )
    for send in sends:
        with pytest.raises(ArqonBusError) as raised:
            await send
        assert raised.value.code == "INVALID_ARGUMENT"
    assert bus.received == []


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({"n": 2**53 + 1}, "payload.n"),
        ({"n": -(2**60)}, "payload.n"),
        ({"list": [1, {"deep": (0, 10**20)}]}, "payload.list[1].deep[1]"),
    ],
)
async def test_integers_that_would_arrive_as_others_are_refused(
    client: ArqonBusClient, bus: FakeBus, payload: dict, field: str
) -> None:
    for send in (client.publish("a:b", payload), client.send("x", payload), client.request("x", payload)):
        with pytest.raises(ArqonBusError, match="send it as a string") as raised:
            await send
        assert (raised.value.code, raised.value.details["field"]) == ("INVALID_ARGUMENT", field)
    with pytest.raises(ArqonBusError, match=r"args\.value is 9007199254740993"):
        await client.store.set("k", 2**53 + 1)
    await client.publish("a:b", {"text": "12345678901234567890", "number": 1e300, "safe": [2**53, -(2**53), True]})
    assert [frame["type"] for frame in bus.received] == ["event"]


async def test_lone_surrogates_and_large_integers_survive(client: ArqonBusClient, bus: FakeBus) -> None:
    payload = {"half": "\ud800", "text": "žluťoučký 🐎", "n": 2**53}
    await client.publish("a:b", payload)
    assert bus.received[0]["payload"] == payload


@pytest.mark.parametrize("address", ["", ":b", "a:", "a b", "_a:b", "a:b:c", "*:b", "a" * 129])
async def test_a_malformed_address_is_refused(client: ArqonBusClient, address: str) -> None:
    with pytest.raises(ArqonBusError) as raised:
        await client.publish(address, {})
    assert raised.value.code == "INVALID_ARGUMENT"
    assert raised.value.details["field"] in ("room", "channel")


async def test_an_answer_too_late_is_a_timeout_and_does_not_surface(client: ArqonBusClient, bus: FakeBus) -> None:
    await client.recv_json(timeout=2.0)
    bus.mute.add("ack")
    with pytest.raises(RequestTimeout) as raised:
        await client.publish("a:b", {}, timeout=0.05)
    late = raised.value.details["id"]
    assert raised.value.retryable
    await bus.peers[0].send(bus.frame("ack", {"sequence": 1, "epoch": "e"}, request_id=late))
    await bus.tell({"event": "after"})
    assert (await client.recv_json(timeout=2.0))["payload"] == {"event": "after"}


async def test_private_messages_requests_and_replies(client: ArqonBusClient, bus: FakeBus) -> None:
    async with ArqonBusClient(bus.url) as service:
        await service.recv_json(timeout=2.0)

        async def serve() -> None:
            question = await service.recv_json(timeout=5.0)
            ack = await service.reply(question, {"sum": question["payload"]["a"] + 1})
            assert ack.delivered == 1

        serving = asyncio.create_task(serve())
        answer = await client.request(service.client_id, {"a": 41})
        assert answer["payload"] == {"sum": 42} and answer["from"] == service.client_id
        await serving
        ack = await client.send([service.client_id, "arq_client_gone"], {"hi": 1})
        assert ack.undelivered == ("arq_client_gone",) and ack.sequence is None
        assert (await service.recv_json(timeout=2.0))["payload"] == {"hi": 1}
    with pytest.raises(BusError) as raised:
        await client.request("arq_client_gone", {})
    assert raised.value.code == "TARGET_NOT_FOUND"


async def test_commands_answer_their_payload_or_raise(client: ArqonBusClient, bus: FakeBus) -> None:
    assert await client.command("anything", a=1) == {"args": {"a": 1}}
    bus.commands["delete_channel"] = lambda args: {"error_code": "CHANNEL_NOT_EMPTY", "retryable": True, "members": 2}
    with pytest.raises(BusError) as raised:
        await client.delete_channel("a:b")
    assert (raised.value.code, raised.value.retryable) == ("CHANNEL_NOT_EMPTY", True)
    assert raised.value.details == {"members": 2}


async def test_history_pages_until_there_is_no_more(client: ArqonBusClient, bus: FakeBus) -> None:
    for n in range(1_203):
        await bus.publish("a", "b", {"n": n})
    assert [m["payload"]["n"] async for m in client.history("a:b", page_size=500)] == list(range(1_203))
    assert len([f for f in bus.received if f["command"] == "history"]) == 3
    assert [m["payload"]["n"] async for m in client.history("a:b", after=1_200)] == [1_200, 1_201, 1_202]
    assert [m["payload"]["n"] async for m in client.history("a:b", limit=2)] == [0, 1]
    newest = client.history("a:b", order="newest-first", limit=5, page_size=2)
    assert [[m["payload"]["n"] for m in page] async for page in newest.pages()] == [[1202, 1201], [1200, 1199], [1198]]
    between = client.history("a:b", after=10, before=14, page_size=2)
    assert [m["payload"]["n"] async for m in between] == [10, 11, 12]
    page = await client.history_page("a:b", limit=2)
    assert [m["payload"]["n"] for m in page.messages] == [1_201, 1_202]


async def test_callbacks_may_be_coroutines_and_their_faults_stay_theirs(
    client: ArqonBusClient, bus: FakeBus, caplog: pytest.LogCaptureFixture
) -> None:
    told: asyncio.Queue[str] = asyncio.Queue()

    @client.on("system")
    async def note(envelope: dict) -> None:
        await told.put(envelope["payload"]["event"])

    def fail(envelope: object) -> None:
        raise ValueError("in a callback")

    client.on("system", fail)
    await bus.tell({"event": "one"})
    assert await asyncio.wait_for(told.get(), 5) == "one"
    assert "in a callback" in caplog.text
    client.off("system", note)
    await bus.tell({"event": "two"})
    await client.recv_json(timeout=2.0)
    assert (await client.recv_json(timeout=2.0))["payload"]["event"] == "one"
    assert (await client.recv_json(timeout=2.0))["payload"]["event"] == "two"
    assert told.empty()
    with pytest.raises(ArqonBusError):
        client.on("nothing", note)


async def test_identify_lasts_over_reconnects(bus: FakeBus) -> None:
    async with ArqonBusClient(bus.url, screen_name="before") as client:
        await client.identify(screen_name="after")
        await bus.close_all(4408)
        await bus.until(lambda: len(bus.queries) == 2)
    assert [query["screen_name"] for query in bus.queries] == ["before", "after"]


async def test_refusals_of_the_handshake(bus: FakeBus) -> None:
    bus.refusals.append(
        Refusal(401, body={"error": "Unauthorized", "error_code": "AUTHENTICATION_FAILED", "details": "token expired"})
    )
    with pytest.raises(AuthenticationError) as refused:
        await ArqonBusClient(bus.url, token="t").connect()
    assert refused.value.code == "AUTHENTICATION_FAILED" and not refused.value.retryable
    assert "token expired" in str(refused.value)
    bus.refusals.append(Refusal(503, {"Retry-After": "7"}))
    with pytest.raises(ConnectError) as full:
        await ArqonBusClient(bus.url).connect()
    assert full.value.retryable and full.value.details["status"] == 503 and full.value.details["retry_after"] == 7
    bus.refusals.append(Refusal(403))
    with pytest.raises(ConnectError) as origin:
        await ArqonBusClient(bus.url, http=False).connect()
    assert not origin.value.retryable


@pytest.mark.parametrize("url", ["ws://127.0.0.1:1", "http://127.0.0.1:1", "ws://[bad", "nonsense"])
async def test_where_no_bus_is(url: str) -> None:
    client = ArqonBusClient(url)
    with pytest.raises(ConnectError) as raised:
        await client.connect()
    assert raised.value.code == "CONNECTION_FAILED"
    assert client.state == "idle"


async def test_a_client_that_is_not_connected_says_so(bus: FakeBus) -> None:
    client = ArqonBusClient(bus.url)
    with pytest.raises(ConnectionClosed, match="not connected yet"):
        await client.publish("a:b", {})
    await client.connect()
    await client.close()
    await client.close()
    for use in (client.publish("a:b", {}), client.ping(), client.send_json({})):
        with pytest.raises(ConnectionClosed, match="closed"):
            await use
    await client.recv_json(timeout=2.0)
    with pytest.raises(ConnectionClosed):
        await client.recv_json(timeout=2.0)
    with pytest.raises(ConnectionClosed) as raised:
        await client.connect()
    assert raised.value.code == "CLOSED"


async def test_closing_ends_what_waits(client: ArqonBusClient, bus: FakeBus) -> None:
    bus.mute.add("ping")
    waiting = asyncio.create_task(client.ping())
    await bus.got("ping")
    await client.close()
    with pytest.raises(ConnectionClosed):
        await waiting


async def test_a_request_that_failed_says_so(bus: FakeBus) -> None:
    async with ArqonBusClient(bus.url) as client, ArqonBusClient(bus.url) as service:

        async def refuse() -> None:
            message = await service.recv_json(timeout=5)
            while message["type"] != "private":
                message = await service.recv_json(timeout=5)
            assert message["metadata"]["request"] is True
            failure = {"error": "No such thing.", "error_code": "NOT_FOUND", "what": "it"}
            answer = {"request_id": message["id"], "payload": failure, "metadata": {"failed": True}}
            await service.send_json({"id": "arq_reply", "type": "private", "to": message["from"], **answer})

        refusing = asyncio.create_task(refuse())
        with pytest.raises(RequestFailed, match="No such thing") as refused:
            await client.request(service.client_id, {"a": 1}, timeout=5)
        await refusing
        assert refused.value.code == "NOT_FOUND"
        assert refused.value.details == {"what": "it"}
