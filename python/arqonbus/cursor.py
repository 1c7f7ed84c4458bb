"""What has been seen of each stream: the memory that makes a resume free of gaps and duplicates."""

from __future__ import annotations

from .envelope import WILDCARD, Address, Envelope
from .results import Joined, Position, Reset, ResetReason


class StreamCursor:
    """The place in one stream (PROTOCOL section 6): sequences up to :attr:`position` are seen."""

    def __init__(self) -> None:
        self.position: Position | None = None
        self._in_doubt = False
        self._target = 0
        self._held: dict[int, Envelope] = {}

    def restart(self, position: Position | None) -> None:
        """Forgets everything: the stream goes on after ``position``; None takes whatever comes next as the start."""
        self.position = position
        self._target = 0
        self._held.clear()

    def doubt(self) -> None:
        """The connection was lost, and nothing replays this stream: a hole before the next event is a loss."""
        self._in_doubt = self.position is not None

    def skip(self) -> list[Envelope]:
        """The replay has a hole: what is kept comes as it comes. Answers what was held back."""
        self._target = 0
        return [] if self.position is None else self._release(self.position)

    def is_loss(self, position: Position) -> bool:
        """Whether events before ``position`` are gone for good."""
        if self.position is None:
            return False
        in_doubt, self._in_doubt = self._in_doubt, False
        if position.epoch != self.position.epoch:
            # From its very first event on, a new incarnation hides nothing.
            return position.sequence > 1
        return in_doubt and position.sequence > self.position.sequence + 1

    def catch_up(self, target: int) -> None:
        """A replay without holes up to ``target`` follows.

        What comes out of turn before its end is held back: a second membership of the same client may bring live
        events, or a replay of its own, in between.
        """
        self._held.clear()
        self._target = target

    def mark_own(self, sequence: int) -> None:
        """Counts one of this client's own publishes as seen, if it is the next.

        Where it is not, an event of somebody else is still on its way; that one will move the position, or else a
        replay repeats both, and the own one is known by its ``from``.
        """
        if self.position is not None and sequence == self.position.sequence + 1:
            self.position = Position(sequence, self.position.epoch)

    def offer(self, envelope: Envelope, position: Position) -> list[Envelope]:
        """Takes the event at ``position``; answers what can be delivered now, in order."""
        if self.position is None or self.position.epoch != position.epoch:
            self.restart(position)
            return [envelope]
        sequence, seen = position.sequence, self.position.sequence
        if sequence <= seen:
            return []
        if seen < self._target and sequence > seen + 1:
            self._held[sequence] = envelope
            return []
        self.position = position
        return [envelope, *self._release(position)] if self._held else [envelope]

    def _release(self, position: Position) -> list[Envelope]:
        """Held events whose turn has come: the next ones in a row, and all of them once the replay is complete."""
        released: list[Envelope] = []
        for sequence in sorted(self._held):
            if position.sequence < self._target and sequence > position.sequence + 1:
                break
            envelope = self._held.pop(sequence)
            if sequence > position.sequence:
                released.append(envelope)
                position = Position(sequence, position.epoch)
        self.position = position
        return released


class Cursors:
    """The cursors of the streams that reach one receiver: a channel, a room's channels, the room-wide stream."""

    def __init__(self) -> None:
        self._streams: dict[Address, StreamCursor] = {}

    def position(self, stream: Address) -> Position | None:
        cursor = self._streams.get(stream)
        return None if cursor is None else cursor.position

    def positions(self, room: str) -> dict[str, Position]:
        """Channel name → position, of the streams of a room seen so far."""
        return {
            stream.channel: cursor.position
            for stream, cursor in self._streams.items()
            if stream.room == room and cursor.position is not None
        }

    def begin(self, stream: Address, position: Position | None) -> None:
        """Live traffic of ``stream`` starts after ``position``. A stream already followed in that epoch goes on."""
        cursor = self._streams.setdefault(stream, StreamCursor())
        if position is None or (cursor.position is not None and cursor.position.epoch == position.epoch):
            return
        cursor.restart(position)

    def seek(self, stream: Address, position: Position | None) -> None:
        """Sets the place, wherever the cursor was: None takes whatever comes next as the start."""
        self._streams.setdefault(stream, StreamCursor()).restart(position)

    def resumed(self, address: Address, joined: Joined) -> Reset | None:
        """The answer to a join with ``since``. Answers the reset that the receiver must be told of, if any."""
        told = dict(joined.positions)
        if address.channel != WILDCARD and joined.position is not None:
            told[address.channel] = joined.position
        if joined.recovered is not True:
            for channel, position in told.items():
                self.seek(Address(address.room, channel), position)
            return Reset(str(address), "not_recovered", joined.position)
        for channel, position in told.items():
            cursor = self._streams.setdefault(Address(address.room, channel), StreamCursor())
            if cursor.position is None:
                # A channel made meanwhile: its replay begins with whatever is kept.
                cursor.restart(Position(0, position.epoch))
            else:
                cursor.catch_up(position.sequence)
        return None

    def mark_own(self, sequence: int, epoch: str) -> None:
        """An ack of an own publish. The epoch names the stream: it is a random id of its incarnation."""
        for cursor in self._streams.values():
            if cursor.position is not None and cursor.position.epoch == epoch:
                cursor.mark_own(sequence)

    def offer(self, stream: Address, envelope: Envelope) -> list[Envelope | Reset]:
        """Takes one event; answers what is new, in order, with a :class:`Reset` before events of a new epoch."""
        position = Position.of(envelope)
        if position is None:
            return [envelope]
        cursor = self._streams.setdefault(stream, StreamCursor())
        if cursor.is_loss(position):
            same_epoch = cursor.position is not None and cursor.position.epoch == position.epoch
            reason: ResetReason = "not_recovered" if same_epoch else "new_epoch"
            cursor.restart(position)
            return [Reset(str(stream), reason, position), envelope]
        return [*cursor.offer(envelope, position)]

    def doubt(self, stream: Address) -> None:
        if stream in self._streams:
            self._streams[stream].doubt()

    def gap(self, stream: Address) -> list[Envelope | Reset]:
        """The server's word that a replay has a hole here: answers the reset, and what was held back for it."""
        cursor = self._streams.setdefault(stream, StreamCursor())
        return [Reset(str(stream), "not_recovered", cursor.position), *cursor.skip()]
