"""The package as a whole: who imports whom, what is documented, and names that earlier programs use."""

from __future__ import annotations

import ast
import inspect
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
    objects += [type(getattr(ArqonBusClient(), name)) for name in ("store", "cron", "webhooks", "casil", "omega")]
    for thing in objects:
        if not inspect.isclass(thing) and not inspect.isfunction(thing):
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
    internal = {"last_received", "has_partial", "is_receiving", "abort", "drained", "offer"}
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
