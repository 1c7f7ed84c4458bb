"""One line of HTTP/1.1: requests one after the other, and answers that are read strictly and within bounds."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ssl import SSLContext, create_default_context
from typing import Literal, Protocol
from urllib.parse import urlsplit

from .errors import invalid_argument

#: Status line and headers of an answer, those of interim ones included.
MAX_HEAD_BYTES = 65_536
#: The line before a chunk, and all lines after the last one.
_MAX_SIZE_LINE = 1_024
_MAX_TRAILER = 8_192
#: Read at once.
_PART_BYTES = 65_536
_STATUS_LINE = re.compile(r"HTTP/1\.[01] ([1-5][0-9]{2})(?: [^\x00-\x08\x0a-\x1f\x7f]*)?")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_IN_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_LENGTH = re.compile(r"[0-9]{1,15}")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,12})[ \t]*(?:;[^\r\n]*)?")
#: What the request says by itself; a header of the user's does not change it.
_OWN = frozenset(("host", "connection", "content-length", "transfer-encoding", "accept-encoding", "upgrade", "te"))


class HttpError(Exception):
    """The answer is not one of HTTP, is larger than it may be, or ended too early."""


@dataclass(frozen=True)
class Site:
    """Where HTTP is answered: an origin, and the path that everything there begins with."""

    scheme: Literal["http", "https"]
    host: str
    port: int
    path: str

    @classmethod
    def of(cls, address: str) -> Site:
        """Of ``http://HOST:PORT/PATH`` or https, or the origin of a ws or wss address. Raises ``ValueError``."""
        parts = urlsplit(address)
        is_socket = parts.scheme in ("ws", "wss")
        if not parts.hostname or parts.scheme not in ("http", "https", "ws", "wss"):
            raise ValueError(f"{address!r} is not an address of HTTP")
        scheme: Literal["http", "https"] = "https" if parts.scheme in ("https", "wss") else "http"
        # What is written into a request line must not end it.
        if not re.fullmatch(r"[!-~]*", parts.path) or not re.fullmatch(r"[!-~]+", parts.hostname):
            raise ValueError(f"{address!r} has characters that an address writes with %")
        port = parts.port if parts.port is not None else 443 if scheme == "https" else 80
        return cls(scheme, parts.hostname, port, "" if is_socket else parts.path.rstrip("/"))

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"


class _Body(Protocol):
    """How the bytes of a line become those of a body."""

    done: bool
    #: What came after the end; then the line is good for nothing more.
    has_rest: bool

    def feed(self, data: bytes) -> bytes: ...

    def end(self) -> None:
        """The line ended. Raises :class:`HttpError` if the body had not."""


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
        """One element of the body; false when more has to come first."""
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


class Response:
    """An answer whose head is read; its body comes part by part."""

    def __init__(self, reader: asyncio.StreamReader, status: int, headers: Mapping[str, str], body: _Body):
        self.status = status
        #: By lower-case name.
        self.headers = headers
        self._reader = reader
        self._body = body

    @property
    def is_whole(self) -> bool:
        """Whether the body is read to its end, and nothing else came."""
        return self._body.done and not self._body.has_rest

    async def part(self) -> bytes | None:
        """What came of the body, perhaps nothing; None at its end. May be cancelled. Raises :class:`HttpError`."""
        if self._body.done:
            return None
        data = await self._reader.read(_PART_BYTES)
        if data:
            return self._body.feed(data)
        self._body.end()
        return None

    async def whole(self, most: int) -> bytes:
        """All of the body. Raises :class:`HttpError` above ``most`` bytes."""
        body = bytearray()
        while (part := await self.part()) is not None:
            body += part
            if len(body) > most:
                raise HttpError(f"the answer is larger than {most} bytes")
        return bytes(body)


class HttpLine:
    """A TCP or TLS connection to a site. One request at a time; redirects are answers like others."""

    def __init__(self, site: Site, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self._site = site
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, site: Site, ssl: SSLContext | None = None) -> HttpLine:
        """Connects. Raises ``OSError``; TLS is verified as ``ssl`` says, else as Python does by default."""
        context = (ssl or create_default_context()) if site.scheme == "https" else None
        reader, writer = await asyncio.open_connection(site.host, site.port, ssl=context, limit=MAX_HEAD_BYTES)
        return cls(site, reader, writer)

    @property
    def is_open(self) -> bool:
        """Whether the other side has not ended it, as far as is known."""
        return not self._reader.at_eof() and not self._writer.is_closing()

    def abort(self) -> None:
        """Drops the connection."""
        self._writer.transport.abort()

    async def ask(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None = None) -> Response:
        """Sends a request and reads the head of its answer. Raises ``OSError`` and :class:`HttpError`.

        :param target: path and query below the site's path, as they stand in a request line
        """
        own = {"Host": self._site.authority, "Accept-Encoding": "identity"}
        if body is not None or method == "POST":
            own["Content-Length"] = str(len(body or b""))
        lines = [f"{method} {self._site.path}{target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in {**own, **checked(headers)}.items()]
        self._writer.write("\r\n".join((*lines, "", "")).encode("latin-1") + (body or b""))
        await self._writer.drain()
        return await self._head()

    async def _head(self) -> Response:
        most = MAX_HEAD_BYTES
        while True:
            try:
                head = await self._reader.readuntil(b"\r\n\r\n")
            except asyncio.LimitOverrunError as error:
                raise HttpError(f"its headers are longer than {MAX_HEAD_BYTES} bytes") from error
            except asyncio.IncompleteReadError as error:
                raise HttpError("it ended before its answer did" if error.partial else "it gave no answer") from error
            most -= len(head)
            if most < 0:
                raise HttpError(f"its headers are longer than {MAX_HEAD_BYTES} bytes")
            status, headers = _read_head(head)
            if status == 101:
                raise HttpError("it changed to another protocol, which nobody asked for")
            if status >= 200:
                return Response(self._reader, status, headers, _body_of(status, headers))


def checked(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that may be sent. Raises ``INVALID_ARGUMENT`` for what would end its line."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        if not _NAME.fullmatch(name) or _NOT_IN_VALUE.search(value) or not _is_latin(value):
            raise invalid_argument(
                f'The header "{name}" cannot be sent: names are tokens, values one line of Latin-1.', field="headers"
            )
        if name.lower() not in _OWN:
            found[name] = value
    return found


def _is_latin(text: str) -> bool:
    return all(ord(character) < 256 for character in text)


def _read_head(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    status = _STATUS_LINE.fullmatch(first)
    if status is None:
        raise HttpError("its first line is not that of an HTTP answer")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not _NAME.fullmatch(name) or _NOT_IN_VALUE.search(value):
            raise HttpError("a line of its headers is none")
        key, text = name.lower(), value.strip(" \t")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return int(status[1]), headers


def _body_of(status: int, headers: Mapping[str, str]) -> _Body:
    """Where the body ends. What two readers could understand in two ways is refused."""
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
