"""The server's commands as typed methods (PROTOCOL section 7)."""

from __future__ import annotations

import asyncio
import re
from abc import ABC, abstractmethod
from datetime import datetime
from typing import Any

from .address import given, place, stored_place
from .envelope import JsonObject
from .errors import BusError, ConnectionClosed, RequestTimeout
from .history import History, Order
from .options import wire_time
from .outgoing import SendCommand
from .results import HistoryPage, PageCursor, Since, since_from_wire, since_to_wire

#: Maximum time that the server waits before it responds, in milliseconds.
MAX_WAIT_MS = 55_000
_WAIT = frozenset(["wait"])
#: Pause between two waits that returned too early, in seconds.
_PAUSE = 0.2

#: Commands that may be sent again when the connection was lost before the response: they are read-only or idempotent.
REPEATABLE = re.compile(
    r"ping|help|status|identify|refresh_token|channel_info|history|(list|join|leave)_\w+"
    r"|delivery\.extend|presence_update|group\.(list|info|dead_letters)|stream\.list"
    r"|op\.\w+\.(get|renew|replay|status|watch|unwatch|dead_letters|list\w*)"
)


def _since(since: Since | datetime | None) -> JsonObject | None:
    if isinstance(since, datetime):
        return {"time": wire_time(since, "since")}
    return None if since is None else since_to_wire(since)


