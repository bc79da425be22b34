"""Shows the records of debits to an operator, and deletes records whose bills EnKash shows as unconfirmed."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from logging import getLogger

from enkash_async._flow.jobs import Collected
from enkash_async._money.debit_commands import Claim, Release, Released
from enkash_async._money.debit_records import Shown
from enkash_async._money.debits import Debits
from enkash_async.bulk import BulkGroup, BulkItem, BulkResult
from enkash_async.errors import EnkashError, InvalidRequestError, OutcomeUnknownError
from enkash_async.models import Bill, DebitRecord

__all__ = ["release", "shown"]

_log = getLogger("enkash_async")


async def shown(debits: Debits, ids: Sequence[str]) -> list[DebitRecord]:
    """Return the record of each bill, in the order given."""
    found = await debits.records.show(ids)
    window = debits.records.durations.settled_after
    return [_shown(one, found[one], window) for one in ids]


def _shown(one: str, found: Shown, window: float) -> DebitRecord:
    debit = found.debit
    if debit is None:
        return DebitRecord(utility_enkash_id=one, state="none")
    left = max(0.0, window - found.age) if debit.state in {"claimed", "sent"} else 0.0
    at = datetime.fromtimestamp(debit.at.wall, UTC)
    return DebitRecord(utility_enkash_id=one, state=debit.state, at=at, window_left=left)


async def release(debits: Debits, ids: Sequence[str], because: str) -> BulkResult[None]:
    """Delete the records of bills that two single reads show unconfirmed; a record must be older than the window.

    Args:
        debits: The debits of the client.
        ids: EnKash's ids of the bills, unique.
        because: The operator's reason, for the log.
    """
    durations = debits.records.durations
    # This claims nothing. It only replaces instants that lie in the future because a clock was set back.
    await debits.records.act({one: Claim(uuid.uuid4().hex, begins=False) for one in ids})
    found = await debits.records.show(ids)
    early = {one: _too_early(one, record, durations.settled_after) for one, record in found.items()}
    refused = {one: why for one, why in early.items() if why is not None}
    for look in range(2):
        if look and len(refused) < len(ids):
            await debits.poller.sleep(durations.between_looks)
        refused |= await _not_unconfirmed(debits, [one for one in ids if one not in refused])
    orders = {one: Release(r.debit) for one, r in found.items() if one not in refused and r.debit is not None}
    answers = await debits.records.act(orders) if orders else {}
    collected: Collected[None] = Collected()
    for place, one in enumerate(ids):
        problem = refused.get(one)
        if problem is None and not isinstance(answers[one], Released):
            problem = OutcomeUnknownError(f"the record of {one} changed meanwhile", utility_enkash_ids=(one,))
        if problem is None:
            _log.warning("the record of the debit of %s was released: %s", one, because)
        collected.add(place, BulkItem(one, error=problem, group=_group(problem)))
    return collected.result()


def _group(problem: EnkashError | None) -> BulkGroup:
    return BulkGroup.SUCCEEDED if problem is None else BulkGroup.FAILED


def _too_early(one: str, found: Shown, window: float) -> EnkashError | None:
    debit = found.debit
    if debit is None or debit.state == "created":
        return InvalidRequestError(f"there is no record of a confirmation of {one}: nothing to release")
    left = window - found.age
    if left > 0:
        return OutcomeUnknownError(
            f"the debit of {one} may still be under way: release it in {left:.0f} s",
            utility_enkash_ids=(one,),
            retry_after=left,
        )
    if debit.state == "claimed":
        return InvalidRequestError(f"the debit of {one} was claimed and never sent: confirm it, no release is needed")
    return None


async def _not_unconfirmed(debits: Debits, ids: Sequence[str]) -> Mapping[str, EnkashError]:
    seen = await debits.reads.read_each(ids, patience=debits.patience * len(ids)) if ids else {}
    return {one: why for one, bill in seen.items() if (why := _evidence(one, bill)) is not None}


def _evidence(one: str, seen: Bill | EnkashError) -> EnkashError | None:
    if not isinstance(seen, Bill):
        return seen
    if seen.debit_confirmed is False:
        return None
    what = "as debited" if seen.debit_confirmed else "so that its debit is ambiguous"
    return InvalidRequestError(f"EnKash shows {one} {what}: its record stays")
