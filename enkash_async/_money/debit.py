"""The debit machine: who may confirm the debit of a bill, and when.

The life of a debit: an attempt *claims* the bill, reads it, writes down that it *sends*, and sends. A yes makes the
record *accepted*; a clear refusal, or a confirmation that never went out, takes it away; after an unclear end it stays
*sent*. Nobody else sends while a claim or a confirmation is younger than the window. After that, a single read that
began after the window decides: plainly unconfirmed, and the reader claims; confirmed, and the debit is accepted;
anything else, and nobody knows. A store that is younger than the window does not know what was sent before it began,
so it lets only those bills through that a create of its own time brought forth.

`decide(debit, command, here)` is pure and the only way to change a record.
"""

from __future__ import annotations

from typing import assert_never

import attrs

from enkash_async._money.debit_commands import (
    Accepted,
    Answer,
    Changed,
    Claim,
    Command,
    Contradicted,
    Free,
    Go,
    Gone,
    Here,
    Looked,
    MarkSent,
    Mine,
    NoteCreated,
    Noted,
    Older,
    Outcome,
    Reading,
    Release,
    Released,
    Renew,
    Settle,
    Stale,
    Unborn,
    Unclear,
    Wait,
)
from enkash_async._money.debit_record import Debit
from enkash_async._money.instants import DURATIONS, Durations, Instant

__all__ = ["decide", "may_begin"]

_Step = tuple[Debit | None, Answer]


def may_begin(before_sent: float, now: float, durations: Durations = DURATIONS) -> bool:
    """Whether the body of a confirmation may still be begun.

    Prevents a double debit: a process that stood still between *sent* and the first byte would send after its window,
    when another process has read the bill unconfirmed.

    Args:
        before_sent: Seconds on a clock that runs on during suspend, read before *sent* was written.
        now: The same clock, now.
    """
    return now - before_sent < durations.begin_within


def decide(debit: Debit | None, command: Command, here: Here, durations: Durations = DURATIONS) -> _Step:
    """Return the record after a command, and the answer; an equal record where nothing changed."""
    found = None if debit is None else _brought_back(debit, here)
    after, answer = _decide(found, command, here, durations)
    if after is None or after == debit:
        return after, answer
    revision = 1 if debit is None else debit.revision + 1
    return attrs.evolve(after, revision=revision, writer=here.writer), answer


def _brought_back(debit: Debit, here: Here) -> Debit:
    """Return the record with an instant in the future replaced by now: otherwise its window would end hours late."""
    at = debit.at.brought_back(here.now)
    return debit if at is debit.at else attrs.evolve(debit, at=at)


def _decide(debit: Debit | None, command: Command, here: Here, durations: Durations) -> _Step:
    match command:
        case Claim():
            return _claim(debit, command, here, durations)
        case Looked():
            return _looked(debit, command, here, durations)
        case Renew():
            return _renew(debit, command, here)
        case MarkSent():
            return _mark_sent(debit, command, here, durations)
        case Settle():
            return _settle(debit, command, here), Noted()
        case NoteCreated():
            return _note_created(debit, command, here), Noted()
        case Release():
            return _release(debit, command, here, durations)
        case _:
            assert_never(command)


# --- may this attempt send? -------------------------------------------------------------------------------------------


def _claim(debit: Debit | None, claim: Claim, here: Here, durations: Durations) -> _Step:
    if debit is None or debit.state == "created":
        return _first_claim(debit, claim, here, durations)
    if debit.state == "accepted":
        return debit, Accepted(debit, is_settled=_is_settled(debit, here, durations))
    if debit.state == "claimed" and debit.by == claim.by:  # by a swap whose reply was lost
        return debit, _mine(debit)
    if not _is_settled(debit, here, durations):
        return debit, Wait(debit.at.left(durations.settled_after, here.now), debit.state)
    return debit, _too_young(here, durations) or Older(debit)


def _first_claim(debit: Debit | None, claim: Claim, here: Here, durations: Durations) -> _Step:
    obstacle = _too_young(here, durations)
    is_new = debit is not None and here.birth is not None and debit.store == here.birth.id
    if obstacle is not None and (isinstance(obstacle, Unborn) or not is_new):
        return debit, obstacle
    if not claim.begins:
        return debit, Free()
    claimed = Debit("claimed", claim.by, here.now, store=_store(here), is_new=is_new)
    return claimed, _mine(claimed)


def _mine(debit: Debit) -> Mine:
    return Mine(debit.again, debit.alone, debit.is_new)


