"""UTF-16 units, in which lengths and offsets of streams count: two bytes each."""

from __future__ import annotations

_CODEC = "utf-16-le"
_HIGH_SURROGATES = range(0xD8, 0xDC)


def to_units(text: str) -> bytes:
    """The units of a text, two bytes each; halves of a character too."""
    return text.encode(_CODEC, "surrogatepass")


def from_units(units: bytes) -> str:
    """The text of units. Two halves that meet are one character."""
    return units.decode(_CODEC, "surrogatepass")


def whole(units: bytes) -> int:
    """How many of these bytes there are before a first half of a character at the end, if there is one."""
    return len(units) - 2 if units and units[-1] in _HIGH_SURROGATES else len(units)
