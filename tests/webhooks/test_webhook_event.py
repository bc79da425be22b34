"""News of a bill: what a post says, and when two posts are the same news."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enkash_async import EnkashClient, StaticTokenProvider
from enkash_async._news.content import content_key, numbered_key, post_key
from enkash_async._wire.converter import structure
from enkash_async.models import ApprovalStatus, Bill, BillPayStatus, Outcome, PaymentStatus, WebhookEvent
from enkash_async.webhooks import BillEvent, WebhookVerifier

from support import RawServer, Reader, Writer, raw_server, reply

IST = timezone(timedelta(hours=5, minutes=30))
HEADERS = {"X-Key": "made-up-secret"}
SAMPLE = (Path(__file__).parents[1] / "samples" / "webhook_bill.json").read_bytes()
DOCUMENT: Mapping[str, Any] = json.loads(SAMPLE, parse_float=Decimal)

verifier = WebhookVerifier(HEADERS)


def _event(document: Mapping[str, Any]) -> BillEvent:
    return verifier.verify(HEADERS, json.dumps(document, default=float).encode())


def _key(**changes: Any) -> str:
    return content_key(_event({**DOCUMENT, **changes}).bill)


# --- what a post says -------------------------------------------------------------------------------------------------


async def test_the_documented_example_is_the_bill_that_a_get_returns() -> None:
    """The post and the GET give equal bills."""

    async def answer(_: RawServer, reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply(b'{"response_code":0,"response_message":"Success","payload":' + SAMPLE + b"}"))

    async with raw_server(answer) as server:
        async with EnkashClient(server.base_url, tokens=StaticTokenProvider("t")) as client:
            bill = await client.bills.get("UTIL-87654321")
    assert verifier.verify(HEADERS, SAMPLE).bill == bill


def test_the_documented_example_is_read_member_by_member() -> None:
    """The bill has exact money, days, moments in India, and words that no list has."""
    event = verifier.verify(HEADERS, SAMPLE)
    bill = event.bill
    assert (bill.utility_enkash_id, bill.reference_id) == ("UTIL-87654321", "REF-XYZABC123456")
    assert (str(bill.amount), str(bill.early_payment_amount)) == ("2450.75", "2400.00")
    assert bill.bill_date == date(2025, 5, 10)
    assert bill.payment_date == datetime(2025, 5, 20, 10, 15, 30, tzinfo=IST)
    assert (bill.approval_status, bill.payment_status) == (ApprovalStatus("APPROVED"), PaymentStatus("COMPLETED"))
    assert (bill.failure_reason, bill.failure_code, bill.refund_date) == (None, None, None)
    assert bill.company_biller is not None
    assert bill.company_biller.circle_enum == "MUMBAI"
    assert [param.key for param in bill.company_biller.biller_params] == ["cn", "ad1"]
    assert (event.posted, event.confirmed, bill.extra, event.extra) == (bill, None, {}, {})


def test_completed_is_not_paid() -> None:
    """The example's word does not count as paid, because value is released on SUCCESS alone."""
    event = verifier.verify(HEADERS, SAMPLE)
    assert event.bill.billpay_status == BillPayStatus("COMPLETED")
    assert (event.bill.outcome, event.type) == (Outcome.PENDING, WebhookEvent.UTILITY_BILLPAY_PENDING)
    assert not event.bill.is_settled


@pytest.mark.parametrize(
    ("word", "event"),
    [
        ("SUCCESS", WebhookEvent.UTILITY_BILLPAY_SUCCESS),
        ("FAILED", WebhookEvent.UTILITY_BILLPAY_FAILED),
        ("PENDING", WebhookEvent.UTILITY_BILLPAY_PENDING),
        ("AGENCY_FAILED", WebhookEvent.UTILITY_BILLPAY_PENDING),
        ("success", WebhookEvent.UTILITY_BILLPAY_PENDING),
        (None, WebhookEvent.UTILITY_BILLPAY_PENDING),
    ],
)
def test_the_type_is_derived_from_the_bill(word: str | None, event: WebhookEvent) -> None:
    """The event derives it, because a post does not name its event."""
    assert _event({**DOCUMENT, "billpayStatus": word}).type is event


def test_unknown_members_are_kept() -> None:
    """The bill keeps them at each level, and the event keeps those around the bill."""
    event = _event(
        {
            "sentAt": "now",
            "data": {**DOCUMENT, "loyalty": {"points": 7}, "companyBiller": {"region": "west"}},
        }
    )
    assert event.bill.extra == {"loyalty": {"points": 7}}
    assert event.bill.company_biller is not None
    assert event.bill.company_biller.extra == {"region": "west"}
    assert event.extra == {"sentAt": "now"}


