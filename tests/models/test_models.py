"""The values that calls return: open words, outcomes, and what `repr` hides."""

from __future__ import annotations

import copy
import itertools
import json
import pickle
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from enkash_async._calls.requests import BillRequest
from enkash_async._wire.converter import structure
from enkash_async.errors import InvalidRequestError
from enkash_async.models import (
    ApprovalStatus,
    Bill,
    BillCopyStatus,
    Biller,
    BillerCategory,
    BillerParam,
    BillerType,
    BillFilter,
    BillPayStatus,
    Circle,
    CompanyBiller,
    FetchedBill,
    OpenEnum,
    Outcome,
    PaymentInitiation,
    PaymentMode,
    PaymentStatus,
    PaymentType,
    Reply,
)

SAMPLES = Path(__file__).parents[1] / "samples"


def words(text: str) -> list[str]:
    """Split a list as it stands in the documentation."""
    return text.split()


#: The lists as EnKash's pages print them, run together, and split.
CIRCLES_RAW = "APASMBIHCHEDELGUJHARHPJKKKKERKOLMAHMPMUMNEORIPUNRAJTNUPEUPWWBALLAGRAAHMBHIWANDISURATSHILMUMBRAKALWA"
CIRCLES = words(
    "AP ASM BIH CHE DEL GUJ HAR HP JK KK KER KOL MAH MP MUM NE ORI PUN RAJ TN UPE UPW WB ALL AGRA AHM BHIWANDI SURAT"
    " SHILMUMBRAKALWA"
)
PAYMENT_STATUSES_RAW = (
    "INITPROCESSSUCCESSFAILEDPENDINGCANCELLEDEXPIREDPARTIAL_REFUNDEDREFUNDEDIN_PROCESSAUTHENTICATION_IN_PROCESS"
    "OTP_RENDEREDCHECKOUT_RENDEREDMPI_PROCESSEDMPI_RENDEREDREFUND_IN_PROGRESSREFUND_REQUESTEDPENDING_WITH_BANK"
    "SWAPPEDPAID_OFFLINEPARTIAL_PAID"
)
PAYMENT_STATUSES = words(
    "INIT PROCESS SUCCESS FAILED PENDING CANCELLED EXPIRED PARTIAL_REFUNDED REFUNDED IN_PROCESS"
    " AUTHENTICATION_IN_PROCESS OTP_RENDERED CHECKOUT_RENDERED MPI_PROCESSED MPI_RENDERED REFUND_IN_PROGRESS"
    " REFUND_REQUESTED PENDING_WITH_BANK SWAPPED PAID_OFFLINE PARTIAL_PAID"
)
SEARCHABLE_STATUSES = words(
    "PROCESS SUCCESS FAILED PENDING CANCELLED EXPIRED PARTIAL_REFUNDED REFUNDED IN_PROCESS REFUND_REQUESTED"
    " PENDING_WITH_BANK"
)
BILLPAY_STATUSES = words("SUCCESS FAILED PENDING IN_PROGRESS ON_HOLD REINITIATE AGENCY_FAILED")
PAYMENT_MODES = words(
    "CREDIT_CARD DEBIT_CARD NET_BANKING UPI PREPAID_CARD INVALID_PAYMENT_MODE SEAMLESS_BANKING VIRTUAL_ACCOUNT"
    " TALLY_PAYMENT ENKASH_COIN CASH CHEQUE ACCOUNT_TRANSFER"
)
PAYMENT_TYPES = words("INVOICE GST UTILITY RENTAL CONSENT_TRANSACTION COLLECTION_INVOICE ADVANCE_PAYMENT")

LISTS: list[tuple[type[OpenEnum], list[str], int]] = [
    (Circle, CIRCLES, 29),
    (PaymentStatus, PAYMENT_STATUSES, 21),
    (BillPayStatus, BILLPAY_STATUSES, 7),
    (PaymentMode, PAYMENT_MODES, 13),
    (BillCopyStatus, ["FAILED", "PENDING", "SUCCESS"], 3),
    (PaymentType, PAYMENT_TYPES, 7),
    (BillerType, ["ELECTRICITY"], 1),
]
KINDS = [ApprovalStatus, *(kind for kind, _, _ in LISTS)]
REPLIES: list[type[Reply]] = [Bill, FetchedBill, CompanyBiller, Biller, BillerParam, BillerCategory, PaymentInitiation]
IST = timezone(timedelta(hours=5, minutes=30))


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest) -> type[OpenEnum]:
    found: type[OpenEnum] = request.param
    return found


