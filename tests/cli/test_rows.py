"""The rows of a batch file: what is read, and how an unreadable file is reported."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enkash_async.cli.batch.row import Row
from enkash_async.cli.batch.rows import read_rows
from enkash_async.errors import InvalidRequestError

from support import shown

HEADER = "reference,biller_id,consumer_number,max_amount\n"
# One file is written again and again, which is what a property of a reader needs.
ONE_FILE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])

Batch = Callable[[str | bytes], Path]


@pytest.fixture
def batch(tmp_path: Path) -> Batch:
    """Write a batch file."""

    def write(content: str | bytes) -> Path:
        path = tmp_path / "batch.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def problems(path: Path) -> list[str]:
    with pytest.raises(InvalidRequestError) as caught:
        read_rows(path)
    return str(caught.value).splitlines()


def problem(path: Path) -> str:
    (one,) = problems(path)
    return one


def only(path: Path) -> Row:
    (row,) = read_rows(path)
    return row


class TestCells:
    def test_a_full_row_is_read_as_it_is_written(self, batch: Batch) -> None:
        """The row keeps leading zeros, the case of letters and every paisa."""
        header = "reference,biller_id,consumer_number,circle,max_amount,ad1,param.Mobile No"
        cells = "nov-1,2001,00aB12,Mum,2450.70,zone 4,0987"
        assert read_rows(batch(f"{header}\r\n{cells}\r\n")) == [
            Row(
                line=2,
                reference_id="nov-1",
                biller_id=2001,
                params={"cn": "00aB12", "ad1": "zone 4", "Mobile No": "0987"},
                circle="Mum",
                max_amount=Decimal("2450.70"),
                given=dict(zip(header.split(","), cells.split(","), strict=True)),
            )
        ]
        assert str(only(batch(f"{header}\nnov-1,2001,1,,2450.70\n")).max_amount) == "2450.70"

    def test_cells_are_stripped_and_empty_ones_left_out(self, batch: Batch) -> None:
        """The row has the given text of each cell beside its value."""
        row = only(batch('ad1,cn,biller,param.x,circle,max\n  , "  12 3 ", 2001\u00a0,,  ,\n'))
        assert (row.params, row.circle, row.max_amount) == ({"cn": "12 3"}, None, None)
        assert row.given["ad1"] == ""
        assert row.given["biller"] == "2001\u00a0"

    def test_the_consumer_number_comes_first(self, batch: Batch) -> None:
        """The reader puts `cn` before the other inputs, wherever its column stands in the file."""
        assert list(only(batch("param.z,ad2,biller_id,cn\n1,2,2001,3\n")).params) == ["cn", "z", "ad2"]

    @pytest.mark.parametrize(
        "cell", ["", "x", "0", "2147483648", "2001.0", "-1", "+5", "१", "1_0", "20 01", "99999999999"]
    )
    def test_a_biller_id_is_a_positive_number(self, batch: Batch, cell: str) -> None:
        """The reader accepts plain digits of 31 bits at most."""
        said = problem(batch(f"biller_id,cn,circle\n{cell},123456789,X\n"))
        assert said.startswith("batch.csv:2: biller_id: write EnKash's number of the biller, such as 2001; ")

    @pytest.mark.parametrize(
        "cell", ["12,50", "1e3", "10.123", "-5", "१०", "1_0", ".", "1,2,3", "5/", "Rs", "£ 5", "5 5"]
    )
    def test_a_ceiling_is_in_rupees(self, batch: Batch, cell: str) -> None:
        """The message shows how to write an amount."""
        said = problem(batch(f'{HEADER}a,2001,1,"{cell}"\n'))
        assert said == f"batch.csv:2: max_amount: write rupees such as 2450.75, not {cell!r}"

    @pytest.mark.parametrize("cell", ["0", "0.99", "00.10"])
    def test_a_ceiling_is_at_least_a_rupee(self, batch: Batch, cell: str) -> None:
        """The reader refuses a ceiling below the least amount that EnKash takes."""
        said = problem(batch(f"{HEADER}a,2001,1,{cell}\n"))
        assert said == f"batch.csv:2: max_amount: write rupees such as 2450.75, at least 1, not {cell!r}"

    @pytest.mark.parametrize("cell", ["1.23457E+11", "1E+11", "1,23457E+11", "9.1e+9", "123.00", "123456789,0"])
    @pytest.mark.parametrize("column", ["Consumer No.", "param.mobile", "reference"])
    def test_a_number_that_a_spreadsheet_has_changed_is_refused(self, batch: Batch, cell: str, column: str) -> None:
        """The digits or zeros that the spreadsheet dropped cannot be restored here."""
        other = "ad1" if column == "Consumer No." else "cn"
        said = problem(batch(f'biller_id,{column},{other},circle\n2001,"{cell}",5,x\n'))
        what_to_do = "format the column as text, and write the number again"
        assert said == f"batch.csv:2: {column}: a spreadsheet has changed the number: {what_to_do}"

    @pytest.mark.parametrize(
        "cell",
        ["1.2E11", "1.2e+11", "1E11", "12e+9", "-1.2E+11", "1.2 E+11", "1,234,567", "12,34,567", "1.2E 11", "1,2E+ 11",
         "12 E + 9", "1,2E+11", "\uff11\uff12\uff13E+11", "\uff11.\uff12\uff2511", "1.2\u00d710^11", "1.2x10**11",
         "\u22121.2E+11", "1.2E\u207a\u00b9\u00b9"],
    )  # fmt: skip
    @pytest.mark.parametrize("column", ["Consumer No.", "reference"])
    def test_every_spelling_of_a_shortened_number_is_refused(self, batch: Batch, cell: str, column: str) -> None:
        """The reader knows the spellings of spreadsheets and of programs."""
        other = "ad1" if column == "Consumer No." else "cn"
        said = problem(batch(f'biller_id,{column},{other}\n2001,"{cell}",5\n'))
        assert said.startswith(f"batch.csv:2: {column}: a spreadsheet has changed the number: ")

    @pytest.mark.parametrize(
        "cell",
        [
            "0.5",
            "123.",
            "0,25",
            "123456789,5",
            "(500)",
            "(1,250.00)",
            "\u20b9 500",
            "\u20b91,250",
            "$5",
            "5%",
            "12.5 %",
        ],
    )
    def test_a_number_in_another_format_is_no_consumer_number(self, batch: Batch, cell: str) -> None:
        """The cell was formatted as money, as a share, or with a decimal comma; an input of the biller may be."""
        said = problem(batch(f'biller_id,cn\n2001,"{cell}"\n'))
        assert said.startswith("batch.csv:2: cn: a spreadsheet has changed the number: ")
        assert only(batch(f'biller_id,cn,param.x\n2001,5,"{cell}"\n')).params["x"] == cell

    @pytest.mark.parametrize("cell", ["12:30:00", "12:30", "44:00:00", "9:05 PM", "12:30:00.5"])
    def test_a_time_is_no_consumer_number(self, batch: Batch, cell: str) -> None:
        """A spreadsheet has made a time of what was typed; an input of the biller may be one."""
        said = problem(batch(f"biller_id,cn\n2001,{cell}\n"))
        assert said.startswith("batch.csv:2: cn: a spreadsheet has made a time of it: ")
        assert only(batch(f"biller_id,cn,param.x\n2001,5,{cell}\n")).params["x"] == cell

    @pytest.mark.parametrize("cell", ["XXXXXX1234", "1234XXXX", "**1234", "\u2022\u2022\u2022\u20221234", "12xxxxxx34"])
    def test_a_masked_number_is_refused(self, batch: Batch, cell: str) -> None:
        """The number was copied from a statement, which shows only a part of it."""
        said = problem(batch(f"biller_id,cn\n2001,{cell}\n"))
        assert said == "batch.csv:2: cn: a part of the number is masked: write the whole number"

    @pytest.mark.parametrize("cell", ["---", "...", "\u2026", "\u2014", "*", "??", "_", "#"])
    def test_a_consumer_number_has_a_letter_or_a_digit(self, batch: Batch, cell: str) -> None:
        """The cell is a sign for nothing."""
        said = problem(batch(f"biller_id,cn\n2001,{cell}\n"))
        assert said.startswith("batch.csv:2: cn: there is neither a letter nor a digit in it: ")

    @pytest.mark.parametrize(
        ("cell", "odd"),
        [
            ("\uff11\uff12\uff13", "U+FF11, fullwidth digit one"),
            ("\u096b\u0966\u0966", "U+096B, devanagari digit five"),
            ("12\u00b2", "U+00B2, superscript two"),
            ("12\u201334", "U+2013, en dash"),
            ("12\u201134", "U+2011, non-breaking hyphen"),
            ("\u04101234", "U+0410, cyrillic capital letter a"),
            ("\uff21B12", "U+FF21, fullwidth latin capital letter a"),
            ("\u00bd", "U+00BD, vulgar fraction one half"),
        ],
    )
    def test_a_consumer_number_is_of_ascii_characters(self, batch: Batch, cell: str, odd: str) -> None:
        """The biller would not know a dash that a program has put, nor a letter or digit that looks like its own."""
        said = problem(batch(f"biller_id,cn\n2001,{cell}\n"))
        assert said == f"batch.csv:2: cn: there is a character in it that is not ASCII ({odd}): type the number again"
        assert only(batch(f"biller_id,cn,param.x\n2001,5,{cell}\n")).params["x"] == cell

    @pytest.mark.parametrize(
        "cell",
        ["05-12-2026", "5/12/2026", "12/31/2026", "5/12/26", "2026-12-05", "2026/12/5", "2026-12-05 00:00:00",
         "2026-12-05T00:00:00Z", "5-Dec", "05-dec-26", "Dec-26", "5 December 2026", "December 5, 2026", "05.12.2026"],
    )  # fmt: skip
    def test_a_date_is_no_id(self, batch: Batch, cell: str) -> None:
        """A spreadsheet has made a date of what was typed; an input of the biller may be one, a reference `nov-1`."""
        said = problem(batch(f'biller_id,cn\n2001,"{cell}"\n'))
        assert said.startswith("batch.csv:2: cn: a spreadsheet has made a date of it: ")
        named = batch(f'biller_id,reference,cn\n2001,"{cell}",5\n')
        if "dec" in cell.lower():
            assert only(named).reference_id == cell
        else:
            assert problem(named).startswith("batch.csv:2: reference: a spreadsheet has made a date of it: ")
        assert only(batch(f'biller_id,cn,param.birth\n2001,5,"{cell}"\n')).params["birth"] == cell

    @pytest.mark.parametrize(
        ("cell", "said"),
        [
            ("#N/A", "a formula has failed here (#N/A): "),
            ("#REF!", "a formula has failed here (#REF!): "),
            ("#DIV/0!", "a formula has failed here (#DIV/0!): "),
            ("#NAME?", "a formula has failed here (#NAME?): "),
            ("#WERT!", "a formula has failed here (#WERT!): "),
            ("Err:502", "a formula has failed here (Err:502): "),
            ("#VALUE!", "a formula has failed here (#VALUE!): "),
            ("#SPILL!", "a formula has failed here (#SPILL!): "),
            ("#N/D", "a formula has failed here (#N/D): "),
            ("#\u00a1VALOR!", "a formula has failed here (#\u00a1VALOR!): "),
            ("#\u0417\u041d\u0410\u0427!", "a formula has failed here (#\u0417\u041d\u0410\u0427!): "),
            ("#N/A N/A", "a formula has failed here (#N/A N/A): "),
            ("Error 502", "a formula has failed here (Error 502): "),
            ("########", "the column was too narrow, so the number is not in the file: "),
            ("nan", "'nan' stands for no value: "),
            ("NULL", "'NULL' stands for no value: "),
            ("None", "'None' stands for no value: "),
            ("TRUE", "'TRUE' stands for no value: "),
            ("<NA>", "'<NA>' stands for no value: "),
            ("(blank)", "'(blank)' stands for no value: "),
            ("<null>", "'<null>' stands for no value: "),
            ("[NULL]", "'[NULL]' stands for no value: "),
            ("{empty}", "'{empty}' stands for no value: "),
            ("1.#QNAN", "'1.#QNAN' stands for no value: "),
            ("-nan(ind)", "'-nan(ind)' stands for no value: "),
            ("VRAI", "'VRAI' stands for no value: "),
            ("Loading...", "'Loading...' stands for no value: "),
            ("{=A1}", "there is a formula in it: "),
            ("-A1+B1", "there is a formula in it: "),
            ("=A1", "there is a formula in it: "),
            ('="00123"', "there is a formula in it: "),
            ("+A1*2", "there is a formula in it: "),
            ("@SUM(A1:A2)", "there is a formula in it: "),
        ],
    )
    @pytest.mark.parametrize("column", ["reference", "biller_id", "cn", "circle", "max_amount", "ad1", "param.x"])
    def test_what_is_no_value_is_refused(self, batch: Batch, cell: str, said: str, column: str) -> None:
        """Each column that is read is checked, and the message has line and column."""
        cells = {"reference": "r", "biller_id": "2001", "cn": "5", column: '"' + cell.replace('"', '""') + '"'}
        found = problem(batch(f"{','.join(cells)}\n{','.join(cells.values())}\n"))
        assert found.startswith(f"batch.csv:2: {column}: {said}")

    @pytest.mark.parametrize("cell", ["+A1", "-B$12"])
    def test_a_formula_that_names_a_cell_is_no_id(self, batch: Batch, cell: str) -> None:
        """Another input of the biller may look like one."""
        assert problem(batch(f"biller_id,cn\n2001,{cell}\n")).startswith("batch.csv:2: cn: there is a formula in it: ")
        assert only(batch(f"biller_id,cn,ad1\n2001,5,{cell}\n")).params["ad1"] == cell

    @pytest.mark.parametrize("cell", ["NA", "n/a", "-", "--", "?", "nil", "n.a.", "blank", "not available"])
    def test_what_stands_for_no_number_may_be_an_input(self, batch: Batch, cell: str) -> None:
        """A consumer number of that kind is refused; a biller may want the word in another input."""
        said = problem(batch(f"biller_id,cn\n2001,{cell}\n"))
        assert said == f"batch.csv:2: cn: {cell!r} stands for no value: write the value, or leave out the row"
        assert only(batch(f"biller_id,cn,ad1\n2001,5,{cell}\n")).params["ad1"] == cell

    @pytest.mark.parametrize(
        ("cell", "amount"),
        [
            ("₹1,25,000.00", "125000.00"),
            ("₹ 10", "10"),
            ("12,000", "12000"),
            ("1,234,567.5", "1234567.5"),
            ("12,34,567", "1234567"),
            ("Rs. 500", "500"),
            ("Rs.500.50", "500.50"),
            ("rs 1,000/-", "1000"),
            ("500/-", "500"),
            ("INR\u00a0500", "500"),
            ("500 INR", "500"),
            ("₹ 500/- only", "500"),
        ],
    )
    def test_amounts_are_read_as_people_write_them(self, batch: Batch, cell: str, amount: str) -> None:
        """The amount has every digit of the cell, and no other."""
        assert str(only(batch(f'{HEADER}a,2001,1,"{cell}"\n')).max_amount) == amount

    @pytest.mark.parametrize(
        "cell",
        [
            "1.250,00",
            "1,25,00",
            "12,50,00",
            "1.25.000",
            "₹ 1,250.000",
            "1 250,00",
            "(500.00)",
            "1.25.000,00",
            "-500",
            "500-",
            "-\u20b9500",
            "500 Cr",
            "500 Cr.",
            "5k",
            "1.25 lakh",
            "1.25 crore",
            "\u2212500",
        ],
    )
    def test_an_ambiguous_amount_is_shown_whole(self, batch: Batch, cell: str) -> None:
        """The user sees what was refused."""
        said = problem(batch(f'{HEADER}a,2001,1,"{cell}"\n'))
        assert said == f"batch.csv:2: max_amount: write rupees such as 2450.75, not {cell!r}"

    @pytest.mark.parametrize(
        "cell",
        [
            "123.05",
            "12.3.00",
            "A1.00",
            "100",
            "12E4567",
            "MAR-1234",
            "13-13-1313",
            "E11",
            "01/2026",
            "E1234",
            "0012",
            "TN-0099/12",
            "12 E 34",
            "12 34 56",
            "+919876543210",
            "-5",
            "1.234.567",
            "A1",
            "4 x 10",
            "XX12",
            "#12/A",
            "NA12",
        ],
    )
    def test_a_number_that_nobody_changed_is_taken(self, batch: Batch, cell: str) -> None:
        """The reader keeps the text of a cell that no spreadsheet has reformatted."""
        assert only(batch(f"biller_id,cn,ad1\n2001,{cell},x\n")).params["cn"] == cell

    @pytest.mark.parametrize("odd", ["\u200b", "\u00a0", "\n", "\x1b", "\ufeff"])
    def test_a_consumer_number_holds_nothing_invisible(self, batch: Batch, odd: str) -> None:
        """The biller would not know it, and the user could not see why."""
        said = problem(batch(f'cn,biller_id\n"12345{odd}6789",2001\n'))
        code = f"U+{ord(odd):04X}"
        assert said == f"batch.csv:2: cn: there is an invisible character in it ({code}): type the cell again"

    @pytest.mark.parametrize("cells", ["\u200e2001,5,", "2001,5,\u200e500", "2001,5,1\u202f250"])
    def test_an_invisible_character_is_named_in_every_column(self, batch: Batch, cells: str) -> None:
        """The number would look right in the message."""
        said = problem(batch(f"biller_id,cn,max\n{cells}\n"))
        column = "biller_id" if cells.startswith("\u200e") else "max"
        assert said.startswith(f"batch.csv:2: {column}: there is an invisible character in it (U+20")

    @pytest.mark.parametrize("cell", ["-", "NA", "?", "n/a", "(blank)"])
    @pytest.mark.parametrize("column", ["circle", "reference"])
    def test_what_stands_for_no_circle_or_reference_is_refused(self, batch: Batch, cell: str, column: str) -> None:
        """The message says that the cell may be empty."""
        said = problem(batch(f"biller_id,cn,{column}\n2001,5,{cell}\n"))
        assert said == f"batch.csv:2: {column}: {cell!r} stands for no value: write the value, or empty the cell"

    def test_a_character_that_an_export_has_lost_is_refused(self, batch: Batch) -> None:
        """Nobody can know what the character was."""
        said = problem(batch("biller_id,cn\n2001,12\ufffd3\n"))
        assert said == "batch.csv:2: cn: a character was lost in an earlier export (U+FFFD): type the cell again"

    @pytest.mark.parametrize(
        "cell", ["'00123", "\u201c00123\u201d", "\u201800123", "12`3", "12\u20323", ' \t"00123"', '0"12']
    )
    def test_a_consumer_number_holds_no_quotation_mark(self, batch: Batch, cell: str) -> None:
        """The mark was meant for the spreadsheet, or it stands behind a blank."""
        said = problem(batch(f"cn,biller_id\n{cell},2001\n"))
        assert said == "batch.csv:2: cn: there is a quotation mark in it: write the number alone"

    def test_other_inputs_may_have_joiners_and_line_breaks(self, batch: Batch) -> None:
        """Names in Indian scripts have joiners, and addresses have line breaks."""
        row = only(batch('biller_id,cn,param.name,param.at\n2001,1,\u0915\u094d\u200d\u0937,"a\r\nb"\n'))
        assert row.params == {"cn": "1", "name": "\u0915\u094d\u200d\u0937", "at": "a\r\nb"}

    def test_a_row_does_not_show_its_consumer(self, batch: Batch) -> None:
        """The repr of a row has no consumer number that a log could keep."""
        assert "123456789" not in repr(only(batch("biller_id,cn,ad1\n2001,123456789,1234567890\n")))


class TestHeader:
    @pytest.mark.parametrize(
        ("biller", "consumer", "ceiling", "reference"),
        [
            ("biller_id", "consumer_number", "max_amount", "reference"),
            ("Biller ID", "Consumer Number", "Max Amount", "Reference ID"),
            ("billerId", "consumerNumber", "maxAmount", "referenceId"),
            ("BILLER-ID", "CN", "MAX-AMOUNT", "REFERENCE"),
            ("biller", "consumer", "ceiling", "reference_id"),
            ("BillerID", "Consumer No.", "Amount Ceiling", " reference "),
            ("Biller", "param.cn", "max", "ReferenceID"),
        ],
    )
    def test_a_column_has_many_names(
        self, batch: Batch, biller: str, consumer: str, ceiling: str, reference: str
    ) -> None:
        """Case, spaces, hyphens and underscores of a name do not matter."""
        row = only(batch(f"{biller},{consumer},{ceiling},{reference}\n2001,77,50,r-1\n"))
        assert (row.biller_id, row.params) == (2001, {"cn": "77"})
        assert (row.max_amount, row.reference_id) == (Decimal(50), "r-1")

    @pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
    def test_the_header_says_what_separates(self, batch: Batch, delimiter: str) -> None:
        """The reader finds the separator in a header whose names have other ones."""
        header = delimiter.join(["biller_id", '"param.a,b;c,d;e,f"', "cn"])
        row = only(batch(f"{header}\n2001{delimiter}x{delimiter}5\n"))
        assert row.params == {"cn": "5", "a,b;c,d;e,f": "x"}

    def test_what_is_needed_says_more_than_what_is_known(self, batch: Batch) -> None:
        """The required columns decide, because one name may be made of known ones."""
        row = only(batch('biller_id,cn,"param.;circle;max;ad1;ad2;ad3;x"\n2001,5,y\n'))
        assert row.params == {"cn": "5", ";circle;max;ad1;ad2;ad3;x": "y"}

    def test_what_a_result_file_adds_is_not_read(self, batch: Batch) -> None:
        """The reader ignores result columns, also where the file has one of them twice."""
        row = only(batch("biller_id,result_outcome,cn,Result-Error,result_error\n2001,PAID,5,x,y\n"))
        assert row.given == {"biller_id": "2001", "cn": "5"}

    def test_empty_columns_without_a_name_are_not_read(self, batch: Batch) -> None:
        """The reader ignores the empty columns that spreadsheets add."""
        assert only(batch("biller_id,,cn,,\n2001,,5,  ,,,\n")).given == {"biller_id": "2001", "cn": "5"}

    def test_a_value_in_a_column_without_a_name_is_refused(self, batch: Batch) -> None:
        """The reader reports the first value of each nameless column and not those below it."""
        assert problems(batch("biller_id,,cn,\n2001,,5,\n2001,x,6,\n2001,y,7,z\n")) == [
            "batch.csv:3: column 2 has no name in the header: name it, or empty its cells",
            "batch.csv:4: column 4 has no name in the header: name it, or empty its cells",
        ]

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("ad0", "column 'ad0' is unknown: name it param.ad0 if the biller asks for it"),
            ("AD 10", "column 'AD 10' is unknown: name it param.ad10 if the biller asks for it"),
            ("param.", "column 'param.' names no input: write param.NAME with the name that the biller gives it"),
            ("PARAM. ", "column 'PARAM.' names no input: write param.NAME with the name that the biller gives it"),
            ("max_amout", "column 'max_amout' is unknown, and looks like max_amount: "),
            ("Max. Amt", "column 'Max. Amt' is unknown, and looks like max_amount: "),
            ("Payment Limit", "column 'Payment Limit' is unknown, and looks like max_amount: "),
            ("Refrence", "column 'Refrence' is unknown, and looks like reference: "),
            ("CIRCLES", "column 'CIRCLES' is unknown, and looks like circle: "),
        ],
    )
    def test_what_only_looks_like_a_known_name_is_refused(self, batch: Batch, name: str, said: str) -> None:
        """The reader does not leave a misspelt column aside: without its ceiling a bill of any size would be paid."""
        assert problem(batch(f"biller,cn,{name}\n1,2,3\n")).startswith(f"batch.csv:1: {said}")

    def test_other_columns_are_kept_and_named(self, batch: Batch) -> None:
        """The row has the cells of all columns; a second column of one name gets a number."""
        row = only(batch("Branch,biller_id,cn,Notes,Amount,Notes,results\nPune,2001,5,a,=1+1,b,#N/A\n"))
        assert row.given == {
            "Branch": "Pune",
            "biller_id": "2001",
            "cn": "5",
            "Notes": "a",
            "Amount": "=1+1",
            "Notes (2)": "b",
            "results": "#N/A",
        }
        assert row.unread == ("Branch", "Notes", "Amount", "Notes (2)", "results")

    @pytest.mark.parametrize(
        "columns",
        [
            {"consumer_number": "Consumer A/c", "max_amount": "Bill Amount", "biller_id": "Op."},
            {"cn": " consumer a/C ", "Ceiling": "BILL  amount", "Biller": "op."},
        ],
    )
    def test_columns_can_be_named(self, batch: Batch, columns: dict[str, str]) -> None:
        """The reader takes the named headers, and copies the column that would have had the meaning."""
        path = batch("Op.,Consumer A/c,cn,Bill Amount,Zone No\n2001,77,88,₹ 500,4\n")
        (row,) = read_rows(path, columns={**columns, "param.Zone": "zone no"})
        assert (row.biller_id, row.params, row.max_amount) == (2001, {"cn": "77", "Zone": "4"}, Decimal(500))
        assert (row.unread, row.given["cn"]) == (("cn",), "88")

    def test_a_named_column_has_to_be_there(self, batch: Batch) -> None:
        """The message says which name found no column."""
        with pytest.raises(InvalidRequestError) as caught:
            read_rows(batch("biller_id,cn\n2001,1\n"), columns={"consumer_number": "Consumer A/c"})
        assert str(caught.value) == "batch.csv:1: there is no column that was named for consumer_number"
        for wrong in ("amount", "result_outcome", "param.", ""):
            with pytest.raises(InvalidRequestError, match=r"there is no column .* to read: use reference, biller_id"):
                read_rows(batch("biller_id,cn\n2001,1\n"), columns={wrong: "cn"})

    @pytest.mark.parametrize(
        "header",
        [
            "\ufeff\ufeffbiller_id,cn,max",
            "\u200bbiller_id,cn\u200b,\u200emax",
            "biller\u00a0id,consumer\u00a0number,max\u00a0amount",
            '"biller\nid","consumer\r\nnumber","max\namount (Rs.)"',
            "Biller ID:,Consumer No.*,Max Amount *",
            "\uff42iller_id,cn,max",
        ],
    )
    def test_what_the_user_cannot_see_in_a_name_does_not_matter(self, batch: Batch, header: str) -> None:
        """Nor does a line break, or the mark of a column that a form demands."""
        row = only(batch(f"{header}\n2001,77,5\n"))
        assert (row.biller_id, row.params, row.max_amount) == (2001, {"cn": "77"}, Decimal(5))

    @pytest.mark.parametrize(
        "content",
        [
            '"biller_id,cn"\n"2001,5"\n',
            "biller_id cn\n2001 5\n",
            "biller_id^cn\n2001^5\n",
            "sep=,\nbiller_id;cn\n2001;5\n",
        ],
    )
    def test_names_in_one_cell_are_told_to_be_separated(self, batch: Batch, content: str) -> None:
        """Another export has quoted whole lines, or separates the cells by something else."""
        line = 2 if content.startswith("sep") else 1
        assert problem(batch(content)) == (
            f"batch.csv:{line}: the names of all columns are in one cell: separate them by commas, semicolons or tabs, "
            "and put no quotes around a whole line"
        )

    @pytest.mark.parametrize("name", ["Max Amount (Rs.)", "max_amount [INR]", "Ceiling (₹)"])
    def test_a_unit_behind_a_name_does_not_matter(self, batch: Batch, name: str) -> None:
        """The column is the ceiling."""
        assert only(batch(f"biller_id,cn,{name}\n2001,5,7\n")).max_amount == Decimal(7)

    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    @pytest.mark.parametrize(
        ("first", "delimiter"),
        [("sep=;", ";"), ('"sep=|"', "|"), ("SEP=,,,", ","), ("#TYPE System.Data.DataRow", ","), ('"#TYPE a, b"', ",")],
    )
    def test_a_first_line_for_programs_is_skipped(self, batch: Batch, first: str, delimiter: str, end: str) -> None:
        """The rows keep the numbers of their lines."""
        lines = [first, delimiter.join(["biller_id", "cn"]), delimiter.join(["2001", "5"]), ""]
        assert only(batch("\ufeff" + end.join(lines))).line == 3

    def test_titles_above_the_header_are_skipped(self, batch: Batch) -> None:
        """The reader finds the header below lines with fewer cells, also in a file with semicolons."""
        title = "Bills of November, 2026;;;\nGST 27AAA;Pune;;\n\n"
        row = only(batch(f"{title}biller_id;cn;max;Notes\n2001;5;7;x\n"))
        assert (row.line, row.max_amount) == (5, Decimal(7))

    def test_what_could_be_a_bill_above_the_header_is_named(self, batch: Batch) -> None:
        """A row is not skipped in silence."""
        assert problem(batch("2001,4\nbiller_id,cn\n2001,5\n")) == (
            "batch.csv:1: this line is above the header in line 2: remove it, or put it below"
        )

    @pytest.mark.parametrize(
        ("one", "other"), [("cn", "Consumer"), ("ad1", "param.ad1"), ("max", "max"), ("CN", "param.cn")]
    )
    def test_two_columns_of_one_meaning_are_refused(self, batch: Batch, one: str, other: str) -> None:
        """The reader reports both columns and takes the value of neither."""
        said = problems(batch(f"biller_id,consumer_number,{one},{other}\n2001,,3,4\n"))
        assert said[-1].startswith("batch.csv:1: the columns ")
        assert said[-1].endswith(f" and {other!r} mean the same: remove one of them")

    def test_names_of_inputs_keep_their_case(self, batch: Batch) -> None:
        """The reader keeps the spelling of an input, because the biller chose it."""
        row = only(batch("biller_id,cn,param.Zone,Param.zone\n2001,1,2,3\n"))
        assert row.params == {"cn": "1", "Zone": "2", "zone": "3"}

    def test_all_that_is_wrong_with_a_header_is_said(self, batch: Batch) -> None:
        """The reader reports every problem of the header at once, so that a user mends them in one go."""
        said = problems(batch("circle,max_amout\nx,y\n"))
        assert [line.partition(":1: ")[2][:34] for line in said] == [
            "column 'max_amout' is unknown, and",
            "there is no column biller_id: writ",
            "there is no column consumer_number",
        ]

    def test_a_file_without_a_header_is_told_so(self, batch: Batch) -> None:
        """The message does not repeat the first row."""
        said = problem(batch("nov-1,2001,123456789,100\n"))
        assert "'reference,biller_id,consumer_number,max_amount'" in said
        assert "123456789" not in said
        assert "123456789" not in "".join(problems(batch("cn,2001,123456789\n")))

    @pytest.mark.parametrize("content", ["", "\ufeff", "\n\r\n  \n,,,\n"])
    def test_an_empty_file_is_told_what_to_write(self, batch: Batch, content: str) -> None:
        """The message shows a header and a row that the user can copy."""
        assert problem(batch(content)) == (
            "batch.csv: the file is empty: begin it with a header such as 'reference,biller_id,consumer_number,"
            "max_amount', then rows such as 'nov-2026-1,2001,123456789,5000'"
        )

    def test_a_header_alone_is_not_a_batch(self, batch: Batch) -> None:
        """The message shows an example of a row."""
        assert problem(batch(HEADER + "\n,,\n")) == (
            "batch.csv: there are no rows below the header: write one for each bill, such as "
            "'nov-2026-1,2001,123456789,5000'"
        )


class TestLines:
    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_a_row_knows_the_line_in_which_it_begins(self, batch: Batch, end: str) -> None:
        """The number counts blank lines and line breaks inside cells."""
        lines = ["", "biller_id,cn,param.x", "2001,1,", "", " ,,", '2001,2,"a', "", 'b"', "2001,3", ""]
        rows = read_rows(batch(end.join(lines)))
        assert [(row.line, row.params["cn"]) for row in rows] == [(3, "1"), (6, "2"), (9, "3")]

    def test_a_row_with_too_many_cells_is_refused(self, batch: Batch) -> None:
        """A comma inside an unquoted cell moves the cells after it."""
        said = problem(batch(f"{HEADER}a,2001,1,5,,\nb,2001,1,2,450\n"))
        assert said == (
            "batch.csv:3: the row has 5 cells, but the header has 4: put a cell that holds a comma into quotes"
        )

    @pytest.mark.parametrize(
        "row",
        ["Total,,,500", ",Total,,500", ",,Grand Total,500", ",5,Total,500", "Sub-total:,,,", "Total,Total,Total,Total",
         "total amount,2001,,500", "Sum,,7,500"],
    )  # fmt: skip
    def test_a_total_is_no_bill(self, batch: Batch, row: str) -> None:
        """The number of bills above it is no biller, and `Total` no consumer."""
        said = problem(batch(f"{HEADER}a,2001,1,500\n{row}\n"))
        assert said == "batch.csv:3: this line looks like a total, not like a bill: remove it"

    def test_a_word_of_a_total_may_be_in_a_bill(self, batch: Batch) -> None:
        """A row with biller and consumer is a bill, whatever its reference is."""
        assert only(batch(f"{HEADER}Total,2001,1,500\n")).reference_id == "Total"

    @pytest.mark.parametrize("row", [",,,500", "# a note", "Prepared by accounts,,,", "\x1a", "3 rows"])
    def test_a_line_without_biller_and_consumer_is_one_problem(self, batch: Batch, row: str) -> None:
        """The line is a remark, or what a program writes at the end of a file."""
        assert problem(batch(f"{HEADER}a,2001,1,500\n{row}\n")) == (
            "batch.csv:3: this line names neither biller nor consumer: remove it, or fill in biller_id and "
            "consumer_number"
        )

    @pytest.mark.parametrize("mark", ["", "\ufeff"])
    def test_a_header_that_is_repeated_is_one_problem(self, batch: Batch, mark: str) -> None:
        """Each page of a printed list has one, and each of several files that were put together."""
        said = problem(batch(f"{HEADER}a,2001,1,500\n{mark}{HEADER}b,2001,2,500\n"))
        assert said == "batch.csv:3: this line repeats the header: remove it"

    @pytest.mark.parametrize(
        ("rows", "said"),
        [
            ('a,2001,"1\nb,2001,2\n', "a quote is opened in this row and never closed"),
            ('a,2001,"1"2\nb,2001,2\n', "a cell of this row goes on behind its closing quote"),
            ('a,2001,"1\n' + "b,2001,2\n" * 20_000, "a cell of this row has more than 131072 characters"),
        ],
    )
    def test_a_wrong_quote_is_refused(self, batch: Batch, rows: str, said: str) -> None:
        """The message has the line in which the row begins, and the problems before it."""
        found = problems(batch(f"{HEADER}x,2001,,\n{rows}"))
        assert found[0] == "batch.csv:2: consumer_number: is empty: write the consumer number"
        assert found[1].startswith(f"batch.csv:3: {said}")
        assert len(found) == 2

    def test_quotes_in_the_header_are_checked_as_well(self, batch: Batch) -> None:
        """The reader stops after the header."""
        assert problem(batch('biller_id,"cn\n2001,1\n')).startswith("batch.csv:1: a quote is opened")

    def test_everything_wrong_is_said_in_the_order_of_the_file(self, batch: Batch) -> None:
        """Each problem has its line and column."""
        assert [re.sub(r": [^:]*$", "", line) for line in problems(batch(f"{HEADER}..,x,,y\n,2001,1,\n,0,2,3\n"))] == [
            "batch.csv:2: biller_id",
            "batch.csv:2: consumer_number: is empty",
            "batch.csv:2: max_amount",
            "batch.csv:2: reference: it must not be '..'",
            "batch.csv:4: biller_id",
        ]

    def test_twenty_problems_are_enough(self, batch: Batch) -> None:
        """The reader reports twenty problems and counts the others."""
        names = ",".join(f"param.p{number}" for number in range(25))
        said = problems(batch(f"biller_id,cn,{names}\n2001,1{',#REF!' * 25}\n"))
        assert said[19].startswith("batch.csv:2: param.p19: ")
        assert said[20:] == ["and 5 more"]

    def test_equal_problems_are_one_line(self, batch: Batch) -> None:
        """The line has their number and their lines, and the rare problem stands beside it."""
        rows = [f"r{number},2001,{number}.2E+11,\n" for number in range(181)]
        rows[90] = "r90,2001,90,1.250,\n"
        rows[95] = "r95,2001,95,free\n"
        changed = "a spreadsheet has changed the number: format the column as text, and write the number again"
        assert problems(batch(HEADER + "".join(rows))) == [
            f"batch.csv:2: consumer_number: 179 rows: {changed} (lines 2-91, 93-96, 98-182)",
            "batch.csv:92: max_amount: write rupees such as 2450.75, not '1.250'",
            "batch.csv:97: max_amount: write rupees such as 2450.75, not 'free'",
        ]

    def test_problems_of_one_kind_are_one_line(self, batch: Batch) -> None:
        """The first of the wrong cells is the example, and a long list of lines is cut."""
        rows = "".join(f"r{number},{'x' if number % 2 else '2001'},{number},\n" for number in range(20))
        assert problem(batch(HEADER + rows)) == (
            "batch.csv:3: biller_id: 10 rows: write EnKash's number of the biller, such as 2001; not 'x' "
            "(lines 3, 5, 7, 9, 11, …)"
        )

    def test_a_consumer_number_in_a_wrong_column_is_not_shown(self, batch: Batch) -> None:
        """Neither the message nor the error's attributes have the number."""
        for row in (
            "5,98765432100,",
            "98765432100,2001,98765432100",
            "98765432100,x,",
            ",x98765432100,",
            '"98765432100',
        ):
            with pytest.raises(InvalidRequestError) as caught:
                read_rows(batch(f"consumer_number,biller_id,max_amount\n{row}\n{row}x\n"))
            assert "98765432100" not in shown(caught.value, frames=False)
        with pytest.raises(InvalidRequestError) as caught:
            read_rows(batch(b"consumer_number,biller_id\n123456789,\xff\n"))
        assert "123456789" not in shown(caught.value, frames=False)


