"""The token: where it comes from, and a new one before the old one expires."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import random
from base64 import urlsafe_b64decode
from collections.abc import Awaitable, Callable

from .errors import ArqonBusError, ConnectError

#: A token, or a function (plain or async) that is asked for a fresh one whenever the last has expired.
Token = str | Callable[[], str | Awaitable[str]]

#: How long before its end the server tells of a token that lives at least twice as long, seconds.
_NOTICE = 60.0
#: Waits between attempts to renew a token: one second, and a random time that grows up to this; seconds.
_RETRY_CAP = 30.0

log = logging.getLogger("arqonbus")


def subject_of(token: str | None) -> str | None:
    """The ``sub`` of a JWT, unchecked: the server has checked it. None when there is none."""
    try:
        body = (token or "").split(".")[1]
        claims = json.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (IndexError, ValueError, RecursionError):
        return None
    subject = claims.get("sub") if isinstance(claims, dict) else None
    return subject if isinstance(subject, str) and subject else None


class TokenSource:
    """The token in use. A function is asked once, and again only when the token has expired or is about to."""

    def __init__(self, token: Token | None) -> None:
        self._option = token
        self._current: str | None = None
        #: When the token in use was given, in seconds of the loop's clock.
        self.given_at = 0.0

    @property
    def renewable(self) -> bool:
        """Whether a fresh token can be had."""
        return callable(self._option)

    async def current(self) -> str | None:
        """The token to show. Raises ``TOKEN_FAILED``, retryable, when the function fails."""
        if self._current is None:
            given_at = asyncio.get_running_loop().time()
            self._current = await self.fresh()
            self.given_at = given_at
        return self._current

    async def fresh(self) -> str | None:
        """Asks for a fresh token. The one in use stays so until :meth:`use`."""
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
        """The token has expired or was refused."""
        self._current = None

    def use(self, token: str) -> None:
        """A token that the server has just accepted."""
        self._current = token
        self.given_at = asyncio.get_running_loop().time()


class TokenRenewal:
    """Renews the token once for each notice of the server that it is about to expire."""

    def __init__(self, tokens: TokenSource, refresh: Callable[[str], Awaitable[object]]):
        self._tokens = tokens
        self._refresh = refresh
        self._task: asyncio.Task[None] | None = None

    def expiring(self, expires_in: float) -> None:
        """The server's notice. The token is renewed now, but not before half of its life is over.

        A notice that comes with a token that was given a moment ago would lead to the next token at once, and to its
        notice.
        """
        if not self._tokens.renewable or self._task is not None:
            return
        age = asyncio.get_running_loop().time() - self._tokens.given_at
        life = age + expires_in
        wait = max(0.0, life / 2 - age) if life < 2 * _NOTICE else 0.0
        # Clients that got their tokens at the same moment do not come back for the next one at the same moment.
        wait += random.random() * expires_in / 10
        self._task = asyncio.create_task(self._renew(wait, expires_in), name="arqonbus-token")

    def stop(self) -> None:
        """The token is another one, or the line is gone: the server tells of the token again."""
        task, self._task = self._task, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    async def _renew(self, wait: float, expires_in: float) -> None:
        loop = asyncio.get_running_loop()
        expires_at = loop.time() + expires_in
        failures = 0
        # After the end the server closes with 4401, and the next connection asks for a token anyway.
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