# --- open enums -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "words", "count"), LISTS, ids=lambda value: getattr(value, "__name__", ""))
def test_every_documented_word_is_a_member(kind: type[OpenEnum], words: list[str], count: int) -> None:
    """The enum has exactly the words of the page, in its order and under their own names."""
    assert [member.value for member in kind] == words
    assert [member.name for member in kind] == words
    assert len(words) == len(set(words)) == count
    assert all(kind(word).is_known for word in words)


def test_the_lists_run_together_are_those_of_the_pages() -> None:
    """The pages print the words without separators, and splitting them loses none."""
    assert "".join(Circle) == CIRCLES_RAW
    assert "".join(PaymentStatus) == PAYMENT_STATUSES_RAW


def test_the_words_that_a_search_takes_are_payment_statuses() -> None:
    """The filter names eleven of the twenty-one payment statuses."""
    assert len(SEARCHABLE_STATUSES) == 11
    assert set(SEARCHABLE_STATUSES) < set(PaymentStatus)
    assert BillFilter.__doc__ is not None
    assert all(word in BillFilter.__doc__ for word in SEARCHABLE_STATUSES)


@pytest.mark.parametrize("word", ["MAKER_APPROVAL_PENDING", "CHECKER_APPROVED"])
def test_the_approval_words_that_were_seen_are_members(word: str) -> None:
    """The enum knows the words that EnKash sends, although no page lists them."""
    assert ApprovalStatus(word).is_known


@pytest.mark.parametrize(
    ("kind", "word"),
    [(PaymentStatus, "COMPLETED"), (BillPayStatus, "COMPLETED"), (Circle, "MUMBAI"), (BillerType, "GAS")],
)
def test_the_words_of_the_examples_that_no_list_has_are_kept(kind: type[OpenEnum], word: str) -> None:
    """The enum keeps words of EnKash's webhook example that its lists do not have."""
    found = kind(word)
    assert isinstance(found, kind)
    assert not found.is_known
    assert found.value == found.name == word
    assert repr(found) == f"<{kind.__name__} '{word}' (not a documented word)>"


def test_the_repr_of_a_known_word_has_no_mark() -> None:
    """The mark stands for unknown words, which a user looks for in a log."""
    assert repr(Circle.MUM) == "<Circle 'MUM'>"


@given(st.sampled_from(KINDS), st.text())
def test_any_word_is_a_value_that_equals_the_word(kind: type[OpenEnum], text: str) -> None:
    """The value compares, hashes, formats and sorts as the string, on either side."""
    word = kind(text)
    assert isinstance(word, kind)
    assert word == text
    assert text == word
    assert hash(word) == hash(text)
    assert {text: 1}[word] == 1
    assert word == kind(text)
    assert (str(word), f"{word}", word.value, json.dumps(word)) == (text, text, text, json.dumps(text))
    assert type(word.value) is str
    assert word.is_known == (text in kind.__members__)
    assert word != text + "x"


@given(st.sampled_from(KINDS), st.text())
def test_any_word_survives_a_copy(kind: type[OpenEnum], text: str) -> None:
    """Copies and pickles are equal, and a known word stays the same member."""
    word = kind(text)
    twins = [pickle.loads(pickle.dumps(word, number)) for number in range(2, pickle.HIGHEST_PROTOCOL + 1)]
    for twin in (*twins, copy.copy(word), copy.deepcopy(word)):
        assert type(twin) is kind
        assert (twin, twin.value, twin.is_known) == (word, text, word.is_known)
        assert not word.is_known or twin is word


def test_unknown_words_do_not_grow_the_class(kind: type[OpenEnum]) -> None:
    """Made-up words do not fill the memory of a long-running worker."""
    members, values = dict(kind.__members__), dict(kind._value2member_map_)
    made_up = [kind(f"MADE_UP_{number}") for number in range(1_000)]
    assert (dict(kind.__members__), dict(kind._value2member_map_)) == (members, values)
    assert list(kind) == list(members.values())
    assert not any(word.is_known for word in made_up)


@pytest.mark.parametrize("value", [None, 5, True, 1.5, b"SUCCESS", ["SUCCESS"], {}])
def test_what_is_no_string_is_no_word(kind: type[OpenEnum], value: object) -> None:
    """The enum refuses values of other types."""
    with pytest.raises(ValueError, match=f"not a valid {kind.__name__}"):
        kind(value)  # type: ignore[arg-type]  # what mypy would tell a user


