"""The roster of a client's memberships: joins, leaves, rejoins, and event routing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Container, Coroutine

from .address import MAILBOX_ROOM, Address
from .envelope import Envelope
from .errors import FEATURE_MISSING, ArqonBusError, BusError, ConnectError, closed_error
from .membership import Membership
from .outgoing import SendCommand
from .reconnect import ReconnectPolicy
from .results import Joined


class Roster:
    """The memberships, in join order: the last one is the server's "current" channel, after a rejoin too."""

    def __init__(self, send_command: SendCommand, policy: ReconnectPolicy) -> None:
        self._send_command = send_command
        self._policy = policy
        self._memberships: list[Membership] = []
        self._tasks: set[asyncio.Task[None]] = set()
        #: Memberships with a scheduled rejoin: one attempt at a time.
        self._waiting: set[Membership] = set()
        self._is_up = False
        #: While draining, new joins are refused.
        self.is_draining = False

    async def join(self, membership: Membership, timeout: float | None = None) -> Joined:
        """Joins. Raises the server's refusal, and then keeps nothing."""
        if self.is_draining:
            raise closed_error()
        self._memberships.append(membership)
        try:
            await self._send_join(membership, timeout, restoring=False)
        except BaseException as error:
            if isinstance(error, ArqonBusError) and error.code == FEATURE_MISSING:
                self.drop(membership)
            else:
                self._forget(membership)
            raise
        if membership.is_unplaced:
            self.rejoin(membership)
        assert membership.result is not None
        return membership.result

    def adopt(self, membership: Membership) -> bool:
        """Adopts a membership made by the server. False when the client already has one there."""
        if self.is_draining or self.has(membership):
            return False
        self._memberships.append(membership)
        return True

    async def leave(self, membership: Membership, timeout: float | None = None) -> bool:
        """Leaves, unless another membership has the same address. Returns whether the client was a member."""
        if membership not in self._memberships:
            return False
        shared = any(other.key == membership.key for other in self._memberships if other is not membership)
        try:
            if shared or not self._is_up:
                if membership.options.presence:
                    self._stop_watching(membership)
                return True
            result = await self._send_command("leave_channel", membership.leave_args(), timeout=timeout)
            return result.get("left") is True
        except ConnectError:
            # The server forgets the membership with the connection, and it is not restored.
            return True
        finally:
            # Kept until the response, so that events in flight do not go to the inbox.
            self.drop(membership)

    def _stop_watching(self, membership: Membership) -> None:
        """Rejoins without presence notices, unless another membership of the address wants them."""
        others = [one for one in self._memberships if one is not membership and one.key == membership.key]
        if others and not any(one.options.presence for one in others):
            self.drop(membership)
            self.rejoin(others[0])

    def drop(self, membership: Membership) -> None:
        """Removes a membership that has ended or was replaced by another one of the same address."""
        if membership in self._memberships:
            self._memberships.remove(membership)

    def _forget(self, membership: Membership) -> None:
        """Drops a membership whose join failed or was cancelled, and leaves in case the server accepted it."""
        self.drop(membership)
        if self._is_up and not self.has(membership):
            self._run(self._leave_quietly(membership))

    async def _leave_quietly(self, membership: Membership) -> None:
        with contextlib.suppress(ArqonBusError):
            await self._send_command("leave_channel", membership.leave_args())

    async def drain(self) -> None:
        """Leaves everything, and then ends it."""
        memberships = list(self._memberships)
        if self._is_up:
            # The membership has ended even if the leave is refused or lost.
            each = {membership.key: membership for membership in memberships}
            await asyncio.gather(*(self._leave_quietly(membership) for membership in each.values()))
        for membership in memberships:
            self.drop(membership)
            membership.end(StopAsyncIteration())

    async def restore(self) -> None:
        """Rejoins everything from where it was. Returns when all joins were answered once."""
        self._is_up = True
        # Skip memberships whose first join is pending: that join waits in the queue.
        known = [membership for membership in self._memberships if membership.result is not None]
        await asyncio.gather(*(self._rejoin(membership) for membership in known))

    def rejoin(self, membership: Membership) -> None:
        """Rejoins from the current position of the membership."""
        if self._is_up and membership in self._memberships:
            self._start(membership, 0.0, 0)

    def _start(self, membership: Membership, delay: float, failures: int) -> None:
        if delay > 0.0:
            if membership in self._waiting:
                return
            self._waiting.add(membership)

        async def later() -> None:
            await asyncio.sleep(delay)
            self._waiting.discard(membership)
            if membership in self._memberships:
                await self._rejoin(membership, failures)

        self._run(later())

    def _run(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work, name="arqonbus-roster")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _rejoin(self, membership: Membership, failures: int = 0) -> None:
        """Rejoins. A retryable refusal is retried later, and so is a join whose position the server could not tell.

        Any other refusal ends the membership.
        """
        try:
            await self._send_join(membership, None, restoring=True)
            if membership.is_unplaced and membership in self._memberships and self._is_up:
                self._start(membership, self._policy.delay(failures), failures + 1)
        except ConnectError:
            return  # without a connection there is nothing to do: the next one rejoins
        except ArqonBusError as error:
            if membership not in self._memberships or not self._is_up:
                return
            if error.retryable:
                self._start(membership, self._policy.delay(failures), failures + 1)
                return
            self.drop(membership)
            membership.end(error)

    async def _send_join(
        self, membership: Membership, timeout: float | None, *, restoring: bool, is_again: bool = False
    ) -> None:
        membership.joining()
        # The server keeps one membership per address: it must cover the options of all that share it.
        args, asked = membership.join_args(
            [other.options for other in self._memberships if other.key == membership.key]
        )
        is_owed = False

        def answered(envelope: Envelope) -> None:
            nonlocal is_owed
            if membership in self._memberships:
                joined = Joined.from_payload(envelope["payload"])
                is_owed = membership.joined(joined, asked, is_again=is_again)

        await self._send_command(
            "join_channel",
            args,
            timeout=timeout,
            restoring=restoring,
            needs=membership.needs,
            on_answer=answered,
        )
        if is_owed:
            await self._send_join(membership, timeout, restoring=restoring, is_again=True)
        elif membership not in self._memberships and not self.has(membership):
            # Left before the join was answered.
            await self._leave_quietly(membership)

    def has(self, membership: Membership) -> bool:
        """Whether the client has a membership with the same key."""
        return any(other.key == membership.key for other in self._memberships)

    def lost(self) -> None:
        self._is_up = False
        self.stop()
        for membership in self._memberships:
            membership.lost()

    def stop(self) -> None:
        """Cancels scheduled rejoins."""
        self._waiting.clear()
        for task in tuple(self._tasks):
            if task is not asyncio.current_task():
                task.cancel()

    def route(self, envelope: Envelope, own: Container[str]) -> bool:
        """Offers an event to every membership that covers it. False when none does."""
        stream = _stream(envelope)
        covering = self._covering(stream)
        for membership in covering:
            membership.offer(stream, envelope, own)
        return bool(covering)

    def hand_out(self, envelope: Envelope, take: Callable[[Envelope], bool]) -> bool:
        """Passes a group delivery to its group's membership; one that was just left is ignored.

        :param take: returns whether it handled the message, so that the membership does not get it
        """
        facts = envelope.metadata.get("delivery")
        if not isinstance(facts, dict):
            return False
        stream = _stream(envelope)
        members = [
            membership
            for membership in self._memberships
            if membership.group == facts.get("group")
            and (membership.address.covers(*stream) or (not stream.room and membership.address.room == MAILBOX_ROOM))
        ]
        # A channel and a matching pattern may each have a group of this name: the channel's comes first.
        members.sort(key=lambda membership: membership.address.is_many)
        if members and not take(envelope):
            members[0].offer(stream, envelope, ())
        return True

    def gap(self, envelope: Envelope, own: Container[str]) -> bool:
        """Reports a gap in a stream to every membership that covers it. False when none does."""
        stream = _stream(envelope)
        covering = self._covering(stream)
        for membership in covering:
            membership.gap(stream, own)
        return bool(covering)

    def revoked(
        self, stream: Address, group: str | None = None, *, is_deleted: bool = False, reason: str | None = None
    ) -> bool:
        """Ends a membership that the server has revoked. False when it is not known.

        :param is_deleted: the group was deleted
        :param reason: the server's reason, if given; otherwise the token no longer allows it
        """
        if is_deleted:
            error = BusError("NOT_FOUND", f"The group {group} of {stream} was deleted.")
        else:
            why = f"The server ended {stream}: {reason}."
            if reason is None or reason == "grants":
                why = f"The token no longer allows reading {stream}."
            error = BusError("AUTHORIZATION_ERROR", why)
        ended = [membership for membership in self._memberships if membership.key == (stream, group)]
        for membership in ended:
            self.drop(membership)
            membership.end(error)
        return bool(ended)

    def notice(self, envelope: Envelope) -> bool:
        """Offers a presence notice to the memberships of exactly that address. False when none wants it."""
        stream = _stream(envelope)
        # A list, not a generator: every membership must be offered it, even after one has taken it.
        return any([member.notice(envelope) for member in self._memberships if member.key == (stream, None)])

    def _covering(self, stream: Address) -> list[Membership]:
        return [one for one in self._memberships if one.group is None and one.address.covers(*stream)]

    def mark_own(self, envelope: Envelope, own: Container[str]) -> None:
        """Handles an ack: its sequence counts as seen, although this client does not receive it."""
        sequence, epoch = envelope["payload"].get("sequence"), envelope["payload"].get("epoch")
        if isinstance(sequence, int) and sequence > 0 and isinstance(epoch, str):
            for membership in self._memberships:
                membership.mark_own(sequence, epoch, own)

    def end(self, error: BaseException) -> None:
        self.stop()
        for membership in self._memberships:
            membership.end(error)


def _stream(envelope: Envelope) -> Address:
    """The address of an event; a frame without an address has an empty one, which only "*:*" covers."""
    return Address(envelope.get("room", ""), envelope.get("channel", ""))
