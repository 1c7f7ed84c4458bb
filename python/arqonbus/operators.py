"""Key-value state, scheduled events, webhooks and policies: the server's ``op.*`` commands."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping, Sequence
from typing import Any

from .address import given, place
from .envelope import JsonObject
from .feed import OnReset
from .results import StoreEntry, StoreKeys
from .watch import StoreWatch, Watches

#: :meth:`ArqonBusClient.command`.
RunCommand = Callable[..., Awaitable[JsonObject]]


class Store:
    """``client.store``: JSON values by key, in namespaces within the tenant.

    >>> version = await client.store.set("jobs/1", {"state": "new"})
    """

    def __init__(self, run: RunCommand, watches: Watches, feed_limit: int):
        self._run = run
        self._watches = watches
        self._feed_limit = feed_limit

    async def get(self, key: str, *, namespace: str | None = None) -> StoreEntry | None:
        """The entry of a key; None when there is none.

        >>> entry = await client.store.get("jobs/1")
        """
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
        """Sets a key (any JSON value up to 64 KiB) and returns its version.

        ``if_version`` makes it a compare-and-set: the key's current version, 0 for a key that must not exist. Otherwise
        raises :class:`BusError` ``CONFLICT``, with ``current_version`` in its details.

        >>> await client.store.set("jobs/1", {"state": "done"}, if_version=7)
        """
        options = given(namespace=namespace, ttl_seconds=ttl_seconds, if_version=if_version)
        result = await self._run("op.store.set", key=key, value=value, **options)
        return int(result["version"])

    async def delete(self, key: str, *, namespace: str | None = None, if_version: int | None = None) -> bool:
        """Deletes a key; returns False when it did not exist.

        >>> await client.store.delete("jobs/1")
        """
        result = await self._run("op.store.delete", key=key, **given(namespace=namespace, if_version=if_version))
        return result["deleted"] is True

    async def list(
        self,
        prefix: str | None = None,
        *,
        namespace: str | None = None,
        limit: int = 100,
        after: str | None = None,
        values: bool = False,
    ) -> StoreKeys:
        """One page of keys, in order, after the key ``after``; with ``values`` including their values.

        >>> page = await client.store.list("jobs/", limit=50, values=True)
        >>> print(page.entries["jobs/1"].value)
        """
        options = given(prefix=prefix, namespace=namespace, after=after, values=values or None)
        result = await self._run("op.store.list", limit=limit, **options)
        entries = {
            entry["key"]: StoreEntry(entry.get("value"), entry["version"], entry.get("expires_at"))
            for entry in result.get("entries", ())
        }
        return StoreKeys([*result["keys"]], result.get("next"), entries)

    def keys(
        self, prefix: str | None = None, *, namespace: str | None = None, limit: int = 100, after: str | None = None
    ) -> Keys:
        """All keys, fetched page by page during iteration; awaiting it instead returns the first ``limit`` keys.

        >>> async for key in client.store.keys("jobs/"):
        ...     print(key)
        """

        async def ask(after: str | None) -> StoreKeys:
            return await self.list(prefix, namespace=namespace, limit=limit, after=after)

        return Keys(ask, after)

    def watch(
        self, prefix: str | None = None, *, namespace: str | None = None, on_reset: OnReset | None = None
    ) -> StoreWatch:
        """Watches changes of keys with ``prefix``; re-established on every new connection.

        >>> async for change in client.store.watch("jobs/"):
        ...     print(change.key, change.operation)
        """
        return StoreWatch(self._watches, namespace or "default", prefix or "", on_reset, self._feed_limit)


class Keys:
    """Keys of the store, in order: iterate all of them, or await the first page.

    >>> first = await client.store.keys("jobs/", limit=10)
    """

    def __init__(self, ask: Callable[[str | None], Awaitable[StoreKeys]], after: str | None):
        self._ask = ask
        self._after = after

    def __await__(self) -> Generator[Any, None, Sequence[str]]:
        return self._first().__await__()

    async def _first(self) -> Sequence[str]:
        return (await self._ask(self._after)).keys

    async def __aiter__(self) -> AsyncIterator[str]:
        after = self._after
        while True:
            page = await self._ask(after)
            for key in page.keys:
                yield key
            if page.next is None:
                return
            after = page.next


class Cron:
    """``client.cron``: scheduled events that the server publishes.

    >>> job = await client.cron.schedule("science:tick", {"beat": 1}, cron="0 9 * * 1-5")
    """

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
        """Schedules an event and returns the job (``job_id``, ``next_run_at``, ...).

        Either after a delay, repeated at an interval (``repeat_count`` 0: until cancelled), or by a cron expression of
        5 or 6 fields in an IANA time zone. A job that is not durable ends with its owner's last connection.

        >>> job = await client.cron.schedule("science:tick", {"beat": 1}, interval_seconds=60, repeat_count=0)
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

    async def list(self) -> Sequence[JsonObject]:
        """The jobs of this client, or of all clients for an admin.

        >>> for job in await client.cron.list():
        ...     print(job["job_id"], job["next_run_at"])
        """
        return [*(await self._run("op.cron.list"))["jobs"]]

    async def cancel(self, job_id: str) -> None:
        """Cancels a job. Raises :class:`BusError` ``NOT_FOUND`` when it does not exist.

        >>> await client.cron.cancel(job["job_id"])
        """
        await self._run("op.cron.cancel", job_id=job_id)


