"""A new token before the old one expires."""

from __future__ import annotations

import asyncio
import logging

from .dialer import Dialer
from .errors import ArqonBusError
from .roster import SendCommand

log = logging.getLogger("arqonbus")


class TokenRefresh:
    """Answers the server's notice that the token is about to expire with ``refresh_token``.

    A failure is logged only: the server then closes with 4401, and the reconnect asks for a token once more.
    """

    def __init__(self, dialer: Dialer, send_command: SendCommand):
        self._dialer = dialer
        self._send_command = send_command
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._dialer.can_refresh and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._refresh(), name="arqonbus-refresh")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def _refresh(self) -> None:
        try:
            await self._send_command("refresh_token", {"token": await self._dialer.token()})
        except ArqonBusError as error:
            log.warning("the token could not be refreshed: %s", error)
