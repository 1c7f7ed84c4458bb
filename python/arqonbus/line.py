"""What a client needs of its line to the bus, whatever carries it."""

from __future__ import annotations

from typing import Protocol


class Line(Protocol):
    """An open line: texts go out and come in, in order, until it ends. It does not come back by itself."""

    @property
    def last_message(self) -> float:
        """When the last whole message came, in seconds of the loop's clock."""

    @property
    def last_received(self) -> float:
        """When anything last came, in seconds of the loop's clock."""

    @property
    def has_partial(self) -> bool:
        """Whether a part of a large message is there."""

    def is_receiving(self) -> bool:
        """Whether a large message is arriving, and more of it has come since this was last asked."""

    async def send_text(self, text: str) -> None:
        """Takes a frame to be sent, and waits while too much waits. Raises :class:`ConnectionClosed`."""

    async def receive_text(self) -> str:
        """The next frame. Raises :class:`ConnectionClosed` when there is none any more. May be cancelled."""

    async def close(self) -> None:
        """Sends what waits, tells the bus, and ends with 1000. May be called again."""

    def abort(self) -> None:
        """Drops the line without a word: it is dead."""
