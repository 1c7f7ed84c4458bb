"""Messages of a group, and the answers that they are owed: done, again, longer, never."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Literal

from .address import given
from .envelope import Envelope, JsonObject
from .errors import ArqonBusError, BusError, LeaseLost, invalid_argument
from .outgoing import SendCommand

#: Tokens that one command may carry.
_MAX_TOKENS = 500
#: Wait after a refusal for the rate that names none, seconds.
_DEFAULT_PAUSE = 1.0

Verb = Literal["ack", "nack", "extend", "reject"]
#: Sends one answer; the future ends when the server has taken it.
Settle = Callable[[Verb, str, JsonObject], "asyncio.Future[None]"]


class Delivery(Envelope):
    """A message that a group has handed to this client, on a lease: nobody else has it until the lease ends.

    It is answered once, with :meth:`ack`, :meth:`nack` or :meth:`reject`. Without an answer it is handed out again when
    ``deadline`` is over. An answer that comes too late raises :class:`LeaseLost`.

    >>> async for message in client.subscribe("orders:new", group="billing", manual_ack=True):
    ...     await bill(message["payload"])
    ...     await message.ack()
    """

    __slots__ = ("_settle", "answered")

    def __init__(self, envelope: Envelope, settle: Settle):
        super().__init__(envelope)
        self._settle = settle
        #: What it was answered with; None as long as it was not.
        self.answered: Verb | None = None

    @property
    def group(self) -> str:
        """The group that it comes from.

        >>> message.group
        'billing'
        """
        return str(self._facts.get("group", ""))

    @property
    def attempt(self) -> int:
        """How often it was handed out, this time included.

        >>> if message.attempt > 1:
        ...     undo_what_was_done_halfway(message)
        """
        return int(self._facts.get("attempt") or 1)

    @property
    def deadline(self) -> str:
        """When the lease ends, RFC 3339; :meth:`extend` moves it without changing this.

        >>> print(message.deadline)
        """
        return str(self._facts.get("deadline", ""))

    async def ack(self) -> None:
        """It is done; the group does not hand it out any more. Raises :class:`LeaseLost`.

        >>> await message.ack()
        """
        await self.conclude("ack")

    async def nack(self, *, delay_seconds: float | None = None, reason: str | None = None) -> None:
        """It could not be done now: it is handed out again, after ``delay_seconds`` or the group's own backoff.

        >>> await message.nack(delay_seconds=30, reason="the printer is out of paper")
        """
        await self.conclude("nack", delay_seconds=delay_seconds, reason=reason)

    async def reject(self, reason: str) -> None:
        """It can never be done: it becomes a dead letter at once.

        >>> await message.reject("there is no such order")
        """
        await self.conclude("reject", reason=reason)

    async def extend(self) -> None:
        """Begins the lease anew, for work that takes longer. Raises :class:`LeaseLost`.

        >>> await message.extend()
        """
        if self.answered is not None:
            raise self._answered()
        # Two that ask at the same moment wait for one answer.
        await asyncio.shield(self._settle("extend", self.token, {}))

    @property
    def token(self) -> str:
        """The proof that this client holds it.

        >>> await client.command("delivery.ack", tokens=[message.token])
        """
        return str(self._facts.get("token", ""))

    def conclude(self, verb: Verb, **details: float | str | None) -> asyncio.Future[None]:
        """Sends the answer, which only the first one is."""
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
    """Answers to deliveries on their way.

    What is answered in one turn of the event loop is one command, and so is all that is answered while the one before
    it is on its way. One that the server refuses for the rate is sent again.
    """

    def __init__(self, send_command: SendCommand):
        self._send_command = send_command
        #: By what they say: answers that wait for their command.
        self._waiting: dict[str, _Answers] = {}
        self._sending: dict[str, asyncio.Task[None]] = {}

    def settle(self, verb: Verb, token: str, details: JsonObject) -> asyncio.Future[None]:
        """Sends an answer. The future fails with :class:`LeaseLost`, or with what became of the line."""
        loop = asyncio.get_running_loop()
        key = repr((verb, sorted(details.items())))
        waiting = self._waiting.get(key)
        if waiting is None:
            waiting = self._waiting[key] = _Answers(verb, details)
            loop.call_soon(self._flush, key)
        return waiting.answers.setdefault(token, loop.create_future())

    async def idle(self) -> None:
        """Waits until everything is answered."""
        while self._waiting or self._sending:
            # What is to be sent is sent in the next turn.
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
                    # At the latest when the leases are over, the server says so.
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
    """Answers that say the same, by token."""

    def __init__(self, verb: Verb, details: JsonObject):
        self.verb = verb
        self.details = details
        self.answers: dict[str, asyncio.Future[None]] = {}

    def take(self, count: int) -> _Answers:
        """The first of them, which are no longer here."""
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
        # Nobody may be waiting for it.
        answer.exception()
