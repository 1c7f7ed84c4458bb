"""Receiving: joins, subscriptions, groups, mailboxes and request handlers."""

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

#: The default group that reads a mailbox.
INBOX_GROUP = "inbox"


class SubscribeMethods:
    """The receiving methods of :class:`ArqonBusClient`."""

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
        """Returns the next message not handled elsewhere, as a ``dict``.

        That is the welcome of each connection, events of channels joined with :meth:`join`, private messages, notices
        and errors; not responses to this client's requests, and not messages of a :class:`Subscription`. Raises
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
        """Joins a channel or a room; its messages go to :meth:`recv_json` and ``on("message")``.

        >>> joined = await client.join("science:explore", history=20)

        :param echo: deliver this client's own events too
        :param presence: deliver presence notices; :meth:`presence` maintains a set from them
        :param history: replay the last N envelopes first
        :param since: replay what followed a position, or positions by channel
        :param last: deliver the retained value of each channel first, if a rule of the bus retains it
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
        """Leaves an address joined with :meth:`join`; False when it was not joined.

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
        """The messages of a channel, a room or a pattern as an async iteration; options as for :meth:`join`.

        With ``group`` each message goes to one member of the group until it is acknowledged; the join options then do
        not apply, because the group has its own position.

        >>> async for message in client.subscribe("science:explore"):
        ...     print(message["payload"])
        >>> async for order in client.subscribe("orders:new.*", group="billing"):
        ...     await bill(order["payload"])

        :param group: the name of the group; it is created with its defaults if it does not exist
        :param prefetch: for a group: maximum unacknowledged messages delivered to this client
        :param manual_ack: for a group: messages are acknowledged only by :meth:`Delivery.ack`
        :param on_message: called with every message in order, from :meth:`Subscription.open` on; replaces iteration
        :param on_presence: called with the notices of ``presence``, which are otherwise among the messages
        :param on_reset: called when messages were lost; without it the iteration raises :class:`StreamReset`
        :param buffer_limit: messages buffered for a slow reader
        :param overflow: ``replay``: the rest is replayed from history; ``drop-oldest``: the oldest are dropped
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
        """This client's mailbox (``@NAME``), including messages sent while it was offline. Options as for a group.

        Each message is handled once, by any of the subject's connections.

        >>> async for message in client.mailbox():
        ...     print(message.sender, message["payload"])

        :param subject: the mailbox owner; by default the subject of the token, or of the option ``subject``
        """
        options = GroupOptions(group, prefetch, manual_ack, on_message)
        return self._take_part(subject, options)

    def _take_part(self, where: Address | str | None, options: GroupOptions) -> GroupSubscription:
        """:param where: the address of the group, or the owner of the mailbox"""

        async def locate() -> Address:
            if isinstance(where, Address):
                return where
            return mailbox_of(where or await self._subject())

        subscription = GroupSubscription(locate, options, self._roster, self._settlements)
        self._group_subscriptions.add(subscription)
        return subscription

    async def _subject(self) -> str:
        """The subject of this client at the server."""
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
        """Serves requests of other clients: those sent to this client, or those sent to an address.

        The handler's return value becomes the reply's payload. A :class:`RequestFailed` it raises is sent to the
        requester; the text of any other error is not, since it may contain private information.

        Without an address there is one handler per client; usable as a decorator; returns a function that removes it.
        With an address, await the call: the client joins the group ``serve`` there, each request goes to one of its
        members, and ``close()`` of the returned subscription ends it.

        >>> @client.on_request
        ... async def add(payload, message):
        ...     return {"sum": sum(payload["numbers"])}
        >>> service = await client.on_request("calc:add", add)

        :param prefetch: maximum concurrent requests
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
        """The members of a channel or room, kept up to date; this client becomes a member too.

        >>> async with client.presence("science:explore", state={"mood": "busy"}) as people:
        ...     print([member.sender.name for member in people.members])

        :param state: this client's state, any JSON value up to 4 KiB
        :param on_change: called with each :class:`PresenceChange`; they are iterated too
        """
        place = parse_address(address, patterns=False)
        return PresenceSet(place, state, on_change, roster=self._roster, send_command=self._send_command)
