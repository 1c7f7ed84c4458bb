"""Opens connections, with the client's identity and token, and reads the welcome."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, urlsplit

from .addresses import Addresses
from .endpoint import Endpoint
from .envelope import ClientType, Envelope
from .errors import ConnectError, invalid_argument
from .fallback import Opener
from .line import Line
from .tokens import TokenSource


@dataclass
class Identity:
    """What the client sends about itself in the query; ``identify`` changes it for later connections too."""

    client_key: str
    client_type: ClientType | None = None
    screen_name: str | None = None
    avatar: str | None = None
    personality: str | None = None
    #: Subject of the client on a server without authentication.
    subject: str | None = None

    def to_query(self) -> dict[str, str]:
        return {name: value for name, value in vars(self).items() if value is not None}


class Dialer:
    """Opens successive connections to the same bus, as the same client."""

    def __init__(
        self, urls: Sequence[str], endpoint: Endpoint, identity: Identity, tokens: TokenSource, opener: Opener
    ):
        """:param urls: URLs of the bus; each failure moves on to the next"""
        if not urls:
            raise invalid_argument('"url" names no address; write ws://HOST:PORT or wss://HOST.')
        self.addresses = Addresses(urls)
        self._endpoint = endpoint
        self._opener = opener
        self.identity = identity
        self.tokens = tokens

    @property
    def timeout(self) -> float:
        """Connect timeout in seconds."""
        return self._endpoint.timeout

    @property
    def subject(self) -> str | None:
        """The subject set by option or in the URL; a server without authentication accepts it."""
        in_address = dict(parse_qsl(urlsplit(self.addresses.current).query)).get("subject")
        return in_address or self.identity.subject

    async def dial(self) -> tuple[Line, Envelope, str]:
        """Connects and reads the welcome; returns its text too."""
        try:
            token = await asyncio.wait_for(self.tokens.current(), self.timeout)
        except (TimeoutError, asyncio.TimeoutError) as error:
            message = f"The token function gave no token within {self.timeout:g} s."
            raise ConnectError("TOKEN_FAILED", message, retryable=True) from error
        url = self.addresses.current
        endpoint = replace(self._endpoint, url=url, token=token, query=self.identity.to_query())
        line, text = await self._opener.open(endpoint)
        welcome = _read_welcome(text)
        if welcome is None:
            await line.close()
            raise ConnectError("CONNECTION_FAILED", f"{url} does not speak ArqonBus: no welcome came.")
        return line, welcome, text


def _read_welcome(text: str) -> Envelope | None:
    try:
        frame = json.loads(text)
    except (ValueError, RecursionError):
        return None
    payload = frame.get("payload") if isinstance(frame, dict) else None
    is_welcome = isinstance(payload, dict) and payload.get("event") == "welcome" and "client_id" in payload
    return Envelope(frame) if is_welcome else None
