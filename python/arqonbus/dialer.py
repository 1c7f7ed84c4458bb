"""Makes connections: who the client says it is, its token, and the welcome that it is owed."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from .connection import Connection, Endpoint
from .envelope import ClientType, Envelope
from .errors import ArqonBusError, ConnectError, ConnectionClosed
from .reconnect import plan_after

#: A token, or a function (plain or async) that is asked for a fresh one at every connection.
Token = str | Callable[[], str | Awaitable[str]]


@dataclass
class Identity:
    """What the client tells of itself in the query; ``identify`` changes it for later connections too."""

    client_key: str
    client_type: ClientType | None = None
    screen_name: str | None = None
    avatar: str | None = None
    personality: str | None = None

    def to_query(self) -> dict[str, str]:
        return {name: value for name, value in vars(self).items() if value is not None}


class Dialer:
    """Opens one connection after the other to the same bus, as the same client."""

    def __init__(self, endpoint: Endpoint, identity: Identity, token: Token | None):
        self._endpoint = endpoint
        self.identity = identity
        self._token = token

    @property
    def timeout(self) -> float:
        """Seconds that a connection may take."""
        return self._endpoint.timeout

    @property
    def can_refresh(self) -> bool:
        """Whether a refused token can be replaced by asking again."""
        return callable(self._token)

    async def token(self) -> str | None:
        """A token to show. A failure of the provider is a :class:`ConnectError` that may pass."""
        if not callable(self._token):
            return self._token
        try:
            token = self._token()
            return await token if inspect.isawaitable(token) else token
        except ArqonBusError:
            raise
        except Exception as error:
            message = f"The token provider failed: {error}"
            raise ConnectError("TOKEN_UNAVAILABLE", message, retryable=True) from error

    async def dial(self) -> tuple[Connection, Envelope]:
        """Connects and reads the welcome."""
        endpoint = replace(self._endpoint, token=await self.token(), query=self.identity.to_query())
        connection = await Connection.open(endpoint)
        try:
            welcome = await asyncio.wait_for(connection.receive(), endpoint.timeout)
        except ConnectionClosed as closed:
            retryable = plan_after(closed.close_code) != "never"
            message = f"The server closed the connection before its welcome ({closed.close_code})."
            raise ConnectError("CONNECTION_FAILED", message, retryable=retryable) from closed
        except (TimeoutError, asyncio.TimeoutError) as error:
            await connection.close()
            message = f"{endpoint.url} sent no welcome within {endpoint.timeout:g} s."
            raise ConnectError("CONNECTION_FAILED", message, retryable=True) from error
        except BaseException:
            await connection.close()
            raise
        if welcome.get("type") != "system" or welcome.get("payload", {}).get("event") != "welcome":
            await connection.close()
            raise ConnectError("CONNECTION_FAILED", f"{endpoint.url} does not speak ArqonBus: no welcome came.")
        return connection, welcome
