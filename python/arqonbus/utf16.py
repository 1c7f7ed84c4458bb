"""UTF-16 units, used for the lengths and offsets of streams: two bytes each."""

from __future__ import annotations

_CODEC = "utf-16-le"
_HIGH_SURROGATES = range(0xD8, 0xDC)


def to_units(text: str) -> bytes:
    """The UTF-16 units of a text, two bytes each, including lone surrogates."""
    return text.encode(_CODEC, "surrogatepass")


def from_units(units: bytes) -> str:
    """Decodes UTF-16 units. Adjacent surrogate halves are combined."""
    return units.decode(_CODEC, "surrogatepass")


def whole(units: bytes) -> int:
    """The number of bytes without a trailing high surrogate."""
    return len(units) - 2 if units and units[-1] in _HIGH_SURROGATES else len(units)
