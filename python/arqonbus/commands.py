"""The server's commands as typed methods (PROTOCOL section 7)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from typing import Any

from .arguments import given, place
from .envelope import Envelope, JsonObject
from .results import HistoryPage

#: Most envelopes that one ``history`` command answers with.
_PAGE_LIMIT = 500


class CommandMethods(ABC):
    """What :class:`ArqonBusClient` offers beyond publishing and subscribing. All of it goes through :meth:`command`."""

    @abstractmethod
    async def command(self, name: str, /, *, timeout: float | None = None, **args: Any) -> JsonObject:
        """Runs a command and answers the payload of its response."""

    async def ping(self, *, timeout: float | None = None) -> str:
        """Asks the server for its time, RFC 3339: the whole way there and back works."""
        result = await self.command("ping", timeout=timeout)
        return str(result["timestamp"])

    async def status(self) -> JsonObject:
        """The server's figures; admins also get ``channels_detail`` and ``clients``."""
        return await self.command("status")

    async def help(self, command: str | None = None) -> list[JsonObject]:
        """The commands with description, role and JSON Schema of their arguments."""
        result = await self.command("help", **given(command=command))
        return list(result["commands"])

    async def list_rooms(self) -> list[JsonObject]:
        return list((await self.command("list_rooms"))["rooms"])

    async def list_channels(self, room: str) -> list[JsonObject]:
        return list((await self.command("list_channels", room=room))["channels"])

    async def channel_info(self, address: str) -> JsonObject:
        """A channel's record, its members, ``sequence`` and ``epoch``."""
        return await self.command("channel_info", **place(address))

    async def create_channel(
        self,
        address: str,
        *,
        description: str | None = None,
        type: str | None = None,
        history: JsonObject | None = None,
        retain: bool | None = None,
    ) -> JsonObject:
        """Makes a channel and answers its record. ``history`` is ``{"size": N, "ttl_seconds": N}``. Needs ``admin``."""
        options = given(description=description, type=type, history=history, retain=retain)
        return await self.command("create_channel", **place(address), **options)

    async def delete_channel(self, address: str) -> None:
        """Deletes an empty channel that is not built in. Needs ``admin``."""
        await self.command("delete_channel", **place(address))

    async def history_page(
        self, address: str, *, limit: int = 50, before: int | None = None, after: int | None = None
    ) -> HistoryPage:
        """Up to ``limit`` (500) envelopes, oldest first: the last ones, or those next to a sequence, exclusive."""
        bounds = given(before=before, after=after)
        result = await self.command("history", **place(address), limit=limit, **bounds)
        return HistoryPage(list(result["messages"]), result.get("next"), result.get("previous"))

    async def history(self, address: str, *, after: int = 0, limit: int | None = None) -> AsyncIterator[Envelope]:
        """Everything kept of a channel after a sequence, oldest first, at most ``limit``, fetched as it is consumed."""
        left = limit
        while left is None or left > 0:
            page = await self.history_page(
                address, after=after, limit=_PAGE_LIMIT if left is None else min(left, _PAGE_LIMIT)
            )
            for envelope in page.messages:
                yield envelope
            if page.next is None or not page.messages:
                return
            after = page.next
            left = None if left is None else left - len(page.messages)
