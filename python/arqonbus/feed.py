"""Message queues between the connection's reader and a consumer, with every loss reported in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from .errors import RequestTimeout, StreamReset
from .results import Reset

T = TypeVar("T")

#: Called on a loss. May be a coroutine function: it is awaited before the messages after the loss.
OnReset = Callable[[Reset], Awaitable[None] | None]


class AsyncQueue(Generic[T]):
    """A queue for any number of consumers; no item is lost when a consumer is cancelled or times out.

    ``asyncio.Queue.get`` under a timeout can lose an item on the supported Python versions, and it cannot be ended.
    """

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._end: BaseException | None = None

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> None:
        """Adds an item. Unbounded: the caller enforces limits."""
        self._items.append(item)
        self._wake()

    def drop_first(self) -> None:
        """Drops the oldest item."""
        self._items.popleft()

    def clear(self) -> None:
        """Drops all items."""
        self._items.clear()

    def end(self, error: BaseException) -> None:
        """Ends the queue: consumers get the remaining items, and then ``error``."""
        if self._end is None:
            self._end = error
        while self._waiters:
            self._wake()

    async def take(self, timeout: float | None = None) -> T:
        """The next item. Raises :class:`RequestTimeout` after ``timeout`` seconds, or the error of :meth:`end`."""
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        while not self._items:
            if self._end is not None:
                raise self._end.with_traceback(None)
            waiter: asyncio.Future[None] = loop.create_future()
            self._waiters.append(waiter)
            remaining = None if deadline is None else max(0.0, deadline - loop.time())
            try:
                await asyncio.wait((waiter,), timeout=remaining)
            except asyncio.CancelledError:
                # Pass the wake-up on to another waiter.
                if waiter.done() and self._items:
                    self._wake()
                raise
            finally:
                if not waiter.done():
                    self._waiters.remove(waiter)
            if not waiter.done():
                raise RequestTimeout(f"No message within {timeout:g} s.")
        return self._items.popleft()

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return


class Feed(Generic[T]):
    """A bounded message queue. ``name`` identifies it in overflow reports."""

    def __init__(self, name: str, limit: int, on_reset: OnReset | None):
        self._name = name
        self._limit = limit
        self._queue: AsyncQueue[T | Reset] = AsyncQueue()
        self._on_reset = on_reset
        self._overflown = False
        #: Called when a feed that was full is half empty again.
        self.on_room: Callable[[], None] | None = None
        #: Messages dropped because the consumer was too slow.
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def full(self) -> bool:
        return len(self._queue) >= self._limit

    def deliver(self, item: T | Reset) -> None:
        """Adds a message; a full feed drops it and adds one :class:`Reset` per run of dropped messages."""
        if isinstance(item, Reset) or not self.full:
            self._overflown = False
            self._queue.put(item)
            return
        self.dropped += 1
        if not self._overflown:
            self._overflown = True
            self._queue.put(Reset(self._name, "overflow"))

    def hold(self, item: T | Reset) -> None:
        """Adds a message, even to a full feed."""
        self._queue.put(item)

    def hold_newest(self, item: T | Reset) -> None:
        """Adds a message; a full feed drops its oldest one."""
        self._queue.put(item)
        if len(self._queue) > self._limit:
            self._queue.drop_first()
            self.dropped += 1

    async def take(self, timeout: float | None = None) -> T:
        """Returns the next message. A loss is passed to ``on_reset``; without it, :class:`StreamReset` is raised."""
        while True:
            item = await self._queue.take(timeout)
            if self.on_room is not None and len(self._queue) <= self._limit // 2:
                self.on_room()
            if not isinstance(item, Reset):
                return item
            if self._on_reset is None:
                raise StreamReset(item)
            result = self._on_reset(item)
            if result is not None:
                await result

    def end(self, error: BaseException) -> None:
        """Ends the feed: consumers get the remaining messages, and then ``error``."""
        self._queue.end(error)
