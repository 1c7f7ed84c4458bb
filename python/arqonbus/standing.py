"""An agent's announced state, restored on every new connection."""

from __future__ import annotations

import logging
from typing import Any

from .errors import ArqonBusError, ConnectError
from .outgoing import SendCommand

log = logging.getLogger("arqonbus")

#: Fields of ``identify`` that apply to one connection.
FIELDS = ("card", "state", "note", "ttl_seconds")


class Standing:
    """The card, and a state without a lifetime; a state with a lifetime is not restored."""

    def __init__(self, send_command: SendCommand) -> None:
        self._send_command = send_command
        self._told: dict[str, Any] = {}

    def note(self, profile: dict[str, Any]) -> None:
        """Records the fields sent with ``identify``; ``None`` removes one."""
        told = {**self._told, **{name: profile[name] for name in FIELDS if name in profile}}
        if told.pop("ttl_seconds", None) is not None:
            told.pop("state", None)
            told.pop("note", None)
        self._told = {name: value for name, value in told.items() if value is not None}

    async def restore(self) -> None:
        """Sends them again on a new connection."""
        if not self._told:
            return
        try:
            await self._send_command("identify", dict(self._told), restoring=True)
        except ConnectError:
            return  # the next connection restores it
        except ArqonBusError as error:
            log.warning("what this client tells of itself was refused: %s", error)
