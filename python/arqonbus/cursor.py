"""Stream cursors: track what was received, so that a resume has no gaps and no duplicates."""

from __future__ import annotations

from .address import Address
from .envelope import WILDCARD, Envelope
from .results import Joined, Position, Reset, ResetReason, Since

#: Maximum messages held back during a replay.
_MAX_HELD = 10_000
#: Maximum own sequences remembered ahead of the cursor.
_MAX_OWN_AHEAD = 1_024


class StreamCursor:
    """The position in one stream (PROTOCOL section 6): sequences up to ``sequence`` have been seen.

    During a gapless replay, messages are delivered in strict sequence and the rest is held back: with overlapping
    memberships a live message may overtake the replay.
    """

    def __init__(self, position: Position, joined_at: int | None = None):
        """:param joined_at: the current end of the stream; larger than its sequence when some of its history follows"""
        self.epoch = position.epoch
        self.sequence = position.sequence
        self._joined_at = position.sequence if joined_at is None else joined_at
        self._owed_up_to = 0
        self._held: dict[int, Envelope] = {}
        # A dict, to keep insertion order.
        self._own: dict[int, None] = {}

    @property
    def position(self) -> Position:
        return Position(self.sequence, self.epoch)

    @property
    def is_empty(self) -> bool:
        """Whether the stream had no event at the last join, and none since."""
        return max(self.sequence, self._joined_at) == 0

    def stands_at(self, position: Position) -> bool:
        """Whether a stream at ``position`` has nothing new."""
        return position == Position(max(self.sequence, self._joined_at), self.epoch)

    def expect(self, sequence: int) -> None:
        """Expects a replay of everything after the cursor up to ``sequence``."""
        self._joined_at = sequence
        self._owed_up_to = max(self._owed_up_to, sequence)

    def take(self, envelope: Envelope, sequence: int) -> list[Envelope]:
        """Handles a message of this stream; returns the messages that are now deliverable, in order."""
        if sequence <= self.sequence:
            return []
        if self.sequence < self._owed_up_to and sequence > self.sequence + 1:
            self._held[sequence] = envelope
            return self.release() if len(self._held) > _MAX_HELD else []
        self._advance(sequence)
        return [envelope, *self._due()]

    def own(self, sequence: int) -> list[Envelope]:
        """Handles the ack of an own message: it counts as seen, without being delivered."""
        if sequence <= self.sequence:
            return []
        self._own[sequence] = None
        # A remaining gap must be an own message without an ack: a message of another client would have arrived by now.
        self._advance(next(iter(self._own)) if len(self._own) > _MAX_OWN_AHEAD else self.sequence)
        return self._due()

    def release(self) -> list[Envelope]:
        """Releases the held-back messages when the replay has a gap that will not be filled."""
        self._owed_up_to = 0
        return self._due()

    def _advance(self, to: int) -> None:
        before = self.sequence
        self.sequence = max(before, to)
        while self.sequence + 1 in self._own:
            self.sequence += 1
            del self._own[self.sequence]
        if self.sequence != before:
            for own in [own for own in self._own if own <= self.sequence]:
                del self._own[own]

    def _due(self) -> list[Envelope]:
        """Held-back messages that are now deliverable: the next ones in sequence, or all after the replay."""
        due: list[Envelope] = []

        def hand(sequence: int) -> None:
            envelope = self._held.pop(sequence)
            if sequence > self.sequence:
                due.append(envelope)
                self._advance(sequence)

        while self.sequence + 1 in self._held:
            hand(self.sequence + 1)
        if self.sequence >= self._owed_up_to:
            for sequence in sorted(self._held):
                hand(sequence)
        return due


