"""The machine of a bill's news, on its own and over a store."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from tokens.doubles import Clock

from enkash_async._news import machine
from enkash_async._news.machine import (
    Answer,
    Claim,
    Command,
    Done,
    Extend,
    Go,
    Hand,
    Held,
    Lost,
    Mine,
    Noted,
    Old,
    Release,
    decide,
)
from enkash_async._news.record import DURATIONS, NEWS, News
from enkash_async._news.records import NewsRecords, Shown
from enkash_async.errors import StoreError, StoreUnavailableError
from enkash_async.stores import Change, FallbackStore, MemoryStore
from enkash_async.webhooks import WebhookReceiver, WebhookVerifier

LEASE, KEEP = DURATIONS.lease, DURATIONS.keep
A, B, C = "a1" * 32, "b2" * 32, "c3" * 32


class Bill:
    """One record, by its own clock.

    Attributes:
        now: The store's clock.
        news: The record.
    """

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self.news: News | None = None

    def __call__(self, command: Command) -> Answer:
        before = self.news
        self.news, answer = decide(before, command, self.now)
        assert before is None or self.news is None or self.news is before or self.news.revision == before.revision + 1
        return answer

    def hears(self, by: str, state: str, *, ever: bool = False) -> bool:
        """Claim, hand over and commit; return whether the state was news."""
        assert isinstance(self(Claim(by)), Mine)
        answer = self(Hand(by, state, ever))
        if isinstance(answer, Go):
            assert self(Done(by, state, answer.number, ever)) == Noted(True)
            return True
        assert self(Release(by)) == Noted(True)
        return False


# --- the claim --------------------------------------------------------------------------------------------------------


def test_one_attempt_has_a_bill_in_hand_at_a_time() -> None:
    """Another one is told for how long, and gets the bill once it is given back."""
    bill = Bill()
    assert bill(Claim("one")) == Mine()
    bill.now += 10
    assert bill(Claim("two")) == Held(LEASE - 10)
    assert bill(Release("two")) == Noted(False)
    assert bill(Release("one")) == Noted(True)
    assert bill(Claim("two")) == Mine()


def test_a_claim_that_is_sent_again_is_the_same_claim() -> None:
    """Its lease begins anew."""
    bill = Bill()
    assert [bill(Claim("one")) for _ in range(2)] == [Mine(), Mine()]
    bill.now += LEASE - 1
    assert bill(Claim("one")) == Mine()
    bill.now += LEASE - 1
    assert bill(Claim("two")) == Held(1.0)


def test_a_lease_that_ends_is_taken_over_once() -> None:
    """The first attempt can then neither extend nor hand over nor release."""
    bill = Bill()
    bill(Claim("dead"))
    bill.now += LEASE
    assert bill(Claim("two")) == Mine()
    assert bill(Claim("three")) == Held(LEASE)
    assert bill(Extend("dead")) == Noted(False)
    assert bill(Hand("dead", A)) == Lost()
    assert bill(Release("dead")) == Noted(False)
    assert bill(Claim("three")) == Held(LEASE)


def test_a_lease_that_is_extended_goes_on() -> None:
    """Handing over extends it as well; nobody else can extend it."""
    bill = Bill()
    bill(Claim("one"))
    for command in (Extend("one"), Hand("one", A), Extend("one")):
        bill.now += LEASE - 1
        assert bill(Extend("two")) == Noted(False)
        bill(command)
    assert bill(Claim("two")) == Held(LEASE)


def test_a_lease_that_ended_unnoticed_is_still_ones_own() -> None:
    """Nobody else has claimed the bill meanwhile, so the attempt goes on."""
    bill = Bill()
    bill(Claim("one"))
    bill.now += 10 * LEASE
    assert isinstance(bill(Hand("one", A)), Go)
    assert bill(Claim("two")) == Held(LEASE)


def test_a_bill_without_news_leaves_no_record() -> None:
    """A post about a made-up bill takes no room once it is answered."""
    bill = Bill()
    bill(Claim("one"))
    bill(Release("one"))
    assert bill.news is None
    assert bill(Extend("one")) == Noted(False)
    assert bill.news is None


def test_a_clock_that_is_set_back_keeps_the_age_of_a_lease() -> None:
    """Another worker does not wait for the difference as well."""
    bill = Bill()
    bill(Claim("dead"))
    bill.now += 10
    bill(Extend("dead"))
    bill.now -= 3600
    assert bill(Claim("two")) == Held(LEASE)
    bill.now += LEASE
    assert bill(Claim("two")) == Mine()


# --- what is news -----------------------------------------------------------------------------------------------------


def test_a_state_is_news_if_it_differs_from_the_last_one() -> None:
    """A state that comes back is news too."""
    bill = Bill()
    assert [bill.hears("x", state) for state in (A, A, B, B, A, A)] == [True, False, True, False, True, False]
    assert bill(Claim("y")) == Mine(A)


def test_each_handing_over_has_a_number_of_its_own() -> None:
    """The same state has another number when it comes back."""
    bill = Bill()
    numbers = []
    for state in (A, B, A):
        bill(Claim("x"))
        go = bill(Hand("x", state))
        assert isinstance(go, Go)
        numbers.append(go.number)
        bill(Done("x", state, go.number))
    assert len(set(numbers)) == 3


def test_what_a_handler_failed_at_is_handed_over_again_under_the_same_number() -> None:
    """Also after a crash, when another worker takes over at the end of the lease."""
    bill = Bill()
    bill(Claim("dead"))
    first = bill(Hand("dead", A))
    bill.now += LEASE
    assert bill(Claim("two")) == Mine("")
    assert bill(Hand("two", A)) == first
    bill(Release("two"))
    bill(Claim("three"))
    assert bill(Hand("three", A)) == first


def test_after_a_failure_at_a_later_state_the_earlier_one_is_news() -> None:
    """The handler may have heard of the later one before it failed."""
    bill = Bill()
    bill.hears("x", A)
    bill(Claim("y"))
    bill(Hand("y", B))
    bill(Release("y"))
    assert bill.hears("z", A)


def test_commands_that_are_repeated_after_a_lost_reply_have_one_effect() -> None:
    """The answers are the same, and the record does not change."""
    bill = Bill()
    bill(Claim("one"))
    go = bill(Hand("one", A))
    assert bill(Hand("one", A)) == go
    assert isinstance(go, Go)
    for _ in range(3):
        assert bill(Done("one", A, go.number)) == Noted(True)
    assert bill.hears("two", A) is False


def test_a_handler_that_ends_after_a_later_one_began_makes_its_state_the_last() -> None:
    """The process stood still for longer than the lease: what it handed over is what the handler heard last."""
    bill = Bill()
    bill(Claim("slow"))
    go = bill(Hand("slow", A))
    assert isinstance(go, Go)
    bill.now += LEASE
    assert bill.hears("quick", B)
    assert bill(Done("slow", A, go.number)) == Noted(False)
    assert bill.hears("again", B), "the handler's last word would be that of the slow process"


def test_a_late_end_leaves_the_claim_of_the_other_attempt() -> None:
    """The other attempt is still at work; of its end it is unknown whether it came last."""
    bill = Bill()
    bill(Claim("slow"))
    slow = bill(Hand("slow", A))
    bill.now += LEASE
    bill(Claim("other"))
    other = bill(Hand("other", B))
    assert isinstance(slow, Go)
    assert isinstance(other, Go)
    assert bill(Done("slow", A, slow.number)) == Noted(False)
    assert bill(Claim("third")) == Held(LEASE)
    assert bill(Done("other", B, other.number)) == Noted(False)
    assert bill(Claim("third")) == Mine("")
    assert isinstance(bill(Hand("third", B)), Go)


def test_an_end_whose_record_has_gone_is_written_down_anew() -> None:
    """The store was emptied, or the handler took a week."""
    bill = Bill()
    bill(Claim("one"))
    go = bill(Hand("one", A))
    assert isinstance(go, Go)
    bill.news = None
    assert bill(Done("one", A, go.number)) == Noted(False)
    assert not bill.hears("two", A)


def test_a_state_that_comes_back_after_the_record_expired_has_a_number_of_its_own() -> None:
    """Otherwise a key in the user's database would take it for the state of before."""
    bill, numbers = Bill(now=KEEP * 2900 + 5), []
    for state in (A, B, A):
        bill(Claim("x"))
        go = bill(Hand("x", state))
        assert isinstance(go, Go)
        numbers.append(go.number)
        bill(Done("x", state, go.number))
        if state is B:
            bill.now += KEEP + 1
            bill.news = None
    assert numbers == sorted(set(numbers))


