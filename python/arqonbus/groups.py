"""The groups of a channel, room or pattern: their settings, their progress, and what nobody could deal with."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from .address import given, source
from .commands import MAX_WAIT_MS
from .delivery import Delivery, Settlements
from .envelope import Envelope, JsonObject
from .options import wire_time
from .outgoing import SendCommand
from .results import Position

#: Where a new group begins: with what comes from now on, with all that is kept, after a position, or at a time.
Start = Literal["new", "all"] | Position | datetime

_NEEDS = frozenset(["groups"])


class Groups:
    """``client.groups``: durable cursors that several clients work off together.

    ``client.subscribe(address, group=NAME)`` takes part in one, and makes it with the defaults if it is not there.

    >>> await client.groups.create("orders:new", "billing", start="all", max_attempts=3)
    """

    def __init__(self, send_command: SendCommand, settlements: Settlements, request_timeout: float):
        self._send_command = send_command
        self._settlements = settlements
        self._request_timeout = request_timeout

    async def create(
        self,
        address: str,
        group: str,
        *,
        start: Start | None = None,
        ack_wait_seconds: float | None = None,
        max_attempts: int | None = None,
        backoff_seconds: Sequence[float] | None = None,
        max_unacked: int | None = None,
        dead_letter: str | None = None,
        key: str | None = None,
        expires_seconds: float | None = None,
    ) -> JsonObject:
        """Makes a group and answers its settings. Raises ``CONFLICT`` when it is there with other settings.

        >>> await client.groups.create("orders:*", "billing", key="metadata.customer", ack_wait_seconds=60)

        :param address: a channel, a room (``orders:*``) or a pattern
        :param start: ``new`` (the default), ``all``, a :class:`Position` or a time
        :param ack_wait_seconds: how long a member has a message (30); after it another one gets it
        :param max_attempts: after so many (5) it is a dead letter
        :param backoff_seconds: how long each attempt waits for the next (1, 5, 30)
        :param max_unacked: messages that all members together have (256)
        :param dead_letter: where dead letters are published; by default the same channel with ``.dead``
        :param key: the metadata field whose equal values stay with one member, in order: ``metadata.NAME``
        :param expires_seconds: a group without members and calls for so long is deleted
        """
        settings = given(
            start=_start(start),
            ack_wait_seconds=ack_wait_seconds,
            max_attempts=max_attempts,
            backoff_seconds=None if backoff_seconds is None else list(backoff_seconds),
            max_unacked=max_unacked,
            dead_letter=dead_letter,
            key=key,
            expires_seconds=expires_seconds,
        )
        return await self._run("create", address, group, **settings)

    async def list(self, address: str | None = None) -> Sequence[JsonObject]:
        """The groups, or those of a room or channel.

        >>> for group in await client.groups.list("orders:new"):
        ...     print(group["group"])
        """
        args: JsonObject = {}
        if address is not None:
            room, channel = source(address)
            args = {"room": room} if ":" not in address else {"room": room, "channel": channel}
        return [*(await self._send_command("group.list", args, needs=_NEEDS))["groups"]]

    async def info(self, address: str, group: str) -> JsonObject:
        """The settings, and where it is.

        ``position``, ``pending``, ``unacked``, ``oldest_ms``, ``members``, ``dead_letters``, ``paused``.

        >>> print((await client.groups.info("orders:new", "billing"))["pending"])
        """
        return await self._run("info", address, group)

    async def seek(self, address: str, group: str, to: int | datetime) -> JsonObject:
        """Goes on elsewhere: after a sequence, or at a time.

        >>> await client.groups.seek("orders:new", "billing", 1_000)
        """
        where = {"time": wire_time(to, "to")} if isinstance(to, datetime) else {"sequence": to}
        return await self._run("seek", address, group, **where)

    async def pause(self, address: str, group: str) -> JsonObject:
        """Hands nothing out until :meth:`resume`.

        >>> await client.groups.pause("orders:new", "billing")
        """
        return await self._run("pause", address, group)

    async def resume(self, address: str, group: str) -> JsonObject:
        """Hands out again.

        >>> await client.groups.resume("orders:new", "billing")
        """
        return await self._run("resume", address, group)

    async def delete(self, address: str, group: str) -> JsonObject:
        """Ends a group and forgets where it was.

        >>> await client.groups.delete("orders:new", "billing")
        """
        return await self._run("delete", address, group)

    async def pull(self, address: str, group: str, *, limit: int = 10, wait_ms: float = 0) -> Sequence[Delivery]:
        """Up to ``limit`` messages, without joining. They are this client's subject's until they are answered.

        Waits up to ``wait_ms`` milliseconds (55,000 at most) for the first one.

        >>> for message in await client.groups.pull("orders:new", "billing", limit=5, wait_ms=10_000):
        ...     await message.ack()
        """
        wait = min(MAX_WAIT_MS, max(0, round(wait_ms)))
        timeout = wait / 1000 + self._request_timeout
        result = await self._run("pull", address, group, timeout=timeout, waits=wait > 0, limit=limit, wait_ms=wait)
        return [Delivery(Envelope(message), self._settlements.settle) for message in result["messages"]]

    async def dead_letters(
        self, address: str, group: str, *, limit: int | None = None, after: str | int | None = None
    ) -> JsonObject:
        """What nobody could deal with: ``messages``, and ``next`` for the ``after`` of the following page.

        >>> print((await client.groups.dead_letters("orders:new", "billing", limit=20))["messages"])
        """
        return await self._run("dead_letters", address, group, **given(limit=limit, after=after))

    async def retry(self, address: str, group: str, ids: Sequence[str] | None = None) -> int:
        """Hands dead letters out again, those with these message ids or all of them; answers how many.

        >>> await client.groups.retry("orders:new", "billing")
        """
        chosen = given(ids=None if ids is None else [*ids])
        return int((await self._run("retry", address, group, **chosen))["retried"])

    async def _run(
        self, verb: str, address: str, group: str, *, timeout: float | None = None, waits: bool = False, **args: object
    ) -> JsonObject:
        room, channel = source(address)
        return await self._send_command(
            f"group.{verb}",
            {"room": room, "channel": channel, "group": group, **args},
            timeout=timeout,
            needs=_NEEDS,
            waits=waits,
        )


def _start(start: Start | None) -> str | JsonObject | None:
    if isinstance(start, Position):
        return start.to_wire()
    return {"time": wire_time(start, "start")} if isinstance(start, datetime) else start
