"""Servers of HTTP for tests: one that answers whatever a test writes, and a proxy that lets no WebSocket through."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Any, Literal

SESSION = "arq_session_of_the_test"


@dataclass
class Asked:
    """A request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""


#: Answers a request; the connection ends when it returns true.
Answer = Callable[[Asked, asyncio.StreamWriter], Awaitable[bool | None]]


@dataclass
class FakeHttp:
    """Reads requests, notes them, and has ``answer`` answer them."""

    answer: Answer
    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def socket_url(self) -> str:
        return self.url.replace("http", "ws")

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits until a request makes ``condition`` true."""
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(condition), 10)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                asked = await _read(reader)
                self.asked.append(asked)
                async with self._changed:
                    self._changed.notify_all()
                if await self.answer(asked, writer):
                    return
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def fake_http(answer: Answer, ssl: SSLContext | None = None) -> AsyncIterator[FakeHttp]:
    fake = FakeHttp(answer)
    async with _listening(fake._serve, ssl) as port:
        fake.url = f"{'https' if ssl else 'http'}://127.0.0.1:{port}"
        yield fake


@asynccontextmanager
async def _listening(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]],
    ssl: SSLContext | None = None,
) -> AsyncIterator[int]:
    """Serves connections at a port of its own until it is left, and ends those that are open then."""
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=4_194_304, ssl=ssl)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _read(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head[:-4].split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Asked(method, target, headers, body)


def answer_of(status: str, body: Any = None, headers: str = "") -> bytes:
    text = b"" if body is None else json.dumps(body).encode()
    return f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(text)}\r\n\r\n".encode() + text


def event_of(frame: dict[str, Any], kind: str = "") -> bytes:
    return (f"event: {kind}\n" if kind else "").encode() + f"data: {json.dumps(frame)}\n\n".encode()


def welcome(**limits: int) -> dict[str, Any]:
    payload = {"event": "welcome", "client_id": "arq_client_1", "session": SESSION, "limits": limits}
    return {"version": "1.0", "id": "arq_1", "type": "system", "from": "arqonbus", "payload": payload}


STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


@dataclass
class Refuser:
    """A proxy in front of a server that lets requests through and upgrades not, as some companies have."""

    target: int
    policy: Literal["refuse", "cut", "ignore", "pass"] = "refuse"
    port: int = 0
    upgrades: int = 0
    #: The ``Authorization`` of the first request of each connection that was let through.
    authorizations: list[str | None] = field(default_factory=list)
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Cuts all that is open."""
        for writer in tuple(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            lines = (line.partition(b":") for line in head.split(b"\r\n"))
            headers = {name.strip().lower().decode(): value.strip().decode() for name, _, value in lines}
            is_upgrade = headers.get("upgrade", "").lower() == "websocket"
            self.upgrades += is_upgrade
            if is_upgrade and self.policy == "refuse":
                writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 7\r\n\r\nblocked")
                await writer.drain()
            elif is_upgrade and self.policy == "ignore":
                await reader.read()
            elif not is_upgrade or self.policy == "pass":
                if not is_upgrade:
                    self.authorizations.append(headers.get("authorization"))
                await self._forward(head, reader, writer)
        except (asyncio.IncompleteReadError, OSError):
            return
        finally:
            self._open.discard(writer)
            writer.transport.abort()

    async def _forward(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        far_writer.write(head)
        pipes = [asyncio.ensure_future(_pipe(reader, far_writer)), asyncio.ensure_future(_pipe(far_reader, writer))]
        try:
            await asyncio.wait(pipes, return_when=asyncio.FIRST_COMPLETED)
        finally:
            far_writer.transport.abort()
            for pipe in pipes:
                pipe.cancel()
            await asyncio.gather(*pipes, return_exceptions=True)


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()


@asynccontextmanager
async def refuser(target: int, policy: Literal["refuse", "cut", "ignore", "pass"] = "refuse") -> AsyncIterator[Refuser]:
    proxy = Refuser(target, policy)
    async with _listening(proxy._serve) as proxy.port:
        yield proxy
