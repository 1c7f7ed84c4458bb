"""Return values of the client's methods."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from .envelope import Envelope, JsonObject


@dataclass(frozen=True)
class Position:
    """A place in a stream: ``sequence`` counts from 1 within ``epoch``, the stream's incarnation.

    >>> position = Position.of(message)
    >>> client.subscribe("science:explore", since=position)
    """

    sequence: int
    epoch: str

    @classmethod
    def of(cls, message: Envelope) -> Position | None:
        """The position of a message in its stream; None when it is not stored in one.

        >>> Position.of(message)
        Position(sequence=7, epoch='c0ffee')
        """
        return cls.from_wire(message.get("metadata"))

    def to_wire(self) -> JsonObject:
        """The position as JSON, for storing it in a file or a database.

        >>> json.dumps(position.to_wire())
        '{"sequence": 7, "epoch": "c0ffee"}'
        """
        return {"sequence": self.sequence, "epoch": self.epoch}

    @classmethod
    def from_wire(cls, value: Any) -> Position | None:
        """Reads ``{sequence, epoch}``; None when either is missing, as on traffic that is not stored.

        >>> Position.from_wire(json.loads(text))
        Position(sequence=7, epoch='c0ffee')
        """
        if not isinstance(value, dict):
            return None
        sequence, epoch = value.get("sequence"), value.get("epoch")
        if not isinstance(sequence, int) or not isinstance(epoch, str) or not epoch:
            return None
        return cls(sequence, epoch)


#: Where a subscription resumes: a position, or positions by channel. The map of a channel has its own position, and
#: ``*`` for the room-wide events.
Since = Position | dict[str, Position]


#: Where a page of history ends: a sequence, or for a room a map by channel. Passed back to the server unchanged.
PageCursor = int | dict[str, Any]


def since_from_wire(value: Any) -> Since | None:
    """Reads where a page ends: a position, or positions by channel. A stream that does not exist yet has one too."""
    position = _place_of_page(value)
    if position is not None or not isinstance(value, dict):
        return position
    positions = {str(channel): _place_of_page(each) for channel, each in value.items()}
    return {channel: position for channel, position in positions.items() if position is not None}


def _place_of_page(value: Any) -> Position | None:
    return Position(0, "") if value == {"sequence": 0, "epoch": ""} else Position.from_wire(value)


def since_to_wire(since: Since) -> JsonObject:
    """The wire form of a ``since``."""
    if isinstance(since, Position):
        return since.to_wire()
    return {channel: position.to_wire() for channel, position in since.items()}


@dataclass(frozen=True)
class Joined:
    """The response to a join: the stream position before live traffic, and the number of members.

    >>> joined = await client.join("science:explore")
    >>> print(joined.members, joined.sequence)
    """

    room: str
    channel: str
    position: Position | None
    members: int
    #: Only when the join gave a position: whether every envelope missed since then follows.
    recovered: bool | None
    #: Positions of the channel and the room-wide stream (``*``); for a room, of each of its channels.
    positions: dict[str, Position]
    #: For a group: its name.
    group: str | None = None
    #: For a room or pattern: which channels it covers.
    scope: str | None = None
    #: With ``presence``: the members, as sent by the server.
    presence: JsonObject | None = None

    @property
    def sequence(self) -> int | None:
        """The last sequence before live traffic.

        >>> (await client.join("science:explore")).sequence
        7
        """
        return None if self.position is None else self.position.sequence

    @property
    def epoch(self) -> str | None:
        """The epoch of the stream that :attr:`sequence` belongs to.

        >>> (await client.join("science:explore")).epoch
        'c0ffee'
        """
        return None if self.position is None else self.position.epoch

    @classmethod
    def from_payload(cls, payload: JsonObject) -> Joined:
        positions = {name: Position.from_wire(value) for name, value in (payload.get("positions") or {}).items()}
        return cls(
            room=payload["room"],
            channel=payload["channel"],
            position=Position.from_wire(payload),
            members=payload.get("members", 0),
            recovered=payload.get("recovered"),
            positions={name: position for name, position in positions.items() if position is not None},
            group=payload.get("group"),
            scope=payload.get("scope"),
            presence=payload.get("presence"),
        )


@dataclass(frozen=True)
class HistoryPage:
    """Envelopes, oldest first. Pass ``previous`` as ``before`` for older ones, ``next`` as ``after`` for newer.

    Pass ``position`` as ``since`` to read what follows: a :class:`Position` for a channel, a map for a room.
    ``recovered`` is set when ``since`` was given: False when something in between is no longer stored.

    >>> page = await client.history_page("science:explore", limit=20)
    >>> older = await client.history_page("science:explore", before=page.previous)
    """

    messages: list[Envelope]
    next: PageCursor | None
    previous: PageCursor | None
    position: Since | None = None
    recovered: bool | None = None

    @classmethod
    def from_payload(cls, payload: JsonObject) -> HistoryPage:
        return cls(
            [Envelope(message) for message in payload["messages"]],
            payload.get("next"),
            payload.get("previous"),
            since_from_wire(payload.get("position")),
            payload.get("recovered"),
        )


#: ``not_recovered``: no longer stored. ``new_epoch``: the stream was restarted. ``history_gap``: the server reported a
#: gap. ``overflow``: the reader was too slow. ``watch_interrupted``: a watch missed changes while disconnected.
ResetReason = Literal["not_recovered", "new_epoch", "history_gap", "overflow", "watch_interrupted"]

_REASONS: dict[str, str] = {
    "not_recovered": "what was missed while disconnected is no longer kept",
    "new_epoch": "the stream was started over",
    "history_gap": "the server did not store some of them",
    "overflow": "messages came faster than they were taken, and the buffer is full",
    "watch_interrupted": "changes while disconnected are not told",
}


@dataclass(frozen=True)
class Reset:
    """Messages of ``address`` were lost: reload what depends on them. ``position`` is where delivery continues.

    >>> client.subscribe("science:explore", on_reset=lambda reset: print(reset.reason, reset.position))
    """

    address: str
    reason: ResetReason
    position: Position | None = None

    def __str__(self) -> str:
        return f"Messages of {self.address} were lost: {_REASONS[self.reason]}."


@dataclass(frozen=True)
class Frame:
    """A received frame: its text and the parsed envelope. Passed to ``on("frame")``.

    >>> client.on("frame", lambda frame: print(frame.text))
    """

    #: The JSON text, unchanged.
    text: str
    envelope: Envelope


@dataclass(frozen=True)
class Reconnecting:
    """An attempt failed or the connection was lost, and another attempt follows. Passed to ``on("reconnecting")``.

    >>> client.on("reconnecting", lambda info: print(info.attempt, info.delay, info.error))
    """

    #: Consecutive failures, including this one.
    attempt: int
    #: Delay before the next attempt, in seconds.
    delay: float
    error: Exception


@dataclass(frozen=True)
class Queued:
    """Messages waiting to be sent, because the connection is down or the server asked for a pause.

    >>> print(client.queued.messages, client.queued.bytes)
    """

    messages: int
    bytes: int


@dataclass(frozen=True)
class StoreEntry:
    """One key of ``op.store``. ``expires_at`` is RFC 3339, None without an expiry.

    >>> entry = await client.store.get("jobs/1")
    >>> print(entry.value, entry.version)
    """

    value: Any
    version: int
    expires_at: str | None = None


@dataclass(frozen=True)
class StoreKeys:
    """One page of keys, in order. Pass ``next`` as ``after`` for the following page; None on the last page.

    ``entries`` are the values by key, if requested.

    >>> page = await client.store.list("jobs/", limit=50)
    >>> print(page.keys, page.next)
    """

    keys: list[str]
    next: str | None
    entries: dict[str, StoreEntry] = field(default_factory=dict)


@dataclass(frozen=True)
class StoreChange:
    """A change of a watched key. ``value`` is set for ``set`` only.

    >>> async for change in client.store.watch("jobs/"):
    ...     print(change.key, change.operation, change.version)
    """

    namespace: str
    key: str
    operation: Literal["set", "delete", "expire"]
    version: int
    value: Any = None
