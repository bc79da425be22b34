"""The ledger: an EnKash in memory, without HTTP."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enkash_async.sandbox._accounts import LoginRefusal, LoginRefusedError, TokenState
from enkash_async.sandbox._catalogue import BILLERS, CIRCLES, categories
from enkash_async.sandbox._ledger import Ledger
from enkash_async.sandbox._payment import Stage, UtilityPayment
from enkash_async.sandbox._refusals import FetchFailedError, Refusal, RefusedError
from enkash_async.sandbox._search import MAX_RECORDS, Query
from enkash_async.tokens._credentials import Credentials

CREDENTIALS = Credentials("enkash-demo-client", "demo-secret", "ap-team@example.com", "demo-password", "CEKDEMO123")
OPENED = datetime(2025, 6, 2, 14, 24, 14, 670_000, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_000.0
        self.readings = 0

    def __call__(self) -> float:
        self.readings += 1
        return self.seconds


def numbered() -> Callable[[], str]:
    numbers = itertools.count(1)
    return lambda: f"{next(numbers):04d}"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(clock: Clock) -> Ledger:
    return Ledger(credentials=CREDENTIALS, clock=clock, opened_at=OPENED, new_id=numbered(), settle_after=10.0)


def create(
    ledger: Ledger, reference_id: str | None = None, *, amount: str = "250.50", biller_id: int = 2001, cn: str = "CN1"
) -> UtilityPayment:
    consumer = ledger.enrol(biller_id, {"cn": cn})
    bill = attrs.evolve(ledger.due(consumer), net_amount=Decimal(amount))
    return ledger.create(consumer, bill, reference_id=reference_id)


def refusal_of(action: Callable[[], object]) -> Refusal:
    with pytest.raises(RefusedError) as caught:
        action()
    return caught.value.refusal


class TestCatalogue:
    def test_the_catalogue_has_a_biller_for_each_case(self) -> None:
        """The catalogue has an inactive, a circle-bound, a failing, a rejecting and plain billers."""
        plain = [b for b in BILLERS if b.active and not b.circles and not b.fetch_failure and not b.rejections]
        assert len(BILLERS) >= 8
        assert plain[0].biller_id == 2001
        assert plain[0].biller_type == "ELECTRICITY"
        assert [wanted.key for wanted in plain[0].inputs] == ["cn"]
        assert any(not b.active for b in BILLERS)
        assert any(b.circles for b in BILLERS)
        assert any(b.fetch_failure for b in BILLERS)
        assert any(b.rejections for b in BILLERS)

    def test_biller_ids_are_unique_and_circles_are_known(self) -> None:
        """No biller of the catalogue hides another one."""
        assert len({b.biller_id for b in BILLERS}) == len(BILLERS)
        assert all(b.circles <= CIRCLES for b in BILLERS)

    def test_categories_count_their_billers(self) -> None:
        """The counts add up to the number of billers, so no biller is counted twice."""
        counted = categories(BILLERS)
        assert {"ELECTRICITY", "WATER", "BROADBAND", "GAS"} <= set(counted)
        assert sum(counted.values()) == len(BILLERS)


class TestLogin:
    def test_a_login_gives_a_token_that_is_good_for_its_lifetime(self, ledger: Ledger, clock: Clock) -> None:
        """The token is valid at once and expired when its lifetime is over."""
        ledger.token_lifetime = 60.0
        token = ledger.accounts.log_in(CREDENTIALS.username, CREDENTIALS.password)
        assert ledger.accounts.verify(token.access_token) is TokenState.VALID
        clock.seconds += 59.9
        assert ledger.accounts.verify(token.access_token) is TokenState.VALID
        clock.seconds += 0.1
        assert ledger.accounts.verify(token.access_token) is TokenState.EXPIRED

    def test_a_token_nobody_issued_is_unknown(self, ledger: Ledger) -> None:
        """The ledger knows neither a made-up token nor a revoked one."""
        token = ledger.accounts.log_in(CREDENTIALS.username, CREDENTIALS.password)
        ledger.revoke_tokens()
        assert ledger.accounts.verify(token.access_token) is TokenState.UNKNOWN
        assert ledger.accounts.verify("") is TokenState.UNKNOWN

    def test_a_second_login_leaves_the_first_token_good(self, ledger: Ledger) -> None:
        """Two workers can hold two valid tokens."""
        first, second = (ledger.accounts.log_in(CREDENTIALS.username, CREDENTIALS.password) for _ in range(2))
        assert first.access_token != second.access_token
        assert ledger.accounts.verify(first.access_token) is TokenState.VALID

    @staticmethod
    def refused(ledger: Ledger, password: str, username: str = CREDENTIALS.username) -> LoginRefusal:
        with pytest.raises(LoginRefusedError) as caught:
            ledger.accounts.log_in(username, password)
        return caught.value.refusal

    def test_three_wrong_logins_lock_the_account(self, ledger: Ledger) -> None:
        """The ledger refuses the right password too, until a test unlocks the account."""
        assert [self.refused(ledger, "wrong") for _ in range(3)] == [LoginRefusal.BAD_CREDENTIALS] * 3
        assert self.refused(ledger, CREDENTIALS.password) is LoginRefusal.LOCKED
        assert ledger.accounts.locked
        ledger.accounts.unlock()
        assert ledger.accounts.log_in(CREDENTIALS.username, CREDENTIALS.password).access_token

    def test_a_good_login_forgets_wrong_ones(self, ledger: Ledger) -> None:
        """The ledger locks at three wrong logins in a row alone."""
        for _ in range(3):
            self.refused(ledger, "wrong")
            self.refused(ledger, "wrong")
            ledger.accounts.log_in(CREDENTIALS.username, CREDENTIALS.password)
        assert not ledger.accounts.locked

    def test_another_user_name_does_not_lock_this_one(self, ledger: Ledger) -> None:
        """The refusal has the same words, so it does not tell which names exist."""
        for _ in range(4):
            assert self.refused(ledger, CREDENTIALS.password, "other@example.com") is LoginRefusal.BAD_CREDENTIALS
        assert not ledger.accounts.locked

    def test_the_form_may_repeat_the_client_id(self) -> None:
        """The form needs the header's client id where none is set for it."""
        ledger = Ledger(credentials=attrs.evolve(CREDENTIALS, form_client_id=None))
        ledger.accounts.check_client("enkash-demo-client", "demo-secret", "enkash-demo-client")
        assert ledger.company_id == "enkash-demo-client"

    def test_no_token_is_shown(self, ledger: Ledger) -> None:
        """The reprs of token and ledger hide the secrets."""
        token = ledger.accounts.log_in(CREDENTIALS.username, CREDENTIALS.password)
        assert token.access_token not in repr(token)
        assert token.access_token not in repr(ledger)
        assert CREDENTIALS.password not in repr(ledger)


