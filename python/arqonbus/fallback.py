"""How a client opens its line: with a WebSocket, and where none gets through with an event stream instead."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import urlsplit

from .connection import Connection
from .endpoint import Endpoint
from .errors import AuthenticationError, ConnectError, ConnectionClosed, invalid_argument
from .event_stream import EventStream
from .http1 import Site
from .line import Line
from .reconnect import plan_after

#: Where the bus answers HTTP; None for the origin of the WebSocket's address, False for no fallback.
Http = str | Literal[False] | None

#: Handshakes that have to fail before another way is tried; one is enough where it was needed before.
_ATTEMPTS = 2
#: The same where a WebSocket was open before: there it is the line that is down, unless the network has changed.
_ATTEMPTS_AFTER_SUCCESS = 10
#: The share of the time to connect that one handshake may take without an answer.
_SHARE = 0.25
#: Statuses that say nothing about upgrades.
_BUSY_OR_UNKNOWN = (401, 429, 503)
#: Faults of a line on which nothing else would get through either.
_NO_LINE = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT)


@dataclass
class _Origin:
    """What is known of one origin."""

    #: Only the stream came through the last time.
    is_blocked: bool = False
    #: A WebSocket was open there before.
    has_worked: bool = False
    #: Handshakes that failed since then.
    failures: int = 0


class Opener:
    """Opens lines. What the bus itself refuses is refused either way, and is not tried again.

    >>> line, welcome = await Opener().open(Endpoint("ws://127.0.0.1:9100"))
    """

    def __init__(self, http: Http = None):
        """Raises ``INVALID_ARGUMENT`` for what is no address of HTTP.

        :param http: where the bus answers HTTP; None for the origin of the WebSocket's address, False for no fallback
        """
        if isinstance(http, str):
            try:
                is_address = Site.of(http) is not None and urlsplit(http).scheme in ("http", "https")
            except ValueError:
                is_address = False
            if not is_address:
                message = f'"{http}" is not an address of HTTP; write http://HOST:PORT or https://HOST.'
                raise invalid_argument(message, field="http")
        self._http = http
        self._known: dict[str, _Origin] = {}

    async def open(self, endpoint: Endpoint) -> tuple[Line, str]:
        """Connects and waits for the first frame. Raises :class:`ConnectError`."""
        if self._http is False:
            return await _greeted(Connection.open(endpoint), endpoint)
        parts = urlsplit(endpoint.address)
        known = self._known.setdefault(f"{parts.scheme}://{parts.netloc}", _Origin())
        loop = asyncio.get_running_loop()
        due = loop.time() + endpoint.timeout
        brief = replace(endpoint, timeout=endpoint.timeout * _SHARE)
        for _ in range(1 if known.is_blocked else _ATTEMPTS):
            try:
                opened = await _greeted(Connection.open(brief), brief)
            except ConnectError as error:
                if not _may_be_blocked(error):
                    raise
                known.failures += 1
                if known.has_worked and not known.is_blocked and known.failures < _ATTEMPTS_AFTER_SUCCESS:
                    raise
                refused = error
            else:
                known.is_blocked, known.has_worked, known.failures = False, True, 0
                return opened
        rest = replace(endpoint, timeout=max(brief.timeout, due - loop.time()))
        try:
            opened = await _greeted(EventStream.open(rest, self._http or None), rest)
        except ConnectError as error:
            # What the bus says about the stream is said about this client; what a proxy says is not.
            if isinstance(error, AuthenticationError) or error.code != "CONNECTION_FAILED":
                raise
            raise refused from error
        known.is_blocked, known.failures = True, 0
        return opened


async def _greeted(opening: Awaitable[Line], endpoint: Endpoint) -> tuple[Line, str]:
    """A line that has brought its first frame: some proxies answer for a server that they do not reach."""
    loop = asyncio.get_running_loop()
    due = loop.time() + endpoint.timeout
    line = await opening
    try:
        return line, await asyncio.wait_for(line.receive_text(), due - loop.time())
    except ConnectionClosed as closed:
        retryable = plan_after(closed.close_code) != "never"
        message = f"The server closed the connection before its welcome ({closed.close_code})."
        raise ConnectError("CONNECTION_FAILED", message, retryable=retryable) from closed
    except (TimeoutError, asyncio.TimeoutError) as error:
        line.abort()
        message = f"{endpoint.url} sent no welcome within {endpoint.timeout:g} s."
        raise ConnectError("CONNECTION_FAILED", message, retryable=True) from error
    except BaseException:
        line.abort()
        raise


def _may_be_blocked(error: ConnectError) -> bool:
    """Whether a proxy may have kept the upgrade from the bus, which would have named an error code."""
    if error.status is not None:
        # A redirect is refused whatever it is for, and of a server that is busy a stream would ask too much as well.
        return error.code == "CONNECTION_FAILED" and error.status >= 400 and error.status not in _BUSY_OR_UNKNOWN
    cause = error.__cause__
    if isinstance(cause, ConnectionClosed):
        return cause.close_code in (None, 1006)
    return error.retryable and not _is_no_line(cause)


def _is_no_line(cause: BaseException | None) -> bool:
    if isinstance(cause, socket.gaierror | ssl.SSLError):
        return True
    # Of several addresses that all failed only the text is left.
    return isinstance(cause, OSError) and (cause.errno in _NO_LINE or "Connect call failed" in str(cause))
