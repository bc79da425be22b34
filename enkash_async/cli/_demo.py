"""`enkash demo`: one payment in the sandbox, from the login to a settled bill."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import click

from enkash_async._http.login import PasswordGrant
from enkash_async._support.clock import loop_now
from enkash_async._support.text import rupees, shown
from enkash_async.cli._errors import Exit
from enkash_async.cli._output import json_option, print_json, print_line
from enkash_async.cli._run import finish
from enkash_async.client import EnkashClient
from enkash_async.config import PollPolicy, Routes
from enkash_async.models import Bill, Biller, Outcome
from enkash_async.sandbox import Sandbox
from enkash_async.tokens import InMemoryTokenProvider, TokenProvider

__all__ = ["demo"]

_SETTLE_AFTER = 0.9  # seconds; long enough to see the bill pending
_POLL = PollPolicy(first=0.2, factor=1.2, longest=0.5)
_PATIENCE = 8.0  # seconds to wait until the bill is settled
_CATEGORY = "ELECTRICITY"
_CONSUMER = "123456789"
_REFERENCE = "demo-2026-000001"


@click.command()
@json_option
def demo(as_json: bool) -> int:
    """Make one payment, step by step, in a sandbox on this computer.

    Log in, list billers, fetch a bill, create it, confirm its debit, wait until it is settled, look it up. The demo
    needs no account and no variables, and takes about two seconds.
    """
    return finish(_demonstrate(_Report(as_json)))


class _Report:
    """Reports the steps: each as a line once it is done, or all of them as one JSON document at the end.

    Args:
        as_json: True for the JSON document.
    """

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._steps: list[dict[str, Any]] = []

    def line(self, text: str = "") -> None:
        """Print a line, unless the report is JSON."""
        if not self._as_json:
            print_line(text)

    def step(self, title: str, text: str, **details: object) -> None:
        """Report a step that is done.

        Args:
            title: Name of the step.
            text: Result of the step, for people.
            details: Result of the step as values, for the JSON document.
        """
        number = len(self._steps) + 1
        self.line(f"{number}. {title:<20}  {text}")
        self._steps.append({"step": number, "name": title.lower().replace(" ", "_"), "summary": text, **details})

    def end(self, **facts: object) -> None:
        """Print the steps and these facts as one JSON document, if the report is JSON."""
        if self._as_json:
            print_json({"steps": self._steps, **facts})


async def _demonstrate(report: _Report) -> int:
    async with (
        Sandbox(settle_after=_SETTLE_AFTER) as sandbox,
        aclosing(InMemoryTokenProvider(PasswordGrant(sandbox.base_url, sandbox.credentials))) as provider,
        EnkashClient(sandbox.base_url, tokens=provider) as client,
    ):
        report.line(f"EnKash demo. Everything happens in a sandbox at {sandbox.base_url}, over real HTTP;")
        report.line("no account is used and no money moves.")
        report.line()
        await _log_in(report, provider)
        biller = await _choose_biller(report, client)
        bill = await _pay(report, client, biller)
        _sum_up(report, sandbox, biller, bill)
    return Exit.DONE if bill.outcome is Outcome.PAID else Exit.FAILED


async def _log_in(report: _Report, provider: TokenProvider) -> None:
    token = await provider.get_token()
    lifetime, generation = token.expires_in, token.generation
    text = f"token good for {lifetime:.10g} s (generation {generation})"
    report.step("Log in", text, expires_in=lifetime, generation=generation)


async def _choose_biller(report: _Report, client: EnkashClient) -> Biller:
    categories = await client.billers.list_categories()
    names = ", ".join(category.name for category in categories)
    report.step("List categories", f"{len(categories)}: {names}", categories=categories)

    billers = [biller async for biller in client.billers.list(_CATEGORY)]
    chosen = billers[0]
    report.step(
        "List billers", f"{len(billers)} for {_CATEGORY}; take {chosen.biller_id}, {chosen.name}", billers=billers
    )
    return chosen


async def _pay(report: _Report, client: EnkashClient, biller: Biller) -> Bill:
    fetched = await client.bills.fetch_current(biller.biller_id, {"cn": _CONSUMER})
    due = f"{rupees(fetched.bill_net_amount)}, due {fetched.bill_due_date}"
    report.step("Fetch current bill", f"{due}, consumer {_CONSUMER}", bill=fetched)

    bill = await client.bills.create_from_fetch(fetched, reference_id=_REFERENCE)
    report.step("Create bill", f"{bill.utility_enkash_id}, reference {_REFERENCE}; {_states(bill)}", bill=bill)

    result = await client.payments.confirm_debit([bill.utility_enkash_id])
    bill = await client.bills.get(bill.utility_enkash_id)
    report.step("Confirm debit", f"{len(result.succeeded)} bill accepted; {_states(bill)}", bill=bill)

    begun = loop_now()
    bill = await client.bills.wait_until_settled(bill.utility_enkash_id, timeout=_PATIENCE, policy=_POLL)
    waited = round(loop_now() - begun, 1)
    report.step("Wait until settled", f"after {waited} s; {_states(bill)}", waited=waited, bill=bill)

    bill = await client.bills.get_by_reference(_REFERENCE)
    report.step("Look up by reference", f"{bill.utility_enkash_id}; {_states(bill)}", bill=bill)
    return bill


def _states(bill: Bill) -> str:
    billpay = f", bill {shown(bill.billpay_status)}" if bill.billpay_status is not None else ""
    return f"{bill.outcome} (payment {shown(bill.payment_status)}{billpay})"


def _sum_up(report: _Report, sandbox: Sandbox, biller: Biller, bill: Bill) -> None:
    calls, guessed = dict(sandbox.counts), Routes.unverified()
    total = sum(calls.values())
    report.line()
    report.line(f"Settled: {bill.outcome} {rupees(bill.amount)} to {biller.name}, reference {bill.reference_id}")
    report.line(f"HTTP calls: {total} (logins: {calls['token']}, looks at the bill: {calls['bill']})")
    report.line()
    report.line("EnKash does not document these routes publicly; here they are the sandbox's own reading:")
    for name in guessed:
        used = "used above" if name in calls else "not used above"
        report.line(f"  {name:<17}  {getattr(Routes(), name):<26}  {used}")
    report.end(
        sandbox=sandbox.base_url,
        outcome=bill.outcome,
        amount=bill.amount,
        reference_id=bill.reference_id,
        http_calls={"total": total, "logins": calls["token"], "by_route": calls},
        unverified_routes=guessed,
    )
