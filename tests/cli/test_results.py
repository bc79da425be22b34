"""The result file: what it holds, that it is whole, and that it can be the next run's input."""

from __future__ import annotations

import csv
import io
import os
import stat
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from enkash_async import Payment, PaymentState
from enkash_async.cli.batch.results import Result, write_results
from enkash_async.cli.batch.row import Row
from enkash_async.cli.batch.rows import read_rows
from enkash_async.errors import ConfigurationError, InvalidRequestError
from enkash_async.models import Bill, BillPayStatus, PaymentStatus

ADDED = [
    "result_outcome",
    "result_amount",
    "result_utility_enkash_id",
    "result_payment_status",
    "result_billpay_status",
    "result_error",
    "result_bill_number",
    "result_bill_due_date",
    "result_bill_reference_id",
    "result_bank_transaction_id",
    "result_payment_date",
]


def rows_of(path: Path, content: str) -> list[Row]:
    path.write_text(content, encoding="utf-8", newline="")
    return read_rows(path)


def of(row: Row, state: PaymentState, **facts: Any) -> Result:
    """Return the result of a row."""
    return Result(row=row, payment=Payment(row.reference_id, state, **facts))


def table(path: Path) -> list[list[str]]:
    return list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline=""), strict=True))


@pytest.fixture
def batch(tmp_path: Path) -> Path:
    return tmp_path / "november.csv"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "november.result.csv"


class TestColumns:
    def test_a_result_stands_beside_what_was_given(self, batch: Path, out: Path) -> None:
        """The file has the batch's cells unchanged and in order."""
        (row,) = rows_of(batch, 'Max Amount;Biller;Reference;CN;param.at\n 010.50;2001;r-1;007;"a;b\n""c"""\n')
        bill = Bill(
            utility_enkash_id="U-1",
            payment_status=PaymentStatus.SUCCESS,
            billpay_status=BillPayStatus("NEW_WORD"),
            bill_number="BN-7",
            bill_due_date=date(2026, 12, 9),
            bill_reference_id="BBPS-1",
            bank_transaction_id="TXN-1",
            payment_date=datetime(2026, 11, 30, 20, 15, tzinfo=UTC),
        )
        write_results(out, [of(row, PaymentState.PAID, amount=Decimal("10.50"), bill=bill)])
        assert table(out) == [
            ["Max Amount", "Biller", "Reference", "CN", "param.at", *ADDED],
            [
                *("010.50", "2001", "r-1", "007", 'a;b\n"c"', "PAID", "10.50", "U-1", "SUCCESS", "NEW_WORD", ""),
                *("BN-7", "2026-12-09", "BBPS-1", "TXN-1", "2026-12-01T01:45:00+05:30"),
            ],
        ]

    def test_a_reference_is_added_where_there_was_none(self, batch: Path, out: Path) -> None:
        """The reference stands in the empty cell, or in a new column behind the others."""
        rows = rows_of(batch, "biller_id,cn\n2001,1\n")
        write_results(out, [of(row, PaymentState.NOT_SENT) for row in rows])
        assert table(out)[1][:3] == ["2001", "1", rows[0].reference_id]
        rows = rows_of(batch, "ReferenceId,biller_id,cn\n ,2001,1\nown,2001,2\n")
        write_results(out, [of(row, PaymentState.NOT_SENT) for row in rows])
        assert [line[0] for line in table(out)] == ["ReferenceId", rows[0].reference_id, "own"]

    def test_other_columns_and_repeated_rows_are_kept(self, batch: Path, out: Path) -> None:
        """Each line of the batch is there in its place; the amount of a repeated bill is there once."""
        rows = rows_of(batch, "Notes,biller_id,cn,Notes\na,2001,1,b\nc,2001,2,\nd,2001,01,\ne,2001,1,f\n")
        write_results(out, [of(row, PaymentState.PAID, amount=Decimal(5)) for row in rows])
        lines = [dict(zip(table(out)[0], line, strict=True)) for line in table(out)[1:]]
        assert [(one["Notes"], one["Notes (2)"]) for one in lines] == [("a", "b"), ("c", ""), ("d", ""), ("e", "f")]
        assert [one["result_outcome"] for one in lines] == ["PAID", "PAID", "PAID", "REPEATED"]
        assert [one["result_amount"] for one in lines] == ["5", "5", "5", ""]
        assert lines[3]["reference"] == lines[0]["reference"]
        assert [len(row.copies) for row in read_rows(out)] == [1, 0, 0]

    def test_earlier_results_are_replaced(self, batch: Path, out: Path) -> None:
        """A second run over a result file overwrites its result columns and adds no others."""
        rows = rows_of(batch, "biller_id,cn\n2001,1\n")
        write_results(out, [of(rows[0], PaymentState.PENDING)])
        first = table(out)
        write_results(out, [of(row, PaymentState.PAID) for row in read_rows(out)])
        assert table(out)[0] == first[0]
        assert table(out)[1] == [*first[1][:3], "PAID", *first[1][4:]]

    @pytest.mark.parametrize(
        ("result", "cells"),
        [
            ({"reason": "there is no such biller"}, ["", "there is no such biller"]),
            ({"amount": Decimal("1E+3")}, ["1000", ""]),
            ({"amount": Decimal("0.00")}, ["0.00", ""]),
            ({"amount": Decimal("1E+999999")}, ["1E+999999", ""]),
        ],
    )
    def test_amounts_and_reasons_are_written_out(
        self, batch: Path, out: Path, result: dict[str, Any], cells: list[str]
    ) -> None:
        """The row has the reason, and the digits of the amount."""
        (row,) = rows_of(batch, "biller_id,cn\n2001,1\n")
        write_results(out, [of(row, PaymentState.FAILED, **result)])
        line = dict(zip(*table(out), strict=True))
        assert [line["result_amount"], line["result_error"]] == cells

    def test_no_rows_leave_a_header(self, out: Path) -> None:
        """The header has the columns that every file has."""
        write_results(out, [])
        assert table(out) == [["reference", *ADDED]]