def test_a_word_of_another_enum_becomes_a_plain_word() -> None:
    """Its `.value` is a plain string, not the other enum's member."""
    assert PaymentStatus(BillPayStatus.SUCCESS) is PaymentStatus.SUCCESS
    assert type(PaymentStatus(BillPayStatus.ON_HOLD).value) is str


# --- outcome ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "outcome"),
    [
        ("SUCCESS", Outcome.PAID),
        ("FAILED", Outcome.FAILED),
        ("PENDING", Outcome.PENDING),
        ("IN_PROGRESS", Outcome.PENDING),
        ("ON_HOLD", Outcome.PENDING),
        ("REINITIATE", Outcome.PENDING),
        ("AGENCY_FAILED", Outcome.PENDING),
        ("COMPLETED", Outcome.PENDING),
        ("success", Outcome.PENDING),
        ("Failed", Outcome.PENDING),
        (" SUCCESS", Outcome.PENDING),
        ("", Outcome.PENDING),
        (None, Outcome.PENDING),
    ],
)
def test_only_two_words_settle_a_bill(word: str | None, outcome: Outcome) -> None:
    """SUCCESS is paid, FAILED is failed, and every other word, or none, is pending."""
    bill = Bill(billpay_status=None if word is None else BillPayStatus(word))
    assert bill.outcome is outcome
    assert bill.is_settled is (outcome is not Outcome.PENDING)


def test_outcome_has_three_words() -> None:
    """The words compare with strings and can be stored."""
    assert [str(outcome) for outcome in Outcome] == ["PAID", "FAILED", "PENDING"]
    assert pickle.loads(pickle.dumps(Outcome.PAID)) is Outcome.PAID


@given(st.text(), st.text())
def test_no_other_word_settles_a_bill(billpay: str, payment: str) -> None:
    """The payment status PAID does not settle a bill; `billpayStatus` alone does."""
    assume(billpay not in {"SUCCESS", "FAILED"})
    bill = Bill(billpay_status=BillPayStatus(billpay), payment_status=PaymentStatus(payment))
    assert bill.outcome is Outcome.PENDING


# --- whether the debit was confirmed ----------------------------------------------------------------------------------

WAITS = "MAKER_APPROVAL_PENDING"
DAY = datetime(2026, 1, 31, tzinfo=IST)

#: Approval, payment and billpay words, and what they say together; None for a word that EnKash omits.
DEBITS: list[tuple[str | None, str | None, str | None, bool | None]] = [
    # Words of waiting, and none of progress.
    (WAITS, None, None, False),
    (WAITS, None, "PENDING", False),
    (WAITS, "INIT", None, False),
    (WAITS, "INIT", "PENDING", False),
    (WAITS, "PENDING", None, False),
    ("CHECKER_APPROVAL_PENDING", "INIT", "PENDING", False),
    ("PENDING", "INIT", "PENDING", False),
    (None, "INIT", None, False),
    (None, "INIT", "PENDING", False),
    (" maker_approval_pending ", " init", " pending", False),
    # An approval.
    ("APPROVED", None, None, True),
    ("CHECKER_APPROVED", "INIT", "PENDING", True),
    ("checker_approved ", "PENDING", None, True),
    ("APPROVED", "FAILED", "FAILED", True),
    ("APPROVED", "COMPLETED", "COMPLETED", True),  # the example of the webhook's page
    # Money that has moved.
    *((None, word, None, True) for word in ("PROCESS", "SUCCESS", "IN_PROCESS", "PENDING_WITH_BANK", "PAID_OFFLINE")),
    *((None, word, "FAILED", True) for word in ("REFUND_IN_PROGRESS", "REFUND_REQUESTED", "REFUNDED")),
    (None, "PARTIAL_REFUNDED", None, True),
    (None, "PARTIAL_PAID", None, True),
    (WAITS, "SUCCESS", None, True),
    (None, "success", None, True),
    # A bill that is paid.
    (None, None, "SUCCESS", True),
    (WAITS, "INIT", "SUCCESS", True),  # the example of the search's page
    (None, "FAILED", "SUCCESS", True),
    # What may mean the one or the other, or says nothing.
    (None, None, None, None),
    (None, None, "PENDING", None),
    ("APPROVAL_SKIPPED", "INIT", "PENDING", None),
    (None, "PENDING", None, None),
    (None, "PENDING", "PENDING", None),
    *((None, "INIT", word, None) for word in ("FAILED", "IN_PROGRESS", "ON_HOLD", "REINITIATE", "AGENCY_FAILED")),
    (None, None, "IN_PROGRESS", None),
    (None, None, "in_progress", None),
    ("REJECTED", "INIT", "PENDING", None),
    ("A_NEW_WORD", None, None, None),
    *((WAITS, word, None, None) for word in ("FAILED", "CANCELLED", "EXPIRED", "SWAPPED", "A_NEW_WORD")),
    *((None, word, None, None) for word in ("FAILED", "OTP_RENDERED", "AUTHENTICATION_IN_PROCESS", "COMPLETED")),
    *((None, "INIT", word, None) for word in ("COMPLETED", "A_NEW_WORD", "success")),
    # Words that contradict each other: an approval that waits, and a bill that has gone on.
    *((WAITS, "INIT", word, None) for word in ("IN_PROGRESS", "ON_HOLD", "REINITIATE", "AGENCY_FAILED", "FAILED")),
    (WAITS, "INIT", "COMPLETED", None),
]


