"""Where each received frame goes: to its request, its subscriptions, its watchers, or the inbox."""

from __future__ import annotations

from collections.abc import Callable

from .cursor import Cursors
from .envelope import Address, Envelope, JsonObject
from .errors import ArqonBusError, BusError, ConnectionClosed
from .feed import Feed, OnReset
from .link import State
from .listeners import Listeners
from .membership import JoinOptions, Membership
from .pending import Pending
from .results import Reset
from .roster import Roster
from .watch import Watches


class Router:
    """Implements :class:`LinkEvents` for a client."""

    def __init__(
        self, roster: Roster, watches: Watches, pending: Pending, *, inbox_limit: int, on_reset: OnReset | None
    ):
        self.listeners = Listeners()
        self.inbox: Feed[Envelope] = Feed("inbox", inbox_limit, on_reset)
        self.welcome: JsonObject = {}
        #: Told of the payload of each notice of the server about itself: shutdown, token expiry.
        self.on_server_notice: Callable[[JsonObject], None] = lambda payload: None
        self._roster = roster
        self._watches = watches
        self._pending = pending
        self._inbox_cursors = Cursors()
        self._joined: dict[Address, Membership] = {}
        # A reconnected client has a new id; what it published under an old one is its own all the same.
        self._own: set[str] = set()

    def inbox_membership(self, address: Address, options: JoinOptions) -> Membership:
        """A membership whose messages go to the inbox. All of these share cursors: the inbox gets one copy."""
        return Membership(address, options, self._inbox_cursors, self._deliver, self._refused)

    def remember(self, membership: Membership) -> None:
        """It has been joined: :meth:`joined` finds it by its address."""
        self._joined[membership.address] = membership

    def joined(self, address: Address) -> Membership | None:
        """The membership of an address whose messages go to the inbox."""
        return self._joined.get(address)

    def forget(self, membership: Membership) -> None:
        if self._joined.get(membership.address) is membership:
            del self._joined[membership.address]

    def received(self, envelope: Envelope) -> None:
        kind = envelope["type"]
        if kind == "ack":
            self._roster.mark_own(envelope)
        if self._pending.settle(envelope):
            return
        if kind in ("event", "telemetry"):
            if not self._roster.route(envelope, self._own):
                self._deliver(envelope)
        elif kind == "system":
            self._system(envelope)
        else:
            self.inbox.deliver(envelope)
            if kind == "private":
                self.listeners.emit("private", envelope)
            elif kind == "error":
                self.listeners.emit("error", BusError.from_envelope(envelope))

    def _system(self, envelope: Envelope) -> None:
        payload = envelope["payload"]
        event = payload.get("event")
        if event == "welcome":
            self.welcome = payload
            self._own.add(payload["client_id"])
        if event in ("client_joined", "client_left"):
            claimed = self._roster.notice(envelope)
        elif event == "history_gap" and "after_sequence" in payload:
            claimed = self._roster.gap(envelope, self._own)
        elif event == "membership_revoked":
            claimed = self._roster.revoked(envelope)
        elif event == "store_changed":
            claimed = self._watches.offer(envelope)
        else:
            claimed = False
            self.on_server_notice(payload)
        self.listeners.emit("system", envelope)
        if not claimed:
            self.inbox.deliver(envelope)

    def _deliver(self, item: Envelope | Reset) -> None:
        self.inbox.deliver(item)
        if not isinstance(item, Reset):
            self.listeners.emit("message", item)

    def _refused(self, error: BaseException) -> None:
        """A rejoin was refused. The inbox serves other channels too, so it goes on."""
        self.listeners.emit("error", error)

    def lost(self) -> None:
        self._roster.lost()

    async def restore(self) -> None:
        await self._roster.restore()
        await self._watches.restore()

    def state_changed(self, state: State) -> None:
        self.listeners.emit("state", state)

    def ended(self, error: ArqonBusError | None) -> None:
        # An iteration simply ends when its own side closed the client; it raises what else ended it.
        self._roster.end(error or StopAsyncIteration())
        self._watches.end(error or StopAsyncIteration())
        self.inbox.end(error or ConnectionClosed("The client is closed."))
