"""Token streams: text that others read while it is being written."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Literal

from .envelope import Envelope, JsonObject, Sender
from .errors import ArqonBusError, BusError, ConnectError, QueueFullError
from .listeners import Listeners
from .outgoing import SendCommand
from .utf16 import from_units, to_units, whole

if TYPE_CHECKING:
    from typing_extensions import Self

#: Server features required.
NEEDS = frozenset(["streams"])
#: Maximum bytes per append command, in UTF-16.
_MOST = 131_072
#: Maximum bytes of queued appends, in UTF-16. A stream has 1 MiB of UTF-8 at most.
_MAX_WAITING = 4_194_304
#: Number of keep-alives an idle writer sends per TTL.
_SIGNS = 3
#: Seconds between retries.
_RETRY = 0.25

#: Called with the sender of the cancel request.
OnCancel = Callable[[Sender], Awaitable[None] | None]
#: Status a writer closes its stream with.
Outcome = Literal["complete", "cancelled", "failed"]


@dataclass(frozen=True)
class StreamEnd:
    """Where the event with the whole text of a stream is stored; ``length`` counts UTF-16 units.

    ``sequence`` is 0 where a rule disables history.

    >>> end = await stream.close()
    >>> print(end.sequence, end.length)
    """

    stream_id: str
    sequence: int
    epoch: str
    stored: str
    delivered: int
    length: int

    @classmethod
    def from_wire(cls, told: JsonObject) -> StreamEnd:
        return cls(*(told[name] for name in ("stream_id", "sequence", "epoch", "stored", "delivered", "length")))


@dataclass(eq=False)
class _Append:
    #: Bytes still to be sent.
    left: int
    taken: asyncio.Future[None]
    error: Exception | None = None


class TokenStream:
    """A stream that this client writes.

    Appends are sent in order, and batched when they come faster than the server accepts them; the stream survives a
    lost connection. As ``async with`` it ends as ``complete``, as ``failed`` after an exception, and as ``cancelled``
    when the task is cancelled.

    >>> async with client.open_stream("talk:answers") as stream:
    ...     async for token in model:
    ...         await stream.append(token)
    """

    def __init__(self, send_command: SendCommand, listeners: Listeners, opened: JsonObject, ttl_seconds: float):
        self._send_command = send_command
        self._listeners = listeners
        self._ttl = ttl_seconds
        self._offset = int(opened.get("offset") or 0)
        self._pending = bytearray()
        # The first half of a surrogate pair whose second half has not arrived yet.
        self._half = b""
        self._appends: deque[_Append] = deque()
        self._sending: asyncio.Task[None] | None = None
        self._stops: list[Callable[[], None]] = []
        self._closed = False
        self._staying = asyncio.create_task(self._stay(), name="arqonbus-stream")
        #: The stream id, used by readers.
        self.id = str(opened["stream_id"])
        #: ``room:channel``.
        self.address = f"{opened['room']}:{opened['channel']}"

    @property
    def offset(self) -> int:
        """Its length at the server, in UTF-16 units; above 0 from the start for a reopened stream.

        >>> stream.offset
        12
        """
        return self._offset

    async def append(self, text: str) -> None:
        """Appends text, and waits until the server has accepted it.

        Raises the server's refusal, for every append in the same batch; the stream continues without that text. Raises
        :class:`QueueFullError` when more than 4 MiB of UTF-16 are queued. Text from a cancelled caller is sent too.

        >>> await stream.append("Once upon ")
        """
        units = self._half + to_units(text)
        # A surrogate pair split over two appends is sent as one.
        size = whole(units)
        if len(self._pending) + size > _MAX_WAITING:
            raise QueueFullError(f"{len(self._pending)} bytes of the stream wait already: await each append.")
        self._half = units[size:]
        if size > 0:
            await self._put(units[:size])

    async def close(self, status: Outcome = "complete") -> StreamEnd:
        """Ends the stream once all appends are accepted; its whole text becomes a channel event. Raises a refusal.

        >>> await stream.close("cancelled")
        """
        try:
            half, self._half = self._half, b""
            if half:
                with contextlib.suppress(ArqonBusError):
                    await self._put(half)
            if self._sending is not None:
                await asyncio.wait((self._sending,))
            return StreamEnd.from_wire(await self._insist("stream.close", {"stream_id": self.id, "status": status}))
        finally:
            self._closed = True
            self._staying.cancel()
            for stop in self._stops:
                stop()

    def on_cancel(self, callback: OnCancel) -> Callable[[], None]:
        """Registers a callback for cancel requests (the command ``stream.cancel``); the writer decides whether to stop.

        Returns a function that removes the callback.

        >>> stream.on_cancel(lambda by: generation.cancel())
        """

        def told(notice: Envelope) -> Awaitable[None] | None:
            payload = notice["payload"]
            if payload.get("event") != "stream_cancel" or payload.get("stream_id") != self.id:
                return None
            return callback(Sender.from_wire(payload.get("by") or {}))

        self._listeners.add("notice", told)

        def stop() -> None:
            self._listeners.remove("notice", told)

        self._stops.append(stop)
        return stop

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._closed:
            return
        if kind is None:
            await self.close()
            return
        is_cancelled = issubclass(kind, asyncio.CancelledError | GeneratorExit)
        # The exception of the block takes precedence. The server ends a stream without a writer after its TTL.
        with contextlib.suppress(ArqonBusError, TimeoutError, asyncio.TimeoutError):
            await asyncio.wait_for(self.close("cancelled" if is_cancelled else "failed"), self._ttl)

    def _put(self, units: bytes) -> asyncio.Future[None]:
        self._pending += units
        append = _Append(len(units), asyncio.get_running_loop().create_future())
        self._appends.append(append)
        if self._sending is None:
            self._sending = asyncio.create_task(self._drain(), name="arqonbus-stream-appends")
        return append.taken

    async def _drain(self) -> None:
        try:
            while self._pending:
                units = bytes(self._pending[:_MOST])
                units = units[: whole(units) or len(units)]
                refusal: Exception | None = None
                try:
                    self._offset = await self._deliver(from_units(units))
                except Exception as error:
                    refusal = error
                self._advance(len(units), refusal)
        finally:
            self._sending = None

    async def _deliver(self, text: str) -> int:
        """Appends a text exactly once; returns the new total length."""
        while True:
            try:
                return await self._ask_append(text)
            except ArqonBusError as error:
                if not error.retryable:
                    raise
                pause = error.retry_after if isinstance(error, BusError) else None
                if pause is not None:
                    # Rate limited: the append was not accepted. Querying the length would count against the limit too.
                    await asyncio.sleep(max(pause, _RETRY))
                    continue
            # The server accepted all of it or nothing; its length tells which.
            offset = int((await self._insist("stream.append", {"stream_id": self.id, "text": ""}))["offset"])
            if offset > self._offset:
                return offset

    async def _ask_append(self, text: str) -> int:
        result = await self._send_command("stream.append", {"stream_id": self.id, "text": text}, needs=NEEDS)
        return int(result["offset"])

    async def _insist(self, name: str, args: JsonObject) -> JsonObject:
        """Retries until it succeeds or is refused permanently."""
        while True:
            try:
                return await self._send_command(name, args, needs=NEEDS)
            except ArqonBusError as error:
                if not error.retryable:
                    raise
                pause = error.retry_after if isinstance(error, BusError) else None
                await asyncio.sleep(max(pause or 0.0, _RETRY))

    def _advance(self, size: int, error: Exception | None) -> None:
        """Marks ``size`` bytes as accepted or refused."""
        del self._pending[:size]
        while size > 0:
            first = self._appends[0]
            done = min(size, first.left)
            size -= done
            first.left -= done
            first.error = first.error or error
            if first.left > 0:
                return
            self._appends.popleft()
            if first.taken.done():
                continue
            if first.error is None:
                first.taken.set_result(None)
            else:
                first.taken.set_exception(first.error)

    async def _stay(self) -> None:
        """Sends keep-alives while nothing is being appended."""
        while True:
            await asyncio.sleep(self._ttl / _SIGNS)
            if self._sending is not None:
                continue
            try:
                await self._ask_append("")
            except ConnectError as error:
                if not error.retryable:
                    return
            except ArqonBusError as error:
                # The stream has ended; the next append reports it.
                if error.code == "NOT_FOUND":
                    return
