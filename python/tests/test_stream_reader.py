"""Reading streams: from the beginning to the end, across everything that may happen in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from fake_streams import StreamBus
from reading import cut

from arqonbus import ArqonBusClient, ArqonBusError, BusError, StreamError

AT = ("talk", "answers")


@pytest.fixture
async def bus() -> AsyncIterator[StreamBus]:
    async with StreamBus().running() as running:
        yield running


class Reading:
    """Reads to the end, and notes what has come."""

    def __init__(self, client: ArqonBusClient, *where: str):
        self.pieces: list[str] = []
        self._news = asyncio.Event()
        self.done = asyncio.create_task(self._read(client, where))

    async def _read(self, client: ArqonBusClient, where: tuple[str, ...]) -> str:
        async for text in client.read_stream(*where):
            self.pieces.append(text)
            self._news.set()
        return "".join(self.pieces)

    async def has(self, *pieces: str) -> None:
        """Waits until these have come, and no others."""
        while self.pieces != [*pieces]:
            assert self.pieces == [*pieces][: len(self.pieces)]
            self._news.clear()
            await asyncio.wait_for(self._news.wait(), 5)

    async def whole(self) -> str:
        return await asyncio.wait_for(self.done, 5)


class Absence:
    """Lines that broke stay away until they may come back."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self._away = asyncio.Event()
        self._back = asyncio.Event()
        monkeypatch.setattr("arqonbus.link.pause", self._pause)

    async def _pause(self, seconds: float) -> None:
        self._away.set()
        await self._back.wait()

    async def begin(self, client: ArqonBusClient) -> None:
        self._away.clear()
        self._back.clear()
        cut(client)
        await asyncio.wait_for(self._away.wait(), 5)

    def end(self) -> None:
        self._back.set()


@pytest.fixture
def absence(monkeypatch: pytest.MonkeyPatch) -> Absence:
    return Absence(monkeypatch)


def joined(bus: StreamBus) -> bool:
    return any(AT in peer.joined for peer in bus.peers)


async def test_one_that_is_open_is_found_by_its_id(client: ArqonBusClient, bus: StreamBus) -> None:
    for id in ("a", "b", "c"):
        bus.begin(id)
    bus.begin("s", "Once 😀 ")
    bus.begin("other", "nothing of this")
    reading = Reading(client, "s")
    await reading.has("Once 😀 ")
    await bus.show("s", "upon ")
    await bus.show("other", "or this")
    await bus.publish(*AT, {"text": "an event"})
    await bus.end("s", text="a time")
    assert await reading.whole() == "Once 😀 upon a time"
    assert reading.pieces == ["Once 😀 ", "upon ", "a time"]
    assert not joined(bus)
    with pytest.raises(ArqonBusError, match="NOT_FOUND: There is no open stream s "):
        await Reading(client, "s").whole()


@pytest.mark.parametrize("where", [("s", "talk", "answers"), ("s", "talk:answers")])
async def test_one_that_has_ended_is_found_by_its_place(
    client: ArqonBusClient, bus: StreamBus, where: tuple[str, ...]
) -> None:
    bus.begin("s", "all of it")
    await bus.end("s", "cancelled")
    for n in range(150):
        await bus.publish(*AT, {"n": n})
    reading = Reading(client, *where)
    assert await reading.whole() == "all of it"
    assert reading.pieces == ["all of it"]


async def test_one_that_is_still_to_be_opened_is_waited_for(client: ArqonBusClient, bus: StreamBus) -> None:
    reading = Reading(client, "s", *AT)
    await bus.got("history")
    bus.begin("s")
    await bus.show("s", "here")
    await bus.end("s")
    assert await reading.whole() == "here"


@pytest.mark.parametrize("state", ["failed", "orphaned"])
async def test_a_bad_end_is_raised_after_what_there_is(client: ArqonBusClient, bus: StreamBus, state: str) -> None:
    bus.begin("s", "so ")
    reading = Reading(client, "s")
    await reading.has("so ")
    await bus.end("s", state, "far")
    with pytest.raises(StreamError) as told:
        await reading.whole()
    assert (told.value.code, told.value.state, told.value.retryable) == ("STREAM_ENDED", state, False)
    assert reading.pieces == ["so ", "far"]


async def test_a_lost_line_loses_and_repeats_nothing(bus: StreamBus, absence: Absence) -> None:
    async with ArqonBusClient(bus.url) as client:
        bus.begin("s", "one ")
        reading = Reading(client, "s")
        await reading.has("one ")
        await absence.begin(client)
        bus.written["s"].text += "two 😀 "
        absence.end()
        await reading.has("one ", "two 😀 ")
        await bus.show("s", "three ")
        await reading.has("one ", "two 😀 ", "three ")
        await absence.begin(client)
        # It ends while the reader is away, and is replayed as one event.
        await bus.end("s", text="four")
        absence.end()
        assert await reading.whole() == "one two 😀 three four"
        assert reading.pieces[-1] == "four"


