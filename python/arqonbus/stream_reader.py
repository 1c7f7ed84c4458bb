"""Reads a token stream from its beginning to its end."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from itertools import takewhile

from .address import Address
from .envelope import Envelope, JsonObject
from .errors import ArqonBusError, StreamError, StreamReset, StreamState
from .history import History
from .outgoing import SendCommand
from .subscription import Subscription
from .token_stream import NEEDS
from .utf16 import from_units, to_units

#: Number of recent channel events searched for an ended stream.
_MOST_READ = 500
#: Maximum UTF-16 units read from one stream; a server allows 1 MiB of UTF-8.
_MAX_LENGTH = 4_194_304
_OUTCOMES: tuple[StreamState, ...] = ("complete", "cancelled", "failed", "orphaned")


async def find(send_command: SendCommand, id: str, at: Address | None = None) -> Address | None:
    """The address of an open stream; None when there is none."""
    place = {} if at is None else {"room": at.room, "channel": at.channel}
    after = ""
    while True:
        args: JsonObject = {**place, "after": after} if after else place
        page = await send_command("stream.list", args, needs=NEEDS)
        for stream in page["streams"]:
            if stream["stream_id"] == id:
                return Address(stream["room"], stream["channel"])
        following = page.get("next")
        # Pages are ordered by id; an id that does not increase would loop forever.
        if not isinstance(following, str) or following <= after:
            return None
        after = following


async def read_text(
    send_command: SendCommand,
    subscribe: Callable[[Address], Subscription],
    newest: Callable[[Address, int], History],
    id: str,
    at: Address | None,
) -> AsyncGenerator[str, None]:
    """Yields the text of a stream as it grows, to its end.

    :param subscribe: subscribes to a channel, including this client's own events
    :param newest: returns up to this many events of a channel, newest first
    :param at: where the stream is; without it, the stream must be open
    """
    place = at or await find(send_command, id)
    if place is None:
        raise ArqonBusError(
            "NOT_FOUND",
            f"There is no open stream {id} that you may read; one that has ended is found by its room and channel.",
        )
    reading = _Reading(id)
    async with subscribe(place) as messages:
        is_to_look = True
        while reading.state is None:
            if is_to_look:
                # Messages may have been missed: an ended stream is stored in history with its whole text.
                is_to_look = False
                if await find(send_command, id, place) is None:
                    async for kept in newest(place, _MOST_READ):
                        if text := reading.take(kept):
                            yield text
                        if reading.state is not None:
                            break
                    else:
                        reading.require_whole()
                continue
            try:
                message = await messages.receive()
            except StreamReset:
                is_to_look = True
                continue
            except StopAsyncIteration:
                return
            if text := reading.take(message):
                yield text
            is_to_look = reading.is_cut
    if reading.state == "failed" or reading.state == "orphaned":
        raise StreamError(reading.state)


class _Reading:
    """The state of reading one stream."""

    def __init__(self, id: str):
        self._id = id
        self._text = ""
        self._length = 0
        #: How the stream ended, once all of it was read.
        self.state: StreamState | None = None
        #: Whether its end was received, but with a gap before it.
        self.is_cut = False

    def take(self, message: Envelope) -> str:
        """Returns the new text in a message; empty when there is none, or when it belongs to another stream."""
        mark = message.metadata.get("stream")
        if not isinstance(mark, dict) or mark.get("id") != self._id:
            return ""
        text, offset, state = message["payload"].get("text", ""), mark.get("offset"), mark.get("state")
        if not isinstance(text, str) or not isinstance(offset, int) or offset < 0:
            return ""
        is_over = state in _OUTCOMES
        if offset > self._length:
            self.is_cut = self.is_cut or is_over
            return ""
        if mark.get("revised") is True:
            new = text[_common(self._text, text) :]
        else:
            new = from_units(to_units(text)[2 * (self._length - offset) :])
        self._text += new
        self._length += len(to_units(new)) // 2
        if self._length > _MAX_LENGTH:
            told = f"The stream {self._id} is longer than {_MAX_LENGTH} UTF-16 units, which no server allows."
            raise ArqonBusError("MESSAGE_TOO_LARGE", told)
        if is_over:
            self.state = state
        return new

    def require_whole(self) -> None:
        """Raises when the stream is neither open nor in history, but its end was received."""
        if self.is_cut:
            raise ArqonBusError("NOT_FOUND", f"The stream {self._id} has ended, and its whole text is no longer kept.")


def _common(one: str, other: str) -> int:
    """The length of the common prefix of two texts."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
