"""What a client has joined, and where the messages go that come of it."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .address import Address
from .cursor import Cursors, is_unknown
from .envelope import WILDCARD, Envelope, JsonObject
from .results import Joined, Position, Reset, Since, since_to_wire

#: Messages kept that come before a join is answered.
_MAX_EARLY = 10_000


@dataclass(frozen=True)
class JoinOptions:
    """``history``, ``since`` and ``last`` are for the first join only; a rejoin resumes from what was seen."""

    echo: bool = False
    presence: bool = False
    history: int | None = None
    #: A position, or a mapping of channel names to positions.
    since: Since | None = None
    #: What this client shows of itself to who watches the presence of the place; any JSON value.
    state: Any = None
    #: First of all the value that each channel retains.
    last: bool = False


class Membership:
    """One address joined, and the receiver of its messages. Survives reconnects."""

    #: The group whose member it is; None when it gets every message.
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
        """:param rejoin: joins again from where the membership stands; without it, it cannot be paused"""
        self.address = address
        self.options = options
        #: Tells the receiver that nothing more comes, and why.
        self.end = end
        self._cursors = cursors
        self._deliver = deliver
        self._rejoin = rejoin
        #: The answer to the last join; None before the first.
        self.result: Joined | None = None
        #: Messages that went by while it was paused, and that no replay will bring back.
        self.missed = 0
        # Between the answer to a join and the loss of its connection.
        self._active = False
        self._paused = False
        self._is_unplaced = False
        self._early: list[tuple[Address, Envelope, Container[str]]] = []
        if options.since is not None:
            cursors.seed(address, options.since)

    @property
    def key(self) -> tuple[Address, str | None]:
        """What the server keeps one of for a client."""
        return self.address, self.group

    def leave_args(self) -> JsonObject:
        """Arguments of ``leave_channel``."""
        return {"room": self.address.room, "channel": self.address.channel}

    @property
    def needs(self) -> frozenset[str]:
        """What the server has to offer for it."""
        return frozenset(["patterns"]) if self.address.is_pattern else frozenset()

    @property
    def resumable(self) -> bool:
        """Whether what is not taken now can be had later."""
        return self.address.room != WILDCARD

    @property
    def since(self) -> Since | None:
        """Where a later subscription goes on."""
        return self._cursors.since(self.address)

    @property
    def is_unplaced(self) -> bool:
        """Whether it has to join again to have what it missed, once the server's storage is back."""
        return self._is_unplaced and self._active

    def pause(self) -> None:
        """Takes nothing any more until :meth:`proceed`."""
        self._paused = True

    def proceed(self) -> None:
        """The receiver has room again: has what went by replayed."""
        if not self._paused:
            return
        self._paused = False
        if self._active and self._rejoin is not None:
            self._rejoin(self)

    def join_args(self, sharing: Sequence[JoinOptions]) -> tuple[JsonObject, Since | None]:
        """Arguments of the next ``join_channel``, and the ``since`` in them.

        :param sharing: what all memberships of this address ask for: the server keeps one
        """
        args: JsonObject = {"room": self.address.room, "channel": self.address.channel}
        if any(options.echo for options in sharing):
            args["echo"] = True
        if any(options.presence for options in sharing):
            states = [options.state for options in sharing if options.state is not None]
            args["presence"] = {"state": states[-1]} if states else True
        # While paused only the membership is kept; the replay comes when there is room for it.
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
        """A join is on its way: what comes now has to wait for its answer."""
        self._active = False

    def joined(self, joined: Joined, asked: Since | None, *, is_again: bool) -> bool:
        """Takes the answer to a join. Must run before any later frame of the connection is dispatched.

        True: join once more, since the server can replay more than it has.
        """
        first = self.result is None
        recovered = joined.recovered
        if is_again and self.result is not None:
            # What the first of two joins could not recover is lost, whatever the second one says.
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
                # Nothing was known that it could have gone on from: nothing resumes a subscription to all rooms.
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
        """The connection is lost; what was not answered comes again with the next one."""
        self._active = False
        self._early.clear()

    def offer(self, stream: Address, envelope: Envelope, own: Container[str]) -> None:
        """Takes an event that :attr:`address` covers; delivers it unless it was seen or is the client's own."""
        if not self._active:
            self._early.append((stream, envelope, own))
            if len(self._early) > _MAX_EARLY:
                # The oldest of them are those that the replay brings.
                del self._early[0]
        elif (envelope.get("metadata") or {}).get("retained") is True:
            # It stands before where the join begins, and is for whoever asked for it.
            if self.options.last:
                self._deliver(envelope)
        elif self._paused:
            if not self.resumable or Position.of(envelope) is None:
                self.missed += 1
        elif not self.resumable:
            # Nothing here asked for a replay of everything: it is another membership's.
            if (envelope.get("metadata") or {}).get("replayed") is not True:
                self._pass_on([envelope], own)
        else:
            is_own_stream = self.address.channel == WILDCARD or stream.channel != WILDCARD
            if self._is_unplaced and self._cursors.can_replay(stream, envelope, is_own_stream=is_own_stream):
                return  # it comes after what was missed, with the next join
            self._pass_on(self._cursors.offer(stream, envelope, is_own_stream=is_own_stream), own)

    def gap(self, stream: Address, own: Container[str]) -> None:
        """Takes the server's word that ``stream`` has a hole at this place."""
        if self.result is not None:
            self._pass_on(self._cursors.gap(stream), own)

    def notice(self, envelope: Envelope) -> bool:
        """Takes a notice of who joined or left here; false when this membership did not ask for them."""
        if self._active and self.options.presence:
            self._deliver(envelope)
        return self.options.presence

    def mark_own(self, sequence: int, epoch: str, own: Container[str]) -> None:
        # With echo the event itself comes; counting its ack as seen would drop it.
        if not self.options.echo:
            self._pass_on([*self._cursors.mark_own(sequence, epoch)], own)

    def _pass_on(self, items: list[Envelope | Reset], own: Container[str]) -> None:
        for item in items:
            # A replay repeats what this client itself sent, which live traffic leaves out unless echo is asked for.
            if isinstance(item, Reset) or self.options.echo or item["from"] not in own:
                self._deliver(item)