class TestBills:
    def test_the_same_consumer_owes_the_same_amount_everywhere(self, ledger: Ledger) -> None:
        """Amount and ids depend on the consumer, not on the ledger or the day."""
        other = Ledger(credentials=CREDENTIALS)
        here, there = (one.enrol(2001, {"cn": "CN123456789"}) for one in (ledger, other))
        assert here.company_biller_id == there.company_biller_id
        assert ledger.fetch(here).bill_amount == other.fetch(there).bill_amount

    @given(cn=st.text(min_size=1))
    def test_every_amount_is_in_rupees_and_paise(self, cn: str) -> None:
        """Amounts are from 100.00 to 9999.99, lower when paid early and higher when late."""
        ledger = Ledger(credentials=CREDENTIALS, opened_at=OPENED)
        bill = ledger.due(ledger.enrol(2001, {"cn": cn}))
        assert Decimal(100) <= bill.bill_amount < Decimal(10_000)
        assert bill.bill_amount.as_tuple().exponent == -2
        assert bill.early_amount is not None
        assert bill.late_amount is not None
        assert bill.early_amount < bill.bill_amount < bill.late_amount

    def test_only_electricity_has_units(self, ledger: Ledger) -> None:
        """The ledger gives units to an electricity bill and None to a water bill."""
        assert ledger.due(ledger.enrol(2001, {"cn": "1"})).units is not None
        assert ledger.due(ledger.enrol(2101, {"cn": "1"})).units is None

    def test_the_bill_is_dated_in_indian_time(self, ledger: Ledger, clock: Clock) -> None:
        """The bill has the next day's date from 18:30 UTC on."""
        consumer = ledger.enrol(2001, {"cn": "1"})
        assert ledger.due(consumer).due_date == date(2025, 6, 12)
        clock.seconds += 5 * 3600
        assert ledger.due(consumer).due_date == date(2025, 6, 13)

    def test_enrolling_twice_is_one_enrolment(self, ledger: Ledger) -> None:
        """The ledger returns the first enrolment, because the call is «fetch or add»."""
        first = ledger.enrol(2001, {"cn": "1"})
        assert ledger.enrol(2001, {"cn": "1"}) is first
        assert ledger.enrolment(first.company_biller_id) is first

    def test_a_biller_that_does_not_answer_fails_the_fetch(self, ledger: Ledger) -> None:
        """The ledger enrols the consumer and has no bill."""
        consumer = ledger.enrol(2202, {"cn": "1"})
        with pytest.raises(FetchFailedError, match="did not answer"):
            ledger.fetch(consumer)

    @pytest.mark.parametrize(
        ("biller_id", "params", "circle", "refusal"),
        [
            (1, {"cn": "1"}, None, Refusal.UNKNOWN_BILLER),
            (2102, {"cn": "1"}, None, Refusal.INACTIVE_BILLER),
            (2002, {"cn": "1"}, None, Refusal.INVALID),
            (2001, {}, None, Refusal.INVALID),
            (2003, {"cn": "1"}, None, Refusal.INVALID),
            (2003, {"cn": "1"}, "KK", Refusal.INVALID),
        ],
    )
    def test_a_wrong_enrolment_is_refused(
        self, ledger: Ledger, biller_id: int, params: dict[str, str], circle: str | None, refusal: Refusal
    ) -> None:
        """The ledger refuses unknown and inactive billers, missing inputs and foreign circles."""
        assert refusal_of(lambda: ledger.enrol(biller_id, params, circle)) is refusal

    def test_the_facts_of_a_consumer_follow_from_who_it_is(self, ledger: Ledger) -> None:
        """The values of a changed copy are its own, and no caller can change them."""
        consumer, other = (ledger.enrol(2001, {"cn": cn}) for cn in ("CN1", "CN2"))
        assert other.digest != consumer.digest
        assert attrs.evolve(consumer, params={"cn": "CN2"}).digest == other.digest
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            consumer.digest = 0  # type: ignore[misc]

    def test_a_circle_of_the_biller_is_accepted(self, ledger: Ledger) -> None:
        """The same number in two circles is two consumers."""
        agra, surat = (ledger.enrol(2003, {"cn": "1"}, circle) for circle in ("AGRA", "SURAT"))
        assert agra.company_biller_id != surat.company_biller_id

    def test_an_unknown_enrolment_is_refused(self, ledger: Ledger) -> None:
        """The ledger creates no bill without a fetch before it."""
        assert refusal_of(lambda: ledger.enrolment("CB-1")) is Refusal.INVALID