def _standing(approval: str | None, payment: str | None, billpay: str | None, **dates: datetime) -> Bill:
    return Bill(
        approval_status=None if approval is None else ApprovalStatus(approval),
        payment_status=None if payment is None else PaymentStatus(payment),
        billpay_status=None if billpay is None else BillPayStatus(billpay),
        approved_date=dates.get("approved"),
        payment_date=dates.get("paid"),
    )


@pytest.mark.parametrize(("approval", "payment", "billpay", "confirmed"), DEBITS)
def test_three_words_tell_whether_the_debit_was_confirmed(
    approval: str | None, payment: str | None, billpay: str | None, confirmed: bool | None
) -> None:
    """The answer is False, which allows a confirmation, only where no word speaks against it."""
    assert _standing(approval, payment, billpay).debit_confirmed is confirmed


@pytest.mark.parametrize(("approval", "payment", "billpay", "confirmed"), DEBITS)
def test_what_cannot_be_read_leaves_the_debit_unknown(
    approval: str | None, payment: str | None, billpay: str | None, confirmed: bool | None
) -> None:
    """Whatever the words say, a bill of which a member is unreadable counts as not shown."""
    bill = attrs.evolve(_standing(approval, payment, billpay, paid=DAY), unreadable=("amount is not a number",))
    assert bill.debit_confirmed is None


@pytest.mark.parametrize(("approval", "payment", "billpay", "confirmed"), DEBITS)
@pytest.mark.parametrize("dates", [{"approved": DAY}, {"paid": DAY}, {"approved": DAY, "paid": DAY}])
def test_a_date_of_approval_or_payment_is_a_confirmation(
    approval: str | None, payment: str | None, billpay: str | None, confirmed: bool | None, dates: dict[str, datetime]
) -> None:
    """The date outweighs the words, because it records what happened."""
    assert _standing(approval, payment, billpay, **dates).debit_confirmed is True


def test_no_words_but_those_of_waiting_leave_a_debit_to_be_confirmed() -> None:
    """Prevents a double debit: the client confirms at no other word."""
    approvals = (None, WAITS, "APPROVED", "REJECTED", "A_NEW_WORD")
    payments = (None, *PAYMENT_STATUSES, "COMPLETED", "A_NEW_WORD")
    billpays = (None, *BILLPAY_STATUSES, "COMPLETED", "success", "A_NEW_WORD")
    false = {
        words
        for words in itertools.product(approvals, payments, billpays)
        if _standing(*words).debit_confirmed is False
    }
    approval_waits = set(itertools.product((WAITS,), (None, "INIT", "PENDING"), (None, "PENDING")))
    assert false == approval_waits | {(None, "INIT", None), (None, "INIT", "PENDING")}


def test_the_sample_bill_is_confirmed() -> None:
    """Its approval word says so, although its other words are in no list."""
    assert webhook_bill().debit_confirmed is True


# --- values -----------------------------------------------------------------------------------------------------------


def webhook_bill() -> Bill:
    return structure(json.loads((SAMPLES / "webhook_bill.json").read_bytes(), parse_float=Decimal), Bill)


@pytest.mark.parametrize("kind", REPLIES, ids=lambda kind: kind.__name__)
def test_every_value_can_be_made_without_any_member(kind: type[Reply]) -> None:
    """Users' tests make such values; two are equal and do not share an `extra`."""
    one, two = kind(), kind()
    assert one == two
    assert hash(one) == hash(two)
    assert one.extra == {}
    assert one.extra is not two.extra