def test_an_unknown_amount_is_kept_exact() -> None:
    """The verifier keeps an unknown number as a `Decimal` with every digit."""
    body = b'{"referenceId":"r","cashback":100000000000000.07}'
    assert verifier.verify(HEADERS, body).bill.extra == {"cashback": Decimal("100000000000000.07")}


def test_a_date_that_cannot_be_read_is_no_reason_to_lose_the_news() -> None:
    """The bill keeps the date's text and the event arrives."""
    bill = _event({**DOCUMENT, "paymentDate": "20th of May"}).bill
    assert (bill.payment_date, bill.extra) == (None, {"paymentDate": "20th of May"})


@pytest.mark.parametrize("name", ["data", "payload", "utilityPayment", "", "what ever"])
def test_a_bill_that_is_wrapped_is_found(name: str) -> None:
    """The verifier finds a bill that a merchant's template puts one level down."""
    event = _event({"kind": "bill", name: DOCUMENT, "meta": {"id": 1}, "list": [1]})
    assert event.bill == verifier.verify(HEADERS, SAMPLE).bill
    assert event.extra == {"kind": "bill", "meta": {"id": 1}, "list": [1]}


def test_an_envelope_is_a_wrapping_like_another() -> None:
    """The verifier reads the body of a GET."""
    event = _event({"response_code": 0, "response_message": "Success", "payload": DOCUMENT})
    assert event.bill == verifier.verify(HEADERS, SAMPLE).bill


def test_a_bill_on_the_outside_wins() -> None:
    """The verifier does not take an inner object with an id for the bill."""
    event = _event({"referenceId": "outer", "related": {"referenceId": "inner"}})
    assert (event.bill.reference_id, event.extra) == ("outer", {})
    assert event.bill.extra == {"related": {"referenceId": "inner"}}


@pytest.mark.parametrize("names", ["utility_enkash_id", "UTILITYENKASHID", "utilityEnkashId", "utilityenkashid"])
def test_an_id_is_found_in_any_casing(names: str) -> None:
    """The event finds the bill's id under each spelling that a reply may use."""
    assert _event({"data": {names: "U-1"}}).bill.utility_enkash_id == "U-1"


# --- what the API says ------------------------------------------------------------------------------------------------


def test_the_bill_is_what_the_api_confirmed() -> None:
    """The type of the event follows the API's bill, not the posted one."""
    posted = Bill(utility_enkash_id="U-1", billpay_status=BillPayStatus.SUCCESS)
    confirmed = attrs.evolve(posted, billpay_status=BillPayStatus.FAILED)
    event = BillEvent(posted=posted, confirmed=confirmed, key="k")
    assert (event.bill, event.type) == (confirmed, WebhookEvent.UTILITY_BILLPAY_FAILED)
    assert BillEvent(posted=posted, key="k").bill == posted


@pytest.mark.parametrize(
    ("posted", "confirmed", "ahead"),
    [
        ("SUCCESS", "PENDING", True),
        ("FAILED", None, True),
        ("SUCCESS", "FAILED", False),
        ("SUCCESS", "SUCCESS", False),
        ("PENDING", "SUCCESS", False),
        ("PENDING", "PENDING", False),
    ],
)
def test_a_post_can_be_ahead_of_the_api(posted: str, confirmed: str | None, ahead: bool) -> None:
    """`is_ahead` says that the post is settled and the API's bill is not."""
    said, true = (
        Bill(utility_enkash_id="U-1", billpay_status=None if word is None else BillPayStatus(word))
        for word in (posted, confirmed)
    )
    assert BillEvent(posted=said, confirmed=true, key="k").is_ahead is ahead
    assert not BillEvent(posted=said, key="k").is_ahead


def test_an_event_is_a_value() -> None:
    """The event is hashable and frozen, and its repr shows no values around the bill."""
    event = _event({"sentAt": "4711", "data": DOCUMENT})
    assert len({event, _event({"sentAt": "4711", "data": DOCUMENT})}) == 1
    assert "extra={'sentAt': …}" in repr(event)
    assert "4711" not in repr(event)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        event.key = "x"  # type: ignore[misc]  # what is refused


# --- the content key --------------------------------------------------------------------------------------------------

MOMENTS = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))
LETTERS = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])
WORDS = (
    st.none()
    | st.text(LETTERS, min_size=1, max_size=100)
    | st.sampled_from(["SUCCESS", "FAILED", "PENDING", "COMPLETED", "INIT"])
)
DATES = ("approvedDate", "paymentDate", "billpayDate", "refundDate")
STATUSES = ("approvalStatus", "paymentStatus", "billpayStatus")
MEMBERS: dict[str, st.SearchStrategy[Any]] = {
    "utilityEnkashId": st.text(LETTERS, min_size=1, max_size=100).map("U-{}".format),
    **dict.fromkeys(STATUSES, WORDS),
    **dict.fromkeys(DATES, st.none() | MOMENTS),
}
NEWS = st.fixed_dictionaries(MEMBERS)


