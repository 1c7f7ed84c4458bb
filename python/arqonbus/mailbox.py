"""A bounded queue between the reader of a connection and whoever takes the messages."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

from .errors import RequestTimeout

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Items in order for any number of takers; none is lost when a taker is cancelled or times out.

    ``asyncio.Queue.get`` under a timeout can lose an item on the Python versions supported here, and it cannot end.
    """

    def __init__(self, limit: int):
        self._items: deque[T] = deque()
        self._limit = limit
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._end: BaseException | None = None

    def __len__(self) -> int:
        return len(self._items)

    @property
    def full(self) -> bool:
        return len(self._items) >= self._limit

    def put(self, item: T) -> None:
        """Adds an item, whatever the limit: who puts decides by :attr:`full` what to do about it."""
        self._items.append(item)
        self._wake()

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
