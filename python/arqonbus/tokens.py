"""Tokens: their source, and their renewal before they expire."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import random
from base64 import urlsafe_b64decode
from collections.abc import Awaitable, Callable

from .errors import ArqonBusError, ConnectError

#: A token, or a function (plain or async) that returns a fresh one whenever the last has expired.
Token = str | Callable[[], str | Awaitable[str]]

#: Seconds before expiry that the server sends its notice, for tokens that live at least twice as long.
_NOTICE = 60.0
#: Renewal retry delay: one second plus a random time that grows up to this, in seconds.
_RETRY_CAP = 30.0

log = logging.getLogger("arqonbus")


def subject_of(token: str | None) -> str | None:
    """The ``sub`` of a JWT, unverified: the server verifies it. None when there is none."""
    try:
        body = (token or "").split(".")[1]
        claims = json.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (IndexError, ValueError, RecursionError):
        return None
    subject = claims.get("sub") if isinstance(claims, dict) else None
    return subject if isinstance(subject, str) and subject else None


class TokenSource:
    """The token in use. A token function is called once, and again only when the token has expired or is about to."""

    def __init__(self, token: Token | None) -> None:
        self._option = token
        self._current: str | None = None
        #: When the current token was obtained, in event loop time (seconds).
        self.given_at = 0.0

    @property
    def renewable(self) -> bool:
        """Whether a fresh token can be obtained."""
        return callable(self._option)

    async def current(self) -> str | None:
        """The token to use. Raises ``TOKEN_FAILED``, retryable, when the function fails."""
        if self._current is None:
            given_at = asyncio.get_running_loop().time()
            self._current = await self.fresh()
            self.given_at = given_at
        return self._current

    async def fresh(self) -> str | None:
        """Obtains a fresh token. The current one stays in use until :meth:`use`."""
        if not callable(self._option):
            return self._option
        try:
            token = self._option()
            return await token if inspect.isawaitable(token) else token
        except ArqonBusError:
            raise
        except Exception as error:
            raise ConnectError("TOKEN_FAILED", f"The token function failed: {error}", retryable=True) from error

    def forget(self) -> None:
        """Discards a token that has expired or was refused."""
        self._current = None

    def use(self, token: str) -> None:
        """Sets the token that the server has just accepted."""
        self._current = token
        self.given_at = asyncio.get_running_loop().time()


class TokenRenewal:
    """Renews the token once per expiry notice of the server."""

    def __init__(self, tokens: TokenSource, refresh: Callable[[str], Awaitable[object]]):
        self._tokens = tokens
        self._refresh = refresh
        self._task: asyncio.Task[None] | None = None

    def expiring(self, expires_in: float) -> None:
        """Handles the server's expiry notice. The token is renewed, but not before half of its lifetime has passed.

        Without that delay, a short-lived token whose notice comes immediately would be renewed in a tight loop.
        """
        if not self._tokens.renewable or self._task is not None:
            return
        age = asyncio.get_running_loop().time() - self._tokens.given_at
        life = age + expires_in
        wait = max(0.0, life / 2 - age) if life < 2 * _NOTICE else 0.0
        # Jitter: clients that got their tokens at the same moment should not renew at the same moment.
        wait += random.random() * expires_in / 10
        self._task = asyncio.create_task(self._renew(wait, expires_in), name="arqonbus-token")

    def stop(self) -> None:
        """Cancels a renewal: the token was replaced or the connection lost, and the server will send another notice."""
        task, self._task = self._task, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    async def _renew(self, wait: float, expires_in: float) -> None:
        loop = asyncio.get_running_loop()
        expires_at = loop.time() + expires_in
        failures = 0
        # After the expiry the server closes with 4401, and the next connection requests a token anyway.
        while loop.time() + wait < expires_at:
            await asyncio.sleep(wait)
            try:
                known, fresh = await self._tokens.current(), await self._tokens.fresh()
                if fresh is not None and fresh != known:
                    await self._refresh(fresh)
                    return
            except ArqonBusError as error:
                log.warning("the token could not be renewed: %s", error)
            wait = 1.0 + random.random() * min(_RETRY_CAP, 2.0**failures)
            failures += 1
        if self._task is asyncio.current_task():
            self._task = None
