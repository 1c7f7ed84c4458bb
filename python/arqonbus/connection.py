"""One WebSocket to the bus, from its handshake to its close. Nothing here reconnects."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed as SocketClosed
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI
from websockets.typing import Subprotocol

from .envelope import SUBPROTOCOL, Envelope
from .errors import ArqonBusError, AuthenticationError, ConnectError, ConnectionClosed

#: Answers may be larger than what one may send: 500 envelopes of history come in one frame.
MAX_FRAME_BYTES = 256 * 1024 * 1024
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_RETRYABLE_STATUS = frozenset({408, 425, 429})


@dataclass(frozen=True)
class Endpoint:
    """Where and how to connect. ``query`` adds to the URL's own parameters, which win."""

    url: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    token: str | None = None
    ssl: SSLContext | None = None
    timeout: float = 10.0
    subprotocols: tuple[str, ...] = (SUBPROTOCOL,)


class Connection:
    """An open socket: send JSON, receive JSON, close. All failures are this package's exceptions."""

    def __init__(self, socket: ClientConnection):
        self._socket = socket

    @classmethod
    async def open(cls, endpoint: Endpoint) -> Connection:
        """Connects. Raises :class:`AuthenticationError` on 401 and :class:`ConnectError` on any other failure."""
        url = _with_query(endpoint.url, endpoint.query)
        headers = dict(endpoint.headers)
        if endpoint.token is not None:
            headers["Authorization"] = f"Bearer {endpoint.token}"
        options: dict[str, Any] = {} if endpoint.ssl is None else {"ssl": endpoint.ssl}
        if urlsplit(url).hostname in _LOOPBACK:
            options["proxy"] = None
        try:
            socket = await connect(
                url,
                additional_headers=headers,
                subprotocols=[Subprotocol(name) for name in endpoint.subprotocols] or None,
                compression=None,
                open_timeout=endpoint.timeout,
                close_timeout=5,
                max_size=MAX_FRAME_BYTES,
                **options,
            )
        except InvalidStatus as error:
            raise _refused(error) from error
        except InvalidURI as error:
            raise ConnectError("CONNECTION_FAILED", f"{endpoint.url!r} is no ws:// or wss:// address.") from error
        except (TimeoutError, asyncio.TimeoutError) as error:
            message = f"{endpoint.url} did not answer within {endpoint.timeout:g} s."
            raise ConnectError("CONNECTION_FAILED", message, retryable=True) from error
        except (OSError, InvalidHandshake) as error:
            message = f"Cannot connect to {endpoint.url}: {error}"
            raise ConnectError("CONNECTION_FAILED", message, retryable=True) from error
        return cls(socket)

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the server selected."""
        return self._socket.subprotocol

    @property
    def close_code(self) -> int | None:
        """The close code once the connection is closed; 1006 for a broken line."""
        return self._socket.close_code

    async def send_text(self, text: str) -> None:
        try:
            await self._socket.send(text)
        except SocketClosed as error:
            raise self._closed() from error

    async def send_bytes(self, data: bytes) -> None:
        """Sends a binary frame. Protocol 1.0 has none: it is refused. For protocol tests."""
        try:
            await self._socket.send(data)
        except SocketClosed as error:
            raise self._closed() from error

    async def send_json(self, frame: Mapping[str, Any]) -> None:
        await self.send_text(encode(frame))

    async def receive(self) -> Envelope:
        """The next frame. Raises :class:`ConnectionClosed` when there is none any more."""
        try:
            text = await self._socket.recv()
        except SocketClosed as error:
            raise self._closed() from error
        return cast(Envelope, json.loads(text))

    async def close(self) -> None:
        """Closes with 1000 and waits until the connection is closed. May be called again."""
        await self._socket.close()

    def _closed(self) -> ConnectionClosed:
        code, reason = self._socket.close_code, self._socket.close_reason
        return ConnectionClosed(f"The connection is closed ({code}{f': {reason}' if reason else ''}).", close_code=code)


def encode(frame: Mapping[str, Any]) -> str:
    """The JSON text of a frame. Raises ``VALIDATION_ERROR`` for what JSON cannot say (NaN, bytes, sets, ...)."""
    try:
        text = json.dumps(frame, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        if text.isascii() or _is_unicode(text):
            return text
        return json.dumps(frame, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ArqonBusError("VALIDATION_ERROR", f"The message cannot be written as JSON: {error}") from error


def _is_unicode(text: str) -> bool:
    """False for lone surrogates: JSON may carry them escaped, UTF-8 may not."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _with_query(url: str, query: Mapping[str, str]) -> str:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConnectError("CONNECTION_FAILED", f"{url!r} is no ws:// or wss:// address.") from error
    own = dict(parse_qsl(parts.query, keep_blank_values=True))
    merged = {**query, **own}
    return urlunsplit(parts._replace(query=urlencode(merged), fragment=""))


def _refused(error: InvalidStatus) -> ConnectError:
    response = error.response
    status = response.status_code
    details: dict[str, Any] = {"status": status}
    retry_after = response.headers.get("Retry-After", "")
    if retry_after.isdigit():
        details["retry_after"] = int(retry_after)
    code, message = "CONNECTION_FAILED", f"The server refused the connection with HTTP {status}."
    try:
        body = json.loads(response.body or b"")
    except ValueError:
        body = None
    if isinstance(body, dict):
        code = str(body.get("error_code", code))
        message = f"{body.get('error', message)}: {body['details']}" if "details" in body else message
        details["details"] = body.get("details")
    if status == 401:
        return AuthenticationError("AUTHENTICATION_FAILED", message, details=details)
    retryable = status >= 500 or status in _RETRYABLE_STATUS
    return ConnectError(code, message, retryable=retryable, details=details)
