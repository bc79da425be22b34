"""The account machine with one rule taken out, or an earlier wording of it put in its place: each must be found out."""

from __future__ import annotations

import attrs

from enkash_async.tokens import _account
from enkash_async.tokens._account import decide
from enkash_async.tokens._commands import Answer, Claim, Command, Lead, Noted, Outcome, Reject, Reset, Settle
from enkash_async.tokens._record import Account

__all__ = [
    "charges_end_after_ten_minutes",
    "clamping_without_writing",
    "fences_from_one",
    "late_tokens_stored",
    "no_reserved_slot",
    "refusals_forgotten",
    "reset_clears_charges",
    "unknown_gone_if_proven",
    "watermark_at_the_record",
]

Step = tuple[Account, Answer]


def no_reserved_slot(account: Account, command: Command, now: float) -> Step:
    """Unproven credentials may use the last attempt while a token of proven ones lives."""
    kept = _account._is_reserved
    _account._is_reserved = lambda account, now: False
    try:
        return decide(account, command, now)
    finally:
        _account._is_reserved = kept


def unknown_gone_if_proven(account: Account, command: Command, now: float) -> Step:
    """No answer, or 5xx, is not charged to credentials that have worked."""
    if isinstance(command, Settle) and account.fingerprint(command.who.fingerprint).proven:
        outcome = Outcome.PASSING if command.outcome is Outcome.UNKNOWN else command.outcome
        command = attrs.evolve(command, outcome=outcome)
    return decide(account, command, now)


def reset_clears_charges(account: Account, command: Command, now: float) -> Step:
    """`reset_guard` forgets the charged attempts, instead of a grant beyond them."""
    after, answer = decide(account, command, now)
    if isinstance(command, Reset) and after is not account:
        after = attrs.evolve(after, attempts=tuple(a for a in after.attempts if a.state == "open"))
    return after, answer


def charges_end_after_ten_minutes(account: Account, command: Command, now: float) -> Step:
    """A charge is forgotten by and by."""
    kept = tuple(a for a in account.attempts if a.state == "open" or now - a.at < 600)
    return decide(account if kept == account.attempts else attrs.evolve(account, attempts=kept), command, now)


def clamping_without_writing(account: Account, command: Command, now: float) -> Step:
    """A clock that was set back is taken to stand still until it has caught up."""
    return decide(account, command, max(now, account.now))


def fences_from_one(account: Account, command: Command, now: float) -> Step:
    """Fences are counted in the record alone."""
    after, answer = decide(account, command, now)
    if not isinstance(answer, Lead) or after is account:
        return after, answer
    fence, known = account.fence + 1, {attempt.id for attempt in account.attempts}
    attempts = tuple(a if a.id in known else attrs.evolve(a, fence=fence) for a in after.attempts)
    return attrs.evolve(after, fence=fence, attempts=attempts), attrs.evolve(answer, fence=fence)


def watermark_at_the_record(account: Account, command: Command, now: float) -> Step:
    """A refused token takes those along whose login began before the refusal was noted."""
    if isinstance(command, Reject):
        command = attrs.evolve(command, fence=max(account.fence, command.fence))
    return decide(account, command, now)


def late_tokens_stored(account: Account, command: Command, now: float) -> Step:
    """A token is stored whenever it comes: the newest report wins."""
    if isinstance(command, Settle) and command.token is not None:
        clients = tuple(attrs.evolve(client, watermark=0, tokens=()) for client in account.clients)
        return decide(attrs.evolve(account, clients=clients), command, now)
    return decide(account, command, now)


def refusals_forgotten(account: Account, command: Command, now: float) -> Step:
    """A refused token goes on to answer, as does whichever is there."""
    if isinstance(command, Reject):
        return account, Noted()
    if isinstance(command, Claim):
        command = attrs.evolve(command, above=0, rejected="")
    return decide(account, command, now)
