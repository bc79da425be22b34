"""The result of a call over many items."""

from __future__ import annotations

import pickle

import attrs
import pytest

from enkash_async import BillRequest
from enkash_async.bulk import BulkError, BulkGroup, BulkItem, BulkResult, Confirmations
from enkash_async.errors import BadRequestError, EnkashError, OutcomeUnknownError, TransportError
from enkash_async.models import Bill

DONE = BulkItem[int]("a", value=1)
REFUSED = BulkItem[int]("b", error=BadRequestError("no"))
UNCLEAR = BulkItem[int]("c", error=OutcomeUnknownError("perhaps"))
UNSENT = BulkItem[int]("d", error=TransportError("down", sent=False))


@pytest.mark.parametrize("result", [BulkResult[int](), BulkResult[int](succeeded=(DONE, DONE))])
def test_nothing_is_raised_when_every_item_succeeded(result: BulkResult[int]) -> None:
    """A result without items counts as success as well."""
    result.raise_for_failures()


@pytest.mark.parametrize(
    ("result", "counts"),
    [
        (BulkResult[int](failed=(REFUSED,)), "1 failed, 0 unknown, 0 not sent, 0 succeeded"),
        (BulkResult[int](unknown=(UNCLEAR,)), "0 failed, 1 unknown, 0 not sent, 0 succeeded"),
        (BulkResult[int](not_sent=(UNSENT,)), "0 failed, 0 unknown, 1 not sent, 0 succeeded"),
        (
            BulkResult[int](succeeded=(DONE,), failed=(REFUSED,) * 2, unknown=(UNCLEAR,) * 3, not_sent=(UNSENT,) * 4),
            "2 failed, 3 unknown, 4 not sent, 1 succeeded",
        ),
    ],
)
def test_one_item_that_did_not_succeed_is_enough_to_raise(result: BulkResult[int], counts: str) -> None:
    """Each of the three groups raises, and the error has their counts and the whole result."""
    with pytest.raises(BulkError, match=counts) as caught:
        result.raise_for_failures()
    assert caught.value.result is result
    assert isinstance(caught.value, EnkashError)


def test_a_group_is_a_sequence_in_the_order_given() -> None:
    """A group has indexes and a length."""
    result = BulkResult[int](succeeded=(DONE, BulkItem("z", value=2)))
    assert [item.key for item in result.succeeded] == ["a", "z"]
    assert (len(result.succeeded), result.succeeded[1].value, result.succeeded[0].error) == (2, 2, None)
    assert (result.failed, result.unknown, result.not_sent) == ((), (), ())


@pytest.mark.parametrize("value", [DONE, BulkResult[int](succeeded=(DONE,))])
def test_results_are_frozen_and_can_be_pickled(value: BulkItem[int] | BulkResult[int]) -> None:
    """A result travels between processes, as errors do."""
    assert pickle.loads(pickle.dumps(value)) == value
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(value, attrs.fields(type(value))[0].name, "other")


def test_the_error_of_a_result_travels_with_all_of_it() -> None:
    """The parent process sees every item of the error that a worker raised."""
    result = BulkResult[int](succeeded=(DONE,), failed=(BulkItem("b", group=BulkGroup.FAILED),), duplicates=("a",))
    with pytest.raises(BulkError) as caught:
        result.raise_for_failures()
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.result) == (str(caught.value), result)


def test_duplicates_alone_are_no_failure() -> None:
    """The one of each that was sent succeeded, so nothing is raised."""
    BulkResult[int](succeeded=(DONE,), duplicates=("a",)).raise_for_failures()


def test_the_groups_are_named_as_the_members_of_a_result() -> None:
    """A report can use a group's name as the name of the result's member."""
    groups = [group.value for group in BulkGroup]
    assert [name for name in attrs.fields_dict(BulkResult) if name != "duplicates"] == groups
    assert attrs.fields_dict(BulkItem)["group"].default is BulkGroup.SUCCEEDED


def test_an_item_shows_nothing_of_its_request() -> None:
    """The repr hides the request, which has a consumer number, and items compare by their outcome."""
    request = BillRequest(2001, {"cn": "CN123456789"}, name="A. Payer", reference_id="inv-1")
    item = BulkItem("inv-1", value=1, request=request)
    assert "request" not in repr(item)
    assert "123456789" not in repr(BulkResult(succeeded=(item,)))
    assert item == BulkItem("inv-1", value=1)


def test_confirmations_are_frozen_and_can_be_pickled() -> None:
    """A worker can send `Confirmations` to another process, and no caller can change them."""
    unread = BulkItem[Bill]("U-3", error=None, group=BulkGroup.UNKNOWN)
    sorted_bills = Confirmations(confirmed=(Bill(utility_enkash_id="U-1"),), unknown=(unread,))
    assert pickle.loads(pickle.dumps(sorted_bills)) == sorted_bills
    assert sorted_bills.not_confirmed == ()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(sorted_bills, "confirmed", ())  # noqa: B010 (mypy would refuse the assignment)