class TestFormulas:
    @pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", " =", "\u00a0+", "\t\t-"])
    def test_what_others_send_is_not_calculated(self, batch: Path, out: Path, sign: str) -> None:
        """A quote before each cell from a server prevents a spreadsheet from running it as a formula."""
        (row,) = rows_of(batch, "biller_id,cn,Notes\n2001,1,=1+1\n")
        text = f'{sign}HYPERLINK("https://example.com")'
        bill = Bill(utility_enkash_id=text, payment_status=PaymentStatus(text), billpay_status=BillPayStatus(text))
        amount = Decimal(-5)
        write_results(
            out,
            [of(row, PaymentState.FAILED, amount=amount, bill=bill, reason=text)],
        )
        cells = table(out)[1]
        assert cells[2] == "=1+1"  # the user's own
        assert cells[5] == "'-5"
        assert all(cell.startswith("'") for cell in cells[6:10])
        assert all(cell.isprintable() for cell in cells)

    def test_any_text_of_a_server_leaves_a_file_that_can_be_read(self, batch: Path, out: Path) -> None:
        """A reader can read NUL, half surrogate pairs and escape codes back."""
        rows = rows_of(batch, "biller_id,cn\n2001,1\n")
        error = 'a\0b\ud800c\x1b[2J\r\n"d,'
        write_results(out, [of(rows[0], PaymentState.FAILED, reason=error)])
        assert table(out)[1][-6] == 'a\\x00b\\ud800c\\x1b[2J  "d,'
        assert read_rows(out)[0].reference_id == rows[0].reference_id

    def test_plain_text_stays(self, batch: Path, out: Path) -> None:
        """The writer changes no text whose signs are not at its start."""
        (row,) = rows_of(batch, "biller_id,cn\n2001,1\n")
        write_results(out, [of(row, PaymentState.FAILED, reason="a = b, ₹ 5 - 3")])
        assert table(out)[1][-6] == "a = b, ₹ 5 - 3"