# --- without a client -------------------------------------------------------------------------------------------------


def test_without_a_client_every_post_of_before_is_old() -> None:
    """A post that comes again is no news, whatever came after it."""
    bill = Bill()
    assert [bill.hears("x", one, ever=True) for one in (A, B, A, C, B)] == [True, True, False, True, False]


def test_without_a_client_a_post_that_failed_is_handed_over_again_after_another() -> None:
    """The other post does not make it old."""
    bill = Bill()
    bill(Claim("x"))
    bill(Hand("x", A, ever=True))
    bill(Release("x"))
    assert [bill.hears("x", one, ever=True) for one in (B, A, A)] == [True, True, False]


def test_the_posts_of_a_bill_that_are_remembered_are_bounded() -> None:
    """The record stays small, however often a bill is posted."""
    bill = Bill()
    for number in range(200):
        assert bill.hears("x", f"{number:064}", ever=True)
    assert bill.news is not None
    assert len(NEWS.codec.encode(bill.news)) < 4096


# --- all schedules ----------------------------------------------------------------------------------------------------


@attrs.define
class _Worker:
    """Goes through the steps of a delivery, any of which may be its last, or take longer than the lease."""

    by: str
    step: str = "claim"
    state: str = ""
    number: int = 0


def _schedule(chance: random.Random) -> tuple[list[str], list[str], Bill]:
    """Run workers over one bill in a random order; return what EnKash said, what the handler heard, and the record."""
    bill, said, heard, workers = Bill(), ["s0"], list[str](), list[_Worker]()
    for number in range(60):
        if chance.random() < 0.2:
            said.append(f"s{chance.randrange(3)}")
        if chance.random() < 0.3:
            workers.append(_Worker(f"w{number}"))
        bill.now += chance.choice([0, 1, LEASE / 2, LEASE + 1])
        if workers:
            worker = chance.choice(workers)
            if (chance.random() < 0.1 and _may_die(bill, worker)) or _goes_on(bill, worker, said[-1], heard):
                workers.remove(worker)
    for worker in workers:  # those that are left come to their end, in the order in which they began
        while not _goes_on(bill, worker, said[-1], heard):
            bill.now += 1
    return said, heard, bill


