"""What changed at EnKash without a post having come."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import attrs
import pytest
from aiohttp import web
from webhooks.doubles import HEADERS, VERIFIER, Handler, Other, Pauses, create, post

from enkash_async import EnkashClient, MemoryStore, Outcome
from enkash_async.errors import InvalidRequestError
from enkash_async.sandbox import Sandbox
from enkash_async.sandbox._payment import Stage
from enkash_async.webhooks import WebhookReceiver


def _hour_ago() -> datetime:
    return datetime.now(UTC) - timedelta(hours=1)


async def _missed(client: EnkashClient, **how: Any) -> list[str]:
    return [bill.utility_enkash_id async for bill in client.webhooks.missed(_hour_ago(), **how)]


async def test_a_bill_that_was_paid_without_a_post_is_missed_until_it_is_handled(
    sandbox: Sandbox, client: EnkashClient
) -> None:
    """It comes once, although several searches show it, as EnKash shows it now."""
    handler, bill = Handler(), create(sandbox)
    sandbox.ledger.confirm([bill])
    receiver = WebhookReceiver(VERIFIER, client=client, on_bill=handler)
    found = [each async for each in client.webhooks.missed(_hour_ago())]
    assert [(each.utility_enkash_id, each.outcome) for each in found] == [(bill, Outcome.PAID)]
    assert sandbox.counts["bill"] == 1
    assert await receiver.handle(bill) == 200
    assert await _missed(client) == []
    assert [event.bill.outcome for event in handler.told] == [Outcome.PAID]


async def test_a_bill_whose_debit_was_not_confirmed_is_missed_only_after_a_post(
    sandbox: Sandbox, client: EnkashClient
) -> None:
    """EnKash posts nothing about it, so its state is told with the first change."""
    bills = [create(sandbox, "CN1"), create(sandbox, "CN2")]
    receiver = WebhookReceiver(VERIFIER, client=client, on_bill=Handler())
    assert await receiver.receive(HEADERS, post(sandbox, bills[0])) == 200
    assert await _missed(client) == []
    sandbox.ledger.confirm(bills)
    assert sorted(await _missed(client)) == sorted(bills)


async def test_a_failure_without_a_date_is_missed(sandbox: Sandbox, client: EnkashClient) -> None:
    """The bill was created three days ago, so that no date leads to it."""
    ledger, bill = sandbox.ledger, create(sandbox)
    ledger.refund_after = float("inf")
    payment = ledger.get(bill)
    ledger._keep(attrs.evolve(payment, created_at=ledger.now() - timedelta(days=3), stage=Stage.REFUNDING))
    assert await _missed(client) == [bill]


async def test_a_search_that_lags_leads_to_no_news(sandbox: Sandbox, client: EnkashClient) -> None:
    """The single read shows what the handler was told, and it decides."""
    handler, bill = Handler(), create(sandbox)
    receiver = WebhookReceiver(VERIFIER, client=client, on_bill=handler)
    sandbox.ledger.search_lag = 3600.0
    sandbox.ledger.confirm([bill])
    assert await receiver.handle(bill) == 200
    asked = sandbox.counts["bill"]
    assert await _missed(client) == []
    assert sandbox.counts["bill"] == asked + 1


async def test_a_bill_that_no_single_read_shows_yet_hides_no_other() -> None:
    """A search may run ahead of the single reads; the next run finds the bill."""
    hidden: list[str] = []

    @web.middleware
    async def hide(request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path.rpartition("/")[2] not in hidden:
            answer: web.StreamResponse = await handler(request)
            return answer
        none = {"response_code": 1, "response_message": "Failure", "payload": "No utility payment found"}
        return web.json_response(none, status=400)

    sandbox = Sandbox()
    sandbox._app.middlewares.append(hide)
    async with sandbox, EnkashClient.from_credentials(sandbox.base_url, sandbox.credentials) as client:
        bills = [create(sandbox, f"CN{number}") for number in range(3)]
        sandbox.ledger.confirm(bills)
        hidden.append(bills[0])
        assert sorted(await _missed(client)) == sorted(bills[1:])
        hidden.clear()
        assert sorted(await _missed(client)) == sorted(bills)


async def test_a_bill_in_hand_is_not_missed(sandbox: Sandbox, client: EnkashClient) -> None:
    """Its worker handles it; if the worker dies, the next job finds the bill."""
    bill = create(sandbox)
    sandbox.ledger.confirm([bill])
    assert await Other(client.store, base_url=sandbox.base_url).claims(bill)
    assert await _missed(client) == []


async def test_a_receiver_with_a_store_and_a_name_of_its_own_has_missed_its_own_news(
    sandbox: Sandbox, client: EnkashClient
) -> None:
    """The job names both."""
    bill, store = create(sandbox), MemoryStore()
    sandbox.ledger.confirm([bill])
    receiver = WebhookReceiver(VERIFIER, client=client, on_bill=Handler(), store=store, name="ledger", sleep=Pauses())
    assert await receiver.handle(bill) == 200
    assert await _missed(client, store=store, name="ledger") == []
    assert await _missed(client, store=store) == await _missed(client, name="ledger") == await _missed(client) == [bill]


async def test_bills_of_many_pages_are_missed(sandbox: Sandbox, client: EnkashClient) -> None:
    """None of two hundred is lost, and none comes twice."""
    bills = [create(sandbox, f"CN{number:04}") for number in range(200)]
    sandbox.ledger.confirm(bills)
    assert sorted(await _missed(client)) == sorted(bills)


@pytest.mark.parametrize(
    ("since", "said"),
    [
        (datetime(2026, 1, 1), "since is a date-time without a zone"),
        ("today", "since must be a date, not str"),
        (date(2020, 1, 1), "since must be at most six days ago"),
        (datetime(2020, 1, 1, tzinfo=UTC), "since must be at most six days ago"),
    ],
)
async def test_since_is_a_day_within_the_memory(client: EnkashClient, since: Any, said: str) -> None:
    """An earlier day would show what was handled and forgotten; the call says so before the first request."""
    with pytest.raises(InvalidRequestError, match=said):
        client.webhooks.missed(since)
