"""Concurrent confirmations of the same bills: one call sends each bill, and the other calls wait for it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from _money.office import WINDOW, Office, all_of, confirm, keys
from hypothesis import given, settings
from hypothesis import strategies as st

from enkash_async import MemoryStore, OutcomeUnknownError, RetryAdvice
from enkash_async.errors import BadRequestError, EnkashError, ServerError
from enkash_async.resources.payments import Payments

from support import leaping

REFUSED = BadRequestError("one of them will not do", status=400)


async def _settle() -> None:
    """Let all ready tasks run; no time passes."""
    for _ in range(300):
        await asyncio.sleep(0)


# --- two calls --------------------------------------------------------------------------------------------------------


@leaping
async def test_a_call_that_reads_slowly_keeps_its_claim() -> None:
    """Prevents a double debit: while call 1 reads A, call 2 does not confirm it, and says when to come again."""
    office = Office()
    office.is_vague = True  # so that bills are read singly
    client, answer = office.client(), office.hold("E")
    large = confirm(client, "ABCDE")
    await office.is_held("E")
    with pytest.raises(OutcomeUnknownError) as caught:
        await client.confirm_debit(["A"])
    assert caught.value.retry is RetryAdvice.LATER
    assert caught.value.retry_after is not None
    assert 180 < caught.value.retry_after <= 200
    await asyncio.sleep(60)  # the claim is renewed before it is written over
    answer.set()
    assert keys((await large).succeeded) == list("ABCDE")
    assert keys((await confirm(client, "A")).succeeded) == ["A"]
    assert (sorted(office.debits), len(office.puts)) == (list("ABCDE"), 1)


@pytest.mark.parametrize("elsewhere", [False, True])
@leaping
async def test_two_calls_at_once_both_succeed_with_one_confirmation(elsewhere: bool) -> None:
    """The second call, of another client too, waits for the first one and finds the bill confirmed."""
    office, store = Office(), MemoryStore()
    client, answer = office.client(store), office.hold(1)
    one = confirm(client, "AB")
    await office.is_held(1)
    other = confirm(office.client(store) if elsewhere else client, "AB")
    await _settle()
    assert not other.done()
    answer.set()
    assert [keys(result.succeeded) for result in await asyncio.gather(one, other)] == [["A", "B"]] * 2
    assert (office.puts, office.debits) == ([["A", "B"]], ["A", "B"])


@leaping
async def test_a_bill_that_nobody_is_at_work_on_does_not_wait() -> None:
    """A call waits for the bills that another call has claimed and for no others."""
    office = Office()
    client, answer = office.client(), office.hold(1)
    one = confirm(client, "AB")
    await office.is_held(1)
    assert keys((await confirm(client, "CD")).succeeded) == ["C", "D"]
    answer.set()
    await one
    assert sorted(office.debits) == list("ABCD")


@settings(max_examples=60)
@given(st.lists(st.lists(st.sampled_from("ABCD"), min_size=1, unique=True), min_size=2, max_size=5))
@leaping
async def test_calls_that_overlap_do_not_wait_for_each_other_for_ever(calls: list[list[str]]) -> None:
    """Calls that name the bills in any order all succeed and debit each bill once."""
    office = Office()
    client = office.client()
    results = await asyncio.gather(*(confirm(client, ids) for ids in calls))
    assert [keys(result.succeeded) for result in results] == calls
    assert sorted(office.debits) == sorted({one for ids in calls for one in ids})


# --- calls that break off ---------------------------------------------------------------------------------------------


async def _cut_off(office: Office, client: Payments, ids: str, at: str | int, **how: Any) -> None:
    """Cancel a call while that read or that confirmation is in flight."""
    office.hold(at)
    call = confirm(client, ids, **how)
    await office.is_held(at)
    call.cancel()
    await asyncio.wait([call])
    assert call.cancelled()
    office.held.clear()
    office.waiting.clear()


@pytest.mark.parametrize("at", ["B", 1])
@leaping
async def test_a_call_that_was_cancelled_leaves_its_bills_to_others(at: str | int) -> None:
    """Claims are given back at once; what was sent is found out by another call, whether it waits or comes later."""
    office = Office()
    client, _ = office.client(), office.hold(at)
    call = confirm(client, "ABC")
    await office.is_held(at)
    waiting = confirm(client, "CB")
    await _settle()
    office.held.clear()
    call.cancel()
    assert keys((await waiting).succeeded) == ["C", "B"]
    assert keys((await confirm(client, "ABC")).succeeded) == list("ABC")
    assert sorted(office.debits) == list("ABC")


@settings(max_examples=60)
@given(st.integers(0, 120), st.integers(2, 6))
@leaping
async def test_a_call_cancelled_at_any_await_gives_back_what_it_did_not_send(turns: int, count: int) -> None:
    """Afterwards each bill has no record, or one that says sent; none stays claimed."""
    office = Office()
    ids = [f"U-{number}" for number in range(count)]
    client = office.client()
    call = confirm(client, ids)
    for _ in range(turns):
        await asyncio.sleep(0)
    call.cancel()
    await asyncio.wait([call])
    states = {record.state for record in await client.debits(ids)}
    assert len(states) == 1
    assert states <= ({"sent", "accepted"} if office.puts else {"none", "sent"})
    assert "claimed" not in states
    assert not (states == {"sent"} and not office.puts)


@leaping
async def test_a_bill_that_was_sent_and_can_no_longer_be_read_is_unknown() -> None:
    """The bill is not `not_sent`, because the cancelled call's confirmation is in flight."""
    office = Office()
    client = office.client()
    await _cut_off(office, client, "A", at=1)
    office.ends["A"] = ServerError("away", status=502)
    result = await confirm(client, "AB")
    assert (keys(result.unknown), keys(result.succeeded), result.not_sent) == (["A"], ["B"], ())
    error = result.unknown[0].error
    assert isinstance(error, OutcomeUnknownError)
    assert error.utility_enkash_ids == ("A",)
    assert error.retry is RetryAdvice.LATER
    await asyncio.sleep(WINDOW)
    office.land()
    assert sorted(office.debits) == ["A", "B"]


