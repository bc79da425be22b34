"""The job of `enkash pay` against a sandbox that debits twice what is confirmed twice."""

from __future__ import annotations

import itertools
import json
import math
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import attrs
import pytest
from batch.batches import Batch, WatchedSandbox, due, money_moved_once, outcomes, row, tells_the_truth

from enkash_async.batch.job import Stage
from enkash_async.batch.results import RowOutcome
from enkash_async.errors import (
    AuthenticationError,
    ConfigurationError,
    CredentialsRejectedError,
    DuplicateReferenceError,
    OutcomeUnknownError,
    VelocityLimitError,
)
from enkash_async.models import PaymentStatus
from enkash_async.sandbox import FaultKind

PAID, UNKNOWN, PENDING, NOT_SENT = RowOutcome.PAID, RowOutcome.UNKNOWN, RowOutcome.PENDING, RowOutcome.NOT_SENT
REFUSED = RowOutcome.REFUSED


When = Callable[[str, bool], bool]

#: Faults of a sandbox, without those that say clearly that nothing was done.
KINDS = [kind for kind in FaultKind.of("add_bill") if kind not in {FaultKind.RATE_LIMITED, FaultKind.UNAUTHORIZED}]


def at(number: int, wanted: str | None = None, *, done: bool = False) -> When:
    """Return the condition that holds at the given request (of a route), before its work or after it."""
    counter = itertools.count(1)

    def hit(route: str, is_done: bool) -> bool:
        return is_done is done and wanted in (None, route) and next(counter) == number

    return hit


def after(first: When, then: When) -> When:
    """Return the condition that holds where the second one does, counted from where the first one did."""
    begun = False

    def hit(route: str, is_done: bool) -> bool:
        nonlocal begun
        if begun:
            return then(route, is_done)
        begun = first(route, is_done)
        return False

    return hit


class TestWholeRoad:
    async def test_every_row_is_paid_once(self, batch: Batch, sandbox: WatchedSandbox) -> None:
        """Each row has its amount and EnKash's last state, and the journal is gone."""
        rows = [row(number) for number in range(1, 6)]
        results = await batch.pay(*rows)
        assert [one.row for one in results] == rows
        assert outcomes(results) == [PAID] * 5
        assert [one.amount for one in results] == [due(sandbox, one) for one in rows]
        assert {one.bill.payment_status for one in results if one.bill is not None} == {PaymentStatus.SUCCESS}
        assert sandbox.counts["create_bill"] == 5
        assert sandbox.counts["confirm_debit"] == 1
        money_moved_once(sandbox.ledger, rows)
        assert not batch.path.exists()

    async def test_each_stage_tells_how_far_it_is(self, batch: Batch) -> None:
        """The progress of each stage grows to its end and never shrinks."""
        await batch.pay(*(row(number) for number in range(1, 4)))
        assert [told for told in batch.told if told[0] is Stage.CREATE] == [
            (Stage.CREATE, done, 3) for done in (1, 2, 3)
        ]
        for stage in (Stage.CONFIRM, Stage.SETTLE):
            told = [(done, total) for seen, done, total in batch.told if seen is stage]
            assert told == sorted(told)
            assert told[-1] == (3, 3)

    async def test_more_rows_than_one_confirmation_takes(self, batch: Batch, sandbox: WatchedSandbox) -> None:
        """A confirmation has a hundred bills, and an unclear one does not stop the others."""
        sandbox.faults.add("confirm_debit", FaultKind.DROP_BEFORE)
        rows = [row(number) for number in range(1, 202)]
        results = await batch.pay(*rows, window=0.1)
        assert sandbox.counts["confirm_debit"] == 3
        assert min(outcomes(results).count(one) for one in (PAID, UNKNOWN)) in {1, 100}
        tells_the_truth(results, sandbox.ledger)
        assert outcomes(await batch.pay(*rows)).count(PAID) in {1, 100}
        money_moved_once(sandbox.ledger, rows)

    async def test_a_second_run_changes_nothing(self, batch: Batch, sandbox: WatchedSandbox) -> None:
        """The second run takes the token of the first, looks each bill up and sends nothing else."""
        await batch.pay(row(1), row(2))
        sandbox.counts.clear()
        results = await batch.pay(row(1), row(2))
        assert outcomes(results) == [RowOutcome.ALREADY_PAID] * 2
        assert [one.amount for one in results] == [due(sandbox, row(1)), due(sandbox, row(2))]
        assert sandbox.counts == {"bill_by_reference": 2}

    async def test_remarks_go_with_the_confirmation(self, batch: Batch, sandbox: WatchedSandbox) -> None:
        """EnKash's ledger shows the remarks that the user gave to `enkash pay`."""
        await batch.pay(row(), remarks="November bills")
        assert sandbox.ledger.get_by_reference("inv-1").approval_remarks == "November bills"


