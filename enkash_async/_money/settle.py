"""Reconciles calls that ended unclearly: polls their bills for a window of time, and never sends the calls again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from enkash_async._calls.bills import Wanted
from enkash_async._flow.poller import Poller, peek
from enkash_async._flow.verdicts import judge
from enkash_async._money import match as matching
from enkash_async._money.looks import shows_plainly
from enkash_async._money.reads import Reads
from enkash_async._support import checks
from enkash_async._support.text import look_up
from enkash_async.config import SettlePolicy
from enkash_async.errors import (
    DuplicateReferenceError,
    EnkashError,
    NotFoundError,
    OutcomeUnknownError,
    ResponseDecodeError,
)
from enkash_async.models import Bill

__all__ = ["Settling", "checked_settle"]

_SHORT_WINDOW = 5.0  # seconds to look for a bill that EnKash says exists but may not show yet


def checked_settle(settle: SettlePolicy | float | None) -> SettlePolicy | None:
    """Return the argument `settle` of a public call as a policy; None stands for the policy of the client."""
    if settle is None or isinstance(settle, SettlePolicy):
        return settle
    return SettlePolicy(window=checks.number(settle, "settle", least=0, unit="seconds"))


class Settling:
    """Finds out what calls with an unclear end did, by reading their bills.

    Args:
        reads: Reads bills.
        policy: The client's window and pauses.
        timeout: Seconds that one attempt of a request may take.
        poller: Polls EnKash.
    """

    def __init__(self, reads: Reads, policy: SettlePolicy, timeout: float, poller: Poller) -> None:
        self._reads = reads
        self.policy = policy
        self._timeout = timeout
        self._poller = poller

    def window(self, settle: SettlePolicy | None = None) -> float:
        """Return the window in seconds, from the given policy or else from the client's."""
        return (settle or self.policy).within(self._timeout).window or 0.0

    async def find(self, reference_id: str, settle: SettlePolicy | None = None) -> Bill | EnkashError:
        """Return the bill of a reference as soon as EnKash shows it, or the error of the last look."""
        seen: Bill | EnkashError = NotFoundError()

        async def look(patience: float) -> bool:
            nonlocal seen
            seen = await peek(self._reads.get_by_reference(reference_id), max(patience, self._timeout))
            if isinstance(seen, Bill) and not seen.utility_enkash_id.strip():
                # A reply without a bill must not count as a success: the caller would believe that the bill exists.
                seen = ResponseDecodeError("the look-up by reference was answered without a bill's id", status=200)
            return isinstance(seen, Bill) or judge(seen).is_permanent

        pauses = (settle or self.policy).pauses
        await self._poller.until(look, seconds=self.window(settle), pauses=pauses)
        return attrs.evolve(seen, recovered=True) if isinstance(seen, Bill) else seen

    async def created(self, wanted: Wanted, unclear: OutcomeUnknownError, settle: SettlePolicy | None = None) -> Bill:
        """Return the bill of a create that ended unclearly.

        Raises:
            OutcomeUnknownError: EnKash does not show the bill, but the request may still be in flight. Or EnKash shows
                another bill.
        """
        seen = await self.find(wanted.reference_id, settle)
        if isinstance(seen, Bill):
            match = matching.compare(wanted, seen)
            different = (*match.hard, *(("amount",) if match.amount is matching.Amount.OTHER else ()))
            if different:
                other = OutcomeUnknownError(
                    f"{unclear.operation} ended unclearly, and the bill that EnKash shows under "
                    f"{wanted.reference_id!r} {matching.described(wanted, seen, different)}; it may be the one of this "
                    "call or an older one: look at it with bills.get_by_reference() or "
                    f"`{look_up(wanted.reference_id)}` before you do anything else",
                    operation=unclear.operation,
                    reference_id=wanted.reference_id,
                )
                other.call_id = unclear.call_id
                raise other from unclear.__cause__
            return seen
        found = (
            "EnKash does not show it yet"
            if judge(seen).says_absent
            else f"it cannot be looked up: {wanted.redacted(str(seen))}"
        )
        error = OutcomeUnknownError(
            f"{unclear.operation} may or may not have happened, and after {self.window(settle):g} s {found}; come back "
            f"with bills.reconcile({wanted.reference_id!r}), and give the bill no other reference. "
            f"Cause: {unclear.__cause__}",
            operation=unclear.operation,
            reference_id=wanted.reference_id,
        )
        error.call_id = unclear.call_id
        raise error from unclear.__cause__

    async def identified(self, wanted: Wanted, created: Bill) -> Bill:
        """Return the created bill as EnKash shows it now; for a reply that did not identify the wanted bill.

        A success without a bill's id is unclear: the reference may have been used before, for an older bill.

        Raises:
            OutcomeUnknownError: The reply has no bill's id, and EnKash does not show the wanted bill.
        """
        if not created.utility_enkash_id.strip():
            unclear = OutcomeUnknownError(operation="bills.create", reference_id=wanted.reference_id)
            unclear.__cause__ = ResponseDecodeError("EnKash said yes, and named no bill", status=200)
            return await self.created(wanted, unclear, attrs.evolve(self.policy, window=0.0))
        seen = await peek(self._reads.get_by_reference(wanted.reference_id), self._timeout)
        if isinstance(seen, Bill) and seen.utility_enkash_id and not matching.compare(wanted, seen).hard:
            return seen
        return created

    async def existing(self, wanted: Wanted, refused: DuplicateReferenceError) -> Bill:
        """Return the bill for which a reference was used before, if it is the wanted bill.

        Raises:
            DuplicateReferenceError: The reference belongs to another bill, or its bill cannot be read. This call
                created nothing.
        """
        # A short window is enough: EnKash says that it has the bill, so the bill is at most too new to be shown.
        window = min(_SHORT_WINDOW, self.window())
        seen = await self.find(wanted.reference_id, attrs.evolve(self.policy, window=window))
        if not isinstance(seen, Bill):
            raise refused from seen
        match = matching.compare(wanted, seen)
        if match.different or not match.identified:
            error = matching.refusal(wanted, seen, match.different)
            error.call_id, error.request_id = refused.call_id, refused.request_id
            raise error from refused
        return seen

    async def confirmations(
        self, utility_enkash_ids: Sequence[str], settle: SettlePolicy | None = None
    ) -> Mapping[str, Bill | EnkashError]:
        """Poll until EnKash shows all bills as confirmed or the window ends; return each bill's last state or error."""
        seen: dict[str, Bill | EnkashError] = {}

        async def look(patience: float) -> bool:
            open_ones = [one for one in utility_enkash_ids if not _is_done(seen.get(one))]
            seen.update(await self._reads.read(open_ones, patience=max(patience, self._timeout), shows=_suffices))
            return all(_is_done(one) for one in seen.values())

        pauses = (settle or self.policy).pauses
        await self._poller.until(look, seconds=self.window(settle), pauses=pauses)
        return seen


def _is_done(seen: Bill | EnkashError | None) -> bool:
    if isinstance(seen, Bill):
        return seen.debit_confirmed is True
    return seen is not None and (judge(seen).is_permanent or judge(seen).says_absent)


def _suffices(bill: Bill) -> bool:
    """Whether a search shows enough of a bill: one that omits the approval cannot say that a debit is not confirmed."""
    has_status = bill.payment_status is not None or bill.billpay_status is not None
    return shows_plainly(bill) or (bill.debit_confirmed is None and has_status)
