"""The state machine of an account: which logins count, which caller may log in next, and which token callers get.

`decide(account, command, now)` is a pure function and the only way to change an account. An attempt is recorded before
its login is sent. It is *charged* from then until a later login works, since EnKash may count it as a wrong login.
"""

from __future__ import annotations

from typing import assert_never

import attrs

from enkash_async.tokens._commands import (
    Answer,
    Claim,
    Closed,
    Command,
    Cooling,
    Found,
    Free,
    FreshToken,
    Lead,
    Noted,
    Outcome,
    Reject,
    Reset,
    Settle,
    TooLate,
    View,
    Wait,
    Who,
)
from enkash_async.tokens._record import KEPT, Account, Attempt, Client, Fingerprint, Grant, StoredToken, left
from enkash_async.tokens._windows import hold_back

__all__ = ["LONGEST_LOGIN", "SEND_WITHIN", "decide", "lease_for", "view"]

SEND_WITHIN = 5.0  # seconds from the start of the store read that permits a login; after that, the login is not sent
LONGEST_LOGIN = 110.0  # seconds; the largest `login_timeout`
_BUDGET = 2  # charged attempts; other EnKash products lock an account after three wrong logins in a row
_TEN_MINUTES = 600.0
_SETTLED = 16  # ids of reports to remember, so that a report that is sent again has no second effect
_LONGEST_RETRY_AFTER = 300.0  # seconds; EnKash may ask for a pause of at most this length
_COOLDOWN, _LONGEST_COOLDOWN, _UNPROVEN_COOLDOWN = 0.5, 30.0, 60.0  # seconds without a login after a failed one
_RENEWAL_PAUSE, _LONGEST_RENEWAL_PAUSE = 30.0, 300.0  # seconds without a login after a new token was refused
_FLEET = "*"  # value of `Fingerprint.barred` that bars all workers
_REFUSALS = (Outcome.INVALID, Outcome.UNCLEAR, Outcome.LOCKED)


def lease_for(login_timeout: float) -> float:
    """Return the lease of an attempt in seconds: the time to send the login, to get the answer and to report it."""
    return SEND_WITHIN + min(login_timeout, LONGEST_LOGIN) + SEND_WITHIN


def view(account: Account, who: Who, now: float) -> View:
    """Return what a caller remembers of an account, for use while the store is unavailable."""
    known = account.fingerprint(who.fingerprint)
    alone = known.proven and not account.attempts and not account.locked and not _is_barred(known, who.worker, now)
    cut_off, is_closed = _was_cut_off(account, who), isinstance(_obstacle(account, who, now), Closed)
    return View(account.highest_fence, known.proven, len(account.attempts), alone, cut_off, is_closed)


def decide(account: Account, command: Command, now: float) -> tuple[Account, Answer]:
    """Return the account after a command, and the answer. The account is the same object if nothing changed."""
    after, answer = _decide(account.moved_back(now), command, now)
    if after is account or after == account:
        return account, answer
    return attrs.evolve(after, now=now, revision=account.revision + 1), answer


def _decide(account: Account, command: Command, now: float) -> tuple[Account, Answer]:
    match command:
        case Claim():
            return _claim(_lapsed(account, command.share, now), command, now)
        case Settle():
            return _settle(account, command, now)
        case Reject():
            return _reject(account, command, now), Noted()
        case Reset():
            return _reset(_lapsed(account, 0.0, now), command, now), Noted()
        case _:
            assert_never(command)


# --- may a login begin? -----------------------------------------------------------------------------------------------


def _claim(account: Account, claim: Claim, now: float) -> tuple[Account, Answer]:
    mine = next((attempt for attempt in account.attempts if attempt.id == claim.id), None)
    if mine is not None and mine.state == "open":  # an earlier swap began this attempt, but the reply was lost
        return account, Lead(mine.fence, _was_cut_off(account, claim.who))
    if mine is not None or claim.id in account.settled:
        return account, TooLate()
    if (token := _best_token(account, claim, now)) is not None:
        return account, Found(token)
    obstacle = _obstacle(account, claim.who, now)
    if obstacle is not None or not claim.begins:
        return account, obstacle or Free()
    return _begun(account, claim, now)


