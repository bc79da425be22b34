"""The search as a value: each field of a filter in its form, against the members that the page shows (CONTRACT 2.5)."""

from __future__ import annotations

import enum
import itertools
import json
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enkash_async import Bill, BillerType, BillFilter, InvalidRequestError, PaymentStatus, Routes
from enkash_async._calls.search import FORMS, search_body, search_page
from enkash_async._wire.operation import Effect, Operation, Request
from enkash_async._wire.page import Page

#: Each field of the filter, with EnKash's name and its form on the wire: a second writing of the page's list.
MEMBERS: dict[str, tuple[str, str]] = {
    "utility_enkash_ids": ("utilityEnkashIds", "texts"),
    "amount_range_start": ("amountRangeStart", "amount"),
    "amount_range_end": ("amountRangeEnd", "amount"),
    "consumer_number": ("consumerNumber", "text"),
    "consumer_numbers": ("consumerNumbers", "texts"),
    "biller_type": ("billerType", "text"),
    "biller_name": ("billerName", "text"),
    "payment_status": ("paymentStatus", "text"),
    "payment_start_date": ("paymentStartDate", "day"),
    "payment_end_date": ("paymentEndDate", "day"),
    "created_date_from": ("createdDateFrom", "day"),
    "created_date_to": ("createdDateTo", "day"),
    "bill_due_date_from": ("billDueDateFrom", "day"),
    "bill_due_date_to": ("billDueDateTo", "day"),
    "billpay_status": ("billpayStatus", "text"),
    "statuses": ("statuses", "texts"),
    "billpay_date_from": ("billpayDateFrom", "day"),
    "billpay_date_to": ("billpayDateTo", "day"),
    "refund_date_from": ("refundDateFrom", "day"),
    "refund_date_to": ("refundDateTo", "day"),
    "bill_pay_statuses": ("billPayStatuses", "texts"),
    "bill_reference_id": ("billReferenceId", "text"),
    "company_name": ("companyName", "text"),
    "company_id": ("companyId", "text"),
    "utility_enkash_id": ("utilityEnkashId", "text"),
    "maker_user": ("makerUser", "text"),
    "checker_user": ("checkerUser", "text"),
    "company_biller_ids": ("companyBillerIds", "texts"),
    "bill_number": ("billNumber", "text"),
    "approval_status": ("approvalStatus", "text"),
    "service_provider": ("serviceProvider", "text"),
    "payout_start_date": ("payoutStartDate", "day"),
    "payout_end_date": ("payoutEndDate", "day"),
}


class Kind(str, enum.Enum):  # noqa: UP042 (`str()` of such a word is `Kind.POWER`)
    POWER = "ELECTRICITY"


_words = st.text(min_size=1).filter(lambda word: bool(word.strip())) | st.sampled_from(PaymentStatus)
_amounts = st.integers(-(10**12), 10**12) | st.decimals(-(10**12), 10**12, places=2)
#: What may stand in a field of each form.
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "text": _words,
    "texts": st.lists(_words, min_size=1, max_size=4) | st.lists(_words, min_size=1, max_size=4).map(tuple),
    "amount": _amounts,
    "day": st.dates(),
}
#: One value of each form, and how it is written in the body.
SAMPLES: dict[str, tuple[Any, str]] = {
    "text": ("MÜ 7", '"M\\u00dc 7"'),
    "texts": (["1", PaymentStatus.SUCCESS], '["1","SUCCESS"]'),
    "amount": (Decimal("1.50"), "1.50"),
    "day": (date(2024, 12, 17), '"2024-12-17"'),
}


def _page(wanted: Any, offset: int = 0, limit: int = 100) -> Operation[Page[Bill]]:
    return search_page(Routes(), wanted, offset=offset, limit=limit)


# --- forms ------------------------------------------------------------------------------------------------------------


def test_every_field_of_the_filter_has_a_form() -> None:
    """A field without a form, or with one that nothing makes, could not be sent."""
    forms = {field.name: field.metadata.get("form") for field in attrs.fields(BillFilter)}
    assert forms == {name: form for name, (_, form) in MEMBERS.items()}
    assert set(forms.values()) == set(FORMS)


def _assert_exact(names: Iterable[str]) -> None:
    """Fields become their members in the order of the class, and nothing else is sent but the place."""
    wanted = BillFilter(**{name: SAMPLES[MEMBERS[name][1]][0] for name in names})
    members = "".join(f'"{MEMBERS[name][0]}":{SAMPLES[MEMBERS[name][1]][1]},' for name in names)
    assert _page(wanted, 200, 50).request.body == f'{{{members}"offset":200,"limit":50}}'.encode()


@pytest.mark.parametrize("name", MEMBERS)
def test_a_field_alone_becomes_its_member(name: str) -> None:
    """Under EnKash's name, whose spelling differs from field to field."""
    _assert_exact([name])


def test_any_two_fields_and_all_together_become_their_members() -> None:
    """EnKash combines filters with AND, so one that is lost would find too many bills."""
    for pair in itertools.combinations(MEMBERS, 2):
        _assert_exact(pair)
    _assert_exact(MEMBERS)