def _too_young(here: Here, durations: Durations) -> Unborn | Wait | None:
    """Return why a bill that the store knows nothing of has to wait, if it has to."""
    if here.birth is None or here.birth.at.is_ahead(here.now):
        return Unborn()
    seconds = here.birth.seconds_until_old(here.now, durations)
    return Wait(seconds, "store") if seconds > 0 else None


def _is_settled(debit: Debit, here: Here, durations: Durations) -> bool:
    """Whether what this record tells of is not under way any more."""
    return debit.at.left(durations.settled_after, here.now) <= 0


def _looked(debit: Debit | None, look: Looked, here: Here, durations: Durations) -> _Step:
    if debit is not None and debit.state == "claimed" and debit.by == look.by:  # by a swap whose reply was lost
        return debit, _mine(debit)
    if debit is None or debit != look.seen or not _is_settled(debit, here, durations):
        return debit, Changed()
    if look.reading is Reading.CONFIRMED:
        after = debit if debit.state == "accepted" else _accepted(debit, look.by, here.now)
        return after, Accepted(after)
    if debit.state == "accepted":
        return debit, Contradicted() if look.reading is Reading.UNCONFIRMED else Accepted(debit, is_settled=True)
    if look.reading is Reading.UNCLEAR:
        return debit, Unclear()
    obstacle = _too_young(here, durations)
    if obstacle is not None:
        return debit, obstacle
    claimed = Debit("claimed", look.by, here.now, store=_store(here), again=True, alone=debit.alone)
    return claimed, _mine(claimed)


# --- sending ----------------------------------------------------------------------------------------------------------


def _is_own(debit: Debit | None, by: str) -> bool:
    return debit is not None and debit.by == by and debit.state in {"claimed", "sent"}


def _renew(debit: Debit | None, renew: Renew, here: Here) -> _Step:
    if debit is None or not _is_own(debit, renew.by):
        return debit, Gone()
    return attrs.evolve(debit, at=here.now), Noted()


def _mark_sent(debit: Debit | None, mark: MarkSent, here: Here, durations: Durations) -> _Step:
    """Write *sent* over a record that is nearly as young.

    Prevents a double debit when the store loses this write: what it then holds keeps others away for nearly as long.
    """
    if debit is None or not _is_own(debit, mark.by):
        return debit, Gone()
    if debit.state == "sent" and debit.sending >= mark.sending:  # by a swap whose reply was lost
        return debit, Go(debit.store)
    if debit.at.greater_age(here.now) >= durations.begin_within:
        return debit, Stale()
    return attrs.evolve(debit, state="sent", at=here.now, sending=mark.sending, is_new=False), Go(debit.store)


# --- what it came to --------------------------------------------------------------------------------------------------


def _settle(debit: Debit | None, report: Settle, here: Here) -> Debit | None:
    if report.outcome is Outcome.ACCEPTED:
        return debit if debit is not None and debit.state == "accepted" else _accepted(debit, report.by, here.now)
    if debit is None or not _is_own(debit, report.by):
        return debit
    match report.outcome:
        case Outcome.REFUSED:
            return None
        case Outcome.NEVER_SENT:
            return _never_sent(debit)
        case Outcome.REFUSED_TOGETHER:
            return attrs.evolve(debit, alone=True)
        case Outcome.UNCLEAR:
            return debit
        case _:
            assert_never(report.outcome)


def _accepted(debit: Debit | None, by: str, now: Instant) -> Debit:
    """Return the record of a debit that EnKash made; also over another attempt's claim, which it stops."""
    return Debit("accepted", by, now) if debit is None else attrs.evolve(debit, state="accepted", by=by, at=now)


def _never_sent(debit: Debit) -> Debit | None:
    if debit.is_new:
        return attrs.evolve(debit, state="created")
    return None


def _note_created(debit: Debit | None, note: NoteCreated, here: Here) -> Debit | None:
    """Note a new bill, unless the store began anew while its create was under way."""
    if debit is not None or note.store != _store(here):
        return debit
    return Debit("created", note.by, here.now, store=note.store)


def _release(debit: Debit | None, release: Release, here: Here, durations: Durations) -> _Step:
    if debit is None or debit != release.seen or debit.state not in {"sent", "accepted"}:
        return debit, Changed()
    if not _is_settled(debit, here, durations):
        return debit, Wait(debit.at.left(durations.settled_after, here.now), "sent")
    return None, Released()


def _store(here: Here) -> str:
    return "" if here.birth is None else here.birth.id
