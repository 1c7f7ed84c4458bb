"""Consumer groups of a channel, room or pattern: settings, progress and dead letters."""

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

#: Where a new group starts: with new messages, with all stored messages, after a position, or at a time.
Start = Literal["new", "all"] | Position | datetime

_NEEDS = frozenset(["groups"])


class Groups:
    """``client.groups``: consumer groups, durable cursors shared by several clients.

    ``client.subscribe(address, group=NAME)`` joins a group, and creates it with the defaults if it does not exist.

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
        """Creates a group and returns its settings. Raises ``CONFLICT`` when it exists with other settings.

        >>> await client.groups.create("orders:*", "billing", key="metadata.customer", ack_wait_seconds=60)

        :param address: a channel, a room (``orders:*``) or a pattern
        :param start: ``new`` (the default), ``all``, a :class:`Position` or a time
        :param ack_wait_seconds: lease time of a delivery (30); after it the message is redelivered
        :param max_attempts: delivery attempts (5) before it becomes a dead letter
        :param backoff_seconds: delay before each redelivery (1, 5, 30)
        :param max_unacked: maximum unacknowledged messages of all members (256)
        :param dead_letter: where dead letters are published; by default the same channel with ``.dead``
        :param key: the metadata field whose equal values go to one member, in order: ``metadata.NAME``
        :param expires_seconds: a group without members and commands for this long is deleted
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
        """The settings and the progress of a group.

        ``position``, ``pending``, ``unacked``, ``oldest_ms``, ``members``, ``dead_letters``, ``paused``.

        >>> print((await client.groups.info("orders:new", "billing"))["pending"])
        """
        return await self._run("info", address, group)

    async def seek(self, address: str, group: str, to: int | datetime) -> JsonObject:
        """Moves the group's position: to after a sequence, or to a time.

        >>> await client.groups.seek("orders:new", "billing", 1_000)
        """
        where = {"time": wire_time(to, "to")} if isinstance(to, datetime) else {"sequence": to}
        return await self._run("seek", address, group, **where)

    async def pause(self, address: str, group: str) -> JsonObject:
        """Pauses delivery until :meth:`resume`.

        >>> await client.groups.pause("orders:new", "billing")
        """
        return await self._run("pause", address, group)

    async def resume(self, address: str, group: str) -> JsonObject:
        """Resumes delivery.

        >>> await client.groups.resume("orders:new", "billing")
        """
        return await self._run("resume", address, group)

    async def delete(self, address: str, group: str) -> JsonObject:
        """Deletes a group and its position.

        >>> await client.groups.delete("orders:new", "billing")
        """
        return await self._run("delete", address, group)

    async def pull(self, address: str, group: str, *, limit: int = 10, wait_ms: float = 0) -> Sequence[Delivery]:
        """Returns up to ``limit`` messages without joining. They are leased to this client's subject until answered.

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
        """The dead letters: ``messages``, and ``next`` to pass as ``after`` for the following page.

        >>> print((await client.groups.dead_letters("orders:new", "billing", limit=20))["messages"])
        """
        return await self._run("dead_letters", address, group, **given(limit=limit, after=after))

    async def retry(self, address: str, group: str, ids: Sequence[str] | None = None) -> int:
        """Redelivers dead letters, those with these message ids or all of them; returns how many.

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
