"""What came of a call over many items."""

from __future__ import annotations

import pickle

import attrs
import pytest

from enkash_async.bulk import BulkItem, BulkResult
from enkash_async.errors import BadRequestError, BulkError, EnkashError, OutcomeUnknownError, TransportError

DONE = BulkItem[int]("a", value=1)
REFUSED = BulkItem[int]("b", error=BadRequestError("no"))
UNCLEAR = BulkItem[int]("c", error=OutcomeUnknownError("perhaps"))
UNSENT = BulkItem[int]("d", error=TransportError("down", sent=False))


@pytest.mark.parametrize("result", [BulkResult[int](), BulkResult[int](succeeded=(DONE, DONE))])
def test_nothing_is_raised_when_every_item_succeeded(result: BulkResult[int]) -> None:
    """No items at all count as success."""
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
    """Each of the three groups counts; the error says how many there are, and carries all of them."""
    with pytest.raises(BulkError, match=counts) as caught:
        result.raise_for_failures()
    assert caught.value.result is result
    assert isinstance(caught.value, EnkashError)


def test_a_group_is_a_sequence_in_the_order_given() -> None:
    """It can be indexed and measured."""
    result = BulkResult[int](succeeded=(DONE, BulkItem("z", value=2)))
    assert [item.key for item in result.succeeded] == ["a", "z"]
    assert (len(result.succeeded), result.succeeded[1].value, result.succeeded[0].error) == (2, 2, None)
    assert (result.failed, result.unknown, result.not_sent) == ((), (), ())


@pytest.mark.parametrize("value", [DONE, BulkResult[int](succeeded=(DONE,))])
def test_results_are_frozen_and_can_be_pickled(value: BulkItem[int] | BulkResult[int]) -> None:
    """They travel between processes as errors do."""
    assert pickle.loads(pickle.dumps(value)) == value
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(value, attrs.fields(type(value))[0].name, "other")
