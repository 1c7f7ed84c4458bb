"""Token streams: texts that are read while they grow."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from types import TracebackType
from typing import Any

from .address import Address, given, parse_address, place
from .commands import CommandMethods
from .errors import invalid_argument, missing_feature
from .history import History
from .stream_reader import read_text
from .subscribing import SubscribeMethods
from .subscription import Subscription
from .token_stream import NEEDS, TokenStream

#: Default time that a stream stays open without a writer, in seconds.
_TTL_SECONDS = 30


class StreamMethods(CommandMethods, SubscribeMethods):
    """Methods of :class:`ArqonBusClient` to write and read token streams."""

    def open_stream(
        self,
        address: str,
        *,
        id: str | None = None,
        ttl_seconds: int | None = None,
        timeout: float | None = None,
    ) -> StreamOpening:
        """Opens a text stream, stored as one event when it ends; continues an existing stream with this ``id``.

        ``async with`` ends the stream on leaving; when awaited instead, call :meth:`TokenStream.close`. Raises the
        server's refusal, such as ``ALREADY_EXISTS`` when another client has an open stream with this ``id``.

        >>> async with client.open_stream("talk:answers") as stream:
        ...     await client.publish("talk:answers", {"answer": stream.id})
        ...     async for token in model:
        ...         await stream.append(token)

        :param id: 1-64 letters, digits, ``.``, ``_`` or ``-``; by default an unguessable one
        :param ttl_seconds: how long it stays open without a writer, 1 to 3,600 (30); this client sends keep-alives
        """
        seconds = _TTL_SECONDS if ttl_seconds is None else ttl_seconds
        args = {**place(address), **given(id=id), "ttl_seconds": seconds}

        async def begin() -> TokenStream:
            opened = await self._send_command("stream.open", args, timeout=timeout, needs=NEEDS)
            return TokenStream(self._send_command, self._router.listeners, opened, seconds)

        return StreamOpening(begin)

    def read_stream(self, id: str, room: str | None = None, channel: str | None = None) -> AsyncGenerator[str, None]:
        """Yields the text of a stream as it grows, from its beginning, across reconnects.

        It ends when the stream is complete or cancelled, and raises :class:`StreamError` when the stream failed or lost
        its writer. A lookup by id alone finds only open streams (otherwise ``NOT_FOUND``).

        >>> async for text in client.read_stream(id, "talk", "answers"):
        ...     print(text, end="")

        :param room: the room of the stream, with ``channel``; or both in one, as ``room:channel``
        """
        where = None
        if room is not None:
            where = parse_address(room if channel is None else f"{room}:{channel}", patterns=False)
        if (channel is not None and room is None) or (where is not None and where.is_many):
            raise invalid_argument('A stream is in one channel: give its "room" and its "channel".', field="channel")
        welcome = self._router.welcome
        if welcome and not NEEDS <= {*welcome.get("features", ())}:
            raise missing_feature("streams")
        return read_text(self._send_command, self._echoed, self._newest, id, where)

    def _echoed(self, address: Address) -> Subscription:
        return self.subscribe(str(address), echo=True)

    def _newest(self, address: Address, limit: int) -> History:
        return self.history(str(address), order="newest-first", limit=limit)


class StreamOpening:
    """A stream to be opened: ``async with``, or ``await``.

    >>> stream = await client.open_stream("talk:answers")
    """

    def __init__(self, open: Callable[[], Awaitable[TokenStream]]):
        self._open = open
        self._stream: TokenStream | None = None

    def __await__(self) -> Generator[Any, None, TokenStream]:
        return self._open().__await__()

    async def __aenter__(self) -> TokenStream:
        self._stream = await self._open()
        return self._stream

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            await self._stream.__aexit__(kind, error, trace)
