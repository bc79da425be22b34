"""`enkash pay` as its users run it."""

from __future__ import annotations

import asyncio
import csv
import errno
import json
import math
import os
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import pytest
from cli.batches import due, money_moved_once, row

from enkash_async import SQLiteStore
from enkash_async._money import instants
from enkash_async._money.debit_keys import Keys
from enkash_async._money.debit_records import DebitRecords
from enkash_async._support.text import rupees
from enkash_async.cli.batch.cautions import cautions
from enkash_async.cli.batch.row import Row
from enkash_async.cli.batch.rows import read_rows
from enkash_async.sandbox import FaultKind, Sandbox

from support import Enkash

BARE = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith("ENKASH_") and name not in {"COLUMNS", "FORCE_COLOR", "NO_COLOR", "TERM"}
}
SHORT = ("--settle", "0.2", "--timeout", "5")
HEADER = "reference,biller_id,consumer_number,max_amount"
STOPPED = ["stopped; run the same command again to finish: nothing is paid twice", "", "enkash: stopped", ""]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Three bills of three consumers."""
    return written(tmp_path / "november.csv", *(row(number) for number in (1, 2, 3)))


def written(path: Path, *rows: Row) -> Path:
    cells = [f"{one.reference_id},{one.biller_id},{one.params['cn']},{one.max_amount or ''}" for one in rows]
    path.write_text("\n".join([HEADER, *cells, ""]))
    return path


def result_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as opened:
        return list(csv.DictReader(opened))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def total(sandbox: Sandbox, *numbers: int) -> Decimal:
    return sum((due(sandbox, row(number)) for number in numbers), Decimal(0))


class TestTelling:
    async def test_a_table_has_the_totals(self, enkash: Enkash, sandbox: Sandbox, file: Path) -> None:
        """The table is in rupees, and standard error has the result file's path alone."""
        run = await enkash("pay", str(file), *SHORT)
        everything = re.escape(rupees(total(sandbox, 1, 2, 3)))
        assert run.code == 0
        assert re.search(rf"^PAID +3 +{everything} *\nall +3 +{everything} *$", run.out, re.MULTILINE)
        assert run.err == f"every row, with what became of it: {file.with_name('november.result.csv')}\n"
        money_moved_once(sandbox.ledger, read_rows(file))

    async def test_what_needs_attention_is_told_by_line(self, enkash: Enkash, sandbox: Sandbox, tmp_path: Path) -> None:
        """The output has each reason, no paid row and no consumer number."""
        rows = [row(1), row(2, biller_id=2302), row(3, biller_id=2202), row(4, max_amount=Decimal(1))]
        run = await enkash("pay", str(written(tmp_path / "november.csv", *rows)), *SHORT)
        assert run.code == 1
        money = r"₹ [\d,.]+"
        for line in (
            rf"3 +inv-2 +FAILED +{money}  .*; it is refunded: to pay the bill, give it a new reference",
            r"4 +inv-3 +REFUSED +no amount +the biller shows nothing to pay: .* did not answer",
            rf"5 +inv-4 +OVER_CEILING +{money} +{money} is more than the max_amount of ₹ 1\.00",
        ):
            assert re.search(f"^{line}", run.out, re.MULTILINE)
        assert "inv-1" not in run.out
        for one in rows:
            assert one.params["cn"] not in run.out + run.err

    async def test_many_that_need_attention(self, enkash: Enkash, sandbox: Sandbox, tmp_path: Path) -> None:
        """The output has fifty rows and the count of the others; the file has all."""
        rows = [row(number, max_amount=Decimal(1)) for number in range(1, 54)]
        run = await enkash("pay", str(written(tmp_path / "november.csv", *rows)), *SHORT)
        assert run.out.count(" OVER_CEILING ") == 50
        assert "\nand 3 more\n" in run.out
        assert len(result_of(tmp_path / "november.result.csv")) == 53

    async def test_a_long_dry_run_begins_with_what_would_not_be_paid(
        self, enkash: Enkash, sandbox: Sandbox, tmp_path: Path
    ) -> None:
        """Only fifty rows are printed and no file is written, so the row that needs attention is not left out."""
        rows = [row(number, max_amount=Decimal(1) if number == 53 else None) for number in range(1, 54)]
        run = await enkash("pay", str(written(tmp_path / "november.csv", *rows)), "--dry-run")
        table = run.out.splitlines()[2:]
        assert table[0].split()[:3] == ["54", "inv-53", "OVER_CEILING"]
        assert [line.split()[:3] for line in table[1:50]] == [
            [str(number + 1), f"inv-{number}", "PAYABLE"] for number in range(1, 50)
        ]
        assert table[50] == "and 3 more"

    async def test_json_is_one_document(self, enkash: Enkash, sandbox: Sandbox, file: Path) -> None:
        """The document has exact amounts, and standard error is empty."""
        run = await enkash("pay", str(file), *SHORT, "--json")
        assert (run.code, run.err) == (0, "")
        assert run.json["dry_run"] is False
        assert run.json["result_file"] == str(file.with_name("november.result.csv"))
        assert run.json["totals"]["all"] == {"bills": 3, "amount": total(sandbox, 1, 2, 3)}
        assert [(one["line"], one["reference_id"], one["outcome"]) for one in run.json["rows"]] == [
            (2, "inv-1", "PAID"),
            (3, "inv-2", "PAID"),
            (4, "inv-3", "PAID"),
        ]
        assert run.json["rows"][0]["amount"] == due(sandbox, row(1))
        assert row(1).params["cn"] not in run.out

    async def test_help_says_that_money_moves(self, cli: Enkash) -> None:
        """The help also explains the exit codes."""
        run = await cli("pay", "--help")
        assert (run.code, run.err) == (0, "")
        assert "money leaves your EnKash account" in run.out
        for option in ("--dry-run", "--batch", "--result", "--remarks", "--concurrency", "--timeout", "--settle"):
            assert option in run.out
        assert "130 stopped by Ctrl-C" in " ".join(run.out.split())


