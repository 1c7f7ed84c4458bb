"""Connection endpoints, and the meaning of refused connections."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from .envelope import SUBPROTOCOL
from .errors import AuthenticationError, ConnectError


@dataclass(frozen=True)
class Endpoint:
    """Connection settings. ``query`` adds to the URL's own parameters, which take precedence.

    >>> connection = await Connection.open(Endpoint("ws://127.0.0.1:9100", query={"screen_name": "Ada"}))
    """

    url: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    token: str | None = None
    ssl: SSLContext | None = None
    timeout: float = 10.0
    subprotocols: tuple[str, ...] = (SUBPROTOCOL,)

    @property
    def address(self) -> str:
        """The URL with its whole query. Raises :class:`ConnectError` for an invalid URL.

        >>> Endpoint("ws://127.0.0.1:9100", query={"screen_name": "Ada"}).address
        'ws://127.0.0.1:9100?screen_name=Ada'
        """
        try:
            parts = urlsplit(self.url)
        except ValueError as error:
            message = f"{self.url!r} is not an address; write ws://HOST:PORT or wss://HOST."
            raise ConnectError("CONNECTION_FAILED", message) from error
        own = dict(parse_qsl(parts.query, keep_blank_values=True))
        return urlunsplit(parts._replace(query=urlencode({**self.query, **own}), fragment=""))


def refusal(status: int, retry_after: str, body: bytes) -> ConnectError:
    """Converts an HTTP error response to an exception; ``retryable`` applies to a first connection."""
    details: dict[str, Any] = {"status": status}
    if re.fullmatch("[0-9]{1,9}", retry_after):
        details["retry_after"] = int(retry_after)
    code, message = "CONNECTION_FAILED", f"The server refused the connection with HTTP {status}."
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    if isinstance(answer, dict):
        code = str(answer.get("error_code", code))
        message = f"{answer.get('error', message)}: {answer['details']}" if "details" in answer else message
        details["details"] = answer.get("details")
    if status == 401:
        return AuthenticationError("AUTHENTICATION_FAILED", message, details=details)
    retryable = status >= 500 or status in (408, 429)
    return ConnectError(code, message, retryable=retryable, details=details)
