"""Streams: what a writer sends, whatever happens on the way, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from fake_streams import StreamBus

from arqonbus import ArqonBusClient, ArqonBusError, BusError, QueueFullError, Sender, StreamEnd


@pytest.fixture
async def bus() -> AsyncIterator[StreamBus]:
    async with StreamBus().running() as running:
        yield running
        running.go_on.set()


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried again is tried again at once."""
    monkeypatch.setattr("arqonbus.token_stream._RETRY", 0.001)


async def test_a_stream_is_opened_written_and_ended(client: ArqonBusClient, bus: StreamBus) -> None:
    stream = await client.open_stream("talk:answers", id="answer-7", ttl_seconds=120)
    assert bus.received[-1]["args"] == {"room": "talk", "channel": "answers", "id": "answer-7", "ttl_seconds": 120}
    assert (stream.id, stream.address, stream.offset) == ("answer-7", "talk:answers", 0)
    await stream.append("Once upon ")
    await stream.append("")
    await stream.append("a 😀")
    assert (stream.offset, bus.written["answer-7"].appends) == (14, ["Once upon ", "a 😀"])
    again = await client.open_stream("talk:answers", id="answer-7")
    assert again.offset == 14
    assert bus.received[-1]["args"]["ttl_seconds"] == 30
    assert await stream.close() == StreamEnd("answer-7", 1, "e", "memory", 2, 14)
    with pytest.raises(BusError, match="NOT_FOUND"):
        await stream.append("late")
    with pytest.raises(ArqonBusError, match="INVALID_ARGUMENT"):
        client.open_stream("talk:*.x:y")


async def test_what_comes_faster_than_it_is_taken_goes_out_together(client: ArqonBusClient, bus: StreamBus) -> None:
    bus.go_on.clear()
    async with client.open_stream("talk:answers", id="s") as stream:
        first = asyncio.create_task(stream.append("first "))
        await bus.got("stream.append")
        appends = [asyncio.create_task(stream.append(f"{n} ")) for n in range(50)]
        await asyncio.sleep(0)
        # What it has given is on its way all the same.
        appends[20].cancel()
        bus.go_on.set()
        results = await asyncio.gather(first, *appends, return_exceptions=True)
        assert [n for n, result in enumerate(results) if result is not None] == [21]
    assert bus.written["s"].appends == ["first ", "".join(f"{n} " for n in range(50))]


async def test_a_character_in_two_halves_goes_out_as_one(client: ArqonBusClient, bus: StreamBus) -> None:
    async with client.open_stream("talk:answers", id="s") as stream:
        for part in ("a\ud83d", "\ude00", "b", "\ud83d"):
            await stream.append(part)
    assert bus.written["s"].appends == ["a", "😀", "b", "\ud83d"]


async def test_a_long_text_goes_out_in_parts_and_no_character_is_cut(client: ArqonBusClient, bus: StreamBus) -> None:
    text = "x" + "😀" * 40_000
    async with client.open_stream("talk:answers", id="s") as stream:
        await stream.append(text)
        assert stream.offset == 80_001
    parts = bus.written["s"].appends
    assert [len(part) for part in parts] == [32_768, 7_233] and "".join(parts) == text


async def test_only_so_much_waits_to_be_sent(client: ArqonBusClient, bus: StreamBus) -> None:
    bus.go_on.clear()
    stream = await client.open_stream("talk:answers", id="s")
    waiting = asyncio.create_task(stream.append("x" * 2_097_152))
    await bus.got("stream.append")
    with pytest.raises(QueueFullError, match="await each append"):
        await stream.append("y")
    bus.refusals_of_writes = [{"error_code": "LIMIT_EXCEEDED"}] * 32
    bus.go_on.set()
    with pytest.raises(BusError, match="LIMIT_EXCEEDED"):
        await waiting
    await stream.append("z")
    assert bus.written["s"].text == "z"


@pytest.mark.parametrize("breaks", [["lost"], ["taken"], ["taken", "lost", "taken"]])
async def test_a_lost_line_loses_and_repeats_nothing(
    soon: None, bus: StreamBus, pauses: list[float], breaks: list[str]
) -> None:
    async with ArqonBusClient(bus.url) as client, client.open_stream("talk:answers", id="s") as stream:
        bus.breaks = breaks
        for n in range(5):
            await stream.append(f"{n} ")
        assert stream.offset == 10
    assert (bus.written["s"].text, bus.written["s"].status, bus.breaks) == ("0 1 2 3 4 ", "complete", [])


async def test_one_that_is_refused_for_its_pace_is_sent_again(
    soon: None, client: ArqonBusClient, bus: StreamBus
) -> None:
    refusal = {"error_code": "RATE_LIMITED", "retryable": True, "retry_after_ms": 5}
    async with client.open_stream("talk:answers", id="s") as stream:
        bus.refusals_of_writes = [{**refusal}, {**refusal}]
        await stream.append("one")
        # Asking for the length would use up the pace that the text needs.
        assert [frame["args"]["text"] for frame in await bus.got("stream.append")] == ["one"] * 3
        bus.refusals_of_writes = [{**refusal}]
    assert (bus.written["s"].text, bus.written["s"].status) == ("one", "complete")


