"""A bus of one process, in Python, for tests of the client: it speaks the protocol and does what a test tells it."""

from __future__ import annotations

import asyncio
import http
import json
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

Frame = dict[str, Any]


@dataclass
class Stream:
    epoch: str
    events: list[Frame] = field(default_factory=list)
    #: Sequences below this are no longer kept.
    oldest: int = 1


@dataclass
class Peer:
    """One connected client."""

    id: str
    socket: ServerConnection
    joined: dict[tuple[str, str], Frame] = field(default_factory=dict)
    #: Messages that it may still send, and when that was so; refusals in a row.
    tokens: tuple[float, float] | None = None
    refusals: int = 0

    async def send(self, frame: Frame) -> None:
        try:
            await self.socket.send(json.dumps(frame))
        except ConnectionClosed:
            pass


@dataclass
class Refusal:
    """How to answer the next handshake instead of opening a socket."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: Frame | None = None


class FakeBus:
    def __init__(self) -> None:
        self.peers: list[Peer] = []
        self.queries: list[dict[str, str]] = []
        self.headers: list[Headers] = []
        self.received: list[Frame] = []
        self.refusals: list[Refusal] = []
        self.streams: dict[tuple[str, str], Stream] = {}
        self.seen_ids: dict[str, tuple[int, str]] = {}
        #: Commands and types ("ack") that get no answer.
        self.mute: set[str] = set()
        #: Command name → function from its arguments to a payload, or to a whole answer when it has "error_code".
        self.commands: dict[str, Callable[[Frame], Frame]] = {}
        #: Messages a second and at a time that a client may send. 100 refusals in a row close the connection (4429).
        self.rate: tuple[float, float] | None = None
        self.limits: Frame = {"max_message_bytes": 1_048_576, "ping_interval_ms": 20_000}
        #: What the welcome says that it can do.
        self.features: list[str] = []
        self.url = ""
        self._count = 0
        self._epochs = 0
        self._arrived = asyncio.Condition()

    def frame(self, kind: str, payload: Frame, **more: Any) -> Frame:
        self._count += 1
        return {
            "version": "1.0",
            "id": f"arq_srv_{self._count}",
            "type": kind,
            "from": "arqonbus",
            "timestamp": "2026-01-01T00:00:00.000Z",
            "payload": payload,
            **more,
        }

    def stream(self, room: str, channel: str) -> Stream:
        if (room, channel) not in self.streams:
            self._epochs += 1
            self.streams[room, channel] = Stream(f"epoch-{self._epochs}")
        return self.streams[room, channel]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits until something that clients do makes ``condition`` true."""
        async with self._arrived:
            await asyncio.wait_for(self._arrived.wait_for(condition), 5)

    async def got(self, kind: str, count: int = 1) -> list[Frame]:
        """Waits for ``count`` frames of a type, or commands of a name; answers them."""

        def found() -> list[Frame]:
            return [frame for frame in self.received if kind in (frame["type"], frame.get("command"))]

        await self.until(lambda: len(found()) >= count)
        return found()

    async def publish(self, room: str, channel: str, payload: Frame, sender: str = "arq_client_other") -> Frame:
        """An event of somebody else's, or of a peer's."""
        stream = self.stream(room, channel)
        event = self.frame("event", payload, room=room, channel=channel)
        event["from"] = sender
        event["metadata"] = {"sequence": stream.oldest - 1 + len(stream.events) + 1, "epoch": stream.epoch}
        stream.events.append(event)
        for peer in self.peers:
            if peer.id == sender and not any(options.get("echo") for options in peer.joined.values()):
                continue
            if any(_covers(address, room, channel) for address in peer.joined):
                await peer.send(event)
        return event

    def lose_history(self, room: str, channel: str) -> None:
        """What was published so far is not kept any more."""
        stream = self.stream(room, channel)
        stream.oldest += len(stream.events)
        stream.events.clear()

    def restart(self) -> None:
        """Every stream is begun anew, as on a server that keeps nothing on disk."""
        self.streams.clear()

    async def tell(self, payload: Frame, **more: Any) -> None:
        """A notice to everybody."""
        for peer in tuple(self.peers):
            await peer.send(self.frame("system", payload, **more))

    async def close_all(self, code: int) -> None:
        for peer in tuple(self.peers):
            await peer.socket.close(code)

    async def _handle(self, socket: ServerConnection) -> None:
        peer = Peer(f"arq_client_{len(self.queries)}", socket)
        self.peers.append(peer)
        welcome = {"event": "welcome", "client_id": peer.id, "role": "admin", "limits": self.limits}
        welcome["features"] = self.features
        await peer.send(self.frame("system", welcome))
        await self._notify()
        try:
            async for text in socket:
                frame = json.loads(text)
                self.received.append(frame)
                await self._answer(peer, frame)
                await self._notify()
        except ConnectionClosed:
            pass
        finally:
            self.peers.remove(peer)
            await self._gone(peer)
            await self._notify()

    async def _gone(self, peer: Peer) -> None:
        """A client is gone."""

    async def _notify(self) -> None:
        async with self._arrived:
            self._arrived.notify_all()

    def _charge(self, peer: Peer) -> float | None:
        """Milliseconds to wait when the peer sends too fast."""
        if self.rate is None:
            return None
        now = asyncio.get_running_loop().time()
        tokens, at = peer.tokens or (self.rate[1], now)
        tokens = min(self.rate[1], tokens + (now - at) * self.rate[0])
        peer.tokens = (tokens - 1 if tokens >= 1 else tokens, now)
        return None if tokens >= 1 else (1 - tokens) / self.rate[0] * 1000

    async def _answer(self, peer: Peer, frame: Frame) -> None:
        wait = self._charge(peer)
        peer.refusals = 0 if wait is None else peer.refusals + 1
        if wait is not None:
            more: Frame = {"error": "Slow down.", "error_code": "RATE_LIMITED", "request_id": frame["id"]}
            kind = "command_response" if frame["type"] == "command" else "error"
            if kind == "command_response":
                more |= {"command": frame["command"], "status": "error"}
            await peer.send(self.frame(kind, {"retryable": True, "retry_after_ms": wait}, **more))
            if peer.refusals >= 100:
                await peer.socket.close(4429)
            return
        if frame["type"] == "command":
            await self._command(peer, frame)
        elif frame["type"] == "private":
            await self._private(peer, frame)
        elif frame["type"] == "event":
            await self._event(peer, frame)

    async def _event(self, peer: Peer, frame: Frame) -> None:
        if frame["payload"].get("refuse"):
            more = {"error": "Slow down.", "error_code": "RATE_LIMITED", "request_id": frame["id"]}
            await peer.send(self.frame("error", {"retryable": True, "retry_after_ms": 5}, **more))
            return
        room, channel = frame.get("room", "lobby"), frame.get("channel", "*")
        duplicate = frame["id"] in self.seen_ids
        if not duplicate:
            event = await self.publish(room, channel, frame["payload"], peer.id)
            self.seen_ids[frame["id"]] = (event["metadata"]["sequence"], event["metadata"]["epoch"])
        sequence, epoch = self.seen_ids[frame["id"]]
        if frame.get("ack") and "ack" not in self.mute:
            payload = {
                "sequence": sequence,
                "epoch": epoch,
                "delivered": 0,
                "duplicate": duplicate,
                "stored": "memory",
            }
            await peer.send(self.frame("ack", payload, request_id=frame["id"]))

    async def _private(self, peer: Peer, frame: Frame) -> None:
        targets = frame["to"] if isinstance(frame["to"], list) else [frame["to"]]
        present = {other.id: other for other in self.peers}
        missing = [target for target in targets if target not in present]
        if len(missing) == len(targets):
            more = {"error": "Nobody there.", "error_code": "TARGET_NOT_FOUND", "request_id": frame["id"]}
            await peer.send(self.frame("error", {"retryable": True, "undelivered": missing}, **more))
            return
        for target in targets:
            if target in present:
                message = self.frame("private", frame["payload"])
                message.update({"id": frame["id"], "from": peer.id, "to": target})
                message.update({key: frame[key] for key in ("request_id", "metadata") if key in frame})
                await present[target].send(message)
        if frame.get("ack"):
            payload = {"delivered": len(targets) - len(missing), "undelivered": missing, "stored": "none"}
            await peer.send(self.frame("ack", payload, request_id=frame["id"]))

    async def _command(self, peer: Peer, frame: Frame) -> None:
        name, args = frame["command"], frame["args"]
        if name in self.mute:
            return
        replay: list[Frame] = []
        more: Frame = {"status": "success"}
        if name in self.commands:
            payload = self.commands[name](args)
            if "error_code" in payload:
                more = {"status": "error", "error": "Refused.", "error_code": payload.pop("error_code")}
        elif name == "join_channel":
            payload, replay = self._join(peer, args)
        elif name == "leave_channel":
            payload = {"left": peer.joined.pop((args["room"], args["channel"]), None) is not None}
        elif name == "history":
            payload = self._history(args)
        else:
            payload = {"args": args}
        await peer.send(self.frame("command_response", payload, request_id=frame["id"], command=name, **more))
        for event in replay:
            await peer.send({**event, "metadata": {**event["metadata"], "replayed": True}})

    def _join(self, peer: Peer, args: Frame) -> tuple[Frame, list[Frame]]:
        room, channel, since = args["room"], args["channel"], args.get("since")
        peer.joined[room, channel] = args
        stream = self.stream(room, channel)
        payload: Frame = {"room": room, "channel": channel, "members": 1, **_position(stream)}
        if channel == "*":
            streams = {name: at for (place, name), at in self.streams.items() if place == room}
        else:
            streams = {channel: stream, "*": self.stream(room, "*")}
        payload["positions"] = {name: _position(at) for name, at in streams.items()}
        replay: list[Frame] = []
        if since is not None:
            positions = since if "sequence" not in since else {channel: since}
            is_whole = channel == "*" and "*" in positions
            payload["recovered"] = True
            for name, at in streams.items():
                position = positions.get(name)
                if position is None:
                    if not is_whole:
                        continue
                    position = {"sequence": at.oldest - 1, "epoch": at.epoch}
                if position["epoch"] != at.epoch or position["sequence"] < at.oldest - 1:
                    payload["recovered"] = False
                    continue
                replay += [event for event in at.events if event["metadata"]["sequence"] > position["sequence"]]
        elif args.get("history"):
            replay = stream.events[-args["history"] :]
        return payload, replay

    def _history(self, args: Frame) -> Frame:
        stream = self.stream(args["room"], args.get("channel", "*"))
        after, before, limit = args.get("after"), args.get("before"), args["limit"]
        matching = [
            event
            for event in stream.events
            if event["metadata"]["sequence"] > (after or 0)
            and (before is None or event["metadata"]["sequence"] < before)
        ]
        page = matching[:limit] if after is not None else matching[-limit:]
        more = len(matching) > len(page)
        following = page[-1]["metadata"]["sequence"] if more and after is not None else None
        previous = page[0]["metadata"]["sequence"] if more and after is None else None
        return {"messages": page, "next": following, "previous": previous}

    async def _handshake(self, socket: ServerConnection, request: Request) -> Response | None:
        self.queries.append(dict(parse_qsl(urlsplit(request.path).query)))
        self.headers.append(request.headers)
        await self._notify()
        if not self.refusals:
            return None
        refusal = self.refusals.pop(0)
        response = socket.respond(http.HTTPStatus(refusal.status), json.dumps(refusal.body or {}))
        for name, value in refusal.headers.items():
            response.headers[name] = value
        return response

    @asynccontextmanager
    async def running(self, port: int = 0):
        async with serve(self._handle, "127.0.0.1", port, process_request=self._handshake) as server:
            self.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield self


def _position(stream: Stream) -> Frame:
    return {"sequence": stream.oldest - 1 + len(stream.events), "epoch": stream.epoch}


def _covers(address: tuple[str, str], room: str, channel: str) -> bool:
    return address == ("*", "*") or (address[0] == room and (address[1] in ("*", channel) or channel == "*"))