def _spelt(moment: datetime, zone: timezone | None, *, z: bool, fraction: bool) -> str:
    """Write a moment with its zone; None writes India's time without a zone."""
    text = moment.astimezone(zone or IST).isoformat(timespec="microseconds" if fraction else "auto")
    if zone is None:
        return text.removesuffix("+05:30")
    return text.replace("+00:00", "Z") if z else text


@st.composite
def _spelling(draw: st.DrawFn, news: Mapping[str, Any]) -> bytes:
    """Draw one of many spellings of the same news."""
    zones = st.none() | st.builds(timezone, st.integers(-720, 720).map(lambda minutes: timedelta(minutes=minutes)))
    members: list[tuple[str, Any]] = []
    for name, value in news.items():
        if isinstance(value, datetime):
            text = _spelt(value, draw(zones), z=draw(st.booleans()), fraction=draw(st.booleans()))
            members.append((name, text))
        elif value is not None or draw(st.booleans()):
            members.append((name, value))
    # What does not count may be anything; without any status, what is unheard of counts.
    has_status = any(news[name] is not None for name in ("approvalStatus", "paymentStatus", "billpayStatus"))
    members += [
        ("remarks", draw(st.text(LETTERS))),
        ("amount", draw(st.integers(0, 10**9))),
        ("unheardOf", draw(st.text(LETTERS)) if has_status else "the same"),
    ]
    document = dict(draw(st.permutations(members)))
    if draw(st.booleans()):
        document = {"wrapped": document, "attempt": draw(st.integers())}
    return json.dumps(document, indent=draw(st.none() | st.just(2)), ensure_ascii=draw(st.booleans())).encode()


@settings(max_examples=50)
@given(st.data(), NEWS)
def test_the_same_news_has_the_same_key_however_it_is_written(data: st.DataObject, news: Mapping[str, Any]) -> None:
    """The key ignores order, white space, escapes, zones, nulls, wrapping, remarks and amounts."""
    one, other = (verifier.verify(HEADERS, data.draw(_spelling(news))) for _ in range(2))
    assert content_key(one.bill) == content_key(other.bill)


@settings(max_examples=40)
@given(st.data(), NEWS, st.sampled_from(sorted(MEMBERS)))
def test_other_news_has_another_key(data: st.DataObject, news: dict[str, Any], name: str) -> None:
    """One differing member changes the key."""
    other = data.draw(MEMBERS[name].filter(lambda value: value != news[name]))
    assert _key_of(news) != _key_of({**news, name: other})


def _key_of(news: Mapping[str, Any]) -> str:
    return content_key(structure(_plain(news), Bill))


def _plain(news: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in news.items()}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("utilityEnkashId", "UTIL-87654322"),
        ("billpayStatus", "SUCCESS"),
        ("billpayStatus", "completed"),
        ("billpayStatus", None),
        ("paymentStatus", "REFUNDED"),
        ("approvalStatus", "CHECKER_APPROVED"),
        ("paymentDate", "2025-05-20T10:15:31"),
        ("paymentDate", "2025-05-20T10:15:30Z"),
        ("paymentDate", None),
        ("billpayDate", "2025-05-20"),
        ("approvedDate", "yesterday"),
        ("refundDate", "2025-05-21T00:00:00"),
        ("refundDate", "soon"),
    ],
)
def test_a_payment_that_moved_on_is_news(name: str, value: object) -> None:
    """An unreadable date changes the key as well."""
    assert _key(**{name: value}) != _key()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("remarks", "May"),
        ("approvalRemarks", None),
        ("consumerName", "A. Sample"),
        ("amount", 1),
        ("billDueDate", "2026-01-01"),
        ("createdDate", "2025-05-12T14:30:26"),
        ("failureReason", "x"),
        ("referenceId", "another"),
        ("companyBiller", {}),
        ("attempt", 2),
        ("paymentDate", "2025-05-20T04:45:30Z"),
        ("paymentDate", "2025-05-20T10:15:30.000+05:30"),
        ("paymentDate", " 2025-05-20T10:15:30 "),
        ("refundDate", ""),
    ],
)
def test_what_moves_no_payment_is_no_news(name: str, value: object) -> None:
    """An edited remark and another spelling of a moment keep the key."""
    assert _key(**{name: value}) == _key()