class TestOutcomes:
    async def test_sent_back_by_the_biller(self, batch: Batch, sandbox: WatchedSandbox) -> None:
        """The row is FAILED in both runs, and the second one debits nothing."""
        one = row(biller_id=2302)
        assert outcomes(await batch.pay(one)) == [RowOutcome.FAILED]
        assert outcomes(await batch.pay(one)) == [RowOutcome.FAILED]
        money_moved_once(sandbox.ledger, [one])

    async def test_refused_by_enkash(self, batch: Batch, sandbox: WatchedSandbox) -> None:
        """The row of an inactive biller is REFUSED, and the other row is paid."""
        results = await batch.pay(row(1, biller_id=2102), row(2))
        assert outcomes(results) == [REFUSED, PAID]
        assert "not active" in str(results[0].error)
        tells_the_truth(results, sandbox.ledger)

    async def test_nothing_to_pay(self, batch: Batch, sandbox: WatchedSandbox) -> None:
        """The row is REFUSED with the biller's own words."""
        (result,) = await batch.pay(row(biller_id=2202))
        assert (result.outcome, result.amount) == (REFUSED, None)
        assert "the biller did not answer" in str(result.error)
        assert not sandbox.counts["create_bill"]

    async def test_a_velocity_limit(self, batch: Batch, sandbox: WatchedSandbox) -> None:
        """The row is REFUSED with the amount that was due."""
        sandbox.ledger.max_creates = 0
        (result,) = await batch.pay(row())
        assert (result.outcome, result.amount) == (REFUSED, due(sandbox, row()))
        assert isinstance(result.error, VelocityLimitError)

    async def test_a_confirmation_that_is_refused(self, batch: Batch, sandbox: WatchedSandbox) -> None:
        """The first run has created the bill, and the second run confirms it."""
        sandbox.faults.add("confirm_debit", FaultKind.RATE_LIMITED, retry_after=0)
        (result,) = await batch.pay(row())
        assert result.outcome is REFUSED
        tells_the_truth([result], sandbox.ledger)
        assert not batch.path.exists()
        assert outcomes(await batch.pay(row())) == [PAID]
        money_moved_once(sandbox.ledger, [row()])

    async def test_over_the_ceiling(self, batch: Batch, sandbox: WatchedSandbox) -> None:
        """The job creates no bill a paisa above the ceiling and pays one of exactly the ceiling."""
        over, exact = (row(number, max_amount=due(sandbox, row(number))) for number in (1, 2))
        over = attrs.evolve(over, max_amount=due(sandbox, over) - Decimal("0.01"))
        results = await batch.pay(over, exact)
        assert outcomes(results) == [RowOutcome.OVER_CEILING, PAID]
        assert results[0].amount == due(sandbox, over)
        assert "is more than the max_amount of ₹" in str(results[0].error)
        money_moved_once(sandbox.ledger, [exact])

    async def test_a_lower_ceiling_in_the_second_run(self, batch: Batch, sandbox: WatchedSandbox) -> None:
        """The new ceiling holds for a bill that exists and is not confirmed."""
        await batch.stopped(at(1, "create_bill", done=True), row())
        results = await batch.pay(row(max_amount=Decimal(1)))
        assert outcomes(results) == [RowOutcome.OVER_CEILING]
        assert not sandbox.counts["confirm_debit"]
        tells_the_truth(results, sandbox.ledger)

    async def test_not_settled_in_time(self, batch: Batch, sandbox: WatchedSandbox) -> None:
        """The row is PENDING with its last state, and later runs wait for it and confirm nothing."""
        sandbox.ledger.settle_after = math.inf
        for _ in range(2):
            (result,) = await batch.pay(row(), timeout=0)
            assert result.outcome is PENDING
            assert result.bill is not None
            assert result.bill.payment_status is PaymentStatus.IN_PROCESS
        sandbox.ledger.settle_after = 0.0
        assert outcomes(await batch.pay(row())) == [RowOutcome.ALREADY_PAID]
        money_moved_once(sandbox.ledger, [row()])

    async def test_nothing_came_through(self, batch: Batch, sandbox: WatchedSandbox) -> None:
        """The rows are NOT_SENT, because the job sent only reads."""
        sandbox.faults.add("bill_by_reference", FaultKind.DROP_BEFORE, times=None)
        results = await batch.pay(row(1), row(2))
        assert outcomes(results) == [NOT_SENT] * 2
        assert not sandbox.counts["create_bill"]
        tells_the_truth(results, sandbox.ledger)

    async def test_in_a_rehearsal(self, batch: Batch, sandbox: WatchedSandbox) -> None:
        """The rows are PAYABLE, nothing is created, and an earlier run's payment shows."""
        await batch.pay(row(1))
        sandbox.counts.clear()
        rows = [row(1), row(2), row(3, max_amount=Decimal(1)), row(4, biller_id=2102)]
        results = await batch.pay(*rows, rehearse=True)
        assert outcomes(results) == [RowOutcome.ALREADY_PAID, RowOutcome.PAYABLE, RowOutcome.OVER_CEILING, REFUSED]
        assert results[1].amount == due(sandbox, row(2))
        assert set(sandbox.counts) == {"bill_by_reference", "fetch_bill"}

    @pytest.mark.parametrize("changes", [{"biller_id": 2101}, {"params": {"cn": "765432109876"}}])
    async def test_a_reference_of_another_bill(
        self, batch: Batch, sandbox: WatchedSandbox, changes: dict[str, Any]
    ) -> None:
        """The row is REFUSED, and the error shows neither the other bill nor a full consumer number."""
        await batch.pay(row())
        (result,) = await batch.pay(row(**changes))
        assert (result.outcome, result.bill, result.amount) == (REFUSED, None, None)
        assert isinstance(result.error, DuplicateReferenceError)
        for number in (row().params["cn"], "765432109876"):
            assert number not in str(result.error)
        money_moved_once(sandbox.ledger, [row()])


