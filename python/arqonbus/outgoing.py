"""What is sent: one request with all that is known of it, and the line that it goes out on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from .envelope import Envelope, JsonObject

#: How often the wait for an answer is prolonged while a large message is arriving.
_MAX_PROLONGATIONS = 30
#: What answers a request: a command by its response, a message by its ack, a private request by a private reply.
Answer = Literal["command_response", "ack", "private"]

#: Called in the middle of dispatch, before any later frame is looked at.
OnAnswer = Callable[[Envelope], None]


class Line(Protocol):
    """Where frames go while there is a connection."""

    max_message_bytes: int | None
    #: What the server at the other end offers, as its welcome says.
    features: frozenset[str]

    def send(self, text: str, on_sent: Callable[[], None] | None = None) -> None:
        """Sends in order; ``on_sent`` is called when the socket has taken it."""

    def is_receiving(self) -> bool:
        """Whether a large message is arriving, and more of it has come since this was last asked."""


@dataclass(eq=False)
class Request:
    """One envelope, until it is answered. ``repeatable`` ones are sent again, under the same id, on the next line."""

    id: str
    text: str
    #: None: it asks for no answer.
    answer: Answer | None
    repeatable: bool = False
    #: The command, if it is one.
    command: str | None = None
    #: The caller's own limit in seconds. None: the default one, which for messages and joins counts only on a line.
    timeout: float | None = None
    #: Restores what the last connection had: goes out before the line is open to everybody.
    restoring: bool = False
    #: What the server has to offer for it (the ``features`` of its welcome).
    needs: frozenset[str] = frozenset()
    #: Whether the answer may take its time: the server waits for something before it answers.
    waits: bool = False
    on_answer: OnAnswer | None = None
    future: asyncio.Future[Envelope | None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    place: int = 0
    is_sent: bool = False
    #: Whether it counts in its lane's window: what was sent at once does not.
    is_paced: bool = False
    sent_at: float = 0.0
    #: When it was first sent on a line that broke: from then on it may have been stored.
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
        """Whether its time counts only from when it is sent."""
        return self.timeout is None and (self.command is None or self.is_join)


class SendCommand(Protocol):
    """Sends a command and answers its response's payload.

    ``restoring``: as part of the restoration after a loss.

    ``needs``: what the server has to offer. ``waits``: the server waits for something before it answers.
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
