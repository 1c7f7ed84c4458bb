"""What tests read from subscriptions, and how they break lines."""

from __future__ import annotations

from fake_bus import FakeBus

from arqonbus import ArqonBusClient, Subscription


async def numbers(subscription: Subscription, count: int) -> list[int]:
    """``payload.n`` of the next ``count`` messages."""
    return [(await subscription.receive(timeout=5))["payload"]["n"] for _ in range(count)]


async def reconnected(bus: FakeBus, client: ArqonBusClient, times: int = 1) -> None:
    """Waits until the client has connected again, for the ``times``-th time, and restored what it had."""
    await bus.until(lambda: len(bus.queries) >= 1 + times and bool(bus.peers))
    await client.command("ping")


def cut(client: ArqonBusClient) -> None:
    """Breaks the line, as a cable that is pulled."""
    connection = client._link._connection
    assert connection is not None
    connection._socket.transport.abort()
