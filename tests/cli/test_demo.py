"""The demo: all steps of a payment in one command."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from enkash_async import Routes
from enkash_async.__main__ import main
from enkash_async._support import exact_json
from enkash_async.sandbox import Sandbox

STEPS = (
    *("Log in", "List categories", "List billers", "Fetch current bill", "Create bill", "Confirm debit"),
    *("Wait until settled", "Look up by reference"),
)


def test_one_command_shows_the_whole_road() -> None:
    """The process needs no variable and prints into a narrow pipe."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("ENKASH_")}
    ended = subprocess.run(
        [sys.executable, "-m", "enkash_async", "demo"],
        env=bare | {"COLUMNS": "60", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        check=False,
        encoding="utf-8",
        timeout=60,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert re.search(r"a sandbox at http://127\.0\.0\.1:\d+", lines[0])
    steps = [line for line in lines if re.match(r"\d\. ", line)]
    assert [line[3:25].rstrip() for line in steps] == list(STEPS)
    assert "token good for 3600 s (generation " in steps[0]
    assert re.search(r"  ₹ \d,\d{3}\.\d\d, due \d{4}-\d\d-\d\d, consumer 123456789$", steps[3])
    assert steps[4].endswith("PENDING (payment INIT)")
    assert steps[5].endswith("1 bill accepted; PENDING (payment IN_PROCESS, bill IN_PROGRESS)")
    assert steps[6].endswith("PAID (payment SUCCESS, bill SUCCESS)")
    (settled,) = (line for line in lines if line.startswith("Settled: "))
    assert re.fullmatch(r"Settled: PAID ₹ \d,\d{3}\.\d\d to Sahyadri Electricity, reference \S+", settled)
    assert re.search(r"^HTTP calls: \d+ \(logins: 1, ", ended.stdout, re.MULTILINE)
    for name in Routes.unverified():
        assert re.search(rf"^  {name} +{getattr(Routes(), name)} ", ended.stdout, re.MULTILINE)
    assert "\x1b" not in ended.stdout


def test_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    """The document has the same steps with exact amounts and no secret."""
    assert main(["demo", "--json"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    document = exact_json.loads(printed.out.encode())
    steps = document["steps"]
    assert [step["step"] for step in steps] == list(range(1, 9))
    assert [step["name"] for step in steps] == [title.lower().replace(" ", "_") for title in STEPS]
    assert [step["bill"]["outcome"] for step in steps[4:]] == ["PENDING", "PENDING", "PAID", "PAID"]
    assert document["amount"] == steps[3]["bill"]["bill_net_amount"] == steps[7]["bill"]["amount"]
    assert (document["outcome"], document["reference_id"]) == ("PAID", steps[7]["bill"]["reference_id"])
    calls = document["http_calls"]
    assert (calls["logins"], calls["total"]) == (1, sum(calls["by_route"].values()))
    assert document["unverified_routes"] == list(Routes.unverified())
    made_up = Sandbox().credentials
    for secret in (made_up.client_secret, made_up.password, "at-", "Bearer"):
        assert secret not in printed.out


def test_people_read_it_in_this_process_too(capsys: pytest.CaptureFixture[str]) -> None:
    """The last line says that the bill is paid."""
    assert main(["demo"]) == 0
    assert re.search(r"success|paid|settled", capsys.readouterr().out, re.IGNORECASE)
