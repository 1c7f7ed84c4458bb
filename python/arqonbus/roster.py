"""Everything that a client has joined: joining, leaving, joining again, and who gets which event."""

from __future__ import annotations

import asyncio
from collections.abc import Container
from typing import Protocol

from .envelope import Address, Envelope, JsonObject
from .errors import BusError, ConnectionClosed
from .membership import Membership
from .pending import OnAnswer
from .results import Joined


class SendCommand(Protocol):
    """Sends a command and answers its response's payload; ``restoring``: as part of the restoration after a loss."""

    async def __call__(
        self,
        name: str,
        args: JsonObject,
        *,
        timeout: float | None = None,
        restoring: bool = False,
        on_answer: OnAnswer | None = None,
    ) -> JsonObject: ...


class Roster:
    """The memberships, in the order joined: the last one is the server's idea of "current", after a rejoin too."""

    def __init__(self, send_command: SendCommand) -> None:
        self._send_command = send_command
        self._memberships: list[Membership] = []

    async def join(self, membership: Membership, timeout: float | None = None) -> Joined:
        """Joins. Raises what the server refuses, and then nothing is kept."""
        self._memberships.append(membership)
        try:
            return await self._send_join(membership, timeout, restoring=False)
        except BaseException:
            if membership in self._memberships and not membership.active:
                self._memberships.remove(membership)
            raise

    async def leave(self, membership: Membership, timeout: float | None = None) -> bool:
        """Leaves, unless another membership has the same address. Answers whether the client was a member."""
        if membership not in self._memberships:
            return False
        shared = any(other.address == membership.address for other in self._memberships if other is not membership)
        try:
            if shared:
                return True
            room, channel = membership.address
            result = await self._send_command("leave_channel", {"room": room, "channel": channel}, timeout=timeout)
            return result.get("left") is True
        except ConnectionClosed:
            # The server has forgotten the membership with the connection, and nothing joins it again.
            return True
        finally:
            # Kept until the answer, so that events on their way do not surface in the inbox.
            if membership in self._memberships:
                self._memberships.remove(membership)

    def drop(self, membership: Membership) -> None:
        """Forgets a membership that another one of the same address has replaced."""
        if membership in self._memberships:
            self._memberships.remove(membership)

    async def restore(self) -> None:
        """Joins everything again, with what was seen of it. Raises when the server cannot do it now."""
        await asyncio.gather(*(self._rejoin(membership) for membership in tuple(self._memberships)))

    async def _rejoin(self, membership: Membership) -> None:
        while True:
            try:
                await self._send_join(membership, None, restoring=True)
                return
            except BusError as error:
                if error.code == "RATE_LIMITED":
                    await asyncio.sleep(error.details.get("retry_after_ms", 1000) / 1000)
                    continue
                if error.retryable:
                    raise
                if membership in self._memberships:
                    self._memberships.remove(membership)
                membership.end(error)
                return

    async def _send_join(self, membership: Membership, timeout: float | None, *, restoring: bool) -> Joined:
        def answered(envelope: Envelope) -> None:
            membership.joined(Joined.from_payload(envelope["payload"]))

        args = membership.join_args()
        payload = await self._send_command(
            "join_channel", args, timeout=timeout, restoring=restoring, on_answer=answered
        )
        return Joined.from_payload(payload)

    def lost(self) -> None:
        for membership in self._memberships:
            membership.active = False

    def route(self, envelope: Envelope, own: Container[str]) -> bool:
        """Offers an event to every membership that covers it. False when none does."""
        stream = _stream(envelope)
        covering = self._covering(stream)
        for membership in covering:
            membership.offer(stream, envelope, own)
        return bool(covering)

    def gap(self, envelope: Envelope, own: Container[str]) -> bool:
        """Tells a hole in a replay to every membership that covers it. False when none does."""
        stream = _stream(envelope)
        covering = self._covering(stream)
        for membership in covering:
            membership.gap(stream, own)
        return bool(covering)

    def revoked(self, envelope: Envelope) -> bool:
        """The server has ended a membership: the client may no longer read there. False when it is not known."""
        stream = _stream(envelope)
        ended = [membership for membership in self._memberships if membership.address == stream]
        for membership in ended:
            self._memberships.remove(membership)
            membership.end(BusError("AUTHORIZATION_ERROR", f"The token no longer allows to read {stream}."))
        return bool(ended)

    def notice(self, envelope: Envelope) -> bool:
        """Offers a notice of who joined or left to the memberships of that very address. False when none wants it."""
        stream = _stream(envelope)
        # A list, because each of them has to be offered it, even after one has taken it.
        return any([member.notice(envelope) for member in self._memberships if member.address == stream])

    def _covering(self, stream: Address) -> list[Membership]:
        return [membership for membership in self._memberships if membership.address.covers(*stream)]

    def mark_own(self, envelope: Envelope) -> None:
        """An ack: its sequence is one that this client does not get to see, and has seen all the same."""
        sequence, epoch = envelope["payload"].get("sequence"), envelope["payload"].get("epoch")
        if isinstance(sequence, int) and isinstance(epoch, str):
            for membership in self._memberships:
                membership.mark_own(sequence, epoch)

    def end(self, error: BaseException) -> None:
        for membership in self._memberships:
            membership.end(error)


def _stream(envelope: Envelope) -> Address:
    """Where an event is; a frame without an address is nowhere, which nothing but "*:*" covers."""
    return Address(envelope.get("room", ""), envelope.get("channel", ""))
