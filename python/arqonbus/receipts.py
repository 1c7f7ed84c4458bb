"""Acks, and the later receipts that report how a message was handled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal
from weakref import WeakValueDictionary

from .address import MAILBOX_ROOM
from .envelope import Envelope
from .errors import RequestTimeout, invalid_argument

#: ``handled``: it was acknowledged. ``rejected``: it became a dead letter. ``expired``: its TTL passed first.
Stage = Literal["handled", "rejected", "expired"]

#: Sender id of the server; clients cannot use it.
_SERVER = "arqonbus"
#: Number of receipt ids remembered, to drop duplicates.
_MAX_TOLD = 1_000


@dataclass(frozen=True)
class Receipt:
    """The outcome of a message sent with ``receipt=``. Also passed to ``on("receipt")``.

    >>> client.on("receipt", lambda receipt: print(receipt.id, receipt.stage, receipt.by))
    """

    #: The id of the message.
    id: str
    stage: Stage
    #: The subject that handled it; None when it has no subject, and when nobody handled it.
    by: str | None
    #: Number of delivery attempts.
    attempts: int

    @classmethod
    def from_envelope(cls, envelope: Envelope) -> Receipt | None:
        """Reads a receipt from an ``ack`` or a mailbox message. Returns None for any other envelope."""
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
    """The pending receipt of one message."""

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
            # Mark the exception as retrieved: the future may have no waiter.
            self._receipt.exception()


class Receipts:
    """The receipts a client is waiting for. Each is kept as long as its :class:`Ack`."""

    def __init__(self) -> None:
        self._awaited: WeakValueDictionary[str, AwaitedReceipt] = WeakValueDictionary()
        #: The ids of recent receipts, oldest first.
        self._told: dict[str, None] = {}

    def expect(self, id: str) -> AwaitedReceipt:
        awaited = AwaitedReceipt()
        self._awaited[id] = awaited
        return awaited

    def take(self, envelope: Envelope, tell: Callable[[Receipt], object]) -> bool:
        """Handles an envelope that is a receipt, and reports it unless it is a duplicate. False for any other."""
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
    """The server's acknowledgement of a message (PROTOCOL section 6).

    ``stored`` is the only statement on durability: ``none``, ``memory``, ``disk`` or ``replicated``. ``duplicate``
    means that this id was accepted before. ``sequence`` and ``epoch`` are None for private messages and for traffic
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
    #: The mailboxes (``@NAME``) that keep the message until it is read, the backlog of the fullest one, and the age of
    #: its oldest message in milliseconds.
    queued: tuple[str, ...] = ()
    pending: int | None = None
    oldest_ms: float | None = None
    #: For a delayed event: the job id for ``client.cron.cancel()``, and when it is due, RFC 3339.
    job_id: str | None = None
    deliver_at: str | None = None
    #: The pending receipt, if one was requested.
    awaited: AwaitedReceipt | None = field(default=None, repr=False, compare=False)

    async def handled(self, timeout: float | None = None) -> Receipt:
        """Waits for the receipt requested with ``receipt=``.

        With several recipients the first receipt counts; all of them go to ``on("receipt")``. Raises
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
