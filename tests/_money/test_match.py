"""Whether a bill that was found is the one that was asked for: what differs, what is not said, what is shown."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enkash_async import Bill, Biller, Circle, CompanyBiller, FetchedBill
from enkash_async._calls.bills import Wanted
from enkash_async._money.match import (
    Amount,
    Match,
    compare,
    contradicts_fetch,
    contradicts_id,
    contradicts_reference,
    contradicts_wanted,
    described,
    refusal,
    vouches,
)
from enkash_async.errors import BadRequestError, NotFoundError
from enkash_async.models._billers import BillerParam

CONSUMER = "CN123456789"
WANTED = Wanted(
    reference_id="inv-1",
    biller_id=2001,
    consumer_number=CONSUMER,
    company_biller_id="CB-1",
    amount=Decimal("2450.75"),
)
BILL = Bill(
    utility_enkash_id="UTIL-1",
    reference_id="inv-1",
    consumer_number=CONSUMER,
    amount=Decimal("2450.75"),
    company_biller=CompanyBiller(company_biller_id="CB-1", biller=Biller(biller_id=2001)),
)


def _bill(*, biller: int | None = 2001, company: str | None = "CB-1", **members: Any) -> Bill:
    """Return the bill with other members; `biller` and `company` go into its `companyBiller`."""
    owner = CompanyBiller(company_biller_id=company, biller=None if biller is None else Biller(biller_id=biller))
    return attrs.evolve(BILL, company_biller=owner, **members)


# --- what differs -----------------------------------------------------------------------------------------------------

SAME = Match()
UNSTATED = Match(amount=Amount.UNSTATED)
SILENT = Match(amount=Amount.UNSTATED, identified=False)
OTHER_AMOUNT = Match(amount=Amount.OTHER)


def _hard(*names: str, amount: Amount = Amount.SAME) -> Match:
    return Match(hard=names, amount=amount)


def _soft(*names: str, identified: bool = True) -> Match:
    return Match(soft=names, identified=identified)


def _with_inputs(circle: str | None = None, **inputs: str) -> Bill:
    params = tuple(BillerParam(key=key, value=value) for key, value in inputs.items())
    owner = CompanyBiller(
        company_biller_id="CB-1",
        biller=Biller(biller_id=2001),
        biller_params=params,
        circle_enum=None if circle is None else Circle(circle),
    )
    return attrs.evolve(BILL, company_biller=owner)


@pytest.mark.parametrize(
    ("wanted", "bill", "expected"),
    [
        pytest.param({}, BILL, SAME, id="everything is the same"),
        pytest.param({}, _bill(biller=2002), _hard("biller_id"), id="another biller"),
        pytest.param({}, _bill(reference_id="inv-2"), _hard("reference_id"), id="another reference"),
        pytest.param({}, _bill(consumer_number="CN987654321"), _hard("consumer_number"), id="another consumer"),
        pytest.param({}, _bill(amount=Decimal("2450.76")), OTHER_AMOUNT, id="one paisa more"),
        pytest.param(
            {},
            _bill(biller=2002, consumer_number="1", amount=Decimal(1)),
            _hard("biller_id", "consumer_number", amount=Amount.OTHER),
            id="nothing is the same",
        ),
        # The amount: net first, then the whole bill, and its digits do not count.
        pytest.param({}, _bill(amount=Decimal("2450.7500")), SAME, id="more digits of the same amount"),
        pytest.param({}, _bill(bill_amount=Decimal(9000)), SAME, id="a part of the bill is paid"),
        pytest.param({}, _bill(amount=None, bill_amount=Decimal("2450.75")), SAME, id="only the whole bill is shown"),
        pytest.param({}, _bill(amount=None, bill_amount=Decimal(9000)), OTHER_AMOUNT, id="and it differs"),
        pytest.param({}, _bill(amount=Decimal(2450)), Match(amount=Amount.ROUNDED), id="cut to whole rupees"),
        pytest.param({}, _bill(amount=Decimal(2451)), Match(amount=Amount.ROUNDED), id="rounded to whole rupees"),
        pytest.param({}, _bill(amount=Decimal(2452)), OTHER_AMOUNT, id="more than a rupee away"),
        pytest.param({"amount": Decimal(2450)}, BILL, OTHER_AMOUNT, id="paise that nobody asked for"),
        pytest.param({}, _bill(amount=None), SILENT, id="no amount is shown"),
        pytest.param({"amount": None}, BILL, UNSTATED, id="no amount was asked for"),
        pytest.param({"amount": None}, _bill(amount=None), UNSTATED, id="and none is shown"),
        # The consumer: as a person reads it, and not at all where it is masked.
        pytest.param({}, _bill(consumer_number=" cn123456789 "), SAME, id="case and blanks"),
        pytest.param({"consumer_number": "00123"}, _bill(consumer_number="123"), _hard("consumer_number"), id="0"),
        pytest.param({}, _bill(consumer_number="CN*******89"), SAME, id="masked, with the enrolment"),
        pytest.param({}, _bill(consumer_number="XXXXXXX6789"), SAME, id="masked by letters"),
        pytest.param(
            {}, _bill(consumer_number="CN*******89", company=None), Match(identified=False), id="masked, without it"
        ),
        pytest.param({}, _bill(consumer_number="  "), SAME, id="blank, with the enrolment"),
        pytest.param({}, _bill(consumer_number=None, company=None), Match(identified=False), id="no consumer is shown"),
        pytest.param(
            {"company_biller_id": None}, _bill(consumer_number=None), Match(identified=False), id="no enrolment"
        ),
        pytest.param(
            {},
            attrs.evolve(BILL, company_biller=CompanyBiller(consumer_number="7"), consumer_number=None),
            _hard("consumer_number"),
            id="the consumer is shown with the enrolment",
        ),
        pytest.param(
            {"consumer_number": "7"},
            attrs.evolve(_with_inputs(cn="8"), consumer_number=None),
            _hard("consumer_number"),
            id="the consumer is shown among the inputs",
        ),
        # The other inputs: where both state the same key unmasked.
        pytest.param({"inputs": {"ad1": "4567"}}, _with_inputs(ad1="4568"), _hard("ad1"), id="another input"),
        pytest.param({"inputs": {"ad1": "ab"}}, _with_inputs(AD1=" AB "), SAME, id="the same input"),
        pytest.param({"inputs": {"ad1": "4567"}}, _with_inputs(ad1="**67"), SAME, id="a masked input"),
        pytest.param({"inputs": {"ad1": "4567"}}, _with_inputs(ad2="4568"), SAME, id="an input of another key"),
        pytest.param({"inputs": {"ad1": "04"}}, _with_inputs(ad1="4"), _hard("ad1"), id="a leading zero"),
        # The enrolment: soft, and it stands for the consumer where none is shown.
        pytest.param(
            {},
            _bill(consumer_number=None, company="CB-2"),
            _soft("company_biller_id", identified=False),
            id="another enrolment, and nothing else",
        ),
        pytest.param({}, _bill(company="CB-2"), _soft("company_biller_id"), id="another enrolment"),
        pytest.param({}, _bill(biller=None, consumer_number=None), SAME, id="the enrolment alone"),
        pytest.param(
            {"biller_id": None, "consumer_number": None}, BILL, SAME, id="a fetch that does not know what it was for"
        ),
        pytest.param({}, _bill(biller=0), SAME, id="0 is no number of a biller"),
        pytest.param({}, attrs.evolve(BILL, company_biller=None), SAME, id="no enrolment is shown"),
        # The other soft facts.
        pytest.param({"circle": "KK"}, _with_inputs(circle="KER"), _soft("circle"), id="another circle"),
        pytest.param({"circle": "MUM"}, _with_inputs(circle="MUMBAI"), SAME, id="a circle outside EnKash's list"),
        pytest.param({"circle": "ALL"}, _with_inputs(circle="KER"), SAME, id="all circles"),
        pytest.param({"bill_number": "B1"}, _bill(bill_number="B2"), _soft("bill_number"), id="another number"),
        pytest.param(
            {"bill_number": "B1", "bill_date": date(2026, 10, 1)},
            _bill(bill_number="B2", bill_date=date(2026, 11, 1)),
            _soft("bill_number", "bill_date"),
            id="another month",
        ),
        pytest.param({}, Bill(), SILENT, id="an empty bill"),
    ],
)
def test_a_bill_is_compared_by_every_fact_that_both_sides_state(
    wanted: dict[str, Any], bill: Bill, expected: Match
) -> None:
    """A member that either side omits or masks is no difference; without consumer or amount a bill is unidentified."""
    assert compare(attrs.evolve(WANTED, **wanted), bill) == expected


def test_a_create_names_its_circle_and_its_company_biller() -> None:
    """Both show another bill under a used reference, and number and date together another month's."""
    assert _soft("circle").different == ("circle",)
    assert _soft("company_biller_id", "bill_number").different == ("company_biller_id",)
    assert _hard("ad1", amount=Amount.OTHER).different == ("ad1", "amount")
    assert Match(amount=Amount.ROUNDED).different == ()
    assert _soft("bill_number", "bill_date").is_another_month
    assert not _soft("bill_number").is_another_month


