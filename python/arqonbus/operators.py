"""Key-value state, timed events and webhooks: the server's ``op.*`` commands."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from .arguments import given, place
from .envelope import JsonObject
from .feed import OnReset
from .results import StoreEntry
from .watch import StoreWatch, Watches

#: :meth:`ArqonBusClient.command`.
RunCommand = Callable[..., Awaitable[JsonObject]]


class Store:
    """``client.store``: JSON values by key, in namespaces inside the tenant."""

    def __init__(self, run: RunCommand, watches: Watches, feed_limit: int):
        self._run = run
        self._watches = watches
        self._feed_limit = feed_limit

    async def get(self, key: str, *, namespace: str | None = None) -> StoreEntry | None:
        """The entry of a key; None when there is none."""
        result = await self._run("op.store.get", key=key, **given(namespace=namespace))
        if not result["found"]:
            return None
        return StoreEntry(result.get("value"), result["version"], result.get("expires_at"))

    async def set(
        self,
        key: str,
        value: Any,
        *,
        namespace: str | None = None,
        ttl_seconds: float | None = None,
        if_version: int | None = None,
    ) -> int:
        """Sets a key (any JSON value up to 64 KiB) and answers its version.

        ``if_version`` makes it a compare-and-set: the version the key must have now, 0 for a key that must not exist.
        Otherwise :class:`BusError` ``CONFLICT``, with ``current_version`` in its details.
        """
        options = given(namespace=namespace, ttl_seconds=ttl_seconds, if_version=if_version)
        result = await self._run("op.store.set", key=key, value=value, **options)
        return int(result["version"])

    async def delete(self, key: str, *, namespace: str | None = None, if_version: int | None = None) -> bool:
        """Deletes a key; False when there was none."""
        result = await self._run("op.store.delete", key=key, **given(namespace=namespace, if_version=if_version))
        return result["deleted"] is True

    async def keys(
        self, prefix: str | None = None, *, namespace: str | None = None, limit: int = 100, after: str | None = None
    ) -> list[str]:
        """Up to ``limit`` keys in order, after the key ``after``."""
        options = given(prefix=prefix, namespace=namespace, after=after)
        return list((await self._run("op.store.list", limit=limit, **options))["keys"])

    def watch(
        self, prefix: str | None = None, *, namespace: str | None = None, on_reset: OnReset | None = None
    ) -> StoreWatch:
        """Changes of the keys with ``prefix``: ``async for change in client.store.watch("jobs/")``."""
        return StoreWatch(self._watches, namespace or "default", prefix or "", on_reset, self._feed_limit)


class Cron:
    """``client.cron``: events that the server publishes at their time."""

    def __init__(self, run: RunCommand):
        self._run = run

    async def schedule(
        self,
        address: str,
        payload: Mapping[str, Any],
        *,
        delay_seconds: float | None = None,
        interval_seconds: float | None = None,
        repeat_count: int | None = None,
        cron: str | None = None,
        timezone: str | None = None,
        durable: bool | None = None,
        catch_up: bool | None = None,
    ) -> JsonObject:
        """Schedules an event and answers the job (``job_id``, ``next_run_at``, ...).

        Either after a delay, repeated at an interval (``repeat_count`` 0: until cancelled), or by a cron expression
        of 5 or 6 fields in an IANA time zone. A job that is not durable ends with its owner's last connection.
        """
        options = given(
            delay_seconds=delay_seconds,
            interval_seconds=interval_seconds,
            repeat_count=repeat_count,
            cron=cron,
            timezone=timezone,
            durable=durable,
            catch_up=catch_up,
        )
        return await self._run("op.cron.schedule", **place(address), payload=dict(payload), **options)

    async def list(self) -> list[JsonObject]:
        return [*(await self._run("op.cron.list"))["jobs"]]

    async def cancel(self, job_id: str) -> None:
        """Raises :class:`BusError` ``NOT_FOUND`` for a job that is none."""
        await self._run("op.cron.cancel", job_id=job_id)


class Webhooks:
    """``client.webhooks``: events that the server POSTs to a URL."""

    def __init__(self, run: RunCommand):
        self._run = run

    async def register(
        self,
        url: str,
        address: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
        secret: str | None = None,
        durable: bool | None = None,
    ) -> JsonObject:
        """Registers a rule and answers it (``rule_id``, ...). Without an address every event of the tenant matches.

        ``secret`` (``whsec_`` and base64) signs the deliveries by the Standard Webhooks scheme.
        """
        options = given(headers=headers, timeout_seconds=timeout_seconds, secret=secret, durable=durable)
        where = {} if address is None else place(address)
        return await self._run("op.webhook.register", url=url, **where, **options)

    async def list(self) -> list[JsonObject]:
        return [*(await self._run("op.webhook.list"))["rules"]]

    async def unregister(self, rule_id: str) -> None:
        await self._run("op.webhook.unregister", rule_id=rule_id)

    async def dead_letters(self, rule_id: str) -> Sequence[JsonObject]:
        """Deliveries that failed for good."""
        return [*(await self._run("op.webhook.dead_letters", rule_id=rule_id))["dead_letters"]]

    async def retry(self, rule_id: str, delivery_id: str | None = None) -> int:
        """Queues dead letters again, one or all of them; answers how many."""
        result = await self._run("op.webhook.retry", rule_id=rule_id, **given(delivery_id=delivery_id))
        return int(result["requeued"])
