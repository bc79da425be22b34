"""For any faults in any order, no bill is made or paid twice and no call says anything untrue."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine, Sequence
from decimal import Decimal
from typing import Any

from _money.judge import INACTIVE, MOST, Order
from _money.world import LATER, SLOW, SOON, UNHURRIED, Cancel, Fault, World
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from enkash_async.sandbox import FaultKind

_KINDS = [kind for kind in FaultKind.of("bill") if kind is not FaultKind.LATE]
_LOGIN = [FaultKind.UNAVAILABLE, FaultKind.SERVER_ERROR]


def _faults(
    write: str,
    *reads: str,
    kinds: Sequence[FaultKind] = FaultKind.of("add_bill"),
    delays: Sequence[float] = (SOON, SLOW, LATER),
) -> st.SearchStrategy[list[Fault]]:
    """Several faults at a time, on a write and on the reads that look what it did."""
    few, after = st.sampled_from([1, 1, 2, 3]), st.sampled_from([0, 0, 0, 1, 2])
    writing = st.builds(Fault, st.just(write), st.sampled_from(kinds), few, after, st.sampled_from(delays))
    reading = st.builds(Fault, st.sampled_from(reads), st.sampled_from(_KINDS), st.sampled_from([1, 1, 2, 4]), after)
    login = st.builds(Fault, st.just("token"), st.sampled_from(_LOGIN))
    some = st.tuples(writing, st.lists(st.one_of(writing, reading, reading, login), max_size=3))
    return st.one_of(some.map(lambda both: [both[0], *both[1]]), st.lists(reading, max_size=2))


@st.composite
def _orders(draw: st.DrawFn) -> Order:
    """Few references, so that old ones repeat, mostly with the content that they had before."""
    number = draw(st.integers(0, 5))
    other = draw(st.sampled_from(["", "", "", "amount", "consumer", "biller", "all"]))
    biller_id = {4: INACTIVE}.get(number, 2001)
    if other in {"biller", "all"}:
        biller_id = 2302
    return Order(
        f"ref {number}/é",
        biller_id,
        f"CN-{number % 2}" + ("-other" if other in {"consumer", "all"} else ""),
        Decimal(MOST + 1 if number == 5 else 10 + number % 2) + (5 if other in {"amount", "all"} else 0),
        fetched=biller_id != INACTIVE and draw(st.booleans()),
    )


_CREATING = _faults("creates", "bill_by_reference")
_CONFIRMING = _faults("confirm_debit", "bill", "search_bills")
# What EnKash does long after nobody looks for it any longer cannot be told from what it never does.
_CONFIRMING_AT_ONCE = _faults("confirm_debit", "bill", "search_bills", kinds=_KINDS, delays=[UNHURRIED])
_CANCELS = st.builds(Cancel, st.integers(0, 3), st.integers(0, 12))
_PERHAPS = st.one_of(st.none(), st.none(), _CANCELS)
_NUMBERS = st.lists(st.integers(0, 6), min_size=1, max_size=3)


class MoneyMachine(RuleBasedStateMachine):
    """Drives a real client against a real server."""

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._world: World | None = None

    @initialize(settle_after=st.sampled_from([0.0, math.inf]))
    def start(self, settle_after: float) -> None:
        self._world = World(settle_after)
        self._run(self._world.open())

    def teardown(self) -> None:
        if self._world is not None:
            self._run(self._world.close())
        self._runner.close()

    @property
    def world(self) -> World:
        assert self._world is not None
        return self._world

    def _run(self, work: Coroutine[Any, Any, object]) -> None:
        self._runner.run(work)

    def _ids(self, numbers: list[int]) -> list[str]:
        """Return ids of bills, unconfirmed ones first, and one id that no bill has.

        Without any bill it is that one. A precondition would make what is drawn depend on how fast the machine was, of
        which Hypothesis rightly complains.
        """
        known = sorted(self.world.payments(), key=lambda one: one.confirmed_at is not None)
        ids = [one.utility_enkash_id for one in known]
        return [ids[number % len(ids)] if ids and number < 6 else "UTIL-NOBODY" for number in numbers]

    @rule(order=_orders(), faults=_CREATING)
    def create(self, order: Order, faults: list[Fault]) -> None:
        self._run(self.world.create(order, faults))

    @rule(order=_orders(), faults=_CREATING, cancel=_CANCELS)
    def create_and_cancel(self, order: Order, faults: list[Fault], cancel: Cancel) -> None:
        self._run(self.world.create(order, faults, cancel))

    @rule(order=_orders(), faults=_CREATING)
    def create_in_two_places(self, order: Order, faults: list[Fault]) -> None:
        self._run(self.world.create_in_two_places(order, faults))

    @rule(
        orders=st.lists(_orders(), min_size=2, max_size=6),
        faults=_CREATING,
        cancel=_PERHAPS,
        concurrency=st.sampled_from([1, 3]),
    )
    def create_many(self, orders: list[Order], faults: list[Fault], cancel: Cancel | None, concurrency: int) -> None:
        self._run(self.world.create_many(orders, faults, cancel, concurrency=concurrency))

    @rule(numbers=_NUMBERS, faults=_CONFIRMING, cancel=_PERHAPS, check_first=st.booleans())
    def confirm(self, numbers: list[int], faults: list[Fault], cancel: Cancel | None, check_first: bool) -> None:
        self._run(self.world.confirm(self._ids(numbers), faults, cancel, check_first=check_first))

    @rule(faults=_CONFIRMING, cancel=_PERHAPS)
    def confirm_all(self, faults: list[Fault], cancel: Cancel | None) -> None:
        self._run(self.world.confirm(self._ids([0, 1, 2, 3, 4, 5, 6]), faults, cancel))

    @rule(numbers=_NUMBERS, faults=_CONFIRMING_AT_ONCE)
    def confirm_in_two_places(self, numbers: list[int], faults: list[Fault]) -> None:
        self._run(self.world.confirm_in_two_places(self._ids(numbers), faults))

    @rule(order=_orders(), faults=_CREATING)
    def reconcile(self, order: Order, faults: list[Fault]) -> None:
        self._run(self.world.reconcile(order.reference, faults))

    @rule(numbers=st.lists(st.integers(0, 6), min_size=1, max_size=6), faults=_CONFIRMING)
    def reconcile_payments(self, numbers: list[int], faults: list[Fault]) -> None:
        self._run(self.world.reconcile_payments(self._ids(numbers), faults))

    @rule(log_out=st.booleans())
    def come_back_later(self, log_out: bool) -> None:
        self._run(self.world.come_back_later())
        if log_out:
            self.world.sandbox.revoke_tokens()

    @rule()
    def finish(self) -> None:
        if len(self.world.payments()) > 3:
            self._run(self.world.finish())

    @invariant()
    def all_that_was_said_is_so(self) -> None:
        if self._world is not None:
            self.world.check()


def test_money_moves_once_whatever_goes_wrong() -> None:
    """After every step of a schedule of calls, cancellations and faults, ledger and answers agree."""
    run_state_machine_as_test(
        MoneyMachine,
        settings=settings(
            max_examples=30, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
