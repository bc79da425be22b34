"""What a process tells the record of a debit, and what it is told."""

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
    """Who decides, and what was read in the same call as the record.

    Attributes:
        now: On the store's clock, and on this process's wall clock.
        writer: Names the process.
        birth: The birth record of the store.
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
    """What a sending came to, or what was seen otherwise."""

    ACCEPTED = "EnKash said yes, or a read shows the debit"
    REFUSED = "a clear refusal of a call with one id"
    REFUSED_TOGETHER = "a refusal of a call with several ids, some of which may have been debited"
    NEVER_SENT = "provably not one byte of it"
    UNCLEAR = "anything else"


# --- commands ---------------------------------------------------------------------------------------------------------


@attrs.frozen
class NoteCreated:
    """Notes that a create brought the bill forth, answered and not by 38.

    Attributes:
        by: The create.
        store: Id of the store's birth that was read before the create was sent.
    """

    by: str
    store: str


@attrs.frozen
class Claim:
    """Asks for the right to send.

    Attributes:
        by: The attempt; the same when a lost reply makes the claim be repeated.
        begins: False only asks.
    """

    by: str
    begins: bool = True


@attrs.frozen
class Looked:
    """Tells what a single read shows that was begun after an answer `Older` or `Accepted`.

    Attributes:
        by: The attempt that claims where the debit is plainly unconfirmed.
        seen: The record of that answer.
    """

    by: str
    seen: Debit
    reading: Reading


@attrs.frozen
class Renew:
    """Gives one's own record the instant of now."""

    by: str


@attrs.frozen
class MarkSent:
    """Writes down that a confirmation goes out next.

    Attributes:
        sending: 1, and one more for each further sending of the attempt.
    """

    by: str
    sending: int = 1


@attrs.frozen
class Settle:
    """Tells what an attempt came to; a yes is taken from anybody."""

    by: str
    outcome: Outcome


@attrs.frozen
class Release:
    """Takes away a record of which two single reads, begun after the answer that showed it, say unconfirmed."""

    seen: Debit


Command: TypeAlias = NoteCreated | Claim | Looked | Renew | MarkSent | Settle | Release


# --- answers ----------------------------------------------------------------------------------------------------------


@attrs.frozen
class Noted:
    """Done, or nothing to do."""


@attrs.frozen
class Free:
    """No record stands in the way of a claim."""


@attrs.frozen
class Mine:
    """The claim is the attempt's.

    Attributes:
        again: A confirmation was sent before, so only the single read that led here counts.
        alone: It is to be sent by itself.
        is_new: A create brought the bill forth since the store began, and it was never sent.
    """

    again: bool = False
    alone: bool = False
    is_new: bool = False


@attrs.frozen
class Wait:
    """Nobody may send yet.

    Attributes:
        seconds: How long the answer stays, at most.
        why: Another attempt has claimed; a confirmation may be under way, and a single read may show its debit; or the
            store is too young to know what was sent before it began.
    """

    seconds: float
    why: Literal["claimed", "sent", "store"]


@attrs.frozen
class Older:
    """A claim or a confirmation whose window is over: read the bill singly from now on, and tell by `Looked`."""

    seen: Debit


@attrs.frozen
class Accepted:
    """The debit is done.

    Attributes:
        is_settled: More than a window ago, so that a single read begun now must show it.
    """

    seen: Debit
    is_settled: bool = False


@attrs.frozen
class Contradicted:
    """EnKash said yes more than a window ago, and shows no debit: a human has to look."""


@attrs.frozen
class Unclear:
    """A confirmation was sent, its window is over, and the bill does not say whether it is confirmed."""


@attrs.frozen
class Go:
    """*Sent* is written down: read the store's birth again, and send if it is still this one.

    Attributes:
        store: Id of that birth.
    """

    store: str


@attrs.frozen
class Stale:
    """One's own record is too old to write *sent* over: renew it first."""


@attrs.frozen
class Gone:
    """The record is not the attempt's any more: nothing may be sent."""


@attrs.frozen
class Changed:
    """The record is another one than was shown: begin again."""


@attrs.frozen
class Released:
    """The record is taken away."""


@attrs.frozen
class Unborn:
    """The store's birth record is missing, or lies in the future: see to it, and ask again."""


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
