"""Presence: the members of a channel or room and their state, kept up to date."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from .address import Address
from .cursor import Cursors
from .envelope import Envelope, JsonObject, Sender
from .errors import ArqonBusError, closed_error
from .feed import AsyncQueue
from .membership import JoinOptions, Membership
from .outgoing import SendCommand
from .results import Joined, Since
from .roster import Roster

if TYPE_CHECKING:
    from typing_extensions import Self

#: Maximum members kept in a set; a server lists 500 at most.
_MAX_MEMBERS = 10_000
#: Maximum changes buffered for a slow iteration; beyond it, they are replaced by the whole set.
_MAX_CHANGES = 1_000

#: ``left``: it left explicitly. ``lost``: its connection was lost. ``node_lost``: its node failed.
Cause = Literal["left", "lost", "node_lost"]

log = logging.getLogger("arqonbus")


@dataclass(frozen=True)
class Member:
    """A member.

    >>> for member in people.members:
    ...     print(member.sender.name, member.state)
    """

    client_id: str
    sender: Sender | None
    #: Its presence state, any JSON value.
    state: Any
    joined_at: str
    #: In the set of a room: which of its channels.
    channel: str | None = None
    #: In ``updated``: the client id it had before it reconnected.
    previous_id: str | None = None
    #: In ``left``: why it is gone.
    cause: Cause | None = None
    #: Its ``state`` and ``note`` set with ``identify``; ``lapsed`` when it was not refreshed in time.
    agent: JsonObject | None = None

    @classmethod
    def from_wire(cls, record: JsonObject) -> Member:
        return cls(
            str(record.get("client_id", "")),
            Envelope(metadata={"sender": record.get("sender")}).sender,
            record.get("state"),
            str(record.get("joined_at", "")),
            record.get("channel"),
            record.get("previous_id"),
            record.get("cause"),
            record.get("agent"),
        )

    @property
    def key(self) -> tuple[str | None, str]:
        """Unique key in the set: one client may be in several channels of a room.

        >>> people[member.key]
        """
        return self.channel, self.client_id


@dataclass(frozen=True)
class PresenceChange:
    """A change of a set, at most 20 times a second.

    >>> async for change in client.presence("science:explore"):
    ...     print(change.joined, change.updated, change.left)
    """

    version: int
    #: Number of members now.
    count: int
    joined: tuple[Member, ...] = ()
    updated: tuple[Member, ...] = ()
    left: tuple[Member, ...] = ()


OnChange = Callable[[PresenceChange], Awaitable[None] | None]


class PresenceSet:
    """The members of a channel or room, and their states.

    The place is joined on entering ``async with``, on :meth:`open` or when the iteration starts, and left by
    :meth:`close` or on leaving ``async with``. :attr:`members` is correct from then on, and again after a reconnect,
    when this client restores its state too. For sets above 500 members only the :attr:`count` is sent.

    >>> async with client.presence("science:explore", state={"mood": "busy"}) as people:
    ...     print([member.sender.name for member in people.members])
    ...     await people.update({"mood": "idle"})
    ...     async for change in people:
    ...         print(change.joined, change.left)
    """

    def __init__(
        self, address: Address, state: Any, on_change: OnChange | None, *, roster: Roster, send_command: SendCommand
    ):
        options = JoinOptions(presence=True, state=state)
        self._membership = PresenceMembership(address, options, self._reset, self._notice, self._end)
        self._roster = roster
        self._send_command = send_command
        self._on_change = on_change
        self._members: dict[tuple[str | None, str], Member] = {}
        self._changes: AsyncQueue[PresenceChange] = AsyncQueue()
        self._is_iterated = False
        self._opening = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._joined: Joined | None = None
        self._closed = False
        self._left = False
        #: Version of the set from the server; it increases by 1 with every change.
        self.version = 0
        #: Number of members.
        self.count = 0
        #: Whether the set is too large to list its members.
        self.counts_only = False

    @property
    def address(self) -> str:
        """``room:channel``.

        >>> client.presence("science:explore").address
        'science:explore'
        """
        return str(self._membership.address)

    @property
    def members(self) -> tuple[Member, ...]:
        """The members now, including this client; empty while :attr:`counts_only`.

        >>> people.members[0].client_id
        'arq_client_1'
        """
        return tuple(self._members.values())

    @property
    def closed(self) -> bool:
        """Whether it has ended, by :meth:`close` or otherwise.

        >>> if people.closed:
        ...     people = client.presence("science:explore")
        """
        return self._closed

    async def open(self) -> Self:
        """Joins now. Raises the server's refusal.

        >>> people = await client.presence("science:explore").open()
        """
        async with self._opening:
            if self._closed and self._joined is None:
                raise closed_error()
            if self._joined is None:
                self._joined = await self._roster.join(self._membership)
        return self

    async def update(self, state: Any) -> None:
        """Changes this client's state (any JSON value up to 4 KiB), for later connections too.

        >>> await people.update({"mood": "idle"})
        """
        await self.open()
        room, channel = self._membership.address
        args = {"room": room, "channel": channel, "state": state}
        await self._send_command("presence_update", args, needs=self._membership.needs)
        self._membership.options = replace(self._membership.options, state=state)

    async def close(self) -> None:
        """Leaves the place; an iteration ends. May be called again.

        >>> await people.close()
        """
        if self._left:
            return
        self._left = True
        self._end(StopAsyncIteration())
        if self._joined is not None:
            await self._roster.leave(self._membership)

    async def receive(self, timeout: float | None = None) -> PresenceChange:
        """Returns the next change. Raises :class:`RequestTimeout` after ``timeout`` seconds.

        >>> change = await people.receive(timeout=2.0)
        """
        self._is_iterated = True
        if not self._closed:
            await self.open()
        return await self._changes.take(timeout)

    async def __aenter__(self) -> Self:
        self._is_iterated = True
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> PresenceChange:
        return await self.receive()

    def _reset(self, snapshot: JsonObject, count: int) -> None:
        """Replaces the whole set, from a join response or a notice; reports the differences as a change."""
        before = self._members
        listed = [] if snapshot.get("counts_only") else _members(snapshot.get("members"))
        self.counts_only = snapshot.get("counts_only") is True
        self.version = int(snapshot.get("version", 0))
        self.count = count
        self._members = {member.key: member for member in listed}
        if self._joined is None:
            return
        joined = [member for key, member in self._members.items() if key not in before]
        updated = [member for key, member in self._members.items() if key in before and before[key] != member]
        gone = [replace(member, cause="lost") for key, member in before.items() if key not in self._members]
        if joined or updated or gone or self.counts_only:
            self._tell(joined, updated, [] if self.counts_only else gone)

    def _notice(self, payload: JsonObject) -> None:
        version, count = int(payload.get("version", 0)), payload.get("members")
        count = count if isinstance(count, int) else len(self._members)
        if payload.get("reset") is True or payload.get("counts_only") is True:
            self._reset({**payload, "members": payload.get("joined")}, count)
            return
        if version <= self.version:
            return
        if version != self.version + 1 or self.counts_only:
            # A change was missed: rejoin to get the whole set.
            self._membership.joining()
            self._roster.rejoin(self._membership)
            return
        self.version, self.count = version, count
        left, updated, joined = (_members(payload.get(name)) for name in ("left", "updated", "joined"))
        for member in left:
            self._members.pop(member.key, None)
        for member in updated:
            if member.previous_id is not None:
                self._members.pop((member.channel, member.previous_id), None)
        # The join response may have included it already.
        new = [member for member in joined if self._members.get(member.key) != member]
        for member in (*updated, *joined):
            self._members[member.key] = replace(member, previous_id=None)
        if len(self._members) > _MAX_MEMBERS:
            self.counts_only = True
            self._members.clear()
        self._tell(new, updated, left)

    def _tell(self, joined: list[Member], updated: list[Member], left: list[Member]) -> None:
        change = PresenceChange(self.version, self.count, tuple(joined), tuple(updated), tuple(left))
        if self._on_change is not None:
            self._call(self._on_change, change)
        if self._is_iterated:
            if len(self._changes) >= _MAX_CHANGES:
                # Replace the backlog of a slow reader with the whole set.
                self._changes.clear()
                change = PresenceChange(self.version, self.count, joined=self.members)
            self._changes.put(change)

    def _call(self, on_change: OnChange, change: PresenceChange) -> None:
        async def finish(result: Awaitable[None]) -> None:
            try:
                await result
            except Exception:
                log.exception("a callback failed")

        try:
            result = on_change(change)
        except Exception:
            log.exception("a callback failed")
            return
        if inspect.isawaitable(result):
            # The event loop keeps only weak references: an unreferenced task may be garbage-collected early.
            task = asyncio.create_task(finish(result), name="arqonbus-presence")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _end(self, error: BaseException) -> None:
        self._closed = True
        self._changes.end(error)


class PresenceMembership(Membership):
    """A membership that only handles presence notices. It ignores events and resumes nothing."""

    def __init__(
        self,
        address: Address,
        options: JoinOptions,
        reset: Callable[[JsonObject, int], None],
        tell: Callable[[JsonObject], None],
        end: Callable[[BaseException], None],
    ):
        super().__init__(address, options, Cursors(), lambda item: None, end)
        self._reset = reset
        self._tell = tell

    @property
    def needs(self) -> frozenset[str]:
        return super().needs | {"presence-state"}

    @property
    def resumable(self) -> bool:
        return False

    def joined(self, joined: Joined, asked: Since | None, *, is_again: bool) -> bool:
        self.result = joined
        self._active = True
        snapshot = joined.presence or {}
        count = snapshot.get("count")
        self._reset(snapshot, count if isinstance(count, int) else len(snapshot.get("members") or ()))
        return False

    def notice(self, envelope: Envelope) -> bool:
        if self._active and envelope["payload"].get("event") == "presence":
            try:
                self._tell(envelope["payload"])
            except (ArqonBusError, TypeError, ValueError, AttributeError):
                log.warning("a notice of presence that cannot be read was ignored")
        return True

    def offer(self, stream: Address, envelope: Envelope, own: object) -> None:
        return

    def gap(self, stream: Address, own: object) -> None:
        return

    def mark_own(self, sequence: int, epoch: str, own: object) -> None:
        return


def _members(records: Any) -> list[Member]:
    return [Member.from_wire(record) for record in records or () if isinstance(record, dict)]
