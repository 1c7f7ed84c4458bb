"""What the client's methods answer with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from .envelope import Envelope, JsonObject


@dataclass(frozen=True)
class Position:
    """A place in a stream: ``sequence`` counts from 1 within ``epoch``, the stream's incarnation."""

    sequence: int
    epoch: str

    @classmethod
    def of(cls, message: Envelope) -> Position | None:
        """Where a message stands in its stream; None when it is kept in none."""
        return cls.from_wire(message.get("metadata"))

    def to_wire(self) -> JsonObject:
        return {"sequence": self.sequence, "epoch": self.epoch}

    @classmethod
    def from_wire(cls, value: Any) -> Position | None:
        """Reads ``{sequence, epoch}``; None when either is missing, as on traffic that no stream keeps."""
        if not isinstance(value, dict):
            return None
        sequence, epoch = value.get("sequence"), value.get("epoch")
        if not isinstance(sequence, int) or not isinstance(epoch, str):
            return None
        return cls(sequence, epoch)


@dataclass(frozen=True)
class Ack:
    """The server's receipt (PROTOCOL section 6).

    ``stored`` is the only word on durability: ``none``, ``memory``, ``disk`` or ``replicated``. ``duplicate`` says
    that this id had been accepted before. ``sequence`` and ``epoch`` are None for private messages and for traffic
    that was not stored.
    """

    id: str
    sequence: int | None
    epoch: str | None
    delivered: int
    duplicate: bool
    stored: str
    undelivered: tuple[str, ...] = ()

    @classmethod
    def from_envelope(cls, envelope: Envelope) -> Ack:
        payload = envelope["payload"]
        return cls(
            id=envelope.get("request_id", ""),
            sequence=payload.get("sequence"),
            epoch=payload.get("epoch"),
            delivered=payload.get("delivered", 0),
            duplicate=payload.get("duplicate", False),
            stored=payload.get("stored", "none"),
            undelivered=tuple(payload.get("undelivered", ())),
        )


@dataclass(frozen=True)
class Joined:
    """The answer to a join: where the stream stood before live traffic, and how many members there are."""

    room: str
    channel: str
    position: Position | None
    members: int
    #: Only when the join named a position: whether every envelope missed since then follows.
    recovered: bool | None
    #: For a room: where each of its channels stood.
    positions: dict[str, Position]

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
        )


@dataclass(frozen=True)
class HistoryPage:
    """Envelopes, oldest first. ``previous`` goes into ``before`` for older ones, ``next`` into ``after`` for newer."""

    messages: list[Envelope]
    next: int | None
    previous: int | None


ResetReason = Literal["not_recovered", "new_epoch", "overflow", "watch_interrupted"]

_REASONS: dict[str, str] = {
    "not_recovered": "what was missed while disconnected is no longer kept",
    "new_epoch": "the stream was begun anew",
    "overflow": "messages came faster than they were taken, and the buffer is full",
    "watch_interrupted": "changes while disconnected are not told",
}


@dataclass(frozen=True)
class Reset:
    """Messages of ``address`` were lost for good: reload what depends on them. ``position`` is where it goes on."""

    address: str
    reason: ResetReason
    position: Position | None = None

    def __str__(self) -> str:
        return f"Messages of {self.address} were lost: {_REASONS[self.reason]}."


@dataclass(frozen=True)
class StoreEntry:
    """One key of ``op.store``. ``expires_at`` is RFC 3339, None without a time to live."""

    value: Any
    version: int
    expires_at: str | None = None


@dataclass(frozen=True)
class StoreChange:
    """A change of a watched key. ``value`` is there for ``set`` only."""

    namespace: str
    key: str
    operation: Literal["set", "delete", "expire"]
    version: int
    value: Any = None
