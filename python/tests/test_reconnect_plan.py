"""When the client connects again, after how long, and with which token."""

from __future__ import annotations

import pytest
from fake_bus import FakeBus, Refusal
from reading import reconnected

from arqonbus import (
    ArqonBusClient,
    AuthenticationError,
    ConnectError,
    ConnectionClosed,
    ReconnectPolicy,
)
from arqonbus.reconnect import plan_after

FULL = ReconnectPolicy(base=1, cap=30, draw=lambda: 1.0)


@pytest.mark.parametrize("code", [1008, 4403])
async def test_codes_that_forbid_a_reconnect(client: ArqonBusClient, bus: FakeBus, code: int) -> None:
    subscription = client.subscribe("a:b")
    await subscription.open()
    await bus.close_all(code)
    with pytest.raises(ConnectionClosed) as raised:
        await subscription.receive(timeout=5)
    assert raised.value.close_code == code and not raised.value.retryable
    with pytest.raises(ConnectionClosed):
        await client.publish("a:b", {})
    assert client.state == "closed" and len(bus.queries) == 1


@pytest.mark.parametrize(
    ("code", "expected"), [(4408, 0.0), (4429, 1.0), (1009, 1.0), (1011, 1.0), (1001, 1.0), (1000, 1.0)]
)
async def test_how_long_each_code_waits(bus: FakeBus, pauses: list[float], code: int, expected: float) -> None:
    policy = ReconnectPolicy(base=0.5, draw=lambda: 1.0)
    async with ArqonBusClient(bus.url, reconnect=policy) as client:
        await bus.close_all(code)
        await reconnected(bus, client)
    assert pauses == [expected]


async def test_a_shutdown_notice_sets_the_delay(bus: FakeBus, pauses: list[float]) -> None:
    async with ArqonBusClient(bus.url, reconnect=FULL) as client:
        await bus.tell({"event": "shutdown", "reconnect_after_ms": 1_250})
        await bus.close_all(1001)
        await reconnected(bus, client)
    assert pauses == [1.25]


async def test_failures_in_a_row_back_off_up_to_the_cap_and_obey_retry_after(bus: FakeBus, pauses: list[float]) -> None:
    policy = ReconnectPolicy(base=1, cap=8, draw=lambda: 1.0)
    async with ArqonBusClient(bus.url, reconnect=policy) as client:
        bus.refusals += [Refusal(500), Refusal(503, {"Retry-After": "60"}), Refusal(502), Refusal(502)]
        await bus.close_all(4408)
        await reconnected(bus, client, times=5)
    assert pauses == [0.0, 4.0, 60.0, 8.0, 8.0]


async def test_attempts_are_bounded_and_the_last_failure_is_raised(bus: FakeBus, pauses: list[float]) -> None:
    policy = ReconnectPolicy(max_attempts=3)
    async with ArqonBusClient(bus.url, reconnect=policy) as client:
        bus.refusals += [Refusal(500)] * 5
        await bus.close_all(4408)
        await client.recv_json(timeout=5)
        with pytest.raises(ConnectError) as raised:
            await client.recv_json(timeout=5)
        assert raised.value.details["status"] == 500
    assert len(bus.queries) == 3


async def test_without_a_policy_the_first_loss_is_the_end(bus: FakeBus) -> None:
    async with ArqonBusClient(bus.url, reconnect=None) as client:
        await client.recv_json(timeout=5)
        await bus.close_all(4408)
        with pytest.raises(ConnectionClosed):
            await client.recv_json(timeout=5)


async def test_a_fixed_token_that_expires_is_the_end(bus: FakeBus) -> None:
    async with ArqonBusClient(bus.url, token="only") as client:
        assert bus.headers[0]["Authorization"] == "Bearer only"
        await client.recv_json(timeout=5)
        await bus.close_all(4401)
        with pytest.raises(AuthenticationError):
            await client.recv_json(timeout=5)


async def test_a_provider_is_asked_at_every_connection_and_before_expiry(bus: FakeBus, pauses: list[float]) -> None:
    tokens = iter("abcdefgh")

    async def provide() -> str:
        return next(tokens)

    async with ArqonBusClient(bus.url, token=provide, reconnect=FULL) as client:
        await bus.tell({"event": "token_expiring"})
        refresh = await bus.got("refresh_token")
        assert refresh[0]["args"] == {"token": "b"}
        bus.refusals.append(Refusal(401))
        await bus.close_all(4401)
        await reconnected(bus, client, times=2)
    assert [headers["Authorization"] for headers in bus.headers] == ["Bearer a", "Bearer c", "Bearer d"]
    assert pauses[0] == 0.0


async def test_a_provider_whose_tokens_are_all_refused_is_not_asked_for_ever(bus: FakeBus, pauses: list[float]) -> None:
    async with ArqonBusClient(bus.url, token=lambda: "bad") as client:
        await client.recv_json(timeout=5)
        bus.refusals += [Refusal(401)] * 10
        await bus.close_all(4401)
        with pytest.raises(AuthenticationError):
            await client.recv_json(timeout=5)
    assert len(bus.queries) == 4


async def test_a_failing_provider_is_a_connect_error() -> None:
    def provide() -> str:
        raise OSError("vault is sealed")

    with pytest.raises(ConnectError, match="vault is sealed") as raised:
        await ArqonBusClient(token=provide).connect()
    assert raised.value.code == "TOKEN_UNAVAILABLE"


def test_the_delay_is_random_below_a_bound_that_grows_to_the_cap() -> None:
    policy = ReconnectPolicy(base=0.5, cap=30, draw=lambda: 1.0)
    assert [policy.delay(n) for n in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert policy.delay(10_000) == 30
    drawn = [ReconnectPolicy().delay(3) for _ in range(500)]
    assert 0 <= min(drawn) < 1 and 3 < max(drawn) <= 4


def test_the_plans_of_the_protocol() -> None:
    assert plan_after(4401) == "after-refresh"
    assert plan_after(4999) == plan_after(None) == "backoff"
