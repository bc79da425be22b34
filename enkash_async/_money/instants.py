"""Instants on two clocks, so that no single wrong clock makes a debit look older than it is."""

from __future__ import annotations

import attrs

__all__ = ["DURATIONS", "Durations", "Instant"]


@attrs.frozen
class Durations:
    """How long things last, in seconds; not an option: tests alone scale them.

    Attributes:
        window: Within which EnKash has carried out what it was sent, and shows it: 150 s late, and 10 s of display, and
            20 s that a lost write may take off.
        begin_within: From before *sent* is written until the first byte of the body; a claim may be as old when *sent*
            is written over it.
        between_looks: Between the two single reads that show a bill unconfirmed before its record is released.
        keep: From the last change of a record until the store forgets it.
    """

    window: float = 180.0
    begin_within: float = 20.0
    between_looks: float = 15.0
    keep: float = 35 * 86_400.0

    @property
    def settled_after(self) -> float:
        """Seconds from the instant of a record after which its confirmation is not under way any more."""
        return self.begin_within + self.window

    def scaled(self, factor: float) -> Durations:
        """Return the durations of a test in which time passes faster; records are kept as long."""
        return Durations(self.window * factor, self.begin_within * factor, self.between_looks * factor, self.keep)


DURATIONS = Durations()


@attrs.frozen
class Instant:
    """One instant, or now, in seconds.

    Attributes:
        store: On the clock of the server that holds the record.
        wall: On the wall clock of the process, since 1970.
    """

    store: float
    wall: float

    def age(self, now: Instant) -> float:
        """Return the smaller of the two ages; one clock that was put ahead ends no window early."""
        return max(0.0, min(now.store - self.store, now.wall - self.wall))

    def greater_age(self, now: Instant) -> float:
        """Return the greater of the two ages."""
        return max(0.0, now.store - self.store, now.wall - self.wall)

    def left(self, lasts: float, now: Instant) -> float:
        """Return the seconds left of a duration, 0 at its end."""
        return max(0.0, lasts - self.age(now))

    def is_ahead(self, now: Instant) -> bool:
        """Whether this instant lies in the future of either clock, which was then put back."""
        return self.store > now.store or self.wall > now.wall

    def brought_back(self, now: Instant) -> Instant:
        """Return the instant with whatever lies in the future replaced by now, so that its age grows from here on."""
        return Instant(min(self.store, now.store), min(self.wall, now.wall)) if self.is_ahead(now) else self