def test_dates_do_not_stand_in_for_each_other() -> None:
    """A refund and a payment at the same moment have different keys."""
    moment = "2025-05-20T10:15:30"
    assert len({content_key(structure({"referenceId": "r", name: moment}, Bill)) for name in DATES}) == len(DATES)
    assert len({content_key(structure({"referenceId": "r", name: "X"}, Bill)) for name in STATUSES}) == len(STATUSES)
    assert len({content_key(_event({"referenceId": "r", name: "soon"}).bill) for name in DATES}) == len(DATES)


def test_a_reference_names_the_bill_where_there_is_no_id() -> None:
    """The key of a reference differs from that of an equal id."""
    by_reference, by_other, by_id = (content_key(_event({name: value}).bill) for name, value in REFERRED)
    assert len({by_reference, by_other, by_id}) == 3
    assert content_key(_event({"referenceId": "A", "remarks": "x"}).bill) == by_reference


REFERRED = (("referenceId", "A"), ("referenceId", "B"), ("utilityEnkashId", "A"))


def test_a_key_is_the_same_in_every_process_and_release() -> None:
    """Databases keep keys for weeks, so a changed rule would let old news through as new."""
    event = verifier.verify(HEADERS, SAMPLE)
    state = content_key(event.bill)
    assert state == "05e9202b18b38a280b96637d33ba4c859b1bd25fda508991f262d605b9c2382e"
    assert numbered_key(state, 7) == "753026d0a5b3d8d7c5f03ed0d4baba4000e0123fc79deca2472f67e3cc2e63ff"
    assert event.key == "e17853b2f743797bf72690a7acde67dcc27f21b509d16b708f7ab8a3d8b2fa54"
    assert WebhookVerifier({"Other": "made-up"}).verify({"other": "made-up"}, SAMPLE).key == event.key


def test_a_key_says_nothing_of_the_bill() -> None:
    """The key is a hash of 64 hexadecimal digits, also for unprintable words."""
    event = _event({"referenceId": "r", "billpayStatus": "\x1b\u202e", "refundDate": "\x00"})
    for key in (event.key, content_key(event.bill), numbered_key(event.key, 1)):
        assert len(key) == 64
        assert set(key) <= set("0123456789abcdef")


# --- the key of a post ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        {"amount": 501},
        {"unheardOf": "x"},
        {"remarks": "June"},
        {"list": [1, 2]},
        {"companyBiller": {"region": "west"}},
    ],
)
def test_every_member_of_a_post_counts(other: Mapping[str, Any]) -> None:
    """Without the API, each difference may be what EnKash had to say, around the bill too."""
    plain = _event({"utilityEnkashId": "U-1"})
    assert _event({"utilityEnkashId": "U-1", **other}).key != plain.key
    assert _event({"bill": {"utilityEnkashId": "U-1"}, **other}).key != _event({"bill": {"utilityEnkashId": "U-1"}}).key


def test_the_order_of_members_and_white_space_do_not_count() -> None:
    """A list is not a set: its order counts."""
    spellings = [
        '{"utilityEnkashId": "U-1", "a": {"b": 1, "c": [1, 2]}}',
        '{ "a": {"c": [1, 2], "b": 1},\n "utilityEnkashId": "U-1" }',
    ]
    assert len({verifier.verify(HEADERS, text.encode()).key for text in spellings}) == 1
    assert post_key([1, 2]) != post_key([2, 1])


def test_what_reshape_drops_counts_too() -> None:
    """The key is made of what was posted."""
    dropping = WebhookVerifier(HEADERS, reshape=lambda document: {"utilityEnkashId": document["id"]})
    keys = {dropping.verify(HEADERS, json.dumps({"id": "U-1", "state": word}).encode()).key for word in ("A", "B")}
    assert len(keys) == 2


# --- what may be later ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("posted", "confirmed", "later"),
    [
        ({}, {"billpayStatus": "PENDING"}, True),
        ({"billpayStatus": "PENDING"}, {"billpayStatus": "PENDING"}, False),
        ({"billpayStatus": "REINITIATE"}, {"billpayStatus": "FAILED"}, True),
        ({"paymentStatus": "IN_PROCESS"}, {"paymentStatus": "INIT"}, True),
        ({}, {"billpayStatus": "SUCCESS"}, False),
        ({}, {"billpayStatus": "FAILED", "paymentStatus": "REFUNDED"}, False),
        ({}, None, False),
    ],
)
def test_a_post_may_tell_of_a_later_state(
    posted: Mapping[str, str], confirmed: Mapping[str, str] | None, later: bool
) -> None:
    """It states another word than the API or none at all, and the bill is neither paid nor refunded."""
    said, shown = (
        None if words is None else structure({"utilityEnkashId": "U-1", **words}, Bill) for words in (posted, confirmed)
    )
    assert said is not None
    assert BillEvent(posted=said, confirmed=shown, key="k").may_be_later is later
