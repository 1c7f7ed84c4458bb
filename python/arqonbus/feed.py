"""Messages on their way from the reader of a connection to a taker, with every loss told at its place."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from .errors import RequestTimeout, StreamReset
from .results import Reset

T = TypeVar("T")

#: Told of a loss. May be a coroutine function: the messages after the loss wait for it.
OnReset = Callable[[Reset], Awaitable[None] | None]


class AsyncQueue(Generic[T]):
    """Items in order for any number of takers; none is lost when a taker is cancelled or times out.

    ``asyncio.Queue.get`` under a timeout can lose an item on the Python versions supported here, and it cannot end.
    """

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._end: BaseException | None = None

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> None:
        """Adds an item, however many there are: who puts decides what to do about it."""
        self._items.append(item)
        self._wake()

    def drop_first(self) -> None:
        """Forgets the oldest item."""
        self._items.popleft()

    def clear(self) -> None:
        """Forgets everything that was not taken."""
        self._items.clear()

    def end(self, error: BaseException) -> None:
        """No more will come: takers get what is there, and then ``error``."""
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
                # The wake-up was meant for somebody who still waits.
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
    """A queue of messages that knows when it is full. ``name`` is what an overflow is reported of."""

    def __init__(self, name: str, limit: int, on_reset: OnReset | None):
        self._name = name
        self._limit = limit
        self._queue: AsyncQueue[T | Reset] = AsyncQueue()
        self._on_reset = on_reset
        self._overflown = False
        #: Told when half of a feed that was full is free again.
        self.on_room: Callable[[], None] | None = None
        #: Messages lost for good because nobody took them in time.
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def full(self) -> bool:
        return len(self._queue) >= self._limit

    def deliver(self, item: T | Reset) -> None:
        """Adds a message; a full feed drops it and tells a :class:`Reset`, once for all that are dropped in a row."""
        if isinstance(item, Reset) or not self.full:
            self._overflown = False
            self._queue.put(item)
            return
        self.dropped += 1
        if not self._overflown:
            self._overflown = True
            self._queue.put(Reset(self._name, "overflow"))

    def hold(self, item: T | Reset) -> None:
        """Adds a message, full or not."""
        self._queue.put(item)

    def hold_newest(self, item: T | Reset) -> None:
        """Adds a message; a full feed loses its oldest one for it."""
        self._queue.put(item)
        if len(self._queue) > self._limit:
            self._queue.drop_first()
            self.dropped += 1

    async def take(self, timeout: float | None = None) -> T:
        """The next message. A loss on the way goes to ``on_reset``; without one :class:`StreamReset` is raised."""
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
        """Takers get what is there, and then ``error``."""
        self._queue.end(error)