def _best_token(account: Account, claim: Claim, now: float) -> StoredToken | None:
    client = account.client(claim.who.client)
    floor = max(claim.above, client.watermark)
    fit = [
        token
        for token in client.tokens
        if token.fence > floor and not token.refused and token.mark != claim.rejected
        if token.key_id in claim.who.keys and left(token.at, token.life, now) > hold_back(token.life)
    ]
    return max(fit, key=lambda token: token.fence, default=None)


def _obstacle(account: Account, who: Who, now: float) -> Closed | Wait | Cooling | None:
    if account.locked:
        return Closed("locked")
    if _is_barred(account.fingerprint(who.fingerprint), who.worker, now):
        return Closed("rejected")
    # Wait for a login under way before the budget is checked: if the login works, its charge is removed.
    leased = max((left(a.at, a.lease, now) for a in account.attempts if a.state == "open"), default=0.0)
    if leased > 0:
        return Wait(leased)
    if (closed := _over_budget(account, who, now)) is not None:
        return closed
    cooldown = left(account.cooling_at, account.cooling_for, now)
    pause = max(cooldown, _pause(account.client(who.client), who, now))
    return Cooling(pause, is_renewal=pause > cooldown) if pause > 0 else None


def _over_budget(account: Account, who: Who, now: float) -> Closed | Cooling | None:
    grant = account.grant
    if grant is not None and not grant.attempt and (lasts := left(grant.at, grant.lasts, now)) > 0:
        return None if grant.fingerprint == who.fingerprint else Cooling(lasts)
    is_proven = account.fingerprint(who.fingerprint).proven
    if len(account.attempts) < _BUDGET:
        return Closed("budget") if account.attempts and not is_proven and _is_reserved(account, now) else None
    is_own = all(a.state == "unknown" and a.fingerprint == who.fingerprint for a in account.attempts)
    if not (is_proven and is_own):
        return Closed("budget")
    wait = max(left(attempt.at, _TEN_MINUTES, now) for attempt in account.attempts)
    return Cooling(wait) if wait > 0 else None


def _is_reserved(account: Account, now: float) -> bool:
    """Whether the last attempt is kept for proven credentials, because they had a valid token within ten minutes."""
    return any(
        left(token.at, token.life + _TEN_MINUTES, now) > 0 and account.fingerprint(token.fingerprint).proven
        for client in account.clients
        for token in client.tokens
    )


def _pause(client: Client, who: Who, now: float) -> float:
    """Return the seconds to wait after EnKash refused a new token at once, or gave out the same token repeatedly."""
    again = (left(t.at, t.life, now) for t in client.tokens if t.repeats > 1 and not t.refused and t.key_id in who.keys)
    return max(left(client.paused_at, client.paused_for, now), *again, 0.0)


def _begun(account: Account, claim: Claim, now: float) -> tuple[Account, Answer]:
    who, fence = claim.who, max(account.highest_fence, claim.seen, int(now * 1000)) + 1
    attempt = Attempt(claim.id, fence, who.fingerprint, now, claim.lease)
    grant = account.grant
    if grant is not None:
        grant = attrs.evolve(grant, attempt=claim.id) if left(grant.at, grant.lasts, now) > 0 else None
    after = attrs.evolve(_charged(account, attempt), fence=fence, grant=grant)
    return after, Lead(fence, _was_cut_off(account, who))


def _was_cut_off(account: Account, who: Who) -> bool:
    return any(a.state == "unknown" and a.fingerprint == who.fingerprint for a in account.attempts)


def _lapsed(account: Account, share: float, now: float) -> Account:
    """Return the account, with every open attempt marked as unknown if its lease has expired."""
    for attempt in account.attempts:
        if attempt.state == "open" and left(attempt.at, attempt.lease, now) <= 0:
            grant = None if account.grant is not None and account.grant.attempt == attempt.id else account.grant
            account = attrs.evolve(account, grant=grant)
            account = _unknown(account, attempt, share, 0.0, attempt.at + attempt.lease, now)
    return account


# --- the result of a login --------------------------------------------------------------------------------------------


