"""Messages on their way to a taker, with every loss told at its place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from .errors import StreamReset
from .mailbox import Mailbox
from .results import Reset

T = TypeVar("T")

#: Told of a loss. May be a coroutine function: the messages after the loss wait for it.
OnReset = Callable[[Reset], Awaitable[None] | None]


class Feed(Generic[T]):
    """A bounded queue of messages. ``name`` is what an overflow is reported of."""

    def __init__(self, name: str, limit: int, on_reset: OnReset | None):
        self._name = name
        self._mailbox: Mailbox[T | Reset] = Mailbox(limit)
        self._on_reset = on_reset
        self._overflown = False

    def deliver(self, item: T | Reset) -> None:
        """Adds a message; a full feed drops it and tells a :class:`Reset`, once for all that are dropped in a row."""
        if isinstance(item, Reset) or not self._mailbox.full:
            self._overflown = False
            self._mailbox.put(item)
        elif not self._overflown:
            self._overflown = True
            self._mailbox.put(Reset(self._name, "overflow"))

    async def take(self, timeout: float | None = None) -> T:
        """The next message. A loss on the way goes to ``on_reset``; without one :class:`StreamReset` is raised."""
        while True:
            item = await self._mailbox.take(timeout)
            if not isinstance(item, Reset):
                return item
            if self._on_reset is None:
                raise StreamReset(item)
            result = self._on_reset(item)
            if result is not None:
                await result

    def end(self, error: BaseException) -> None:
        """Takers get what is there, and then ``error``."""
        self._mailbox.end(error)