class TestFile:
    def test_a_spreadsheet_knows_its_encoding(self, batch: Path, out: Path) -> None:
        """The file begins with a byte order mark and has the line ends of RFC 4180."""
        (row,) = rows_of(batch, "biller_id,cn,ad1\n2001,1,é\n")
        write_results(out, [of(row, PaymentState.PAID)])
        assert out.read_bytes().startswith(b"\xef\xbb\xbfbiller_id,")
        assert out.read_bytes().count(b"\r\n") == 2

    def test_only_the_owner_can_read_it_and_nothing_else_is_left(self, batch: Path, out: Path) -> None:
        """A replaced file gets mode 0600, and no temporary file stays beside it."""
        (row,) = rows_of(batch, "biller_id,cn\n2001,1\n")
        out.write_text("old")
        write_results(out, [of(row, PaymentState.PAID)])
        assert stat.S_IMODE(out.stat().st_mode) == 0o600
        assert {each.name for each in out.parent.iterdir()} == {batch.name, out.name}

    def test_it_is_on_the_disk_before_it_replaces_the_old_one(self, batch: Path, out: Path) -> None:
        """A power failure preserves either the old file or the new one."""
        (row,) = rows_of(batch, "biller_id,cn\n2001,1\n")
        out.write_text("old")
        sizes: list[int] = []

        def sync(number: int) -> None:
            assert out.read_text() == "old"
            sizes.append(os.fstat(number).st_size)

        write_results(out, [of(row, PaymentState.PAID)], sync=sync)
        assert sizes == [out.stat().st_size]

    def test_a_link_is_followed(self, batch: Path, out: Path, tmp_path: Path) -> None:
        """The writer replaces the link's target and keeps the link."""
        (row,) = rows_of(batch, "biller_id,cn\n2001,1\n")
        target = tmp_path / "target.csv"
        out.symlink_to(target)
        write_results(out, [of(row, PaymentState.PAID)])
        assert out.is_symlink()
        assert read_rows(target)

    def test_a_file_that_cannot_be_written_stays_as_it_was(self, batch: Path, out: Path) -> None:
        """The old file is unchanged after an error, here of a cell that cannot be encoded."""
        (row,) = rows_of(batch, "biller_id,cn\n2001,1\n")
        out.write_text("old")
        broken = Row(line=2, reference_id="r", biller_id=1, params={"cn": "1"}, given={"cn": "\ud800"})
        with pytest.raises(UnicodeEncodeError):
            write_results(out, [of(each, PaymentState.PAID) for each in (broken, row)])
        assert out.read_text() == "old"
        assert {each.name for each in out.parent.iterdir()} == {batch.name, out.name}

    def test_a_place_that_is_none_is_said(self, batch: Path, tmp_path: Path) -> None:
        """The writer refuses a missing directory, a directory as the file, and a special file."""
        results = [of(rows_of(batch, "biller_id,cn\n2001,1\n")[0], PaymentState.PAID)]
        with pytest.raises(ConfigurationError, match=r"^r.csv: the result file cannot be written: No such file"):
            write_results(tmp_path / "none" / "r.csv", results)
        for place in (tmp_path, Path("/dev/null")):
            with pytest.raises(ConfigurationError, match=rf"^{place.name}: this is not a file: name one"):
                write_results(place, results)


# --- fed in again -----------------------------------------------------------------------------------------------------

NAMES = ["Reference", "Circle", "ceiling", "ad1", "AD9", "param.a,b;c", "param. x ", 'param."', "result_error", ""]
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
QUOTED = st.sampled_from(["\n", "\r\n", "\r", '"', ",", ";", "\t", " =1", " ' ", "\ufeff"])


@st.composite
def batches(draw: st.DrawFn) -> str:
    """Draw files that can mostly be read."""
    names = draw(st.permutations(["Biller ID", "cn", *draw(st.lists(st.sampled_from(NAMES), unique=True))]))
    cells = {
        "Biller ID": st.sampled_from(["2001", " 2002 ", "007"]),
        "cn": st.text("0123456789aA -", min_size=1, max_size=9),
        "ceiling": st.sampled_from(["", "5", "05.50", " 1.0 "]),
        "": st.just(" "),
    }
    rows = draw(st.lists(st.tuples(*(cells.get(name, TEXTS | QUOTED) for name in names)), min_size=1, max_size=4))
    text = io.StringIO(newline="")
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    writer = csv.writer(text, delimiter=draw(st.sampled_from(",;\t")), lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([names, *rows])
    return text.getvalue()


def _facts(rows: list[Row]) -> list[tuple[object, ...]]:
    return [(row.reference_id, row.biller_id, dict(row.params), row.circle, str(row.max_amount)) for row in rows]


@given(batches(), st.sampled_from(list(PaymentState)), TEXTS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_a_result_file_gives_the_same_rows(tmp_path: Path, content: str, outcome: PaymentState, text: str) -> None:
    """A result file that is read and written again is the same file."""
    batch, once, twice = (tmp_path / name for name in ("b.csv", "once.csv", "twice.csv"))
    try:
        rows = rows_of(batch, content)
    except InvalidRequestError:
        assume(False)
    for source, target in ((rows, once), (None, twice)):
        again = read_rows(once) if source is None else source
        assert _facts(again) == _facts(rows)
        bill = Bill(utility_enkash_id=text)
        write_results(target, [of(row, outcome, bill=bill, reason=text) for row in again])
    # Blanks before a cell that is not in quotes are no part of it.
    assert [[cell.strip(" ") for cell in line] for line in table(twice)] == [
        [cell.strip(" ") for cell in line] for line in table(once)
    ]