async def test_what_no_replay_brings_is_looked_for_in_history(bus: StreamBus, absence: Absence) -> None:
    async with ArqonBusClient(bus.url) as client:
        await bus.publish(*AT, {"n": 1})
        bus.begin("s", "one ")
        reading = Reading(client, "s")
        await reading.has("one ")
        # The channel begins anew, which tells of a loss, and joins bring nothing of it.
        join = bus._join
        bus._join = lambda peer, args: (join(peer, args)[0], [])  # type: ignore[method-assign]
        await absence.begin(client)
        bus.restart()
        await bus.end("s", text="two")
        absence.end()
        assert await reading.whole() == "one two"


async def test_an_end_without_what_was_before_it_is_completed_from_history(
    client: ArqonBusClient, bus: StreamBus
) -> None:
    bus.begin("s", "one ")
    reading = Reading(client, "s")
    await reading.has("one ")
    bus.written["s"].text += "missed "
    await bus.show("s", "too early ")
    await bus.end("s", text="end")
    assert await reading.whole() == "one missed too early end"

    bus.begin("t", "one ")
    gone = Reading(client, "t")
    await gone.has("one ")
    bus.written["t"].text += "missed "
    bus.commands["history"] = lambda args: {"messages": [], "next": None, "previous": None}
    await bus.end("t", text="end")
    with pytest.raises(ArqonBusError, match="its whole text is no longer kept"):
        await gone.whole()


async def test_a_revised_text_goes_on_where_it_differs(client: ArqonBusClient, bus: StreamBus) -> None:
    bus.begin("s", "call 😀 at ")
    reading = Reading(client, "s")
    await reading.has("call 😀 at ")
    await bus.end("s", text="call 😀 at [redacted].", revised=True, offset=0)
    assert await reading.whole() == "call 😀 at [redacted]."


async def test_marks_that_make_no_sense_are_passed_over(client: ArqonBusClient, bus: StreamBus) -> None:
    bus.begin("s", "one ")
    reading = Reading(client, "s")
    await reading.has("one ")
    stream = bus.written["s"]
    for mark in ("s", {"id": "s"}, {"id": "s", "offset": -4, "state": "complete"}, {"id": "s", "offset": "0"}):
        await bus._tell(stream, bus.frame("event", {"text": "bad"}, metadata={"stream": mark}))
    whole = {"stream": {"id": "s", "offset": 4, "state": "complete"}}
    await bus._tell(stream, bus.frame("event", {"text": 7}, metadata=whole))
    await bus.end("s", text="two")
    assert await reading.whole() == "one two"


async def test_a_server_that_never_ends_is_left(
    client: ArqonBusClient, bus: StreamBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arqonbus.stream_reader._MAX_LENGTH", 10)
    bus.begin("s", "1234567890")
    reading = Reading(client, "s")
    await reading.has("1234567890")
    await bus.show("s", "1")
    with pytest.raises(ArqonBusError, match="longer than 10 UTF-16 units"):
        await reading.whole()
    bus.commands["stream.list"] = lambda args: {"streams": [], "next": "a"}
    with pytest.raises(ArqonBusError, match="NOT_FOUND"):
        await Reading(client, "s").whole()


async def test_a_reader_that_has_enough_leaves_the_channel(client: ArqonBusClient, bus: StreamBus) -> None:
    bus.begin("s", "one ")
    async for text in client.read_stream("s"):
        assert text == "one "
        break
    await bus.got("leave_channel")
    reading = Reading(client, "s")
    await reading.has("one ")
    await client.close()
    assert await reading.whole() == "one "


async def test_a_reader_that_may_not_read_is_refused(client: ArqonBusClient, bus: StreamBus) -> None:
    bus.begin("s", "one ")
    bus.commands["join_channel"] = lambda args: {"error_code": "AUTHORIZATION_ERROR"}
    with pytest.raises(BusError, match="AUTHORIZATION_ERROR"):
        await Reading(client, "s").whole()


async def test_a_stream_is_in_one_channel(client: ArqonBusClient) -> None:
    for where in (("s", "talk"), ("s", "talk", "*"), ("s", "talk:answers.*"), ("s", "talk:a", "b")):
        with pytest.raises(ArqonBusError, match="INVALID_ARGUMENT"):
            client.read_stream(*where)
    with pytest.raises(ArqonBusError, match="INVALID_ARGUMENT"):
        client.read_stream("s", channel="answers")
