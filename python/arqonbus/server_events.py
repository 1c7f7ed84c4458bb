"""An incremental parser for server-sent events."""

from __future__ import annotations

from dataclasses import dataclass

#: Maximum size of an event: 500 envelopes of history come in one.
MAX_EVENT_BYTES = 64 * 1_048_576
#: Overhead counted per line, so that empty lines count against the limit.
_LINE_BYTES = 64


class EventTooLong(Exception):
    """An unfinished event exceeds the maximum size."""


@dataclass(frozen=True)
class ServerEvent:
    #: Its type; empty for a plain message.
    kind: str
    data: str


class ServerEvents:
    """A parser for one stream. Comments, ``id`` and ``retry`` are ignored."""

    def __init__(self, most: int = MAX_EVENT_BYTES):
        """:param most: maximum bytes of an event"""
        self._most = most
        self._buffer = bytearray()
        self._searched = 0
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._kind = b""

    @property
    def waiting_bytes(self) -> int:
        """Bytes received of an unfinished event."""
        return len(self._buffer) + self._data_bytes

    def feed(self, part: bytes) -> list[ServerEvent]:
        """Returns the events that end in ``part``. Raises :class:`EventTooLong`."""
        self._buffer += part
        events: list[ServerEvent] = []
        start = 0
        while (end := self._buffer.find(b"\n", max(start, self._searched))) >= 0:
            line = bytes(self._buffer[start:end]).removesuffix(b"\r")
            start = end + 1
            if line:
                self._take(line)
            elif (event := self._ended()) is not None:
                events.append(event)
        del self._buffer[:start]
        self._searched = len(self._buffer)
        if self.waiting_bytes > self._most:
            raise EventTooLong(f"an event is longer than {self._most} bytes")
        return events

    def _take(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._data_bytes += len(value) + _LINE_BYTES
        elif name == b"event":
            self._kind = value[:256]

    def _ended(self) -> ServerEvent | None:
        data, kind = self._data, self._kind
        self._data, self._data_bytes, self._kind = [], 0, b""
        if not data:
            return None
        return ServerEvent(kind.decode(errors="replace"), b"\n".join(data).decode(errors="replace"))
