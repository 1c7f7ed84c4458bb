"""A fake bus with token streams: what their writers and readers get to see of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from fake_bus import FakeBus, Frame, Peer


@dataclass
class Written:
    room: str
    channel: str
    ttl_seconds: float
    text: str = ""
    #: How it ended.
    status: str | None = None
    appends: list[str] = field(default_factory=list)

    @property
    def length(self) -> int:
        return units(self.text)


class StreamBus(FakeBus):
    def __init__(self) -> None:
        super().__init__()
        self.features = ["streams"]
        self.written: dict[str, Written] = {}
        #: What refuses the next appends and closes: payloads with "error_code".
        self.refusals_of_writes: list[Frame] = []
        #: For each of the next appends that have a text: "lost" breaks the line before it, "taken" after it.
        self.breaks: list[str] = []
        #: Appends wait for it.
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.commands = {
            "stream.open": self._open,
            "stream.append": self._append,
            "stream.close": self._close,
            "stream.list": self._list,
        }

    def begin(self, id: str, text: str = "", place: tuple[str, str] = ("talk", "answers")) -> Written:
        """A stream of somebody else's."""
        self.written[id] = Written(*place, 30, text)
        return self.written[id]

    async def show(self, id: str, text: str, **mark: Any) -> None:
        """Shows a piece of a stream to its readers."""
        stream = self.written[id]
        await self._tell(stream, _event(self, id, text, {"offset": stream.length, "state": "streaming", **mark}))
        stream.text += text

    async def end(self, id: str, state: str = "complete", text: str = "", **mark: Any) -> None:
        """Ends a stream: history gets the whole, and its readers the rest."""
        stream = self.written.pop(id)
        rest = _event(self, id, text, {"offset": stream.length, "state": state, **mark})
        stream.text = text if mark.get("revised") else stream.text + text
        kept = self.stream(stream.room, stream.channel)
        place = {"sequence": len(kept.events) + kept.oldest, "epoch": kept.epoch}
        whole = _event(self, id, stream.text, {**mark, "offset": 0, "state": state})
        kept.events.append({**whole, **_at(stream), "metadata": {**whole["metadata"], **place}})
        await self._tell(stream, {**rest, "metadata": {**rest["metadata"], **place}})

    async def _tell(self, stream: Written, event: Frame) -> None:
        for peer in tuple(self.peers):
            if (stream.room, stream.channel) in peer.joined:
                await peer.send({**event, **_at(stream)})

    def _open(self, args: Frame) -> Frame:
        id = args.get("id", f"stream-{len(self.written) + 1}")
        is_new = id not in self.written
        stream = self.written.setdefault(id, Written(args["room"], args["channel"], args["ttl_seconds"]))
        opened = {"stream_id": id, **_at(stream)}
        return opened if is_new else {**opened, "offset": stream.length}

    def _append(self, args: Frame) -> Frame:
        if self.refusals_of_writes:
            return self.refusals_of_writes.pop(0)
        stream = self.written.get(args["stream_id"])
        if stream is None or stream.status is not None:
            return {"error_code": "NOT_FOUND"}
        stream.appends.append(args["text"])
        stream.text += args["text"]
        return {"offset": stream.length}

    def _close(self, args: Frame) -> Frame:
        if self.refusals_of_writes:
            return self.refusals_of_writes.pop(0)
        stream = self.written[args["stream_id"]]
        stream.status = args["status"]
        place = {"sequence": 1, "epoch": "e", "stored": "memory", "delivered": 2}
        return {"stream_id": args["stream_id"], **place, "length": stream.length, "new_to_this_client": True}

    def _list(self, args: Frame) -> Frame:
        rows = [{"stream_id": id, **_at(stream)} for id, stream in sorted(self.written.items())]
        rows = [
            row for row in rows if args.get("room") in (None, row["room"]) and row["stream_id"] > args.get("after", "")
        ]
        return {"streams": rows[:2], "next": rows[1]["stream_id"] if len(rows) > 2 else None}

    async def _command(self, peer: Peer, frame: Frame) -> None:
        if frame["command"] == "stream.append" and frame["args"]["text"]:
            await self._notify()
            await self.go_on.wait()
            if self.breaks:
                if self.breaks.pop(0) == "taken":
                    self._append(frame["args"])
                peer.socket.transport.abort()
                return
        await super()._command(peer, frame)

    def _join(self, peer: Peer, args: Frame) -> tuple[Frame, list[Frame]]:
        payload, replay = super()._join(peer, args)
        for id, stream in self.written.items():
            if (stream.room, stream.channel) == (args["room"], args["channel"]) and stream.text:
                so_far = _event(self, id, stream.text, {"offset": 0, "state": "streaming"})
                replay = [*replay, {**so_far, **_at(stream)}]
        return payload, replay


def _event(bus: FakeBus, id: str, text: str, mark: Frame) -> Frame:
    return bus.frame("event", {"text": text}, metadata={"stream": {"id": id, **mark}})


def _at(stream: Written) -> Frame:
    return {"room": stream.room, "channel": stream.channel}


def units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