class TestResultFile:
    async def test_it_has_the_batch_and_what_became_of_it(self, enkash: Enkash, sandbox: Sandbox, file: Path) -> None:
        """The user's own cells stand first in the file."""
        await enkash("pay", str(file), *SHORT)
        told = result_of(file.with_name("november.result.csv"))
        assert [one["consumer_number"] for one in told] == [row(number).params["cn"] for number in (1, 2, 3)]
        payment = sandbox.ledger.get_by_reference("inv-1")
        assert told[0]["result_outcome"] == "PAID"
        assert Decimal(told[0]["result_amount"]) == payment.amount
        assert told[0]["result_utility_enkash_id"] == payment.utility_enkash_id
        assert told[0]["result_bill_number"] == payment.bill.bill_number
        assert told[0]["result_bill_due_date"] == payment.bill.due_date.isoformat()  # type: ignore[union-attr]  # it has one
        assert told[0]["result_bill_reference_id"] == payment.bill_reference_id
        assert told[0]["result_bank_transaction_id"]
        assert told[0]["result_payment_date"].endswith("+05:30")

    async def test_it_can_be_fed_in_again(self, enkash: Enkash, sandbox: Sandbox, file: Path) -> None:
        """The second run replaces the file, finds every row paid, and asks nobody: the facts stay in the file."""
        await enkash("pay", str(file), *SHORT)
        result = file.with_name("november.result.csv")
        before = result_of(result)
        sandbox.counts.clear()
        run = await enkash("pay", str(result), *SHORT, "--result", str(result))
        assert run.code == 0
        assert "nothing was paid by this run: each bill was paid before; new bills need new references\n" in run.err
        assert {one["result_outcome"] for one in result_of(result)} == {"ALREADY_PAID"}
        assert sandbox.counts == {}
        assert names(file.parent) == {"november.csv", "november.result.csv"}
        lost = {"result_outcome", "result_payment_status"}
        for one, other in zip(before, result_of(result), strict=True):
            assert {name: cell for name, cell in one.items() if name not in lost} == {
                name: cell for name, cell in other.items() if name not in lost
            }

    async def test_references_are_derived_from_the_file(self, enkash: Enkash, sandbox: Sandbox, tmp_path: Path) -> None:
        """The batch and its result file give the same references, and another batch gives others."""
        file = tmp_path / "november.csv"
        file.write_text("biller_id,consumer_number\n2001,900000001\n")
        for path in (file, file, file.with_name("november.result.csv")):
            assert (await enkash("pay", str(path), *SHORT)).code == 0
        assert len(sandbox.ledger.debits) == 1
        assert (await enkash("pay", str(file), *SHORT, "--batch", "december")).code == 0
        assert len(sandbox.ledger.debits) == 2

    async def test_one_under_another_name(self, enkash: Enkash, sandbox: Sandbox, file: Path) -> None:
        """The run finds the debits that the first one left open by their bills, whatever the file is called."""
        other = file.with_name("elsewhere.csv")
        sandbox.faults.add("confirm_debit", FaultKind.LATE, delay=0.5)
        assert (await enkash("pay", str(file), "--settle", "0.05", "--result", str(other))).code == 3
        run = await enkash("pay", str(other), "--settle", "10")
        assert run.code == 0
        await sandbox.late_work()
        money_moved_once(sandbox.ledger, read_rows(file))

    async def test_a_place_that_does_not_exist(self, enkash: Enkash, sandbox: Sandbox, file: Path) -> None:
        """The command reports it before it sends anything."""
        run = await enkash("pay", str(file), *SHORT, "--result", str(file.with_name("nowhere") / "result.csv"))
        assert (run.code, run.out) == (2, "")
        assert "nowhere" in run.err
        assert not sandbox.counts

    async def test_the_batch_itself(self, enkash: Enkash, sandbox: Sandbox, file: Path) -> None:
        """The command refuses to overwrite it under any path, before it sends anything."""
        before = result_of(file)
        run = await enkash("pay", str(file), *SHORT, "--result", str(file.parent / ".." / file.parent.name / file.name))
        assert (run.code, run.out) == (2, "")
        assert run.err == "enkash: --result: this is the file itself; name another one\n"
        assert (result_of(file), sandbox.counts) == (before, {})

    async def test_one_that_cannot_be_written_after_all(self, enkash: Enkash, sandbox: Sandbox, file: Path) -> None:
        """The totals are printed, and the exit code does not say that nothing was sent."""
        file.with_name("november.result.csv").mkdir()
        run = await enkash("pay", str(file), *SHORT)
        assert run.code == 1
        assert "PAID" in run.out
        assert "november.result.csv: this is not a file" in run.err
        money_moved_once(sandbox.ledger, read_rows(file))


