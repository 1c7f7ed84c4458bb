"""What an agent tells of itself, and tells every new connection again."""

from __future__ import annotations

import logging
from typing import Any

from .errors import ArqonBusError, ConnectError
from .outgoing import SendCommand

log = logging.getLogger("arqonbus")

#: Of what ``identify`` takes, that which belongs to one connection.
FIELDS = ("card", "state", "note", "ttl_seconds")


class Standing:
    """The card, and a state that holds until it is changed; one with a time says that its client works now."""

    def __init__(self, send_command: SendCommand) -> None:
        self._send_command = send_command
        self._told: dict[str, Any] = {}

    def note(self, profile: dict[str, Any]) -> None:
        """Remembers what ``identify`` has told; ``None`` is forgotten."""
        told = {**self._told, **{name: profile[name] for name in FIELDS if name in profile}}
        if told.pop("ttl_seconds", None) is not None:
            told.pop("state", None)
            told.pop("note", None)
        self._told = {name: value for name, value in told.items() if value is not None}

    async def restore(self) -> None:
        """Tells it again on a new connection."""
        if not self._told:
            return
        try:
            await self._send_command("identify", dict(self._told), restoring=True)
        except ConnectError:
            return  # the next connection is told
        except ArqonBusError as error:
            log.warning("what this client tells of itself was refused: %s", error)