class TestCreate:
    @pytest.mark.parametrize(
        "kind", [FaultKind.DROP_AFTER, FaultKind.TRUNCATED, FaultKind.SERVER_ERROR_AFTER, FaultKind.LATE]
    )
    async def test_a_lost_reply(self, batch: Batch, sandbox: WatchedSandbox, kind: FaultKind) -> None:
        """The job sends the create once and finds the bill by its reference, also a late one."""
        sandbox.faults.add("create_bill", kind, delay=0.1)
        assert outcomes(await batch.pay(row(), window=5.0)) == [PAID]
        assert sandbox.counts["create_bill"] == 1
        money_moved_once(sandbox.ledger, [row()])

    async def test_one_that_comes_too_late(self, batch: Batch, sandbox: WatchedSandbox) -> None:
        """The row is UNKNOWN and not confirmed, and the second run pays it."""
        sandbox.faults.add("create_bill", FaultKind.LATE, delay=0.3)
        (result,) = await batch.pay(row(), window=0.05)
        assert (result.outcome, result.amount) == (UNKNOWN, due(sandbox, row()))
        assert isinstance(result.error, OutcomeUnknownError)
        assert not sandbox.counts["confirm_debit"]
        await sandbox.late_work()
        assert outcomes(await batch.pay(row())) == [PAID]
        money_moved_once(sandbox.ledger, [row()])

    async def test_one_that_overtakes_the_second_run(self, batch: Batch, sandbox: WatchedSandbox) -> None:
        """EnKash refuses the second create, and the job pays the first one's bill."""
        sandbox.faults.add("create_bill", FaultKind.LATE, delay=0.4)
        await batch.pay(row(), window=0.0)
        sandbox.faults.add("create_bill", FaultKind.SLOW, delay=0.6)
        assert outcomes(await batch.pay(row())) == [PAID]
        assert sandbox.counts["create_bill"] == 2
        money_moved_once(sandbox.ledger, [row()])

    async def test_a_reply_without_an_id(self, batch: Batch, sandbox: WatchedSandbox) -> None:
        """The job looks the id up by the reference."""
        sandbox.edit["create_bill"] = _without_id
        assert outcomes(await batch.pay(row())) == [PAID]
        assert sandbox.counts["create_bill"] == 1
        money_moved_once(sandbox.ledger, [row()])

    @pytest.mark.parametrize("kind", [FaultKind.SERVER_ERROR, FaultKind.DROP_BEFORE])
    async def test_a_reply_without_an_id_and_no_look_up(
        self, batch: Batch, sandbox: WatchedSandbox, kind: FaultKind
    ) -> None:
        """The row is UNKNOWN, because the bill was created."""
        sandbox.edit["create_bill"] = _without_id
        sandbox.faults.add("bill_by_reference", kind, after=1, times=None)
        (result,) = await batch.pay(row(), window=0.05)
        assert result.outcome is UNKNOWN
        tells_the_truth([result], sandbox.ledger)
        sandbox.faults.clear()
        assert outcomes(await batch.pay(row())) == [PAID]
        money_moved_once(sandbox.ledger, [row()])


