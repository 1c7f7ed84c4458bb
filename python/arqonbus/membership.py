"""What a client has joined, and where the messages go that come of it."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass

from .cursor import Cursors
from .envelope import WILDCARD, Address, Envelope, JsonObject
from .results import Joined, Position, Reset


@dataclass(frozen=True)
class JoinOptions:
    """``history`` and ``since`` are for the first join only; a rejoin resumes from what was seen."""

    echo: bool = False
    presence: bool = False
    history: int | None = None
    #: A position, or for a room a mapping of channel names to positions.
    since: Position | Mapping[str, Position] | None = None

    def to_args(self, address: Address) -> JsonObject:
        args: JsonObject = {"room": address.room, "channel": address.channel}
        if self.echo:
            args["echo"] = True
        if self.presence:
            args["presence"] = True
        return args


class Membership:
    """One address joined, and the receiver of its messages. Survives reconnects."""

    def __init__(
        self,
        address: Address,
        options: JoinOptions,
        cursors: Cursors,
        deliver: Callable[[Envelope | Reset], None],
        end: Callable[[BaseException], None],
    ):
        self.address = address
        self.options = options
        #: Tells the receiver that nothing more comes, and why.
        self.end = end
        self._cursors = cursors
        self._deliver = deliver
        self._joined_before = False
        #: Between the answer to a join and the loss of its connection. What comes outside of that a replay repeats.
        self.active = False

    def join_args(self) -> JsonObject:
        """Arguments of the next ``join_channel``: the first one as the user asked, later ones with ``since``."""
        args = self.options.to_args(self.address)
        if self._joined_before:
            seen = self._seen()
            if seen is not None:
                args["since"] = seen
        elif self.options.since is not None:
            since = self.options.since
            if isinstance(since, Position):
                args["since"] = since.to_wire()
            else:
                args["since"] = {name: position.to_wire() for name, position in since.items()}
        elif self.options.history:
            args["history"] = self.options.history
        return args

    def _seen(self) -> JsonObject | None:
        room, channel = self.address
        if room == WILDCARD:
            return None
        if channel != WILDCARD:
            position = self._cursors.position(self.address)
            return None if position is None else position.to_wire()
        positions = self._cursors.positions(room)
        return {name: position.to_wire() for name, position in positions.items()} or None

    def joined(self, joined: Joined) -> None:
        """Takes the answer to the join. Must run before any later frame of the connection is dispatched."""
        self.active = True
        if self._joined_before:
            reset = self._resume(joined)
        elif self.options.since is not None:
            since = self.options.since
            for name, position in ({self.address.channel: since} if isinstance(since, Position) else since).items():
                self._cursors.seek(Address(self.address.room, name), position)
            reset = self._cursors.resumed(self.address, joined)
        else:
            reset = None
            self._begin(joined)
        self._joined_before = True
        if reset is not None:
            self._deliver(reset)

    def _begin(self, joined: Joined) -> None:
        """The first join: what counts as new begins with the live traffic, or with the history asked for before it."""
        room, channel = self.address
        if room == WILDCARD:
            return
        positions = dict(joined.positions)
        if joined.position is not None:
            positions[channel] = joined.position
        for name, position in positions.items():
            stream = Address(room, name)
            if self.options.history:
                first = max(0, position.sequence - self.options.history)
                self._cursors.seek(stream, Position(first, position.epoch))
            else:
                self._cursors.begin(stream, position)

    def _resume(self, joined: Joined) -> Reset | None:
        room, channel = self.address
        if room == WILDCARD:
            # Nothing in the protocol resumes a subscription to all rooms.
            return Reset(str(self.address), "not_recovered")
        if channel != WILDCARD:
            # A member of one channel gets room-wide events too, but joining the channel does not replay them.
            self._cursors.doubt(Address(room, WILDCARD))
        return self._cursors.resumed(self.address, joined)

    def offer(self, stream: Address, envelope: Envelope, own: Container[str]) -> None:
        """Takes an event that :attr:`address` covers; delivers it unless it was seen or is the client's own."""
        if self.active:
            self._pass_on(self._cursors.offer(stream, envelope), own)

    def gap(self, stream: Address, own: Container[str]) -> None:
        """Takes the server's word that a replay of ``stream`` has a hole at this place."""
        if self.active:
            self._pass_on(self._cursors.gap(stream), own)

    def notice(self, envelope: Envelope) -> bool:
        """Takes a notice of who joined or left here; false when this membership did not ask for them."""
        if self.active and self.options.presence:
            self._deliver(envelope)
        return self.options.presence

    def _pass_on(self, items: list[Envelope | Reset], own: Container[str]) -> None:
        for item in items:
            # A replay repeats what this client itself sent, which live traffic leaves out unless echo is asked for.
            if isinstance(item, Reset) or self.options.echo or item["from"] not in own:
                self._deliver(item)

    def mark_own(self, sequence: int, epoch: str) -> None:
        # With echo the event itself comes; counting its ack as seen would drop it.
        if not self.options.echo:
            self._cursors.mark_own(sequence, epoch)
