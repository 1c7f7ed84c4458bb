"""Leases: taken, renewed, lost and given back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fake_bus import FakeBus, Frame
from fake_delivery import FEATURES
from reading import cut

from arqonbus import ArqonBusClient, ArqonBusError, BusError, Lease, LeaseLost


class LeaseBus(FakeBus):
    def __init__(self) -> None:
        super().__init__()
        self.features = [*FEATURES]
        self.held: dict[str, Frame] = {}
        self.busy = 0
        self.renewals = 0
        self.commands = {
            "op.lease.acquire": self.acquire,
            "op.lease.renew": self.renew,
            "op.lease.release": self.release,
            "op.lease.list": lambda args: {"leases": [*self.held.values()], "count": len(self.held)},
        }

    def acquire(self, args: Frame) -> Frame:
        if self.busy:
            self.busy -= 1
            return {"error_code": "CONFLICT", "key": args["keys"][0], "expires_at": "t", "retryable": True}
        id = f"lease-{len(self.held) + 1}"
        self.held[id] = {"lease_id": id, "token": 7, "expires_at": "soon", "keys": args["keys"]}
        return self.held[id]

    def renew(self, args: Frame) -> Frame:
        self.renewals += 1
        if args["lease_id"] not in self.held:
            return {"error_code": "LEASE_LOST"}
        return {**self.held[args["lease_id"]], "expires_at": f"later-{self.renewals}"}

    def release(self, args: Frame) -> Frame:
        if self.held.pop(args["lease_id"], None) is None:
            return {"error_code": "LEASE_LOST"}
        return {"released": True, "lease_id": args["lease_id"]}

    def asked(self, name: str) -> list[Frame]:
        return [frame["args"] for frame in self.received if frame.get("command") == f"op.lease.{name}"]


@pytest.fixture
async def bus() -> AsyncIterator[LeaseBus]:
    async with LeaseBus().running() as running:
        yield running


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases of half a minute are renewed after a tenth of a second: a slow machine does not lose them."""
    monkeypatch.setattr("arqonbus.leases._RENEW_AFTER", 1 / 300)


async def test_a_lease_is_held_in_the_block_and_released_after_it(client: ArqonBusClient, bus: LeaseBus) -> None:
    async with client.leases.acquire(["jobs/1", "jobs/2"], ttl_seconds=30, keep=True, namespace="n") as lease:
        assert (lease.id, lease.token, lease.expires_at, lease.keys) == (
            "lease-1",
            7,
            "soon",
            ("jobs/1", "jobs/2"),
        )
        assert lease.held
        assert await client.leases.list() == [bus.held["lease-1"]]
    assert not lease.held and not bus.held
    expected = {"keys": ["jobs/1", "jobs/2"], "ttl_seconds": 30, "keep": True, "namespace": "n"}
    assert bus.asked("acquire") == [expected]
    await lease.release()
    assert len(bus.asked("release")) == 1


async def test_it_is_renewed_by_itself(soon: None, client: ArqonBusClient, bus: LeaseBus) -> None:
    async with client.leases.acquire("jobs/1", ttl_seconds=30) as lease:
        await bus.until(lambda: bus.renewals >= 3)
        await client.ping()
        assert lease.held and lease.expires_at.startswith("later-")
    assert bus.asked("renew")[0] == {"lease_id": "lease-1", "ttl_seconds": 30}


async def test_it_can_be_renewed_for_longer(client: ArqonBusClient, bus: LeaseBus) -> None:
    async with client.leases.acquire("jobs/1", ttl_seconds=30) as lease:
        await lease.renew(ttl_seconds=300)
        assert bus.asked("renew") == [{"lease_id": "lease-1", "ttl_seconds": 300}]
        assert lease.expires_at == "later-1"
        bus.held.clear()
        with pytest.raises(LeaseLost):
            await lease.renew()
        bus.held["lease-1"] = {}


async def test_one_that_the_server_has_ended_is_lost(client: ArqonBusClient, bus: LeaseBus) -> None:
    with pytest.raises(LeaseLost, match="jobs/1"):
        async with client.leases.acquire("jobs/1", ttl_seconds=0.1) as lease:
            bus.held.clear()
            await asyncio.wait_for(lease.lost(), 5)
            assert not lease.held
    with pytest.raises(ZeroDivisionError):
        async with client.leases.acquire("jobs/1", ttl_seconds=0.1) as lease:
            bus.held.clear()
            await asyncio.wait_for(lease.lost(), 5)
            raise ZeroDivisionError


