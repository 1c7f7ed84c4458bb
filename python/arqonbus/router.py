"""Routes each received frame: to its request, its subscriptions, its watches, or the inbox."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from .address import Address
from .cursor import Cursors
from .delivery import Settlements
from .envelope import Envelope, JsonObject
from .errors import ArqonBusError, BusError, closed_error
from .feed import Feed, OnReset
from .link import State
from .listeners import Listeners
from .membership import JoinOptions, Membership
from .receipts import Receipt, Receipts
from .requests import Requests
from .results import Frame, Joined, Reconnecting, Reset
from .roster import Roster
from .send_queue import SendQueue
from .standing import Standing
from .watch import Watches


class Router:
    """Implements :class:`LinkEvents` for a client."""

    def __init__(
        self,
        roster: Roster,
        watches: Watches,
        standing: Standing,
        queue: SendQueue,
        requests: Requests,
        receipts: Receipts,
        settlements: Settlements,
        *,
        inbox_limit: int,
        on_reset: OnReset | None,
    ):
        self.listeners = Listeners()
        self.inbox: Feed[Envelope] = Feed("inbox", inbox_limit, on_reset)
        self.welcome: JsonObject = {}
        #: Called with the payload of each notice of the server about itself: shutdown, token expiry.
        self.on_server_notice: Callable[[JsonObject], None] = lambda payload: None
        #: Called when the connection is lost.
        self.on_lost: Callable[[], None] = lambda: None
        self._roster = roster
        self._watches = watches
        self._standing = standing
        self._queue = queue
        self._requests = requests
        self._receipts = receipts
        self._settlements = settlements
        self._inbox_cursors = Cursors()
        self._joined: dict[Address, Membership] = {}
        # All ids of this client: a reconnect changes the id, but events published under an old one are still its own.
        self._own: set[str] = set()

    def inbox_membership(self, address: Address, options: JoinOptions) -> Membership:
        """A membership whose messages go to the inbox. These share cursors, so the inbox gets one copy."""
        return Membership(address, options, self._inbox_cursors, self._deliver, self._refused)

    def remember(self, membership: Membership) -> None:
        """Records a joined membership, so that :meth:`joined` finds it by its address."""
        self._joined[membership.address] = membership

    def joined(self, address: Address) -> Membership | None:
        """The inbox membership of an address."""
        return self._joined.get(address)

    def forget(self, membership: Membership) -> None:
        if self._joined.get(membership.address) is membership:
            del self._joined[membership.address]

    def frame(self, frame: Frame) -> list[Awaitable[object]]:
        return [*self.listeners.emit("frame", frame)]

    def received(self, envelope: Envelope) -> None:
        kind = envelope["type"]
        is_delivery = self._roster.hand_out(envelope, self._take_mailed_receipt)
        if kind == "ack":
            if self._receipts.take(envelope, self._tell_receipt):
                return
            self._roster.mark_own(envelope, self._own)
        if self._queue.settle(envelope) or is_delivery:
            return
        if kind in ("event", "telemetry"):
            self.listeners.emit(kind, envelope)
            if not self._roster.route(envelope, self._own):
                self._deliver(envelope)
        elif kind == "system":
            self._system(envelope)
        elif kind == "private" and self._requests.take(envelope):
            return
        else:
            self.inbox.deliver(envelope)
            if kind == "private":
                self.listeners.emit("private", envelope)
            elif kind == "error":
                self.listeners.emit("error", BusError.from_envelope(envelope))

    def _tell_receipt(self, receipt: Receipt) -> None:
        self.listeners.emit("receipt", receipt)

    def _take_mailed_receipt(self, envelope: Envelope) -> bool:
        """Reports and acknowledges a receipt delivered by a mailbox."""
        if not self._receipts.take(envelope, self._tell_receipt):
            return False
        token = str(envelope.metadata["delivery"].get("token", ""))
        # If this ack is lost the receipt is redelivered; the duplicate is acknowledged and not reported.
        self._settlements.settle("ack", token, {}).add_done_callback(_retrieve)
        return True

    def _system(self, envelope: Envelope) -> None:
        payload = envelope["payload"]
        event = payload.get("event")
        if event == "welcome":
            self.welcome = payload
            self._own.add(payload["client_id"])
            self.listeners.emit("welcome", payload)
        if event == "presence":
            claimed = self._roster.notice(envelope)
        elif event == "history_gap":
            claimed = self._roster.gap(envelope, self._own)
        elif event == "membership_revoked":
            place = Address(envelope.get("room", ""), envelope.get("channel", ""))
            is_deleted = payload.get("reason") == "deleted"
            reason = payload.get("reason")
            claimed = self._roster.revoked(place, payload.get("group"), is_deleted=is_deleted, reason=reason)
            former = self._joined.get(place)
            if former is not None and payload.get("group") is None:
                self.forget(former)
        elif event == "joined":
            claimed = False
            self._adopt(payload)
        elif event == "store_changed":
            claimed = self._watches.offer(envelope)
        else:
            claimed = False
            self.on_server_notice(payload)
        self.listeners.emit("system", envelope)
        self.listeners.emit("notice", envelope)
        if not claimed:
            self.inbox.deliver(envelope)

    def _adopt(self, payload: JsonObject) -> None:
        """Adopts a membership made by the server, as if the client had called :meth:`ArqonBusClient.join`."""
        joined = Joined.from_payload({"members": 1, **payload})
        membership = self.inbox_membership(Address(joined.room, joined.channel), JoinOptions())
        if self._roster.adopt(membership):
            membership.joined(joined, None, is_again=False)
            self.remember(membership)

    def _deliver(self, item: Envelope | Reset) -> None:
        self.inbox.deliver(item)
        if not isinstance(item, Reset):
            self.listeners.emit("message", item)

    def _refused(self, error: BaseException) -> None:
        """A rejoin was refused. The inbox serves other channels too, so it continues."""
        if not isinstance(error, StopAsyncIteration):
            self.listeners.emit("error", error)

    def evict(self, left: list[str]) -> None:
        """Ends memberships that a renewed token no longer allows: ``room:channel``."""
        for name in left:
            room, _, channel = name.partition(":")
            self._roster.revoked(Address(room, channel))

    def lost(self) -> None:
        self.on_lost()
        self._roster.lost()

    async def restore(self) -> None:
        await self._standing.restore()
        await self._roster.restore()
        await self._watches.restore()

    def state_changed(self, state: State) -> None:
        self.listeners.emit("state", state)

    def reconnecting(self, info: Reconnecting) -> None:
        self.listeners.emit("reconnecting", info)

    def ended(self, error: ArqonBusError | None) -> None:
        # When the client closed itself an iteration just ends; it raises any other cause.
        self.on_lost()
        self._roster.end(error or StopAsyncIteration())
        self._watches.end(error or StopAsyncIteration())
        self._receipts.end(error or closed_error())
        self.inbox.end(error or closed_error())
        if error is not None:
            self.listeners.emit("error", error)


def _retrieve(answer: asyncio.Future[None]) -> None:
    if not answer.cancelled():
        answer.exception()