@pytest.mark.parametrize("kind", REPLIES, ids=lambda kind: kind.__name__)
def test_every_value_is_frozen_and_takes_its_members_by_name(kind: type[Reply]) -> None:
    """A later release may change the order of members."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        kind().extra = {}  # type: ignore[misc]
    build: Callable[..., Reply] = kind
    with pytest.raises(TypeError, match="positional"):
        build("x")


def test_a_bill_can_be_pickled_hashed_and_compared() -> None:
    """Bills travel to workers, into sets and as the evidence of errors."""
    bill = webhook_bill()
    for number in range(2, pickle.HIGHEST_PROTOCOL + 1):
        twin = pickle.loads(pickle.dumps(bill, number))
        assert twin == bill
        assert hash(twin) == hash(bill)
    assert copy.deepcopy(bill) == bill
    assert bill != attrs.evolve(bill, amount=Decimal("2450.76"))
    assert len({bill, webhook_bill(), attrs.evolve(bill, reference_id="other")}) == 2


def test_members_that_are_unknown_count_for_equality_and_not_for_the_hash() -> None:
    """Two bills with different `extra` are unequal and share a hash, because a dict has none."""
    bare, full = Bill(), Bill(extra={"x": [1]})
    assert bare != full
    assert hash(bare) == hash(full)


def test_an_initiation_with_any_payload_can_be_hashed_and_pickled() -> None:
    """The payload may be a dict, which has no hash."""
    made = PaymentInitiation(payload={"url": "https://pay.example/once"})
    assert isinstance(hash(made), int)
    assert pickle.loads(pickle.dumps(made)) == made


# --- repr -------------------------------------------------------------------------------------------------------------


def test_repr_shows_no_personal_data() -> None:
    """A log shows the last four characters of a consumer number, which tell two apart."""
    bill = attrs.evolve(webhook_bill(), bill_copy_pdf_url="https://files.example/hush", extra={"iban": "hush-extra"})
    for shown in (repr(bill), str(bill), f"{bill}", repr([bill]), repr(bill.company_biller)):
        assert "CN123456789" not in shown
        assert "Asha" not in shown
        assert "consumer_number=CN" not in shown
        assert "hush" not in shown
        assert "0417" not in shown
        assert "…6789" in shown
    assert "'iban': …" in repr(bill)
    assert "amount=Decimal('2450.75')" in repr(bill)


@pytest.mark.parametrize(("number", "shown"), [("1", "'…'"), ("1234", "'…'"), ("12345", "'…2345'")])
@pytest.mark.parametrize("kind", [Bill, CompanyBiller])
def test_a_short_consumer_number_is_not_shown_at_all(kind: type[Any], number: str, shown: str) -> None:
    """The repr hides it, because its last four characters are all of it."""
    assert f"consumer_number={shown}" in repr(kind(consumer_number=number))


def test_repr_of_the_other_values_shows_no_personal_data() -> None:
    """Names, values of params, payment links and consumer numbers of filters are hidden."""
    hushed: list[object] = [
        FetchedBill(user_name="hush", extra={"mobile": "hush"}),
        BillerParam(key="cn", value="hush"),
        Biller(biller_params=(BillerParam(value="hush"),)),
        PaymentInitiation(payload={"link": "hush"}),
        CompanyBiller(consumer_name="hush", bill_input_params="hush"),
        BillFilter(consumer_number="hush", consumer_numbers=["hush"]),
    ]
    assert "hush" not in repr(hushed)


def test_repr_leaves_out_what_is_not_set() -> None:
    """The repr of a bill shows only those of its forty members that have a value."""
    assert repr(FetchedBill(bill_number="B-1")) == "FetchedBill(bill_number='B-1')"
    assert repr(Biller(biller_id=2001)) == "Biller(biller_id=2001)"
    assert repr(BillerCategory()) == "BillerCategory()"
    assert "remarks" not in repr(Bill(remarks=""))


def test_zero_and_false_are_shown() -> None:
    """The repr hides absent members alone, so a zero amount stays visible."""
    shown = repr(Bill(amount=Decimal(0)))
    assert "amount=Decimal('0')" in shown
    assert "recovered=False" in shown


# --- the filter -------------------------------------------------------------------------------------------------------


def test_the_filter_has_one_keyword_for_every_documented_member() -> None:
    """The filter has the members of table and example; the pager sets `offset` and `limit`."""
    documented = words("""
        utility_enkash_ids amount_range_start amount_range_end consumer_number consumer_numbers biller_type biller_name
        payment_status payment_start_date payment_end_date created_date_from created_date_to bill_due_date_from
        bill_due_date_to billpay_status statuses billpay_date_from billpay_date_to refund_date_from refund_date_to
        bill_pay_statuses bill_reference_id
        company_name company_id utility_enkash_id maker_user checker_user company_biller_ids bill_number approval_status
        service_provider payout_start_date payout_end_date
    """)
    assert {field.name for field in attrs.fields(BillFilter)} == set(documented)
    assert all(value is None for value in attrs.asdict(BillFilter()).values())


def test_a_filter_takes_words_and_days() -> None:
    """The filter is a frozen value."""
    made = BillFilter(statuses=["SUCCESS", PaymentStatus.FAILED], created_date_from=date(2024, 12, 17))
    assert made == BillFilter(statuses=["SUCCESS", "FAILED"], created_date_from=date(2024, 12, 17))
    assert "2024" in repr(made)


def test_the_sample_bill_has_the_values_of_its_page() -> None:
    """Each member of the documented webhook example has its value."""
    bill = webhook_bill()
    assert attrs.asdict(bill, recurse=False) == {
        "utility_enkash_id": "UTIL-87654321",
        "reference_id": "REF-XYZABC123456",
        "company_name": None,
        "amount": Decimal("2450.75"),
        "consumer_number": "CN123456789",
        "consumer_name": "Asha Sample",
        "bill_date": date(2025, 5, 10),
        "bill_due_date": date(2025, 5, 25),
        "created_date": datetime(2025, 5, 12, 14, 30, 25, tzinfo=IST),
        "bill_number": "BN-2025-05-0042",
        "biller_bill_number": "BBN-778899",
        "number_of_units": Decimal(215),
        "approval_status": ApprovalStatus("APPROVED"),
        "approval_remarks": "Checked against the meter",
        "payment_status": PaymentStatus("COMPLETED"),
        "billpay_status": BillPayStatus("COMPLETED"),
        "failure_reason": None,
        "failure_code": None,
        "payment_date": datetime(2025, 5, 20, 10, 15, 30, tzinfo=IST),
        "billpay_date": datetime(2025, 5, 20, 10, 16, 5, tzinfo=IST),
        "payment_mode": None,
        "approved_date": datetime(2025, 5, 19, 17, 45, tzinfo=IST),
        "refund_date": None,
        "bill_reference_id": "BR-20250520-0001",
        "bill_start_date": date(2025, 4, 1),
        "bill_end_date": date(2025, 4, 30),
        "remarks": "April electricity",
        "company_biller": CompanyBiller(
            company_biller_id="CB-54321",
            company_name="Sample Traders",
            biller=Biller(biller_id=2001, name="Sample Power", biller_type=BillerType.ELECTRICITY),
            circle_enum=Circle("MUMBAI"),
            bill_input_params="consumer_number=CN123456789",
            biller_params=(
                BillerParam(key="cn", name="Consumer Number", value="CN123456789"),
                BillerParam(key="ad1", name="Billing Unit", value="0417"),
            ),
            consumer_number="CN123456789",
            consumer_name="Asha Sample",
        ),
        "bill_amount": Decimal("2450.75"),
        "early_payment_date": date(2025, 5, 18),
        "early_payment_amount": Decimal("2400.00"),
        "late_payment_amount": Decimal("2525.50"),
        "actual_due_date": date(2025, 5, 25),
        "company_id": "COMP-123456",
        "bank_transaction_id": "BTX-555001",
        "validation_id": None,
        "bill_copy_status": None,
        "bill_copy_pdf_url": None,
        "recovered": False,
        "extra": {},
        "unreadable": (),
    }
    assert str(bill.early_payment_amount) == "2400.00"
    assert bill.outcome is Outcome.PENDING


# --- requests ---------------------------------------------------------------------------------------------------------

CN = {"cn": "CN123456789"}
FULL = BillRequest(
    2001,
    {"cn": "CN123456789", "ad1": "0417"},
    reference_id="inv-1",
    bill_amount=Decimal("2450.75"),
    circle=Circle.MUM,
    bill_date=date(2026, 1, 2),
    bill_due_date=date(2026, 1, 31),
    remarks="January",
    key_contact_email="ap-team@example.com",
    name="Asha Sample",
    email="asha@example.com",
    extra={"walletId": "W-1", "amounts": [Decimal("0.10"), date(2026, 1, 3)]},
)
FETCHED = FetchedBill(
    bill_number="N-1",
    company_biller_id="CB-1",
    bill_net_amount=Decimal("2450.75"),
    user_name="Asha Sample",
    biller_id=2001,
    consumer_number="CN123456789",
)
PAYABLE = BillRequest(2001, CN, reference_id="inv-1", bill_amount=10, circle=Circle.MUM, remarks="x", fetched=FETCHED)


def test_a_request_takes_numbers_where_they_are_exact() -> None:
    """Whole numbers become digits and whole rupees a Decimal, as in `bills.create`."""
    made = BillRequest(2001, {"cn": 123, "ad1": "007"}, bill_amount=25)
    assert (made.params, made.bill_amount) == ({"cn": "123", "ad1": "007"}, Decimal(25))
    assert isinstance(made.bill_amount, Decimal)
    assert (made.reference_id, made.fetched) == (None, None)


def test_a_request_takes_what_was_fetched_for_it() -> None:
    """The request also takes a fetched bill that names no consumer."""
    assert PAYABLE.fetched is FETCHED
    assert BillRequest(2001, {"cn": "1"}, fetched=FetchedBill(company_biller_id="CB-1")).fetched is not None


@pytest.mark.parametrize("name", ["bill_date", "bill_due_date", "name", "email", "extra"])
def test_what_the_create_after_a_fetch_does_not_take_is_refused(name: str) -> None:
    """The request raises, because the create would drop the argument silently."""
    with pytest.raises(InvalidRequestError, match=f"^{name} cannot be sent with what was fetched: leave it out"):
        attrs.evolve(PAYABLE, **{name: getattr(FULL, name)})


def test_a_request_keeps_its_params_when_those_given_change() -> None:
    """The request copies the caller's dict, which may serve the next one."""
    params = dict(CN)
    made = BillRequest(2001, params)
    params["cn"] = "other"
    assert made.params == CN


