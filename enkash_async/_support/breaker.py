"""Circuit breaker for a store: while the store is down, callers fail at once instead of waiting for a time-out."""

from __future__ import annotations

import threading
from collections.abc import Callable

from enkash_async.errors import EnkashError

__all__ = ["CircuitBreaker"]

_FAILURES = 3  # failures in a row after which the store counts as down
_PROBE_EVERY = 1.0  # seconds between probes, varied by up to 25 % so that processes do not probe all at once
_PROBE_LASTS = 5.0  # seconds after which the next probe may start even if the last probe has no result yet


class CircuitBreaker:
    """The circuit breaker of one store in one process.

    Three failures in a row open the breaker. While the breaker is open, one caller at a time may probe the store, and
    every other caller is refused at once. A probe that the store answers closes the breaker.

    Args:
        error: Builds the error for a refused caller; takes the text of the last failure.
        clock: Returns monotonic seconds.
        random: Returns a number in [0, 1), for the variation of the pause between probes.
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
            # The second condition lets a probe through if an event loop whose clock is far ahead has set `_look_at`.
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
