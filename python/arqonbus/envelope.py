"""The frames of the wire as Python sees them (PROTOCOL sections 2 and 5)."""

from __future__ import annotations

import re
import secrets
from itertools import count
from typing import Any, Literal, NamedTuple, TypedDict

from .errors import ArqonBusError

PROTOCOL_VERSION = "1.0"
SUBPROTOCOL = "arqonbus.v1"
WILDCARD = "*"

JsonObject = dict[str, Any]
ClientType = Literal["human", "ai-agent", "dashboard", "service"]

_Owed = TypedDict(
    "_Owed",
    {"version": str, "id": str, "type": str, "from": str, "timestamp": str, "payload": JsonObject},
)


class Envelope(_Owed, total=False):
    """One frame as received: a plain ``dict``. Which of the optional keys are there depends on ``type``."""

    room: str
    channel: str
    to: str | list[str]
    command: str
    args: JsonObject
    request_id: str
    status: Literal["success", "error"]
    error: str
    error_code: str
    ack: bool
    metadata: JsonObject


class Address(NamedTuple):
    """A place on the bus. ``channel`` ``*`` stands for all of a room, ``*:*`` for all rooms."""

    room: str
    channel: str

    def __str__(self) -> str:
        return f"{self.room}:{self.channel}"

    def covers(self, room: str, channel: str) -> bool:
        """Whether a member here receives an event of ``room:channel``. Room-wide events reach every member."""
        if self.room == WILDCARD:
            return True
        return room == self.room and (self.channel in (WILDCARD, channel) or channel == WILDCARD)


_ROOM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_CHANNEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}")


def parse_address(text: str) -> Address:
    """Reads ``room:channel``, or ``room`` for the whole room. Raises ``VALIDATION_ERROR``, as the server would."""
    room, colon, channel = text.partition(":")
    address = Address(room, channel if colon else WILDCARD)
    room_ok = _ROOM.fullmatch(room) or (room == WILDCARD and address.channel == WILDCARD)
    channel_ok = address.channel == WILDCARD or _CHANNEL.fullmatch(address.channel)
    if not (room_ok and channel_ok):
        raise ArqonBusError(
            "VALIDATION_ERROR",
            f'"{text[:140]}" is no address: write "room:channel", or "room" for the whole room.',
            details={"field": "channel" if room_ok else "room", "expected": "room:channel"},
        )
    return address


_origin = secrets.token_hex(8)
_counter = count(1)


def new_id() -> str:
    """A fresh envelope id, unique across processes: random bits for this process, a counter within it."""
    return f"arq_py{_origin}_{next(_counter):08x}"


def new_client_key() -> str:
    """A secret of 32 characters by which the server knows this client again after a reconnect."""
    return secrets.token_hex(16)