WRONG: list[tuple[str, Callable[[Any], Any], str]] = [
    ("biller id as str", lambda make: make("2001", CN), "biller_id must be an int such as 2001"),
    ("biller id of nobody", lambda make: make(0, CN), "take it from billers.list"),
    ("biller id as bool", lambda make: make(True, CN), "not bool"),
    ("no cn", lambda make: make(2001, {"ad1": "1"}), "params needs 'cn'"),
    ("empty cn", lambda make: make(2001, {"cn": " "}), r"params\['cn'\] is empty"),
    ("params as list", lambda make: make(2001, ["cn"]), "params must be a mapping"),
    ("float in params", lambda make: make(2001, {"cn": 1.5}), "must be a str, not float"),
    ("empty reference", lambda make: make(2001, CN, reference_id=""), "reference_id is empty"),
    ("dots as reference", lambda make: make(2001, CN, reference_id=".."), "must not be '..'"),
    ("reference as int", lambda make: make(2001, CN, reference_id=5), "reference_id must be a str, not int"),
    ("float amount", lambda make: make(2001, CN, bill_amount=2450.75), r"write Decimal\('2450.75'\)"),
    ("amount as str", lambda make: make(2001, CN, bill_amount="10"), "must be a Decimal or an int"),
    ("amount below 1", lambda make: make(2001, CN, bill_amount=0), "at least 1 rupee"),
    ("fetched as dict", lambda make: make(2001, CN, fetched={}), "what fetch_current returned, not dict"),
    ("fetched elsewhere", lambda make: make(2003, CN, fetched=FETCHED), "fetched for another biller or consumer"),
    ("fetched for another", lambda make: make(2001, {"cn": "1"}, fetched=FETCHED), "belongs to another bill"),
]


