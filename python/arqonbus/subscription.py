"""Asynchronous iteration over what is published at an address."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING

from .cursor import Cursors
from .envelope import Address, Envelope
from .feed import Feed, OnReset
from .membership import JoinOptions, Membership
from .results import Joined

if TYPE_CHECKING:
    from typing_extensions import Self


class Subscription:
    """The messages of one address: ``async for message in client.subscribe("science:explore")``.

    The channel is joined when the iteration starts, or on entering ``async with``, and left by :meth:`close` or on
    leaving ``async with``. Leaving the loop does not leave the channel. The iteration ends when the subscription or
    the client is closed, and raises what else ended it: a connection that is not coming back, or a refused rejoin.
    """

    def __init__(
        self,
        address: Address,
        options: JoinOptions,
        *,
        join: Callable[[Membership], Awaitable[Joined]],
        leave: Callable[[Membership], Awaitable[bool]],
        on_reset: OnReset | None,
        limit: int,
    ):
        self._feed: Feed[Envelope] = Feed(str(address), limit, on_reset)
        self._membership = Membership(address, options, Cursors(), self._feed.deliver, self._feed.end)
        self._join = join
        self._leave = leave
        self._closed = False
        self._opening = asyncio.Lock()
        #: The server's answer to the first join; None before it.
        self.joined: Joined | None = None

    @property
    def address(self) -> str:
        return str(self._membership.address)

    async def open(self) -> Joined:
        """Joins now, rather than with the first message taken. Raises what the server refuses."""
        async with self._opening:
            if self.joined is None:
                self.joined = await self._join(self._membership)
            return self.joined

    async def close(self) -> None:
        """Leaves the channel; an iteration ends after the messages that have arrived. May be called again."""
        if self._closed:
            return
        self._closed = True
        self._feed.end(StopAsyncIteration())
        if self.joined is not None:
            await self._leave(self._membership)

    async def receive(self, timeout: float | None = None) -> Envelope:
        """The next message, like the iteration, but raising :class:`RequestTimeout` after ``timeout`` seconds."""
        await self.open()
        return await self._feed.take(timeout)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Envelope:
        if not self._closed:
            await self.open()
        return await self._feed.take()
