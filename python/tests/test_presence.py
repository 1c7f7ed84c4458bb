"""Who is there: a set that stays true."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fake_bus import FakeBus, Frame, Peer
from fake_delivery import FEATURES
from reading import cut, reconnected

from arqonbus import ArqonBusClient, ArqonBusError, Member, PresenceChange, RequestTimeout, Sender


def record(id: str, state: Any = None, **more: Any) -> Frame:
    sender = {"subject": id, "type": "human", "role": "user"}
    return {"client_id": id, "sender": sender, "state": state, "joined_at": "2026-01-01T00:00:00.000Z", **more}


class PresenceBus(FakeBus):
    """Tells the set that it was given, and the notices that it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.features = [*FEATURES]
        self.version = 0
        self.there: list[Frame] = []
        self.more: Frame = {}

    def _join(self, peer: Peer, args: Frame) -> tuple[Frame, list[Frame]]:
        payload, replay = super()._join(peer, args)
        if args.get("presence"):
            payload["presence"] = {
                "version": self.version,
                "members": [*self.there],
                "count": len(self.there),
                **self.more,
            }
        return payload, replay

    async def notice(self, *, step: int = 1, members: int | None = None, **changes: Any) -> None:
        self.version += step
        payload = {"event": "presence", "room": "science", "channel": "explore", "version": self.version}
        lists: Frame = {"joined": [], "updated": [], "left": [], **changes}
        payload |= {"members": len(self.there) if members is None else members, **lists}
        await self.tell(payload, room="science", channel="explore")


@pytest.fixture
async def bus() -> AsyncIterator[PresenceBus]:
    async with PresenceBus().running() as running:
        yield running


def names(members: tuple[Member, ...]) -> list[str]:
    return [member.client_id for member in members]


async def test_the_set_is_there_with_the_join_and_follows_the_notices(client: ArqonBusClient, bus: PresenceBus) -> None:
    bus.there = [record("ada", {"mood": "busy"})]
    async with client.presence("science:explore", state={"mood": "new"}) as people:
        assert bus.received[-1]["args"]["presence"] == {"state": {"mood": "new"}}
        [ada] = people.members
        assert (ada.client_id, ada.state, ada.sender) == ("ada", {"mood": "busy"}, Sender("ada", None, "human", "user"))
        assert (people.version, people.count, people.counts_only) == (0, 1, False)
        await bus.notice(members=2, joined=[record("bob")])
        await bus.notice(members=2, updated=[record("ada", {"mood": "idle"})])
        await bus.notice(members=1, left=[record("bob", cause="lost")])
        changes = [await people.receive(timeout=5) for _ in range(3)]
        assert [names(change.joined) for change in changes] == [["bob"], [], []]
        assert changes[1].updated[0].state == {"mood": "idle"}
        assert (names(changes[2].left), changes[2].left[0].cause, changes[2].count) == (["bob"], "lost", 1)
        assert [(member.client_id, member.state) for member in people.members] == [("ada", {"mood": "idle"})]
        assert people.version == 3
    assert people.closed and bus.received[-1]["command"] == "leave_channel"
    assert [change async for change in people] == []


async def test_who_comes_back_on_another_connection_is_the_same(client: ArqonBusClient, bus: PresenceBus) -> None:
    bus.there = [record("ada")]
    async with client.presence("science:explore") as people:
        assert bus.received[-1]["args"]["presence"] is True
        await bus.notice(updated=[record("ada-2", previous_id="ada")])
        change = await people.receive(timeout=5)
        assert change.updated[0].previous_id == "ada"
        assert names(people.members) == ["ada-2"] and people.members[0].previous_id is None


async def test_a_notice_that_repeats_the_answer_tells_nothing_new(client: ArqonBusClient, bus: PresenceBus) -> None:
    bus.there = [record("ada")]
    async with client.presence("science:explore") as people:
        await bus.notice(joined=[record("ada")])
        assert (await people.receive(timeout=5)).joined == ()
        await bus.notice(step=0, left=[record("ada", cause="left")])
        await client.ping()
        assert names(people.members) == ["ada"]
    assert len(await bus.got("join_channel")) == 1


async def test_a_version_that_is_missing_brings_the_whole_set_again(client: ArqonBusClient, bus: PresenceBus) -> None:
    bus.there = [record("ada"), record("bob")]
    async with client.presence("science:explore") as people:
        bus.there = [record("ada", {"mood": "idle"}), record("carl")]
        await bus.notice(step=2, joined=[record("carl")])
        await bus.notice(updated=[record("ada", {"mood": "idle"})])
        change = await people.receive(timeout=5)
        assert (names(change.joined), names(change.updated), names(change.left)) == (["carl"], ["ada"], ["bob"])
        assert change.left[0].cause == "lost" and people.version == 3
        assert sorted(names(people.members)) == ["ada", "carl"]
    assert len(await bus.got("join_channel")) == 2