class TestPayments:
    def test_a_created_bill_waits_for_approval(self, ledger: Ledger) -> None:
        """The bill does not settle by itself and nothing is debited."""
        payment = create(ledger, "inv-1")
        assert payment.stage is Stage.CREATED
        assert payment.created_at == OPENED
        assert ledger.get(payment.utility_enkash_id) == ledger.get_by_reference("inv-1") == payment
        assert ledger.debits == []

    def test_a_bill_without_reference_gets_one(self, ledger: Ledger) -> None:
        """The ledger makes one, because the reply always has a `referenceId`."""
        payment = create(ledger)
        assert ledger.get_by_reference(payment.reference_id) == payment

    def test_a_confirmed_bill_is_paid_when_its_time_has_come(self, ledger: Ledger, clock: Clock) -> None:
        """The date is that of settlement, not that of the read."""
        key = create(ledger).utility_enkash_id
        ledger.confirm([key], "approved by finance")
        assert ledger.get(key).stage is Stage.CONFIRMED
        assert ledger.get(key).approval_remarks == "approved by finance"
        clock.seconds += 9.999
        assert ledger.get(key).stage is Stage.CONFIRMED
        clock.seconds += 100
        paid = ledger.get(key)
        assert paid.stage is Stage.PAID
        assert paid.paid_at == OPENED + timedelta(seconds=10)
        assert paid.bill_reference_id is not None
        assert not paid.failed

    def test_a_rejected_payment_fails_and_is_refunded(self, ledger: Ledger, clock: Clock) -> None:
        """The refund can be set to come after the failure."""
        ledger.refund_after = 5.0
        key = create(ledger, biller_id=2302).utility_enkash_id
        ledger.confirm([key])
        clock.seconds += 10
        failing = ledger.get(key)
        assert (failing.stage, failing.failed, failing.refunded_at) == (Stage.REFUNDING, True, None)
        clock.seconds += 5
        refunded = ledger.get(key)
        assert refunded.stage is Stage.REFUNDED
        assert refunded.refunded_at == OPENED + timedelta(seconds=15)
        assert refunded.paid_at is None
        assert refunded.bill_reference_id is None

    def test_a_refund_comes_with_the_failure_by_default(self, ledger: Ledger, clock: Clock) -> None:
        """One read after the delay shows both."""
        key = create(ledger, biller_id=2302).utility_enkash_id
        ledger.confirm([key])
        clock.seconds += 10
        assert ledger.get(key).stage is Stage.REFUNDED

    def test_confirming_again_debits_nothing_more(self, ledger: Ledger, clock: Clock) -> None:
        """The ledger debits once for repeats in one call, in a second call and after settlement."""
        payment = create(ledger, "inv-1")
        key = payment.utility_enkash_id
        ledger.confirm([key, key])
        ledger.confirm([key])
        clock.seconds += 10
        ledger.confirm([key])
        assert [(debit.reference_id, debit.amount) for debit in ledger.debits] == [("inv-1", Decimal("250.50"))]
        assert ledger.get(key).stage is Stage.PAID

    def test_a_repeated_confirmation_can_be_made_to_debit_again(self, ledger: Ledger, clock: Clock) -> None:
        """Each call debits once, before and after settlement, and the payment does not change."""
        ledger.repeat_debits = True
        key = create(ledger, "inv-1").utility_enkash_id
        ledger.confirm([key, key], "first")
        clock.seconds += 5
        ledger.confirm([key], "second")
        clock.seconds += 5
        ledger.confirm([key])
        assert [(debit.reference_id, debit.amount) for debit in ledger.debits] == [("inv-1", Decimal("250.50"))] * 3
        assert [(debit.at - OPENED).total_seconds() for debit in ledger.debits] == [0, 5, 10]
        paid = ledger.get(key)
        assert (paid.stage, paid.approval_remarks, paid.confirmed_at) == (Stage.PAID, "first", OPENED)

    def test_repeated_debits_can_be_switched_at_any_time(self, ledger: Ledger) -> None:
        """The ledger debits a bill once by default and again only while `repeat_debits` is on."""
        key = create(ledger).utility_enkash_id
        for repeat, debits in ((False, 1), (True, 2), (False, 2)):
            ledger.repeat_debits = repeat
            ledger.confirm([key])
            assert len(ledger.debits) == debits

    def test_an_unknown_id_confirms_nothing(self, ledger: Ledger) -> None:
        """The ledger refuses the call, and its other ids stay unconfirmed."""
        key = create(ledger).utility_enkash_id
        assert refusal_of(lambda: ledger.confirm([key, "UTIL-none"])) is Refusal.NOT_FOUND
        assert ledger.get(key).stage is Stage.CREATED
        assert ledger.debits == []

    def test_a_settled_payment_stays_settled(self, ledger: Ledger, clock: Clock) -> None:
        """A longer delay that is set later does not undo the settlement."""
        key = create(ledger).utility_enkash_id
        ledger.confirm([key])
        clock.seconds += 10
        ledger.get(key)
        ledger.settle_after = math.inf
        assert ledger.get(key).stage is Stage.PAID

    def test_infinity_settles_nothing_until_it_is_changed(self, ledger: Ledger, clock: Clock) -> None:
        """A test can hold a payment open by an infinite delay."""
        ledger.settle_after = math.inf
        key = create(ledger).utility_enkash_id
        ledger.confirm([key])
        clock.seconds += 1e9
        assert ledger.get(key).stage is Stage.CONFIRMED
        ledger.settle_after = 0.0
        assert ledger.get(key).stage is Stage.PAID

    def test_a_reference_is_used_once(self, ledger: Ledger) -> None:
        """The ledger creates no second bill under the reference."""
        create(ledger, "inv-1")
        assert refusal_of(lambda: create(ledger, "inv-1", cn="CN2")) is Refusal.DUPLICATE_REFERENCE
        assert len(ledger.search()) == 1

    def test_a_bill_above_the_limit_is_refused(self, ledger: Ledger) -> None:
        """The ledger accepts the limit itself and refuses one paisa more."""
        create(ledger, amount="200000")
        assert refusal_of(lambda: create(ledger, amount="200000.01")) is Refusal.VELOCITY

    def test_one_bill_too_many_is_refused(self, ledger: Ledger) -> None:
        """The ledger reports a repeated reference before the limit."""
        ledger.max_creates = 1
        create(ledger, "inv-1")
        assert refusal_of(lambda: create(ledger, "inv-2")) is Refusal.VELOCITY
        assert refusal_of(lambda: create(ledger, "inv-1")) is Refusal.DUPLICATE_REFERENCE

    def test_an_unknown_payment_is_refused(self, ledger: Ledger) -> None:
        """The ledger uses EnKash's words for each of the two ids."""
        for ask in (ledger.get, ledger.get_by_reference):
            with pytest.raises(RefusedError, match=r"^No utility payment found$"):
                ask("none")

    @pytest.mark.parametrize("lifetime", [0.0, -1.0, math.inf, math.nan])
    def test_a_lifetime_that_cannot_be_announced_is_refused(self, ledger: Ledger, lifetime: float) -> None:
        """The ledger checks a lifetime when it is built and whenever it is set."""
        with pytest.raises(ValueError, match="token_lifetime"):
            Ledger(credentials=CREDENTIALS, token_lifetime=lifetime)
        with pytest.raises(ValueError, match="token_lifetime"):
            ledger.token_lifetime = lifetime

    @pytest.mark.parametrize("delay", [-1.0, math.nan])
    def test_a_negative_delay_is_refused(self, delay: float) -> None:
        """A payment cannot settle before it is confirmed."""
        with pytest.raises(ValueError, match="settle_after"):
            Ledger(credentials=CREDENTIALS, settle_after=delay)


