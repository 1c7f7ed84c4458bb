"""Asynchronous iteration over the messages of an address."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Literal

from .address import Address
from .cursor import Cursors
from .envelope import Envelope
from .errors import ArqonBusError, invalid_argument
from .feed import Feed, OnReset
from .membership import JoinOptions, Membership
from .results import Joined, Reset, Since

if TYPE_CHECKING:
    from typing_extensions import Self

#: Called with every message, in order; a coroutine function is awaited before the next one.
OnMessage = Callable[[Envelope], Awaitable[None] | None]
#: ``replay``: stops accepting messages while the buffer is full, then has the server replay the rest from history.
#: ``drop-oldest``: drops the oldest messages to stay current.
OverflowPolicy = Literal["replay", "drop-oldest"]

log = logging.getLogger("arqonbus")


@dataclass(frozen=True)
class Consumer:
    """The consumer of a subscription, and how many messages may be buffered for it."""

    limit: int
    overflow: OverflowPolicy = "replay"
    on_message: OnMessage | None = None
    on_presence: OnMessage | None = None
    on_reset: OnReset | None = None


class Subscription:
    """The messages of one address: ``async for message in client.subscribe("science:explore")``.

    The channel is joined when the iteration starts, or on entering ``async with``, and left by :meth:`close` or on
    leaving ``async with``. Leaving the loop does not leave the channel. The iteration ends when the subscription or the
    client is closed, and raises any other cause: a connection lost permanently, or a refused rejoin.

    >>> async with client.subscribe("science:explore") as messages:
    ...     async for message in messages:
    ...         print(message["from"], message["payload"])
    """

    def __init__(
        self,
        address: Address,
        options: JoinOptions,
        consumer: Consumer,
        *,
        join: Callable[[Membership], Awaitable[Joined]],
        leave: Callable[[Membership], Awaitable[bool]],
        rejoin: Callable[[Membership], None],
    ):
        self._feed: Feed[Envelope] = Feed(str(address), consumer.limit, consumer.on_reset)
        self._membership = Membership(address, options, Cursors(), self._deliver, self._end, rejoin)
        self._overflow: OverflowPolicy = consumer.overflow if self._membership.resumable else "drop-oldest"
        self._on_message = consumer.on_message
        self._on_presence = consumer.on_presence
        self._feed.on_room = self._membership.proceed
        self._join = join
        self._leave = leave
        self._closed = False
        self._left = False
        self._opening = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        #: Whether a loop or handler is processing a message, and whether a message was ever taken.
        self._busy = False
        self._taken = False
        self._idle = asyncio.Event()
        #: The server's response to the first join; None before it.
        self.joined: Joined | None = None

    @property
    def address(self) -> str:
        """``room:channel``.

        >>> client.subscribe("science:explore").address
        'science:explore'
        """
        return str(self._membership.address)

    @property
    def result(self) -> Joined | None:
        """The server's response to the last join: the member count, and whether everything missed was recovered.

        >>> print(subscription.result.members, subscription.result.recovered)
        """
        return self._membership.result

    @property
    def closed(self) -> bool:
        """Whether it has ended, by :meth:`close` or otherwise.

        >>> if subscription.closed:
        ...     subscription = client.subscribe("science:explore")
        """
        return self._closed

    @property
    def dropped(self) -> int:
        """Number of messages lost because the reader was too slow.

        >>> print(subscription.dropped)
        """
        return self._feed.dropped + self._membership.missed

    @property
    def since(self) -> Since | None:
        """The ``since`` for a later subscription that continues after everything received here.

        To continue after the last message your code has processed, keep its :meth:`Position.of`.

        >>> client.subscribe("science:explore", since=subscription.since)
        """
        return self._membership.since

    async def open(self) -> Joined:
        """Joins now instead of on the first read. Raises the server's refusal.

        >>> joined = await subscription.open()
        """
        async with self._opening:
            if self.joined is None:
                self.joined = await self._join(self._membership)
                if self._on_message is not None:
                    self._run(self._hand_on(self._on_message))
            return self.joined

    async def close(self) -> None:
        """Leaves the channel; an iteration ends after the buffered messages. May be called again.

        >>> await subscription.close()
        """
        if self._left:
            return
        self._left = True
        self._end(StopAsyncIteration())
        if self.joined is not None:
            await self._leave(self._membership)

    async def receive(self, timeout: float | None = None) -> Envelope:
        """Returns the next message, like the iteration. Raises :class:`RequestTimeout` after ``timeout`` seconds.

        >>> message = await subscription.receive(timeout=2.0)
        """
        self._require_iterable()
        await self.open()
        return await self._take(timeout)

    async def drained(self) -> None:
        """Waits until all buffered messages are taken; if nothing ever read them, it does not wait for them."""
        while self._busy or (len(self._feed) > 0 and self._taken):
            self._idle.clear()
            await self._idle.wait()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        self._require_iterable()
        return self

    async def __anext__(self) -> Envelope:
        self._become(False)
        if not self._closed:
            await self.open()
        message = await self._take(None)
        self._become(True)
        return message

    def _require_iterable(self) -> None:
        if self._on_message is not None:
            raise invalid_argument("With on_message there is nothing to iterate.")

    async def _take(self, timeout: float | None) -> Envelope:
        self._taken = True
        try:
            return await self._feed.take(timeout)
        finally:
            self._idle.set()

    def _become(self, busy: bool) -> None:
        self._busy = busy
        self._idle.set()

    async def _hand_on(self, on_message: OnMessage) -> None:
        """Runs the callback on one message at a time."""
        while True:
            try:
                message = await self._take(None)
            except StopAsyncIteration:
                return
            except ArqonBusError as error:
                log.warning("the subscription of %s: %s", self.address, error)
                if self._closed:
                    return
                continue
            self._become(True)
            await _call(on_message, message)
            self._become(False)

    def _deliver(self, item: Envelope | Reset) -> None:
        if self._on_presence is not None and not isinstance(item, Reset) and item["type"] == "system":
            # Presence notices go to their own callback, not to the messages.
            self._run(_call(self._on_presence, item))
        elif self._overflow == "drop-oldest":
            self._feed.hold_newest(item)
        else:
            self._feed.hold(item)
            if self._feed.full:
                self._membership.pause()

    def _run(self, work: Coroutine[None, None, None]) -> None:
        # The event loop keeps only weak references: an unreferenced task may be garbage-collected early.
        task = asyncio.create_task(work, name="arqonbus-subscription")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _end(self, error: BaseException) -> None:
        self._closed = True
        self._feed.end(error)
        self._idle.set()


async def _call(callback: OnMessage, message: Envelope) -> None:
    try:
        result = callback(message)
        if inspect.isawaitable(result):
            await result
    except Exception:
        log.exception("a callback failed")