class TestDryRun:
    async def test_it_creates_nothing(self, enkash: Enkash, sandbox: Sandbox, file: Path) -> None:
        """The command lists what it would pay and writes neither bill nor file."""
        run = await enkash("pay", str(file), "--dry-run")
        assert (run.code, run.err) == (0, "nothing was created or paid; run it without --dry-run to pay\n")
        for number in (1, 2, 3):
            amount = re.escape(rupees(due(sandbox, row(number))))
            assert re.search(rf"^{number + 1} +inv-{number} +PAYABLE +{amount} *$", run.out, re.MULTILINE)
        assert re.search(rf"^PAYABLE +3 +{re.escape(rupees(total(sandbox, 1, 2, 3)))} *$", run.out, re.MULTILINE)
        assert set(sandbox.counts) == {"token", "bill_by_reference", "fetch_bill"}
        assert names(file.parent) == {"november.csv"}

    async def test_as_json(self, enkash: Enkash, file: Path) -> None:
        """The document names no result file."""
        run = await enkash("pay", str(file), "--dry-run", "--json")
        assert (run.json["dry_run"], run.json["result_file"]) == (True, None)
        assert {one["outcome"] for one in run.json["rows"]} == {"PAYABLE"}


class TestExitCodes:
    async def test_unknown(self, enkash: Enkash, sandbox: Sandbox, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The command exits with 3, a run that finds out nothing keeps the marks, and a later one pays the rest."""
        monkeypatch.setattr(instants, "DURATIONS", instants.DURATIONS.scaled(1 / 100))
        result = file.with_name("november.result.csv")
        sandbox.faults.add("confirm_debit", FaultKind.DROP_BEFORE)
        run = await enkash("pay", str(file), *SHORT)
        assert run.code == 3
        assert "run the same command again later" in run.out
        assert {one["result_outcome"] for one in result_of(result)} == {"UNKNOWN"}
        sandbox.faults.add("*", FaultKind.UNAVAILABLE, times=None)
        assert (await enkash("pay", str(file), *SHORT)).code == 3
        assert {one["result_outcome"] for one in result_of(result)} == {"UNKNOWN"}
        sandbox.faults.clear()
        await asyncio.sleep(2)
        assert (await enkash("pay", str(file), *SHORT)).code == 0
        money_moved_once(sandbox.ledger, read_rows(file))

    async def test_a_display_that_lags(self, enkash: Enkash, sandbox: Sandbox, file: Path) -> None:
        """Run twice without waiting, as the first run asks: each bill is debited once."""
        sandbox.ledger.read_lag = sandbox.ledger.search_lag = 4
        for _ in range(2):
            assert (await enkash("pay", str(file), "--timeout", "0")).code in {3, 4}
        money_moved_once(sandbox.ledger, read_rows(file))

    async def test_not_settled_yet(self, enkash: Enkash, sandbox: Sandbox, file: Path) -> None:
        """The command exits with 4 until the bill is settled."""
        sandbox.ledger.settle_after = math.inf
        for _ in range(2):
            run = await enkash("pay", str(file), "--timeout", "0")
            assert run.code == 4
            line = r"2 +inv-1 +PENDING +₹ [\d,.]+ +it is not settled yet: run the same command again later"
            assert re.search(f"^{line} *$", run.out, re.MULTILINE)
        sandbox.ledger.settle_after = 0.0
        assert (await enkash("pay", str(file), *SHORT)).code == 0
        money_moved_once(sandbox.ledger, read_rows(file))

    async def test_every_mistake_of_the_file(self, enkash: Enkash, sandbox: Sandbox, tmp_path: Path) -> None:
        """The command exits with 2, names lines and columns, and sends nothing."""
        file = tmp_path / "november.csv"
        file.write_text(f"{HEADER}\ninv-1,two,900000001,\ninv-2,2001,9.0E+11,\ninv-3,2001,900000003,free\n")
        run = await enkash("pay", str(file), *SHORT)
        assert (run.code, run.out) == (2, "")
        places = [line.split(": ")[1:3] for line in run.err.splitlines()]
        assert places == [
            ["november.csv:2", "biller_id"],
            ["november.csv:3", "consumer_number"],
            ["november.csv:4", "max_amount"],
        ]
        assert not sandbox.counts
        assert names(tmp_path) == {"november.csv"}

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("--remarks", "a/b"), "remarks may hold"),
            (("--concurrency", "0"), "--concurrency"),
            (("--timeout", "-1"), "--timeout"),
            (("--timeout", "nan"), "--timeout"),
            (("--settle", "nan"), "--settle"),
        ],
    )
    async def test_wrong_options(
        self, enkash: Enkash, sandbox: Sandbox, file: Path, words: Sequence[str], said: str
    ) -> None:
        """The command exits with 2 and one line and sends nothing."""
        run = await enkash("pay", str(file), *words)
        assert (run.code, run.out) == (2, "")
        assert run.err.count("\n") == 1
        assert said in run.err
        assert not sandbox.counts

    async def test_missing_variables(self, cli: Enkash, file: Path) -> None:
        """The command exits with 2 and keeps the earlier result file."""
        before = file.with_name("november.result.csv")
        before.write_text("what an earlier run said")
        run = await cli("pay", str(file))
        assert (run.code, run.out) == (2, "")
        assert run.err.startswith("enkash: set the environment variables ENKASH_BASE_URL")
        assert before.read_text() == "what an earlier run said"

    async def test_another_run_at_work(
        self, sandbox: Sandbox, environ: dict[str, str], file: Path, tmp_path: Path
    ) -> None:
        """Two runs at once, one of them over a link to the file, share the work: each bill is debited once."""
        link = tmp_path / "link.csv"
        link.symlink_to(file)
        runs = await asyncio.gather(*(start(environ, "pay", str(path), "--settle", "20") for path in (file, link)))
        for run in runs:
            out, err = await asyncio.wait_for(run.communicate(), 60)
            assert run.returncode == 0, out + err
        money_moved_once(sandbox.ledger, read_rows(file))

    async def test_refused_credentials(
        self, enkash: Enkash, sandbox: Sandbox, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The command exits with 2 after one login for all rows and keeps the earlier result file."""
        before = file.with_name("november.result.csv")
        before.write_text("what an earlier run said")
        monkeypatch.setenv("ENKASH_PASSWORD", "a-wrong-password")
        for option in ((), ("--dry-run",), ("--json",)):
            run = await enkash("pay", str(file), *SHORT, *option)
            assert (run.code, run.out, run.err.count("\n")) == (2, "", 1)
            assert run.err.startswith("enkash: nothing was sent: ")
        assert sandbox.counts == {"token": 1}
        written(file, row())
        assert (await enkash("pay", str(file), *SHORT)).code == 2
        assert before.read_text() == "what an earlier run said"

    async def test_bills_that_are_created_and_not_confirmed(self, enkash: Enkash, sandbox: Sandbox, file: Path) -> None:
        """The command exits with 1 and lists every bill, also those with one shared reason."""
        sandbox.faults.add("confirm_debit", FaultKind.UNAUTHORIZED, times=None)
        run = await enkash("pay", str(file), *SHORT)
        assert (run.code, run.out.count(" NOT_SENT ")) == (1, 3)
        assert "nothing was sent" not in run.err
        told = result_of(file.with_name("november.result.csv"))
        assert [one["result_utility_enkash_id"] for one in told] == [
            sandbox.ledger.get_by_reference(f"inv-{number}").utility_enkash_id for number in (1, 2, 3)
        ]


def exported() -> bytes:
    """A file of 200 bills as an accountant exports it from Excel: one number is lost, one row is there twice."""
    lines = ["Bills of November 2026,,,,,,", ",,,,,,"]
    lines.append("Sr. No,Branch,Biller ID,Consumer Number,Max Amount (₹),Invoice Date,Remarks")
    for number in range(1, 200):
        amount = f'"₹1,25,{number:03d}.00"' if number % 3 else f'"{90 + number},000"'
        text = '"Pune, Camp ""A"""' if number % 2 else "मुंबई"
        cn = "9.00000E+08" if number == 77 else f"{900_000_000 + number}"
        lines.append(f"{number},{text},2001,{cn},{amount},05-11-2026,#N/A")
    lines.append('200,मुंबई,2001,900000004,"₹1,25,004.00",05-11-2026,again')
    return ("\ufeff" + "\r\n".join(lines) + "\r\n").encode()


class TestSpreadsheet:
    async def test_an_export_needs_no_edit_but_of_the_bad_row(
        self, enkash: Enkash, sandbox: Sandbox, tmp_path: Path
    ) -> None:
        """The bad row is named by line and column; without it all bills are looked at, and the repeated one once."""
        file = tmp_path / "november.csv"
        file.write_bytes(exported())
        run = await enkash("pay", str(file), "--dry-run")
        assert (run.code, run.out, sandbox.counts) == (2, "", {})
        assert run.err == (
            "enkash: november.csv:80: Consumer Number: a spreadsheet has changed the number: format the column as "
            "text, and write the number again\n"
        )
        file.write_bytes(exported().replace(b"9.00000E+08", b"900000077"))
        run = await enkash("pay", str(file), "--dry-run")
        assert run.code == 0, run.err
        assert re.search(r"^PAYABLE +199 ", run.out, re.MULTILINE)
        derived, unread, repeated, last = run.err.splitlines()
        assert derived.startswith("199 of 199 rows have no reference of their own")
        assert unread == "not read, only copied into the result file: 'Sr. No', 'Branch', 'Invoice Date', 'Remarks'"
        assert repeated == "line 203 repeats line 7: the bill is paid once"
        assert last.startswith("nothing was created or paid")

    async def test_a_repeated_row_is_paid_once(self, enkash: Enkash, sandbox: Sandbox, tmp_path: Path) -> None:
        """The result file has each line of the batch with its own columns; so has a run over the result file."""
        file = tmp_path / "november.csv"
        file.write_text(f'{HEADER},Branch\na,2001,1,"₹90,000",Pune\nb,2001,2,,Goa\na,2001,1,90000,Agra\n')
        for path in (file, file.with_name("november.result.csv")):
            assert (await enkash("pay", str(path), *SHORT)).code == 0
            told = result_of(file.with_name("november.result.csv"))
            assert [one["Branch"] for one in told] == ["Pune", "Goa", "Agra"]
            assert [one["result_outcome"] for one in told][2] == "REPEATED"
        assert len(sandbox.ledger.debits) == 2

    async def test_columns_can_be_named(self, enkash: Enkash, sandbox: Sandbox, tmp_path: Path) -> None:
        """The command takes the headers that it is told, also in the result file of the run before."""
        file = tmp_path / "november.csv"
        file.write_text("Operator,A/c No,Limit\n2001,900000001,1\n")
        names = ("--column", "biller_id=Operator", "--column", "consumer_number=A/c No", "--column", "max_amount=limit")
        for path in (file, file.with_name("november.result.csv")):
            assert (await enkash("pay", str(path), *SHORT, *names)).code == 1
            assert result_of(file.with_name("november.result.csv"))[0]["result_outcome"] == "OVER_CEILING"
        for wrong in ("cn", "=x", "cn=", "amount=Limit"):
            run = await enkash("pay", str(file), "--column", wrong)
            assert (run.code, run.err.count("\n")) == (2, 1)


class TestCautions:
    async def test_derived_references(self, enkash: Enkash, sandbox: Sandbox, tmp_path: Path) -> None:
        """The caution has their count and says what would pay twice."""
        file = tmp_path / "november.csv"
        file.write_text(f"{HEADER}\n,2001,900000001,\ninv-2,2001,900000002,\n")
        for option, cause in (
            ((), "a copy of the file under another name"),
            (("--batch", "x"), "under another --batch"),
        ):
            run = await enkash("pay", str(file), "--dry-run", *option)
            first, _ = run.err.splitlines()
            assert first.startswith("1 of 2 rows have no reference of their own, ")
            assert f"{cause} pays the same bills again" in first

    async def test_one_consumer_in_two_spellings(self, enkash: Enkash, sandbox: Sandbox, tmp_path: Path) -> None:
        """The caution names it as well."""
        same = [row(number, params={"cn": cn}) for number, cn in ((1, "cn7"), (2, "CN7"))]
        run = await enkash("pay", str(written(tmp_path / "november.csv", *same)), "--dry-run")
        assert "lines 2 and 3 name the same biller and consumer: both bills are paid" in run.err

    async def test_one_consumer_in_two_rows(self, enkash: Enkash, sandbox: Sandbox, tmp_path: Path) -> None:
        """The caution names it, and no caution names other consumers and billers."""
        same = [row(number, params=row(1).params) for number in (1, 2)]
        other = row(3, params=row(1).params, biller_id=2002)
        run = await enkash("pay", str(written(tmp_path / "november.csv", *same, other, row(4))), "--dry-run")
        first, _ = run.err.splitlines()
        assert first == "lines 2 and 3 name the same biller and consumer: both bills are paid"

    async def test_lines_that_end_before_their_ceiling(self, enkash: Enkash, sandbox: Sandbox, tmp_path: Path) -> None:
        """A cell may be missing in such a line, and its bill be paid whatever it is."""
        file = tmp_path / "november.csv"
        lines = "a,2001,900000001\nb,2001,900000002,90000\nc,2001,900000003,\nd,2001,900000004\n"
        file.write_text(f"reference,biller_id,consumer_number,max_amount,note\n{lines}")
        first, *_ = (await enkash("pay", str(file), "--dry-run")).err.splitlines()[1:]
        assert first == "fewer cells than the header, so that no max_amount limits what is paid: lines 2, 5"
        file.write_text(f"max_amount,{HEADER.replace(',max_amount', '')}\n90000,a,2001,900000001\n")
        assert "fewer cells" not in (await enkash("pay", str(file), "--dry-run")).err

    @pytest.mark.parametrize(
        ("numbers", "warned"),
        [
            (["123456789012345000", "900000001", "9876543210123450"], True),
            (["123456789012345000", "9876543210123456"], False),
            (["123456789012345", "1234567890A2345000"], False),
        ],
    )
    def test_long_numbers_that_all_end_in_zeros(self, numbers: list[str], warned: bool) -> None:
        """A spreadsheet keeps fifteen digits; a long number with another end shows that none has rounded these."""
        found = cautions([row(at, params={"cn": number}) for at, number in enumerate(numbers)])
        said = "the consumer number has zeros after 15 digits, as have all long ones of the file"
        assert found == warned * [f"line {row(0).line}: {said}: a spreadsheet may have rounded them"]

    def test_there_are_ten_at_most(self) -> None:
        """The command shows ten cautions and drops the others, because nobody reads a longer list."""
        assert len(cautions([row(number, params=row(1).params) for number in range(1, 20)])) == 10


@pytest.fixture
async def environ(sandbox: Sandbox, tmp_path: Path) -> dict[str, str]:
    """The variables of a process whose store is old enough to know of every confirmation under way."""
    path = tmp_path / "shared" / "store.sqlite3"
    store = SQLiteStore(path)
    keys = Keys(sandbox.base_url)
    await DebitRecords(lambda: store, keys).declare_nothing_pending()
    await store.aclose()
    return {**sandbox.environ(), "ENKASH_STORE_URL": f"sqlite://{path}"}


async def start(environ: Mapping[str, str], *argv: str, error: int = PIPE) -> Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "enkash_async", *argv), env=BARE | {**environ}, stdin=DEVNULL, stdout=PIPE, stderr=error
    )