# --- replies held against their calls ---------------------------------------------------------------------------------


def test_a_reply_of_another_call_is_a_contradiction() -> None:
    """Each names the fact that differs; a reply that states nothing contradicts nothing."""
    assert contradicts_id("UTIL-2")(BILL) == "it has another utility_enkash_id"
    assert contradicts_id("UTIL-1")(BILL) is None
    assert contradicts_reference("inv-2")(BILL) == "it has another reference_id"
    assert contradicts_reference("inv-2")(Bill()) is None
    assert contradicts_wanted(WANTED)(_bill(amount=Decimal(1), company="CB-2")) is None
    assert contradicts_wanted(attrs.evolve(WANTED, reference_id="inv-2"))(BILL) == "differs in reference_id"
    fetched = FetchedBill(extra={"consumerNumber": "CN7"})
    assert contradicts_fetch("CN8")(fetched) == "it has another consumer_number"
    assert contradicts_fetch("CN7")(fetched) is None
    assert contradicts_fetch("CN7")(FetchedBill(extra={"consumerNumber": 7})) is None


def test_only_a_look_up_is_told_that_there_is_no_bill() -> None:
    """As the answer to a fetch or a create it belongs to another call."""
    absent = NotFoundError("No utility payment found", status=400)
    absent.bill_absent = True
    for held in (contradicts_fetch("CN7"), contradicts_wanted(WANTED)):
        assert held(absent) == "it says that no bill was found, and none was looked for"
        assert held(BadRequestError("no", status=400)) is None
    for look_up in (contradicts_id("U-1"), contradicts_reference("inv-1")):
        assert look_up(absent) is None