async def test_a_refusal_that_may_pass_is_asked_about(soon: None, client: ArqonBusClient, bus: StreamBus) -> None:
    async with client.open_stream("talk:answers", id="s") as stream:
        refusal = {"error_code": "STORAGE_UNAVAILABLE", "retryable": True}
        bus.refusals_of_writes = [{**refusal}, {**refusal}]
        await stream.append("one")
        assert [frame["args"]["text"] for frame in await bus.got("stream.append")] == ["one", "", "", "one"]
        bus.refusals_of_writes = [{**refusal}]
    assert (bus.written["s"].text, bus.written["s"].status) == ("one", "complete")


async def test_what_is_refused_for_good_is_left_out(client: ArqonBusClient, bus: StreamBus) -> None:
    bus.go_on.clear()
    stream = await client.open_stream("talk:answers", id="s")
    first = asyncio.create_task(stream.append("first"))
    await bus.got("stream.append")
    together = [asyncio.create_task(stream.append(text)) for text in ("bad", "good")]
    await asyncio.sleep(0)
    bus.commands["stream.append"] = lambda args: (
        {"error_code": "CONTENT_BLOCKED"} if "bad" in args["text"] else bus._append(args)
    )
    bus.go_on.set()
    await first
    for append in together:
        with pytest.raises(BusError, match="CONTENT_BLOCKED"):
            await append
    await stream.append("!")
    assert (bus.written["s"].text, stream.offset) == ("first!", 6)


async def test_leaving_the_block_says_how_it_ended(client: ArqonBusClient, bus: StreamBus) -> None:
    with pytest.raises(ZeroDivisionError):
        async with client.open_stream("talk:answers", id="failed") as stream:
            await stream.append("so far")
            raise ZeroDivisionError
    assert (bus.written["failed"].text, bus.written["failed"].status) == ("so far", "failed")

    begun = asyncio.Event()

    async def write() -> None:
        async with client.open_stream("talk:answers", id="cancelled"):
            begun.set()
            await asyncio.Event().wait()

    writing = asyncio.create_task(write())
    await asyncio.wait_for(begun.wait(), 5)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert bus.written["cancelled"].status == "cancelled"

    async with await client.open_stream("talk:answers", id="by-hand") as stream:
        await stream.close("cancelled")
    assert len(await bus.got("stream.close", 3)) == 3
    assert bus.written["by-hand"].status == "cancelled"


async def test_what_went_wrong_in_the_block_matters_more_than_the_end(client: ArqonBusClient, bus: StreamBus) -> None:
    with pytest.raises(ZeroDivisionError):
        async with client.open_stream("talk:answers"):
            bus.refusals_of_writes = [{"error_code": "AUTHORIZATION_ERROR"}]
            raise ZeroDivisionError
    with pytest.raises(BusError, match="AUTHORIZATION_ERROR"):
        async with client.open_stream("talk:answers"):
            bus.refusals_of_writes = [{"error_code": "AUTHORIZATION_ERROR"}]
    # A writer whose line does not come back is not held up for longer than its stream is open.
    with pytest.raises(ZeroDivisionError):
        async with client.open_stream("talk:answers") as stream:
            stream._ttl = 0.05
            bus.commands["stream.close"] = lambda args: {"error_code": "STORAGE_UNAVAILABLE", "retryable": True}
            raise ZeroDivisionError


async def test_a_silent_writer_says_that_it_is_there(
    monkeypatch: pytest.MonkeyPatch, client: ArqonBusClient, bus: StreamBus
) -> None:
    monkeypatch.setattr("arqonbus.token_stream._SIGNS", 3_000)
    stream = await client.open_stream("talk:answers", id="s")
    bus.refusals_of_writes = [{"error_code": "STORAGE_UNAVAILABLE", "retryable": True}]
    await bus.got("stream.append", 3)
    assert {*bus.written["s"].appends} == {""}
    del bus.written["s"]
    # One that has ended is left alone.
    await asyncio.wait_for(stream._staying, 5)
    other = await client.open_stream("talk:answers", id="other")
    await other.close()
    await asyncio.wait((other._staying,), timeout=5)
    assert other._staying.cancelled()
    third = await client.open_stream("talk:answers", id="third")
    await client.close()
    await asyncio.wait_for(third._staying, 5)


async def test_readers_ask_to_stop(client: ArqonBusClient, bus: StreamBus) -> None:
    stream = await client.open_stream("talk:answers", id="s")
    asked: asyncio.Queue[object] = asyncio.Queue()

    async def note(by: Sender) -> None:
        await asked.put(by)

    stop = stream.on_cancel(note)
    by = {"subject": "eve", "name": "Eve", "type": "human", "role": "user"}
    for id in ("other", "s"):
        await bus.tell({"event": "stream_cancel", "stream_id": id, "by": by})
    assert await asyncio.wait_for(asked.get(), 5) == Sender("eve", "Eve", "human", "user")
    stop()
    stream.on_cancel(asked.put_nowait)
    await bus.tell({"event": "stream_cancel", "stream_id": "s", "by": by})
    await client.ping()
    assert asked.qsize() == 1
    await stream.close()
    await bus.tell({"event": "stream_cancel", "stream_id": "s", "by": by})
    await client.ping()
    assert asked.qsize() == 1


async def test_a_server_without_streams_is_told_in_one_sentence(bus: StreamBus) -> None:
    bus.features = []
    sentence = 'FEATURE_MISSING: This server does not offer "streams"; use a newer ArqonBus server.'
    async with ArqonBusClient(bus.url) as client:
        with pytest.raises(ArqonBusError) as told:
            await client.open_stream("talk:answers")
        assert str(told.value) == sentence
        with pytest.raises(ArqonBusError) as told:
            client.read_stream("s", "talk", "answers")
        assert str(told.value) == sentence
    assert bus.received == []
