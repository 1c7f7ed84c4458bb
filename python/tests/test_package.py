"""The package as a whole: who imports whom, what is documented, and names that earlier programs use."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest
from fake_bus import FakeBus

import arqonbus
from arqonbus import ArqonBusClient, ArqonBusError

PACKAGE = Path(arqonbus.__file__).parent


def imports(module: Path) -> set[str]:
    """The modules of this package that a module imports, for types only or not."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            found |= {node.module} if node.module else {alias.name for alias in node.names}
    return found


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = {path.stem: imports(path) for path in PACKAGE.glob("*.py")}
    assert len(graph) > 15
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " → ".join((*trail, name))
        if name not in done:
            for other in sorted(graph[name]):
                visit(other, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def public_members() -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    objects = [getattr(arqonbus, name) for name in arqonbus.__all__]
    objects += [type(part) for part in parts_of_a_client()]
    for thing in objects:
        is_ours = getattr(thing, "__module__", "").startswith("arqonbus")
        if not is_ours or not (inspect.isclass(thing) or inspect.isfunction(thing)):
            continue
        found.append((thing.__name__, thing))
        if not inspect.isclass(thing):
            continue
        for name, member in vars(thing).items():
            is_method = inspect.isfunction(member) or isinstance(member, property | classmethod)
            if is_method and not name.startswith("_") and member.__doc__ is not None:
                found.append((f"{thing.__name__}.{name}", member))
    return found


def test_every_public_name_has_an_example() -> None:
    members = public_members()
    assert len(members) > 80
    # What only the client itself asks.
    internal = {"last_received", "has_partial", "is_receiving", "abort", "drained", "offer", "conclude", "take"}
    internal |= {"from_envelope", "from_wire"}
    without = [
        name
        for name, thing in members
        if ">>>" not in (thing.__doc__ or "") and name.rpartition(".")[2] not in internal
    ]
    assert without == []


def test_every_method_of_the_client_is_documented() -> None:
    for name in dir(ArqonBusClient):
        if not name.startswith("_"):
            assert ">>>" in (getattr(ArqonBusClient, name).__doc__ or ""), name


async def test_the_names_of_earlier_programs(bus: FakeBus) -> None:
    from arqonbus.sdk import ArqonBusClient as Earlier

    client = Earlier(ws_url=bus.url, jwt_token="a.b.c")
    assert client.connected is False
    await client.connect()
    assert client.connected is True
    assert bus.headers[0]["Authorization"] == "Bearer a.b.c"
    await client.close()
    assert client.connected is False
    with pytest.raises(ArqonBusError, match="another name"):
        Earlier(bus.url, ws_url=bus.url)
    with pytest.raises(ArqonBusError, match="16-64 characters"):
        Earlier(client_key="short")


def test_every_name_stands_in_the_table_of_both_clients() -> None:
    table = (PACKAGE.parents[1] / "docs" / "sdk.md").read_text(encoding="utf-8")
    rows = [line.split("|") for line in table.splitlines() if line.startswith("| ")]
    named = set(re.findall(r"\w+", "\n".join(row[2] for row in rows if len(row) > 3)))
    wanted: set[str] = set()
    kinds = (arqonbus.Subscription, arqonbus.GroupSubscription, arqonbus.PresenceSet, arqonbus.Delivery, arqonbus.Lease)
    kinds = (*kinds, arqonbus.TokenStream)
    for kind in (ArqonBusClient, *kinds, *map(type, parts_of_a_client())):
        for name, member in inspect.getmembers(kind):
            # A message is a dict, and nobody but the client makes what it gives.
            is_of_dict = issubclass(kind, dict) and hasattr(dict, name)
            if is_of_dict or (name.startswith("_") and (name, kind) != ("__init__", ArqonBusClient)):
                continue
            wanted |= {name} - {"__init__"}
            if inspect.isfunction(member):
                wanted |= set(inspect.signature(member).parameters) - {"self", "args", "profile"}
    results = (arqonbus.Ack, arqonbus.Joined, arqonbus.Reset, arqonbus.StoreEntry, arqonbus.Queued, arqonbus.Frame)
    results = (*results, arqonbus.StreamEnd)
    for result in (*results, arqonbus.HistoryPage, arqonbus.Receipt, arqonbus.Member, arqonbus.PresenceChange):
        wanted |= set(result.__dataclass_fields__)
    wanted |= set(arqonbus.PublishOptions.__annotations__) | set(arqonbus.Sender.__dataclass_fields__)
    exported = [getattr(arqonbus, name) for name in arqonbus.__all__]
    wanted |= {each.__name__ for each in exported if inspect.isclass(each) and issubclass(each, ArqonBusError)}
    # What only the client itself asks, and what stands for the options, which the table names one by one.
    wanted -= {"drained", "conclude", "take", "options"}
    # What the server's commands are given is the protocol's own; the table names the methods.
    wanted -= operator_arguments()
    assert len(wanted) > 90
    assert sorted(wanted - named) == []


def parts_of_a_client() -> list[object]:
    client = ArqonBusClient()
    return [client.store, client.leases, client.groups, client.cron, client.webhooks, client.casil, client.omega]


def operator_arguments() -> set[str]:
    found: set[str] = set()
    for part in parts_of_a_client()[1:]:
        for _, member in inspect.getmembers(part, inspect.ismethod):
            found |= set(inspect.signature(member).parameters)
    return found
