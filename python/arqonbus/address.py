"""Places on the bus, and how the methods' parameters become fields of the wire (PROTOCOL section 5)."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from .envelope import WILDCARD, JsonObject
from .errors import invalid_argument


class Address(NamedTuple):
    """A place on the bus. ``channel`` ``*`` stands for all of a room, ``*:*`` for all rooms.

    >>> str(Address("science", "explore"))
    'science:explore'
    """

    room: str
    channel: str

    def __str__(self) -> str:
        return f"{self.room}:{self.channel}"

    def covers(self, room: str, channel: str) -> bool:
        """Whether a member here receives an event of ``room:channel``. Room-wide events reach every member.

        >>> Address("science", "*").covers("science", "explore")
        True
        """
        if self.room == WILDCARD:
            return True
        return room == self.room and (self.channel in (WILDCARD, channel) or channel == WILDCARD)


_ROOM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_CHANNEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}")


def parse_address(text: str) -> Address:
    """Reads ``room:channel``, or ``room`` for the whole room. Raises ``INVALID_ARGUMENT``.

    >>> parse_address("science:explore")
    Address(room='science', channel='explore')
    """
    room, colon, channel = text.partition(":")
    address = Address(room, channel if colon else WILDCARD)
    room_ok = _ROOM.fullmatch(room) or (room == WILDCARD and address.channel == WILDCARD)
    channel_ok = address.channel == WILDCARD or _CHANNEL.fullmatch(address.channel)
    if not (room_ok and channel_ok):
        raise invalid_argument(
            f'"{text[:140]}" is not an address: write "room:channel", or "room" for the whole room.',
            field="channel" if room_ok else "room",
            expected="room:channel",
        )
    return address


def place(address: str) -> JsonObject:
    """``room`` and ``channel`` of an address; a whole room is named by the room alone."""
    room, channel = parse_address(address)
    return {"room": room} if channel == WILDCARD else {"room": room, "channel": channel}


def given(**options: Any) -> JsonObject:
    """Only what was given: the server's defaults stand for the rest."""
    return {name: value for name, value in options.items() if value is not None}
