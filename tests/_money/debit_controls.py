"""The debit machine with one rule taken out: the model must find each of them out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import attrs

from enkash_async._money.debit import decide
from enkash_async._money.debit_commands import Answer, Command, Here, Looked, MarkSent, Reading, Renew, Stale
from enkash_async._money.debit_record import Debit
from enkash_async._money.instants import Instant

__all__ = [
    "claims_end_early",
    "clamped_without_writing",
    "ignores_others",
    "renewed_and_sent_at_once",
    "store_never_young",
    "stores_clock_alone",
    "unreadable_is_unconfirmed",
    "wall_clocks_alone",
]

Step = tuple[Debit | None, Answer]

_CLAIM_LEASE = 30.0
_HOUR = 3_600.0


def claims_end_early(debit: Debit | None, command: Command, here: Here) -> Step:
    """A claim holds others back for half a minute only."""
    if debit is None or debit.state != "claimed" or debit.at.age(here.now) < _CLAIM_LEASE:
        return decide(debit, command, here)
    aged = attrs.evolve(debit, at=Instant(debit.at.store - _HOUR, debit.at.wall - _HOUR))
    after, answer = decide(aged, command, here)
    return debit if after == aged else after, answer


def ignores_others(debit: Debit | None, command: Command, here: Here) -> Step:
    """A record of another attempt counts as none."""
    is_own = debit is not None and debit.by == getattr(command, "by", debit.by)
    return decide(debit if is_own else None, command, here)


def stores_clock_alone(debit: Debit | None, command: Command, here: Here) -> Step:
    """The age of a record is by the store's clock."""
    at = here.birth.at.store if here.birth is not None else 0.0
    birth = None if here.birth is None else attrs.evolve(here.birth, at=Instant(at, at))
    return decide(debit, command, attrs.evolve(here, now=Instant(here.now.store, here.now.store), birth=birth))


def wall_clocks_alone(debit: Debit | None, command: Command, here: Here) -> Step:
    """The age of a record is by the wall clocks of writer and reader."""
    at = here.birth.at.wall if here.birth is not None else 0.0
    birth = None if here.birth is None else attrs.evolve(here.birth, at=Instant(at, at))
    return decide(debit, command, attrs.evolve(here, now=Instant(here.now.wall, here.now.wall), birth=birth))


@contextmanager
def _left_as_it_is() -> Iterator[None]:
    kept = Instant.brought_back
    Instant.brought_back = lambda self, now: self  # type: ignore[method-assign]  # one rule taken out
    try:
        yield
    finally:
        Instant.brought_back = kept  # type: ignore[method-assign]


def clamped_without_writing(debit: Debit | None, command: Command, here: Here) -> Step:
    """An instant in the future counts as now at each look, and stays in the future."""
    with _left_as_it_is():
        return decide(debit, command, here)


def store_never_young(debit: Debit | None, command: Command, here: Here) -> Step:
    """What the store does not know was not sent, however new the store is."""
    birth = None if here.birth is None else attrs.evolve(here.birth, nothing_pending=True)
    return decide(debit, command, attrs.evolve(here, birth=birth))


def renewed_and_sent_at_once(debit: Debit | None, command: Command, here: Here) -> Step:
    """*Sent* is written over an old record, without renewing it first."""
    after, answer = decide(debit, command, here)
    if isinstance(command, MarkSent) and isinstance(answer, Stale):
        renewed, _ = decide(debit, Renew(command.by), here)
        return decide(renewed, command, here)
    return after, answer


def unreadable_is_unconfirmed(debit: Debit | None, command: Command, here: Here) -> Step:
    """After the window, a bill that cannot be read is taken for one that waits."""
    if isinstance(command, Looked) and command.reading is Reading.UNCLEAR:
        command = attrs.evolve(command, reading=Reading.UNCONFIRMED)
    return decide(debit, command, here)
