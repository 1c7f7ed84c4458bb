"""How the methods' parameters become fields of the wire."""

from __future__ import annotations

from typing import Any

from .envelope import WILDCARD, JsonObject, parse_address


def place(address: str) -> JsonObject:
    """``room`` and ``channel`` of an address; a whole room is named by the room alone."""
    room, channel = parse_address(address)
    return {"room": room} if channel == WILDCARD else {"room": room, "channel": channel}


def given(**options: Any) -> JsonObject:
    """Only what was given: the server's defaults stand for the rest."""
    return {name: value for name, value in options.items() if value is not None}
