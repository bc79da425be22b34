"""Instants on two clocks, so that no single wrong clock makes a debit look older than it is."""

from __future__ import annotations

import attrs

__all__ = ["DURATIONS", "Durations", "Instant"]


@attrs.frozen
class Durations:
    """The durations of the debit machine, in seconds. They are not options: only tests scale them.

    Attributes:
        window: Time within which EnKash carries out a confirmation and shows the debit: 150 s until EnKash has acted,
            10 s until it shows the debit, and 20 s by which a lost write may shorten the window.
        begin_within: Longest time from before *sent* is written until the first byte of the body is sent. Also the
            greatest age of a claim over which *sent* may be written.
        between_looks: Pause between the two single reads that must show a bill unconfirmed before its record is
            released.
        keep: Time from the last change of a record until the store deletes it.
    """

    window: float = 180.0
    begin_within: float = 20.0
    between_looks: float = 15.0
    keep: float = 35 * 86_400.0

    @property
    def settled_after(self) -> float:
        """Seconds from a record's instant after which its confirmation can no longer be in flight."""
        return self.begin_within + self.window

    def scaled(self, factor: float) -> Durations:
        """Return durations multiplied by a factor, for tests; `keep` stays the same."""
        return Durations(self.window * factor, self.begin_within * factor, self.between_looks * factor, self.keep)


DURATIONS = Durations()


@attrs.frozen
class Instant:
    """One instant, in seconds on two clocks.

    Attributes:
        store: On the clock of the server that holds the record.
        wall: On the wall clock of the process, since 1970.
    """

    store: float
    wall: float

    def age(self, now: Instant) -> float:
        """Return the smaller of the two ages, so that one clock that was set ahead cannot end a window early."""
        return max(0.0, min(now.store - self.store, now.wall - self.wall))

    def greater_age(self, now: Instant) -> float:
        """Return the greater of the two ages."""
        return max(0.0, now.store - self.store, now.wall - self.wall)

    def left(self, lasts: float, now: Instant) -> float:
        """Return the seconds left of a duration of `lasts` seconds that began at this instant; 0 at its end."""
        return max(0.0, lasts - self.age(now))

    def is_ahead(self, now: Instant) -> bool:
        """Whether this instant lies in the future on either clock: then that clock was set back."""
        return self.store > now.store or self.wall > now.wall

    def brought_back(self, now: Instant) -> Instant:
        """Return the instant; a time that lies in the future is set to now, so that its age grows from now on."""
        return Instant(min(self.store, now.store), min(self.wall, now.wall)) if self.is_ahead(now) else self
