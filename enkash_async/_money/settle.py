"""What became of a call whose end was unclear: look for it over a window of time, and never send it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from enkash_async._calls.bills import Wanted
from enkash_async._flow.poller import Poller, peek
from enkash_async._flow.verdicts import judge
from enkash_async._money import match as matching
from enkash_async._money.reads import Reads
from enkash_async._support import checks
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

_SHORT_WINDOW = 5.0  # seconds for a bill that EnKash says is there


def checked_settle(settle: SettlePolicy | float | None) -> SettlePolicy | None:
    """Return the argument `settle` of a public call as a policy; None is the client's own."""
    if settle is None or isinstance(settle, SettlePolicy):
        return settle
    return SettlePolicy(window=checks.number(settle, "settle", least=0, unit="seconds"))


class Settling:
    """Looks for what unclear calls did.

    Args:
        reads: Reads bills.
        policy: How long and how often.
        timeout: Seconds that one attempt may take.
        poller: Time, pauses and chance.
    """

    def __init__(self, reads: Reads, policy: SettlePolicy, timeout: float, poller: Poller) -> None:
        self._reads = reads
        self._policy = policy
        self._timeout = timeout
        self._poller = poller

    def window(self, settle: SettlePolicy | None = None) -> float:
        """Return the seconds for which is looked."""
        return (settle or self._policy).within(self._timeout).window or 0.0

    async def find(self, reference_id: str, settle: SettlePolicy | None = None) -> Bill | EnkashError:
        """Return the bill of a reference as soon as it shows, or else what the last look ended with."""
        seen: Bill | EnkashError = NotFoundError()

        async def look(patience: float) -> bool:
            nonlocal seen
            seen = await peek(self._reads.get_by_reference(reference_id), max(patience, self._timeout))
            if isinstance(seen, Bill) and not seen.utility_enkash_id:
                # Success with nothing in it; what is taken for a bill here would be taken for created.
                seen = ResponseDecodeError("the look-up by reference was answered without a bill's id", status=200)
            return isinstance(seen, Bill) or judge(seen).is_permanent

        pauses = (settle or self._policy).pauses
        await self._poller.until(look, seconds=self.window(settle), pauses=pauses)
        return attrs.evolve(seen, recovered=True) if isinstance(seen, Bill) else seen

    async def created(self, wanted: Wanted, unclear: OutcomeUnknownError) -> Bill:
        """Return the bill of a create that ended unclearly.

        Raises:
            OutcomeUnknownError: It did not show, which proves nothing: the request may still be on its way. Or the
                bill that shows is another one.
        """
        seen = await self.find(wanted.reference_id)
        if isinstance(seen, Bill):
            match = matching.compare(wanted, seen)
            if match.different:
                raise OutcomeUnknownError(
                    f"{unclear.operation} ended unclearly, and the bill that EnKash shows under "
                    f"{wanted.reference_id!r} {matching.described(wanted, seen, match)}; it may be the one of this "
                    "call or an older one: look at it with bills.get_by_reference() before you do anything else",
                    operation=unclear.operation,
                    reference_id=wanted.reference_id,
                ) from unclear.__cause__
            return seen
        found = (
            "EnKash does not show it yet"
            if judge(seen).says_absent
            else f"it cannot be looked up: {wanted.redacted(str(seen))}"
        )
        raise OutcomeUnknownError(
            f"{unclear.operation} may or may not have happened, and after {self.window():g} s {found}; come back with "
            f"bills.reconcile({wanted.reference_id!r}), and give the bill no other reference. "
            f"Cause: {unclear.__cause__}",
            operation=unclear.operation,
            reference_id=wanted.reference_id,
        ) from unclear.__cause__

    async def identified(self, wanted: Wanted, created: Bill) -> Bill:
        """Return a bill that was created, with the id that the reply left out, where EnKash shows it."""
        seen = await peek(self._reads.get_by_reference(wanted.reference_id), self._timeout)
        if isinstance(seen, Bill) and not matching.compare(wanted, seen).different:
            return seen
        return created

    async def existing(self, wanted: Wanted, refused: DuplicateReferenceError) -> Bill:
        """Return the bill that a reference was used for, where it is the one that is wanted.

        Raises:
            DuplicateReferenceError: It is another one, or cannot be looked up; nothing was created by this call.
        """
        # A bill that was created a moment ago may take some time to show, but this one is not in doubt: EnKash has it.
        window = min(_SHORT_WINDOW, self.window())
        seen = await self.find(wanted.reference_id, attrs.evolve(self._policy, window=window))
        if not isinstance(seen, Bill):
            raise refused from seen
        match = matching.compare(wanted, seen)
        if match.different or not match.identified:
            raise matching.refusal(wanted, seen, match) from refused
        return seen

    async def confirmations(
        self, utility_enkash_ids: Sequence[str], settle: SettlePolicy | None = None
    ) -> Mapping[str, Bill | EnkashError]:
        """Return how bills stand once all of them show as confirmed, or else what the last look at each ended with."""
        seen: dict[str, Bill | EnkashError] = {}

        async def look(patience: float) -> bool:
            open_ones = [one for one in utility_enkash_ids if not _is_done(seen.get(one))]
            seen.update(await self._reads.read(open_ones, patience=max(patience, self._timeout)))
            return all(_is_done(one) for one in seen.values())

        pauses = (settle or self._policy).pauses
        await self._poller.until(look, seconds=self.window(settle), pauses=pauses)
        return seen


def _is_done(seen: Bill | EnkashError | None) -> bool:
    if isinstance(seen, Bill):
        return seen.debit_confirmed is True
    return seen is not None and (judge(seen).is_permanent or judge(seen).says_absent)
