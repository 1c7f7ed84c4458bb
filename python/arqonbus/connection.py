"""One WebSocket connection to the bus, from handshake to close. Reconnecting is handled elsewhere."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed as SocketClosed
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI
from websockets.typing import Subprotocol

from .endpoint import Endpoint, refusal
from .envelope import Envelope
from .errors import ConnectError, ConnectionClosed, invalid_argument

#: Responses may exceed the send limit: up to 500 envelopes of history come in one frame.
MAX_FRAME_BYTES = 256 * 1024 * 1024
#: Up to this many bytes after the last message are not counted as a partial message: they may be pings.
PARTIAL_BYTES = 1_024
#: Largest integer that is transmitted exactly; JavaScript, and so the server, rounds larger ones.
MAX_INTEGER = 2**53
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_LONG_NUMBER = re.compile(r"\d{16}")


class _Socket(ClientConnection):
    """Records incoming data, including parts of messages: a large message on a slow connection counts as activity."""

    bytes_received = 0
    last_received = 0.0

    def data_received(self, data: bytes) -> None:
        self.bytes_received += len(data)
        self.last_received = self.loop.time()
        super().data_received(data)


class _Connect(connect):
    """Follows no redirects: the token and the user's headers must not go to another server."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class Connection:
    """An open WebSocket: send JSON, receive JSON, close. All failures are this package's exceptions.

    >>> connection = await Connection.open(Endpoint("ws://127.0.0.1:9100"))
    >>> welcome = await connection.receive()
    """

    def __init__(self, socket: _Socket):
        self._socket = socket
        self._whole_bytes = 0
        self._told_bytes = 0
        #: When the last whole message arrived, in event loop time (seconds).
        self.last_message = asyncio.get_running_loop().time()

    @classmethod
    async def open(cls, endpoint: Endpoint) -> Connection:
        """Connects. Raises :class:`AuthenticationError` on 401 and :class:`ConnectError` on any other failure.

        >>> connection = await Connection.open(Endpoint("ws://127.0.0.1:9100", token=token))
        """
        url = endpoint.address
        headers = dict(endpoint.headers)
        if endpoint.token is not None:
            headers["Authorization"] = f"Bearer {endpoint.token}"
        options: dict[str, Any] = {} if endpoint.ssl is None else {"ssl": endpoint.ssl}
        if urlsplit(url).hostname in _LOOPBACK:
            options["proxy"] = None
        try:
            socket = await _Connect(
                url,
                additional_headers=headers,
                subprotocols=[Subprotocol(name) for name in endpoint.subprotocols] or None,
                compression=None,
                open_timeout=endpoint.timeout,
                close_timeout=5,
                max_size=MAX_FRAME_BYTES,
                # The client checks liveness itself; the ping of the websockets package would drop slow connections.
                ping_interval=None,
                create_connection=_Socket,
                **options,
            )
        except InvalidStatus as error:
            response = error.response
            retry_after = response.headers.get("Retry-After", "")
            raise refusal(response.status_code, retry_after, bytes(response.body or b"")) from error
        except InvalidURI as error:
            message = f"{endpoint.url!r} is not an address; write ws://HOST:PORT or wss://HOST."
            raise ConnectError("CONNECTION_FAILED", message) from error
        except (TimeoutError, asyncio.TimeoutError) as error:
            message = f"{endpoint.url} did not answer within {endpoint.timeout:g} s."
            raise ConnectError("CONNECTION_FAILED", message, retryable=True) from error
        except (OSError, InvalidHandshake) as error:
            message = f"Cannot connect to {endpoint.url}: {error}"
            raise ConnectError("CONNECTION_FAILED", message, retryable=True) from error
        return cls(cast(_Socket, socket))

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol selected by the server.

        >>> connection.subprotocol
        'arqonbus.v1'
        """
        return self._socket.subprotocol

    @property
    def close_code(self) -> int | None:
        """The close code once the connection is closed; 1006 for a lost connection.

        >>> connection.close_code
        1001
        """
        return self._socket.close_code

    @property
    def last_received(self) -> float:
        """When data last arrived, in event loop time (seconds)."""
        return max(self._socket.last_received, self.last_message)

    @property
    def has_partial(self) -> bool:
        """Whether part of a large message has arrived."""
        return self._socket.bytes_received > self._whole_bytes + PARTIAL_BYTES

    def is_receiving(self) -> bool:
        """Whether a large message is arriving, and more of it has arrived since the last call."""
        received = self._socket.bytes_received
        is_receiving = self.has_partial and received > self._told_bytes
        self._told_bytes = received
        return is_receiving

    async def send_text(self, text: str) -> None:
        """Sends a text frame. Raises :class:`ConnectionClosed`.

        >>> await connection.send_text('{"type": "command", "command": "ping"}')
        """
        try:
            await self._socket.send(text)
        except SocketClosed as error:
            raise self._closed() from error

    async def send_bytes(self, data: bytes) -> None:
        """Sends a binary frame. Protocol 1.0 has none: the server refuses it. For protocol tests.

        >>> await connection.send_bytes(b"refused")
        """
        try:
            await self._socket.send(data)
        except SocketClosed as error:
            raise self._closed() from error

    async def send_json(self, frame: Mapping[str, Any]) -> None:
        """Sends an envelope. Raises :class:`ConnectionClosed`, and ``INVALID_ARGUMENT`` for what JSON cannot represent.

        >>> await connection.send_json({"type": "command", "command": "ping"})
        """
        await self.send_text(encode(frame))

    async def receive_text(self) -> str:
        """Returns the next text frame. Raises :class:`ConnectionClosed` once the connection is closed.

        >>> text = await connection.receive_text()
        """
        try:
            text = await self._socket.recv()
        except SocketClosed as error:
            raise self._closed() from error
        self._whole_bytes = self._socket.bytes_received
        self.last_message = asyncio.get_running_loop().time()
        return text if isinstance(text, str) else bytes(text).decode(errors="replace")

    async def receive(self) -> Envelope:
        """Returns the next frame. Raises :class:`ConnectionClosed` once the connection is closed.

        >>> envelope = await connection.receive()
        """
        return Envelope(json.loads(await self.receive_text()))

    async def close(self) -> None:
        """Closes with 1000 and waits until the connection is closed. May be called again.

        >>> await connection.close()
        """
        await self._socket.close()

    def abort(self) -> None:
        """Drops a dead connection without a close handshake."""
        self._socket.transport.abort()

    def _closed(self) -> ConnectionClosed:
        code, reason = self._socket.close_code, self._socket.close_reason
        return ConnectionClosed(f"The connection is closed ({code}{f': {reason}' if reason else ''}).", close_code=code)


def encode(frame: Mapping[str, Any]) -> str:
    """The JSON text of a frame. Raises ``INVALID_ARGUMENT`` for what JSON cannot represent (NaN, bytes, sets, ...)."""
    try:
        text = json.dumps(frame, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        # Fast path: searching for long digit runs is cheaper than checking every value, and few frames have any.
        if _LONG_NUMBER.search(text):
            _check_integers(frame, "")
        if text.isascii() or _is_unicode(text):
            return text
        return json.dumps(frame, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise invalid_argument(f"The message cannot be written as JSON: {error}") from error


def _check_integers(value: Any, path: str) -> None:
    """Rejects integers that would be rounded in transit."""
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise invalid_argument(
            f"{path} is {value}, and integers beyond 2**53 do not arrive as they are; send it as a string.",
            field=path,
            expected="an integer of at most 2**53, or a string",
        )
    if isinstance(value, Mapping):
        for name, item in value.items():
            _check_integers(item, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check_integers(item, f"{path}[{index}]")


def _is_unicode(text: str) -> bool:
    """False for lone surrogates: JSON may contain them escaped, UTF-8 may not."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