async def test_one_that_cannot_be_renewed_in_time_is_lost(client: ArqonBusClient, bus: LeaseBus) -> None:
    bus.mute.add("op.lease.renew")
    with pytest.raises(LeaseLost):
        async with client.leases.acquire("jobs/1", ttl_seconds=0.1) as lease:
            await asyncio.wait_for(lease.lost(), 5)


async def test_a_refusal_that_may_pass_is_not_a_lost_lease(soon: None, client: ArqonBusClient, bus: LeaseBus) -> None:
    refusals = [{"error_code": "STORAGE_UNAVAILABLE", "retryable": True}]
    renew = bus.commands["op.lease.renew"]
    bus.commands["op.lease.renew"] = lambda args: refusals.pop() if refusals else renew(args)
    async with client.leases.acquire("jobs/1", ttl_seconds=30) as lease:
        await bus.until(lambda: bus.renewals >= 1)
        await client.ping()
        assert lease.held and lease.expires_at.startswith("later-") and not refusals


async def test_a_lost_line_is_not_a_lost_lease(soon: None, bus: LeaseBus) -> None:
    async with ArqonBusClient(bus.url) as client, client.leases.acquire("jobs/1", ttl_seconds=30, keep=True) as lease:
        cut(client)
        await bus.until(lambda: bus.renewals >= 1)
        await client.ping()
        assert len(bus.queries) == 2 and lease.held and lease.expires_at.startswith("later-")


async def test_keys_of_others_are_a_conflict_unless_one_can_wait(
    client: ArqonBusClient, bus: LeaseBus
) -> None:
    bus.busy = 1
    with pytest.raises(BusError) as told:
        await client.leases.acquire("jobs/1")
    assert (told.value.code, told.value.details["key"]) == ("CONFLICT", "jobs/1")
    # A refusal that comes sooner than the time that it was given is one for good.
    bus.busy = 1
    with pytest.raises(BusError, match="CONFLICT"):
        await client.leases.acquire("jobs/1", wait_ms=9_000)
    lease = await client.leases.acquire("jobs/1", wait_ms=99_000)
    assert isinstance(lease, Lease)
    assert bus.asked("acquire")[-1]["wait_ms"] == 55_000
    await lease.release()


async def test_a_long_wait_is_asked_for_in_parts(
    client: ArqonBusClient, bus: LeaseBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arqonbus.leases.MAX_WAIT_MS", 20)
    answered = bus._command
    waits: list[int] = []

    async def late(peer: Any, frame: Frame) -> None:
        if frame["command"] == "op.lease.acquire":
            waits.append(frame["args"]["wait_ms"])
            await asyncio.sleep(frame["args"]["wait_ms"] / 1_000)
        await answered(peer, frame)

    monkeypatch.setattr(bus, "_command", late)
    bus.busy = 2
    async with client.leases.acquire("jobs/1", wait_ms=5_000) as lease:
        assert lease.held and waits == [20, 20, 20]


async def test_what_is_no_lease(client: ArqonBusClient, bus: LeaseBus) -> None:
    with pytest.raises(ArqonBusError, match="names no key"):
        client.leases.acquire([])
    with pytest.raises(LeaseLost):
        await client.leases.renew("lease-9", ttl_seconds=5)
    with pytest.raises(LeaseLost):
        await client.leases.release("lease-9")
    bus.features.remove("leases")
    async with ArqonBusClient(bus.url) as newcomer:
        with pytest.raises(ArqonBusError, match='"leases"'):
            await newcomer.leases.acquire("jobs/1")


async def test_closing_the_client_ends_its_leases(bus: LeaseBus) -> None:
    client = await ArqonBusClient(bus.url).connect()
    lease = await client.leases.acquire("jobs/1", ttl_seconds=0.1)
    await client.close()
    await asyncio.wait_for(lease.lost(), 5)
    with pytest.raises(LeaseLost):
        await lease.release()
