"""HTTP response body framing: by length, by chunks, or by the end of the connection."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, Protocol

#: Maximum length of the line before a chunk, and of all lines after the last one.
_MAX_SIZE_LINE = 1_024
_MAX_TRAILER = 8_192
_LENGTH = re.compile(r"[0-9]{1,15}")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,12})[ \t]*(?:;[^\r\n]*)?")


class HttpError(Exception):
    """The response is not valid HTTP, is too large, or ended too early."""


class Body(Protocol):
    """Decodes the body from the bytes of a connection."""

    done: bool
    #: Whether data followed the end of the body; the connection then cannot be reused.
    has_rest: bool

    def feed(self, data: bytes) -> bytes: ...

    def end(self) -> None:
        """The connection ended. Raises :class:`HttpError` if the body is incomplete."""


class _Sized:
    def __init__(self, length: int):
        self._left = length
        self.done = length == 0
        self.has_rest = False

    def feed(self, data: bytes) -> bytes:
        self.has_rest = len(data) > self._left
        part = data[: self._left]
        self._left -= len(part)
        self.done = self._left == 0
        return part

    def end(self) -> None:
        if not self.done:
            raise HttpError(f"the answer ended {self._left} bytes too early")


class _UntilClose:
    done = False
    has_rest = False

    def feed(self, data: bytes) -> bytes:
        return data

    def end(self) -> None:
        self.done = True


class _Chunked:
    def __init__(self) -> None:
        self._buffer = bytearray()
        self._left = 0
        self._at: Literal["size", "data", "after", "trailer"] = "size"
        self._trailer = 0
        self.done = False
        self.has_rest = False

    def feed(self, data: bytes) -> bytes:
        self._buffer += data
        out = bytearray()
        while not self.done and self._step(out):
            pass
        self.has_rest = self.done and len(self._buffer) > 0
        return bytes(out)

    def _step(self, out: bytearray) -> bool:
        """Parses one element of the body; False when more data is needed."""
        if self._at == "data":
            part = self._buffer[: self._left]
            del self._buffer[: len(part)]
            out += part
            self._left -= len(part)
            if self._left > 0:
                return False
            self._at = "after"
            return True
        line = self._line()
        if line is None:
            return False
        if self._at == "after":
            if line:
                raise HttpError("a chunk is longer than it said")
            self._at = "size"
        elif self._at == "size":
            size = _CHUNK_SIZE.fullmatch(line)
            if size is None:
                raise HttpError("the size of a chunk is no number")
            self._left = int(size[1], 16)
            self._at = "data" if self._left > 0 else "trailer"
        else:
            self._trailer += len(line)
            if self._trailer > _MAX_TRAILER:
                raise HttpError(f"the trailer is longer than {_MAX_TRAILER} bytes")
            self.done = line == b""
        return True

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n", 0, _MAX_SIZE_LINE)
        if end < 0:
            if len(self._buffer) >= _MAX_SIZE_LINE:
                raise HttpError(f"a line between chunks is longer than {_MAX_SIZE_LINE} bytes")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def end(self) -> None:
        if not self.done:
            raise HttpError("the answer ended in the middle of its chunks")


def body_of(status: int, headers: Mapping[str, str]) -> Body:
    """Selects the body framing. Ambiguous framing is refused."""
    length, coding = headers.get("content-length"), headers.get("transfer-encoding")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise HttpError("its body is compressed, which nobody asked for")
    if coding is not None:
        if length is not None or coding.lower() != "chunked":
            raise HttpError("it says in two ways, or in an unknown one, where its body ends")
        return _Sized(0) if status in (204, 304) else _Chunked()
    if length is not None and not _LENGTH.fullmatch(length):
        raise HttpError("the length of its body is no number")
    if status in (204, 304):
        return _Sized(0)
    return _UntilClose() if length is None else _Sized(int(length))
