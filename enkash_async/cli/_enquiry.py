"""`enkash bill get` and `enkash bill search`: look up bills and their payments."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import click

from enkash_async._support.text import rupees, shown
from enkash_async.cli._arguments import DAY
from enkash_async.cli._output import json_option, note, print_json, print_record, print_table
from enkash_async.cli._run import with_client
from enkash_async.client import EnkashClient
from enkash_async.errors import WaitTimeoutError
from enkash_async.models import Bill, BillFilter

__all__ = ["get", "search"]

_PAGE = 99  # bills in a page; EnKash advises fewer than 100
_COLUMNS = ("utility_enkash_id", "reference_id", "amount", "outcome", "payment_status", "billpay_status", "created")


@click.command()
@click.argument("utility_enkash_id", required=False, metavar="[ID]")
@click.option("--reference", metavar="TEXT", help="Look it up by your own id instead.")
@click.option("--wait", type=click.FloatRange(min=0), metavar="SECONDS", help="How long to wait for it to settle.")
@json_option
def get(utility_enkash_id: str | None, reference: str | None, wait: float | None, as_json: bool) -> None:
    """Show a bill and the state of its payment.

    With --wait, a bill that is not settled in time is shown as it stands, and the exit code is 1.
    """
    if (utility_enkash_id is None) == (reference is None):
        raise click.UsageError("give either an ID or --reference TEXT")
    show = print_json if as_json else print_record
    try:
        show(with_client(lambda client: _look(client, utility_enkash_id or "", reference, wait)))
    except WaitTimeoutError as late:
        if late.last is not None:
            show(late.last)
        raise


async def _look(client: EnkashClient, utility_enkash_id: str, reference: str | None, wait: float | None) -> Bill:
    known = utility_enkash_id
    if reference is not None:
        found = await client.bills.get_by_reference(reference)
        if wait is None or found.is_settled:
            return found
        known = found.utility_enkash_id
    if wait is None:
        return await client.bills.get(known)
    return await client.bills.wait_until_settled(known, timeout=wait)


@click.command()
@click.option("--status", "statuses", multiple=True, metavar="WORD", help="Payment status, such as FAILED; repeatable.")
@click.option("--billpay-status", "billpay", multiple=True, metavar="WORD", help="Such as ON_HOLD; repeatable.")
@click.option("--consumer", metavar="NUMBER", help="Consumer number.")
@click.option("--from", "first", type=DAY, metavar="YYYY-MM-DD", help="First day of creation.")
@click.option("--to", "last", type=DAY, metavar="YYYY-MM-DD", help="Last day of creation.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, metavar="N", help="Most bills.")
@json_option
def search(
    statuses: tuple[str, ...],
    billpay: tuple[str, ...],
    consumer: str | None,
    first: datetime | None,
    last: datetime | None,
    limit: int,
    as_json: bool,
) -> None:
    """Search for bills; a bill must match every option that is given."""
    if first is not None and last is not None and first > last:
        raise click.UsageError(f"--from {first:%Y-%m-%d} is after --to {last:%Y-%m-%d}")
    wanted = BillFilter(
        statuses=statuses or None,
        bill_pay_statuses=billpay or None,
        consumer_number=consumer,
        created_date_from=first and first.date(),
        created_date_to=last and last.date(),
    )
    found = with_client(lambda client: _collect(client, wanted, limit + 1))  # + 1: shows whether bills are left out
    if len(found) > limit:
        note(f"there are more than these {limit}; see --limit")
    _show(found[:limit], as_json)


async def _collect(client: EnkashClient, wanted: BillFilter, most: int) -> list[Bill]:
    found: list[Bill] = []
    async for bill in client.bills.search(wanted, page_size=min(most, _PAGE)):
        found.append(bill)
        if len(found) == most:
            break
    return found


def _show(found: Sequence[Bill], as_json: bool) -> None:
    if as_json:
        print_json(found)
    elif found:
        print_table(_COLUMNS, map(_row, found))
    else:
        note("no bills")


def _row(bill: Bill) -> list[str]:
    return [
        bill.utility_enkash_id,
        shown(bill.reference_id),
        rupees(bill.amount),
        bill.outcome,
        shown(bill.payment_status),
        shown(bill.billpay_status),
        "" if bill.created_date is None else bill.created_date.isoformat(" ", "seconds"),
    ]