class CommandMethods(ABC):
    """Command methods of :class:`ArqonBusClient`. All of them use :meth:`command`."""

    _send_command: SendCommand
    _request_timeout: float

    @abstractmethod
    async def command(self, name: str, /, *, timeout: float | None = None, **args: Any) -> JsonObject:
        """Runs a command and returns the payload of its response."""

    async def ping(self, *, timeout: float | None = None) -> float:
        """The round-trip time to the server, in seconds.

        >>> print(f"{await client.ping() * 1000:.1f} ms")
        """
        loop = asyncio.get_running_loop()
        start = loop.time()
        await self.command("ping", timeout=timeout)
        return loop.time() - start

    async def status(self, *, timeout: float | None = None) -> JsonObject:
        """The server's statistics; admins also get ``channels_detail`` and ``clients``.

        >>> print((await client.status())["connections"]["active"])
        """
        return await self.command("status", timeout=timeout)

    async def help(self, command: str | None = None, *, timeout: float | None = None) -> list[JsonObject]:
        """The commands, with description, role and JSON Schema of their arguments.

        >>> print([each["name"] for each in await client.help()])
        """
        result = await self.command("help", timeout=timeout, **given(command=command))
        return list(result["commands"])

    async def rooms(self, *, timeout: float | None = None) -> list[JsonObject]:
        """The rooms visible to the client. Also ``list_rooms``.

        >>> print([each["room"] for each in await client.rooms()])
        """
        return list((await self.command("list_rooms", timeout=timeout))["rooms"])

    async def channels(self, room: str, *, timeout: float | None = None) -> list[JsonObject]:
        """The channels of a room. Also ``list_channels``.

        >>> print([each["channel"] for each in await client.channels("science")])
        """
        return list((await self.command("list_channels", timeout=timeout, room=room))["channels"])

    list_rooms = rooms
    list_channels = channels

    async def channel_info(self, address: str, *, timeout: float | None = None) -> JsonObject:
        """The record of a channel, its members, ``sequence`` and ``epoch``.

        >>> print((await client.channel_info("science:explore"))["members"])
        """
        return await self.command("channel_info", timeout=timeout, **place(address))

    async def create_channel(
        self,
        address: str,
        *,
        description: str | None = None,
        type: str | None = None,
        history: JsonObject | None = None,
        retain: bool | None = None,
        timeout: float | None = None,
    ) -> JsonObject:
        """Creates a channel and returns its record. ``history`` is ``{"size": N, "ttl_seconds": N}``. Needs ``admin``.

        >>> await client.create_channel("science:new", description="by hand", history={"size": 100})
        """
        options = given(description=description, type=type, history=history, retain=retain)
        return await self.command("create_channel", timeout=timeout, **place(address), **options)

    async def delete_channel(self, address: str, *, timeout: float | None = None) -> None:
        """Deletes an empty channel that is not built in, and its stored messages. Needs ``admin``.

        >>> await client.delete_channel("science:new")
        """
        await self.command("delete_channel", timeout=timeout, **place(address))

    async def history_page(
        self,
        address: str,
        *,
        limit: int = 50,
        before: PageCursor | None = None,
        after: PageCursor | None = None,
        since: Since | datetime | None = None,
        timeout: float | None = None,
    ) -> HistoryPage:
        """Up to ``limit`` (500) envelopes, oldest first: the latest, or those before or after a sequence, exclusive.

        A room without a channel is all of its channels, merged by time; ``room:*`` is its room-wide events, and
        ``@NAME`` a mailbox. ``since`` selects those after a position (or positions by channel), or after a time.

        >>> page = await client.history_page("science:explore", limit=20)
        >>> older = await client.history_page("science:explore", limit=20, before=page.previous)
        """
        bounds = given(before=before, after=after, since=_since(since))
        result = await self.command("history", timeout=timeout, **stored_place(address), limit=limit, **bounds)
        return HistoryPage.from_payload(result)

    async def wait(
        self,
        place: str,
        *,
        since: Since | datetime | None = None,
        timeout_ms: float = 30_000,
        limit: int = 50,
    ) -> HistoryPage:
        """Waits for messages after ``since``, without joining; returns them and the position to continue from.

        The page is empty when nothing arrives within ``timeout_ms``. Its ``position`` is the ``since`` of the next
        wait; ``recovered`` is False when something in between is no longer stored. The wait survives a lost connection.

        >>> page = await client.wait("science:explore", since=position, timeout_ms=50_000)
        >>> position = page.position

        :param place: ``room:channel``, a room, or the mailbox ``@NAME``
        :param since: a position, positions by channel, or a time; by default, new messages only
        :param limit: maximum messages in the page, at most 500
        """
        where = stored_place(place)
        after = _since(since)
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_ms / 1000
        if after is None:
            # Get the current position first; with wait_ms the channel need not exist yet, and 0 returns at once.
            last = await self._send_command("history", {**where, "limit": 1, "wait_ms": 0}, needs=_WAIT)
            after = last["position"]
        while True:
            left = min(MAX_WAIT_MS, max(0, round((end - loop.time()) * 1000)))
            args = {**where, "since": after, "limit": limit, "wait_ms": left}
            asked_at = loop.time()
            try:
                page = HistoryPage.from_payload(
                    await self._send_command(
                        "history", args, timeout=left / 1000 + self._request_timeout, needs=_WAIT, waits=True
                    )
                )
            except ConnectionClosed as error:
                if not error.retryable:
                    raise
                continue
            except RequestTimeout:
                # The connection was down, or came back too late for the rest of the wait.
                if loop.time() < end or "time" in after:
                    raise
                return HistoryPage([], None, None, since_from_wire(after))
            except BusError as error:
                if error.retry_after is None or loop.time() + error.retry_after >= end:
                    raise
                await asyncio.sleep(error.retry_after)
                continue
            if page.messages or page.recovered is False or loop.time() >= end:
                return page
            if loop.time() - asked_at < left / 2_000:
                # Avoid a tight loop with a server that does not wait.
                await asyncio.sleep(_PAUSE)
            # The stream may have advanced without a message for this client.
            after = since_to_wire(page.position) if page.position else after

    def history(
        self,
        address: str,
        *,
        after: PageCursor = 0,
        before: PageCursor | None = None,
        order: Order = "oldest-first",
        page_size: int = 100,
        limit: int | None = None,
        timeout: float | None = None,
    ) -> History:
        """The history of a channel, fetched lazily during iteration.

        >>> async for message in client.history("science:explore", order="newest-first", limit=20):
        ...     print(message["payload"])

        :param after: only messages after this sequence; for a room, after the ``next`` of a page
        :param before: only messages before this sequence; for a room, before the ``previous`` of a page
        :param limit: maximum messages in total
        :param timeout: seconds per page
        """

        async def ask(count: int, before: PageCursor | None, after: PageCursor | None) -> HistoryPage:
            return await self.history_page(address, limit=count, before=before, after=after, timeout=timeout)

        stored_place(address)
        return History(ask, after, before, order, page_size, limit)