@given(st.data())
def test_fields_do_not_touch_each_other(data: st.DataObject) -> None:
    """Whatever two or more fields hold, each is sent as it would be alone."""
    names = data.draw(st.lists(st.sampled_from(sorted(MEMBERS)), min_size=2, max_size=5, unique=True))
    given_values = {name: data.draw(VALUES[MEMBERS[name][1]]) for name in names}
    alone = [search_body(BillFilter(**{name: given_values[name]})) for name in names]
    together = search_body(BillFilter(**given_values))
    assert together == {name: value for one in alone for name, value in one.items()}
    assert set(together) == {MEMBERS[name][0] for name in names}


@given(st.data())
def test_every_value_is_sent_exactly(data: st.DataObject) -> None:
    """Read back by another reader: words as they are, days in ISO form, amounts digit for digit."""
    name = data.draw(st.sampled_from(sorted(MEMBERS)))
    value = data.draw(VALUES[MEMBERS[name][1]])
    body = json.loads(_page(BillFilter(**{name: value})).request.body or b"", parse_float=Decimal)
    found = body[MEMBERS[name][0]]
    if isinstance(value, date):
        assert date.fromisoformat(found) == value
    elif isinstance(value, (list, tuple)):
        assert found == list(value)
    else:
        assert found == value
        assert str(found) == str(value) or isinstance(value, Decimal)


@pytest.mark.parametrize(
    ("moment", "day"),
    [(datetime(2024, 12, 17, 18, 29, tzinfo=UTC), "17"), (datetime(2024, 12, 17, 18, 30, tzinfo=UTC), "18")],
)
def test_an_aware_moment_counts_as_its_day_in_india(moment: datetime, day: str) -> None:
    """Midnight there is half past six in the evening in UTC."""
    assert search_body(BillFilter(created_date_from=moment)) == {"createdDateFrom": f"2024-12-{day}"}


@pytest.mark.parametrize("word", ["ELECTRICITY", BillerType.ELECTRICITY, BillerType("ELECTRICITY"), Kind.POWER])
def test_a_word_is_sent_as_it_is(word: Any) -> None:
    """A word of an enum, of this SDK or the caller's own, is the same as a string."""
    made = BillFilter(biller_type=word, statuses=[word])
    assert _page(made).request.body == (
        b'{"billerType":"ELECTRICITY","statuses":["ELECTRICITY"],"offset":0,"limit":100}'
    )


# --- the operation ----------------------------------------------------------------------------------------------------


def test_a_page_is_a_read_that_keeps_consumer_numbers_out_of_errors() -> None:
    """POST, though it changes nothing, so that it may be repeated."""
    made = _page(BillFilter(consumer_number="3333", consumer_numbers=["1111", "2222"]), 5, 5)
    assert made == Operation(
        name="bills.search",
        request=Request(
            method="POST",
            path="/api/v1/utilityPayment/search",
            body=b'{"consumerNumber":"3333","consumerNumbers":["1111","2222"],"offset":5,"limit":5}',
            content_type="application/json",
        ),
        result=Page[Bill],
        effect=Effect.READ,
        sensitive=("1111", "2222", "3333"),
    )


def test_an_empty_filter_asks_for_every_bill() -> None:
    """The place is all that is sent: a null would have to match."""
    assert _page(BillFilter()).request.body == b'{"offset":0,"limit":100}'
    assert _page(BillFilter()).sensitive == ()


# --- what is refused --------------------------------------------------------------------------------------------------

#: Values that each form refuses, and how the message goes on after the field's name.
REFUSED: list[tuple[str, Any, str]] = [
    ("text", 5, " must be a str, not int"),
    ("text", "", " is empty; leave it out or give it a value"),
    ("text", "\ud800", " holds half of a surrogate pair, which cannot be sent as UTF-8"),
    ("texts", "SUCCESS", " must be a list of str, not one str: write ['…']"),
    ("texts", [], " is empty: give at least one"),
    ("texts", ["1", 5], "[1] must be a str, not int"),
    ("amount", 1.5, " must not be a float, floats lose paise: write Decimal('1.5')"),
    ("amount", "5", " must be a Decimal or an int in rupees, not str: write Decimal('2450.75')"),
    ("amount", Decimal("NaN"), " must be a finite number of rupees"),
    ("day", "2024-12-17", " must be a date, not str: write date(2026, 1, 31)"),
    (
        "day",
        datetime(2024, 12, 17),
        " is a date-time without a zone (2024-12-17 00:00:00): pass a date, or add tzinfo=timezone.utc",
    ),
]


@pytest.mark.parametrize(("form", "value", "said"), REFUSED)
def test_a_value_that_its_form_cannot_hold_is_refused(form: str, value: Any, said: str) -> None:
    """In every field of that form, by the field's name; an amount may be zero or less, since it is a bound."""
    for name in (name for name, (_, own) in MEMBERS.items() if own == form):
        with pytest.raises(InvalidRequestError) as caught:
            _page(BillFilter(**{name: value}))
        assert str(caught.value) == f"BillFilter.{name}{said}"


@pytest.mark.parametrize("wanted", [None, {"consumer_number": "1"}, BillFilter])
def test_a_search_takes_a_filter(wanted: Any) -> None:
    """A dictionary could hold names that EnKash does not know and would not miss."""
    with pytest.raises(InvalidRequestError, match=r"^search takes a BillFilter\(...\), not (NoneType|dict|type)$"):
        _page(wanted)
