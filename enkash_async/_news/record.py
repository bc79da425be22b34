"""The record of one bill's news, as the store keeps it."""

from __future__ import annotations

import attrs

from enkash_async.stores import DocumentCodec, RecordKind

__all__ = ["DURATIONS", "NEWS", "Durations", "Hold", "News"]


@attrs.frozen
class Durations:
    """How long things last, in seconds; only tests change them.

    Attributes:
        lease: How long a claim holds unless it is extended. After a worker dies, other workers wait this long for its
            bill.
        first_pause: First pause before a worker retries the claim of a bill that another worker holds; each further
            pause doubles.
        longest_pause: The longest of these pauses.
        looks: Pauses between looks at a bill while the API may lag behind the post.
        keep: How long a record is kept after its last change. EnKash documents no resends, and other services resend
            for less than a week.
    """

    lease: float = 30.0
    first_pause: float = 0.05
    longest_pause: float = 1.0
    looks: tuple[float, ...] = (0.5, 1.5)
    keep: float = 7 * 24 * 3600.0


#: The durations of every receiver outside tests.
DURATIONS = Durations()


@attrs.frozen
class Hold:
    """The claim of one attempt at handling a bill's news.

    Attributes:
        by: Unique id of the attempt.
        at: When the attempt claimed or last extended its claim, on the store's clock.
        lease: Seconds from `at` for which the claim holds.
    """

    by: str
    at: float
    lease: float


@attrs.frozen
class News:
    """What was handed to the handler about one bill.

    Attributes:
        now: Time of the last change on the store's clock.
        told: Hashes of states that were handed over, the latest last. With a client, it holds only the latest state;
            without a client, the latest 32 posts.
        number: Number of the latest event. It grows with each state that is handed over, so that a state that comes
            back is a new event.
        is_open: Whether the handler was given the latest state and has not returned successfully yet.
        hold: The current claim, or None.
        revision: Number of changes; makes every version of the record unique.
    """

    now: float
    told: tuple[str, ...] = ()
    number: int = 0
    is_open: bool = False
    hold: Hold | None = None
    revision: int = 0

    @property
    def last(self) -> str:
        """Hash of the last state that the handler took; empty if there is none, or if a later state is unfinished."""
        return "" if self.is_open or not self.told else self.told[-1]

    def seconds_held(self, now: float) -> float:
        """Return for how many more seconds the current claim holds; 0 without a claim."""
        return 0.0 if self.hold is None else max(0.0, self.hold.at + self.hold.lease - now)

    def moved_back(self, now: float) -> News:
        """If the store's clock was set back, move the instants back too, so that every age stays the same."""
        back = self.now - now
        if back <= 0:
            return self
        hold = None if self.hold is None else attrs.evolve(self.hold, at=self.hold.at - back)
        return attrs.evolve(self, now=now, hold=hold)


#: How the store keeps the record. A record in a newer format raises an error, and is not overwritten.
NEWS = RecordKind(DocumentCodec(News), keep=DURATIONS.keep)
