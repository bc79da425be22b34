"""The commands that a process carries out on the record of a debit, and the answers."""

from __future__ import annotations

import enum
from typing import Literal, TypeAlias

import attrs

from enkash_async._money.birth import Birth
from enkash_async._money.debit_record import Debit
from enkash_async._money.instants import Instant

__all__ = [
    "Accepted",
    "Answer",
    "Changed",
    "Claim",
    "Command",
    "Contradicted",
    "Free",
    "Go",
    "Gone",
    "Here",
    "Looked",
    "MarkSent",
    "Mine",
    "NoteCreated",
    "Noted",
    "Older",
    "Outcome",
    "Reading",
    "Release",
    "Released",
    "Renew",
    "Settle",
    "Stale",
    "Unborn",
    "Unclear",
    "Wait",
]


@attrs.frozen
class Here:
    """The deciding process, the time, and the store's birth record.

    Attributes:
        now: The current time on the store's clock and on this process's wall clock.
        writer: Name of this process.
        birth: The store's birth record, read in the same call as the debit's record; None if the store has none.
    """

    now: Instant
    writer: str
    birth: Birth | None


class Reading(enum.Enum):
    """What a read shows of a bill's debit."""

    UNCONFIRMED = "plainly unconfirmed"
    CONFIRMED = "confirmed"
    UNCLEAR = "ambiguous, not found or not readable"


class Outcome(enum.Enum):
    """How a sending ended, or what a read shows of the debit."""

    ACCEPTED = "EnKash said yes, or a read shows the debit"
    REFUSED = "a clear refusal of a call with one id"
    REFUSED_TOGETHER = "a refusal of a call with several ids, some of which may have been debited"
    NEVER_SENT = "provably not one byte of it"
    UNCLEAR = "anything else"


# --- commands ---------------------------------------------------------------------------------------------------------


@attrs.frozen
class NoteCreated:
    """Notes that a create made the bill: EnKash answered, and not with code 38 (the reference was used before).

    Attributes:
        by: Id of the step that created the bill.
        store: Id of the store's birth, read before the create was sent.
    """

    by: str
    store: str


@attrs.frozen
class Claim:
    """Asks for the right to send.

    Attributes:
        by: Id of the attempt. A claim that is repeated after a lost reply has the same id.
        begins: False asks whether a claim would succeed, and claims nothing.
    """

    by: str
    begins: bool = True


@attrs.frozen
class Looked:
    """Reports what a single read shows; the read must begin after the answer `Older` or `Accepted`.

    Attributes:
        by: Id of the attempt, which claims the bill if the read shows the debit as unconfirmed.
        seen: The record in the answer `Older` or `Accepted`.
        reading: What the single read shows.
    """

    by: str
    seen: Debit
    reading: Reading


@attrs.frozen
class Renew:
    """Sets the instant of the attempt's own record to now."""

    by: str


@attrs.frozen
class MarkSent:
    """Writes *sent*, before the confirmation is sent.

    Attributes:
        by: Id of the attempt.
        sending: Number of the sending within the attempt, from 1.
    """

    by: str
    sending: int = 1


@attrs.frozen
class Settle:
    """Reports the outcome of an attempt; `ACCEPTED` counts even if the attempt has lost its claim."""

    by: str
    outcome: Outcome


@attrs.frozen
class Release:
    """Deletes a record, after two single reads have shown the bill unconfirmed.

    Attributes:
        seen: The record, read before the two single reads began.
    """

    seen: Debit


Command: TypeAlias = NoteCreated | Claim | Looked | Renew | MarkSent | Settle | Release


# --- answers ----------------------------------------------------------------------------------------------------------


@attrs.frozen
class Noted:
    """The command was carried out, or there was nothing to do."""


@attrs.frozen
class Free:
    """No record stands in the way of a claim."""


@attrs.frozen
class Mine:
    """The attempt has claimed the bill.

    Attributes:
        again: Whether an earlier attempt may have sent a confirmation. A single read has just shown the bill
            unconfirmed, so the bill is not read again.
        alone: Whether the bill needs a call of its own.
        is_new: Whether the bill was created after the store's birth, and no confirmation of it was sent.
    """

    again: bool = False
    alone: bool = False
    is_new: bool = False


@attrs.frozen
class Wait:
    """No attempt may send yet.

    Attributes:
        seconds: For how many seconds at most the caller has to wait.
        why: `claimed`: another attempt has the claim. `sent`: a confirmation may be in flight, and a read may show its
            debit. `store`: the store is too young to know what was sent before its birth.
    """

    seconds: float
    why: Literal["claimed", "sent", "store"]


@attrs.frozen
class Older:
    """The window of an earlier claim or confirmation is over: begin a single read now, and report it with `Looked`."""

    seen: Debit


@attrs.frozen
class Accepted:
    """The debit is done.

    Attributes:
        is_settled: Whether the window is over, so that a single read begun now must show the debit.
    """

    seen: Debit
    is_settled: bool = False


@attrs.frozen
class Contradicted:
    """EnKash accepted a confirmation, but shows no debit after the window: a person has to look."""


@attrs.frozen
class Unclear:
    """A confirmation was sent, its window is over, and the bill does not say whether it is confirmed."""


@attrs.frozen
class Go:
    """*Sent* is written: read the store's birth again, and send only if its id is still `store`.

    Attributes:
        store: Id of the store's birth when the bill was claimed.
    """

    store: str


@attrs.frozen
class Stale:
    """The attempt's own record is too old for *sent*: send `Renew` first."""


@attrs.frozen
class Gone:
    """The record no longer belongs to the attempt: nothing may be sent."""


@attrs.frozen
class Changed:
    """The record has changed since the attempt read it: begin again."""


@attrs.frozen
class Released:
    """The record is deleted."""


@attrs.frozen
class Unborn:
    """The store's birth record is missing, or its instant lies in the future: send `See`, and try again."""


Answer: TypeAlias = (
    Noted
    | Free
    | Mine
    | Wait
    | Older
    | Accepted
    | Contradicted
    | Unclear
    | Go
    | Stale
    | Gone
    | Changed
    | Released
    | Unborn
)
