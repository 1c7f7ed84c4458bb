"""Which of the bus's addresses is dialled next, and when it may be at the soonest."""

from __future__ import annotations

from asyncio import get_running_loop
from collections.abc import Callable, Sequence


class Addresses:
    """The addresses of one bus, of which one is in use."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = tuple(urls)
        self._at = 0
        # Until when each asked not to be dialled (`Retry-After`), by the loop's time.
        self._barred_until: dict[int, float] = {}

    def __len__(self) -> int:
        return len(self._urls)

    @property
    def current(self) -> str:
        """The address in use, or the next one to dial."""
        return self._urls[self._at]

    @property
    def wait(self) -> float:
        """How long the current one wants to be left alone, in seconds."""
        return self._wait(self._at)

    def bar(self, seconds: float) -> None:
        """The current one asked not to be dialled for so long."""
        self._barred_until[self._at] = get_running_loop().time() + seconds

    def move_on(self, draw: Callable[[], float] | None = None) -> None:
        """To the next one that may be dialled, else to the one that may be the soonest.

        :param draw: gives numbers in [0, 1), after a connection that was open: any of the others comes first then, so that
            the clients of a node that goes spread over all that stay
        """
        count = len(self._urls)
        skipped = int(draw() * (count - 1)) if draw is not None and count > 2 else 0
        others = [(self._at + 1 + (skipped + step) % (count - 1)) % count for step in range(count - 1)]
        # Of those that may be dialled equally soon the first is taken, so the current one only where it is alone.
        self._at = min((*others, self._at), key=self._wait)

    def _wait(self, index: int) -> float:
        until = self._barred_until.get(index)
        return 0 if until is None else max(0, until - get_running_loop().time())
