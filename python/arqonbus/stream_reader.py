"""Reading a text that grows, from its beginning to its end."""

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

#: Events of a channel among which a stream that has ended is looked for.
_MOST_READ = 500
#: UTF-16 units that are taken of one stream; a server allows 1 MiB of UTF-8.
_MAX_LENGTH = 4_194_304
_OUTCOMES: tuple[StreamState, ...] = ("complete", "cancelled", "failed", "orphaned")


async def find(send_command: SendCommand, id: str, at: Address | None = None) -> Address | None:
    """Where an open stream is; None where there is none."""
    place = {} if at is None else {"room": at.room, "channel": at.channel}
    after = ""
    while True:
        args: JsonObject = {**place, "after": after} if after else place
        page = await send_command("stream.list", args, needs=NEEDS)
        for stream in page["streams"]:
            if stream["stream_id"] == id:
                return Address(stream["room"], stream["channel"])
        following = page.get("next")
        # Pages go on by growing ids; one that does not grow would go round for ever.
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
    """Yields what is new of a stream's text, to its end.

    :param subscribe: to a channel, this client's own events included
    :param newest: so many events of a channel, newest first
    :param at: where the stream is; without it, it must be open
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
                # Messages may have gone by: a stream that has ended is in history as a whole.
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
    """What was read of a stream so far."""

    def __init__(self, id: str):
        self._id = id
        self._text = ""
        self._length = 0
        #: How it ended, once all of it is read.
        self.state: StreamState | None = None
        #: Whether its end came to this reader without something before it.
        self.is_cut = False

    def take(self, message: Envelope) -> str:
        """What is new in a message; empty when nothing is, or when it belongs to something else."""
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
        """The stream is neither open nor in history: raises when its end has passed by."""
        if self.is_cut:
            raise ArqonBusError("NOT_FOUND", f"The stream {self._id} has ended, and its whole text is no longer kept.")


def _common(one: str, other: str) -> int:
    """How many characters two texts have in common at their beginning."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