def test_the_reply_to_a_create_vouches_for_its_bill_by_reference_or_consumer() -> None:
    """An id alone may come from the reply to another create, and no id is no bill."""
    assert vouches(WANTED, BILL)
    assert vouches(WANTED, attrs.evolve(BILL, reference_id=None))
    assert not vouches(WANTED, Bill(utility_enkash_id="UTIL-1", amount=Decimal(1)))
    assert not vouches(WANTED, attrs.evolve(BILL, utility_enkash_id=""))


_TEXTS = st.none() | st.sampled_from(["CN1", "cn1 ", "CN2", "", " ", "C*1"])
_WANTED = st.builds(
    Wanted,
    reference_id=st.just("inv-1"),
    biller_id=st.none() | st.sampled_from([2001, 2002]),
    consumer_number=_TEXTS,
    company_biller_id=st.none() | st.sampled_from(["CB-1", "CB-2"]),
    amount=st.none() | st.sampled_from([Decimal(10), Decimal("10.00"), Decimal(11)]),
)
_BILLS = st.builds(
    _bill,
    biller=st.none() | st.sampled_from([0, 2001, 2002]),
    company=st.none() | st.sampled_from(["CB-1", "CB-2"]),
    consumer_number=_TEXTS,
    amount=st.none() | st.sampled_from([Decimal(10), Decimal(11)]),
    bill_amount=st.none() | st.sampled_from([Decimal(10), Decimal(11)]),
)


