"""Opens connections: by WebSocket, or by an event stream where WebSockets are blocked."""

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

#: HTTP URL of the bus; None for the origin of the WebSocket's URL, False for no fallback.
Http = str | Literal[False] | None

#: Failed handshakes before the fallback is tried; one is enough where it was needed before.
_ATTEMPTS = 2
#: The same where a WebSocket has worked before: there the network is probably down, unless it has changed.
_ATTEMPTS_AFTER_SUCCESS = 10
#: Fraction of the connect timeout for one handshake.
_SHARE = 0.25
#: Statuses that do not indicate a blocked upgrade.
_BUSY_OR_UNKNOWN = (401, 429, 503)
#: Network errors on which the fallback would fail too.
_NO_LINE = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT)


@dataclass
class _Origin:
    """What is known about one origin."""

    #: Only the event stream worked the last time.
    is_blocked: bool = False
    #: A WebSocket has worked there before.
    has_worked: bool = False
    #: Failed handshakes since then.
    failures: int = 0


class Opener:
    """Opens connections. A refusal by the bus itself is final: the fallback is not tried.

    >>> line, welcome = await Opener().open(Endpoint("ws://127.0.0.1:9100"))
    """

    def __init__(self, http: Http = None):
        """Raises ``INVALID_ARGUMENT`` for an invalid HTTP URL.

        :param http: HTTP URL of the bus; None for the origin of the WebSocket's URL, False for no fallback
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
            # The bus's own refusal of the stream applies to this client; that of a proxy does not.
            if isinstance(error, AuthenticationError) or error.code != "CONNECTION_FAILED":
                raise
            raise refused from error
        known.is_blocked, known.failures = True, 0
        return opened


async def _greeted(opening: Awaitable[Line], endpoint: Endpoint) -> tuple[Line, str]:
    """Waits for the first frame: some proxies accept connections for a server that they cannot reach."""
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
    """Whether a proxy may have blocked the upgrade: a refusal by the bus has an error code."""
    if error.status is not None:
        # A redirect would be refused by the fallback too, and a busy server could not serve a stream either.
        return error.code == "CONNECTION_FAILED" and error.status >= 400 and error.status not in _BUSY_OR_UNKNOWN
    cause = error.__cause__
    if isinstance(cause, ConnectionClosed):
        return cause.close_code in (None, 1006)
    return error.retryable and not _is_no_line(cause)


def _is_no_line(cause: BaseException | None) -> bool:
    if isinstance(cause, socket.gaierror | ssl.SSLError):
        return True
    # When several addresses all failed, only the error text is left.
    return isinstance(cause, OSError) and (cause.errno in _NO_LINE or "Connect call failed" in str(cause))