class Webhooks:
    """``client.webhooks``: events that the server POSTs to a URL.

    >>> rule = await client.webhooks.register("https://example.org/hook", "science")
    """

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
        on: Sequence[str] | None = None,
    ) -> JsonObject:
        """Registers a rule and returns it (``rule_id``, ...). Without an address every event of the tenant matches.

        ``secret`` (``whsec_`` and base64) signs the deliveries with the Standard Webhooks scheme. ``on`` lists what to
        post: ``message`` (default), ``client_joined``, ``client_left``, ``occupied``, ``vacated``.

        >>> rule = await client.webhooks.register("https://example.org/hook", "science:explore", secret=secret)
        """
        options = given(headers=headers, timeout_seconds=timeout_seconds, secret=secret, durable=durable, on=on)
        where = {} if address is None else place(address)
        return await self._run("op.webhook.register", url=url, **where, **options)

    async def list(self) -> Sequence[JsonObject]:
        """The rules of this client, or of all clients for an admin.

        >>> for rule in await client.webhooks.list():
        ...     print(rule["rule_id"], rule["url"])
        """
        return [*(await self._run("op.webhook.list"))["rules"]]

    async def unregister(self, rule_id: str) -> None:
        """Removes a rule.

        >>> await client.webhooks.unregister(rule["rule_id"])
        """
        await self._run("op.webhook.unregister", rule_id=rule_id)

    async def dead_letters(self, rule_id: str) -> Sequence[JsonObject]:
        """Deliveries that failed permanently.

        >>> for letter in await client.webhooks.dead_letters(rule["rule_id"]):
        ...     print(letter["delivery_id"])
        """
        return [*(await self._run("op.webhook.dead_letters", rule_id=rule_id))["dead_letters"]]

    async def retry(self, rule_id: str, delivery_id: str | None = None) -> int:
        """Requeues one dead letter or all of them; returns how many.

        >>> await client.webhooks.retry(rule["rule_id"])
        """
        result = await self._run("op.webhook.retry", rule_id=rule_id, **given(delivery_id=delivery_id))
        return int(result["requeued"])


class Casil:
    """``client.casil``: the content policy in force.

    >>> print((await client.casil.get())["mode"])
    """

    def __init__(self, run: RunCommand):
        self._run = run

    async def get(self) -> JsonObject:
        """The policy.

        >>> policy = await client.casil.get()
        """
        return await self._run("op.casil.get")

    async def reload(self, **settings: Any) -> JsonObject:
        """Changes the policy and returns it. Needs ``admin``.

        >>> await client.casil.reload(mode="enforce")
        """
        return await self._run("op.casil.reload", **settings)


class Omega:
    """``client.omega``: the experimental lane; all but :meth:`status` fail with ``FEATURE_DISABLED`` when it is off.

    >>> print((await client.omega.status())["enabled"])
    """

    def __init__(self, run: RunCommand):
        self._run = run

    async def status(self) -> JsonObject:
        """Whether the lane is enabled, and its statistics.

        >>> status = await client.omega.status()
        """
        return await self._run("op.omega.status")

    async def register_substrate(self, name: str, kind: str, *, metadata: JsonObject | None = None) -> JsonObject:
        """Registers a substrate and returns it (``substrate_id``, ...).

        >>> substrate = await client.omega.register_substrate("grid", "lattice")
        """
        return await self._run("op.omega.register_substrate", name=name, kind=kind, **given(metadata=metadata))

    async def list_substrates(self) -> Sequence[JsonObject]:
        """The substrates.

        >>> substrates = await client.omega.list_substrates()
        """
        return [*(await self._run("op.omega.list_substrates"))["substrates"]]

    async def unregister_substrate(self, substrate_id: str) -> JsonObject:
        """Removes a substrate and its events.

        >>> await client.omega.unregister_substrate(substrate["substrate_id"])
        """
        return await self._run("op.omega.unregister_substrate", substrate_id=substrate_id)

    async def emit_event(self, substrate_id: str, signal: str, *, payload: JsonObject | None = None) -> JsonObject:
        """Emits an event of a substrate and returns it.

        >>> await client.omega.emit_event(substrate["substrate_id"], "pulse", payload={"n": 1})
        """
        options = given(payload=payload)
        return await self._run("op.omega.emit_event", substrate_id=substrate_id, signal=signal, **options)

    async def list_events(
        self, *, substrate_id: str | None = None, signal: str | None = None, limit: int | None = None
    ) -> Sequence[JsonObject]:
        """The stored events, oldest first.

        >>> events = await client.omega.list_events(signal="pulse", limit=10)
        """
        options = given(substrate_id=substrate_id, signal=signal, limit=limit)
        return [*(await self._run("op.omega.list_events", **options))["events"]]

    async def clear_events(self, *, substrate_id: str | None = None, signal: str | None = None) -> JsonObject:
        """Deletes events; returns how many were deleted and how many remain.

        >>> await client.omega.clear_events(signal="pulse")
        """
        return await self._run("op.omega.clear_events", **given(substrate_id=substrate_id, signal=signal))