class Cursors:
    """The cursors of a receiver's streams: a channel, the channels of a room, the room-wide stream."""

    def __init__(self) -> None:
        self._streams: dict[Address, StreamCursor] = {}

    def position(self, stream: Address) -> Position | None:
        cursor = self._streams.get(stream)
        return None if cursor is None else cursor.position

    def since(self, address: Address) -> Since | None:
        """The ``since`` for the next join of an address; None when nothing is known yet.

        It is a map for a room or pattern, and for a channel whose room has had a room-wide event.
        """
        room, channel = address
        if room == WILDCARD:
            return None
        if address.is_many:
            return {at.channel: cursor.position for at, cursor in self._streams.items() if address.covers(*at)} or None
        own, wide = self._streams.get(address), self._streams.get(Address(room, WILDCARD))
        if own is None:
            return None
        if wide is None or wide.is_empty:
            return own.position
        return {channel: own.position, WILDCARD: wide.position}

    def seed(self, address: Address, since: Since) -> None:
        """Sets the caller's ``since`` before the first join."""
        positions = {address.channel: since} if isinstance(since, Position) else since
        for channel, position in positions.items():
            self._streams[Address(address.room, channel)] = StreamCursor(position)

    def begin(self, address: Address, joined: Joined, history: int = 0) -> None:
        """Handles the response to a join without ``since``; ``history`` envelopes per stream precede live traffic.

        Streams that another membership of the same receiver already follows are left unchanged.
        """
        for channel, position in _told(address, joined).items():
            stream = Address(address.room, channel)
            cursor = self._streams.get(stream)
            if cursor is not None and cursor.epoch == position.epoch and not history:
                continue
            replayed = history if address.is_many or channel == address.channel else 0
            first = Position(max(0, position.sequence - replayed), position.epoch)
            self._streams[stream] = StreamCursor(first, position.sequence)

    def resume(self, address: Address, joined: Joined, asked: Since, *, is_last: bool) -> tuple[list[Reset], bool]:
        """Handles the response to a join with ``since``: returns the resets to report, and whether to join once more.

        The second join, from the current cursors, requests what the server could replay and did not.
        """
        told = _told(address, joined)
        is_recovered = joined.recovered is True
        positions = {address.channel: asked} if isinstance(asked, Position) else asked
        # Compare with what was requested, not with the cursors: another membership of the receiver may have moved them.
        is_renewed = any(name in told and told[name].epoch != position.epoch for name, position in positions.items())
        if not is_recovered and (is_last or not is_renewed):
            return self._give_up(address, told, is_last=is_last), False
        resets: list[Reset] = []
        is_owed = False
        for channel, position in told.items():
            stream = Address(address.room, channel)
            cursor = self._streams.get(stream)
            if cursor is not None and cursor.epoch == position.epoch:
                is_owed |= position.sequence > cursor.sequence and not (is_recovered and channel in positions)
                cursor.expect(position.sequence)
            elif cursor is None and channel == WILDCARD and address.channel != WILDCARD:
                self._streams[stream] = StreamCursor(position)
            else:
                # Created or restarted meanwhile: it is read from its start, or from the oldest stored envelope.
                start = Position(0, position.epoch)
                self._streams[stream] = StreamCursor(start, position.sequence)
                if cursor is None:
                    continue
                is_owed |= position.sequence > 0
                # An empty stream has no lasting epoch, and most rooms never have a room-wide event.
                if channel != WILDCARD or cursor.sequence > 0:
                    resets.append(Reset(str(stream), "new_epoch", start))
        return resets, is_owed and not is_last

    def _give_up(self, address: Address, told: dict[str, Position], *, is_last: bool) -> list[Reset]:
        """The missed messages are lost: continue every stream from its current end."""
        resets: list[Reset] = []
        for channel, position in told.items():
            stream = Address(address.room, channel)
            cursor = self._streams.get(stream)
            # For a new epoch, accept all stored events in case the server replays them.
            is_new = is_last and cursor is not None and cursor.position == Position(0, position.epoch)
            start = Position(0, position.epoch) if is_new else position
            if position.sequence > 0 if is_new else cursor is None or not cursor.stands_at(position):
                resets.append(Reset(str(stream), "not_recovered", start))
            self._streams[stream] = StreamCursor(start, position.sequence)
        return resets

    def offer(self, stream: Address, envelope: Envelope, *, is_own_stream: bool = True) -> list[Envelope | Reset]:
        """Handles one event; returns what is new, in order, with a :class:`Reset` before events of a new epoch.

        :param is_own_stream: whether the receiver joined this stream, rather than receiving it along with another one
        """
        position = Position.of(envelope)
        if position is None:
            return [envelope]
        cursor = self._streams.get(stream)
        if cursor is not None and cursor.epoch == position.epoch:
            return [*cursor.take(envelope, position.sequence)]
        if cursor is None and not is_own_stream and (envelope.get("metadata") or {}).get("replayed") is True:
            # A replay of an unknown room-wide stream belongs to a membership of the room.
            return []
        self._streams[stream] = StreamCursor(position)
        if cursor is not None and position.sequence > 1:
            return [Reset(str(stream), "new_epoch", position), envelope]
        return [envelope]

    def can_replay(self, stream: Address, envelope: Envelope, *, is_own_stream: bool) -> bool:
        """Whether an event that is skipped now will be replayed by the next join."""
        return Position.of(envelope) is not None and (is_own_stream or stream in self._streams)

    def mark_own(self, sequence: int, epoch: str) -> list[Envelope]:
        """Handles the ack of an own publish. The epoch identifies the stream: it is a random id."""
        for cursor in self._streams.values():
            if cursor.epoch == epoch:
                return cursor.own(sequence)
        return []

    def gap(self, stream: Address) -> list[Envelope | Reset]:
        """Handles the server's notice of a gap in a stream: returns the reset, and the held-back messages."""
        cursor = self._streams.get(stream)
        reason: ResetReason = "history_gap"
        if cursor is None:
            return [Reset(str(stream), reason)]
        return [Reset(str(stream), reason, cursor.position), *cursor.release()]


def is_unknown(joined: Joined) -> bool:
    """Whether the server could not report any stream position: its storage is unavailable."""
    return joined.recovered is False and joined.position is None and not joined.positions


def _told(address: Address, joined: Joined) -> dict[str, Position]:
    """The stream positions reported by the server."""
    told = dict(joined.positions)
    if not told and joined.position is not None:
        told[address.channel] = joined.position
    return told
