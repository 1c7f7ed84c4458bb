"""Reads server-sent events from the bytes of a stream, whatever the pieces are that they come in."""

from __future__ import annotations

from dataclasses import dataclass

#: Longest event that is read: 500 envelopes of history come in one.
MAX_EVENT_BYTES = 64 * 1_048_576
#: What a line costs to keep beside its text: empty ones must not be free.
_LINE_BYTES = 64


class EventTooLong(Exception):
    """More has come than an event may have, and it has not ended."""


@dataclass(frozen=True)
class ServerEvent:
    #: Its type; empty for a plain message.
    kind: str
    data: str


class ServerEvents:
    """A reader of one stream. Comments, ``id`` and ``retry`` are passed over."""

    def __init__(self, most: int = MAX_EVENT_BYTES):
        """:param most: bytes that an event may have before it ends"""
        self._most = most
        self._buffer = bytearray()
        self._searched = 0
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._kind = b""

    @property
    def waiting_bytes(self) -> int:
        """What has come of an event that has not ended yet."""
        return len(self._buffer) + self._data_bytes

    def feed(self, part: bytes) -> list[ServerEvent]:
        """The events that end in ``part``. Raises :class:`EventTooLong`."""
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
