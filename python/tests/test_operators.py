"""What the operator objects put on the wire and make of the answers."""

from __future__ import annotations

from fake_bus import FakeBus

from arqonbus import ArqonBusClient, StoreEntry


def sent(bus: FakeBus) -> tuple[str, dict]:
    return bus.received[-1]["command"], bus.received[-1]["args"]


async def test_store(client: ArqonBusClient, bus: FakeBus) -> None:
    bus.commands["op.store.set"] = lambda args: {"version": 3, "updated": True}
    assert await client.store.set("k", {"v": None}, ttl_seconds=5, if_version=0) == 3
    assert sent(bus) == ("op.store.set", {"key": "k", "value": {"v": None}, "ttl_seconds": 5, "if_version": 0})
    bus.commands["op.store.get"] = lambda args: {"found": True, "value": 1, "version": 2, "expires_at": "t"}
    assert await client.store.get("k", namespace="n") == StoreEntry(1, 2, "t")
    assert sent(bus) == ("op.store.get", {"key": "k", "namespace": "n"})
    bus.commands["op.store.get"] = lambda args: {"found": False}
    assert await client.store.get("k") is None
    bus.commands["op.store.list"] = lambda args: {"keys": ["a", "b"], "count": 2}
    assert await client.store.keys("p", limit=2, after="a") == ["a", "b"]
    assert sent(bus) == ("op.store.list", {"limit": 2, "prefix": "p", "after": "a"})
    pages = {None: {"keys": ["a", "b"], "next": "b"}, "b": {"keys": ["c"]}}
    bus.commands["op.store.list"] = lambda args: {**pages[args.get("after")], "count": 2}
    assert [key async for key in client.store.keys("p")] == ["a", "b", "c"]
    page = await client.store.list("p", limit=2)
    assert (page.keys, page.next, page.entries) == (["a", "b"], "b", {})
    entry = {"key": "a", "value": {"v": 1}, "version": 4, "expires_at": "t"}
    bus.commands["op.store.list"] = lambda args: {"keys": ["a"], "entries": [entry], "count": 1}
    page = await client.store.list("p", values=True)
    assert sent(bus)[1] == {"limit": 100, "prefix": "p", "values": True}
    assert page.entries == {"a": StoreEntry({"v": 1}, 4, "t")}
    bus.commands["op.store.delete"] = lambda args: {"deleted": False}
    assert await client.store.delete("k", if_version=2) is False


async def test_cron(client: ArqonBusClient, bus: FakeBus) -> None:
    bus.commands["op.cron.schedule"] = lambda args: {"job_id": "j"}
    assert await client.cron.schedule("a:b", {"n": 1}, cron="* * * * *", timezone="UTC") == {"job_id": "j"}
    expected = {"room": "a", "channel": "b", "payload": {"n": 1}, "cron": "* * * * *", "timezone": "UTC"}
    assert sent(bus) == ("op.cron.schedule", expected)
    await client.cron.schedule("a", {}, interval_seconds=1, repeat_count=0)
    assert sent(bus)[1] == {"room": "a", "payload": {}, "interval_seconds": 1, "repeat_count": 0}
    bus.commands["op.cron.list"] = lambda args: {"jobs": [{"job_id": "j"}]}
    assert await client.cron.list() == [{"job_id": "j"}]
    await client.cron.cancel("j")
    assert sent(bus) == ("op.cron.cancel", {"job_id": "j"})


async def test_webhooks(client: ArqonBusClient, bus: FakeBus) -> None:
    await client.webhooks.register("https://example.com/x", "a:b", secret="whsec_AAAA", headers={"X-A": "1"})
    assert sent(bus)[1] == {
        "url": "https://example.com/x",
        "room": "a",
        "channel": "b",
        "headers": {"X-A": "1"},
        "secret": "whsec_AAAA",
    }
    await client.webhooks.register("https://example.com/x", "a", on=["occupied", "vacated"])
    assert sent(bus)[1] == {"url": "https://example.com/x", "room": "a", "on": ["occupied", "vacated"]}
    bus.commands["op.webhook.list"] = lambda args: {"rules": [{"rule_id": "r"}]}
    assert await client.webhooks.list() == [{"rule_id": "r"}]
    bus.commands["op.webhook.dead_letters"] = lambda args: {"dead_letters": [{"delivery_id": "d"}], "count": 1}
    assert await client.webhooks.dead_letters("r") == [{"delivery_id": "d"}]
    bus.commands["op.webhook.retry"] = lambda args: {"requeued": 1}
    assert await client.webhooks.retry("r", "d") == 1
    assert sent(bus) == ("op.webhook.retry", {"rule_id": "r", "delivery_id": "d"})
    await client.webhooks.unregister("r")
    assert sent(bus) == ("op.webhook.unregister", {"rule_id": "r"})


async def test_commands_with_addresses(client: ArqonBusClient, bus: FakeBus) -> None:
    await client.create_channel("a:b", description="d", history={"size": 5}, retain=True)
    assert sent(bus) == (
        "create_channel",
        {"room": "a", "channel": "b", "description": "d", "history": {"size": 5}, "retain": True},
    )
    await client.channel_info("a:b")
    assert sent(bus) == ("channel_info", {"room": "a", "channel": "b"})
    bus.commands["help"] = lambda args: {"commands": [{"name": args["command"]}]}
    assert await client.help("ping") == [{"name": "ping"}]
    bus.commands["list_rooms"] = lambda args: {"rooms": [{"room": "a"}]}
    assert await client.rooms() == await client.list_rooms() == [{"room": "a"}]
    bus.commands["list_channels"] = lambda args: {"channels": []}
    assert await client.channels("a") == await client.list_channels("a") == []
    bus.commands["ping"] = lambda args: {"pong": True, "timestamp": "2026-01-01T00:00:00.000Z"}
    assert 0 <= await client.ping() < 5


async def test_policy_and_lane(client: ArqonBusClient, bus: FakeBus) -> None:
    await client.casil.reload(mode="enforce")
    assert sent(bus) == ("op.casil.reload", {"mode": "enforce"})
    await client.casil.get()
    assert sent(bus) == ("op.casil.get", {})
    await client.omega.register_substrate("grid", "lattice", metadata={"a": 1})
    assert sent(bus) == ("op.omega.register_substrate", {"name": "grid", "kind": "lattice", "metadata": {"a": 1}})
    await client.omega.emit_event("s", "pulse", payload={"n": 1})
    assert sent(bus) == ("op.omega.emit_event", {"substrate_id": "s", "signal": "pulse", "payload": {"n": 1}})
    bus.commands["op.omega.list_events"] = lambda args: {"events": [args], "count": 1}
    assert await client.omega.list_events(signal="pulse", limit=2) == [{"signal": "pulse", "limit": 2}]
    bus.commands["op.omega.list_substrates"] = lambda args: {"substrates": [], "count": 0}
    assert await client.omega.list_substrates() == []
    await client.omega.clear_events(substrate_id="s")
    assert sent(bus) == ("op.omega.clear_events", {"substrate_id": "s"})
    await client.omega.unregister_substrate("s")
    assert sent(bus) == ("op.omega.unregister_substrate", {"substrate_id": "s"})
    await client.omega.status()
    assert sent(bus) == ("op.omega.status", {})
