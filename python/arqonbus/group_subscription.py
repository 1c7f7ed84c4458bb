"""Group subscriptions: each message goes to one member of a consumer group."""

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

#: Default maximum of unacknowledged deliveries per member.
PREFETCH = 16
_MAX_PREFETCH = 1_000

#: Called with every delivery; a coroutine function is awaited before the next one.
OnDelivery = Callable[[Delivery], Awaitable[None] | None]
#: Resolves the group's address; a mailbox is known only after the server's welcome.
Locate = Callable[[], Awaitable[Address]]

log = logging.getLogger("arqonbus")


@dataclass(frozen=True)
class GroupOptions:
    """How a client takes part in a group."""

    group: str
    prefetch: int = PREFETCH
    manual_ack: bool = False
    on_message: OnDelivery | None = None
    #: Maximum concurrent callbacks.
    handlers: int = 1
    #: Server features required in addition to groups.
    needs: frozenset[str] = frozenset()


class GroupMembership(Membership):
    """The membership of a group: it handles only deliveries, and resumes nothing (the server keeps the position)."""

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
        # The server immediately returns the deliveries of a lost connection to the group.
        self._forget()

    def offer(self, stream: Address, envelope: Envelope, own: Container[str]) -> None:
        self._hand_over(envelope)

    def gap(self, stream: Address, own: Container[str]) -> None:
        return

    def mark_own(self, sequence: int, epoch: str, own: Container[str]) -> None:
        return


class GroupSubscription:
    """This client's deliveries from a group: ``async for message in client.subscribe(address, group=NAME)``.

    The group is joined when the iteration starts, or on entering ``async with``, and left by :meth:`close` or on
    leaving ``async with``. After a lost connection it is rejoined; unacknowledged deliveries go to other members.

    Unless ``manual_ack`` is set, a message is acknowledged when the next one is taken, and the last one on leaving
    ``async with``; an exception that leaves ``async with`` rejects it (``nack``). With ``on_message`` it is
    acknowledged when the callback returns, and rejected when it raises. Only one task may iterate a subscription;
    several tasks need ``manual_ack``.

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
        #: Number of running callbacks.
        self._busy = 0
        self._idle = asyncio.Event()
        self._opening = asyncio.Lock()
        self._handing: set[asyncio.Task[None]] = set()
        self._draining = False
        self._closed = False
        self._left = False
        #: The server's response to the first join; None before it.
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
        """The server's response to the last join.

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
        """Joins the group now instead of on the first read. Creates the group if it does not exist.

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
        """Leaves the group. Unacknowledged messages go to other members. May be called again.

        A message a callback is processing may still be answered: the group is then left right after that.

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
            # Pending answers must be sent before the leave, which returns all open deliveries.
            await self._settlements.idle()
            await self._roster.leave(self._membership)

    async def receive(self, timeout: float | None = None) -> Delivery:
        """Returns the next message, like the iteration. Raises :class:`RequestTimeout` after ``timeout`` seconds.

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
        """Stops taking messages, and waits until those in progress are answered."""
        self._draining = True
        # Buffered messages go to the other members.
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
        """Runs the callback on one message at a time."""
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
                # The error text may contain private information.
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
        """Answers the message in the loop, unless the caller already did."""
        message, self._in_hand = self._in_hand, None
        self._idle.set()
        if message is not None and not self._left:
            self._answer(message, verb, reason)

    def _answer(self, message: Delivery, verb: Verb, reason: str | None = None) -> None:
        if message.answered is None and not self._options.manual_ack:
            message.conclude(verb, reason=reason).add_done_callback(self._told)

    def _told(self, answer: asyncio.Future[None]) -> None:
        error = None if answer.cancelled() else answer.exception()
        # No warning when the client was closed on purpose: unacknowledged messages are redelivered.
        if error is not None and getattr(error, "code", None) != "CLOSED":
            log.warning("a message of the group %s of %s was handled, but: %s", self.group, self.address, error)

    def _deliver(self, envelope: Envelope) -> None:
        # Ignore deliveries beyond the prefetch limit: they are redelivered when their lease expires.
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
