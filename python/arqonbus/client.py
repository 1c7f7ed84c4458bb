"""The client of an ArqonBus server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from ssl import SSLContext
from types import TracebackType
from typing import TYPE_CHECKING, Any, overload
from weakref import WeakSet

from .commands import REPEATABLE
from .delivery import Settlements
from .dialer import Dialer, Identity
from .endpoint import Endpoint
from .envelope import ClientType, Envelope, JsonObject, new_client_key
from .errors import RequestTimeout, invalid_argument
from .fallback import Http, Opener
from .feed import OnReset
from .group_subscription import GroupSubscription
from .groups import Groups
from .leases import Leases
from .link import Link, State
from .listeners import C
from .messages import MessageMethods, command_request
from .operators import Casil, Cron, Omega, Store, Webhooks
from .outgoing import OnAnswer
from .receipts import Receipts
from .reconnect import ReconnectPolicy
from .requests import Requests
from .results import Queued
from .roster import Roster
from .router import Router
from .send_queue import QueueLimits, SendQueue
from .standing import Standing
from .streams import StreamMethods
from .subscription import Subscription
from .tokens import Token, TokenRenewal, TokenSource
from .watch import Watches

if TYPE_CHECKING:
    from typing_extensions import Self

DEFAULT_URL = "ws://127.0.0.1:9100"
#: Assumed remaining token lifetime when the server does not report one, in milliseconds.
_TOKEN_NOTICE_MS = 60_000


class ArqonBusClient(MessageMethods, StreamMethods):
    """A client of one ArqonBus server, for one asyncio event loop.

    It reconnects automatically and resumes all subscriptions until :meth:`close`; ``reconnect=None`` disables that.
    Addresses are ``room:channel``, or ``room`` for a whole room. Times are in seconds.

    >>> async with ArqonBusClient("ws://127.0.0.1:9100", screen_name="Ada") as client:
    ...     await client.publish("science:explore", {"text": "hello"})
    """

    def __init__(
        self,
        url: str | Sequence[str] | None = None,
        *,
        token: Token | None = None,
        client_type: ClientType | None = None,
        screen_name: str | None = None,
        avatar: str | None = None,
        personality: str | None = None,
        client_key: str | None = None,
        subject: str | None = None,
        headers: Mapping[str, str] | None = None,
        ssl: SSLContext | None = None,
        http: Http = None,
        reconnect: ReconnectPolicy | None = ReconnectPolicy(),  # noqa: B008 (immutable)
        queue: QueueLimits = QueueLimits(),  # noqa: B008 (immutable)
        connect_timeout: float = 10.0,
        request_timeout: float = 10.0,
        buffer_limit: int = 10_000,
        on_reset: OnReset | None = None,
        ws_url: str | None = None,
        jwt_token: Token | None = None,
    ):
        """Does not connect; :meth:`connect` does. Raises ``INVALID_ARGUMENT``.

        >>> ArqonBusClient(["wss://a.example.org", "wss://b.example.org"], token=fresh_token)

        :param url: ``ws://127.0.0.1:9100`` by default. With several URLs, each failure moves on to the next
        :param token: a JWT, or a function (plain or async) that returns a fresh one when the last has expired
        :param client_key: 16-64 characters that identify this client to a server without authentication; random if None
        :param subject: subject of this client on a server without authentication; otherwise the token defines it
        :param http: HTTP URL of the bus, for networks that block WebSockets: the client then falls back to server-sent
            events and POST requests. Defaults to the origin of ``url``; False disables the fallback
        :param queue: limits of the send queue used while there is no connection
        :param request_timeout: how long to wait for a response
        :param buffer_limit: messages buffered for :meth:`recv_json` and for each subscription
        :param on_reset: called when messages for :meth:`recv_json` were lost; without it, :meth:`recv_json` raises
            :class:`StreamReset`
        :param ws_url: alias of ``url``
        :param jwt_token: alias of ``token``
        """
        if (url is not None and ws_url is not None) or (token is not None and jwt_token is not None):
            raise invalid_argument('"ws_url" is another name of "url", and "jwt_token" of "token"; give one of them.')
        if client_key is not None and not 16 <= len(client_key) <= 64:
            raise invalid_argument('"client_key" has 16-64 characters.', field="client_key")
        address = url if url is not None else ws_url if ws_url is not None else DEFAULT_URL
        urls = [address] if isinstance(address, str) else list(address)
        key = client_key or new_client_key()
        identity = Identity(key, client_type, screen_name, avatar, personality, subject)
        self._tokens = TokenSource(token if token is not None else jwt_token)
        endpoint = Endpoint(DEFAULT_URL, headers=headers or {}, ssl=ssl, timeout=connect_timeout)
        self._dialer = Dialer(urls, endpoint, identity, self._tokens, Opener(http))
        policy = reconnect or ReconnectPolicy()
        self._roster = Roster(self._send_command, policy)
        self._watches = Watches(self._send_command)
        self._standing = Standing(self._send_command)
        self._queue = SendQueue(queue, request_timeout, policy.cap)
        requests = Requests(self._send_reply)
        receipts = Receipts()
        self._settlements = Settlements(self._send_command)
        self._router = Router(
            self._roster,
            self._watches,
            self._standing,
            self._queue,
            requests,
            receipts,
            self._settlements,
            inbox_limit=buffer_limit,
            on_reset=on_reset,
        )
        link = Link(self._dialer, reconnect, self._router, self._queue)
        super().__init__(link, requests, receipts, request_timeout)
        self._renewal = TokenRenewal(self._tokens, self.refresh_token)
        self._router.on_server_notice = self._server_notice
        self._router.on_lost = self._renewal.stop
        self._buffer_limit = buffer_limit
        self._subscriptions: WeakSet[Subscription] = WeakSet()
        self._group_subscriptions: WeakSet[GroupSubscription] = WeakSet()
        #: Consumer groups: durable cursors shared by several clients.
        self.groups = Groups(self._send_command, self._settlements, request_timeout)
        #: Leases: keys with one holder at a time.
        self.leases = Leases(self._send_command, request_timeout)
        #: Key-value state shared by the clients of a tenant.
        self.store = Store(self.command, self._watches, buffer_limit)
        #: Scheduled events that the server publishes.
        self.cron = Cron(self.command)
        #: Events that the server POSTs to a URL.
        self.webhooks = Webhooks(self.command)
        #: The content policy in force.
        self.casil = Casil(self.command)
        #: The experimental lane.
        self.omega = Omega(self.command)

    @property
    def id(self) -> str:
        """The id that other clients use to address this client. Changes with every connection; empty before the first.

        >>> await other.send(client.id, {"text": "to that connection alone"})
        """
        return str(self._router.welcome.get("client_id", ""))

    @property
    def client_id(self) -> str:
        """Alias of :attr:`id`.

        >>> print(client.client_id)
        """
        return self.id

    @property
    def welcome(self) -> JsonObject:
        """The payload of the server's last welcome: ``role``, ``tenant``, ``server``, ``limits``, ...

        >>> print(client.welcome["role"])
        """
        return self._router.welcome

    @property
    def state(self) -> State:
        """The connection state: ``idle``, ``connecting``, ``open``, ``reconnecting`` or ``closed``.

        >>> client.state
        'open'
        """
        return self._link.state

    @property
    def connected(self) -> bool:
        """Whether the connection is open now.

        >>> if not client.connected:
        ...     print(client.queued)
        """
        return self.state == "open"

    @property
    def queued(self) -> Queued:
        """Messages waiting to be sent, because the connection is down or the server asked for a pause.

        >>> print(client.queued.messages, client.queued.bytes)
        """
        return self._queue.queued

    async def connect(self, *, retry: bool = False, timeout: float | None = None) -> Self:
        """Connects. Raises :class:`ConnectError`, or :class:`AuthenticationError` when the token is refused.

        >>> client = await ArqonBusClient().connect(retry=True, timeout=60.0)

        :param retry: keep trying when the bus is not reachable yet
        """
        await self._link.open(retry=retry, timeout=timeout)
        return self

    async def close(self) -> None:
        """Closes permanently. Iterations end, pending requests raise :class:`ConnectionClosed`. May be called again.

        >>> await client.close()
        """
        self._renewal.stop()
        await self._link.close()
        await self._router.listeners.stop()

    async def drain(self, *, timeout: float | None = None) -> None:
        """Closes gracefully, without losing messages in progress.

        Leaves everything, waits until loops and callbacks have processed the messages received and everything sent is
        answered, then closes. Raises :class:`RequestTimeout` when that takes longer than ``timeout`` seconds (default:
        the client's ``request_timeout``); the client is closed in that case too.

        >>> await client.drain(timeout=5.0)
        """

        async def finish() -> None:
            # Leaving a group returns unanswered deliveries, so it is left after they are answered.
            await asyncio.gather(*(subscription.drained() for subscription in tuple(self._group_subscriptions)))
            await self._requests.idle()
            await self._settlements.idle()
            await self._roster.drain()
            await asyncio.gather(*(subscription.drained() for subscription in tuple(self._subscriptions)))
            await self._requests.idle()
            await self._queue.idle()

        seconds = self._request_timeout if timeout is None else timeout
        self._roster.is_draining = True
        try:
            if self.state not in ("idle", "closed"):
                await asyncio.wait_for(finish(), seconds)
        except (TimeoutError, asyncio.TimeoutError) as error:
            raise RequestTimeout(f"Not everything was finished within {seconds:g} s.") from error
        finally:
            await self.close()

    async def __aenter__(self) -> Self:
        return await self.connect()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @overload
    def on(self, kind: str, callback: C) -> C: ...

    @overload
    def on(self, kind: str) -> Callable[[C], C]: ...

    def on(self, kind: str, callback: C | None = None) -> C | Callable[[C], C]:
        """Registers a callback for an event kind; also a decorator. Callbacks may be coroutine functions.

        ``state``: :attr:`state`. ``welcome``: its payload. ``reconnecting``: :class:`Reconnecting`. ``frame``: a
        :class:`Frame`, as received; a coroutine function blocks reading from the connection until it returns.
        ``event``, ``telemetry``, ``private``, ``notice`` (or ``system``): those envelopes. ``receipt``: a
        :class:`Receipt`. ``error``: an error that no request is waiting for. ``message``: events that go to
        :meth:`recv_json`.

        >>> @client.on("state")
        ... def told(state):
        ...     print(state)
        """
        if callback is None:
            return lambda given: self.on(kind, given)
        self._router.listeners.add(kind, callback)
        return callback

    def once(self, kind: str, callback: Callable[[Any], Any]) -> None:
        """Registers a callback for the next occurrence only.

        >>> client.once("welcome", print)
        """

        def called(value: Any) -> Any:
            self.off(kind, called)
            return callback(value)

        self.on(kind, called)

    def off(self, kind: str, callback: Callable[[Any], Any]) -> None:
        """Removes a callback.

        >>> client.off("state", told)
        """
        self._router.listeners.remove(kind, callback)

    async def identify(self, **profile: Any) -> JsonObject:
        """Changes ``client_type``, ``screen_name``, ``avatar`` or ``personality``, for later connections too.

        An agent also sets its ``card``, its ``state``, a ``note`` and the lifetime of the state, ``ttl_seconds``;
        ``None`` removes a value. A state with a lifetime is not sent again on later connections.

        >>> await client.identify(screen_name="Grace", state="busy", note="compiling", ttl_seconds=60)
        """
        record = await self._send_command("identify", dict(profile))
        for name in ("client_type", "screen_name", "avatar", "personality"):
            if name in profile:
                setattr(self._dialer.identity, name, profile[name])
        self._standing.note(profile)
        return record

    async def refresh_token(self, token: str | None = None) -> JsonObject:
        """Renews the token of this connection, with the given one or with a fresh one from the token function.

        The client does this automatically when the server warns of the expiry and there is a token function.

        >>> print((await client.refresh_token(token))["expires_at"])
        """
        fresh = token if token is not None else await self._tokens.fresh()
        if fresh is None:
            raise invalid_argument("There is no token to renew with.")

        def answered(envelope: Envelope) -> None:
            self._tokens.use(fresh)
            # The scheduled renewal was for the old token. The notice for this one may be the very next frame.
            self._renewal.stop()
            self._router.evict(envelope["payload"].get("left") or [])

        return await self._send_command("refresh_token", {"token": fresh}, on_answer=answered)

    async def command(self, name: str, /, *, timeout: float | None = None, **args: Any) -> JsonObject:
        """Runs a command and returns the payload of its response. Raises :class:`CommandError` when it is refused.

        >>> result = await client.command("op.history.get", room="science", limit=10)
        """
        return await self._send_command(name, args, timeout=timeout)

    async def _send_command(
        self,
        name: str,
        args: JsonObject,
        *,
        timeout: float | None = None,
        restoring: bool = False,
        needs: frozenset[str] = frozenset(),
        waits: bool = False,
        on_answer: OnAnswer | None = None,
    ) -> JsonObject:
        # A command that waits is not repeated: its wait time applied to the lost connection.
        repeatable = REPEATABLE.fullmatch(name) is not None and not waits
        request = command_request(
            name,
            args,
            timeout=timeout,
            restoring=restoring,
            repeatable=repeatable,
            needs=needs,
            waits=waits,
            on_answer=on_answer,
        )
        answer = await self._link.submit(request)
        return {} if answer is None else answer["payload"]

    async def _send_reply(self, fields: JsonObject) -> object:
        return await self._post({"type": "private", **fields}, True, None, fields.pop("metadata", None), None)

    def _server_notice(self, payload: JsonObject) -> None:
        event = payload.get("event")
        if event == "shutdown":
            self._link.reconnect_after_ms = payload.get("reconnect_after_ms")
        elif event == "token_expiring":
            expires_in = payload.get("expires_in_ms")
            self._renewal.expiring((_TOKEN_NOTICE_MS if expires_in is None else expires_in) / 1000)
