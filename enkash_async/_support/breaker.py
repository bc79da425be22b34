"""Circuit breaker for a store: while the store is down, callers fail at once instead of waiting for a time-out."""

from __future__ import annotations

import threading
from collections.abc import Callable

from enkash_async.errors import EnkashError

__all__ = ["CircuitBreaker"]

_FAILURES = 3  # failures in a row after which the store counts as down
_PROBE_EVERY = 1.0  # seconds between probes of a store that is down, give or take a quarter to spread the processes
_PROBE_LASTS = 5.0  # seconds after which another probe may start, although the last one has no result yet


class CircuitBreaker:
    """The circuit breaker of one store in one process.

    Three failures in a row open it. While it is open, every caller is refused at once, except for one probe at a time.
    A probe that works closes it.

    Args:
        error: Makes the error for a refused caller from the text of the last failure.
        clock: Returns monotonic seconds.
        random: Returns a number in [0, 1), which spreads the probes.
    """

    def __init__(
        self, *, error: Callable[[str], EnkashError], clock: Callable[[], float], random: Callable[[], float]
    ) -> None:
        self._error = error
        self._clock = clock
        self._random = random
        self._lock = threading.Lock()
        self._failures = 0
        self._look_at = 0.0
        self._why = ""

    @property
    def is_down(self) -> bool:
        """Whether the breaker is open: the store counts as down."""
        return self._failures >= _FAILURES

    def enter(self) -> None:
        """Ask for permission to send a command to the store.

        Raises:
            EnkashError: The store is down, and no probe is due.
        """
        with self._lock:
            if not self.is_down:
                return
            now = self._clock()
            # Another event loop's clock may be far ahead of this one's: its time of look would keep the store down.
            if now >= self._look_at or now + _PROBE_LASTS < self._look_at:
                self._look_at = now + _PROBE_LASTS  # this caller probes; `failed` schedules the next probe
                return
            why = self._why
        raise self._error(why)

    def worked(self) -> None:
        """Record that the store answered."""
        self._failures = 0

    def failed(self, why: str) -> None:
        """Record that the store did not answer, and why."""
        with self._lock:
            self._failures += 1
            self._why = why
            self._look_at = self._clock() + _PROBE_EVERY * (0.75 + self._random() / 2)
