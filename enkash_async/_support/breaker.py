"""Whether a store can be reached, so that callers do not pay its time-out each."""

from __future__ import annotations

import threading
from collections.abc import Callable

from enkash_async.errors import EnkashError

__all__ = ["CircuitBreaker"]

_FAILURES = 3  # in a row, after which the store counts as down
_PROBE_EVERY = 1.0  # seconds between looks at a store that is down, spread a little
_PROBE_LASTS = 5.0  # seconds after which a look that has brought no answer is not waited for


class CircuitBreaker:
    """The down-marker of one store in one process.

    Three failures in a row mark it down. From then on everybody is refused at once, save for one look at a time,
    which brings it back.

    Args:
        error: Makes the error that refuses, from a text.
        clock: Monotonic seconds.
        random: Returns a number in [0, 1).
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
        """Whether the store counts as down."""
        return self._failures >= _FAILURES

    def enter(self) -> None:
        """Ask to send something.

        Raises:
            EnkashError: The store is down, and this is not the time to look.
        """
        with self._lock:
            if not self.is_down:
                return
            now = self._clock()
            if now >= self._look_at:
                self._look_at = now + _PROBE_LASTS  # this is the one look; the next one may follow when it has failed
                return
            why = self._why
        raise self._error(why)

    def worked(self) -> None:
        """Note that the store has answered."""
        self._failures = 0

    def failed(self, why: str) -> None:
        """Note that it has not, and why."""
        with self._lock:
            self._failures += 1
            self._why = why
            self._look_at = self._clock() + _PROBE_EVERY * (0.75 + self._random() / 2)
