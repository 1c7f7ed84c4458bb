"""Every Python block of the README does what it says, against the real server."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import pytest
from server import RunningServer, require_features

from arqonbus import ArqonBusClient

pytestmark = pytest.mark.server

README = Path(__file__).resolve().parents[1] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
#: What a block prints, among other things, and what the server has to offer for it.
PRINTED: list[tuple[str, set[str]]] = [
    ("Connected to ArqonBus", set()),
    ("stored: memory", set()),
    ("6", set()),
    ("15", {"groups", "requests"}),
    ("billed {'n': 2} at attempt 1", {"groups"}),
    ("grace wrote {'text': 'read this'}\nhandled", {"mailboxes", "receipts"}),
    ("Once upon a time", {"streams"}),
    ("[('Ada', {'mood': 'busy'})]", {"presence-state"}),
    ("holding ('printer/3', 'tray/a4') with the token", {"leases"}),
    ("CONFLICT the present version is", set()),
    ("", set()),
]


@pytest.mark.parametrize(
    ("block", "printed", "features"),
    [(block, *each) for block, each in zip(BLOCKS, PRINTED, strict=True)],
    ids=[printed for printed, _ in PRINTED],
)
async def test_block(server: RunningServer, block: str, printed: str, features: set[str]) -> None:
    async with ArqonBusClient(server.url) as client:
        require_features(client, features)
    # Where the example names no address.
    at_server = re.sub(r'ArqonBusClient\((?!\s*")', f'ArqonBusClient("{server.url}", ', block)
    at_server = at_server.replace("ws://127.0.0.1:9100", server.url)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", at_server, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, errors) == (0, b"")
    assert printed in output.decode()
