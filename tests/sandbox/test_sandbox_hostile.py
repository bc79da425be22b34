"""The options that make the sandbox hostile: what shows late, what is debited unasked, what is confirmed in part."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import attrs
import pytest

from enkash_async import Bill, BillFilter, EnkashClient, NotFoundError
from enkash_async.errors import BadRequestError
from enkash_async.sandbox import Sandbox
from enkash_async.sandbox._ledger import Ledger
from enkash_async.sandbox._payment import Stage, UtilityPayment
from enkash_async.sandbox._refusals import Refusal, RefusedError
from enkash_async.sandbox._search import Query
from enkash_async.tokens._credentials import Credentials

from support import confirm_unrecorded

CREDENTIALS = Credentials("enkash-demo-client", "demo-secret", "ap-team@example.com", "demo-password", "CEKDEMO123")
BACK_AND_FORTH, TWICE_BACK, UNCONFIRMABLE = 2303, 2304, 2305


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


Make = Callable[..., Ledger]


@pytest.fixture
def make(clock: Clock) -> Make:
    return lambda **options: Ledger(**{"credentials": CREDENTIALS, "clock": clock, "settle_after": 10.0, **options})


def create(ledger: Ledger, *references: str, biller_id: int = 2001) -> list[str]:
    consumer = ledger.enrol(biller_id, {"cn": "CN1"})
    due = ledger.due(consumer)
    return [ledger.create(consumer, due, reference_id=one).utility_enkash_id for one in references]


def read(ledger: Ledger, key: str) -> Stage | None:
    """Return the stage that a look-up shows, or None where it finds nothing."""
    try:
        return ledger.look_up(ledger.get(key)).stage
    except RefusedError as refused:
        assert refused.refusal is Refusal.NOT_FOUND
        return None


def found(ledger: Ledger) -> list[Stage]:
    return [payment.stage for payment in ledger.find(Query())]


class TestLateDisplay:
    def test_a_look_up_shows_each_change_after_its_lag(self, make: Make, clock: Clock) -> None:
        """A new bill is not found, then unconfirmed, then settled; the search is up to date."""
        ledger = make(read_lag=4.0)
        (key,) = create(ledger, "inv-1")
        seen: list[tuple[Stage | None, list[Stage]]] = []
        for seconds in (0.0, 3.9, 4.0, 5.0, 9.0, 15.0, 19.0):
            clock.seconds = seconds
            if seconds == 5.0:
                ledger.confirm([key])
            seen.append((read(ledger, key), found(ledger)))
        assert [shown for shown, _ in seen] == [
            *(None, None, Stage.CREATED, Stage.CREATED, Stage.CONFIRMED, Stage.CONFIRMED, Stage.PAID)
        ]
        assert [stage for _, (stage,) in seen] == [Stage.CREATED] * 3 + [Stage.CONFIRMED] * 2 + [Stage.PAID] * 2

    def test_a_search_shows_each_change_after_its_own_lag(self, make: Make, clock: Clock) -> None:
        """The look-up is up to date, and the search finds the bill four seconds later."""
        ledger = make(search_lag=4.0)
        (key,) = create(ledger, "inv-1")
        assert (read(ledger, key), found(ledger)) == (Stage.CREATED, [])
        clock.seconds = 4.0
        assert found(ledger) == [Stage.CREATED]

    def test_a_search_filters_by_what_it_shows(self, make: Make) -> None:
        """A bill that shows as unconfirmed is found as such, although it is confirmed."""
        ledger = make()
        (key,) = create(ledger, "inv-1")
        ledger.search_lag = 4.0
        ledger.confirm([key])
        assert len(ledger.find(Query(equal={"paymentStatus": "INIT"}))) == 1
        assert ledger.find(Query(equal={"paymentStatus": "IN_PROCESS"})) == []

    def test_a_search_can_be_made_never_to_show_the_end(self, make: Make, clock: Clock) -> None:
        """Once the lag is infinite, the search shows the bill as it was; the look-up shows it paid."""
        ledger = make()
        (key,) = create(ledger, "inv-1")
        ledger.search_lag = math.inf
        ledger.confirm([key])
        clock.seconds = 1e6
        assert (read(ledger, key), found(ledger)) == (Stage.PAID, [Stage.CREATED])

    def test_a_shorter_lag_overtakes_and_nothing_goes_back(self, make: Make, clock: Clock) -> None:
        """The later change shows first, and the earlier one no more when its time comes."""
        ledger = make(read_lag=8.0, settle_after=2.0)
        (key,) = create(ledger, "inv-1")
        ledger.read_lag = 0.0
        ledger.confirm([key])
        assert read(ledger, key) is Stage.CONFIRMED
        clock.seconds = 1.0
        ledger.read_lag = 100.0
        assert read(ledger, key) is Stage.CONFIRMED
        clock.seconds = 8.0
        assert read(ledger, key) is Stage.CONFIRMED
        clock.seconds = 102.0
        assert read(ledger, key) is Stage.PAID

    def test_the_ledger_itself_knows_what_is_true(self, make: Make) -> None:
        """A test reads the present state from the ledger, whatever the API shows."""
        ledger = make(read_lag=math.inf, search_lag=math.inf)
        (key,) = create(ledger, "inv-1")
        assert ledger.get(key) == ledger.get_by_reference("inv-1") == ledger.search()[0]

    @pytest.mark.parametrize("wrong", [{"read_lag": -1.0}, {"search_lag": math.nan}, {"confirm_style": "some"}])
    def test_an_option_that_means_nothing_is_refused(self, make: Make, wrong: dict[str, Any]) -> None:
        """The message names the option."""
        with pytest.raises(ValueError, match=next(iter(wrong))):
            make(**wrong)


class TestAccounts:
    def test_a_create_can_be_the_debit(self, make: Make, clock: Clock) -> None:
        """The bill is debited once and settles without a confirmation; a confirmation debits it again."""
        ledger = make(debit_on_create=True, repeat_debits=True)
        (key,) = create(ledger, "inv-1")
        assert (ledger.get(key).stage, ledger.debit_counts()) == (Stage.CONFIRMED, {"inv-1": 1})
        clock.seconds = 10.0
        assert ledger.get(key).stage is Stage.PAID
        ledger.confirm([key])
        assert ledger.debit_counts() == {"inv-1": 2}

    def test_a_created_bill_can_have_another_amount(self, make: Make) -> None:
        """The fetch shows what is due, and the debit takes as much more as the option says."""
        ledger = make(amount_shift=Decimal("58743.25"))
        consumer = ledger.enrol(2001, {"cn": "CN1"})
        due = ledger.fetch(consumer).net_amount
        ledger.confirm([ledger.create(consumer, ledger.due(consumer)).utility_enkash_id])
        assert [debit.amount - due for debit in ledger.debits] == [Decimal("58743.25")]

    def test_a_bill_without_a_debit_counts_none(self, make: Make) -> None:
        """The counts name every bill."""
        ledger = make()
        _, second = create(ledger, "inv-1", "inv-2")
        ledger.confirm([second])
        assert dict(ledger.debit_counts()) == {"inv-1": 0, "inv-2": 1}


class TestRejectedPayments:
    @staticmethod
    def course(ledger: Ledger, clock: Clock, biller_id: int) -> list[UtilityPayment]:
        """Return every state that a bill goes through."""
        states: list[UtilityPayment] = []
        ledger.on_change = states.append
        ledger.confirm(create(ledger, "inv-1", biller_id=biller_id))
        for _ in range(100):
            clock.seconds += 1.0
            ledger.search()
        return states

    @pytest.mark.parametrize(
        ("biller_id", "stages", "ends"),
        [
            (2302, [Stage.REFUNDING, Stage.REFUNDED], [10, 14]),
            (BACK_AND_FORTH, [Stage.REFUNDING, Stage.REINITIATED, Stage.PAID], [10, 14, 24]),
            (
                TWICE_BACK,
                [Stage.REFUNDING, Stage.REINITIATED, Stage.REFUNDING, Stage.REFUNDED],
                [10, 14, 24, 28],
            ),
        ],
    )
    def test_a_rejected_payment_may_be_tried_again(
        self, make: Make, clock: Clock, biller_id: int, stages: list[Stage], ends: list[int]
    ) -> None:
        """FAILED with REFUND_IN_PROGRESS ends as REFUNDED, or goes on as REINITIATE to either end; one debit in all."""
        ledger = make(refund_after=4.0)
        states = self.course(ledger, clock, biller_id)
        assert [one.stage for one in states] == [Stage.CREATED, Stage.CONFIRMED, *stages]
        assert [(one.since - ledger.opened_at).total_seconds() for one in states[2:]] == ends
        assert len(ledger.debits) == 1

    async def test_the_words_are_those_of_enkash(self) -> None:
        """A look-up shows REINITIATE without a reason of failure, and FAILED with one."""
        clock = Clock()
        async with (
            Sandbox(clock=clock, settle_after=10.0, refund_after=4.0) as sandbox,
            EnkashClient.from_credentials(sandbox.base_url, sandbox.credentials) as client,
        ):
            (key,) = create(sandbox.ledger, "inv-1", biller_id=BACK_AND_FORTH)
            sandbox.ledger.confirm([key])
            shown: list[tuple[Any, ...]] = []
            for seconds in (10.0, 14.0, 24.0):
                clock.seconds = seconds
                bill = await client.bills.get(key)
                shown.append((bill.billpay_status, bill.payment_status, bill.failure_reason is None))
        assert [tuple(map(str, one)) for one in shown] == [
            ("FAILED", "REFUND_IN_PROGRESS", "False"),
            ("REINITIATE", "IN_PROCESS", "True"),
            ("SUCCESS", "SUCCESS", "True"),
        ]


class TestConfirmStyles:
    """A confirmation of a good bill, a bad one and a good one."""

    @staticmethod
    def ids(ledger: Ledger) -> list[str]:
        first, last = create(ledger, "first", "last")
        return [first, *create(ledger, "bad", biller_id=UNCONFIRMABLE), last]

    @pytest.mark.parametrize(("style", "first"), [("whole", 0), ("until_bad", 1)])
    def test_a_bad_id_can_stop_a_confirmation_on_its_way(self, make: Make, style: Any, first: int) -> None:
        """The call is refused either way, and the bill before the bad one is debited or is not."""
        ledger = make(confirm_style=style)
        with pytest.raises(RefusedError) as caught:
            ledger.confirm(self.ids(ledger))
        assert caught.value.refusal is Refusal.NOT_CONFIRMABLE
        assert ledger.debit_counts() == {"first": first, "last": 0, "bad": 0}

    def test_an_unknown_id_is_as_bad(self, make: Make) -> None:
        """The bill before it is debited."""
        ledger = make(confirm_style="until_bad")
        (key,) = create(ledger, "inv-1")
        with pytest.raises(RefusedError):
            ledger.confirm([key, "UTIL-none"])
        assert ledger.debit_counts() == {"inv-1": 1}

    def test_a_success_can_name_the_bad_ids(self, make: Make) -> None:
        """Both good bills are debited, and the bad id comes with its reason."""
        ledger = make(confirm_style="report_bad")
        first, bad, last = self.ids(ledger)
        done = ledger.confirm([first, bad, last])
        assert [payment.utility_enkash_id for payment in done.payments] == [first, last]
        assert done.refused == {bad: "The bill cannot be approved"}
        assert ledger.debit_counts() == {"first": 1, "last": 1, "bad": 0}


@attrs.frozen
class Office:
    """A sandbox and a client of it."""

    sandbox: Sandbox
    client: EnkashClient

    async def create(self) -> Bill:
        return await self.client.bills.create(2001, {"cn": "CN1"}, bill_amount=500, reference_id="inv-1")


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    sandbox = Sandbox(settle_after=math.inf, repeat_debits=True, debit_on_create=True, amount_shift=Decimal(7))
    async with sandbox, EnkashClient.from_credentials(sandbox.base_url, sandbox.credentials) as client:
        yield Office(sandbox, client)


class TestOverHttp:
    async def test_a_debit_with_another_amount_comes_with_the_create(self, office: Office) -> None:
        """The reply to the create shows the amount, and the sandbox counts the debit."""
        bill = await office.create()
        assert bill.amount == 507
        assert office.sandbox.debits == {"inv-1": 1}

    async def test_look_ups_and_searches_lag_apart(self, office: Office) -> None:
        """Both look-ups miss a bill that the search finds."""
        office.sandbox.ledger.read_lag = math.inf
        bill = await office.create()
        for lookup in (office.client.bills.get, office.client.bills.get_by_reference):
            with pytest.raises(NotFoundError):
                await lookup(bill.utility_enkash_id if lookup == office.client.bills.get else "inv-1")
        assert [one.reference_id async for one in office.client.bills.search(BillFilter())] == ["inv-1"]
        office.sandbox.ledger.search_lag = math.inf
        await office.client.bills.create(2001, {"cn": "CN1"}, bill_amount=500, reference_id="inv-2")
        assert [one.reference_id async for one in office.client.bills.search(BillFilter())] == ["inv-1"]

    async def test_an_unconfirmable_bill_is_a_bad_request(self, office: Office) -> None:
        """The client is told that the bill cannot be approved."""
        office.sandbox.ledger.debit_on_create = False
        bill = await office.client.bills.create(UNCONFIRMABLE, {"cn": "CN1"}, bill_amount=500, reference_id="inv-1")
        with pytest.raises(BadRequestError, match="cannot be approved"):
            await office.client.payments.confirm_debit([bill.utility_enkash_id])
        assert office.sandbox.debits == {"inv-1": 0}

    async def test_the_reply_to_a_confirmation_can_name_the_bad_ids(self, office: Office) -> None:
        """The envelope says success, and the payload lists the bill that is not debited."""
        ledger = office.sandbox.ledger
        ledger.debit_on_create, ledger.confirm_style = False, "report_bad"
        good, (bad,) = create(ledger, "good"), create(ledger, "bad", biller_id=UNCONFIRMABLE)
        payload = await confirm_unrecorded(office.client, [*good, bad])
        assert payload == {"failed": [{"utilityEnkashId": bad, "failureReason": "The bill cannot be approved"}]}
        assert office.sandbox.debits == {"good": 1, "bad": 0}