def _without_id(text: str) -> str:
    reply = json.loads(text)
    for name in [name for name in reply["payload"] if name.lower().endswith("enkashid")]:
        del reply["payload"][name]
    return json.dumps(reply)


class TestConfirmation:
    @pytest.mark.parametrize("kind", [FaultKind.DROP_AFTER, FaultKind.SERVER_ERROR_AFTER, FaultKind.LATE])
    async def test_a_lost_reply(self, batch: Batch, sandbox: WatchedSandbox, kind: FaultKind) -> None:
        """The job sends the confirmation once and reads the bills until they show it."""
        rows = [row(number) for number in range(1, 6)]
        sandbox.faults.add("confirm_debit", kind, delay=0.1)
        assert outcomes(await batch.pay(*rows, window=5.0)) == [PAID] * 5
        assert sandbox.counts["confirm_debit"] == 1
        money_moved_once(sandbox.ledger, rows)
        assert not batch.path.exists()

    async def test_one_that_comes_too_late(self, batch: Batch, sandbox: WatchedSandbox) -> None:
        """The row is UNKNOWN, and the second run waits for the first run's confirmation."""
        sandbox.faults.add("confirm_debit", FaultKind.LATE, delay=0.5)
        results = await batch.pay(row(), window=0.05)
        assert outcomes(results) == [UNKNOWN]
        assert batch.path.exists()
        assert outcomes(await batch.pay(row(), window=10.0)) == [PAID]
        assert sandbox.counts["confirm_debit"] == 1
        money_moved_once(sandbox.ledger, [row()])
        assert not batch.path.exists()

    async def test_one_that_was_lost_is_sent_anew(self, batch: Batch, sandbox: WatchedSandbox) -> None:
        """The second run sends it a whole window after the end of the first run."""
        sandbox.faults.add("confirm_debit", FaultKind.DROP_BEFORE)
        assert outcomes(await batch.pay(row(), window=0.05)) == [UNKNOWN]
        ended = time.monotonic()
        arrived: list[float] = []

        def note(route: str, done: bool) -> bool:
            if route == "confirm_debit" and not done:
                arrived.append(time.monotonic())
            return False

        assert outcomes(await batch.stopped(note, row(), window=0.4)) == [PAID]
        assert len(arrived) == 1
        assert arrived[0] - ended >= 0.4
        money_moved_once(sandbox.ledger, [row()])

    async def test_a_run_that_was_slow_to_send(self, batch: Batch, sandbox: WatchedSandbox) -> None:
        """The journal's entry is older than the window, and the second run still waits for it."""
        sandbox.faults.add("bill", FaultKind.SLOW, delay=0.5)
        sandbox.faults.add("confirm_debit", FaultKind.LATE, delay=0.3)
        await batch.stopped(at(1, "confirm_debit", done=True), row(), window=0.4)
        assert outcomes(await batch.pay(row(), window=0.4)) == [PAID]
        await sandbox.late_work()
        money_moved_once(sandbox.ledger, [row()])

    @pytest.mark.parametrize("hours", [-1, 1])
    async def test_a_clock_that_was_set(self, batch: Batch, sandbox: WatchedSandbox, hours: int) -> None:
        """The second run waits for the confirmation, although its clock is an hour off."""
        sandbox.faults.add("confirm_debit", FaultKind.LATE, delay=0.3)
        await batch.stopped(at(1, "confirm_debit", done=True), row())
        set_clock = datetime.now(UTC) + timedelta(hours=hours)
        assert outcomes(await batch.pay(row(), now=lambda: set_clock, window=5.0)) == [PAID]
        await sandbox.late_work()
        money_moved_once(sandbox.ledger, [row()])

    async def test_others_do_not_wait_for_an_earlier_one(self, batch: Batch, sandbox: WatchedSandbox) -> None:
        """The second row is confirmed while the first one waits for an earlier run."""
        await batch.stopped(at(1, "create_bill", done=True), row(1))
        batch.note_earlier(sandbox.ledger.get_by_reference("inv-1").utility_enkash_id)
        results = await batch.stopped(at(1, "confirm_debit", done=True), row(1), row(2), window=60.0)
        tells_the_truth(results, sandbox.ledger)
        assert [debit.reference_id for debit in sandbox.ledger.debits] == ["inv-2"]

    async def test_an_entry_of_a_confirmed_bill_is_closed(self, batch: Batch, sandbox: WatchedSandbox) -> None:
        """The job removes the journal of a run that was killed before it noted the answer."""
        await batch.pay(row())
        batch.note_earlier(sandbox.ledger.get_by_reference("inv-1").utility_enkash_id)
        assert outcomes(await batch.pay(row(), window=60.0)) == [RowOutcome.ALREADY_PAID]
        assert not batch.path.exists()

    async def test_an_earlier_one_that_cannot_be_read(self, batch: Batch, sandbox: WatchedSandbox) -> None:
        """The row is UNKNOWN, and the journal keeps its entry."""
        sandbox.faults.add("confirm_debit", FaultKind.LATE, delay=1.0)
        await batch.stopped(at(1, "confirm_debit", done=True), row())
        sandbox.faults.add("bill", FaultKind.SERVER_ERROR, times=None)
        assert outcomes(await batch.pay(row(), window=0.05)) == [UNKNOWN]
        sandbox.faults.clear()
        assert outcomes(await batch.pay(row(), window=10.0)) == [PAID]
        await sandbox.late_work()
        money_moved_once(sandbox.ledger, [row()])

    async def test_a_journal_that_cannot_be_written(self, batch: Batch, sandbox: WatchedSandbox) -> None:
        """The job confirms nothing, and the next run pays the bill."""

        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        results = await batch.pay(row(), sync=full)
        assert outcomes(results) == [NOT_SENT]
        assert isinstance(results[0].error, ConfigurationError)
        assert not sandbox.counts["confirm_debit"]
        tells_the_truth(results, sandbox.ledger)
        assert outcomes(await batch.pay(row())) == [PAID]
        money_moved_once(sandbox.ledger, [row()])