async def start_deaf(environ: Mapping[str, str], *argv: str) -> Process:
    """Start the command as a shell does in a script's background, where it ignores Ctrl-C."""
    command = ("sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, "-m", "enkash_async", *argv)
    return await asyncio.create_subprocess_exec(
        *command, env=BARE | {**environ}, stdin=DEVNULL, stdout=PIPE, stderr=PIPE
    )


@pytest.mark.skipif(sys.platform == "win32", reason="there is neither SIGINT for another process nor a pty")
class TestProcess:
    @pytest.mark.parametrize("route", ["create_bill", "confirm_debit", "bill"])
    async def test_ctrl_c(self, sandbox: Sandbox, environ: dict[str, str], file: Path, route: str) -> None:
        """The process exits with 130 and two lines, the result file is true, and a second run pays the rest."""
        sandbox.faults.add(route, FaultKind.SLOW, delay=0.5, times=None)
        process = await start(environ, "pay", str(file), *SHORT)
        async with asyncio.timeout(30):
            while not sandbox.counts[route]:
                await asyncio.sleep(0.005)
            process.send_signal(signal.SIGINT)
            out, err = await process.communicate()
        assert (process.returncode, out, err.decode().split("\n")) == (130, b"", STOPPED)
        told = {one["reference"]: one["result_outcome"] for one in result_of(file.with_name("november.result.csv"))}
        assert list(told) == ["inv-1", "inv-2", "inv-3"]
        wanted = {"create_bill": {"UNKNOWN", "NOT_SENT"}, "confirm_debit": {"UNKNOWN"}, "bill": {"UNKNOWN"}}
        assert set(told.values()) <= wanted[route]
        sandbox.faults.clear()
        again = await start(environ, "pay", str(file), "--settle", "3", "--json")
        out, err = await again.communicate()
        assert again.returncode == 0, err
        assert json.loads(out)["totals"]["all"]["bills"] == 3
        money_moved_once(sandbox.ledger, read_rows(file))

    @pytest.mark.parametrize("ignored", [False, True], ids=["as usual", "in the background of a script"])
    async def test_sigterm(self, sandbox: Sandbox, environ: dict[str, str], file: Path, ignored: bool) -> None:
        """The process ends as at Ctrl-C, also where it ignores that, and writes the result file."""
        sandbox.faults.add("create_bill", FaultKind.SLOW, delay=20, times=None)
        arguments = ("pay", str(file), *SHORT)
        process = await (start_deaf if ignored else start)(environ, *arguments)
        async with asyncio.timeout(15):
            while not sandbox.counts["create_bill"]:
                await asyncio.sleep(0.005)
            process.send_signal(signal.SIGTERM)
            out, err = await process.communicate()
        assert (process.returncode, out, err.decode().split("\n")) == (130, b"", STOPPED)
        told = result_of(file.with_name("november.result.csv"))
        assert "UNKNOWN" in {one["result_outcome"] for one in told}

    async def test_bars_on_a_terminal(self, sandbox: Sandbox, environ: dict[str, str], file: Path) -> None:
        """A bar fills up on standard error, and standard output has the table alone."""
        ours, theirs = os.openpty()
        shown: list[bytes] = []
        asyncio.get_running_loop().add_reader(ours, lambda: shown.append(os.read(ours, 65536)))
        try:
            process = await start({**environ, "TERM": "xterm"}, "pay", str(file), *SHORT, error=theirs)
            out, _ = await asyncio.wait_for(process.communicate(), 30)
            text = await _everything(shown, b"every row")
        finally:
            asyncio.get_running_loop().remove_reader(ours)
            os.close(ours)
            os.close(theirs)
        assert process.returncode == 0
        assert re.search(r"pay.*?3/3", text, re.DOTALL)
        assert row(1).params["cn"] not in text
        assert b"3/3" not in out

    async def test_no_bars_in_a_pipe(self, sandbox: Sandbox, environ: dict[str, str], file: Path) -> None:
        """Standard error gets one line and no progress bar when it is no terminal."""
        process = await start(environ, "pay", str(file), *SHORT)
        _, err = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 0
        assert err.decode() == f"every row, with what became of it: {file.with_name('november.result.csv')}\n"


async def piped(environ: Mapping[str, str], data: bytes | Path, *argv: str) -> tuple[int, str, str]:
    """Run the command with standard input from a pipe; return its code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "enkash_async", *argv), env=BARE | {**environ}, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    given_ = data if isinstance(data, bytes) else await asyncio.to_thread(data.read_bytes)
    out, err = await asyncio.wait_for(process.communicate(given_), 60)
    return process.returncode or 0, out.decode(), err.decode()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no /dev/stdin")
class TestPipe:
    @pytest.mark.parametrize("path", ["-", "/dev/stdin", "/proc/self/fd/0"])
    async def test_a_pipe_is_paid(
        self, sandbox: Sandbox, environ: dict[str, str], file: Path, tmp_path: Path, path: str
    ) -> None:
        """The results are in the file that is named, and nothing is left beside the pipe."""
        before = names(Path("/dev"))
        result = tmp_path / "elsewhere.csv"
        code, _, err = await piped(environ, file, "pay", path, *SHORT, "--result", str(result))
        assert code == 0, err
        assert {one["result_outcome"] for one in result_of(result)} == {"PAID"}
        assert not names(Path("/dev")) - before
        money_moved_once(sandbox.ledger, read_rows(file))

    @pytest.mark.parametrize("path", ["-", "/dev/stdin"])
    async def test_a_pipe_needs_a_result_file(
        self, sandbox: Sandbox, environ: dict[str, str], file: Path, path: str
    ) -> None:
        """The command says so before it sends anything; a dry run needs none."""
        code, out, err = await piped(environ, file, "pay", path)
        assert (code, out, sandbox.counts) == (2, "", {})
        assert re.fullmatch(r"enkash: --result: (standard input|stdin) has no folder for the result file: .*\n", err)
        assert (await piped(environ, file, "pay", path, "--dry-run"))[0] == 0

    async def test_a_pipe_has_no_name_to_derive_references_from(
        self, sandbox: Sandbox, environ: dict[str, str]
    ) -> None:
        """The command asks for --batch, since next month's pipe would have the same references."""
        data = b"biller_id,cn\n2001,900000001\n"
        code, _, err = await piped(environ, data, "pay", "-", "--dry-run")
        assert (code, sandbox.counts) == (2, {})
        assert err.startswith(
            "enkash: standard input:2: reference: is empty, and a pipe has no name to derive it from: "
        )
        assert (await piped(environ, data, "pay", "-", "--dry-run", "--batch", "november"))[0] == 0

    async def test_a_device_takes_no_results(self, enkash: Enkash, sandbox: Sandbox, file: Path) -> None:
        """The command refuses it before it sends anything."""
        run = await enkash("pay", str(file), "--result", "/dev/stdout")
        assert (run.code, run.err) == (2, "enkash: --result: this is a pipe or a device: name a file\n")
        assert not sandbox.counts

    async def test_an_endless_device_is_refused(self, enkash: Enkash) -> None:
        """The reader stops at 64 MiB."""
        run = await enkash("pay", "/dev/zero", "--dry-run")
        assert (run.code, run.err) == (2, "enkash: zero: this is more than 64 MiB: split it\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
class TestOutput:
    async def test_a_full_disk_under_the_report(self, sandbox: Sandbox, environ: dict[str, str], file: Path) -> None:
        """The results are in their file, standard error has one line, and the code is not that of success."""
        full = os.open("/dev/full", os.O_WRONLY)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "enkash_async", "pay", str(file), *SHORT),
            env=BARE | {**environ},
            stdout=full,
            stderr=PIPE,
        )
        os.close(full)
        _, err = await asyncio.wait_for(process.communicate(), 60)
        result = file.with_name("november.result.csv")
        assert err.decode() == (
            f"enkash: the report cannot be printed: {os.strerror(errno.ENOSPC)}; every row is in {result}\n"
        )
        assert process.returncode == 1
        assert {one["result_outcome"] for one in result_of(result)} == {"PAID"}

    @pytest.mark.parametrize("option", ["--json", "--no-json"])
    async def test_a_closed_pipe_under_the_report(
        self, sandbox: Sandbox, environ: dict[str, str], file: Path, option: str
    ) -> None:
        """The command ends as on a full disk, whether it prints JSON or a table."""
        ours, theirs = os.pipe()
        os.close(ours)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "enkash_async", "pay", str(file), *SHORT, *([option] * (option == "--json"))),
            env=BARE | {**environ},
            stdout=theirs,
            stderr=PIPE,
        )
        os.close(theirs)
        _, err = await asyncio.wait_for(process.communicate(), 60)
        assert err.decode().startswith(f"enkash: the report cannot be printed: {os.strerror(errno.EPIPE)}; every row")
        assert (process.returncode, err.count(b"\n")) == (1, 1)

    @pytest.mark.parametrize("words", [("--help",), ("billers",), ("billers", "--json")])
    async def test_other_commands_end_with_one_line(
        self, sandbox: Sandbox, environ: dict[str, str], words: tuple[str, ...]
    ) -> None:
        """The code is 1 for a full disk and for a closed pipe."""
        ours, theirs = os.pipe()
        os.close(ours)
        for out in (theirs, os.open("/dev/full", os.O_WRONLY)):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "enkash_async", *words), env=BARE | {**environ}, stdout=out, stderr=PIPE
            )
            os.close(out)
            _, err = await asyncio.wait_for(process.communicate(), 60)
            assert (process.returncode, err.count(b"\n")) == (1, 1), err
            assert err.startswith(b"enkash: not everything could be printed: ")


async def _everything(shown: Sequence[bytes], end: bytes) -> str:
    """Return what a terminal has shown, once the last line is there."""
    async with asyncio.timeout(10):
        while end not in b"".join(shown):
            await asyncio.sleep(0.005)
    return b"".join(shown).decode()