@leaping
async def test_a_bill_that_was_never_sent_and_cannot_be_read_is_not_sent() -> None:
    """The bill is `not_sent`, because no confirmation of it is in flight."""
    office = Office()
    office.ends["A"] = ServerError("away", status=502)
    result = await confirm(office.client(), "AB")
    assert (keys(result.not_sent), keys(result.succeeded), office.debits) == (["A"], ["B"], ["B"])


@pytest.mark.parametrize("ids", ["ABC", "ABCDE"])
@leaping
async def test_a_search_that_lags_behind_does_not_have_anything_sent_again(ids: str) -> None:
    """The read of the single bill shows the confirmation, and it outweighs the stale search."""
    office = Office()
    office.search_lags = True
    client = office.client()
    await _cut_off(office, client, ids, at=1, check_first=False)
    assert keys((await confirm(client, ids)).succeeded) == list(ids)
    assert (office.puts, office.debits) == ([list(ids)], list(ids))


@pytest.mark.parametrize("at", ["B", 1])
@leaping
async def test_a_call_that_breaks_off_unexpectedly_leaves_its_bills_to_others(at: str | int) -> None:
    """The error names the unknown bills and the cause; the next call claims them once nothing is under way."""
    office = Office()
    client, broken = office.client(settle=300), ValueError("a bug")
    office.ends[at] = broken
    with pytest.raises(OutcomeUnknownError, match=r"payments\.confirm_debit broke off with \w+") as caught:
        await client.confirm_debit(list("ABC"))
    assert caught.value.utility_enkash_ids == tuple("ABC")
    cause = caught.value.__cause__
    assert broken in (cause.exceptions if isinstance(cause, ExceptionGroup) else (cause,))
    office.ends.clear()
    assert keys((await confirm(client, "CBA")).succeeded) == list("CBA")
    assert sorted(office.debits) == list("ABC")


@leaping
async def test_a_portion_that_breaks_off_unexpectedly_does_not_cut_off_the_others() -> None:
    """One of three concurrent calls is unknown by name, and the other two come to their end."""
    office, ids = Office(), [f"U-{number}" for number in range(2500)]
    office.ends[1] = KeyError("a bug")
    result = await confirm(office.client(), ids, check_first=False)
    assert (len(result.unknown), len(result.succeeded)) == (1000, 1500)
    (error,) = {item.error for item in result.unknown}
    assert isinstance(error, OutcomeUnknownError)
    assert (error.utility_enkash_ids, type(error.__cause__)) == (tuple(keys(result.unknown)), KeyError)
    assert sorted(office.debits) == sorted(keys(result.succeeded))


# --- whatever happens -------------------------------------------------------------------------------------------------

_calls = st.tuples(
    st.lists(st.sampled_from("ABCDE"), min_size=1, unique=True),
    st.integers(0, 60),  # turns of the loop after which it is begun
    st.one_of(st.none(), st.integers(0, 60)),  # and further ones after which it is cancelled
)


@settings(max_examples=100)
@given(st.lists(_calls, min_size=2, max_size=4), st.sets(st.integers(1, 4), max_size=2), st.booleans())
@leaping
async def test_no_bill_is_debited_twice_under_any_cancellation(
    plans: list[tuple[list[str], int, int | None]], refused: set[int], elsewhere: bool
) -> None:
    """With refusals and cancellations at any moment, calls after the window find every bill and finish the rest."""
    office, store = Office(), MemoryStore()
    client = office.client(store)
    office.ends.update(dict.fromkeys(refused, REFUSED))

    async def begin(ids: list[str], begins: int, ends: int | None) -> None:
        for _ in range(begins):
            await asyncio.sleep(0)
        call = confirm(office.client(store) if elsewhere else client, ids)
        if ends is not None:
            for _ in range(ends):
                await asyncio.sleep(0)
            call.cancel()
        await asyncio.wait([call])
        assert call.cancelled() or isinstance(call.exception(), (EnkashError, type(None)))

    await asyncio.gather(*(begin(*plan) for plan in plans))
    office.ends.clear()
    result = await confirm(office.client(store, settle=500), "ABCDE")
    office.land()
    assert (keys(result.succeeded), all_of(result)) == (list("ABCDE"), list("ABCDE"))
    assert sorted(office.debits) == list("ABCDE")
