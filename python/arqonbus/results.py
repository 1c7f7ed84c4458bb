"""What the client's methods answer with."""

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
        """Where a message stands in its stream; None when it is kept in none.

        >>> Position.of(message)
        Position(sequence=7, epoch='c0ffee')
        """
        return cls.from_wire(message.get("metadata"))

    def to_wire(self) -> JsonObject:
        """The same as JSON, to keep it in a file or a database.

        >>> json.dumps(position.to_wire())
        '{"sequence": 7, "epoch": "c0ffee"}'
        """
        return {"sequence": self.sequence, "epoch": self.epoch}

    @classmethod
    def from_wire(cls, value: Any) -> Position | None:
        """Reads ``{sequence, epoch}``; None when either is missing, as on traffic that no stream keeps.

        >>> Position.from_wire(json.loads(text))
        Position(sequence=7, epoch='c0ffee')
        """
        if not isinstance(value, dict):
            return None
        sequence, epoch = value.get("sequence"), value.get("epoch")
        if not isinstance(sequence, int) or not isinstance(epoch, str) or not epoch:
            return None
        return cls(sequence, epoch)


#: Where a subscription goes on: a position, or positions by channel. In the map of a channel there is its own, and
#: ``*`` for the events that go to the whole room.
Since = Position | dict[str, Position]


#: Where a page of history ends: a sequence, or a map of the channels of a room. It is handed back as it came.
PageCursor = int | dict[str, Any]


def since_from_wire(value: Any) -> Since | None:
    """Reads where a page ends: a position, or positions by channel. A stream that nobody has made yet has one too."""
    position = _place_of_page(value)
    if position is not None or not isinstance(value, dict):
        return position
    positions = {str(channel): _place_of_page(each) for channel, each in value.items()}
    return {channel: position for channel, position in positions.items() if position is not None}


def _place_of_page(value: Any) -> Position | None:
    return Position(0, "") if value == {"sequence": 0, "epoch": ""} else Position.from_wire(value)


def since_to_wire(since: Since) -> JsonObject:
    """The same as JSON."""
    if isinstance(since, Position):
        return since.to_wire()
    return {channel: position.to_wire() for channel, position in since.items()}


@dataclass(frozen=True)
class Joined:
    """The answer to a join: where the stream stood before live traffic, and how many members there are.

    >>> joined = await client.join("science:explore")
    >>> print(joined.members, joined.sequence)
    """

    room: str
    channel: str
    position: Position | None
    members: int
    #: Only when the join named a position: whether every envelope missed since then follows.
    recovered: bool | None
    #: Where the channel and the room-wide stream (``*``) stood; for a room, each of its channels.
    positions: dict[str, Position]
    #: Of a group: its name.
    group: str | None = None
    #: Of a room or pattern: which channels it stands for.
    scope: str | None = None
    #: With ``presence``: who was there, as the server tells it.
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
        """The incarnation of the stream that it counts in.

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
    """Envelopes, oldest first. ``previous`` goes into ``before`` for older ones, ``next`` into ``after`` for newer.

    ``position`` goes into ``since``, for what comes after these: of a channel a :class:`Position`, of a room a map.
    ``recovered`` is there when ``since`` was asked for: False when something in between is no longer kept.

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


#: ``not_recovered``: no longer kept. ``new_epoch``: the stream was begun anew. ``history_gap``: the server told of a
#: hole. ``overflow``: the reader was too slow. ``watch_interrupted``: a watch missed changes while it was away.
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
    """Messages of ``address`` were lost for good: reload what depends on them. ``position`` is where it goes on.

    >>> client.subscribe("science:explore", on_reset=lambda reset: print(reset.reason, reset.position))
    """

    address: str
    reason: ResetReason
    position: Position | None = None

    def __str__(self) -> str:
        return f"Messages of {self.address} were lost: {_REASONS[self.reason]}."


@dataclass(frozen=True)
class Frame:
    """A frame as it came over the wire, and what it says. Told by ``on("frame")``.

    >>> client.on("frame", lambda frame: print(frame.text))
    """

    #: The JSON text, unchanged.
    text: str
    envelope: Envelope


@dataclass(frozen=True)
class Reconnecting:
    """An attempt failed or the line broke, and another attempt follows. Told by ``on("reconnecting")``.

    >>> client.on("reconnecting", lambda info: print(info.attempt, info.delay, info.error))
    """

    #: Failures in a row, this one included.
    attempt: int
    #: Wait before the next attempt, seconds.
    delay: float
    error: Exception


@dataclass(frozen=True)
class Queued:
    """What waits to be sent, because the line is away or the server has asked for a pause.

    >>> print(client.queued.messages, client.queued.bytes)
    """

    messages: int
    bytes: int


@dataclass(frozen=True)
class StoreEntry:
    """One key of ``op.store``. ``expires_at`` is RFC 3339, None without a time to live.

    >>> entry = await client.store.get("jobs/1")
    >>> print(entry.value, entry.version)
    """

    value: Any
    version: int
    expires_at: str | None = None


@dataclass(frozen=True)
class StoreKeys:
    """One page of keys, in order. ``next`` goes into ``after`` for the following page; None when there is none.

    ``entries`` are what the keys hold, by key, when that was asked for.

    >>> page = await client.store.list("jobs/", limit=50)
    >>> print(page.keys, page.next)
    """

    keys: list[str]
    next: str | None
    entries: dict[str, StoreEntry] = field(default_factory=dict)


@dataclass(frozen=True)
class StoreChange:
    """A change of a watched key. ``value`` is there for ``set`` only.

    >>> async for change in client.store.watch("jobs/"):
    ...     print(change.key, change.operation, change.version)
    """

    namespace: str
    key: str
    operation: Literal["set", "delete", "expire"]
    version: int
    value: Any = None
