"""The commands in this process, against a sandbox in another thread, over real HTTP."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from enkash_async.__main__ import main
from enkash_async._money.debit_keys import Keys
from enkash_async._money.debit_records import DebitRecords
from enkash_async._support.call_ids import without_ids
from enkash_async.sandbox import FaultKind, Sandbox
from enkash_async.sandbox._catalogue import BILLERS
from enkash_async.stores import default_store

from support import Enkash, RawServer, Reader, Run, Writer, raw_server, reply

CONSUMER = ("-p", "cn=123456789")


async def created(enkash: Enkash, reference: str = "inv-1", *, biller: str = "2001") -> str:
    """Create a bill and return EnKash's id of it."""
    run = await enkash("bill", "create", biller, *CONSUMER, "--reference", reference, "--json")
    assert run.code == 0
    return str(run.json["utility_enkash_id"])


async def no_longer_new(sandbox: Sandbox) -> None:
    """Declare the store of the commands old enough to know of every confirmation that is under way."""
    async with contextlib.aclosing(default_store()) as store:
        await DebitRecords(lambda: store, Keys(sandbox.base_url)).declare_nothing_pending()


def answering(payload: str) -> Callable[[RawServer, Reader, Writer], Awaitable[None]]:
    """A server that accepts every login and answers everything else with one payload, given as JSON."""
    token = b'{"accessToken":"raw-token","expiresIn":3600}'
    envelope = f'{{"response_code":0,"response_message":"Success","payload":{payload}}}'.encode("ascii")

    async def handle(server: RawServer, reader: Reader, writer: Writer) -> None:
        while True:
            request = await server.read_request(reader)
            body = token if request.startswith(b"POST /oauth/token ") else envelope
            writer.write(reply(body, "200 OK", "Content-Type: application/json"))
            await writer.drain()

    return handle


