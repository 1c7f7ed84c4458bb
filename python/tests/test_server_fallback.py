"""The client behind a proxy that lets no WebSocket through, against the real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from fake_http import Refuser, refuser
from reading import numbers
from server import RunningServer

from arqonbus import ArqonBusClient, ConnectError, ReconnectPolicy

pytestmark = pytest.mark.server
QUICK = ReconnectPolicy(base=0.02, cap=0.2)


@pytest.fixture
def port(server: RunningServer) -> int:
    return urlsplit(server.url).port or 0


@pytest.fixture
async def proxy(port: int) -> AsyncIterator[Refuser]:
    async with refuser(port) as running:
        yield running


@pytest.mark.parametrize("policy", ["refuse", "cut", "ignore"])
async def test_a_client_goes_on_without_a_websocket(port: int, other: ArqonBusClient, room: str, policy: str) -> None:
    async with (
        refuser(port, policy) as proxy,  # type: ignore[arg-type]
        ArqonBusClient(proxy.url, screen_name="Behind", client_type="human", connect_timeout=6) as client,
    ):
        assert proxy.upgrades == 2
        assert client.welcome["session"].startswith("arq_session_")
        async with client.subscribe(f"{room}:x") as subscription:
            await other.publish(f"{room}:x", {"n": 1, "text": "žluťoučký 🐎"})
            message = await subscription.receive(timeout=10)
            assert message["payload"] == {"n": 1, "text": "žluťoučký 🐎"}
            ack = await client.publish(f"{room}:x", {"n": 2})
            assert ack.sequence == 2
            (member,) = (await other.channel_info(f"{room}:x"))["members"]
            assert (member["client_id"], member["screen_name"], member["client_type"]) == (client.id, "Behind", "human")


async def test_the_order_of_what_is_sent_is_kept_and_none_of_it_lost(
    proxy: Refuser, other: ArqonBusClient, room: str
) -> None:
    async with ArqonBusClient(proxy.url) as client, other.subscribe(f"{room}:x") as subscription:
        await asyncio.gather(*(client.publish(f"{room}:x", {"n": n}) for n in range(900)))
        assert await numbers(subscription, 900) == list(range(900))


async def test_it_comes_back_without_a_gap_when_its_line_breaks(
    proxy: Refuser, other: ArqonBusClient, room: str
) -> None:
    async with (
        ArqonBusClient(proxy.url, reconnect=QUICK) as client,
        client.subscribe(f"{room}:x") as subscription,
    ):
        before = proxy.upgrades
        for n in range(30):
            if n % 10 == 5:
                proxy.cut()
            await other.publish(f"{room}:x", {"n": n})
        assert await numbers(subscription, 30) == list(range(30))
        # One attempt is enough now.
        assert before == 2 and proxy.upgrades > before


async def test_the_websocket_is_taken_again_once_one_gets_through(proxy: Refuser) -> None:
    async with ArqonBusClient(proxy.url, reconnect=QUICK) as client:
        assert "session" in client.welcome
        again = asyncio.Event()
        client.on("welcome", lambda payload: again.set())
        proxy.policy = "pass"
        proxy.cut()
        await asyncio.wait_for(again.wait(), 20)
        assert "session" not in client.welcome and proxy.upgrades == 3


async def test_it_ends_after_what_was_still_to_be_sent(proxy: Refuser, other: ArqonBusClient, room: str) -> None:
    async with other.subscribe(f"{room}:x") as subscription:
        client = await ArqonBusClient(proxy.url, screen_name="Leaver").connect()
        await client.join(f"{room}:x")
        own = client.id
        await client.publish(f"{room}:x", {"n": 1}, ack=False)
        await client.close()
        assert await numbers(subscription, 1) == [1]

        async def left() -> None:
            while any(m["client_id"] == own for m in (await other.channel_info(f"{room}:x"))["members"]):
                await asyncio.sleep(0.05)

        await asyncio.wait_for(left(), 20)
    assert client.state == "closed"


async def test_a_message_near_the_bound_of_the_server_is_taken(proxy: Refuser, room: str) -> None:
    async with ArqonBusClient(proxy.url) as client:
        most = client.welcome["limits"]["max_message_bytes"]
        ack = await client.publish(f"{room}:x", {"text": "x" * (most - 1_000)}, timeout=30)
        assert ack.stored == "memory"


async def test_it_goes_nowhere_else_when_it_is_told_not_to(proxy: Refuser) -> None:
    with pytest.raises(ConnectError) as raised:
        await ArqonBusClient(proxy.url, http=False).connect()
    assert raised.value.status == 403 and proxy.upgrades == 1


async def test_it_goes_where_http_is_answered_when_that_is_elsewhere(server: RunningServer) -> None:
    async with refuser(1) as closed, ArqonBusClient(closed.url, http=server.http_url + "/") as client:
        assert client.state == "open" and closed.upgrades == 2


async def test_it_says_what_the_websocket_was_refused_with_when_no_stream_gets_through_either() -> None:
    async with refuser(1) as closed:
        with pytest.raises(ConnectError) as raised:
            await ArqonBusClient(closed.url).connect()
    assert (raised.value.code, raised.value.status) == ("CONNECTION_FAILED", 403)


async def test_ten_failures_where_a_websocket_has_worked(proxy: Refuser) -> None:
    proxy.policy = "pass"
    async with ArqonBusClient(proxy.url, reconnect=QUICK) as client:
        assert "session" not in client.welcome
        again = asyncio.Event()
        client.on("welcome", lambda payload: again.set())
        proxy.policy = "cut"
        proxy.cut()
        await asyncio.wait_for(again.wait(), 30)
        # The first, which worked, ten that failed, and one more, as before every stream.
        assert "session" in client.welcome and proxy.upgrades == 12
