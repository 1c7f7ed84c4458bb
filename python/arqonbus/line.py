"""The transport interface that a client needs."""

from __future__ import annotations

from typing import Protocol


class Line(Protocol):
    """An open transport: texts are sent and received in order, until it ends. It does not reconnect."""

    @property
    def last_message(self) -> float:
        """When the last whole message arrived, in event loop time (seconds)."""

    @property
    def last_received(self) -> float:
        """When any data last arrived, in event loop time (seconds)."""

    @property
    def has_partial(self) -> bool:
        """Whether part of a large message has arrived."""

    def is_receiving(self) -> bool:
        """Whether a large message is arriving, and more of it has arrived since the last call."""

    async def send_text(self, text: str) -> None:
        """Accepts a frame for sending, and waits while the queue is full. Raises :class:`ConnectionClosed`."""

    async def receive_text(self) -> str:
        """Returns the next frame. Raises :class:`ConnectionClosed` once the line has ended. May be cancelled."""

    async def close(self) -> None:
        """Sends queued frames, notifies the bus, and ends with 1000. May be called again."""

    def abort(self) -> None:
        """Drops a dead connection without notifying the server."""
