"""What comes over the line, and how its end is noticed."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from fake_bus import FakeBus, Refusal
from reading import cut

from arqonbus import ArqonBusClient, ConnectionClosed, Frame, ReconnectPolicy, RequestTimeout

QUICK = ReconnectPolicy(base=0.01, cap=0.05)


async def test_every_frame_is_told_before_anything_is_done_with_it(bus: FakeBus) -> None:
    client = ArqonBusClient(bus.url)
    order: list[str] = []

    @client.on("frame")
    def told(frame: Frame) -> None:
        assert json.loads(frame.text) == frame.envelope
        order.append(f"frame {frame.envelope['payload'].get('event', frame.envelope['type'])}")

    client.on("welcome", lambda payload: order.append("welcome"))
    client.on("notice", lambda envelope: order.append("notice"))
    async with client:
        await client.recv_json(timeout=2)
        await bus.tell({"event": "hello"})
        await client.recv_json(timeout=2)
        await client.send_json({"version": "1.0", "id": "arq_mine", "type": "command", "command": "ping", "args": {}})
        assert (await client.recv_json(timeout=2))["request_id"] == "arq_mine"
    assert order == [
        "frame welcome",
        "welcome",
        "notice",
        "frame hello",
        "notice",
        "frame command_response",
    ]


async def test_a_callback_of_a_frame_holds_the_reading_up(bus: FakeBus) -> None:
    client = ArqonBusClient(bus.url)
    gate = asyncio.Event()
    seen: list[str] = []

    @client.on("frame")
    async def slow(frame: Frame) -> None:
        seen.append(frame.envelope["payload"].get("event", ""))
        if seen[-1] == "one":
            await gate.wait()

    async with client:
        await bus.tell({"event": "one"})
        await bus.tell({"event": "two"})
        await asyncio.sleep(0.05)
        assert seen == ["welcome", "one"]
        gate.set()
        await client.command("anything")
        assert seen[:3] == ["welcome", "one", "two"]


async def test_a_callback_of_a_frame_may_close_the_client(bus: FakeBus) -> None:
    client = ArqonBusClient(bus.url, reconnect=QUICK)
    closed = asyncio.Event()

    @client.on("frame")
    async def close(frame: Frame) -> None:
        if frame.envelope["payload"].get("event") == "stop":
            await client.close()
            closed.set()

    await client.connect()
    await bus.tell({"event": "stop"})
    await asyncio.wait_for(closed.wait(), 5)
    assert client.state == "closed"
    await asyncio.sleep(0.1)
    assert len(bus.queries) == 1


@pytest.mark.parametrize("kind", ["connecting", "open", "reconnecting"])
async def test_closing_from_a_callback_is_final_in_every_state(bus: FakeBus, kind: str) -> None:
    client = ArqonBusClient(bus.url, reconnect=QUICK)
    closed = asyncio.Event()

    @client.on("state")
    async def close(state: str) -> None:
        if state == kind:
            await client.close()
            closed.set()

    try:
        await client.connect()
    except ConnectionClosed:
        assert kind != "reconnecting"
    await bus.close_all(1011)
    await asyncio.wait_for(closed.wait(), 5)
    asked = len(bus.queries)
    await asyncio.sleep(0.2)
    assert client.state == "closed" and len(bus.queries) == asked and not bus.peers
    with pytest.raises(ConnectionClosed):
        await client.connect()


async def test_a_line_that_is_dead_is_found_out_by_a_probe(bus: FakeBus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arqonbus.link._GRACE", 0.05)
    monkeypatch.setattr("arqonbus.link._PROBE_TIME", 0.1)
    bus.limits = {"max_message_bytes": 1_000_000, "ping_interval_ms": 50}
    async with ArqonBusClient(bus.url, reconnect=QUICK) as client:
        lost: list[int | None] = []
        client.on("reconnecting", lambda info: lost.append(info.error.close_code))
        # A line that answers the probe stays.
        await bus.got("ping", 3)
        assert client.state == "open" and lost == []
        bus.mute.add("ping")
        await bus.until(lambda: len(bus.queries) == 2)
        assert lost == [4408]


async def test_a_message_that_takes_long_to_arrive_is_a_sign_of_life(
    bus: FakeBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arqonbus.link._GRACE", 0.05)
    monkeypatch.setattr("arqonbus.link._PROBE_TIME", 0.1)
    bus.limits = {"max_message_bytes": 1_000_000, "ping_interval_ms": 50}
    bus.mute.add("ping")
    bus.mute.add("history")
    async with ArqonBusClient(bus.url, reconnect=QUICK, request_timeout=0.2) as client:
        transport = bus.peers[0].socket.transport
        slow = asyncio.create_task(client.history_page("a:b"))
        (asked,) = await bus.got("history")
        payload = {"messages": [], "filler": "x" * 60_000}
        text = json.dumps(bus.frame("command_response", payload, request_id=asked["id"]))
        frame = b"\x81\x7f" + len(text).to_bytes(8, "big") + text.encode()
        for start in range(0, len(frame), 3_000):
            transport.write(frame[start : start + 3_000])
            await asyncio.sleep(0.04)
        assert (await slow).messages == []
        assert client.state == "open" and len(bus.queries) == 1
        # The server heard of this side meanwhile.
        assert len(await bus.got("ping", 2)) >= 2


async def test_a_page_that_does_not_come_in_time_is_asked_for_in_smaller_ones(
    client: ArqonBusClient, bus: FakeBus
) -> None:
    for n in range(10):
        await bus.publish("a", "b", {"n": n})
    limits: list[int] = []
    answer = bus._history

    def history(args: dict) -> dict:
        limits.append(args["limit"])
        return answer(args)

    bus._history = history  # type: ignore[method-assign]
    bus.mute.add("history")
    reading = asyncio.create_task(all_of(client, timeout=0.1))
    await bus.got("history", 2)
    bus.mute.clear()
    assert await reading == list(range(10))
    assert limits[0] == 7
    bus.mute.add("history")
    with pytest.raises(RequestTimeout):
        await all_of(client, timeout=0.02)


async def all_of(client: ArqonBusClient, timeout: float) -> list[int]:
    return [m["payload"]["n"] async for m in client.history("a:b", timeout=timeout)]


async def test_an_answer_that_has_arrived_is_preferred_to_a_limit_that_ran_out(
    client: ArqonBusClient, bus: FakeBus
) -> None:
    # This process does not run while the answer waits in its socket, and so do the bus and its clients; the answer
    # is on its way already.
    bus.mute.add("ack")
    publishing = asyncio.create_task(client.publish("a:b", {}, timeout=0.2))
    (event,) = await bus.got("event")
    await bus.peers[0].send(bus.frame("ack", {"sequence": 1, "epoch": "e"}, request_id=event["id"]))
    time.sleep(0.5)  # noqa: ASYNC251 (that it blocks is the point)
    assert (await publishing).sequence == 1


async def test_no_frame_is_sent_without_a_line(bus: FakeBus) -> None:
    client = await ArqonBusClient(bus.url, reconnect=ReconnectPolicy(base=60)).connect()
    cut(client)
    with pytest.raises(RequestTimeout):
        await client.send_json({}, timeout=0.05)
    await client.close()


async def test_a_redirect_is_refused_and_nothing_goes_to_where_it_leads(bus: FakeBus) -> None:
    async with FakeBus().running() as elsewhere:
        for status in (301, 302, 307, 308):
            bus.refusals.append(Refusal(status, {"Location": elsewhere.url}))
            with pytest.raises(Exception, match=f"HTTP {status}"):
                await ArqonBusClient(bus.url, token="secret", headers={"Cookie": "session=1"}).connect()
        assert elsewhere.headers == [] and len(bus.headers) == 4

