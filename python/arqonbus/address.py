"""Addresses, and the conversion of method parameters to wire fields (PROTOCOL section 5)."""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from typing import Any, NamedTuple

from .envelope import WILDCARD, JsonObject
from .errors import invalid_argument
from .pattern import is_channel_pattern, matches


class Address(NamedTuple):
    """An address. The channel ``*`` covers the whole room, ``*:*`` all rooms.

    A channel such as ``orders.*`` or ``orders.>`` is a pattern and covers every matching channel.

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
        if room != self.room:
            return False
        if self.channel in (WILDCARD, channel) or channel == WILDCARD:
            return True
        return self.is_pattern and matches(self.channel, channel)

    @property
    def is_pattern(self) -> bool:
        """Whether the channel is a pattern.

        >>> Address("shop", "orders.*").is_pattern
        True
        """
        return is_channel_pattern(self.channel)

    @property
    def is_many(self) -> bool:
        """Whether it covers several channels: a whole room, or the matches of a pattern.

        >>> Address("science", "*").is_many
        True
        """
        return self.channel == WILDCARD or self.is_pattern


#: The room of the mailboxes.
MAILBOX_ROOM = "@"
_ROOM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_CHANNEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}")


def parse_address(text: str, *, patterns: bool = True) -> Address:
    """Parses ``room:channel``, or ``room`` for the whole room. Raises ``INVALID_ARGUMENT``.

    With ``patterns`` the channel may be a pattern: ``shop:orders.*``.

    >>> parse_address("science:explore")
    Address(room='science', channel='explore')
    """
    if not isinstance(text, str):
        raise invalid_argument('An address is a text: write "room:channel".', field="address", expected="room:channel")
    room, colon, channel = text.partition(":")
    address = Address(room, channel if colon else WILDCARD)
    room_ok = _ROOM.fullmatch(room) or (room == WILDCARD and address.channel == WILDCARD)
    if address.is_pattern and not patterns:
        raise invalid_argument(
            f'"{text[:140]}" stands for many channels; name one of them.', field="channel", expected="room:channel"
        )
    channel_ok = address.channel == WILDCARD or address.is_pattern or _CHANNEL.fullmatch(address.channel)
    if not (room_ok and channel_ok):
        raise invalid_argument(
            f'"{text[:140]}" is not an address: write "room:channel", or "room" for the whole room.',
            field="channel" if room_ok else "room",
            expected="room:channel",
        )
    return address


def place(address: str) -> JsonObject:
    """``room`` and ``channel`` of an address; for a whole room only ``room``."""
    room, channel = parse_address(address, patterns=False)
    return {"room": room} if channel == WILDCARD else {"room": room, "channel": channel}


def source(address: str) -> Address:
    """The address to read from: ``room:channel``, a room, a pattern, or the mailbox ``@NAME``."""
    return mailbox_of(address[1:]) if address.startswith("@") else parse_address(address)


def stored_place(address: str) -> JsonObject:
    """``room`` and ``channel`` of a history: a room alone is all of its channels, ``room:*`` its room-wide events,
    ``@NAME`` a mailbox.
    """
    room, channel = source(address)
    return {"room": room} if channel == WILDCARD and ":" not in address else {"room": room, "channel": channel}


def mailbox_of(subject: str) -> Address:
    """The address of a subject's mailbox: a channel of the room ``@``."""
    if not subject:
        raise invalid_argument("A mailbox is named after its subject: @NAME.", field="subject")
    if _CHANNEL.fullmatch(subject):
        return Address(MAILBOX_ROOM, subject)
    return Address(MAILBOX_ROOM, "~" + urlsafe_b64encode(subject.encode()).rstrip(b"=").decode())


def given(**options: Any) -> JsonObject:
    """Only the options that were given; the server's defaults apply to the rest."""
    return {name: value for name, value in options.items() if value is not None}