class TestFile:
    def test_a_byte_order_mark_is_not_part_of_the_header(self, batch: Batch) -> None:
        """The reader finds the first column of a file that Excel saved with a byte order mark."""
        assert only(batch("\ufeffbiller_id,cn\n2001,1\n")).biller_id == 2001

    @pytest.mark.parametrize("mark", ["", "\ufeff"])
    def test_another_encoding_is_told_by_its_line(self, batch: Batch, mark: str) -> None:
        """The message says how to save the file."""
        said = problem(batch(mark.encode() + b"biller_id,cn,ad1\r\n2001,1,x\r\n2001,2,caf\xe9\r\n"))
        assert said == "batch.csv:3: the file is not UTF-8: save it as UTF-8 (Excel: 'CSV UTF-8')"

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
    def test_utf_16_is_not_read(self, batch: Batch, encoding: str) -> None:
        """The message says how to save a file that Excel wrote as «Unicode text»."""
        said = problem(batch("biller_id\tcn\r\n2001\t1\r\n".encode(encoding)))
        assert re.match(r"batch.csv:1: .*save it as UTF-8", said)

    def test_a_workbook_is_told_how_to_be_saved(self, batch: Batch) -> None:
        """The message names the kind of file, and what to choose in Excel."""
        said = "batch.csv: this is a workbook (.xlsx or .ods), not CSV: save it as UTF-8 (Excel: 'CSV UTF-8')"
        assert problem(batch(b"PK\x03\x04\x14\0\x06")) == said

    @pytest.mark.parametrize(
        ("data", "kind"),
        [
            (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(9), "a workbook (.xls)"),
            (b"%PDF-1.7\n\xff", "a PDF"),
            (b"\x1f\x8b\x08\0", "a compressed file"),
            (b"{\\rtf1 x}", "a document (.rtf)"),
            (b"\xef\xbb\xbf\r\n<table><tr><td>biller_id</td></tr></table>", "a page of HTML or XML"),
            (b'[{"biller_id": 2001}]', "JSON"),
        ],
    )
    def test_another_kind_of_file_is_named(self, batch: Batch, data: bytes, kind: str) -> None:
        """The message says what was exported in place of CSV, whatever its name is."""
        assert problem(batch(data)) == f"batch.csv: this is {kind}, not CSV: save it as UTF-8 (Excel: 'CSV UTF-8')"

    def test_a_nul_is_told_by_its_line(self, batch: Batch) -> None:
        """The message has the line of a character that no person types."""
        assert problem(batch("biller_id,cn\n2001,1\n2001,\0\n")).startswith("batch.csv:3: a NUL character")

    def test_a_missing_file_is_told(self, tmp_path: Path) -> None:
        """The message names the file that does not exist."""
        assert problem(tmp_path / "none.csv") == "none.csv: there is no such file"

    def test_a_directory_is_told(self, tmp_path: Path) -> None:
        """The message explains a path that names a directory."""
        (tmp_path / "bills").mkdir()
        assert problem(tmp_path / "bills") == "bills: this is a directory: name a CSV file in it"

    def test_a_file_that_cannot_be_read_is_told(self, tmp_path: Path) -> None:
        """The message adds the operating system's reason."""
        loop = tmp_path / "loop.csv"
        loop.symlink_to(loop)
        assert problem(loop) == f"loop.csv: the file cannot be read: {os.strerror(40)}"

    def test_a_name_cannot_steer_the_terminal(self, tmp_path: Path) -> None:
        """A file's name can neither send escape codes nor add a line."""
        assert problem(tmp_path / "a\n\x1b[2Jb.csv") == "a \\x1b[2Jb.csv: there is no such file"