def _shown(bill: Bill) -> Wanted:
    """Return the request that would ask for this bill."""
    company = bill.company_biller
    assert company is not None
    return Wanted(
        reference_id="inv-1",
        biller_id=company.biller.biller_id or None if company.biller else None,
        consumer_number=bill.consumer_number,
        company_biller_id=company.company_biller_id,
        amount=bill.bill_amount if bill.amount is None else bill.amount,
    )


@given(_BILLS)
def test_a_bill_never_differs_from_itself(bill: Bill) -> None:
    """The comparison finds no difference, whichever members the bill does not have."""
    assert compare(_shown(bill), bill).different == ()


@given(_WANTED, _BILLS)
def test_what_is_not_said_makes_no_difference(wanted: Wanted, bill: Bill) -> None:
    """Omitting a member makes no bill different, and unequal known amounts always differ."""
    match = compare(wanted, bill)
    for name in ("biller_id", "consumer_number", "amount"):
        less: dict[str, Any] = {name: None, "company_biller_id": None}
        asked = compare(attrs.evolve(wanted, **less), bill)
        assert name not in asked.different
        assert set(asked.different) <= set(match.different)
    shown = _shown(bill).amount
    assert ("amount" in match.different) == (None not in (wanted.amount, shown) and wanted.amount != shown)


@given(_WANTED, _BILLS)
def test_a_bill_without_consumer_and_enrolment_is_never_taken_for_the_one_that_was_wanted(
    wanted: Wanted, bill: Bill
) -> None:
    """The bill is unidentified, because nothing in it says whose it is."""
    hidden = attrs.evolve(bill, consumer_number=None, company_biller=CompanyBiller(biller=Biller(biller_id=2001)))
    assert not compare(wanted, hidden).identified


# --- what is said about it --------------------------------------------------------------------------------------------

OTHER = _bill(biller=2002, consumer_number="CN987654321", amount=Decimal("77.01"))


def test_a_refusal_names_both_differences_and_shows_no_value_in_full() -> None:
    """Code 38 names both members and shows a few characters of each number."""
    error = refusal(WANTED, OTHER, compare(WANTED, OTHER).different)
    assert error.response_code == 38
    assert error.differences == ("biller_id", "consumer_number", "amount")
    assert "differs in biller_id and consumer_number (…4321 there, …6789 asked) and amount" in str(error)
    assert "'inv-1'" in str(error)
    for value in (CONSUMER, "CN987654321", "77.01", "2450.75"):
        assert value not in str(error)


def test_a_refusal_without_a_difference_says_that_the_bill_cannot_be_told() -> None:
    """The message tells the user to look at the bill, because it cannot be identified."""
    error = refusal(WANTED, Bill(), compare(WANTED, Bill()).different)
    assert error.differences == ()
    assert "does not say whose it is" in str(error)
    assert "look at that bill with bills.get_by_reference() or `enkash bill get --reference " in str(error)


@given(
    st.text("0123456789CN-", min_size=1, max_size=20),
    st.text("0123456789CN-", min_size=1, max_size=20),
)
def test_no_consumer_number_is_shown_in_full(asked: str, there: str) -> None:
    """The text has the last four characters at most, and none of a number of four or fewer."""
    wanted, bill = attrs.evolve(WANTED, consumer_number=asked), _bill(consumer_number=there)
    said = described(wanted, bill, ("consumer_number",))
    assert said == (
        f"differs in consumer_number (…{there[-4:] if len(there) > 4 else ''} there, "
        f"…{asked[-4:] if len(asked) > 4 else ''} asked)"
    )


def test_what_was_wanted_hides_its_consumer_number() -> None:
    """The repr hides the number, and a reply that repeats it is redacted."""
    assert WANTED.redacted(f"no bill for {CONSUMER}") == "no bill for ***"
    assert attrs.evolve(WANTED, consumer_number=None).redacted("no bill") == "no bill"
    assert CONSUMER not in repr(WANTED)
