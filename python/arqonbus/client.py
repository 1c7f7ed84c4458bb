"""The client: one object for everything one can do on a bus."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ssl import SSLContext
from types import TracebackType
from typing import TYPE_CHECKING, Any, overload

from .commands import CommandMethods
from .connection import Endpoint
from .dialer import Dialer, Identity, Token
from .envelope import ClientType, Envelope, JsonObject, new_client_key, parse_address
from .feed import OnReset
from .link import Link, State
from .listeners import C
from .membership import JoinOptions
from .messages import MessageMethods, command_request
from .operators import Cron, Store, Webhooks
from .pending import OnAnswer, Pending
from .reconnect import ReconnectPolicy
from .refresh import TokenRefresh
from .results import Joined, Position
from .roster import Roster
from .router import Router
from .subscription import Subscription
from .watch import Watches

if TYPE_CHECKING:
    from typing_extensions import Self

Since = Position | Mapping[str, Position]


class ArqonBusClient(MessageMethods, CommandMethods):
    """A client of one ArqonBus server, for one asyncio event loop.

    >>> async with ArqonBusClient("ws://127.0.0.1:9100") as client:
    ...     welcome = await client.recv_json(timeout=2.0)
    ...     await client.publish("science:explore", {"text": "hello"})

    It reconnects by itself and resumes everything joined, until :meth:`close`; ``reconnect=None`` turns that off.
    Addresses are ``room:channel``, or ``room`` for a whole room. Times are in seconds.
    """

    def __init__(
        self,
        url: str = "ws://127.0.0.1:9100",
        *,
        token: Token | None = None,
        client_type: ClientType | None = None,
        screen_name: str | None = None,
        avatar: str | None = None,
        personality: str | None = None,
        client_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        ssl: SSLContext | None = None,
        reconnect: ReconnectPolicy | None = ReconnectPolicy(),  # noqa: B008 (immutable)
        connect_timeout: float = 10.0,
        request_timeout: float = 10.0,
        buffer_limit: int = 10_000,
        on_reset: OnReset | None = None,
    ):
        """
        :param token: a JWT, or a function (plain or async) that gives one, asked at every connection and before expiry
        :param client_key: 16-64 characters that name this client to the server without authentication; random if None
        :param buffer_limit: messages kept for :meth:`recv_json` and for each subscription until they are taken
        :param on_reset: told when messages for :meth:`recv_json` were lost; without it, it raises :class:`StreamReset`
        """
        identity = Identity(client_key or new_client_key(), client_type, screen_name, avatar, personality)
        self._dialer = Dialer(Endpoint(url, headers=headers or {}, ssl=ssl, timeout=connect_timeout), identity, token)
        self._roster = Roster(self._send_command)
        self._watches = Watches(self._send_command)
        pending = Pending()
        self._router = Router(self._roster, self._watches, pending, inbox_limit=buffer_limit, on_reset=on_reset)
        link = Link(self._dialer, reconnect, self._router, pending)
        super().__init__(link, request_timeout)
        self._refresh = TokenRefresh(self._dialer, self._send_command)
        self._router.on_server_notice = self._server_notice
        self._buffer_limit = buffer_limit
        self.store = Store(self.command, self._watches, buffer_limit)
        self.cron = Cron(self.command)
        self.webhooks = Webhooks(self.command)

    @property
    def client_id(self) -> str:
        """The id under which others reach this client now; a new one with every connection, empty before the first."""
        return str(self._router.welcome.get("client_id", ""))

    @property
    def welcome(self) -> JsonObject:
        """The payload of the server's last welcome: ``role``, ``tenant``, ``server``, ``limits``, ..."""
        return self._router.welcome

    @property
    def state(self) -> State:
        return self._link.state

    async def connect(self) -> Self:
        """Connects. Raises :class:`ConnectError`; :class:`AuthenticationError` when the token is refused."""
        await self._link.open()
        return self

    async def close(self) -> None:
        """Closes for good. Iterations end, waiting requests raise :class:`ConnectionClosed`. May be called again."""
        await self._refresh.stop()
        await self._link.close()
        await self._router.listeners.stop()

    async def __aenter__(self) -> Self:
        return await self.connect()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def recv_json(self, timeout: float | None = None) -> Envelope:
        """The next message that nothing else has claimed, as a ``dict``.

        The welcome of each connection, events of channels joined with :meth:`join`, private messages, notices and
        errors; not answers to this client's requests, and not what a :class:`Subscription` takes. Raises
        :class:`RequestTimeout` (a ``TimeoutError``) after ``timeout`` seconds.
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
        timeout: float | None = None,
    ) -> Joined:
        """Joins a channel or a room; its messages come through :meth:`recv_json` and ``on("message")``.

        :param echo: deliver this client's own events too
        :param presence: deliver ``client_joined`` and ``client_left`` notices
        :param history: replay the last N envelopes first
        :param since: replay what followed a position, or for a room, positions by channel
        """
        place = parse_address(address)
        former = self._router.joined(place)
        membership = self._router.inbox_membership(place, JoinOptions(echo, presence, history, since))
        joined = await self._roster.join(membership, timeout)
        self._router.remember(membership)
        if former is not None:
            self._roster.drop(former)
        return joined

    async def leave(self, address: str, *, timeout: float | None = None) -> bool:
        """Leaves what :meth:`join` joined; False when it was not joined."""
        membership = self._router.joined(parse_address(address))
        if membership is None:
            return False
        self._router.forget(membership)
        return await self._roster.leave(membership, timeout)

    def subscribe(
        self,
        address: str,
        *,
        echo: bool = False,
        presence: bool = False,
        history: int | None = None,
        since: Since | None = None,
        on_reset: OnReset | None = None,
        buffer_limit: int | None = None,
    ) -> Subscription:
        """The messages of a channel or room as an asynchronous iteration; options as for :meth:`join`.

        ``on_reset`` is told when messages were lost for good; without it the iteration raises :class:`StreamReset`.
        """
        return Subscription(
            parse_address(address),
            JoinOptions(echo, presence, history, since),
            join=self._roster.join,
            leave=self._roster.leave,
            on_reset=on_reset,
            limit=buffer_limit or self._buffer_limit,
        )

    @overload
    def on(self, kind: str, callback: C) -> C: ...

    @overload
    def on(self, kind: str) -> Callable[[C], C]: ...

    def on(self, kind: str, callback: C | None = None) -> C | Callable[[C], C]:
        """Calls back on what happens; also a decorator. Callbacks may be coroutine functions.

        ``message``: events for :meth:`recv_json`; ``private``, ``system``: those envelopes; ``error``: a
        :class:`BusError` that answers no waiting request; ``state``: :attr:`state`. Envelopes go to :meth:`recv_json`
        all the same.
        """
        if callback is None:
            return lambda given: self.on(kind, given)
        self._router.listeners.add(kind, callback)
        return callback

    def off(self, kind: str, callback: Callable[[Any], Any]) -> None:
        """Takes a callback back."""
        self._router.listeners.remove(kind, callback)

    async def identify(self, **profile: str) -> JsonObject:
        """Changes ``client_type``, ``screen_name``, ``avatar`` or ``personality``, for later connections too."""
        record = await self._send_command("identify", dict(profile))
        for name, value in profile.items():
            setattr(self._dialer.identity, name, value)
        return record

    async def command(self, name: str, /, *, timeout: float | None = None, **args: Any) -> JsonObject:
        """Runs a command and answers the payload of its response. Raises :class:`BusError` when it is refused."""
        return await self._send_command(name, args, timeout=timeout)

    async def _send_command(
        self,
        name: str,
        args: JsonObject,
        *,
        timeout: float | None = None,
        restoring: bool = False,
        on_answer: OnAnswer | None = None,
    ) -> JsonObject:
        request = command_request(name, args, self._link.max_message_bytes, on_answer)
        answer = await self._link.request(request, self._timeout(timeout), restoring=restoring)
        return answer["payload"]

    def _server_notice(self, payload: JsonObject) -> None:
        event = payload.get("event")
        if event == "shutdown":
            self._link.reconnect_after_ms = payload.get("reconnect_after_ms")
        elif event == "token_expiring":
            self._refresh.start()