ROWS = ["2001,77,,", "2001,78,,", "2002,77,,", "2001,77,MUM,", "2001,77,,9"]


class TestReferences:
    def _derived(self, path: Path, batch: str | None = None) -> dict[tuple[object, ...], str]:
        rows = read_rows(path, batch=batch)
        return {(row.biller_id, row.circle, *sorted(row.params.items())): row.reference_id for row in rows}

    @given(st.permutations(ROWS), st.permutations(range(4)))
    @ONE_FILE
    def test_the_same_bills_have_the_same_references(self, tmp_path: Path, rows: list[str], order: list[int]) -> None:
        """The order of rows and columns and the ceilings do not change a reference."""
        path = tmp_path / "november.csv"
        path.write_text("biller_id,cn,circle,ad1\n" + "\n".join(ROWS))
        first = self._derived(path)
        cells = [line.split(",") for line in ("Biller,Consumer,Circle,AD1", *rows)]
        ceilings = ["max", *map(str, range(1, 6))]
        shuffled = [[*(line[at] for at in order), most] for line, most in zip(cells, ceilings, strict=True)]
        path.write_text("\n".join(map(",".join, shuffled)))
        assert self._derived(path) == first
        assert len(set(first.values())) == len(ROWS)

    def test_a_derived_reference_stays_the_same_for_ever(self, tmp_path: Path) -> None:
        """Prevents a double payment: a new version must derive the references of the old one."""
        path = tmp_path / "november 2026.csv"
        path.write_text("biller_id,cn,circle,ad1\n2001,77,MUM,9\n")
        assert only(path).reference_id == "november-2026-685d39426cdc1696"

    def test_another_spelling_of_a_bill_keeps_its_reference(self, tmp_path: Path) -> None:
        """Prevents a double payment: a user may edit a cell or rename the file between two runs."""
        found = set()
        for name, cells in (
            ("november.csv", "2001,cn77,mum,zoné"),
            ("November.csv", "2001,CN77,MUM,Zone\u0301"),
            ("november.csv", "2001,cn77,Mum, ZONÉ "),
        ):
            path = tmp_path / name
            path.write_text(f"biller_id,cn,circle,ad1\n{cells}\n")
            found.add(only(path).reference_id)
        assert len(found) == 1

    def test_one_bill_in_two_spellings_is_refused(self, batch: Batch) -> None:
        """Both rows would have the same reference."""
        said = problem(batch("biller_id,cn,circle\n2001,cn77,mum\n2001,CN77,MUM\n"))
        assert said.startswith("batch.csv:3: the same biller and consumer as line 2: ")

    def test_another_batch_has_other_references(self, batch: Batch) -> None:
        """The references differ when the difference of the names cannot be shown."""
        path = batch("biller_id,cn\n2001,77\n")
        names = ["नवंबर-2026", "दिसंबर-2026", "नवंबर", "2026", "a b", "a/b", "x" * 300, "x" * 301, "=1", None]
        found = [read_rows(path, batch=name)[0].reference_id for name in names]
        assert len(set(found)) == len(names)
        assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}-[0-9a-f]{16}", one) for one in found)

    def test_a_result_file_belongs_to_its_batch(self, tmp_path: Path) -> None:
        """The references stay the same, also for a name in another Unicode form."""
        found = set()
        for name in ("café.csv", "cafe\u0301.csv", "café.result.csv", "café.tsv"):
            path = tmp_path / name
            path.write_text("biller_id,cn\n2001,77\n")
            found.add(only(path).reference_id)
        assert len(found) == 1

    def test_a_link_belongs_to_the_batch_of_its_file(self, tmp_path: Path) -> None:
        """Prevents a double payment: one run may name the file and another a link to it."""
        path = tmp_path / "november.csv"
        path.write_text("biller_id,cn\n2001,77\n")
        link = tmp_path / "newest.csv"
        link.symlink_to(path)
        assert only(link).reference_id == only(path).reference_id
        assert read_rows(link, batch="newest")[0].reference_id != only(path).reference_id

    def test_a_batch_needs_a_name(self, batch: Batch) -> None:
        """The reader refuses an empty name, which an unset variable gives."""
        with pytest.raises(InvalidRequestError, match="the batch has no name: give it one such as november-2026"):
            read_rows(batch("biller_id,cn\n2001,1\n"), batch=" ")

    def test_an_own_reference_is_taken_and_an_empty_one_derived(self, batch: Batch) -> None:
        """The reader decides row by row, so one file may hold both."""
        rows = read_rows(batch(HEADER + " A/1 é ,2001,1,\n ,2001,1,\n"))
        assert rows[0].reference_id == "A/1 é"
        assert rows[1].reference_id.startswith("batch-")

    def test_the_same_reference_twice_names_the_earlier_line(self, batch: Batch) -> None:
        """The earlier line is named although its row has another mistake."""
        assert problems(batch(HEADER + "a,2001,1,\nb,2001,2,x\na,2001,3,\nb,2001,4,\n"))[1:] == [
            "batch.csv:4: reference: is already used in line 2: give each bill one of its own",
            "batch.csv:5: reference: is already used in line 3: give each bill one of its own",
        ]

    def test_the_same_bill_twice_names_the_earlier_line(self, batch: Batch) -> None:
        """The bill would be paid twice, or look as if it had been."""
        assert problem(batch("biller_id,cn,max\n2001,1,5\n2001,2,\n2001,1,6\n")) == (
            "batch.csv:4: the same biller and consumer as line 2: remove one of the two, or give them references of "
            "their own"
        )

    def test_a_reference_may_not_be_another_rows_derived_one(self, batch: Batch) -> None:
        """The reader reports the clash, which would make one bill of two rows."""
        derived = only(batch("biller_id,cn\n2001,1\n")).reference_id
        for rows in (f",2001,1,\n{derived},2001,2,\n", f"{derived},2001,2,\n,2001,1,\n"):
            said = problem(batch(HEADER + rows))
            assert said == "batch.csv:3: reference: is already used in line 2: give each bill one of its own"

    @pytest.mark.parametrize("odd", ["\u200b", "\u200d", "\ufeff", "\u00a0", "\u202e", "\u2060"])
    def test_a_reference_holds_nothing_invisible(self, batch: Batch, odd: str) -> None:
        """Prevents a double payment: two references that look the same would be two bills at EnKash."""
        said = problem(batch(f"{HEADER}nov{odd}1,2001,1,\n"))
        code = f"U+{ord(odd):04X}"
        assert said == f"batch.csv:2: reference: there is an invisible character in it ({code}): type the cell again"
        assert only(batch(f"{HEADER}\u0915\u094d\u200d\u0937,2001,1,\n")).reference_id == "\u0915\u094d\u200d\u0937"

    @pytest.mark.parametrize("cell", [".", "..", "a\x1bb", "a\nb"])
    def test_a_reference_can_be_looked_up(self, batch: Batch, cell: str) -> None:
        """The reader refuses references that cannot be part of a path."""
        assert problem(batch(f'{HEADER}"{cell}",2001,1,\n')).startswith("batch.csv:2: reference: it ")