def _settle(account: Account, report: Settle, now: float) -> tuple[Account, Answer]:
    client = account.client(report.who.client)
    if report.id in account.settled:
        return account, Noted(any(token.fence == report.fence and not token.refused for token in client.tokens))
    mine = next((attempt for attempt in account.attempts if attempt.id == report.id), None)
    # Keep the id even of an attempt that is not recorded, so that a late swap cannot begin this attempt.
    settled = (*account.settled, report.id)[-_SETTLED:]
    grant = _grant_after(account.grant, report)
    account = attrs.evolve(account, settled=settled, fence=max(account.fence, report.fence), grant=grant)
    if report.outcome is Outcome.WORKED:
        return _worked(account, report, mine is not None, now)
    if report.outcome in {Outcome.NOT_COUNTED, Outcome.PASSING}:
        account = attrs.evolve(account, attempts=tuple(a for a in account.attempts if a.id != report.id))
        if report.outcome is Outcome.PASSING:
            account = _cooled(account, _grown(account, report.share, report.retry_after, 0.0), now, now)
        return account, Noted()
    return _failed(account, report, mine, now), Noted()


def _worked(account: Account, report: Settle, is_known: bool, now: float) -> tuple[Account, Answer]:
    fence, newest = report.fence, report.fence >= account.fence
    known = account.fingerprint(report.who.fingerprint)
    if known.worked or known.fence <= fence:
        known = Fingerprint(known.id, proven=True, fence=max(known.fence, fence), worked=True)
        account = account.with_fingerprint(known)
    account = attrs.evolve(
        account,
        attempts=tuple(a for a in account.attempts if a.fence >= fence and a.id != report.id),
        worked=max(account.worked, fence),
        answered=max(account.answered, fence),
        locked=account.locked if account.locked > fence else 0,
        failures=0 if newest else account.failures,
        cooling_for=0.0 if newest else account.cooling_for,
    )
    if report.token is None:
        return account, Noted()
    client, is_stored = _with_token(account.client(report.who.client), report, report.token, is_known, now)
    return account.with_client(client), Noted(is_stored)


def _with_token(client: Client, report: Settle, fresh: FreshToken, is_known: bool, now: float) -> tuple[Client, bool]:
    """Return the client, and whether the token was added; a token that was refused or is not the newest is not."""
    living = [token for token in client.tokens if left(token.at, token.life, now) > 0]
    if any(token.refused and token.mark == fresh.mark for token in client.tokens):
        return _paused(client, now), False
    is_newest = report.fence > max([client.watermark, *(token.fence for token in client.tokens)])
    if not is_newest or (living and not is_known) or fresh.age >= fresh.life:
        return client, False
    at = now - fresh.age
    new = StoredToken(report.fence, report.who.fingerprint, fresh.key_id, fresh.sealed, fresh.mark, at, fresh.life, now)
    for twin in living:
        if twin.mark == fresh.mark:  # a secret that EnKash gives out again keeps its earlier expiry
            ends = min((new.at, new.life), (twin.at, twin.life), key=sum)
            new = attrs.evolve(new, at=ends[0], life=ends[1], repeats=max(new.repeats, twin.repeats + 1))
    others = [token for token in client.tokens if token.key_id != fresh.key_id]
    newest = max(others, key=lambda token: token.fence, default=None)
    return attrs.evolve(client, tokens=(new,) if newest is None else (newest, new)), True


def _failed(account: Account, report: Settle, mine: Attempt | None, now: float) -> Account:
    """Return the account after a login that EnKash counted, or may have counted."""
    attempt = mine or Attempt(report.id, report.fence, report.who.fingerprint, now, 0.0)
    if report.outcome in _REFUSALS:
        account = _charged(account, attrs.evolve(attempt, state="refused"))
    elif attempt.state == "open" and (mine is not None or report.fence > account.worked):
        account = _unknown(account, attempt, report.share, report.retry_after, now, now)
    if report.outcome is Outcome.LOCKED:
        return attrs.evolve(account, locked=report.fence) if report.fence >= account.answered else account
    return account if report.outcome is Outcome.UNKNOWN else _barred(account, report, now)


def _barred(account: Account, report: Settle, now: float) -> Account:
    """Bar these credentials after a refusal, unless a later login with them worked; return the account."""
    fence, known = report.fence, account.fingerprint(report.who.fingerprint)
    account = attrs.evolve(account, answered=max(account.answered, fence))
    if known.worked and known.fence > fence:
        return account
    known = attrs.evolve(known, fence=max(known.fence, fence), worked=False)
    if report.outcome is not Outcome.INVALID:
        is_second = known.barred not in {"", report.who.worker} and _is_barred(known, known.barred, now)
        bar = _FLEET if is_second else report.who.worker
        return account.with_fingerprint(attrs.evolve(known, barred=bar, barred_at=now, barred_for=_TEN_MINUTES))
    if known.proven:  # the password was changed: a password that was wrong before may be right now
        account = attrs.evolve(account, fingerprints=tuple(attrs.evolve(f, barred="") for f in account.fingerprints))
    return account.with_fingerprint(attrs.evolve(known, proven=False, barred=_FLEET))