@pytest.mark.parametrize(("call", "said"), [pytest.param(call, said, id=name) for name, call, said in WRONG])
def test_a_wrong_request_is_refused_where_it_is_made(call: Callable[[Any], Any], said: str) -> None:
    """The constructor raises, not a job later, and the message hides the consumer number."""
    with pytest.raises(InvalidRequestError, match=said) as caught:
        call(BillRequest)
    assert "CN123456789" not in str(caught.value)


def test_the_order_of_the_other_arguments_may_change() -> None:
    """`BillRequest` takes its third argument by name alone, so a later release can add one before it."""
    build: Callable[..., BillRequest] = BillRequest
    with pytest.raises(TypeError, match="positional"):
        build(2001, CN, "inv-1")


def test_a_request_is_named_by_its_reference() -> None:
    """The key of a request is its reference, whichever other members it has."""
    assert FULL.key == "inv-1"


def test_without_a_reference_a_request_is_named_without_the_consumer_number() -> None:
    """The key has the biller, the number's last characters and a hash."""
    request = attrs.evolve(FULL, reference_id=None)
    shown, kept_apart = request.key.rsplit("/", 1)
    assert shown == "2001/…6789"
    assert request.key == attrs.evolve(FULL, reference_id=None).key
    assert kept_apart not in request.digest
    assert BillRequest(2001, {"cn": "1234"}).key.startswith("2001/…/")
    others = [BillRequest(2001, {"cn": f"CN{number}6789"}).key for number in range(200)]
    assert len(set(others)) == 200


