"""Every Python block of the README does what it says, against the real server."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import pytest
from server import RunningServer

pytestmark = pytest.mark.server

README = Path(__file__).resolve().parents[1] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
#: What a block prints, among other things.
PRINTED = ["Connected to ArqonBus", "stored: memory", "6", "CONFLICT the present version is 1", ""]


@pytest.mark.parametrize(("block", "printed"), list(zip(BLOCKS, PRINTED, strict=True)), ids=PRINTED)
async def test_block(server: RunningServer, block: str, printed: str) -> None:
    at_server = block.replace("ArqonBusClient()", f'ArqonBusClient("{server.url}")')
    at_server = at_server.replace("ws://127.0.0.1:9100", server.url)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", at_server, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, errors) == (0, b"")
    assert printed in output.decode()
