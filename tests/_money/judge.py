"""An oracle for what a call says, worked out from its exchanges without any code of the package."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from decimal import Decimal

import attrs
from _money.witness import ABSENT, End, Exchange

from enkash_async import Bill, DuplicateReferenceError, EnkashError, InvalidRequestError, OutcomeUnknownError
from enkash_async.bulk import BulkGroup, BulkItem, BulkResult
from enkash_async.errors import ApiError
from enkash_async.sandbox._payment import UtilityPayment

__all__ = [
    "INACTIVE",
    "MOST",
    "Order",
    "agrees",
    "by_request",
    "differences",
    "groups_of",
    "judge_confirmation",
    "judge_create",
    "judge_group",
    "judge_repeated",
]

#: A biller that is not active, and the most rupees that EnKash takes.
INACTIVE, MOST = 2102, 200_000


@attrs.frozen
class Order:
    """A bill that somebody wants."""

    reference: str
    biller_id: int
    consumer: str
    amount: Decimal
    fetched: bool = False

    @property
    def payable(self) -> bool:
        """Whether EnKash accepts the order, its reference being free."""
        return self.biller_id != INACTIVE and self.amount <= MOST


def differences(order: Order, payment: UtilityPayment) -> tuple[str, ...]:
    """Return in which members a bill of the ledger differs from the order."""
    pairs = {
        "biller_id": (order.biller_id, payment.company_biller.biller.biller_id),
        "consumer_number": (order.consumer, payment.company_biller.consumer_number),
        "amount": (order.amount, payment.amount),
    }
    return tuple(name for name, (wanted, found) in pairs.items() if wanted != found)


def agrees(bill: Bill, payment: UtilityPayment) -> None:
    """Check that a bill that was returned is the one of the ledger."""
    consumer = bill.consumer_number or (bill.company_biller and bill.company_biller.consumer_number)
    assert (bill.utility_enkash_id, bill.reference_id) == (payment.utility_enkash_id, payment.reference_id)
    assert (bill.amount, consumer) == (payment.amount, payment.company_biller.consumer_number)


def _sent_once(writes: Sequence[Exchange]) -> Exchange | None:
    """Return the one request that EnKash may have acted on; all before it provably did nothing."""
    harmless = {End.SHUT_OUT, End.UNSENT}
    assert all(write.end in harmless for write in writes[:-1]), "it was sent again after it may have arrived"
    return writes[-1] if writes and writes[-1].end not in harmless else None


def judge_create(
    order: Order,
    exchanges: Sequence[Exchange],
    said: Bill | EnkashError,
    existing: UtilityPayment | None,
    *,
    patience: float,
) -> bool:
    """Check what a create said, and return whether it said that it created nothing.

    Args:
        order: What was wanted.
        exchanges: What was sent and answered.
        said: What came of it.
        existing: The bill of the reference in the ledger afterwards.
        patience: Seconds for which an unclear end has to be looked after.
    """
    write = _sent_once([one for one in exchanges if one.created == order.reference])
    looks = [one for one in exchanges if one.looked_up == order.reference]
    end = None if write is None else write.end
    if write is None or (end is End.REFUSED and write.code != 38):
        assert isinstance(said, EnkashError), "a bill was returned that nothing was heard of"
        assert not isinstance(said, (OutcomeUnknownError, DuplicateReferenceError)), "it is known, it was not done"
        assert write is None or (isinstance(said, ApiError) and said.status == write.status)
        return True
    if end is End.DONE:
        assert not looks, "a clear answer was looked up"
        assert isinstance(said, Bill)
        assert not said.recovered
        assert existing is not None
        agrees(said, existing)
        assert not differences(order, existing)
        return False
    shown = existing if any(look.shown not in (None, ABSENT) for look in looks) else None
    different = () if shown is None else differences(order, shown)
    if shown is not None and not different:
        assert isinstance(said, Bill), "it was seen, so it is known"
        assert said.recovered
        agrees(said, shown)
        return False
    if end is End.REFUSED:
        assert isinstance(said, DuplicateReferenceError), "another bill was taken for the one that was wanted"
        assert said.differences == different
        return True
    assert isinstance(said, OutcomeUnknownError), "an unclear end that nothing cleared up is unknown"
    assert said.reference_id == order.reference
    if different:
        return False  # it may be the one of this call
    if end is End.UNNAMED:
        assert looks or not patience, "a yes that names no bill was not looked up"
    else:
        _looked_after(write, looks, write.ended_at + patience)
    return False


def _looked_after(unclear: Exchange, looks: Sequence[Exchange], until: float) -> None:
    """Check that the looks went on for a while; a refused token or a denied look ends them."""
    last = looks[-1] if looks else unclear
    assert last.status == 401 or last.ended_at >= until, "given up too early"


def judge_confirmation(
    one: str,
    exchanges: Sequence[Exchange],
    groups: Collection[BulkGroup],
    *,
    patience: float,
    was_debited: bool,
    was_left_open: bool,
) -> None:
    """Check in which group a bill ended up whose debit was to be confirmed.

    Args:
        one: Which bill.
        exchanges: What was sent and answered, of the whole call.
        groups: Where it is; several where an error was raised that leaves it open.
        patience: Seconds for which an unclear end has to be looked after.
        was_debited: Whether an earlier call has had the bill debited.
        was_left_open: Whether an earlier call that was to confirm it was cancelled, or did not know its end.
    """
    writes = [each for each in exchanges if one in each.confirmed]
    write = _sent_once([each for each in writes if each.end is not End.REFUSED])
    shown = [state for each in exchanges if (state := each.shows(one)) is not None]
    confirmed = any(state is not ABSENT and state["approvalStatus"] == "APPROVED" for state in shown)
    if confirmed or (write is not None and write.end is End.DONE):
        assert BulkGroup.SUCCEEDED in groups
    elif write is not None:
        assert BulkGroup.UNKNOWN in groups, "an unclear end that nothing cleared up is unknown"
        looks = [each for each in exchanges if each.ended_at > write.ended_at]
        # A bill that EnKash says it does not have cannot be debited, so there is nothing to wait for.
        if patience and not any(look.shows(one) is ABSENT for look in looks):
            assert looks, "an unclear end was not looked at"
            # The caller's window begins with the call: a slow end leaves time for one look.
            _looked_after(write, looks, exchanges[0].began_at + patience)
    elif was_debited and not shown:
        # An earlier call got its yes a moment ago, or may have been done: both are known without a look.
        assert {BulkGroup.SUCCEEDED, BulkGroup.UNKNOWN, BulkGroup.NOT_SENT} & set(groups)
    else:
        ends = {each.end for each in writes}
        if End.REFUSED in ends or ABSENT in shown:
            only_looked = was_left_open and not writes  # since the earlier call may have sent it
            assert BulkGroup.FAILED in groups or (only_looked and BulkGroup.UNKNOWN in groups)
        elif End.SHUT_OUT in ends:
            # Refused as a 401, or for want of a new token after it: nothing was done in both cases.
            assert {BulkGroup.FAILED, BulkGroup.NOT_SENT} & set(groups)
        else:
            # Unknown where an earlier call that was cancelled has sent it and this one only looked.
            assert {BulkGroup.NOT_SENT, BulkGroup.UNKNOWN} & set(groups)


def by_request(result: BulkResult[Bill]) -> dict[int, BulkItem[Bill]]:
    """Return the items of a bulk create by the identity of their request, each of which is in one group."""
    found: dict[int, BulkItem[Bill]] = {}
    for group in BulkGroup:
        for item in getattr(result, group):
            assert item.group is group
            assert id(item.request) not in found, "an item is in two groups"
            found[id(item.request)] = item
    return found


def judge_repeated(order: Order, first: Order, item: BulkItem[Bill] | None, duplicates: Sequence[str]) -> None:
    """Check what is said of an order whose reference was given before in the same call."""
    if order == first:
        assert item is None
        assert order.reference in duplicates
    else:
        assert item is not None
        assert item.group is BulkGroup.NOT_SENT
        assert isinstance(item.error, InvalidRequestError)


def judge_group(item: BulkItem[Bill], writes: Sequence[Exchange]) -> None:
    """Check that a bill is in the group that its error and its exchanges speak of."""
    if item.value is not None:
        assert item.group is BulkGroup.SUCCEEDED
    elif isinstance(item.error, OutcomeUnknownError) or (
        isinstance(item.error, DuplicateReferenceError) and not item.error.differences
    ):
        assert item.group is BulkGroup.UNKNOWN
    elif item.group is BulkGroup.NOT_SENT:
        assert all(write.end in {End.SHUT_OUT, End.UNSENT} for write in writes)
    else:
        assert item.group is BulkGroup.FAILED
        assert any(write.end is not End.UNSENT for write in writes)


def groups_of(one: str, said: BulkResult[None] | EnkashError) -> set[BulkGroup]:
    """Return the group of a bill; an error that was raised says of all of them that it is unknown, or not done."""
    if isinstance(said, OutcomeUnknownError):
        assert one in said.utility_enkash_ids
        return {BulkGroup.UNKNOWN}
    if isinstance(said, EnkashError):
        return {BulkGroup.FAILED, BulkGroup.NOT_SENT}
    groups = [group for group in BulkGroup for item in getattr(said, group) if item.key == one]
    assert len(groups) == 1, "an id is in exactly one group"
    return set(groups)