# --- anything -------------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["reference", "biller_id", "cn", "circle", "max_amount", "ad1", "param.x", "result_x", "", "?"])
CELLS = st.one_of(st.sampled_from(["2001", "1", "77", "5.50", "", " ", '"', "1E+5"]), st.text(max_size=5))


@st.composite
def nearly_files(draw: st.DrawFn) -> bytes:
    """Draw texts that are close to a batch file."""
    header = draw(st.lists(NAMES, max_size=6)) + draw(st.sampled_from([["biller_id", "cn"], []]))
    rows = draw(st.lists(st.lists(CELLS, max_size=len(header) + 1), max_size=4))
    delimiter, end = draw(st.sampled_from(",;\t")), draw(st.sampled_from(["\n", "\r", "\r\n"]))
    if draw(st.booleans()):
        text = io.StringIO(newline="")
        csv.writer(text, delimiter=delimiter, lineterminator=end).writerows([header, *rows])
        return text.getvalue().encode("utf-8", draw(st.sampled_from(["replace", "surrogatepass"])))
    return end.join(map(delimiter.join, [header, *rows])).encode("utf-8", "replace")


@given(st.one_of(st.binary(), st.text().map(lambda text: text.encode("utf-8", "replace")), nearly_files()))
@ONE_FILE
def test_any_file_gives_rows_or_says_what_is_wrong(tmp_path: Path, data: bytes) -> None:
    """Every text gives rows, or problems that begin with the file's name."""
    path = tmp_path / "batch.csv"
    path.write_bytes(data)
    try:
        rows = read_rows(path)
    except InvalidRequestError as wrong:
        assert all(line.startswith(("batch.csv", "and ")) for line in str(wrong).split("\n"))
        return
    assert rows
    assert len({row.reference_id for row in rows}) == len(rows)
    assert all(row.params["cn"].isprintable() for row in rows)