def _grant_after(grant: Grant | None, report: Settle) -> Grant | None:
    if grant is None or (report.outcome is Outcome.WORKED and report.who.fingerprint == grant.fingerprint):
        return None
    if grant.attempt != report.id:
        return grant
    is_unused = report.outcome in {Outcome.NOT_COUNTED, Outcome.PASSING}
    return attrs.evolve(grant, attempt="") if is_unused else None


# --- refused tokens, and resets by an operator ------------------------------------------------------------------------


def _reject(account: Account, refusal: Reject, now: float) -> Account:
    client = account.client(refusal.client)
    hit = [token for token in client.tokens if not token.refused and token.mark == refusal.mark]
    if not hit and refusal.fence <= client.watermark:
        return account
    is_new = any(token.fence > client.noted > 0 and left(token.came_at, _RENEWAL_PAUSE, now) > 0 for token in hit)
    client = attrs.evolve(
        client,
        watermark=max(client.watermark, refusal.fence),
        noted=max(account.fence, refusal.fence),
        tokens=tuple(attrs.evolve(token, refused=token.refused or token in hit) for token in client.tokens),
    )
    if hit:
        client = _paused(client, now) if is_new else attrs.evolve(client, pauses=0)
    return account.with_client(client)


def _paused(client: Client, now: float) -> Client:
    pause = min(_RENEWAL_PAUSE * 2.0**client.pauses, _LONGEST_RENEWAL_PAUSE)
    return attrs.evolve(client, pauses=min(client.pauses + 1, _SETTLED), paused_at=now, paused_for=pause)


def _reset(account: Account, reset: Reset, now: float) -> Account:
    if reset.id in account.settled:
        return account
    known = attrs.evolve(account.fingerprint(reset.who.fingerprint), barred="")
    return attrs.evolve(
        account.with_fingerprint(known),
        settled=(*account.settled, reset.id)[-_SETTLED:],
        grant=Grant(reset.who.fingerprint, now, _TEN_MINUTES) if _obstacle(account, reset.who, now) else account.grant,
        locked=0,
        failures=0,
        cooling_for=0.0,
    )


# --- helpers ----------------------------------------------------------------------------------------------------------


def _charged(account: Account, attempt: Attempt) -> Account:
    others = [other for other in account.attempts if other.id != attempt.id]
    charged = sorted([*others, attempt], key=lambda each: each.fence)
    return attrs.evolve(account, attempts=tuple(charged[-KEPT:]))


def _unknown(account: Account, attempt: Attempt, share: float, asked: float, since: float, now: float) -> Account:
    least = 0.0 if account.fingerprint(attempt.fingerprint).proven else _UNPROVEN_COOLDOWN
    account = _charged(account, attrs.evolve(attempt, state="unknown"))
    return _cooled(account, _grown(account, share, asked, least), since, now)


def _grown(account: Account, share: float, asked: float, least: float) -> float:
    """Return the cooldown in seconds after one more failure in a row, at least the pause that EnKash asked for."""
    ceiling = min(_LONGEST_COOLDOWN, 2 * _COOLDOWN * 2.0 ** min(account.failures, _SETTLED))
    return max(_COOLDOWN, share * ceiling, least, min(asked, _LONGEST_RETRY_AFTER))


def _cooled(account: Account, pause: float, since: float, now: float) -> Account:
    is_longer = left(since, pause, now) > left(account.cooling_at, account.cooling_for, now)
    at, lasts = (since, pause) if is_longer else (account.cooling_at, account.cooling_for)
    return attrs.evolve(account, failures=account.failures + 1, cooling_at=at, cooling_for=lasts)


def _is_barred(known: Fingerprint, worker: str, now: float) -> bool:
    return known.barred == _FLEET or (known.barred == worker and left(known.barred_at, known.barred_for, now) > 0)