class TestSearch:
    @pytest.fixture
    def three(self, ledger: Ledger, clock: Clock) -> list[UtilityPayment]:
        """An open bill of 100, a paid one of 200 and a refunded one of 300 rupees, a day between the first two."""
        create(ledger, "a", amount="100")
        clock.seconds += 86_400
        others = [create(ledger, "b", amount="200", cn="CN2"), create(ledger, "c", amount="300", biller_id=2302)]
        ledger.confirm([payment.utility_enkash_id for payment in others])
        clock.seconds += 10
        return ledger.search()

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            (Query(), "abc"),
            (Query(equal={"paymentStatus": "SUCCESS"}), "b"),
            (Query(equal={"billpayStatus": "FAILED"}), "c"),
            (Query(equal={"approvalStatus": "MAKER_APPROVAL_PENDING"}), "a"),
            (Query(equal={"billerType": "ELECTRICITY"}), "ab"),
            (Query(equal={"billerName": "Returning Gas Company"}), "c"),
            (Query(equal={"billerType": "ELECTRICITY", "consumerNumber": "CN1"}), "a"),
            (Query(one_of={"consumerNumbers": frozenset({"CN1"})}), "ac"),
            (Query(one_of={"statuses": frozenset({"SUCCESS", "REFUNDED"})}), "bc"),
            (Query(one_of={"billPayStatuses": frozenset({"PENDING"})}), "a"),
            (Query(one_of={"utilityEnkashIds": frozenset()}), ""),
            (Query(days={"createdDateFrom": date(2025, 6, 3)}), "bc"),
            (Query(days={"createdDateTo": date(2025, 6, 2)}), "a"),
            (Query(days={"createdDateFrom": date(2025, 6, 2), "createdDateTo": date(2025, 6, 3)}), "abc"),
            (Query(days={"billDueDateFrom": date(2025, 6, 13)}), "bc"),
            (Query(days={"paymentStartDate": date(2025, 1, 1)}), "b"),
            (Query(days={"billpayDateTo": date(2025, 6, 2)}), ""),
            (Query(days={"refundDateFrom": date(2025, 1, 1)}), "c"),
            (Query(amount_from=Decimal(200)), "bc"),
            (Query(amount_to=Decimal(200)), "ab"),
            (Query(offset=1, limit=1), "b"),
            (Query(offset=3), ""),
        ],
    )
    def test_all_conditions_have_to_hold(
        self, ledger: Ledger, three: list[UtilityPayment], query: Query, found: str
    ) -> None:
        """Ranges include both ends, days are India's, and the order is that of creation."""
        assert len(three) == 3
        assert "".join(payment.reference_id for payment in ledger.search(query)) == found

    def test_ids_of_every_kind_find_their_payment(self, ledger: Ledger, three: list[UtilityPayment]) -> None:
        """The query finds it by EnKash's id, the enrolment's, the BBPS reference and the bill number."""
        paid = three[1]
        assert paid.bill_reference_id is not None
        assert paid.bill.bill_number is not None
        for query in (
            Query(equal={"utilityEnkashId": paid.utility_enkash_id}),
            Query(equal={"billReferenceId": paid.bill_reference_id}),
            Query(equal={"billNumber": paid.bill.bill_number}),
            Query(one_of={"companyBillerIds": frozenset({paid.company_biller.company_biller_id})}),
            Query(one_of={"utilityEnkashIds": frozenset({paid.utility_enkash_id, "other"})}),
        ):
            assert ledger.search(query) == [paid]

    @given(st.data())
    def test_naming_ids_finds_what_looking_at_all_bills_finds(self, data: st.DataObject) -> None:
        """Both results are equal, in order, for any other conditions; unknown ids find nothing."""
        ledger = Ledger(credentials=CREDENTIALS)
        keys = [create(ledger, amount=str(100 + number % 3)).utility_enkash_id for number in range(8)]
        ids = st.sampled_from([*keys, "UTIL-none"])
        query = Query(
            equal=data.draw(st.just({}) | ids.map(lambda key: {"utilityEnkashId": key})),
            one_of=data.draw(st.just({}) | st.frozensets(ids).map(lambda some: {"utilityEnkashIds": some})),
            amount_from=data.draw(st.none() | st.just(Decimal(101))),
            offset=data.draw(st.integers(0, 3)),
            limit=data.draw(st.integers(1, 8)),
        )
        assert ledger.search(query) == query.select(ledger.search())

    @pytest.mark.parametrize(
        "query",
        [
            lambda key: Query(equal={"utilityEnkashId": key}),
            lambda key: Query(one_of={"utilityEnkashIds": frozenset({key, "UTIL-none"})}),
        ],
    )
    def test_naming_an_id_looks_at_no_other_bill(
        self, ledger: Ledger, clock: Clock, query: Callable[[str], Query]
    ) -> None:
        """The query stays quick for a poller that asks for a few bills among thousands."""
        key = [create(ledger).utility_enkash_id for _ in range(50)][25]
        before = clock.readings
        assert [payment.utility_enkash_id for payment in ledger.search(query(key))] == [key]
        assert clock.readings == before + 1

    def test_no_more_than_five_thousand_come_back(self, ledger: Ledger) -> None:
        """The query caps the caller's limit at EnKash's own."""
        payment = create(ledger)
        assert len(Query(limit=10_000).select([payment] * (MAX_RECORDS + 1))) == MAX_RECORDS


def test_the_default_ledger_makes_unlike_ids() -> None:
    """Two ledgers draw random ids by default."""
    ledger = Ledger(credentials=CREDENTIALS)
    assert create(ledger).utility_enkash_id != create(ledger).utility_enkash_id