class TestCredentials:
    async def test_refused_from_the_start(self, batch: Batch, sandbox: WatchedSandbox) -> None:
        """The job makes one login for all rows, because three would lock the account."""
        sandbox.faults.add("token", FaultKind.UNAUTHORIZED, times=None)
        results = await batch.pay(*(row(number) for number in range(1, 21)))
        assert outcomes(results) == [NOT_SENT] * 20
        assert all(isinstance(one.error, CredentialsRejectedError) for one in results)
        assert sandbox.counts == {"token": 1}

    async def test_refused_in_the_middle(self, batch: Batch, sandbox: WatchedSandbox) -> None:
        """Created bills stay unconfirmed, later rows are NOT_SENT, and the next run pays all."""
        rows = [row(number) for number in range(1, 21)]
        sandbox.faults.add("token", FaultKind.UNAUTHORIZED, after=1, times=None)
        sandbox.faults.add("create_bill", FaultKind.UNAUTHORIZED, after=5, times=None)
        sandbox.faults.add("search_bills", FaultKind.UNAUTHORIZED, times=None)
        results = await batch.pay(*rows)
        assert set(outcomes(results)) == {NOT_SENT}
        assert sandbox.counts["token"] == 2
        assert not sandbox.counts["confirm_debit"]
        assert len(sandbox.ledger.search()) == 5
        tells_the_truth(results, sandbox.ledger)
        sandbox.faults.clear()
        assert outcomes(await batch.pay(*rows)) == [PAID] * 20
        money_moved_once(sandbox.ledger, rows)

    async def test_a_user_without_the_right(self, batch: Batch, sandbox: WatchedSandbox) -> None:
        """A token that is refused twice ends the creates, so not every row makes a login."""
        sandbox.faults.add("fetch_bill", FaultKind.UNAUTHORIZED, times=None)
        results = await batch.pay(*(row(number) for number in range(1, 31)), concurrency=2)
        assert set(outcomes(results)) <= {REFUSED, NOT_SENT}
        assert outcomes(results).count(REFUSED) <= 2
        assert all(isinstance(one.error, AuthenticationError) for one in results)
        tells_the_truth(results, sandbox.ledger)


