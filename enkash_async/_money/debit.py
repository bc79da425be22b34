"""The debit machine: who may confirm the debit of a bill, and when.

The life of a debit: an attempt *claims* the bill, reads the bill, writes *sent*, and sends the confirmation. If EnKash
accepts it, the record becomes *accepted*. After a clear refusal, or if nothing was sent, the record is deleted or goes
back to *created*. After an unclear end, the record stays *sent*.

No other attempt sends while a claim or a confirmation is younger than the window. After the window, an attempt reads
the bill with a single read. If EnKash shows the bill as unconfirmed, the attempt claims it; if as confirmed, the
record becomes *accepted*; otherwise the outcome stays unknown. A store that is younger than the window does not know
what was sent before its birth, so it lets an attempt claim only the bills that were created after its birth.

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
    """Whether a process may still send the first byte of a confirmation's body.

    Prevents a double debit: process A writes *sent*, and is suspended. After the window, process B reads the bill as
    unconfirmed, and sends. Without this check, A would wake up and send too.

    Args:
        before_sent: Time before *sent* was written, in seconds, on a clock that counts time in suspend.
        now: The current time on the same clock.
        durations: The durations; only tests pass others.
    """
    return now - before_sent < durations.begin_within


def decide(debit: Debit | None, command: Command, here: Here, durations: Durations = DURATIONS) -> _Step:
    """Return the record after a command, and the answer; if nothing changed, the record is equal to `debit`."""
    found = None if debit is None else _brought_back(debit, here)
    after, answer = _decide(found, command, here, durations)
    if after is None or after == debit:
        return after, answer
    revision = 1 if debit is None else debit.revision + 1
    return attrs.evolve(after, revision=revision, writer=here.writer), answer


def _brought_back(debit: Debit, here: Here) -> Debit:
    """Return the record; an instant that lies in the future is set to now: otherwise the window would end late."""
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
    if debit.state == "claimed" and debit.by == claim.by:  # an earlier swap wrote this claim, but its reply was lost
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
    """Return why a bill without a record has to wait, or None if it need not wait."""
    if here.birth is None or here.birth.at.is_ahead(here.now):
        return Unborn()
    seconds = here.birth.seconds_until_old(here.now, durations)
    return Wait(seconds, "store") if seconds > 0 else None


def _is_settled(debit: Debit, here: Here, durations: Durations) -> bool:
    """Whether the window is over, so that no claim or confirmation of this record can be in flight."""
    return debit.at.left(durations.settled_after, here.now) <= 0


def _looked(debit: Debit | None, look: Looked, here: Here, durations: Durations) -> _Step:
    # An earlier swap wrote this claim, but its reply was lost.
    if debit is not None and debit.state == "claimed" and debit.by == look.by:
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
    """Write *sent*, but only over a record that was written or renewed less than `begin_within` ago.

    Prevents a double debit if the store loses this write: the older record that the store then holds keeps other
    attempts away for nearly as long as the lost record.
    """
    if debit is None or not _is_own(debit, mark.by):
        return debit, Gone()
    if debit.state == "sent" and debit.sending >= mark.sending:  # an earlier swap wrote *sent*, but its reply was lost
        return debit, Go(debit.store)
    if debit.at.greater_age(here.now) >= durations.begin_within:
        return debit, Stale()
    return attrs.evolve(debit, state="sent", at=here.now, sending=mark.sending, is_new=False), Go(debit.store)


# --- the outcome ------------------------------------------------------------------------------------------------------


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
    """Return the record of a debit that EnKash made. It replaces any claim, which stops the claim's attempt."""
    return Debit("accepted", by, now) if debit is None else attrs.evolve(debit, state="accepted", by=by, at=now)


def _never_sent(debit: Debit) -> Debit | None:
    if debit.is_new:
        return attrs.evolve(debit, state="created")
    return None


def _note_created(debit: Debit | None, note: NoteCreated, here: Here) -> Debit | None:
    """Note a new bill, unless the store was emptied while the create was in flight."""
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
