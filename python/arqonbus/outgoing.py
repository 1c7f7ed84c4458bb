"""Outgoing requests, and the connection they are sent on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from .envelope import Envelope, JsonObject

#: How often a response timeout is extended while a large message is arriving.
_MAX_PROLONGATIONS = 30
#: The response type: a command's response, a message's ack, or a private reply to a request.
Answer = Literal["command_response", "ack", "private"]

#: Called during dispatch, before any later frame is processed.
OnAnswer = Callable[[Envelope], None]


class Line(Protocol):
    """Where frames are sent while there is a connection."""

    max_message_bytes: int | None
    #: The server's features, from its welcome.
    features: frozenset[str]

    def send(self, text: str, on_sent: Callable[[], None] | None = None) -> None:
        """Sends in order; ``on_sent`` is called when the socket has accepted it."""

    def is_receiving(self) -> bool:
        """Whether a large message is arriving, and more of it has arrived since the last call."""


@dataclass(eq=False)
class Request:
    """One envelope, until it is answered. ``repeatable`` ones are resent with the same id on the next connection."""

    id: str
    text: str
    #: None: no response is requested.
    answer: Answer | None
    repeatable: bool = False
    #: The command name, if it is one.
    command: str | None = None
    #: The caller's timeout in seconds. None: the default, which for messages and joins counts only while connected.
    timeout: float | None = None
    #: Restores the state of the last connection: sent before other requests are allowed.
    restoring: bool = False
    #: The server features it requires (the ``features`` of the welcome).
    needs: frozenset[str] = frozenset()
    #: Whether the server waits for an event before it responds.
    waits: bool = False
    on_answer: OnAnswer | None = None
    future: asyncio.Future[Envelope | None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    place: int = 0
    is_sent: bool = False
    #: Whether it counts in its lane's window; requests sent at once do not.
    is_paced: bool = False
    sent_at: float = 0.0
    #: When it was first sent on a connection that was lost: it may have been stored since then.
    unknown_since: float | None = None
    prolongations: int = _MAX_PROLONGATIONS
    timer: asyncio.TimerHandle | None = None

    @property
    def size(self) -> int:
        return len(self.text) if self.text.isascii() else len(self.text.encode())

    @property
    def is_join(self) -> bool:
        return self.restoring or self.command in ("join_channel", "leave_channel")

    @property
    def is_patient(self) -> bool:
        """Whether its timeout starts only when it is sent."""
        return self.timeout is None and (self.command is None or self.is_join)


class SendCommand(Protocol):
    """Sends a command and returns the payload of its response.

    ``restoring``: it restores state after a connection loss.

    ``needs``: required server features. ``waits``: the server waits for an event before it responds.
    """

    async def __call__(
        self,
        name: str,
        args: JsonObject,
        *,
        timeout: float | None = None,
        restoring: bool = False,
        needs: frozenset[str] = frozenset(),
        waits: bool = False,
        on_answer: OnAnswer | None = None,
    ) -> JsonObject: ...
