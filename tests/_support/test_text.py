"""Values as words and as JSON."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enkash_async._support import exact_json
from enkash_async._support.text import clean, members, plain, rupees
from enkash_async.errors import RateLimitError
from enkash_async.models import Bill, BillPayStatus, CompanyBiller, FetchedBill, PaymentStatus

MONEY = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**18), max_value=10**18, places=2)


class TestRupees:
    @pytest.mark.parametrize(
        ("amount", "text"),
        [
            ("9648.75", "₹ 9,648.75"),
            ("0", "₹ 0.00"),
            ("7", "₹ 7.00"),
            ("100.5", "₹ 100.50"),
            ("1000", "₹ 1,000.00"),
            ("99999.99", "₹ 99,999.99"),
            ("123456.5", "₹ 1,23,456.50"),
            ("12345678.905", "₹ 1,23,45,678.905"),
            ("-1234.5", "₹ -1,234.50"),
            ("1E+3", "₹ 1,000.00"),
            ("100000000000000.07", "₹ 10,00,00,00,00,00,000.07"),
            ("1E+999999", "₹ 1E+999999"),
            ("1E-999999", "₹ 1E-999999"),
        ],
    )
    def test_every_digit_is_shown(self, amount: str, text: str) -> None:
        """The text groups digits as India does and shows at least two digits of paise."""
        assert rupees(Decimal(amount)) == text

    def test_no_amount_is_said(self) -> None:
        """The text has a word for an amount that EnKash omits."""
        assert rupees(None) == "no amount"

    @given(MONEY)
    def test_nothing_is_rounded(self, amount: Decimal) -> None:
        """The text without sign and commas is the same number."""
        assert Decimal(rupees(amount).removeprefix("₹ ").replace(",", "")) == amount


class TestClean:
    @given(st.text(st.characters()))
    def test_any_text_becomes_one_printable_line(self, text: str) -> None:
        """Text from a server cannot steer the terminal and can be encoded."""
        line = clean(text)
        assert line.encode("utf-8").decode("utf-8") == line
        assert line.replace("\u200c", "").replace("\u200d", "").isprintable()

    @pytest.mark.parametrize("text", ["", "inv-1", "₹ 10", "\u0915\u094d\u200d\u0937", "[bold]", "a\\b"])
    def test_plain_text_stays(self, text: str) -> None:
        """The text keeps the joiners of Indian scripts."""
        assert clean(text) == text


class TestPlain:
    def test_a_bill_has_its_outcome_and_ends_with_extra(self) -> None:
        """The document has words for enums, ISO 8601 dates, and null for None."""
        bill = Bill(
            utility_enkash_id="U1",
            amount=Decimal("2450.750"),
            payment_status=PaymentStatus("COMPLETED"),
            billpay_status=BillPayStatus.SUCCESS,
            bill_date=date(2026, 1, 31),
            created_date=datetime(2026, 1, 31, 12, tzinfo=UTC),
            extra={"newMember": {"rate": Decimal("1.10")}},
        )
        found = plain(bill)
        assert found["payment_status"] == "COMPLETED"
        assert found["outcome"] == "PAID"
        assert found["bill_date"] == "2026-01-31"
        assert found["created_date"] == "2026-01-31T12:00:00+00:00"
        assert found["refund_date"] is None
        assert list(found)[-1] == "extra"
        assert '"amount":2450.750,' in exact_json.dumps(found)
        assert '"extra":{"newMember":{"rate":1.10}}' in exact_json.dumps(found)

    def test_other_values(self) -> None:
        """The document keeps every digit of seconds and names an error's class and message."""
        assert plain((1.5, True, "x")) == [Decimal("1.5"), True, "x"]
        assert plain(RateLimitError("slow down")) == {"error": "RateLimitError", "message": "slow down"}


class TestMembers:
    def test_only_what_is_set_is_told(self) -> None:
        """Inner values are named by their path, and amounts alone are in rupees."""
        bill = Bill(
            utility_enkash_id="U1",
            amount=Decimal("10.5"),
            number_of_units=Decimal("10.5"),
            company_biller=CompanyBiller(company_name="Sandbox Traders"),
            extra={"feeAmount": Decimal(1), "on\nhold": True},
        )
        assert list(members(bill)) == [
            ("utility_enkash_id", "U1"),
            ("amount", "₹ 10.50"),
            ("number_of_units", "10.5"),
            ("company_biller.company_name", "Sandbox Traders"),
            ("recovered", "no"),
            ("outcome", "PENDING"),
            ("extra.feeAmount", "₹ 1.00"),
            ("extra.on hold", "yes"),
        ]

    def test_an_empty_value_has_none(self) -> None:
        """The table of an empty value has no line."""
        assert list(members(FetchedBill())) == []
