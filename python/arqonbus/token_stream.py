"""A text that others read while it is written."""

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

#: What the server has to offer.
NEEDS = frozenset(["streams"])
#: So many bytes of appends, in UTF-16, go out as one.
_MOST = 131_072
#: Bytes of appends, in UTF-16, that may wait to be sent. A stream has 1 MiB of UTF-8 at most.
_MAX_WAITING = 4_194_304
#: A writer that is silent says so often within its time that it is there.
_SIGNS = 3
#: Between two tries of what may succeed later, seconds.
_RETRY = 0.25

#: Gets who asked the writer to stop.
OnCancel = Callable[[Sender], Awaitable[None] | None]
#: How a writer ends its stream.
Outcome = Literal["complete", "cancelled", "failed"]


@dataclass(frozen=True)
class StreamEnd:
    """Where the event with the whole text of a stream is; ``length`` counts UTF-16 units.

    ``sequence`` is 0 where a rule keeps no events.

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
    #: Bytes that are still to be sent.
    left: int
    taken: asyncio.Future[None]
    error: Exception | None = None


class TokenStream:
    """A stream that this client writes.

    What is appended goes out in order, together when it comes faster than it is taken; a lost line is waited for. As
    ``async with`` it ends as ``complete``, as ``failed`` after an exception, as ``cancelled`` when the task is.

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
        # The first half of a character whose second is still to come.
        self._half = b""
        self._appends: deque[_Append] = deque()
        self._sending: asyncio.Task[None] | None = None
        self._stops: list[Callable[[], None]] = []
        self._closed = False
        self._staying = asyncio.create_task(self._stay(), name="arqonbus-stream")
        #: By it readers find the stream.
        self.id = str(opened["stream_id"])
        #: ``room:channel``.
        self.address = f"{opened['room']}:{opened['channel']}"

    @property
    def offset(self) -> int:
        """Its length at the server, in UTF-16 units; more than 0 at once when a stream was opened again.

        >>> stream.offset
        12
        """
        return self._offset

    async def append(self, text: str) -> None:
        """Appends, and waits until the server has it.

        Raises what refuses it, for whatever else went out with it too; the stream goes on without that. Raises
        :class:`QueueFullError` when more than 4 MiB of UTF-16 wait. What a cancelled caller has given goes out too.

        >>> await stream.append("Once upon ")
        """
        units = self._half + to_units(text)
        # A character that comes in two halves goes out as one.
        size = whole(units)
        if len(self._pending) + size > _MAX_WAITING:
            raise QueueFullError(f"{len(self._pending)} bytes of the stream wait already: await each append.")
        self._half = units[size:]
        if size > 0:
            await self._put(units[:size])

    async def close(self, status: Outcome = "complete") -> StreamEnd:
        """Ends it once all was taken: its whole text is an event of the channel from now on. Raises what refuses that.

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
        """Calls back when a reader asks to stop (the command ``stream.cancel``); whether it does is the writer's.

        Answers the way to call back no more.

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
        # What went wrong in the block matters more. After its time the server ends it without a writer.
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
        """Has the server append a text once; answers the length of the whole."""
        while True:
            try:
                return await self._ask_append(text)
            except ArqonBusError as error:
                if not error.retryable:
                    raise
                pause = error.retry_after if isinstance(error, BusError) else None
                if pause is not None:
                    # It came too fast and was not taken. Asking for the length would count as one more.
                    await asyncio.sleep(max(pause, _RETRY))
                    continue
            # The server has all of it or nothing, which its length tells.
            offset = int((await self._insist("stream.append", {"stream_id": self.id, "text": ""}))["offset"])
            if offset > self._offset:
                return offset

    async def _ask_append(self, text: str) -> int:
        result = await self._send_command("stream.append", {"stream_id": self.id, "text": text}, needs=NEEDS)
        return int(result["offset"])

    async def _insist(self, name: str, args: JsonObject) -> JsonObject:
        """Asks until it is answered or refused for good."""
        while True:
            try:
                return await self._send_command(name, args, needs=NEEDS)
            except ArqonBusError as error:
                if not error.retryable:
                    raise
                pause = error.retry_after if isinstance(error, BusError) else None
                await asyncio.sleep(max(pause or 0.0, _RETRY))

    def _advance(self, size: int, error: Exception | None) -> None:
        """So many bytes are taken, or refused."""
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
        """Says in time that the writer is there, unless what it appends says so."""
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
                # It has ended, which the next append tells.
                if error.code == "NOT_FOUND":
                    return