def _may_die(bill: Bill, worker: _Worker) -> bool:
    """Whether a death here loses nothing: not after a handler that ended when another attempt had the claim."""
    is_held = bill.news is not None and bill.news.hold is not None and bill.news.hold.by == worker.by
    return worker.step != "done" or is_held


def _goes_on(bill: Bill, worker: _Worker, said: str, heard: list[str]) -> bool:
    """Take one step; return whether the worker is at its end."""
    if worker.step == "claim":
        if isinstance(bill(Claim(worker.by)), Held):
            return False
        worker.step, worker.state = "hand", said
    elif worker.step == "hand":
        answer = bill(Hand(worker.by, worker.state))
        if isinstance(answer, Old):
            bill(Release(worker.by))
            return True
        worker.step, worker.number = ("handler", answer.number) if isinstance(answer, Go) else ("claim", 0)
        worker.by += "'" * isinstance(answer, Lost)
    elif worker.step == "handler":
        heard.append(worker.state)
        worker.step = "done"
    elif bill(Done(worker.by, worker.state, worker.number)) == Noted(True):
        return True
    else:
        worker.step, worker.by = "claim", worker.by + "'"  # see what EnKash says now
    return False


def _last_words(seed: int) -> tuple[str, str]:
    """Return what EnKash said last and what the handler heard last, after one more look."""
    said, heard, bill = _schedule(random.Random(seed))
    bill.now += 2 * LEASE
    last = _Worker("last")
    while not _goes_on(bill, last, said[-1], heard):
        bill.now += 1
    return said[-1], heard[-1]


def test_the_last_word_is_enkashs_whatever_the_schedule() -> None:
    """Workers die, stand still beyond their lease, and overlap; one more look then brings the last state."""
    for seed in range(2000):
        said, heard = _last_words(seed)
        assert heard == said, f"seed {seed}"


def _told_ever(news: News, hand: Hand, now: float) -> tuple[News, Answer]:
    """Take a state for old that was handed over at any time before."""
    return _handed(news, attrs.evolve(hand, ever=True), now)


def _in_time_always(news: News, done: Done, is_mine: bool, now: float) -> tuple[News, Answer]:
    """Overlook that two attempts overlapped."""
    hold = None if is_mine else news.hold
    return attrs.evolve(news, told=(done.state,), is_open=False, hold=hold), Noted(True)


_handed = machine._handed


