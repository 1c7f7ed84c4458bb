"""The real server, started for the tests that need it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from arqonbus import ArqonBusClient

REPOSITORY = Path(__file__).resolve().parents[2]
#: Another server may be named, such as an installed one.
BINARY = Path(os.environ.get("ARQONBUS_TEST_SERVER", REPOSITORY / "packages" / "server" / "bin" / "arqon.js"))
#: The first start of a fresh checkout compiles the server.
_START_SECONDS = 120


class ServerMissing(Exception):
    """The real server cannot be started here."""


@dataclass
class RunningServer:
    process: subprocess.Popen[bytes]
    url: str
    http_url: str
    environment: dict[str, str]
    log: Path

    def stop(self) -> int:
        """Stops it as an operator would; answers its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def kill(self) -> None:
        """Ends it without warning."""
        self.process.kill()
        self.process.wait(20)

    def restart(self) -> None:
        """Starts it again on the same ports."""
        self.process = _launch(self.environment, self.log)
        _until_ready(self.process, self.http_url, self.log)


def require_features(client: ArqonBusClient, features: Collection[str]) -> None:
    """Skips a test of what the server does not offer."""
    missing = {*features} - {*client.welcome.get("features", ())}
    if missing:
        pytest.skip(f"NOT TESTED: the server does not offer {missing}")


@contextmanager
def running_server(**settings: str) -> Iterator[RunningServer]:
    """Starts the server on free ports with ``ARQONBUS_*`` settings, and stops it."""
    if shutil.which("node") is None or not BINARY.exists():
        raise ServerMissing(f"{BINARY} and Node.js are needed")
    with tempfile.TemporaryDirectory() as directory, _reserved_ports(2) as ports:
        environment = {
            **_inherited(os.environ),
            "ARQONBUS_SERVER_HOST": "127.0.0.1",
            "ARQONBUS_SERVER_PORT": str(ports[0]),
            "ARQONBUS_HTTP_PORT": str(ports[1]),
            "ARQONBUS_TELEMETRY_PORT": "0",
            "ARQONBUS_LOG_LEVEL": "warn",
            **settings,
        }
        http_url = f"http://127.0.0.1:{ports[1]}"
        log = Path(directory) / "server.log"
        server = RunningServer(_launch(environment, log), f"ws://127.0.0.1:{ports[0]}", http_url, environment, log)
        try:
            _until_ready(server.process, http_url, log)
            yield server
        finally:
            if server.process.poll() is None:
                server.process.terminate()
                try:
                    server.process.wait(20)
                except subprocess.TimeoutExpired:
                    server.kill()


def _inherited(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith("ARQONBUS_")}


def _launch(environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(["node", str(BINARY), "serve"], env=environment, stdout=output, stderr=output)


def _until_ready(process: subprocess.Popen[bytes], http_url: str, log: Path) -> None:
    """Nothing but asking tells that another process has come up."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}:\n{log.read_text()[-4000:]}")
        try:
            with urllib.request.urlopen(f"{http_url}/ready", timeout=1) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise RuntimeError(f"the server was not ready within {_START_SECONDS} s:\n{log.read_text()[-4000:]}")


@contextmanager
def _reserved_ports(count: int) -> Iterator[list[int]]:
    """Ports that nobody else is given meanwhile. Linux lets a server listen where a socket is bound that does not."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind(("127.0.0.1", 0))
        ports = [one.getsockname()[1] for one in sockets]
        if sys.platform != "linux":
            stack.close()
        yield ports
