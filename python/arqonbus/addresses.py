"""Selects which URL of the bus to connect to next, and the earliest time for it."""

from __future__ import annotations

from asyncio import get_running_loop
from collections.abc import Callable, Sequence


class Addresses:
    """The URLs of one bus, one of which is current."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = tuple(urls)
        self._at = 0
        # Earliest connect time requested for each (`Retry-After`), in event loop time.
        self._barred_until: dict[int, float] = {}

    def __len__(self) -> int:
        return len(self._urls)

    @property
    def current(self) -> str:
        """The URL in use, or the next one to connect to."""
        return self._urls[self._at]

    @property
    def wait(self) -> float:
        """Seconds to wait before connecting to the current one."""
        return self._wait(self._at)

    def bar(self, seconds: float) -> None:
        """Records that the current one requested a wait of ``seconds``."""
        self._barred_until[self._at] = get_running_loop().time() + seconds

    def move_on(self, draw: Callable[[], float] | None = None) -> None:
        """Moves to the next URL that may be connected to, otherwise to the one available soonest.

        :param draw: returns numbers in [0, 1); given after an open connection. A random other URL is then tried first,
            so that the clients of a failed node spread over all remaining ones
        """
        count = len(self._urls)
        skipped = int(draw() * (count - 1)) if draw is not None and count > 2 else 0
        others = [(self._at + 1 + (skipped + step) % (count - 1)) % count for step in range(count - 1)]
        # The first of those available equally soon is chosen, so the current one only when it is the only one.
        self._at = min((*others, self._at), key=self._wait)

    def _wait(self, index: int) -> float:
        until = self._barred_until.get(index)
        return 0 if until is None else max(0, until - get_running_loop().time())
