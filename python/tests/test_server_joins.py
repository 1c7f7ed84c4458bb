"""What the server makes a client a member of, or takes it out of, by itself."""

from __future__ import annotations

import asyncio
import json
import urllib.request

import pytest
from reading import cut, numbers
from server import RunningServer

from arqonbus import ArqonBusClient, BusError

pytestmark = pytest.mark.server


async def _administer(server: RunningServer, subject: str, what: str, room: str) -> None:
    def post() -> None:
        request = urllib.request.Request(
            f"{server.http_url}/v1/subjects/{subject}/{what}",
            data=json.dumps({"room": room, "channel": "x"}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert json.load(answer) == {"connections": 1}

    await asyncio.to_thread(post)


async def _notice(client: ArqonBusClient, event: str) -> None:
    while (await client.recv_json(timeout=10))["payload"].get("event") != event:
        pass


async def test_a_join_by_the_server_is_resumed_as_the_clients_own(
    server: RunningServer, other: ArqonBusClient, room: str
) -> None:
    async with ArqonBusClient(server.url, subject=f"ada-{room}") as client:
        reopened = asyncio.Event()
        await _administer(server, f"ada-{room}", "join", room)
        await _notice(client, "joined")
        await other.publish(f"{room}:x", {"n": 1})
        assert (await client.recv_json(timeout=10))["payload"] == {"n": 1}

        @client.on("welcome")
        def back(_: object) -> None:
            reopened.set()

        cut(client)
        await other.publish(f"{room}:x", {"n": 2})
        await asyncio.wait_for(reopened.wait(), 20)
        await other.publish(f"{room}:x", {"n": 3})
        seen = []
        while len(seen) < 2:
            message = await client.recv_json(timeout=10)
            if message["type"] == "event":
                seen.append(message["payload"]["n"])
        assert seen == [2, 3]


async def test_a_membership_that_the_server_ends_is_over(server: RunningServer, room: str) -> None:
    async with ArqonBusClient(server.url, subject=f"ada-{room}") as client:
        async with client.subscribe(f"{room}:x") as subscription:
            await _administer(server, f"ada-{room}", "leave", room)
            with pytest.raises(BusError, match="an administrator ended the membership"):
                await numbers(subscription, 1)
        assert (await client.channel_info(f"{room}:x"))["members"] == []
