"""Memberships: joined addresses, and where their messages go."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .address import Address
from .cursor import Cursors, is_unknown
from .envelope import WILDCARD, Envelope, JsonObject
from .results import Joined, Position, Reset, Since, since_to_wire

#: Maximum messages buffered while a join is pending.
_MAX_EARLY = 10_000


@dataclass(frozen=True)
class JoinOptions:
    """``history``, ``since`` and ``last`` apply to the first join only; a rejoin resumes from what was received."""

    echo: bool = False
    presence: bool = False
    history: int | None = None
    #: A position, or a mapping of channel names to positions.
    since: Since | None = None
    #: This client's presence state, shown to presence watchers; any JSON value.
    state: Any = None
    #: Deliver the retained value of each channel first.
    last: bool = False


class Membership:
    """One joined address and the receiver of its messages. Survives reconnects."""

    #: The consumer group it belongs to; None for an ordinary membership.
    group: str | None = None

    def __init__(
        self,
        address: Address,
        options: JoinOptions,
        cursors: Cursors,
        deliver: Callable[[Envelope | Reset], None],
        end: Callable[[BaseException], None],
        rejoin: Callable[[Membership], None] | None = None,
    ):
        """:param rejoin: rejoins from the current position; without it, the membership cannot be paused"""
        self.address = address
        self.options = options
        #: Tells the receiver that the membership has ended, and why.
        self.end = end
        self._cursors = cursors
        self._deliver = deliver
        self._rejoin = rejoin
        #: The response to the last join; None before the first.
        self.result: Joined | None = None
        #: Messages skipped while paused that no replay will deliver.
        self.missed = 0
        # True from the join response until the connection is lost.
        self._active = False
        self._paused = False
        self._is_unplaced = False
        self._early: list[tuple[Address, Envelope, Container[str]]] = []
        if options.since is not None:
            cursors.seed(address, options.since)

    @property
    def key(self) -> tuple[Address, str | None]:
        """The server keeps one membership per client and key."""
        return self.address, self.group

    def leave_args(self) -> JsonObject:
        """Arguments of ``leave_channel``."""
        return {"room": self.address.room, "channel": self.address.channel}

    @property
    def needs(self) -> frozenset[str]:
        """The server features it requires."""
        return frozenset(["patterns"]) if self.address.is_pattern else frozenset()

    @property
    def resumable(self) -> bool:
        """Whether skipped messages can be replayed later."""
        return self.address.room != WILDCARD

    @property
    def since(self) -> Since | None:
        """The ``since`` for a later subscription."""
        return self._cursors.since(self.address)

    @property
    def is_unplaced(self) -> bool:
        """Whether it must rejoin to receive what it missed, once the server's storage is available again."""
        return self._is_unplaced and self._active

    def pause(self) -> None:
        """Skips messages until :meth:`proceed`."""
        self._paused = True

    def proceed(self) -> None:
        """Ends the pause and rejoins, so that skipped messages are replayed."""
        if not self._paused:
            return
        self._paused = False
        if self._active and self._rejoin is not None:
            self._rejoin(self)

    def join_args(self, sharing: Sequence[JoinOptions]) -> tuple[JsonObject, Since | None]:
        """Arguments of the next ``join_channel``, and the ``since`` in them.

        :param sharing: the options of all memberships of this address: the server keeps one membership for them
        """
        args: JsonObject = {"room": self.address.room, "channel": self.address.channel}
        if any(options.echo for options in sharing):
            args["echo"] = True
        if any(options.presence for options in sharing):
            states = [options.state for options in sharing if options.state is not None]
            args["presence"] = {"state": states[-1]} if states else True
        # While paused, only keep the membership; the replay follows when there is room.
        since = None if self._paused else self._cursors.since(self.address)
        if self.result is None and self.options.since is None:
            since = None
        if since is not None:
            args["since"] = since_to_wire(since)
        elif self.options.history and self.result is None:
            args["history"] = self.options.history
        if self.options.last and self.result is None:
            args["last"] = True
        return args, since

    def joining(self) -> None:
        """A join is pending: messages are buffered until its response."""
        self._active = False

    def joined(self, joined: Joined, asked: Since | None, *, is_again: bool) -> bool:
        """Handles the response to a join. Must run before any later frame of the connection is dispatched.

        Returns True to join once more, when the server can replay more than it did.
        """
        first = self.result is None
        recovered = joined.recovered
        if is_again and self.result is not None:
            # What the first of two joins could not recover is lost, even if the second one recovers everything.
            recovered = self.result.recovered is True and joined.recovered is True
        self.result = replace(joined, recovered=recovered)
        self._is_unplaced = asked is not None and is_unknown(joined)
        if not self._paused and not self._is_unplaced:
            resets: list[Reset] = []
            is_owed = False
            if asked is not None:
                resets, is_owed = self._cursors.resume(self.address, joined, asked, is_last=is_again)
            elif first:
                if self.resumable:
                    self._cursors.begin(self.address, joined, self.options.history or 0)
            else:
                # There was no position to resume from: a subscription to all rooms cannot resume.
                if self.resumable:
                    self._cursors.begin(self.address, joined)
                resets = [Reset(str(self.address), "not_recovered", joined.position)]
            for reset in resets:
                self._deliver(reset)
            if is_owed:
                return True
        self._active = True
        early, self._early = self._early, []
        for stream, envelope, own in early:
            self.offer(stream, envelope, own)
        return False

    def lost(self) -> None:
        """The connection is lost; buffered messages will be replayed on the next one."""
        self._active = False
        self._early.clear()

    def offer(self, stream: Address, envelope: Envelope, own: Container[str]) -> None:
        """Handles an event covered by :attr:`address`; delivers it unless it was seen before or is the client's own."""
        if not self._active:
            self._early.append((stream, envelope, own))
            if len(self._early) > _MAX_EARLY:
                # Drop the oldest ones: the replay includes them.
                del self._early[0]
        elif (envelope.get("metadata") or {}).get("retained") is True:
            # A retained value precedes the join position, and goes only to memberships that requested it.
            if self.options.last:
                self._deliver(envelope)
        elif self._paused:
            if not self.resumable or Position.of(envelope) is None:
                self.missed += 1
        elif not self.resumable:
            # This membership requested no replay; the replay belongs to another one.
            if (envelope.get("metadata") or {}).get("replayed") is not True:
                self._pass_on([envelope], own)
        else:
            is_own_stream = self.address.channel == WILDCARD or stream.channel != WILDCARD
            if self._is_unplaced and self._cursors.can_replay(stream, envelope, is_own_stream=is_own_stream):
                return  # it is replayed after the missed ones, by the next join
            self._pass_on(self._cursors.offer(stream, envelope, is_own_stream=is_own_stream), own)

    def gap(self, stream: Address, own: Container[str]) -> None:
        """Handles the server's notice of a gap in ``stream``."""
        if self.result is not None:
            self._pass_on(self._cursors.gap(stream), own)

    def notice(self, envelope: Envelope) -> bool:
        """Handles a presence notice; returns False when this membership did not request them."""
        if self._active and self.options.presence:
            self._deliver(envelope)
        return self.options.presence

    def mark_own(self, sequence: int, epoch: str, own: Container[str]) -> None:
        # With echo the event itself is received; counting its ack as seen would drop it.
        if not self.options.echo:
            self._pass_on([*self._cursors.mark_own(sequence, epoch)], own)

    def _pass_on(self, items: list[Envelope | Reset], own: Container[str]) -> None:
        for item in items:
            # A replay includes this client's own events, which live traffic omits unless echo is set.
            if isinstance(item, Reset) or self.options.echo or item["from"] not in own:
                self._deliver(item)
