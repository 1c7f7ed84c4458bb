"""Watches of stored keys, kept across reconnects."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import TYPE_CHECKING

from .envelope import Envelope, JsonObject
from .errors import ArqonBusError, ConnectError
from .feed import Feed, OnReset
from .outgoing import SendCommand
from .results import Reset, StoreChange

if TYPE_CHECKING:
    from typing_extensions import Self


class StoreWatch:
    """Changes of the keys with a prefix in a namespace: ``async for change in client.store.watch("jobs/")``.

    Watching starts with the iteration or on entering ``async with``. After a reconnect it continues with a
    :class:`Reset` (``watch_interrupted``), since changes in between are not reported: read the keys again.

    >>> async for change in client.store.watch("jobs/", on_reset=read_all):
    ...     print(change.key, change.operation)
    """

    def __init__(self, watches: Watches, namespace: str, prefix: str, on_reset: OnReset | None, limit: int):
        self.namespace = namespace
        self.prefix = prefix
        self._watches = watches
        self._feed: Feed[StoreChange] = Feed(f"store {namespace}/{prefix}*", limit, on_reset)
        self._opened = False
        self._opening = asyncio.Lock()
        self._closed = False

    async def open(self) -> None:
        """Starts watching now instead of on the first read.

        >>> await watch.open()
        """
        async with self._opening:
            if not self._opened:
                await self._watches.start(self)
                self._opened = True

    async def close(self) -> None:
        """Stops watching. May be called again.

        >>> await watch.close()
        """
        if self._closed:
            return
        self._closed = True
        self._feed.end(StopAsyncIteration())
        if self._opened:
            await self._watches.stop(self)

    async def receive(self, timeout: float | None = None) -> StoreChange:
        """Returns the next change. Raises :class:`RequestTimeout` after ``timeout`` seconds.

        >>> change = await watch.receive(timeout=2.0)
        """
        await self.open()
        return await self._feed.take(timeout)

    def offer(self, change: StoreChange) -> None:
        if change.namespace == self.namespace and change.key.startswith(self.prefix):
            self._feed.deliver(change)

    def interrupted(self) -> None:
        self._feed.deliver(Reset(f"store {self.namespace}/{self.prefix}*", "watch_interrupted"))

    def end(self, error: BaseException) -> None:
        self._feed.end(error)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StoreChange:
        if not self._closed:
            await self.open()
        return await self._feed.take()


class Watches:
    """All active watches of a client."""

    def __init__(self, send_command: SendCommand) -> None:
        self._send_command = send_command
        self._watches: list[StoreWatch] = []

    async def start(self, watch: StoreWatch) -> None:
        self._watches.append(watch)
        try:
            await self._send_command("op.store.watch", _scope(watch))
        except BaseException:
            self._watches.remove(watch)
            raise

    async def stop(self, watch: StoreWatch) -> None:
        """Stops a watch. The server keeps one per scope, needed while another watch of this client has the same."""
        if watch not in self._watches:
            return
        self._watches.remove(watch)
        if any(_scope(other) == _scope(watch) for other in self._watches):
            return
        # The server forgets watches with their connection, and this one is not restored.
        with contextlib.suppress(ConnectError):
            await self._send_command("op.store.unwatch", _scope(watch))

    async def restore(self) -> None:
        """Restores the watches on a new connection."""
        await asyncio.gather(*(self._restart(watch) for watch in tuple(self._watches)))

    async def _restart(self, watch: StoreWatch) -> None:
        try:
            await self._send_command("op.store.watch", _scope(watch), restoring=True)
        except ConnectError:
            return  # the next connection restores it
        except ArqonBusError as error:
            if watch in self._watches:
                self._watches.remove(watch)
            watch.end(error)
            return
        watch.interrupted()

    def offer(self, envelope: Envelope) -> bool:
        """Handles a ``store_changed`` notice. False when there is no watch."""
        payload = envelope["payload"]
        change = StoreChange(
            payload["namespace"], payload["key"], payload["operation"], payload["version"], payload.get("value")
        )
        for watch in self._watches:
            watch.offer(change)
        return bool(self._watches)

    def end(self, error: BaseException) -> None:
        for watch in self._watches:
            watch.end(error)


def _scope(watch: StoreWatch) -> JsonObject:
    return {"namespace": watch.namespace, "prefix": watch.prefix}