CHANGES: dict[str, Any] = {
    "biller_id": 2003,
    "params": {"cn": "CN123456789", "ad1": "0418"},
    "bill_amount": Decimal("2450.76"),
    "circle": Circle.DEL,
    "bill_date": date(2026, 1, 3),
    "bill_due_date": None,
    "remarks": "February",
    "key_contact_email": None,
    "name": "Other",
    "email": "other@example.com",
    "extra": {"walletId": "W-2"},
}


def test_the_digest_is_of_every_argument_but_the_reference() -> None:
    """The digest tells one reference for two bills from one bill given twice; a ceiling makes no other bill."""
    members = {field.name for field in attrs.fields(BillRequest)}
    assert members == {*CHANGES, "reference_id", "fetched", "max_amount"}
    assert attrs.evolve(FULL, max_amount=Decimal(9)).digest == FULL.digest
    assert attrs.evolve(FULL, reference_id="inv-2").digest == FULL.digest
    digests = {attrs.evolve(FULL, **{name: value}).digest for name, value in CHANGES.items()}
    assert len({FULL.digest, *digests}) == 1 + len(CHANGES)


def test_the_digest_is_also_of_what_was_fetched() -> None:
    """Consumer and amount of the fetched bill count, and its other members do not."""
    changes: list[dict[str, Any]] = [
        {"company_biller_id": "CB-2"},
        {"bill_net_amount": Decimal(1)},
        {"bill_amount": Decimal(1)},
    ]
    others = {attrs.evolve(PAYABLE, fetched=attrs.evolve(FETCHED, **change)).digest for change in changes}
    assert len({PAYABLE.digest, attrs.evolve(PAYABLE, fetched=None).digest, *others}) == 2 + len(changes)
    again = attrs.evolve(FETCHED, bill_number="N-2", status_message="due")
    assert attrs.evolve(PAYABLE, fetched=again).digest == PAYABLE.digest


def test_the_digest_is_the_same_on_every_machine() -> None:
    """The digest is a constant for equal values in any spelling."""
    made = BillRequest(2001, {"cn": 123, "ad1": "x"}, circle="MUM", bill_amount=25)
    same = BillRequest(2001, {"ad1": "x", "cn": "123"}, circle=Circle.MUM, bill_amount=Decimal(25))
    assert made == same
    assert made.digest == same.digest
    assert made.digest == "1dcea6f3e6c70e2adc4bc43d064151a83220c729cd3990716ea2dc32cbaa3484"


@given(st.decimals(1, 10**6, places=2), st.integers(0, 3))
def test_equal_requests_have_one_digest(amount: Decimal, zeros: int) -> None:
    """Trailing zeros of an amount do not change the digest."""
    longer = Decimal(f"{amount}{'0' * zeros}")
    one, two = (BillRequest(2001, CN, bill_amount=given) for given in (amount, longer))
    assert one == two
    assert one.digest == two.digest


def test_a_request_shows_no_personal_data() -> None:
    """A log shows the last characters of the number, which tell two apart."""
    for shown in (repr(FULL), str(FULL), f"{FULL}", repr([FULL]), repr(PAYABLE)):
        assert not any(word in shown for word in ("CN123456789", "Asha", "@example.com", "W-1", "0417"))
        assert "'cn': '…6789'" in shown
        assert "reference_id='inv-1'" in shown
        assert "Decimal('2450.75')" in shown


@pytest.mark.parametrize("made", [FULL, PAYABLE], ids=["full", "fetched"])
def test_a_request_can_be_hashed_pickled_and_compared(made: BillRequest) -> None:
    """A request travels to workers and into sets, and no code can change it."""
    for number in range(2, pickle.HIGHEST_PROTOCOL + 1):
        twin = pickle.loads(pickle.dumps(made, number))
        assert (twin, twin.digest, hash(twin)) == (made, made.digest, hash(made))
    assert copy.deepcopy(made) == made
    assert len({made, attrs.evolve(made), attrs.evolve(made, reference_id="inv-2")}) == 2
    assert attrs.evolve(made, params=CN | {"ad1": "x"}) != made
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(made, "biller_id", 1)  # noqa: B010 (mypy would refuse the assignment)


def test_an_extra_that_cannot_be_sent_is_refused_when_it_is_digested() -> None:
    """The error names its place, as `bills.create` does."""
    with pytest.raises(InvalidRequestError, match=r"\['extra'\]\['x'\] must not be a float"):
        _ = BillRequest(2001, CN, extra={"x": 1.5}).digest
