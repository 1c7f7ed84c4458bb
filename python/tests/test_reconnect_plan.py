"""When the client connects again, after how long, and with which token."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from fake_bus import FakeBus, Refusal
from reading import reconnected

from arqonbus import (
    ArqonBusClient,
    ArqonBusError,
    AuthenticationError,
    BusError,
    ConnectError,
    ConnectionClosed,
    Reconnecting,
    ReconnectPolicy,
    RequestTimeout,
)
from arqonbus.addresses import Addresses
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


@pytest.mark.parametrize("code", [1000, 1001, 1009, 1011, 4401, 4408, 4429])
async def test_every_code_waits_a_random_time(bus: FakeBus, pauses: list[float], code: int) -> None:
    draws = iter([0.3, 0.9])
    policy = ReconnectPolicy(base=0.5, draw=lambda: next(draws))
    async with ArqonBusClient(bus.url, reconnect=policy, token=lambda: "fresh") as client:
        await bus.close_all(code)
        await reconnected(bus, client)
    assert pauses == [0.15]


async def test_a_shutdown_notice_sets_the_delay(bus: FakeBus, pauses: list[float]) -> None:
    async with ArqonBusClient(bus.url, reconnect=FULL) as client:
        await bus.tell({"event": "shutdown", "reconnect_after_ms": 1_250})
        await bus.close_all(1001)
        await reconnected(bus, client)
    assert pauses == [1.25]


async def test_failures_in_a_row_back_off_up_to_the_cap_and_obey_retry_after(bus: FakeBus, pauses: list[float]) -> None:
    policy = ReconnectPolicy(base=1, cap=8, draw=lambda: 1.0)
    async with ArqonBusClient(bus.url, reconnect=policy) as client:
        bus.refusals += [Refusal(500), Refusal(503, {"Retry-After": "3"}), Refusal(502), Refusal(502)]
        await bus.close_all(4408)
        await reconnected(bus, client, times=5)
    assert pauses == pytest.approx([1.0, 2.0, 7.0, 8.0, 8.0], abs=0.5)


async def test_no_wait_is_longer_than_the_cap_whatever_the_server_asks_for(bus: FakeBus, pauses: list[float]) -> None:
    policy = ReconnectPolicy(base=0.1, cap=0.5, draw=lambda: 1.0)
    async with ArqonBusClient(bus.url, reconnect=policy) as client:
        bus.refusals += [Refusal(503, {"Retry-After": "86400"})]
        await bus.tell({"event": "shutdown", "reconnect_after_ms": 86_400_000})
        await bus.close_all(1001)
        await reconnected(bus, client, times=2)
    assert pauses == [0.5, 0.5]


@pytest.mark.parametrize("status", [302, 400, 403, 404, 410, 426, 500, 502, 503])
async def test_what_a_proxy_answers_is_a_pause_once_it_has_worked(
    bus: FakeBus, pauses: list[float], status: int
) -> None:
    async with ArqonBusClient(bus.url) as client:
        bus.refusals += [Refusal(status)] * 5
        await bus.close_all(1011)
        await reconnected(bus, client, times=6)
        assert client.state == "open" and len(pauses) == 6


@pytest.mark.parametrize("status", [302, 403, 404])
async def test_what_a_first_connection_is_refused_with_is_the_answer(bus: FakeBus, status: int) -> None:
    bus.refusals += [Refusal(status), Refusal(status)]
    client = ArqonBusClient(bus.url, http=False)
    for options in ({}, {"retry": True}):
        with pytest.raises(ConnectError) as raised:
            await client.connect(**options)
        assert raised.value.status == status and client.state == "idle"
    await client.connect()
    assert client.connected
    await client.close()


async def test_a_bus_that_is_not_there_yet_is_waited_for(bus: FakeBus, pauses: list[float]) -> None:
    bus.refusals += [Refusal(503)] * 3
    told: list[Reconnecting] = []
    client = ArqonBusClient(bus.url)
    client.on("reconnecting", told.append)
    await client.connect(retry=True, timeout=5)
    assert client.state == "open" and [info.attempt for info in told] == [1, 2, 3]
    await client.close()


async def test_waiting_for_a_bus_ends_in_time(bus: FakeBus) -> None:
    bus.refusals += [Refusal(503)] * 1_000
    client = ArqonBusClient(bus.url, reconnect=ReconnectPolicy(base=0.01, cap=0.01))
    with pytest.raises(RequestTimeout):
        await client.connect(retry=True, timeout=0.1)
    assert client.state == "idle"
    bus.refusals.clear()
    await client.connect()
    await client.close()


async def test_several_addresses_are_tried_one_after_the_other(bus: FakeBus, pauses: list[float]) -> None:
    nowhere = "ws://127.0.0.1:1"
    policy = ReconnectPolicy(base=1, draw=lambda: 1.0)
    async with ArqonBusClient([nowhere, bus.url], reconnect=policy) as client:
        assert pauses == [0.0]
        await bus.close_all(1011)
        await reconnected(bus, client, times=1)
        assert pauses == [0.0, 1.0, 2.0]
    with pytest.raises(ConnectError, match=r"ws://127\.0\.0\.1:2"):
        await ArqonBusClient([nowhere, "ws://127.0.0.1:2"]).connect()
    with pytest.raises(ArqonBusError):
        ArqonBusClient([])


@pytest.mark.parametrize(("draw", "other"), [(0.0, 1), (0.49, 1), (0.51, 2), (0.99, 2)])
async def test_a_lost_connection_moves_on_to_any_of_the_others(draw: float, other: int) -> None:
    addresses = Addresses(["ws://a", "ws://b", "ws://c"])
    addresses.move_on(lambda: draw)
    assert addresses.current == ["ws://a", "ws://b", "ws://c"][other]
    addresses.move_on()
    assert addresses.current == ["ws://a", "ws://b", "ws://c"][(other + 1) % 3]


async def test_what_one_address_asks_for_holds_up_no_other() -> None:
    addresses = Addresses(["ws://a", "ws://b", "ws://c"])
    addresses.bar(60)
    addresses.move_on()
    assert (addresses.current, addresses.wait) == ("ws://b", 0)
    addresses.move_on()
    addresses.move_on()
    # The first is left alone, though its turn has come.
    assert (addresses.current, addresses.wait) == ("ws://b", 0)
    addresses.bar(30)
    addresses.move_on()
    addresses.bar(90)
    addresses.move_on()
    assert addresses.current == "ws://b" and 25 < addresses.wait <= 30
    alone = Addresses(["ws://a"])
    alone.bar(5)
    alone.move_on(lambda: 0.5)
    assert alone.current == "ws://a" and 0 < alone.wait <= 5


async def test_attempts_are_bounded_and_the_last_failure_is_raised(bus: FakeBus, pauses: list[float]) -> None:
    policy = ReconnectPolicy(max_attempts=3)
    async with ArqonBusClient(bus.url, reconnect=policy) as client:
        bus.refusals += [Refusal(500)] * 5
        await bus.close_all(4408)
        await client.recv_json(timeout=5)
        with pytest.raises(ConnectError) as raised:
            await client.recv_json(timeout=5)
        assert raised.value.status == 500
    assert len(bus.queries) == 1 + 3


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


async def test_a_function_is_asked_again_when_its_token_was_refused_or_has_expired(
    bus: FakeBus, pauses: list[float]
) -> None:
    tokens = iter("abcdefgh")

    async def provide() -> str:
        return next(tokens)

    async with ArqonBusClient(bus.url, token=provide, reconnect=FULL) as client:
        await bus.close_all(1011)
        await reconnected(bus, client, times=1)
        bus.refusals.append(Refusal(401))
        await bus.close_all(4401)
        await reconnected(bus, client, times=3)
    assert [headers["Authorization"] for headers in bus.headers] == ["Bearer a", "Bearer a", "Bearer b", "Bearer c"]


async def test_a_token_that_was_given_long_ago_is_renewed_once_for_each_notice(bus: FakeBus) -> None:
    tokens = iter("abcdefgh")
    async with ArqonBusClient(bus.url, token=lambda: next(tokens)) as client:
        client._tokens.given_at -= 3_540
        for _ in range(3):
            await bus.tell({"event": "token_expiring", "expires_in_ms": 100})
        refresh = await bus.got("refresh_token")
        await client.command("anything")
        assert [frame["args"] for frame in refresh] == [{"token": "b"}]
        assert len([frame for frame in bus.received if frame.get("command") == "refresh_token"]) == 1
        await bus.close_all(1011)
        await reconnected(bus, client)
    assert bus.headers[-1]["Authorization"] == "Bearer b"


async def test_a_short_token_is_renewed_at_half_of_its_life_however_early_the_notice_comes(bus: FakeBus) -> None:
    asked: list[float] = []
    loop = asyncio.get_running_loop()

    def provide() -> str:
        asked.append(loop.time())
        return f"token-{len(asked)}"

    async with ArqonBusClient(bus.url, token=provide) as client:

        async def notice() -> None:
            # As a server does that tells of a short token at once, the next one's with the answer to the renewal.
            for count in range(1, 5):
                await bus.tell({"event": "token_expiring", "expires_in_ms": 400})
                await bus.got("refresh_token", count)

        await asyncio.wait_for(notice(), 5)
        assert client.state == "open"
    waits = [later - earlier for earlier, later in pairwise(asked)]
    assert len(waits) >= 4 and all(0.15 < wait < 0.4 for wait in waits[:4])


async def test_a_function_that_has_no_other_token_yet_or_fails_is_asked_again(
    bus: FakeBus, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    waits: list[float] = []
    real_sleep = asyncio.sleep

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await real_sleep(0)

    answers = iter(["cached", "cached", OSError("vault is sealed"), "new"])

    def provide() -> str:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    async with ArqonBusClient(bus.url, token=provide) as client:
        client._tokens.given_at -= 3_540
        monkeypatch.setattr("arqonbus.tokens.asyncio.sleep", sleep)
        await bus.tell({"event": "token_expiring", "expires_in_ms": 60_000})
        refresh = await bus.got("refresh_token")
        monkeypatch.undo()
        assert refresh[0]["args"] == {"token": "new"}
    assert len(waits) == 3 and all(wait >= 1 for wait in waits[1:])
    assert "vault is sealed" in caplog.text


async def test_a_token_that_is_renewed_by_hand_ends_what_it_no_longer_allows(bus: FakeBus) -> None:
    async with ArqonBusClient(bus.url, token="only") as client:
        kept, lost = client.subscribe("a:kept"), client.subscribe("a:lost")
        await kept.open()
        await lost.open()
        bus.commands["refresh_token"] = lambda args: {"role": "user", "expires_at": None, "left": ["a:lost"]}
        assert (await client.refresh_token("other"))["role"] == "user"
        with pytest.raises(BusError) as raised:
            await lost.receive(timeout=5)
        assert raised.value.code == "AUTHORIZATION_ERROR" and not kept.closed
        await bus.close_all(1011)
        await bus.until(lambda: len(bus.queries) == 2)
    assert bus.headers[-1]["Authorization"] == "Bearer other"
    with pytest.raises(ArqonBusError):
        await ArqonBusClient(bus.url).refresh_token()


async def test_a_function_whose_tokens_are_all_refused_is_asked_as_long_as_the_policy_allows(
    bus: FakeBus, pauses: list[float]
) -> None:
    policy = ReconnectPolicy(max_attempts=4)
    async with ArqonBusClient(bus.url, token=lambda: "bad", reconnect=policy) as client:
        await client.recv_json(timeout=5)
        bus.refusals += [Refusal(401)] * 10
        await bus.close_all(4401)
        with pytest.raises(AuthenticationError):
            await client.recv_json(timeout=5)
    assert len(bus.queries) == 1 + 4


async def test_a_failing_provider_is_a_connect_error() -> None:
    def provide() -> str:
        raise OSError("vault is sealed")

    with pytest.raises(ConnectError, match="vault is sealed") as raised:
        await ArqonBusClient(token=provide).connect()
    assert raised.value.code == "TOKEN_FAILED"


def test_the_delay_is_random_below_a_bound_that_grows_to_the_cap() -> None:
    policy = ReconnectPolicy(base=0.5, cap=30, draw=lambda: 1.0)
    assert [policy.delay(n) for n in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert policy.delay(10_000) == 30
    drawn = [ReconnectPolicy().delay(3) for _ in range(500)]
    assert 0 <= min(drawn) < 0.5 and 1.5 < max(drawn) <= 2


def test_the_plans_of_the_protocol() -> None:
    assert plan_after(4401) == "after-refresh"
    assert plan_after(4999) == plan_after(None) == "backoff"
