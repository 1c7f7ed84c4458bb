"""What the server answers to a message at once, and what it tells later of what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal
from weakref import WeakValueDictionary

from .address import MAILBOX_ROOM
from .envelope import Envelope
from .errors import RequestTimeout, invalid_argument

#: ``handled``: somebody has acknowledged it. ``rejected``: nobody could deal with it, it is a dead letter now.
#: ``expired``: its time was over before.
Stage = Literal["handled", "rejected", "expired"]

#: Whom the server writes as; no client can.
_SERVER = "arqonbus"
#: Receipts that are remembered, so that one that comes twice is told once.
_MAX_TOLD = 1_000


@dataclass(frozen=True)
class Receipt:
    """What became of a message that was sent with ``receipt=``. Also told by ``on("receipt")``.

    >>> client.on("receipt", lambda receipt: print(receipt.id, receipt.stage, receipt.by))
    """

    #: The id of the message.
    id: str
    stage: Stage
    #: The subject that dealt with it; None when it has none, and when nobody did.
    by: str | None
    #: How often it was handed out.
    attempts: int

    @classmethod
    def from_envelope(cls, envelope: Envelope) -> Receipt | None:
        """Reads what tells a stage: an ``ack``, or what waited in a mailbox. None for any other envelope."""
        payload = envelope["payload"]
        stage, by = payload.get("stage"), payload.get("by")
        is_mail = (envelope["type"], envelope.get("room"), envelope.get("from")) == ("private", MAILBOX_ROOM, _SERVER)
        if not (envelope["type"] == "ack" or is_mail) or stage not in ("handled", "rejected", "expired"):
            return None
        if "request_id" not in envelope:
            return None
        subject = by.get("subject") if isinstance(by, dict) else None
        return cls(str(envelope.get("request_id", "")), stage, subject, int(payload.get("attempts") or 0))


class AwaitedReceipt:
    """The receipt of one message, as long as somebody is interested in it."""

    def __init__(self) -> None:
        self._receipt: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()

    async def wait(self, timeout: float | None) -> Receipt:
        await asyncio.wait((self._receipt,), timeout=timeout)
        if not self._receipt.done():
            raise RequestTimeout(f"No receipt within {timeout:g} s.")
        return self._receipt.result()

    def settle(self, receipt: Receipt) -> None:
        if not self._receipt.done():
            self._receipt.set_result(receipt)

    def fail(self, error: BaseException) -> None:
        if not self._receipt.done():
            self._receipt.set_exception(error)
            # Nobody may be waiting for it.
            self._receipt.exception()


class Receipts:
    """The receipts that a client waits for. Each is kept for as long as its :class:`Ack` is."""

    def __init__(self) -> None:
        self._awaited: WeakValueDictionary[str, AwaitedReceipt] = WeakValueDictionary()
        #: The ids of the last receipts, oldest first.
        self._told: dict[str, None] = {}

    def expect(self, id: str) -> AwaitedReceipt:
        awaited = AwaitedReceipt()
        self._awaited[id] = awaited
        return awaited

    def take(self, envelope: Envelope, tell: Callable[[Receipt], object]) -> bool:
        """Takes an envelope that is a receipt, and tells it unless it was told before. False for any other."""
        receipt = Receipt.from_envelope(envelope)
        if receipt is None:
            return False
        if envelope["id"] in self._told:
            return True
        self._told[envelope["id"]] = None
        if len(self._told) > _MAX_TOLD:
            del self._told[next(iter(self._told))]
        awaited = self._awaited.get(receipt.id)
        if awaited is not None:
            awaited.settle(receipt)
        tell(receipt)
        return True

    def end(self, error: BaseException) -> None:
        for awaited in list(self._awaited.values()):
            awaited.fail(error)


@dataclass(frozen=True)
class Ack:
    """The server's receipt (PROTOCOL section 6).

    ``stored`` is the only word on durability: ``none``, ``memory``, ``disk`` or ``replicated``. ``duplicate`` says
    that this id had been accepted before. ``sequence`` and ``epoch`` are None for private messages and for traffic
    that was not stored.

    >>> ack = await client.publish("science:explore", {"n": 1})
    >>> print(ack.sequence, ack.stored, ack.delivered)
    """

    id: str
    sequence: int | None
    epoch: str | None
    delivered: int
    duplicate: bool
    stored: str
    undelivered: tuple[str, ...] = ()
    #: The mailboxes (``@NAME``) that keep the message until it is read, what waits in the fullest of them, and for how
    #: many milliseconds the oldest of that has waited.
    queued: tuple[str, ...] = ()
    pending: int | None = None
    oldest_ms: float | None = None
    #: Of an event for later: the job that ``client.cron.cancel()`` takes, and when it is due, RFC 3339.
    job_id: str | None = None
    deliver_at: str | None = None
    #: What tells of the receipt, when one was asked for.
    awaited: AwaitedReceipt | None = field(default=None, repr=False, compare=False)

    async def handled(self, timeout: float | None = None) -> Receipt:
        """Waits for the receipt that ``receipt=`` asked for: what became of the message.

        Of several recipients the first receipt counts; all of them come to ``on("receipt")``. Raises
        :class:`RequestTimeout` after ``timeout`` seconds, and :class:`ConnectionClosed` when the client ends.

        >>> ack = await client.send("@ada", {"text": "hello"}, receipt=True)
        >>> print((await ack.handled(timeout=60.0)).stage)
        handled
        """
        if self.awaited is None:
            raise invalid_argument("No receipt was asked for; send with receipt=True.", field="receipt")
        return await self.awaited.wait(timeout)

    @classmethod
    def from_envelope(cls, envelope: Envelope, awaited: AwaitedReceipt | None = None) -> Ack:
        payload = envelope["payload"]
        return cls(
            id=envelope.get("request_id", ""),
            sequence=payload.get("sequence") or None,
            epoch=payload.get("epoch") or None,
            delivered=payload.get("delivered", 0),
            duplicate=payload.get("duplicate", False),
            stored=payload.get("stored", "none"),
            undelivered=tuple(payload.get("undelivered", ())),
            queued=tuple(payload.get("queued", ())),
            pending=payload.get("pending"),
            oldest_ms=payload.get("oldest_ms"),
            job_id=payload.get("job_id"),
            deliver_at=payload.get("deliver_at"),
            awaited=awaited,
        )
