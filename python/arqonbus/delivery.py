"""Group deliveries and their acknowledgement: ack, nack, extend, reject."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Literal

from .address import given
from .envelope import Envelope, JsonObject
from .errors import ArqonBusError, BusError, LeaseLost, invalid_argument
from .outgoing import SendCommand

#: Maximum tokens per command.
_MAX_TOKENS = 500
#: Default pause after a rate limit refusal, in seconds.
_DEFAULT_PAUSE = 1.0

Verb = Literal["ack", "nack", "extend", "reject"]
#: Sends one answer; the future completes when the server has accepted it.
Settle = Callable[[Verb, str, JsonObject], "asyncio.Future[None]"]


class Delivery(Envelope):
    """A message delivered to this client by a group, under a lease: no other member gets it until the lease expires.

    It is answered once, with :meth:`ack`, :meth:`nack` or :meth:`reject`. Unanswered messages are redelivered after
    ``deadline``. A late answer raises :class:`LeaseLost`.

    >>> async for message in client.subscribe("orders:new", group="billing", manual_ack=True):
    ...     await bill(message["payload"])
    ...     await message.ack()
    """

    __slots__ = ("_settle", "answered")

    def __init__(self, envelope: Envelope, settle: Settle):
        super().__init__(envelope)
        self._settle = settle
        #: How it was answered; None while unanswered.
        self.answered: Verb | None = None

    @property
    def group(self) -> str:
        """The group that delivered it.

        >>> message.group
        'billing'
        """
        return str(self._facts.get("group", ""))

    @property
    def attempt(self) -> int:
        """The delivery attempt, starting at 1.

        >>> if message.attempt > 1:
        ...     undo_what_was_done_halfway(message)
        """
        return int(self._facts.get("attempt") or 1)

    @property
    def deadline(self) -> str:
        """When the lease expires, RFC 3339; :meth:`extend` renews the lease without changing this.

        >>> print(message.deadline)
        """
        return str(self._facts.get("deadline", ""))

    async def ack(self) -> None:
        """Acknowledges the message; it is not delivered again. Raises :class:`LeaseLost`.

        >>> await message.ack()
        """
        await self.conclude("ack")

    async def nack(self, *, delay_seconds: float | None = None, reason: str | None = None) -> None:
        """Rejects the message for now: it is redelivered after ``delay_seconds`` or the group's own backoff.

        >>> await message.nack(delay_seconds=30, reason="the printer is out of paper")
        """
        await self.conclude("nack", delay_seconds=delay_seconds, reason=reason)

    async def reject(self, reason: str) -> None:
        """Rejects the message permanently: it becomes a dead letter immediately.

        >>> await message.reject("there is no such order")
        """
        await self.conclude("reject", reason=reason)

    async def extend(self) -> None:
        """Renews the lease, for long-running work. Raises :class:`LeaseLost`.

        >>> await message.extend()
        """
        if self.answered is not None:
            raise self._answered()
        # Concurrent callers share one command.
        await asyncio.shield(self._settle("extend", self.token, {}))

    @property
    def token(self) -> str:
        """The lease token.

        >>> await client.command("delivery.ack", tokens=[message.token])
        """
        return str(self._facts.get("token", ""))

    def conclude(self, verb: Verb, **details: float | str | None) -> asyncio.Future[None]:
        """Sends the answer. Raises if the message was already answered."""
        if self.answered is not None:
            raise self._answered()
        self.answered = verb
        return self._settle(verb, self.token, given(**details))

    def _answered(self) -> ArqonBusError:
        return invalid_argument(f"This message was already answered with {self.answered}().", answered=self.answered)

    @property
    def _facts(self) -> JsonObject:
        facts = self.metadata.get("delivery")
        return facts if isinstance(facts, dict) else {}


class Settlements:
    """Batches and sends the answers to deliveries.

    Answers of one event loop turn, and those given while the previous command is pending, are sent as one command. A
    rate-limited command is sent again.
    """

    def __init__(self, send_command: SendCommand):
        self._send_command = send_command
        #: Answers waiting to be sent, by verb and details.
        self._waiting: dict[str, _Answers] = {}
        self._sending: dict[str, asyncio.Task[None]] = {}

    def settle(self, verb: Verb, token: str, details: JsonObject) -> asyncio.Future[None]:
        """Sends an answer. The future fails with :class:`LeaseLost`, or with the connection error."""
        loop = asyncio.get_running_loop()
        key = repr((verb, sorted(details.items())))
        waiting = self._waiting.get(key)
        if waiting is None:
            waiting = self._waiting[key] = _Answers(verb, details)
            loop.call_soon(self._flush, key)
        return waiting.answers.setdefault(token, loop.create_future())

    async def idle(self) -> None:
        """Waits until all answers are sent and settled."""
        while self._waiting or self._sending:
            # Pending answers are sent in the next turn of the event loop.
            await asyncio.sleep(0)
            if self._sending:
                await asyncio.wait(tuple(self._sending.values()))

    def _flush(self, key: str) -> None:
        if key not in self._waiting or key in self._sending:
            return
        batch = self._waiting[key].take(_MAX_TOKENS)
        if not self._waiting[key].answers:
            del self._waiting[key]
        task = asyncio.create_task(self._send(batch), name="arqonbus-settle")
        self._sending[key] = task
        task.add_done_callback(lambda _: self._sent(key))

    def _sent(self, key: str) -> None:
        del self._sending[key]
        self._flush(key)

    async def _send(self, batch: _Answers) -> None:
        args = {"tokens": list(batch.answers), **batch.details}
        while True:
            try:
                result = await self._send_command(f"delivery.{batch.verb}", args, needs=frozenset({"groups"}))
            except LeaseLost as error:
                batch.settle(error.details.get("lost") or args["tokens"])
            except ArqonBusError as error:
                if isinstance(error, BusError) and error.code == "RATE_LIMITED":
                    # This ends at the latest when the leases expire: the server then reports them as lost.
                    await asyncio.sleep(error.retry_after or _DEFAULT_PAUSE)
                    continue
                batch.fail(error)
            except BaseException:
                batch.fail(ArqonBusError("OUTCOME_UNKNOWN", "The answer was given up on its way."))
                raise
            else:
                batch.settle(result.get("lost") or ())
            return


class _Answers:
    """Answers with the same verb and details, by token."""

    def __init__(self, verb: Verb, details: JsonObject):
        self.verb = verb
        self.details = details
        self.answers: dict[str, asyncio.Future[None]] = {}

    def take(self, count: int) -> _Answers:
        """Removes and returns the first ``count`` answers."""
        taken = _Answers(self.verb, self.details)
        for token in list(self.answers)[:count]:
            taken.answers[token] = self.answers.pop(token)
        return taken

    def settle(self, lost: Sequence[str]) -> None:
        gone = {token for token in lost if isinstance(token, str)}
        for token, answer in self.answers.items():
            if token in gone:
                message = "The lease of this message had ended; it is handed out again, or was answered before."
                _fail(answer, LeaseLost("LEASE_LOST", message, details={"lost": [token]}))
            elif not answer.done():
                answer.set_result(None)

    def fail(self, error: ArqonBusError) -> None:
        for answer in self.answers.values():
            _fail(answer, error)


def _fail(answer: asyncio.Future[None], error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)
        # Mark the exception as retrieved: the future may have no waiter.
        answer.exception()