@contextlib.contextmanager
def variables(base_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as inside:
        for name in ("CLIENT_ID", "CLIENT_SECRET", "USERNAME", "PASSWORD"):
            inside.setenv(f"ENKASH_{name}", name.lower())
        inside.setenv("ENKASH_BASE_URL", base_url)
        yield


class TestEveryCommand:
    async def test_version_names_the_program(self, cli: Enkash) -> None:
        """`enkash --version` prints the program's name and version and nothing else."""
        run = await cli("--version")
        assert (run.code, run.err) == (0, "")
        assert re.fullmatch(r"enkash \d+\.\d+\.\d+\S*\n", run.out)

    @pytest.mark.parametrize("argv", [(), ("--help",), ("-h",)])
    async def test_help_lists_the_commands(self, cli: Enkash, argv: tuple[str, ...]) -> None:
        """`enkash` without arguments prints the same help."""
        run = await cli(*argv)
        assert (run.code, run.err) == (0, "")
        for command in ("bill", "billers", "demo", "sandbox", "token"):
            assert re.search(rf"^  {command}  ", run.out, re.MULTILINE)

    @pytest.mark.parametrize(
        "argv",
        [
            ("token",),
            ("billers",),
            ("billers", "--categories"),
            ("bill", "fetch", "2001", *CONSUMER),
            ("bill", "create", "2001", *CONSUMER),
            ("bill", "get", "U1"),
            ("bill", "search", "--json"),
            ("bill", "confirm", "U1", "--yes"),
        ],
    )
    async def test_missing_variables_are_named_in_one_line(self, cli: Enkash, argv: tuple[str, ...]) -> None:
        """The command exits with 2 and prints nothing on standard output."""
        run = await cli(*argv)
        assert (run.code, run.out) == (2, "")
        assert run.err == (
            "enkash: set the environment variables ENKASH_BASE_URL, ENKASH_CLIENT_ID, ENKASH_CLIENT_SECRET, "
            "ENKASH_USERNAME, ENKASH_PASSWORD\n"
        )

    @pytest.mark.parametrize(
        ("argv", "said"),
        [
            (("bill",), "Missing command"),
            (("bill", "creat"), "No such command 'creat'"),
            (("bill", "fetch", "2001"), "write -p cn=123456789"),
            (("bill", "fetch", "2001", "-p", "123456789"), "write -p cn=123456789, not '123456789'"),
            (("bill", "fetch", "2001", "-p", "cn="), "write -p cn=123456789, not 'cn='"),
            (("bill", "fetch", "2001", "-p", "=1"), "write -p cn=123456789, not '=1'"),
            (("bill", "fetch", "2001", "-p", "ad1=1"), "the consumer number is always needed: write -p cn=123456789"),
            (("bill", "fetch", "2001", "-p", "cn=1", "-p", "cn=2"), "'cn' is given twice"),
            (("bill", "fetch", "2001", "-p", "cn=\udcff"), "half of a surrogate pair"),
            (("bill", "fetch", "zero", *CONSUMER), "'zero' is not a valid integer"),
            (("bill", "fetch", "0", *CONSUMER), "0 is not in the range 1<=x<=2147483647"),
            (("bill", "create", "2001", *CONSUMER, "--amount", "1e5"), "write rupees, at least 1, such as 2450.75"),
            (("bill", "create", "2001", *CONSUMER, "--amount", "NaN"), "not 'NaN'"),
            (("bill", "create", "2001", *CONSUMER, "--amount", "1,000"), "not '1,000'"),
            (("bill", "create", "2001", *CONSUMER, "--amount", "10.505"), "not '10.505'"),
            (("bill", "create", "2001", *CONSUMER, "--amount", "0.99"), "at least 1"),
            (("bill", "create", "2001", *CONSUMER, "--amount=-5"), "at least 1"),
            (("bill", "create", "2001", *CONSUMER, "--reference", ".."), "must not be '..'"),
            (("bill", "get"), "give either an ID or --reference TEXT"),
            (("bill", "get", "U1", "--reference", "R"), "give either an ID or --reference TEXT"),
            (("bill", "get", ".."), "must not be '..'"),
            (("bill", "get", "U1", "--wait", "-1"), "-1.0 is not in the range"),
            (("bill", "get", "U1", "--wait", "nan"), "timeout must be a number of seconds, 0 or more"),
            (("bill", "search", "--from", "2026-13-01"), "'2026-13-01' does not match the format"),
            (("bill", "search", "--from", "2026-02-02", "--to", "2026-02-01"), "--from 2026-02-02 is after"),
            (("bill", "search", "--limit", "0"), "0 is not in the range"),
            (("bill", "confirm"), "Missing argument"),
            (("bill", "confirm", "U1", "--yes", "--remarks", "a/b"), "remarks may hold"),
            (("billers", "--category", "WATER", "--categories"), "either --category NAME or --categories"),
            (("sandbox", "--port", "70000"), "70000 is not in the range"),
        ],
    )
    async def test_a_wrong_argument_is_told_in_one_line(
        self, enkash: Enkash, sandbox: Sandbox, argv: tuple[str, ...], said: str
    ) -> None:
        """The command exits with 2 and sends nothing."""
        run = await enkash(*argv)
        assert (run.code, run.out) == (2, "")
        assert run.err.startswith("enkash: ")
        assert run.err.count("\n") == 1
        assert said in run.err
        assert not sandbox.counts

    async def test_a_missing_extra_is_told_in_one_line(self, cli: Enkash, monkeypatch: pytest.MonkeyPatch) -> None:
        """The line says how to install the extra."""
        for name in [name for name in sys.modules if name.startswith("enkash_async.cli")]:
            monkeypatch.delitem(sys.modules, name)
        with monkeypatch.context() as inside:
            inside.setitem(sys.modules, "enkash_async.client", None)
            with pytest.raises(ModuleNotFoundError, match=r"enkash_async\.client"):
                await cli("--version")  # which no extra would bring
        monkeypatch.setitem(sys.modules, "click", None)
        run = await cli("--version")
        assert (run.code, run.out) == (2, "")
        assert run.err == "enkash: click is not installed; in a checkout, run: pip install '.[cli]'\n"


class TestToken:
    async def test_it_tells_the_lifetime(self, enkash: Enkash, sandbox: Sandbox) -> None:
        """The command prints lifetime and generation and not the token."""
        run = await enkash("token")
        assert (run.code, run.err) == (0, "")
        assert run.out.startswith(f"Login works: {sandbox.base_url}\nThe token is good for 3600 s (generation ")
        assert sandbox.counts == {"token": 1}

    async def test_json_has_the_state_of_the_provider(self, enkash: Enkash, sandbox: Sandbox) -> None:
        """`token --json` prints seconds as numbers, beside the provider's state."""
        run = await enkash("token", "--json")
        assert (run.code, run.err) == (0, "")
        assert run.json["base_url"] == sandbox.base_url
        assert run.json["expires_in"] == 3600
        assert run.json["state"]["generation"] >= 1
        assert 3590 < run.json["state"]["remaining"] <= 3600

    async def test_refused_credentials_are_one_line(
        self, enkash: Enkash, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The command makes one attempt and does not repeat the password."""
        monkeypatch.setenv("ENKASH_PASSWORD", "a-wrong-password")
        run = await enkash("token")
        assert (run.code, run.out) == (1, "")
        assert run.err.startswith("enkash: EnKash refused the login (HTTP 4")
        assert run.err.count("\n") == 1
        assert "a-wrong-password" not in run.err
        assert sandbox.counts == {"token": 1}


class TestBillers:
    async def test_a_table_shows_inputs(self, enkash: Enkash) -> None:
        """The table has the option `-p` beside the name of each input."""
        run = await enkash("billers", "--category", "ELECTRICITY")
        assert (run.code, run.err) == (0, "")
        rows = run.out.splitlines()
        assert rows[0].split() == ["biller_id", "name", "biller_type", "inputs"]
        assert len(rows) == 2 + 3
        assert "cn (Consumer Number), ad1 (Billing Unit), ad2 (Processing Cycle)" in rows[3]

    async def test_json_lists_every_biller(self, enkash: Enkash) -> None:
        """`billers --json` prints every biller of the sandbox, whose members have their Python names."""
        found = (await enkash("billers", "--json")).json
        assert len(found) == len(BILLERS)
        assert found[0] == {
            "biller_id": 2001,
            "name": "Sahyadri Electricity",
            "biller_type": "ELECTRICITY",
            "biller_params": [{"key": "cn", "name": "Consumer Number", "value": None, "unreadable": [], "extra": {}}],
            "unreadable": [],
            "extra": {},
        }

    async def test_categories(self, enkash: Enkash) -> None:
        """The command prints a table, or JSON with unknown members under `extra`."""
        table = await enkash("billers", "--categories")
        assert table.out.split()[2:] == ["ELECTRICITY", "WATER", "BROADBAND", "GAS", "MOBILE_POSTPAID"]
        found = (await enkash("billers", "--categories", "--json")).json
        assert found[0] == {"name": "ELECTRICITY", "unreadable": [], "extra": {"count": 3}}

    async def test_no_billers_is_said_aside(self, enkash: Enkash) -> None:
        """Standard output is empty, or an empty list as JSON."""
        assert await enkash("billers", "--category", "OPERA") == Run(0, "", "no billers\n")
        assert await enkash("billers", "--category", "OPERA", "--json") == Run(0, "[]\n", "")


class TestBillFetch:
    async def test_members_are_lines(self, enkash: Enkash, sandbox: Sandbox) -> None:
        """The command prints money in rupees and omits unset members."""
        run = await enkash("bill", "fetch", "2001", *CONSUMER)
        assert (run.code, run.err) == (0, "")
        assert re.search(r"^bill_net_amount +₹ \d,\d{3}\.\d\d$", run.out, re.MULTILINE)
        assert "status_message" not in run.out
        assert "create_bill" not in sandbox.counts

    async def test_json_has_exact_numbers(self, enkash: Enkash) -> None:
        """The document has every member, with null where EnKash omitted it."""
        run = await enkash("bill", "fetch", "2003", *CONSUMER, "--circle", "AGRA", "--json")
        assert isinstance(run.json["bill_net_amount"], Decimal)
        assert run.json["status_message"] is None
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", run.json["bill_due_date"])

    async def test_an_error_of_enkash_is_one_line(self, enkash: Enkash) -> None:
        """The command exits with 1 and prints one line on standard error and nothing on standard output."""
        run = await enkash("bill", "fetch", "2102", *CONSUMER, "--json")
        assert (run.code, run.out) == (1, "")
        assert "the biller is not active" in run.err
        assert run.err.count("\n") == 1


class TestBillCreate:
    async def test_the_reference_is_printed_before_anything_is_created(self, enkash: Enkash, sandbox: Sandbox) -> None:
        """Standard error has it, with the command that finds the bill."""
        run = await enkash("bill", "create", "2001", *CONSUMER, "--reference", "inv 1")
        assert run.code == 0
        assert run.err == "reference inv 1 (to look it up: enkash bill get --reference 'inv 1')\n"
        assert re.search(r"^reference_id +inv 1$", run.out, re.MULTILINE)
        assert re.search(r"^outcome +PENDING$", run.out, re.MULTILINE)
        assert sandbox.counts == {"token": 1, "fetch_bill": 1, "create_bill": 1}

    async def test_a_reference_is_made_up(self, enkash: Enkash) -> None:
        """The bill has the reference that the command printed."""
        run = await enkash("bill", "create", "2001", *CONSUMER, "--json")
        made = re.match(r"reference ([0-9a-f]{32}) ", run.err)
        assert made is not None
        assert run.json["reference_id"] == made[1]

    async def test_a_part_of_the_bill_is_paid(self, enkash: Enkash) -> None:
        """The request has the amount as the user wrote it."""
        run = await enkash("bill", "create", "2001", *CONSUMER, "--amount", "10.50", "--json")
        assert '"amount":10.50,' in run.out

    async def test_without_a_fetch_an_amount_is_needed(self, enkash: Any) -> None:
        """The command refuses to pay a sum that it never showed."""
        run = await enkash("bill", "create", "2003", *CONSUMER, "--no-fetch")
        assert run.code == 2
        assert "--no-fetch needs an amount: --amount 2450.75" in run.err

    async def test_a_bill_can_be_created_without_fetching(self, enkash: Enkash, sandbox: Sandbox) -> None:
        """The bill has the given amount."""
        run = await enkash("bill", "create", "2003", *CONSUMER, "--circle=AHM", "--no-fetch", "--amount=25", "--json")
        assert run.json["amount"] == 25
        assert sandbox.counts == {"token": 1, "add_bill": 1}

    async def test_a_biller_without_a_bill_is_no_wrong_argument(self, enkash: Enkash, sandbox: Sandbox) -> None:
        """The command exits with 1 and the biller's message and creates nothing."""
        run = await enkash("bill", "create", "2202", *CONSUMER)
        assert (run.code, run.out) == (1, "")
        assert "\nenkash: nothing was created: the fetched bill has no amount to pay" in run.err
        assert "(the biller said: Unable to fetch the bill: the biller did not answer)" in run.err
        assert "create_bill" not in sandbox.counts

    async def test_the_same_bill_again_is_the_bill_there_is(self, enkash: Enkash, sandbox: Sandbox) -> None:
        """The command with the same reference prints the same bill."""
        known = await created(enkash, "inv-1")
        run = await enkash("bill", "create", "2001", *CONSUMER, "--reference", "inv-1", "--json")
        assert (run.code, run.json["utility_enkash_id"], run.json["recovered"]) == (0, known, True)
        assert len(sandbox.ledger.search()) == 1

    async def test_a_reference_of_another_bill(self, enkash: Enkash) -> None:
        """The command exits with 1 and says what differs."""
        await created(enkash, "inv-1")
        run = await enkash("bill", "create", "2001", *CONSUMER, "--reference", "inv-1", "--amount", "10.50")
        assert (run.code, run.out) == (1, "")
        assert "the reference 'inv-1' was used before, and its bill differs in amount" in run.err
        assert "or `enkash bill get --reference inv-1` before you give this one another reference" in run.err

    @pytest.mark.parametrize("how", [FaultKind.DROP_AFTER, FaultKind.TRUNCATED, FaultKind.SERVER_ERROR_AFTER])
    async def test_an_unclear_end_is_looked_up(self, enkash: Enkash, sandbox: Sandbox, how: FaultKind) -> None:
        """The command creates once and prints the bill as looked up."""
        sandbox.faults.add("create_bill", how)
        run = await enkash("bill", "create", "2001", *CONSUMER, "--reference", "inv-1", "--json")
        assert (run.code, run.json["reference_id"], run.json["recovered"]) == (0, "inv-1", True)
        assert sandbox.counts["create_bill"] == 1

    @pytest.mark.parametrize("how", [FaultKind.DROP_AFTER, FaultKind.TRUNCATED, FaultKind.SERVER_ERROR_AFTER])
    async def test_an_unclear_end_has_its_own_exit_code(self, enkash: Enkash, sandbox: Sandbox, how: FaultKind) -> None:
        """The message has the command that finds the bill later."""
        sandbox.faults.add("create_bill", how)
        sandbox.faults.add("bill_by_reference", FaultKind.SERVER_ERROR)
        run = await enkash("bill", "create", "2001", *CONSUMER, "--reference", "inv-1", "--settle", "0", "--json")
        assert (run.code, run.out) == (3, "")
        first, second = run.err.splitlines()
        assert first == "reference inv-1 (to look it up: enkash bill get --reference inv-1)"
        assert second.startswith("enkash: bills.create_from_fetch may or may not have happened; do not repeat it. ")
        assert "enkash bill get --reference inv-1 (cause: " in second
        assert sandbox.counts["create_bill"] == 1
        assert (await enkash("bill", "get", "--reference", "inv-1", "--json")).json["reference_id"] == "inv-1"


class TestBillGet:
    async def test_by_id_and_by_reference(self, enkash: Enkash) -> None:
        """Both options print the same bill with its outcome."""
        known = await created(enkash)
        by_id = (await enkash("bill", "get", known, "--json")).json
        by_reference = (await enkash("bill", "get", "--reference", "inv-1", "--json")).json
        assert by_id == by_reference
        assert (by_id["outcome"], by_id["payment_status"], by_id["approved_date"]) == ("PENDING", "INIT", None)
        assert by_id["created_date"].endswith("+00:00")
        assert by_id["company_biller"]["biller"]["name"] == "Sahyadri Electricity"

    async def test_inner_members_have_a_line_each(self, enkash: Enkash) -> None:
        """The line names an inner member by its path."""
        run = await enkash("bill", "get", await created(enkash))
        assert re.search(r"^company_biller\.biller\.name +Sahyadri Electricity$", run.out, re.MULTILINE)
        assert re.search(r"^company_biller\.biller_params\.1\.key +cn$", run.out, re.MULTILINE)
        assert re.search(r"^recovered +no$", run.out, re.MULTILINE)

    @pytest.mark.parametrize("by_reference", [False, True])
    async def test_it_waits_until_the_bill_is_settled(
        self, enkash: Enkash, sandbox: Sandbox, by_reference: bool
    ) -> None:
        """The command prints a settled bill at once."""
        known = await created(enkash)
        assert (await enkash("bill", "confirm", known, "--yes")).code == 0
        which = ("--reference", "inv-1") if by_reference else (known,)
        run = await enkash("bill", "get", *which, "--wait", "60", "--json")
        assert (run.code, run.json["outcome"]) == (0, "PAID")

    async def test_a_bill_that_is_not_settled_in_time_is_shown(self, enkash: Enkash) -> None:
        """The command prints its state and exits with 1, also for a reference."""
        known = await created(enkash)
        run = await enkash("bill", "get", "--reference", "inv-1", "--wait", "0", "--json")
        assert (run.code, run.json["outcome"]) == (1, "PENDING")
        assert run.err == f"enkash: bill {known} is not settled after 0 s; it may still settle\n"

    async def test_a_wait_that_never_sees_the_bill(self, enkash: Enkash, sandbox: Sandbox) -> None:
        """The command exits with 1, says that the bill is not settled, and shows no bill."""
        sandbox.faults.add("bill", FaultKind.SERVER_ERROR, times=None)
        run = await enkash("bill", "get", await created(enkash), "--wait", "0", "--json")
        assert (run.code, run.out) == (1, "")
        assert "is not settled after 0 s" in run.err

    async def test_an_unknown_bill(self, enkash: Enkash) -> None:
        """The command exits with 1 and prints EnKash's words for a bill that it does not know."""
        run = await enkash("bill", "get", "--reference", "nobody", "--json")
        assert (run.code, run.out) == (1, "")
        assert "No utility payment found" in run.err


class TestBillSearch:
    async def test_options_are_filters(self, enkash: Enkash) -> None:
        """Each option of `bill search` narrows the list of bills."""
        known = await created(enkash)
        await enkash("bill", "confirm", known, "--yes")
        other = await created(enkash, "inv-2")
        everything = ("--from", "2020-01-01", "--to", "2100-01-01", "--consumer", "123456789")

        async def ids(*options: str) -> list[str]:
            return [bill["utility_enkash_id"] for bill in (await enkash("bill", "search", *options, "--json")).json]

        assert sorted(await ids(*everything)) == sorted([known, other])
        assert await ids("--status", "SUCCESS", "--status", "FAILED") == [known]
        assert await ids("--billpay-status", "PENDING") == [other]
        assert await ids("--to", "2020-01-01") == []

    async def test_a_table_is_never_cut_off(self, enkash: Enkash, monkeypatch: pytest.MonkeyPatch) -> None:
        """The piped table has one line a bill and no escape code at any width."""
        known = await created(enkash, "r" * 90)
        monkeypatch.setenv("COLUMNS", "40")
        run = await enkash("bill", "search")
        (row,) = run.out.splitlines()[2:]
        assert row.split()[:2] == [known, "r" * 90]
        assert re.search(r" ₹ \d,\d{3}\.\d\d +PENDING +INIT +PENDING +20\d\d-", row)
        assert "\x1b" not in run.out

    async def test_a_narrow_terminal_gets_records(self, enkash: Enkash, monkeypatch: pytest.MonkeyPatch) -> None:
        """The command prints a table that does not fit member by member."""
        known = await created(enkash, "r" * 90)
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "40")
        lines = re.sub(r"\x1b\[\d+m", "", (await enkash("bill", "search")).out).splitlines()
        assert lines[0] == f"utility_enkash_id  {known}"
        assert lines[1] == f"reference_id       {'r' * 90}"
        assert lines[-1] == ""

    async def test_a_limit_is_told(self, enkash: Enkash, sandbox: Sandbox) -> None:
        """Standard error names the limit only where there are more bills."""
        for number in range(3):
            await created(enkash, f"inv-{number}")
        less = await enkash("bill", "search", "--limit", "2", "--json")
        assert (less.code, len(less.json)) == (0, 2)
        assert less.err == "there are more than these 2; see --limit\n"
        exact = await enkash("bill", "search", "--limit", "3", "--json")
        assert (len(exact.json), exact.err) == (3, "")

    async def test_no_bills_is_said_aside(self, enkash: Enkash) -> None:
        """Standard output is empty, or an empty list as JSON."""
        assert await enkash("bill", "search") == Run(0, "", "no bills\n")
        assert await enkash("bill", "search", "--json") == Run(0, "[]\n", "")


class CtrlC:
    """Standard input at which the user presses Ctrl-C."""

    def readline(self) -> str:
        raise KeyboardInterrupt


class TestBillConfirm:
    async def test_yes_on_the_command_line(self, enkash: Enkash, sandbox: Sandbox) -> None:
        """The command sends one call and debits each id once."""
        known = await created(enkash)
        run = await enkash("bill", "confirm", known, known, "--yes", "--remarks", "July bills")
        assert (run.code, run.err) == (0, "")
        assert run.out.splitlines()[2].split() == [known, "confirmed"]
        assert [debit.utility_enkash_id for debit in sandbox.ledger.debits] == [known]

    async def test_yes_at_the_prompt(self, enkash: Enkash, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        """Standard error has the question, and standard output the JSON alone."""
        first, second = await created(enkash, "inv-1"), await created(enkash, "inv-2")
        monkeypatch.setattr("sys.stdin", io.StringIO("Yes\n"))
        run = await enkash("bill", "confirm", first, second, "--json")
        assert run.code == 0
        assert run.err == "Confirm the debit of 2 bills? The money leaves your EnKash account [y/N] "
        assert [item["key"] for item in run.json["succeeded"]] == [first, second]
        assert (run.json["failed"], run.json["unknown"], run.json["not_sent"]) == ([], [], [])

    @pytest.mark.parametrize("answer", ["n\n", "\n", "yess\n"])
    async def test_anything_but_yes_sends_nothing(
        self, enkash: Enkash, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, answer: str
    ) -> None:
        """The command exits with 1 and sends no request after any answer except «y» or «yes»."""
        monkeypatch.setattr("sys.stdin", io.StringIO(answer))
        run = await enkash("bill", "confirm", "U1")
        assert (run.code, run.out) == (1, "")
        assert run.err.endswith("[y/N] enkash: nothing was sent\n")
        assert "Confirm the debit of bill U1?" in run.err
        assert not sandbox.counts

    async def test_nobody_to_ask_is_a_wrong_call(
        self, enkash: Enkash, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The command asks a script for `--yes`."""
        monkeypatch.setattr("sys.stdin", io.StringIO(""))
        run = await enkash("bill", "confirm", "U1")
        assert (run.code, run.out) == (2, "")
        assert "\nenkash: nobody is there to say yes: add --yes" in run.err
        assert not sandbox.counts

    async def test_an_account_that_debits_on_creation_is_asked_nothing(
        self, enkash: Enkash, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The command exits with 2, says which variable to unset, and sends nothing."""
        monkeypatch.setenv("ENKASH_DEBIT_ON_CREATE", "1")
        run = await enkash("bill", "confirm", "U1")
        assert (run.code, run.out) == (2, "")
        assert run.err.startswith("enkash: nothing was sent: ")
        assert "ENKASH_DEBIT_ON_CREATE" in run.err
        assert not sandbox.counts

    async def test_ctrl_c_at_the_prompt(
        self, enkash: Enkash, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The command exits with 130 and sends nothing."""
        monkeypatch.setattr("sys.stdin", CtrlC())
        run = await enkash("bill", "confirm", "U1")
        assert (run.code, run.out) == (130, "")
        assert run.err.endswith("[y/N] \nenkash: stopped\n")
        assert not sandbox.counts

    async def test_confirming_again_is_harmless(self, enkash: Enkash, sandbox: Sandbox) -> None:
        """The command counts the bill as confirmed and does not send it again."""
        known = await created(enkash)
        for _ in range(2):
            run = await enkash("bill", "confirm", known, "--yes", "--json")
            assert (run.code, [item["key"] for item in run.json["succeeded"]]) == (0, [known])
        assert sandbox.counts["confirm_debit"] == 1

    async def test_an_unclear_end_is_read_back(self, enkash: Enkash, sandbox: Sandbox) -> None:
        """The command reports the bill as confirmed, because EnKash shows the debit."""
        known = await created(enkash)
        sandbox.faults.add("confirm_debit", FaultKind.DROP_AFTER)
        run = await enkash("bill", "confirm", known, "--yes", "--json")
        assert (run.code, [item["key"] for item in run.json["succeeded"]]) == (0, [known])
        assert len(sandbox.ledger.debits) == 1

    async def test_an_unclear_end_names_the_bills(self, enkash: Enkash, sandbox: Sandbox) -> None:
        """The command exits with 3, says when to run it again, and prints a command that shows the bills' records."""
        first = await created(enkash)
        sandbox.ledger.new_id = lambda: "a b"
        second = await created(enkash, "inv-2")
        sandbox.faults.add("confirm_debit", FaultKind.DROP_BEFORE)
        run = await enkash("bill", "confirm", first, second, "--yes", "--settle", "0", "--json")
        assert (run.code, run.out) == (3, "")
        assert "the same call finds out in 200 s" in run.err
        assert f"enkash debits show {first} 'UTIL-a b'" in run.err

    async def test_bills_end_in_groups(self, enkash: Enkash, sandbox: Sandbox) -> None:
        """The table has every id, and the unclear group decides the exit code."""
        await no_longer_new(sandbox)
        known = await created(enkash)
        sandbox.faults.add("confirm_debit", FaultKind.DROP_BEFORE)
        run = await enkash("bill", "confirm", known, "U0", "--yes", "--settle", "0", "--json")
        assert run.code == 3
        groups = ("succeeded", "failed", "unknown", "not_sent")
        assert [[item["key"] for item in run.json[group]] for group in groups] == [[], ["U0"], [known], []]
        assert run.json["unknown"][0]["error"]["error"] == "OutcomeUnknownError"
        assert sandbox.counts["confirm_debit"] == 1

    async def test_bills_that_all_fail(self, enkash: Enkash, sandbox: Sandbox) -> None:
        """The command exits with 1 and prints a reason for each bill."""
        await no_longer_new(sandbox)
        sandbox.faults.add("bill", FaultKind.SERVER_ERROR)
        run = await enkash("bill", "confirm", "U0", "U1", "--yes")
        assert run.code == 1
        assert len(run.out.splitlines()) == 2 + 2
        assert re.search(r"^ *U\d .* failed .* No utility payment found \[call \w{16}\] *$", run.out, re.MULTILINE)
        assert re.search(r"^ *U\d .* not sent .* HTTP 500", run.out, re.MULTILINE)
        assert sandbox.counts["confirm_debit"] == 0


class TestHostileReplies:
    NAME = r"[bold]\u001b[31mred\ud800 \u202e\nX[/bold] :smile: \u0939\u200d"

    async def test_text_is_printed_and_not_obeyed(self, cli: Enkash, monkeypatch: pytest.MonkeyPatch) -> None:
        """The command prints no markup, escape code, half surrogate pair or direction mark."""
        bill = (
            f'{{"utilityEnkashId":"U1","companyName":"{self.NAME}","amount":100000000000000.07,"new\u005cu001b":[1]}}'
        )
        async with raw_server(answering(bill)) as server:
            with variables(server.base_url, monkeypatch):
                shown = await cli("bill", "get", "U1")
                exact = await cli("bill", "get", "U1", "--json")
        assert (shown.code, exact.code) == (0, 0)
        assert r"[bold]\x1b[31mred\ud800 \u202e X[/bold] :smile: ह" in shown.out
        assert "₹ 10,00,00,00,00,00,000.07" in shown.out
        assert r"extra.new\x1b.1" in shown.out
        assert '"amount":100000000000000.07,' in exact.out
        assert exact.out.isascii()
        assert exact.json["extra"]["companyName"] == json.loads(f'"{self.NAME}"')

    async def test_tables_take_any_text(self, cli: Enkash, monkeypatch: pytest.MonkeyPatch) -> None:
        """The command prints any name that a biller may have."""
        name = self.NAME.replace(r"\ud800", "")  # a name with half of a surrogate pair cannot be read
        billers = f'[{{"billerId":7,"name":"{name}","billerParams":[{{"key":"cn"}}]}}]'
        async with raw_server(answering(billers)) as server:
            with variables(server.base_url, monkeypatch):
                run = await cli("billers")
        assert run.code == 0
        assert r"[bold]\x1b[31mred \u202e X[/bold] :smile:" in run.out
        assert "\x1b" not in run.out

    async def test_a_stream_without_the_rupee_sign(self, cli: Enkash, monkeypatch: pytest.MonkeyPatch) -> None:
        """The command writes the amount with letters and other characters as escapes."""
        narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
        async with raw_server(answering(r'{"utilityEnkashId":"U\u0939","amount":2450.75}')) as server:
            with variables(server.base_url, monkeypatch), contextlib.redirect_stdout(narrow):
                run = await cli("bill", "get", "U\u0939")
        narrow.seek(0)
        printed = narrow.read()
        assert run.code == 0
        assert "Rs 2,450.75\n" in printed
        assert r"U\u0939" in printed

    @pytest.mark.parametrize("options", [(), ("--json",)])
    async def test_a_reply_that_is_nested_too_deeply(
        self, cli: Enkash, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
    ) -> None:
        """The command prints the reply, or refuses it in one line."""
        ends: list[str] = []
        # How deep either goes is for each version of Python to say.
        for depth in (400, 500, 700, 950, 1200, 1500, 100_000):
            deep = "[" * depth + "]" * depth
            async with raw_server(answering(f'{{"utilityEnkashId":"U1","deep":{deep}}}')) as server:
                with variables(server.base_url, monkeypatch):
                    run = await cli("bill", "get", "U1", *options)
            assert (run.code, bool(run.out), run.err.count("\n")) in {(0, True, 0), (1, False, 1)}
            ends.append(without_ids(run.err.rpartition("EnKash")[2]).strip())
        printed, unprintable, unreadable = dict.fromkeys(ends)
        assert printed == ""
        assert unprintable == "'s reply is nested too deeply to print"
        assert unreadable.endswith("the body is not JSON")
        assert ends == sorted(ends, key=[printed, unprintable, unreadable].index)


class StopWhenAnnounced(io.StringIO):
    """Standard output that ends the sandbox once its address is printed."""

    is_told = False

    def flush(self) -> None:
        if not self.is_told:  # a later signal would find no handler, and end the process of the tests
            self.is_told = True
            os.kill(os.getpid(), signal.SIGTERM)


class TestSandboxCommand:
    def test_the_shell_gets_lines_to_paste(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Standard output holds export lines alone, and the explanation goes to standard error."""
        with contextlib.redirect_stdout(StopWhenAnnounced()) as printed:
            assert main(["sandbox", "--settle-after", "0.1"]) == 0
        lines = printed.getvalue().splitlines()
        assert re.fullmatch(r"export ENKASH_BASE_URL=http://127\.0\.0\.1:\d+", lines[0])
        assert len(lines) == 6
        assert all(line.startswith("export ENKASH_") for line in lines)
        assert "until Ctrl-C; its credentials are made up." in capsys.readouterr().err

    def test_json_has_the_variables(self) -> None:
        """`sandbox --json` prints one document with the variables and the URL of the sandbox."""
        with contextlib.redirect_stdout(StopWhenAnnounced()) as printed:
            assert main(["sandbox", "--json"]) == 0
        document = json.loads(printed.getvalue())
        assert document["environ"]["ENKASH_BASE_URL"] == document["base_url"]

    async def test_a_taken_port_is_one_line(self, cli: Enkash) -> None:
        """The command exits with 1 and explains the taken port in one line."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            run = await cli("sandbox", "--port", str(taken.getsockname()[1]))
        assert (run.code, run.out) == (1, "")
        assert run.err.startswith("enkash: the sandbox cannot start: ")
        assert run.err.count("\n") == 1
