"""Leases: keys that one holder has for a time, renewed for as long as it is there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator, Sequence
from types import TracebackType
from typing import Any

from .address import given
from .commands import MAX_WAIT_MS
from .envelope import JsonObject
from .errors import ArqonBusError, BusError, ConnectError, LeaseLost, RequestTimeout, invalid_argument
from .outgoing import SendCommand

_NEEDS = frozenset(["leases"])
#: A lease is renewed when this part of its time is over.
_RENEW_AFTER = 1 / 3

log = logging.getLogger("arqonbus")


class Leases:
    """``client.leases``: one at a time, whoever asks from wherever.

    >>> async with client.leases.acquire(["jobs/1"], ttl_seconds=30) as lease:
    ...     await work(lease.token)
    """

    def __init__(self, send_command: SendCommand, request_timeout: float):
        self._send_command = send_command
        self._request_timeout = request_timeout

    def acquire(
        self,
        keys: str | Sequence[str],
        *,
        ttl_seconds: float = 30.0,
        wait_ms: float | None = None,
        keep: bool = False,
        namespace: str | None = None,
    ) -> Acquisition:
        """Takes up to 32 keys, all of them or none, and renews them until they are released.

        ``async with`` releases on leaving; awaited instead, :meth:`Lease.release` does. Raises :class:`BusError`
        ``CONFLICT`` when a key is held by another (``details``: ``key``, ``expires_at``) and ``wait_ms`` is over.

        >>> async with client.leases.acquire("printer/3", ttl_seconds=30, wait_ms=10_000) as lease:
        ...     await printer.print(pages, fencing_token=lease.token)

        :param ttl_seconds: how long the keys stay taken when this client cannot renew them any more
        :param wait_ms: how long to wait for keys that are held by others, milliseconds
        :param keep: the lease outlives the last connection of its owner, until its time is over
        """
        names = [keys] if isinstance(keys, str) else list(keys)
        if not names:
            raise invalid_argument('"keys" names no key.', field="keys")
        args = {"keys": names, "ttl_seconds": ttl_seconds, **given(keep=keep or None, namespace=namespace)}
        return Acquisition(Lease(self._send_command, args, ttl_seconds), wait_ms, self._request_timeout)

    async def renew(self, lease_id: str, *, ttl_seconds: float | None = None) -> JsonObject:
        """Begins the time of a lease anew, for as long as before or for ``ttl_seconds``. Raises :class:`LeaseLost`.

        What :meth:`acquire` gave is renewed by itself.

        >>> print((await client.leases.renew(lease_id))["expires_at"])
        """
        args = {"lease_id": lease_id, **given(ttl_seconds=ttl_seconds)}
        return await self._send_command("op.lease.renew", args, needs=_NEEDS)

    async def release(self, lease_id: str) -> None:
        """Gives the keys of a lease back. Raises :class:`LeaseLost` when it has ended.

        >>> await client.leases.release(lease_id)
        """
        await self._send_command("op.lease.release", {"lease_id": lease_id}, needs=_NEEDS)

    async def list(self, *, limit: int | None = None, after: str | None = None) -> Sequence[JsonObject]:
        """This client's leases, and others whose keys it may read.

        >>> for lease in await client.leases.list():
        ...     print(lease["keys"], lease["expires_at"])
        """
        result = await self._send_command("op.lease.list", given(limit=limit, after=after), needs=_NEEDS)
        return [*result["leases"]]


class Lease:
    """Keys that this client holds. A task renews them until :meth:`release`, or until they are lost.

    A holder that stood still may not know yet that it has lost them: give :attr:`token` to what the lease guards, and
    let that refuse a smaller token than it has seen.

    >>> lease = await client.leases.acquire(["jobs/1"])
    >>> print(lease.token, lease.expires_at)
    >>> await lease.release()
    """

    def __init__(self, send_command: SendCommand, args: JsonObject, ttl_seconds: float):
        self._send_command = send_command
        self._args = args
        self._ttl = ttl_seconds
        self._renewal: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()
        self._released = False
        self._renewed_at = 0.0
        self.id = ""
        #: Larger than that of every lease that has ended before.
        self.token = 0
        #: When it ends unless it is renewed, RFC 3339.
        self.expires_at = ""

    @property
    def keys(self) -> tuple[str, ...]:
        """What is held.

        >>> lease.keys
        ('jobs/1',)
        """
        return tuple(self._args["keys"])

    @property
    def held(self) -> bool:
        """Whether it is still held, as far as this client knows.

        >>> while lease.held:
        ...     await do_a_little()
        """
        return self._renewal is not None and not self._released and not self._lost.is_set()

    async def lost(self) -> None:
        """Waits until the lease is lost: it could not be renewed in time, or the server has ended it.

        >>> watch = asyncio.create_task(lease.lost())
        """
        await self._lost.wait()

    async def renew(self, *, ttl_seconds: float | None = None) -> None:
        """Begins its time anew, for as long as before or for ``ttl_seconds``. Raises :class:`LeaseLost`.

        It is renewed by itself; this is for another ``ttl_seconds``, and to be sure of it at this moment.

        >>> await lease.renew(ttl_seconds=300)
        """
        seconds = self._ttl if ttl_seconds is None else ttl_seconds
        asked_at = asyncio.get_running_loop().time()
        args = {"lease_id": self.id, "ttl_seconds": seconds}
        result = await self._send_command("op.lease.renew", args, needs=_NEEDS)
        self._ttl = seconds
        self._renewed(result, asked_at)

    async def release(self) -> None:
        """Gives the keys back. May be called again. Raises :class:`LeaseLost` when they were lost before.

        >>> await lease.release()
        """
        if self._released:
            return
        self._released = True
        if self._renewal is not None:
            self._renewal.cancel()
        if self._lost.is_set():
            raise LeaseLost("LEASE_LOST", f"The lease of {', '.join(self.keys)} has ended before it was released.")
        try:
            await self._send_command("op.lease.release", {"lease_id": self.id}, needs=_NEEDS)
        except ConnectError:
            log.debug("a lease ends with its time: there is no line to release it on")

    async def take(self, wait_ms: float | None, request_timeout: float) -> None:
        loop = asyncio.get_running_loop()
        end = None if wait_ms is None else loop.time() + wait_ms / 1000
        while True:
            args, timeout = dict(self._args), None
            if end is not None:
                left = min(MAX_WAIT_MS, max(0, round((end - loop.time()) * 1000)))
                args["wait_ms"], timeout = left, left / 1000 + request_timeout
            asked_at = loop.time()
            try:
                result = await self._send_command(
                    "op.lease.acquire", args, timeout=timeout, needs=_NEEDS, waits=end is not None
                )
                break
            except BusError as error:
                # The server waits for a part of a long time only.
                if error.code != "CONFLICT" or end is None or loop.time() >= end:
                    raise
                if loop.time() - asked_at < args["wait_ms"] / 2000:
                    raise
        self.id, self.token = str(result["lease_id"]), int(result["token"])
        self._renewed(result, loop.time() if end is not None else asked_at)
        self._renewal = asyncio.create_task(self._renew(), name="arqonbus-lease")

    def _renewed(self, result: JsonObject, at: float) -> None:
        self.expires_at = str(result["expires_at"])
        self._renewed_at = at

    async def _renew(self) -> None:
        """Renews until the time is over without an answer: then others may have the keys."""
        loop = asyncio.get_running_loop()
        wait = self._ttl * _RENEW_AFTER
        try:
            while True:
                await asyncio.sleep(wait)
                left = self._renewed_at + self._ttl - loop.time()
                if left <= 0:
                    return
                asked_at = loop.time()
                try:
                    args = {"lease_id": self.id, "ttl_seconds": self._ttl}
                    result = await self._send_command("op.lease.renew", args, timeout=left, needs=_NEEDS)
                    self._renewed(result, asked_at)
                    wait = self._ttl * _RENEW_AFTER
                except (ConnectError, RequestTimeout, BusError) as error:
                    if isinstance(error, LeaseLost) or not error.retryable:
                        return
                    wait = min(1.0, left / 10)
        except ArqonBusError as error:
            log.warning("a lease could not be renewed: %s", error)
        finally:
            if not self._released:
                log.warning("the lease of %s is lost", ", ".join(self.keys))
                self._lost.set()


class Acquisition:
    """A lease that is about to be taken: ``async with``, or ``await``.

    >>> async with client.leases.acquire(["jobs/1"]) as lease:
    ...     print(lease.token)
    """

    def __init__(self, lease: Lease, wait_ms: float | None, request_timeout: float):
        self._lease = lease
        self._wait_ms = wait_ms
        self._request_timeout = request_timeout

    def __await__(self) -> Generator[Any, None, Lease]:
        return self._take().__await__()

    async def _take(self) -> Lease:
        await self._lease.take(self._wait_ms, self._request_timeout)
        return self._lease

    async def __aenter__(self) -> Lease:
        return await self._take()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Releases. Raises :class:`LeaseLost` when the lease ended before the block did."""
        try:
            await self._lease.release()
        except ArqonBusError:
            # What went wrong in the block matters more.
            if kind is None:
                raise
