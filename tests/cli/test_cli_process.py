"""The command line as users start it: processes with arguments, streams and signals."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping

import attrs
import pytest

from enkash_async import EnkashClient
from enkash_async.sandbox import FaultKind, Sandbox

from support import confirm_unrecorded

CONSUMER = ("-p", "cn=123456789")
BARE = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith("ENKASH_") and name not in {"COLUMNS", "FORCE_COLOR", "NO_COLOR", "PYTHONUTF8"}
}


@attrs.frozen
class Ended:
    """The exit code and the output of a process."""

    code: int | None
    out: str
    err: str


async def start(environ: Mapping[str, str], *argv: str) -> Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "enkash_async", *argv), env=BARE | {**environ}, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )


async def end(process: Process) -> Ended:
    out, err = await asyncio.wait_for(process.communicate(), 20)
    return Ended(process.returncode, out.decode("utf-8"), err.decode("utf-8"))


async def enkash(environ: Mapping[str, str], *argv: str) -> Ended:
    return await end(await start(environ, *argv))


async def test_a_missing_variable_is_one_line() -> None:
    """The process exits with 2, without a traceback and with empty standard output."""
    ended = await enkash({}, "token")
    assert (ended.code, ended.out) == (2, "")
    assert re.fullmatch(r"enkash: set the environment variables ENKASH_BASE_URL, .*ENKASH_PASSWORD\n", ended.err)


async def test_a_login_works(sandbox: Sandbox) -> None:
    """The process prints neither token nor password."""
    ended = await enkash(sandbox.environ(), "token", "--json")
    assert (ended.code, ended.err) == (0, "")
    assert json.loads(ended.out)["expires_in"] == 3600
    for secret in (*sandbox.ledger.accounts._tokens, sandbox.credentials.password, sandbox.credentials.client_secret):
        assert secret not in ended.out


async def test_the_librarys_warnings_are_not_shown(sandbox: Sandbox) -> None:
    """A refused login prints one line and no log record."""
    ended = await enkash({**sandbox.environ(), "ENKASH_PASSWORD": "wrong-password"}, "token")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("enkash: EnKash refused the login")
    assert ended.err.count("\n") == 1


async def test_an_unclear_create_ends_with_three(sandbox: Sandbox) -> None:
    """Standard error has the reference, which finds the bill later."""
    sandbox.faults.add("create_bill", FaultKind.DROP_AFTER)
    sandbox.faults.add("bill_by_reference", FaultKind.SERVER_ERROR)
    ended = await enkash(
        sandbox.environ(), "bill", "create", "2001", *CONSUMER, "--reference", "inv-7", "--settle", "0"
    )
    assert (ended.code, ended.out) == (3, "")
    assert ended.err.startswith("reference inv-7 (to look it up: enkash bill get --reference inv-7)\n")
    assert "may or may not have happened; do not repeat it" in ended.err
    found = await enkash(sandbox.environ(), "bill", "get", "--reference", "inv-7", "--json")
    assert (found.code, json.loads(found.out)["reference_id"]) == (0, "inv-7")


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT for another process")
async def test_ctrl_c_while_a_bill_is_created_leaves_the_reference(sandbox: Sandbox) -> None:
    """The process exits with 130, one line and the reference that it printed before."""
    sandbox.faults.add("create_bill", FaultKind.SLOW, delay=3600.0)
    process = await start(sandbox.environ(), "bill", "create", "2001", *CONSUMER, "--reference", "inv-8")
    while not sandbox.counts["create_bill"]:
        await asyncio.sleep(0.01)
    process.send_signal(signal.SIGINT)
    ended = await end(process)
    assert (ended.code, ended.out) == (130, "")
    assert ended.err.split("\n") == [
        "reference inv-8 (to look it up: enkash bill get --reference inv-8)",
        "",  # ends the line on which the terminal shows ^C
        "enkash: stopped",
        "",
    ]


async def test_a_reader_that_leaves_early_is_no_traceback(sandbox: Sandbox) -> None:
    """The process ends as in `enkash billers | head -1`."""
    process = await start(sandbox.environ(), "billers")
    assert process.stdout is not None
    process.stdout._transport.close()  # type: ignore[attr-defined]
    assert process.stderr is not None
    printed = await asyncio.wait_for(process.stderr.read(), 20)
    assert b"Traceback" not in printed
    assert await process.wait() != 0


async def test_a_debit_is_confirmed_at_the_prompt(sandbox: Sandbox) -> None:
    """The commands from the fetch to the paid bill work one after the other."""
    bill = json.loads((await enkash(sandbox.environ(), "bill", "create", "2001", *CONSUMER, "--json")).out)
    process = await start(sandbox.environ(), "bill", "confirm", bill["utility_enkash_id"], "--json")
    assert process.stdin is not None
    process.stdin.write(b"y\n")
    confirmed = await end(process)
    assert confirmed.code == 0
    assert json.loads(confirmed.out)["succeeded"][0]["key"] == bill["utility_enkash_id"]
    settled = await enkash(sandbox.environ(), "bill", "get", bill["utility_enkash_id"], "--wait", "10", "--json")
    assert json.loads(settled.out)["outcome"] == "PAID"


async def test_a_narrow_encoding_prints_all_the_same(sandbox: Sandbox) -> None:
    """The process writes letters for a rupee sign that the stream lacks."""
    ended = await enkash({**sandbox.environ(), "PYTHONIOENCODING": "ascii"}, "bill", "fetch", "2001", *CONSUMER)
    assert (ended.code, ended.err) == (0, "")
    assert re.search(r"^bill_amount +Rs \d", ended.out, re.MULTILINE)


async def test_without_the_extra_it_says_what_to_install() -> None:
    """The process exits with 2 and one line."""
    program = "import sys; sys.modules['rich'] = None; from enkash_async.__main__ import main; sys.exit(main(['demo']))"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, env=BARE, stdout=PIPE, stderr=PIPE)
    ended = await end(process)
    assert ended == Ended(
        2,
        "",
        "enkash: rich is not installed; in a checkout, run: pip install '.[cli]'\n",
    )


async def test_the_sandbox_tells_at_its_end_which_bills_were_debited_twice() -> None:
    """A second confirmation, which its options let debit again, shows with the bill's reference; one debit does not."""
    process = await start({}, "sandbox", "--repeat-debits", "--read-lag", "0", "--search-lag", "0")
    assert process.stdout is not None
    lines = [(await process.stdout.readline()).decode().split(" ", 1)[1].strip() for _ in range(6)]
    environ = dict(line.split("=", 1) for line in lines) | {"ENKASH_STORE_URL": "memory:"}
    for number, confirmations in enumerate((1, 2, 0)):
        async with EnkashClient.from_env(environ) as client:
            bill = await client.bills.create(2001, {"cn": "1"}, bill_amount=500, reference_id=f"inv-{number}")
        for _ in range(confirmations):
            async with EnkashClient.from_env(environ) as client:
                await confirm_unrecorded(client, [bill.utility_enkash_id])
    process.send_signal(signal.SIGINT)
    ended = await end(process)
    assert (ended.code, ended.out) == (0, "")
    assert ended.err.splitlines()[1:] == ["3 bills were created, and 2 of them debited.", "inv-1 was debited 2 times."]
