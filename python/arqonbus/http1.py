"""A minimal HTTP/1.1 client connection: sequential requests, with strictly and boundedly parsed responses."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ssl import SSLContext, create_default_context
from typing import Literal
from urllib.parse import urlsplit

from .errors import invalid_argument
from .http_body import Body, HttpError, body_of

#: Maximum size of the status line and headers, including interim responses.
MAX_HEAD_BYTES = 65_536
#: Read size.
_PART_BYTES = 65_536
_STATUS_LINE = re.compile(r"HTTP/1\.[01] ([1-5][0-9]{2})(?: [^\x00-\x08\x0a-\x1f\x7f]*)?")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_IN_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
#: Headers set by the client itself; user headers cannot override them.
_OWN = frozenset(("host", "connection", "content-length", "transfer-encoding", "accept-encoding", "upgrade", "te"))


@dataclass(frozen=True)
class Site:
    """An HTTP origin and a path prefix."""

    scheme: Literal["http", "https"]
    host: str
    port: int
    path: str

    @classmethod
    def of(cls, address: str) -> Site:
        """Parses ``http://HOST:PORT/PATH`` or https, or the origin of a ws or wss URL. Raises ``ValueError``."""
        parts = urlsplit(address)
        is_socket = parts.scheme in ("ws", "wss")
        if not parts.hostname or parts.scheme not in ("http", "https", "ws", "wss"):
            raise ValueError(f"{address!r} is not an address of HTTP")
        scheme: Literal["http", "https"] = "https" if parts.scheme in ("https", "wss") else "http"
        # Prevent request line injection.
        if not re.fullmatch(r"[!-~]*", parts.path) or not re.fullmatch(r"[!-~]+", parts.hostname):
            raise ValueError(f"{address!r} has characters that an address writes with %")
        port = parts.port if parts.port is not None else 443 if scheme == "https" else 80
        return cls(scheme, parts.hostname, port, "" if is_socket else parts.path.rstrip("/"))

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"


class Response:
    """A response with its head read; the body is read in parts."""

    def __init__(self, reader: asyncio.StreamReader, status: int, headers: Mapping[str, str], body: Body):
        self.status = status
        #: Keys are lower-case.
        self.headers = headers
        self._reader = reader
        self._body = body

    @property
    def is_whole(self) -> bool:
        """Whether the body was read to its end, and nothing followed it."""
        return self._body.done and not self._body.has_rest

    async def part(self) -> bytes | None:
        """The next part of the body, possibly empty; None at its end. May be cancelled. Raises :class:`HttpError`."""
        if self._body.done:
            return None
        data = await self._reader.read(_PART_BYTES)
        if data:
            return self._body.feed(data)
        self._body.end()
        return None

    async def whole(self, most: int) -> bytes:
        """Returns the whole body. Raises :class:`HttpError` above ``most`` bytes."""
        body = bytearray()
        while (part := await self.part()) is not None:
            body += part
            if len(body) > most:
                raise HttpError(f"the answer is larger than {most} bytes")
        return bytes(body)


class HttpLine:
    """A TCP or TLS connection to a site. One request at a time; redirects are not followed."""

    def __init__(self, site: Site, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self._site = site
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, site: Site, ssl: SSLContext | None = None) -> HttpLine:
        """Connects. Raises ``OSError``; TLS is verified by ``ssl``, or by Python's defaults."""
        context = (ssl or create_default_context()) if site.scheme == "https" else None
        reader, writer = await asyncio.open_connection(site.host, site.port, ssl=context, limit=MAX_HEAD_BYTES)
        return cls(site, reader, writer)

    @property
    def is_open(self) -> bool:
        """Whether the other side has not closed it, as far as is known."""
        return not self._reader.at_eof() and not self._writer.is_closing()

    def abort(self) -> None:
        """Drops the connection."""
        self._writer.transport.abort()

    async def ask(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None = None) -> Response:
        """Sends a request and reads the head of its response. Raises ``OSError`` and :class:`HttpError`.

        :param target: path and query relative to the site's path, encoded as in a request line
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
                return Response(self._reader, status, headers, body_of(status, headers))


def checked(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers to send. Raises ``INVALID_ARGUMENT`` for a header that could inject another line."""
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