async def test_after_a_lost_line_the_state_is_shown_again_and_changes_are_told(bus: PresenceBus) -> None:
    async with ArqonBusClient(bus.url) as client:
        bus.there = [record("ada")]
        people = client.presence("science:explore", state=1)
        changes: list[PresenceChange] = []
        people._on_change = changes.append
        await people.open()
        await people.update({"mood": "idle"})
        update = bus.received[-1]
        expected = {"room": "science", "channel": "explore", "state": {"mood": "idle"}}
        assert (update["command"], update["args"]) == ("presence_update", expected)
        bus.there = [record("bob")]
        bus.version = 9
        cut(client)
        await reconnected(bus, client)
        assert bus.received[-2]["args"]["presence"] == {"state": {"mood": "idle"}}
        assert [(names(change.joined), names(change.left)) for change in changes] == [(["bob"], ["ada"])]
        assert (names(people.members), people.version) == (["bob"], 9)


async def test_a_large_set_is_counted_and_named_again_when_it_is_small(
    client: ArqonBusClient, bus: PresenceBus
) -> None:
    bus.more = {"counts_only": True, "count": 501}
    async with client.presence("science:explore") as people:
        assert (people.counts_only, people.count, people.members) == (True, 501, ())
        await bus.notice(members=502, counts_only=True)
        assert (await people.receive(timeout=5)).count == 502
        await bus.notice(members=2, joined=[record("ada"), record("bob")], reset=True)
        change = await people.receive(timeout=5)
        assert names(change.joined) == ["ada", "bob"] and change.count == 2
        assert not people.counts_only


async def test_a_slow_reader_is_told_the_set_instead_of_every_change(client: ArqonBusClient, bus: PresenceBus) -> None:
    async with client.presence("science:explore") as people:
        for n in range(1_001):
            await bus.notice(joined=[record(f"c{n}")])
        await client.ping()
        change = await people.receive(timeout=5)
        assert len(change.joined) == 1_001
        with pytest.raises(RequestTimeout):
            await people.receive(timeout=0.01)


async def test_a_set_without_end_is_not_kept(client: ArqonBusClient, bus: PresenceBus) -> None:
    async with client.presence("science:explore") as people:
        for n in range(3):
            await bus.notice(members=n, joined=[record(f"c{n}-{i}") for i in range(4_000)])
            await people.receive(timeout=5)
        assert people.counts_only and people.members == ()


async def test_callbacks_are_told_and_may_fail(client: ArqonBusClient, bus: PresenceBus) -> None:
    told: list[str] = []

    async def change(change: PresenceChange) -> None:
        told.extend(names(change.joined))
        if len(told) == 1:
            raise ValueError

    async with client.presence("science:explore", on_change=change):
        await bus.notice(joined=[record("ada")])
        await bus.notice(joined=[record("bob")])
        await client.ping()
        await asyncio.sleep(0)
    assert told == ["ada", "bob"]


async def test_who_watches_and_reads_has_one_membership(client: ArqonBusClient, bus: PresenceBus) -> None:
    async with client.subscribe("science:explore") as messages:
        async with client.presence("science:explore", state="here") as people:
            await bus.publish("science", "explore", {"n": 1})
            await bus.notice(joined=[record("ada")])
            assert (await messages.receive(timeout=5))["payload"] == {"n": 1}
            assert names((await people.receive(timeout=5)).joined) == ["ada"]
        # The subscription stays a member, and no longer watches.
        await bus.until(lambda: "presence" not in bus.received[-1].get("args", {"presence": 1}))
        await bus.publish("science", "explore", {"n": 2})
        assert (await messages.receive(timeout=5))["payload"] == {"n": 2}
        with pytest.raises(RequestTimeout):
            await messages.receive(timeout=0.01)
    commands = [frame["command"] for frame in bus.received]
    assert commands == ["join_channel", "join_channel", "join_channel", "leave_channel"]


async def test_a_notice_that_makes_no_sense_is_ignored(client: ArqonBusClient, bus: PresenceBus) -> None:
    async with client.presence("science:explore") as people:
        await bus.notice(joined="nobody", left=[7], updated=None)
        await bus.tell({"event": "presence", "version": "x"}, room="science", channel="explore")
        await bus.notice(joined=[record("ada")])
        assert names((await people.receive(timeout=5)).joined) == []
        assert names((await people.receive(timeout=5)).joined) == ["ada"]


async def test_an_older_server_is_told_apart(client: ArqonBusClient, bus: PresenceBus) -> None:
    bus.features.remove("presence-state")
    async with ArqonBusClient(bus.url) as newcomer:
        with pytest.raises(ArqonBusError, match='"presence-state"'):
            await newcomer.presence("science:explore").open()
