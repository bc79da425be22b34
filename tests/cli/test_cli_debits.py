"""`enkash debits` and `enkash store init --nothing-pending`, against a sandbox and a store in a file."""

from __future__ import annotations

import logging

import pytest

from enkash_async._money import instants
from enkash_async.sandbox import FaultKind, Sandbox

from support import Enkash


def _due(sandbox: Sandbox) -> str:
    """Put a bill into the ledger that no create of ours brought forth, and return its id."""
    ledger = sandbox.ledger
    consumer = ledger.enrol(2001, {"cn": "1"})
    return ledger.create(consumer, ledger.due(consumer)).utility_enkash_id


@pytest.fixture(autouse=True)
def young(enkash: Enkash, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENKASH_NOTHING_PENDING")


async def test_a_new_store_confirms_once_it_was_declared(sandbox: Sandbox, enkash: Enkash) -> None:
    """Before that the command says how long to wait; nothing was sent."""
    one = _due(sandbox)
    refused = await enkash("bill", "confirm", one, "--yes", "--settle", "0")
    assert (refused.code, "enkash store init --nothing-pending" in refused.err) == (1, True)
    assert sandbox.ledger.debits == []
    declared = await enkash("store", "init", "--nothing-pending")
    assert (declared.code, "it counts as old" in declared.out) == (0, True)
    assert (await enkash("bill", "confirm", one, "--yes", "--settle", "0")).code == 0
    assert len(sandbox.ledger.debits) == 1


async def test_a_variable_declares_it_for_a_new_store(
    sandbox: Sandbox, enkash: Enkash, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ENKASH_NOTHING_PENDING=1`, for deployments whose store begins with each of them."""
    monkeypatch.setenv("ENKASH_NOTHING_PENDING", "1")
    assert (await enkash("bill", "confirm", _due(sandbox), "--yes", "--settle", "0")).code == 0


async def test_without_the_option_nothing_is_declared(sandbox: Sandbox, enkash: Enkash) -> None:
    """`enkash store init` alone tells that the store answers."""
    assert "old" not in (await enkash("store", "init")).out
    assert (await enkash("bill", "confirm", _due(sandbox), "--yes", "--settle", "0")).code == 1


async def test_records_are_shown(sandbox: Sandbox, enkash: Enkash) -> None:
    """A bill that was confirmed, and one that the store knows nothing of."""
    await enkash("store", "init", "--nothing-pending")
    one, other = _due(sandbox), _due(sandbox)
    await enkash("bill", "confirm", one, "--yes")
    shown = await enkash("debits", "show", one, other, "--json")
    assert [(each["utility_enkash_id"], each["state"]) for each in shown.json] == [(one, "accepted"), (other, "none")]
    table = await enkash("debits", "show", one, other)
    assert (table.code, "accepted" in table.out, "none" in table.out) == (0, True, True)


async def test_a_record_of_a_moment_ago_stays(sandbox: Sandbox, enkash: Enkash) -> None:
    """The command says for how long the confirmation may still be under way."""
    await enkash("store", "init", "--nothing-pending")
    one = _due(sandbox)
    sandbox.faults.add("confirm_debit", FaultKind.BAD_GATEWAY)
    unclear = await enkash("bill", "confirm", one, "--yes", "--settle", "0")
    assert (unclear.code, "the same call finds out in" in unclear.err) == (3, True)
    assert "s" in (await enkash("debits", "show", one)).out.split(one)[1].split()[-1]
    kept = await enkash("debits", "release", one, "--because", "x")
    assert (kept.code, "may still be under way" in kept.out) == (1, True)
    assert (await enkash("debits", "release", one, "--because", "x", "--json")).json["failed"][0]["key"] == one


async def test_a_record_that_enkash_disproves_is_released(
    sandbox: Sandbox, enkash: Enkash, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The window is over and two reads show the bill unconfirmed; the log has the reason."""
    monkeypatch.setattr(instants, "DURATIONS", instants.DURATIONS.scaled(0.005))
    await enkash("store", "init", "--nothing-pending")
    one = _due(sandbox)
    sandbox.faults.add("confirm_debit", FaultKind.BAD_GATEWAY)
    assert (await enkash("bill", "confirm", one, "--yes", "--settle", "0")).code == 3
    await sandbox.late_work()
    while (record := (await enkash("debits", "show", one, "--json")).json[0])["window_left"]:
        assert record["state"] == "sent"
    with caplog.at_level(logging.WARNING, "enkash_async"):
        released = await enkash("debits", "release", one, "--because", "EnKash said so")
    assert (released.code, "released" in released.out) == (0, True)
    assert "EnKash said so" in caplog.text
    assert (await enkash("debits", "show", one, "--json")).json[0]["state"] == "none"
