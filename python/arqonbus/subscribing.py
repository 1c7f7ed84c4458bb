"""Joining, subscribing, taking part in groups, answering requests: all the ways to receive."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast, overload
from weakref import WeakSet

from .address import Address, mailbox_of, parse_address, source
from .delivery import Delivery, Settlements
from .dialer import Dialer
from .envelope import Envelope
from .errors import invalid_argument
from .feed import OnReset
from .group_subscription import PREFETCH, GroupOptions, GroupSubscription, OnDelivery
from .membership import JoinOptions
from .outgoing import SendCommand
from .presence import OnChange, PresenceSet
from .requests import SERVE_GROUP, RequestHandler, Requests
from .results import Joined, Since
from .roster import Roster
from .router import Router
from .subscription import Consumer, OnMessage, OverflowPolicy, Subscription
from .tokens import TokenSource, subject_of

#: The group that a mailbox is read with.
INBOX_GROUP = "inbox"


class SubscribeMethods:
    """How :class:`ArqonBusClient` receives."""

    _router: Router
    _roster: Roster
    _settlements: Settlements
    _requests: Requests
    _dialer: Dialer
    _tokens: TokenSource
    _send_command: SendCommand
    _buffer_limit: int
    _subscriptions: WeakSet[Subscription]
    _group_subscriptions: WeakSet[GroupSubscription]

    async def recv_json(self, timeout: float | None = None) -> Envelope:
        """The next message that nothing else has claimed, as a ``dict``.

        The welcome of each connection, events of channels joined with :meth:`join`, private messages, notices and
        errors; not answers to this client's requests, and not what a :class:`Subscription` takes. Raises
        :class:`RequestTimeout` (a ``TimeoutError``) after ``timeout`` seconds.

        >>> welcome = await client.recv_json(timeout=2.0)
        """
        return await self._router.inbox.take(timeout)

    async def join(
        self,
        address: str,
        *,
        echo: bool = False,
        presence: bool = False,
        history: int | None = None,
        since: Since | None = None,
        last: bool = False,
        timeout: float | None = None,
    ) -> Joined:
        """Joins a channel or a room; its messages come through :meth:`recv_json` and ``on("message")``.

        >>> joined = await client.join("science:explore", history=20)

        :param echo: deliver this client's own events too
        :param presence: deliver the notices of who comes and goes; :meth:`presence` makes a set of them
        :param history: replay the last N envelopes first
        :param since: replay what followed a position, or positions by channel
        :param last: first of all the value that each channel retains, if a rule of the bus has it kept
        """
        place = parse_address(address)
        former = self._router.joined(place)
        membership = self._router.inbox_membership(place, JoinOptions(echo, presence, history, since, last=last))
        joined = await self._roster.join(membership, timeout)
        self._router.remember(membership)
        if former is not None:
            self._roster.drop(former)
        return joined

    async def leave(self, address: str, *, timeout: float | None = None) -> bool:
        """Leaves what :meth:`join` joined; False when it was not joined.

        >>> await client.leave("science:explore")
        """
        membership = self._router.joined(parse_address(address))
        if membership is None:
            return False
        self._router.forget(membership)
        return await self._roster.leave(membership, timeout)

    @overload
    def subscribe(
        self,
        address: str,
        *,
        group: str,
        prefetch: int = PREFETCH,
        manual_ack: bool = False,
        on_message: OnDelivery | None = None,
    ) -> GroupSubscription: ...

    @overload
    def subscribe(
        self,
        address: str,
        *,
        echo: bool = False,
        presence: bool = False,
        history: int | None = None,
        since: Since | None = None,
        last: bool = False,
        on_message: OnMessage | None = None,
        on_presence: OnMessage | None = None,
        on_reset: OnReset | None = None,
        buffer_limit: int | None = None,
        overflow: OverflowPolicy = "replay",
    ) -> Subscription: ...

    def subscribe(
        self,
        address: str,
        *,
        group: str | None = None,
        prefetch: int = PREFETCH,
        manual_ack: bool = False,
        echo: bool = False,
        presence: bool = False,
        history: int | None = None,
        since: Since | None = None,
        last: bool = False,
        on_message: OnMessage | OnDelivery | None = None,
        on_presence: OnMessage | None = None,
        on_reset: OnReset | None = None,
        buffer_limit: int | None = None,
        overflow: OverflowPolicy = "replay",
    ) -> Subscription | GroupSubscription:
        """The messages of a channel, a room or a pattern as an asynchronous iteration; options as for :meth:`join`.

        With ``group`` each message goes to one member of the group until it is acknowledged; then the options of a join
        do not apply, since the group knows where it is.

        >>> async for message in client.subscribe("science:explore"):
        ...     print(message["payload"])
        >>> async for order in client.subscribe("orders:new.*", group="billing"):
        ...     await bill(order["payload"])

        :param group: the name of the group; it is made with its defaults if it is not there
        :param prefetch: of a group: messages handed to this client before it has acknowledged any of them
        :param manual_ack: of a group: nothing is acknowledged but by :meth:`Delivery.ack`
        :param on_message: gets every message, in order, from :meth:`Subscription.open` on; then nothing is iterated
        :param on_presence: gets the notices of ``presence``, which else are among the messages
        :param on_reset: told when messages were lost for good; without it the iteration raises :class:`StreamReset`
        :param buffer_limit: messages held for a slow reader
        :param overflow: ``replay``: the rest waits in the server's history; ``drop-oldest``: keeps up with the present
        """
        if group is not None:
            if (
                echo
                or presence
                or history is not None
                or since is not None
                or last
                or on_presence
                or on_reset
                or buffer_limit
            ):
                message = "A group knows where it is: only prefetch, manual_ack and on_message go with it."
                raise invalid_argument(message, field="group")
            options = GroupOptions(group, prefetch, manual_ack, on_message)
            return self._take_part(source(address), options)
        if prefetch != PREFETCH or manual_ack:
            raise invalid_argument('"prefetch" and "manual_ack" are for groups; name the group.', field="group")
        limit = buffer_limit or self._buffer_limit
        subscription = Subscription(
            parse_address(address),
            JoinOptions(echo, presence, history, since, last=last),
            Consumer(limit, overflow, cast("OnMessage | None", on_message), on_presence, on_reset),
            join=self._roster.join,
            leave=self._roster.leave,
            rejoin=self._roster.rejoin,
        )
        self._subscriptions.add(subscription)
        return subscription

    def mailbox(
        self,
        *,
        group: str = INBOX_GROUP,
        prefetch: int = PREFETCH,
        manual_ack: bool = False,
        on_message: OnDelivery | None = None,
        subject: str | None = None,
    ) -> GroupSubscription:
        """What was sent to this client's mailbox (``@NAME``), while it was away too. Options as for a group.

        Each message is handled once, whichever of the subject's connections takes it.

        >>> async for message in client.mailbox():
        ...     print(message.sender, message["payload"])

        :param subject: whose mailbox; by default the subject of the token, or of the option ``subject``
        """
        options = GroupOptions(group, prefetch, manual_ack, on_message)
        return self._take_part(subject, options)

    def _take_part(self, where: Address | str | None, options: GroupOptions) -> GroupSubscription:
        """:param where: the source of the group, or whose mailbox"""

        async def locate() -> Address:
            if isinstance(where, Address):
                return where
            return mailbox_of(where or await self._subject())

        subscription = GroupSubscription(locate, options, self._roster, self._settlements)
        self._group_subscriptions.add(subscription)
        return subscription

    async def _subject(self) -> str:
        """Who this client is to the server."""
        subject = self._dialer.subject or subject_of(await self._tokens.current())
        if subject is None:
            message = "Only a subject has a mailbox: connect with a token that names one, or with subject=NAME."
            raise invalid_argument(message, field="subject")
        return subject

    @overload
    def on_request(self, handler: RequestHandler, /) -> Callable[[], None]: ...

    @overload
    def on_request(
        self, address: str, handler: RequestHandler, /, *, group: str = SERVE_GROUP, prefetch: int = PREFETCH
    ) -> Awaitable[GroupSubscription]: ...

    def on_request(
        self,
        address: str | RequestHandler,
        handler: RequestHandler | None = None,
        /,
        *,
        group: str = SERVE_GROUP,
        prefetch: int = PREFETCH,
    ) -> Callable[[], None] | Awaitable[GroupSubscription]:
        """Answers requests of other clients: those sent to this client, or with an address those sent there.

        What the handler returns becomes the reply's payload. A :class:`RequestFailed` that it raises reaches the
        requester; any other error does not, since its text was not meant for others.

        Without an address it is one handler at a time, also a decorator, and answers the way to remove it. With one it
        is awaited: the client joins the group ``serve`` there, each request goes to one of its members, and
        ``close()`` of what it answers ends it.

        >>> @client.on_request
        ... async def add(payload, message):
        ...     return {"sum": sum(payload["numbers"])}
        >>> service = await client.on_request("calc:add", add)

        :param prefetch: requests that are answered at a time
        """
        if not isinstance(address, str):
            return self._requests.handle(address)
        if handler is None:
            raise invalid_argument("An address alone answers nothing; give the handler too.", field="handler")
        return self._serve(parse_address(address), handler, group, prefetch)

    async def _serve(self, address: Address, handler: RequestHandler, group: str, prefetch: int) -> GroupSubscription:
        async def answer(message: Delivery) -> None:
            await self._requests.serve(message, handler)

        needs = frozenset(["requests"])
        options = GroupOptions(group, prefetch, on_message=answer, handlers=prefetch, needs=needs)
        service = self._take_part(address, options)
        await service.open()
        return service

    def presence(self, address: str, *, state: Any = None, on_change: OnChange | None = None) -> PresenceSet:
        """Who is in a channel or room: a set that stays true, and that this client is in itself.

        >>> async with client.presence("science:explore", state={"mood": "busy"}) as people:
        ...     print([member.sender.name for member in people.members])

        :param state: what this client shows of itself, any JSON value up to 4 KiB
        :param on_change: told of each :class:`PresenceChange`; they are iterated too
        """
        place = parse_address(address, patterns=False)
        return PresenceSet(place, state, on_change, roster=self._roster, send_command=self._send_command)