@pytest.mark.parametrize(("name", "defect"), [("_handed", _told_ever), ("_done", _in_time_always)])
def test_the_schedules_find_a_machine_with_a_defect(
    name: str, defect: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A control: with each of these rules, the handler's last word is sometimes not EnKash's."""
    monkeypatch.setattr(machine, name, defect)
    assert any(said != heard for said, heard in map(_last_words, range(2000)))


# --- over a store -----------------------------------------------------------------------------------------------------


async def test_of_many_who_claim_at_once_one_gets_the_bill() -> None:
    """Forty attempts ask through two sets of records."""
    store = MemoryStore()
    records = [NewsRecords(lambda: store, base_url="https://api.example") for _ in range(2)]
    answers = await asyncio.gather(*(records[n % 2].act("UTIL-1", Claim(f"w{n}")) for n in range(40)))
    assert answers.count(Mine()) == 1


async def test_records_of_other_hosts_and_other_services_do_not_meet() -> None:
    """Spellings of one host do."""
    store, bill = MemoryStore(), "UTIL-1"
    claimed = [
        await NewsRecords(lambda: store, base_url=url, name=name).act(bill, Claim(f"{number}"))
        for number, (url, name) in enumerate(
            [("https://a.example", ""), ("https://b.example", ""), ("https://a.example", "x"), ("", "")]
        )
    ]
    assert claimed == [Mine()] * 4
    again = await NewsRecords(lambda: store, base_url="https://A.example:443/").act(bill, Claim("other"))
    assert isinstance(again, Held)


async def test_a_record_is_kept_for_a_week_and_names_nobody() -> None:
    """It has hashes and a nonce, and the key has a hash."""
    clock = Clock()
    store = MemoryStore(clock=clock)
    records = NewsRecords(lambda: store, base_url="https://api.example")
    await records.act("UTIL-PRIVATE", Claim("w"))
    await records.act("UTIL-PRIVATE", Hand("w", A))
    ((key, (value, end)),) = store._held.items()
    assert key.startswith("enkash:event:v2:")
    assert "PRIVATE" not in key + value.decode()
    assert end == clock.now + KEEP
    clock.now += KEEP
    assert await records.show(["UTIL-PRIVATE"]) == {"UTIL-PRIVATE": Shown()}


async def test_records_show_what_the_handler_took_and_what_is_in_hand() -> None:
    """More than a thousand are read in several calls."""
    clock = Clock()
    store = MemoryStore(clock=clock)
    records = NewsRecords(lambda: store, base_url="https://api.example")
    for bill in ("done", "held"):
        await records.act(bill, Claim("w"))
        go = await records.act(bill, Hand("w", A))
        assert isinstance(go, Go)
        if bill == "done":
            await records.act(bill, Done("w", A, go.number))
    shown = await records.show(["done", "held", *(f"unknown-{n}" for n in range(1500))])
    assert shown["done"] == Shown(A, is_known=True)
    assert shown["held"] == Shown("", is_known=True, is_held=True)
    assert shown["unknown-7"] == Shown()
    clock.now += LEASE
    assert await records.show(["held"]) == {"held": Shown("", is_known=True)}


async def test_a_record_of_a_newer_version_is_left_as_it_is() -> None:
    """This version answers 503 to posts about the bill, and overwrites nothing."""
    store = MemoryStore()
    key, newer = NewsRecords(lambda: store, base_url="").key("UTIL-1"), b'{"format": 99, "record": {}}'
    await store.swap([Change(key, None, newer)])
    with pytest.raises(StoreError, match="format 99"):
        await NewsRecords(lambda: store, base_url="").act("UTIL-1", Claim("w"))
    headers = {"X-Key": "made-up"}
    receiver = WebhookReceiver(WebhookVerifier(headers), on_bill=print, store=store)
    assert await receiver.receive(headers, b'{"utilityEnkashId": "UTIL-1"}') == 503
    assert (await store.read([key]))[key].value == newer


class Evicting(MemoryStore):
    """A store whose server may evict records."""

    async def eviction_policy(self) -> str:
        return "allkeys-lru"


@pytest.mark.parametrize(
    ("store", "said"), [(Evicting(), "maxmemory-policy is allkeys-lru"), (FallbackStore(), "set ENKASH_STORE_URL")]
)
async def test_a_store_that_would_lose_events_is_refused(
    store: MemoryStore, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Posts are answered with 503, and the log says what to set."""
    with pytest.raises(StoreUnavailableError, match=said):
        await NewsRecords(lambda: store, base_url="https://api.example").act("UTIL-1", Claim("w"))
    headers, told = {"X-Key": "made-up"}, list[Any]()
    receiver = WebhookReceiver(WebhookVerifier(headers), on_bill=told.append, store=store)
    assert await receiver.receive(headers, b'{"utilityEnkashId": "UTIL-1"}') == 503
    assert told == []
    assert said in caplog.text


async def test_a_memory_without_a_file_serves_a_sandbox() -> None:
    """Nobody else receives posts from an EnKash on this machine."""
    records = NewsRecords(FallbackStore, base_url="http://127.0.0.1:8080")
    assert await records.act("UTIL-1", Claim("w")) == Mine()