class TestStopping:
    @pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
    async def test_at_every_request(self, batch: Batch, sandbox: WatchedSandbox, done: bool) -> None:
        """A run stopped at any request tells the truth, and a second run pays the rest once."""
        for number in itertools.count(1):
            rows = [row(100 * number + each) for each in (1, 2)]
            earlier = len(sandbox.ledger.debits)
            results, ended = await batch.begin(rows, stop=at(number, done=done), window=0.1, concurrency=2)
            await sandbox.late_work()
            tells_the_truth(results, sandbox.ledger)
            assert set(outcomes(await batch.pay(*rows, window=0.1))) <= {PAID, RowOutcome.ALREADY_PAID}
            assert len(sandbox.ledger.debits) == earlier + 2
            if ended:
                break
        assert number >= 12
        references = {payment.reference_id for payment in sandbox.ledger.search()}
        assert len(sandbox.ledger.search()) == len(references) == len(sandbox.ledger.debits) == 2 * number

    async def test_what_is_created_and_not_confirmed(self, batch: Batch, sandbox: WatchedSandbox) -> None:
        """The row says so and what to do, in the run that created the bill and in a later one."""
        for when, second in ((at(2, "create_bill"), row(2)), (at(1, "fetch_bill"), row(3))):
            results = await batch.stopped(when, row(1), second, concurrency=1)
            assert results[0].outcome is PENDING
            assert str(results[0].error) == "created, and its debit is not confirmed yet: run the same command again"
            tells_the_truth(results, sandbox.ledger)

    async def test_what_an_earlier_run_may_have_confirmed(self, batch: Batch, sandbox: WatchedSandbox) -> None:
        """The row is UNKNOWN until the job finds out, and the job announces its wait."""
        await batch.stopped(at(1, "create_bill", done=True), row())
        batch.note_earlier(sandbox.ledger.get_by_reference("inv-1").utility_enkash_id)
        said: list[str] = []
        (result,) = await batch.stopped(at(1, "bill"), row(), window=60.0, say=said.append)
        assert result.outcome is UNKNOWN
        assert str(result.error).startswith("an earlier run was stopped while it confirmed this debit: ")
        assert len(said) == 1
        assert "waiting up to 60 s" in said[0]

    async def test_while_a_confirmation_is_in_flight(self, batch: Batch, sandbox: WatchedSandbox) -> None:
        """The next run waits for the confirmation, at whichever request this one was stopped."""
        for number in range(1, 5):
            rows = [row(100 * number + each) for each in (1, 2)]
            sandbox.faults.add("confirm_debit", FaultKind.LATE, delay=0.2)
            results = await batch.stopped(after(at(1, "confirm_debit", done=True), at(number)), *rows, window=2.0)
            tells_the_truth(results, sandbox.ledger)
            assert set(outcomes(await batch.pay(*rows, window=2.0))) <= {PAID, RowOutcome.ALREADY_PAID}
            assert sandbox.counts["confirm_debit"] == number
        assert len(sandbox.ledger.debits) == 8

    @pytest.mark.parametrize("seed", range(6))
    async def test_with_faults_at_random(self, batch: Batch, sandbox: WatchedSandbox, seed: int) -> None:
        """Runs with faults and cancellations are repeated until each row is paid, once."""
        chance = random.Random(seed)
        rows = [row(number) for number in range(1, 13)]
        for _ in range(4):
            for route in ("bill_by_reference", "fetch_bill", "create_bill", "confirm_debit", "search_bills", "bill"):
                if chance.random() < 0.5:
                    sandbox.faults.add(route, chance.choice(KINDS), after=chance.randrange(6), delay=0.1)
            earlier = {payment.reference_id for payment in sandbox.ledger.search()}
            stop = at(chance.randint(1, 60), done=chance.random() < 0.5)
            results = await batch.stopped(stop, *rows, window=0.15, concurrency=3)
            tells_the_truth(results, sandbox.ledger, earlier=earlier)
            sandbox.faults.clear()
        results = await batch.pay(*rows, window=0.15)
        await sandbox.late_work()
        assert set(outcomes(results)) <= {PAID, RowOutcome.ALREADY_PAID}
        money_moved_once(sandbox.ledger, rows)
