"""Sharing the messages of a place with the other members of a group: each message goes to one of them."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Awaitable, Callable, Container
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from .address import MAILBOX_ROOM, Address
from .cursor import Cursors
from .delivery import Delivery, Settlements, Verb
from .envelope import Envelope, JsonObject
from .errors import ArqonBusError, closed_error, invalid_argument
from .feed import AsyncQueue
from .membership import JoinOptions, Membership
from .results import Joined, Since
from .roster import Roster

if TYPE_CHECKING:
    from typing_extensions import Self

#: Messages that the server hands to one member before it has answered any of them.
PREFETCH = 16
_MAX_PREFETCH = 1_000

#: Gets every message; the next one waits for a coroutine function.
OnDelivery = Callable[[Delivery], Awaitable[None] | None]
#: Where the group is; a mailbox is known once the server has greeted.
Locate = Callable[[], Awaitable[Address]]

log = logging.getLogger("arqonbus")


@dataclass(frozen=True)
class GroupOptions:
    """How a client takes part in a group."""

    group: str
    prefetch: int = PREFETCH
    manual_ack: bool = False
    on_message: OnDelivery | None = None
    #: How many messages the callback may have at a time.
    handlers: int = 1
    #: What the server has to offer beside groups.
    needs: frozenset[str] = frozenset()


class GroupMembership(Membership):
    """The membership of a group: what it is handed, and nothing else. It resumes nothing; the group does."""

    def __init__(
        self,
        address: Address,
        options: GroupOptions,
        deliver: Callable[[Envelope], None],
        forget: Callable[[], None],
        end: Callable[[BaseException], None],
    ):
        super().__init__(address, JoinOptions(), Cursors(), lambda item: None, end)
        self.group = options.group
        self._prefetch = options.prefetch
        self._more_needs = options.needs
        self._hand_over = deliver
        self._forget = forget

    @property
    def needs(self) -> frozenset[str]:
        return frozenset(["groups", *self._more_needs, *(["mailboxes"] if self.address.room == MAILBOX_ROOM else [])])

    @property
    def resumable(self) -> bool:
        return False

    def join_args(self, sharing: object) -> tuple[JsonObject, Since | None]:
        return {**self.leave_args(), "prefetch": self._prefetch}, None

    def leave_args(self) -> JsonObject:
        return {**super().leave_args(), "group": self.group}

    def joined(self, joined: Joined, asked: Since | None, *, is_again: bool) -> bool:
        self.result = joined
        return False

    def lost(self) -> None:
        # The server gives back at once what a line that broke had.
        self._forget()

    def offer(self, stream: Address, envelope: Envelope, own: Container[str]) -> None:
        self._hand_over(envelope)

    def gap(self, stream: Address, own: Container[str]) -> None:
        return

    def mark_own(self, sequence: int, epoch: str, own: Container[str]) -> None:
        return


class GroupSubscription:
    """What a group hands to this client: ``async for message in client.subscribe("orders:new", group="billing")``.

    The group is joined when the iteration starts, or on entering ``async with``, and left by :meth:`close` or on
    leaving ``async with``. After a lost line it is joined again; what this client had not answered goes to others.

    Unless ``manual_ack`` is set, a message is acknowledged when the next one is taken, and the last one on leaving
    ``async with``; an exception that leaves ``async with`` gives it back (``nack``). With ``on_message`` it is
    acknowledged when the callback is done, and given back when the callback raises. One task takes the messages of a
    subscription; several tasks need ``manual_ack``.

    >>> async with client.subscribe("orders:new", group="billing") as orders:
    ...     async for order in orders:
    ...         await bill(order["payload"])
    """

    def __init__(self, locate: Locate, options: GroupOptions, roster: Roster, settlements: Settlements):
        if not 1 <= options.prefetch <= _MAX_PREFETCH:
            raise invalid_argument(f'"prefetch" is 1 to {_MAX_PREFETCH}.', field="prefetch")
        self._locate = locate
        self._options = options
        self._roster = roster
        self._settlements = settlements
        self._membership: GroupMembership | None = None
        self._queue: AsyncQueue[Delivery] = AsyncQueue()
        #: Taken by a loop and not answered yet.
        self._in_hand: Delivery | None = None
        #: How many messages the callback has.
        self._busy = 0
        self._idle = asyncio.Event()
        self._opening = asyncio.Lock()
        self._handing: set[asyncio.Task[None]] = set()
        self._draining = False
        self._closed = False
        self._left = False
        #: The server's answer to the first join; None before it.
        self.joined: Joined | None = None

    @property
    def address(self) -> str:
        """``room:channel``; empty for a mailbox that was not opened yet.

        >>> client.subscribe("orders:new", group="billing").address
        'orders:new'
        """
        return "" if self._membership is None else str(self._membership.address)

    @property
    def group(self) -> str:
        """The name of the group.

        >>> client.mailbox().group
        'inbox'
        """
        return self._options.group

    @property
    def result(self) -> Joined | None:
        """The server's answer to the last join.

        >>> print(subscription.result)
        """
        return None if self._membership is None else self._membership.result

    @property
    def closed(self) -> bool:
        """Whether it has ended, by :meth:`close` or otherwise.

        >>> if subscription.closed:
        ...     subscription = client.subscribe("orders:new", group="billing")
        """
        return self._closed

    async def open(self) -> Joined:
        """Joins the group now, rather than with the first message taken. It is made if it is not there.

        >>> joined = await subscription.open()
        """
        async with self._opening:
            if self._closed and self.joined is None:
                raise closed_error()
            if self.joined is None:
                address = await self._locate()
                membership = GroupMembership(address, self._options, self._deliver, self._queue.clear, self._end)
                if self._roster.has(membership):
                    message = f"This client is a member of the group {self.group!r} of {address} already."
                    raise invalid_argument(message, field="group")
                self._membership = membership
                self.joined = await self._roster.join(membership)
                if self._options.on_message is not None:
                    for _ in range(self._options.handlers):
                        work = self._hand_on(self._options.on_message)
                        task = asyncio.create_task(work, name="arqonbus-group")
                        self._handing.add(task)
                        task.add_done_callback(self._handing.discard)
            return self.joined

    async def close(self) -> None:
        """Leaves the group. What was not acknowledged goes to other members. May be called again.

        What a callback has in hand may still be answered: then the group is left right after that.

        >>> await subscription.close()
        """
        if self._left:
            return
        self._left = True
        self._end(StopAsyncIteration())
        if self._busy == 0:
            await self._leave()

    async def _leave(self) -> None:
        if self._membership is not None:
            # An answer that is on its way must not come after the leave, which gives everything back.
            await self._settlements.idle()
            await self._roster.leave(self._membership)

    async def receive(self, timeout: float | None = None) -> Delivery:
        """The next message, like the iteration, but raising :class:`RequestTimeout` after ``timeout`` seconds.

        >>> message = await subscription.receive(timeout=2.0)
        """
        if self._options.on_message is not None:
            raise invalid_argument("With on_message there is nothing to iterate.")
        self._conclude("ack")
        if not self._closed:
            await self.open()
        self._in_hand = await self._queue.take(timeout)
        return self._in_hand

    async def drained(self) -> None:
        """Takes no more, and waits until what is in hand is answered."""
        self._draining = True
        # What waits here goes to the other members.
        self._queue.clear()
        self._queue.end(StopAsyncIteration())
        while self._busy > 0 or self._is_in_hand:
            self._idle.clear()
            await self._idle.wait()
        await self._settlements.idle()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._conclude("ack")
        else:
            self._conclude("nack", reason=kind.__name__)
        await self.close()

    def __aiter__(self) -> Self:
        if self._options.on_message is not None:
            raise invalid_argument("With on_message there is nothing to iterate.")
        return self

    async def __anext__(self) -> Delivery:
        return await self.receive()

    async def _hand_on(self, on_message: OnDelivery) -> None:
        """Calls back with one message after the other."""
        while True:
            try:
                message = await self._queue.take()
            except StopAsyncIteration:
                return
            except ArqonBusError as error:
                log.warning("the group %s of %s: %s", self.group, self.address, error)
                return
            self._busy += 1
            try:
                result = on_message(message)
                if inspect.isawaitable(result):
                    await result
            except Exception as error:
                log.exception("a callback failed")
                # The text of the error may say what was not meant for others.
                self._answer(message, "nack", type(error).__name__)
            else:
                self._answer(message, "ack")
            finally:
                self._busy -= 1
                self._idle.set()
            if self._left and self._busy == 0:
                with contextlib.suppress(ArqonBusError):
                    await self._leave()

    @property
    def _is_in_hand(self) -> bool:
        message = self._in_hand
        return message is not None and message.answered is None and not self._options.manual_ack

    def _conclude(self, verb: Verb, reason: str | None = None) -> None:
        """Answers what the loop has in hand, unless that was done by hand."""
        message, self._in_hand = self._in_hand, None
        self._idle.set()
        if message is not None and not self._left:
            self._answer(message, verb, reason)

    def _answer(self, message: Delivery, verb: Verb, reason: str | None = None) -> None:
        if message.answered is None and not self._options.manual_ack:
            message.conclude(verb, reason=reason).add_done_callback(self._told)

    def _told(self, answer: asyncio.Future[None]) -> None:
        error = None if answer.cancelled() else answer.exception()
        # A client that was closed on purpose is nothing to warn of: what it did not acknowledge is handed out again.
        if error is not None and getattr(error, "code", None) != "CLOSED":
            log.warning("a message of the group %s of %s was handled, but: %s", self.group, self.address, error)

    def _deliver(self, envelope: Envelope) -> None:
        # A server that hands out more than was asked for is not believed: the rest comes back when its lease is over.
        if self._draining or self._closed:
            return
        if len(self._queue) < self._options.prefetch:
            self._queue.put(Delivery(envelope, self._settlements.settle))
        else:
            log.warning("the group %s of %s hands out more than was asked for", self.group, self.address)

    def _end(self, error: BaseException) -> None:
        self._closed = True
        self._queue.clear()
        self._queue.end(error)
        self._idle.set()
