"""One attempt to confirm one bill's debit: an immutable value that names the next action. No I/O.

The caller carries out the action that `do` names, and passes the result to one method, which returns the next value:

    ACT     carry out `command` on the record          answered(answer)
    SEARCH  read the bill, by search; singly where     showed(reading)
            the search does not show it
    READ    read the bill by a single read begun now   showed(reading)
    CHECK   read the store's birth                     checked(id)
    SEND    send, unless `may_begin` says no           returned(outcome), or unauthorized() after a 401
    WAIT    pause as `wait` says, then make a new attempt
    END     nothing; `end` is the result
"""

from __future__ import annotations

import enum
from typing import Any

import attrs

from enkash_async._money.debit_commands import (
    Accepted,
    Answer,
    Claim,
    Command,
    Contradicted,
    Go,
    Looked,
    MarkSent,
    Mine,
    Noted,
    Older,
    Outcome,
    Reading,
    Renew,
    Settle,
    Stale,
    Unclear,
    Wait,
)
from enkash_async._money.debit_record import Debit

__all__ = ["Attempt", "Do", "End"]

_SENDINGS = 2  # the first sending, and a second one after a 401 and a new login


class Do(enum.Enum):
    """The next action of an attempt."""

    ACT = "act"
    SEARCH = "search"
    READ = "read"
    CHECK = "check"
    SEND = "send"
    WAIT = "wait"
    END = "end"


class End(enum.Enum):
    """The result of an attempt."""

    DEBITED = "EnKash said yes, now or before, or shows the debit"
    REFUSED = "EnKash refused it clearly"
    NOT_SENT = "nothing was sent, and a new attempt may be made at once"
    UNCLEAR = "it was sent, and may be carried out within the window"
    UNREADABLE = "the bill does not say whether it waits for its debit; nothing was sent by this attempt"
    CONTRADICTED = "EnKash said yes, and shows no debit"


@attrs.frozen
class Attempt:
    """One attempt to confirm the debit of one bill.

    Each new attempt takes a new `by`. Prevents a double debit: if the store loses a write, the record of an attempt
    that has sent may still say *claimed*, and a second attempt with the same `by` would send again.

    Attributes:
        by: Random id, unique to the attempt.
        created: Whether a create of this step made the bill, and its reply shows that the debit waits. The bill is then
            not read, unless the record says that a confirmation may have been sent while this step was paused.
        reads: False skips the first read of the bill, for `check_first=False`. The record and the single read before a
            second confirmation are never skipped.
        alone: Whether the bill needs a call of its own.
        doubted: Whether the caller has read the bill as unconfirmed. If the record says *accepted*, a single read then
            checks the record.
    """

    by: str
    created: bool = False
    reads: bool = True
    doubted: bool = False
    do: Do = Do.ACT
    command: Command | None = attrs.field(default=attrs.Factory(lambda self: Claim(self.by), takes_self=True))
    alone: bool = False
    sending: int = 1
    seen: Debit | None = None
    store: str = ""
    wait: Wait | None = None
    end: End | None = None

    def answered(self, answer: Answer) -> Attempt:
        """Return the attempt after the answer to `command`."""
        match answer:
            case Mine():
                return self._claimed(answer)
            case Accepted(seen, is_settled=True) if self.doubted:
                return attrs.evolve(self, do=Do.READ, seen=seen)
            case Older(seen):
                return attrs.evolve(self, do=Do.READ, seen=seen)
            case Wait(why="sent"):
                return attrs.evolve(self, do=Do.READ, wait=answer)
            case Wait():
                return attrs.evolve(self, do=Do.WAIT, wait=answer)
            case Stale():
                return self._act(Renew(self.by))
            case Go(store):
                return attrs.evolve(self, do=Do.CHECK, store=store)
            case Noted():
                return self._act(MarkSent(self.by, self.sending)) if self.end is None else self._ended(self.end)
            case _:
                return self._ended(_ENDS.get(type(answer), End.NOT_SENT))

    def _claimed(self, mine: Mine) -> Attempt:
        if mine.again or not self.reads or (self.created and mine.is_new):
            return self._act(MarkSent(self.by), alone=mine.alone)
        return attrs.evolve(self, do=Do.SEARCH, alone=mine.alone)

    def showed(self, reading: Reading) -> Attempt:
        """Return the attempt after a read."""
        if self.seen is not None:
            return self._act(Looked(self.by, self.seen, reading))
        if reading is Reading.CONFIRMED:
            return self._settled(Outcome.ACCEPTED, End.DEBITED)
        if self.wait is not None:
            return attrs.evolve(self, do=Do.WAIT)
        if reading is Reading.UNCONFIRMED:
            return self._act(MarkSent(self.by, self.sending))
        return self._settled(Outcome.NEVER_SENT, End.UNREADABLE)

    def checked(self, birth: str | None) -> Attempt:
        """Return the attempt after a read of the store's birth; a changed id means that the store was emptied."""
        if birth == self.store:
            return attrs.evolve(self, do=Do.SEND)
        return self._settled(Outcome.NEVER_SENT, End.NOT_SENT)

    def returned(self, outcome: Outcome) -> Attempt:
        """Return the attempt after a sending."""
        return self._settled(outcome, _AFTER[outcome])

    def unauthorized(self) -> Attempt:
        """Return the attempt after a 401, which debits nothing: next, write *sent* again, and send with a new token."""
        if self.sending == _SENDINGS:
            return self._settled(Outcome.REFUSED, End.REFUSED)
        return self._act(MarkSent(self.by, self.sending + 1), sending=self.sending + 1)

    def _act(self, command: Command, **known: Any) -> Attempt:
        return attrs.evolve(self, do=Do.ACT, command=command, **known)

    def _settled(self, outcome: Outcome, end: End) -> Attempt:
        return self._act(Settle(self.by, outcome), end=end)

    def _ended(self, end: End) -> Attempt:
        return attrs.evolve(self, do=Do.END, command=None, end=end)


_ENDS: dict[type[Answer], End] = {
    Accepted: End.DEBITED,
    Contradicted: End.CONTRADICTED,
    Unclear: End.UNREADABLE,
}
_AFTER = {
    Outcome.ACCEPTED: End.DEBITED,
    Outcome.REFUSED: End.REFUSED,
    Outcome.REFUSED_TOGETHER: End.UNCLEAR,
    Outcome.NEVER_SENT: End.NOT_SENT,
    Outcome.UNCLEAR: End.UNCLEAR,
}
