"""Leases: keys with one holder at a time, renewed until they are released."""

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
#: Fraction of the TTL after which a lease is renewed.
_RENEW_AFTER = 1 / 3

log = logging.getLogger("arqonbus")


class Leases:
    """``client.leases``: locks shared by all clients, one holder at a time.

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
        """Acquires up to 32 keys, all or none, and renews them until they are released.

        ``async with`` releases the lease on leaving; when awaited instead, call :meth:`Lease.release`. Raises
        :class:`BusError` ``CONFLICT`` when a key is held by another client (``details``: ``key``, ``expires_at``) and
        ``wait_ms`` has passed.

        >>> async with client.leases.acquire("printer/3", ttl_seconds=30, wait_ms=10_000) as lease:
        ...     await printer.print(pages, fencing_token=lease.token)

        :param ttl_seconds: how long the keys stay held after the last renewal
        :param wait_ms: how long to wait for keys held by others, in milliseconds
        :param keep: keep the lease after its owner's last connection, until it expires
        """
        names = [keys] if isinstance(keys, str) else list(keys)
        if not names:
            raise invalid_argument('"keys" names no key.', field="keys")
        args = {"keys": names, "ttl_seconds": ttl_seconds, **given(keep=keep or None, namespace=namespace)}
        return Acquisition(Lease(self._send_command, args, ttl_seconds), wait_ms, self._request_timeout)

    async def renew(self, lease_id: str, *, ttl_seconds: float | None = None) -> JsonObject:
        """Renews a lease, for the same time as before or for ``ttl_seconds``. Raises :class:`LeaseLost`.

        Leases from :meth:`acquire` are renewed automatically.

        >>> print((await client.leases.renew(lease_id))["expires_at"])
        """
        args = {"lease_id": lease_id, **given(ttl_seconds=ttl_seconds)}
        return await self._send_command("op.lease.renew", args, needs=_NEEDS)

    async def release(self, lease_id: str) -> None:
        """Releases a lease. Raises :class:`LeaseLost` when it has ended.

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
    """Keys held by this client. A task renews the lease until :meth:`release`, or until it is lost.

    A stalled holder may not know yet that it lost the lease: pass :attr:`token` to the protected resource as a fencing
    token, and have it refuse any token smaller than the largest it has seen.

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
        #: Larger than the token of every earlier lease.
        self.token = 0
        #: When it expires unless renewed, RFC 3339.
        self.expires_at = ""

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys held.

        >>> lease.keys
        ('jobs/1',)
        """
        return tuple(self._args["keys"])

    @property
    def held(self) -> bool:
        """Whether the lease is still held, as far as this client knows.

        >>> while lease.held:
        ...     await do_a_little()
        """
        return self._renewal is not None and not self._released and not self._lost.is_set()

    async def lost(self) -> None:
        """Waits until the lease is lost: it was not renewed in time, or the server ended it.

        >>> watch = asyncio.create_task(lease.lost())
        """
        await self._lost.wait()

    async def renew(self, *, ttl_seconds: float | None = None) -> None:
        """Renews the lease, for the same time as before or for ``ttl_seconds``. Raises :class:`LeaseLost`.

        Renewal is automatic; call this to change ``ttl_seconds``, or to verify that the lease is held right now.

        >>> await lease.renew(ttl_seconds=300)
        """
        seconds = self._ttl if ttl_seconds is None else ttl_seconds
        asked_at = asyncio.get_running_loop().time()
        args = {"lease_id": self.id, "ttl_seconds": seconds}
        result = await self._send_command("op.lease.renew", args, needs=_NEEDS)
        self._ttl = seconds
        self._renewed(result, asked_at)

    async def release(self) -> None:
        """Releases the keys. May be called again. Raises :class:`LeaseLost` when the lease was lost before.

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
                # The server caps each wait, so a long wait takes several commands.
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
        """Renews until the TTL passes without a response: after that, others may hold the keys."""
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
    """A lease to be acquired: ``async with``, or ``await``.

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
        """Releases the lease. Raises :class:`LeaseLost` when it ended before the block did."""
        try:
            await self._lease.release()
        except ArqonBusError:
            # The exception of the block takes precedence.
            if kind is None:
                raise
