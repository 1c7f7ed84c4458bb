"""The server's commands as typed methods (PROTOCOL section 7)."""

from __future__ import annotations

import asyncio
import re
from abc import ABC, abstractmethod
from typing import Any

from .address import given, place
from .envelope import JsonObject
from .history import History, Order
from .results import HistoryPage

#: Commands that may be sent again when the line broke before they were answered: they only read, or doing them twice
#: comes to the same.
REPEATABLE = re.compile(
    r"ping|help|status|identify|refresh_token|channel_info|history|(list|join|leave)_\w+"
    r"|op\.\w+\.(get|replay|status|watch|unwatch|dead_letters|list\w*)"
)


class CommandMethods(ABC):
    """What :class:`ArqonBusClient` offers beyond publishing and subscribing. All of it goes through :meth:`command`."""

    @abstractmethod
    async def command(self, name: str, /, *, timeout: float | None = None, **args: Any) -> JsonObject:
        """Runs a command and answers the payload of its response."""

    async def ping(self, *, timeout: float | None = None) -> float:
        """The way to the server and back, seconds.

        >>> print(f"{await client.ping() * 1000:.1f} ms")
        """
        loop = asyncio.get_running_loop()
        start = loop.time()
        await self.command("ping", timeout=timeout)
        return loop.time() - start

    async def status(self, *, timeout: float | None = None) -> JsonObject:
        """The server's figures; admins also get ``channels_detail`` and ``clients``.

        >>> print((await client.status())["connections"]["active"])
        """
        return await self.command("status", timeout=timeout)

    async def help(self, command: str | None = None, *, timeout: float | None = None) -> list[JsonObject]:
        """The commands with description, role and JSON Schema of their arguments.

        >>> print([each["name"] for each in await client.help()])
        """
        result = await self.command("help", timeout=timeout, **given(command=command))
        return list(result["commands"])

    async def rooms(self, *, timeout: float | None = None) -> list[JsonObject]:
        """The rooms that the client may see. Also ``list_rooms``.

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
        """A channel's record, its members, ``sequence`` and ``epoch``.

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
        """Makes a channel and answers its record. ``history`` is ``{"size": N, "ttl_seconds": N}``. Needs ``admin``.

        >>> await client.create_channel("science:new", description="by hand", history={"size": 100})
        """
        options = given(description=description, type=type, history=history, retain=retain)
        return await self.command("create_channel", timeout=timeout, **place(address), **options)

    async def delete_channel(self, address: str, *, timeout: float | None = None) -> None:
        """Deletes an empty channel that is not built in, and what it keeps. Needs ``admin``.

        >>> await client.delete_channel("science:new")
        """
        await self.command("delete_channel", timeout=timeout, **place(address))

    async def history_page(
        self,
        address: str,
        *,
        limit: int = 50,
        before: int | None = None,
        after: int | None = None,
        timeout: float | None = None,
    ) -> HistoryPage:
        """Up to ``limit`` (500) envelopes, oldest first: the last ones, or those next to a sequence, exclusive.

        >>> page = await client.history_page("science:explore", limit=20)
        >>> older = await client.history_page("science:explore", limit=20, before=page.previous)
        """
        bounds = given(before=before, after=after)
        result = await self.command("history", timeout=timeout, **place(address), limit=limit, **bounds)
        return HistoryPage(list(result["messages"]), result.get("next"), result.get("previous"))

    def history(
        self,
        address: str,
        *,
        after: int = 0,
        before: int | None = None,
        order: Order = "oldest-first",
        page_size: int = 100,
        limit: int | None = None,
        timeout: float | None = None,
    ) -> History:
        """What a channel keeps, fetched as it is consumed: nothing is asked for before it is iterated.

        >>> async for message in client.history("science:explore", order="newest-first", limit=20):
        ...     print(message["payload"])

        :param after: only what comes after this sequence
        :param before: only what comes before this sequence
        :param limit: messages in all
        :param timeout: seconds for each page
        """

        async def ask(count: int, before: int | None, after: int | None) -> HistoryPage:
            return await self.history_page(address, limit=count, before=before, after=after, timeout=timeout)

        place(address)
        return History(ask, after, before, order, page_size, limit)
