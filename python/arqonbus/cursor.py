"""What has been seen of each stream: the memory that makes a resume free of gaps and duplicates."""

from __future__ import annotations

from .address import Address
from .envelope import WILDCARD, Envelope
from .results import Joined, Position, Reset, ResetReason, Since

#: Messages held back while a replay is on its way.
_MAX_HELD = 10_000
#: Own sequences remembered ahead of the cursor.
_MAX_OWN_AHEAD = 1_024


class StreamCursor:
    """The place in one stream (PROTOCOL section 6): sequences up to ``sequence`` are seen.

    While a replay without holes is on its way, messages are let through in strict succession and the rest is held
    back: with overlapping memberships a live message may overtake the replay.
    """

    def __init__(self, position: Position, joined_at: int | None = None):
        """:param joined_at: where the stream stands; more than its sequence when a part of its history follows"""
        self.epoch = position.epoch
        self.sequence = position.sequence
        self._joined_at = position.sequence if joined_at is None else joined_at
        self._owed_up_to = 0
        self._held: dict[int, Envelope] = {}
        # A dict, because it keeps its order.
        self._own: dict[int, None] = {}

    @property
    def position(self) -> Position:
        return Position(self.sequence, self.epoch)

    @property
    def is_empty(self) -> bool:
        """Whether the stream had no event at the last join, and none since."""
        return max(self.sequence, self._joined_at) == 0

    def stands_at(self, position: Position) -> bool:
        """Whether a stream that stands at ``position`` has had nothing new since."""
        return position == Position(max(self.sequence, self._joined_at), self.epoch)

    def expect(self, sequence: int) -> None:
        """Everything after the cursor up to ``sequence`` will be replayed."""
        self._joined_at = sequence
        self._owed_up_to = max(self._owed_up_to, sequence)

    def take(self, envelope: Envelope, sequence: int) -> list[Envelope]:
        """Takes a message of this stream; answers those whose turn has come, in order."""
        if sequence <= self.sequence:
            return []
        if self.sequence < self._owed_up_to and sequence > self.sequence + 1:
            self._held[sequence] = envelope
            return self.release() if len(self._held) > _MAX_HELD else []
        self._advance(sequence)
        return [envelope, *self._due()]

    def own(self, sequence: int) -> list[Envelope]:
        """The ack of an own message: it counts as seen, without being delivered."""
        if sequence <= self.sequence:
            return []
        self._own[sequence] = None
        # A hole that stays is another own message, one without an ack: by now nobody else's can be late.
        self._advance(next(iter(self._own)) if len(self._own) > _MAX_OWN_AHEAD else self.sequence)
        return self._due()

    def release(self) -> list[Envelope]:
        """The replay has a hole that will not be filled: lets go of what was held back for it."""
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
        """What was held back and is due now: the next ones in a row, and all of it once the replay is complete."""
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
    """The cursors of the streams that reach one receiver: a channel, a room's channels, the room-wide stream."""

    def __init__(self) -> None:
        self._streams: dict[Address, StreamCursor] = {}

    def position(self, stream: Address) -> Position | None:
        cursor = self._streams.get(stream)
        return None if cursor is None else cursor.position

    def since(self, address: Address) -> Since | None:
        """What the next join of an address asks to go on from; None when nothing is known yet.

        That of a room or pattern is a map; a channel's is one too as soon as its room has had a room-wide event.
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
        """The user's own ``since``, before the first join."""
        positions = {address.channel: since} if isinstance(since, Position) else since
        for channel, position in positions.items():
            self._streams[Address(address.room, channel)] = StreamCursor(position)

    def begin(self, address: Address, joined: Joined, history: int = 0) -> None:
        """The answer to a join without ``since``; ``history`` envelopes of each stream joined precede live traffic.

        A stream that another membership of the same receiver follows already goes on as it is.
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
        """The answer to a join with ``since``: the resets to tell, and whether to join once more.

        Joining once more, from where the cursors stand now, is for what the server could replay and has not.
        """
        told = _told(address, joined)
        is_recovered = joined.recovered is True
        positions = {address.channel: asked} if isinstance(asked, Position) else asked
        # By what was asked, not by the cursors: another membership of the same receiver may have moved them on.
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
                # Made meanwhile, or begun anew: it is had from its start, or from the oldest envelope that is kept.
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
        """What was missed is not kept: everything goes on from where it stands now."""
        resets: list[Reset] = []
        for channel, position in told.items():
            stream = Address(address.room, channel)
            cursor = self._streams.get(stream)
            # Of a new epoch everything that is kept is wanted, should the server replay it.
            is_new = is_last and cursor is not None and cursor.position == Position(0, position.epoch)
            start = Position(0, position.epoch) if is_new else position
            if position.sequence > 0 if is_new else cursor is None or not cursor.stands_at(position):
                resets.append(Reset(str(stream), "not_recovered", start))
            self._streams[stream] = StreamCursor(start, position.sequence)
        return resets

    def offer(self, stream: Address, envelope: Envelope, *, is_own_stream: bool = True) -> list[Envelope | Reset]:
        """Takes one event; answers what is new, in order, with a :class:`Reset` before events of a new epoch.

        :param is_own_stream: whether the receiver asked for this stream, rather than getting it with another one
        """
        position = Position.of(envelope)
        if position is None:
            return [envelope]
        cursor = self._streams.get(stream)
        if cursor is not None and cursor.epoch == position.epoch:
            return [*cursor.take(envelope, position.sequence)]
        if cursor is None and not is_own_stream and (envelope.get("metadata") or {}).get("replayed") is True:
            # The replay of a room-wide stream of which nothing is known belongs to a membership of the room.
            return []
        self._streams[stream] = StreamCursor(position)
        if cursor is not None and position.sequence > 1:
            return [Reset(str(stream), "new_epoch", position), envelope]
        return [envelope]

    def can_replay(self, stream: Address, envelope: Envelope, *, is_own_stream: bool) -> bool:
        """Whether an event that is not taken now will come with the next join."""
        return Position.of(envelope) is not None and (is_own_stream or stream in self._streams)

    def mark_own(self, sequence: int, epoch: str) -> list[Envelope]:
        """An ack of an own publish. The epoch names the stream: it is a random id of its incarnation."""
        for cursor in self._streams.values():
            if cursor.epoch == epoch:
                return cursor.own(sequence)
        return []

    def gap(self, stream: Address) -> list[Envelope | Reset]:
        """The server's word that a stream has a hole here: answers the reset, and what was held back for it."""
        cursor = self._streams.get(stream)
        reason: ResetReason = "history_gap"
        if cursor is None:
            return [Reset(str(stream), reason)]
        return [Reset(str(stream), reason, cursor.position), *cursor.release()]


def is_unknown(joined: Joined) -> bool:
    """Whether the server could not tell where any stream stands: its storage is away."""
    return joined.recovered is False and joined.position is None and not joined.positions


def _told(address: Address, joined: Joined) -> dict[str, Position]:
    """Where the server says that the streams stand."""
    told = dict(joined.positions)
    if not told and joined.position is not None:
        told[address.channel] = joined.position
    return told
