"""`enkash bill`: fetches, creates, looks up and confirms bills."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import click

from enkash_async._environment import Environment
from enkash_async._money.confirm import refuse_debited
from enkash_async._support.text import clean, look_up
from enkash_async.bulk import BulkResult
from enkash_async.cli._arguments import BILLER_ID, as_params, as_reference, as_rupees, settle_option
from enkash_async.cli._enquiry import get, search
from enkash_async.cli._errors import Exit
from enkash_async.cli._output import json_option, note, print_json, print_record, print_table
from enkash_async.cli._run import with_client
from enkash_async.client import EnkashClient
from enkash_async.config import RetryPolicy
from enkash_async.errors import InvalidRequestError
from enkash_async.models import Bill

__all__ = ["bill"]


@click.group(no_args_is_help=False)
def bill() -> None:
    """Fetch, create, confirm, look up and search bills."""


bill.add_command(get)
bill.add_command(search)


def _of_consumer(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the arguments that name a consumer: the biller, its inputs and the circle."""
    for add in (
        click.option("--circle", metavar="NAME", help="For billers that differ by circle, such as MUM."),
        click.option(
            "-p",
            "--param",
            "params",
            multiple=True,
            metavar="NAME=VALUE",
            callback=as_params,
            help="An input of the biller, such as cn=123456789; repeatable.",
        ),
        click.argument("biller_id", type=BILLER_ID),
    ):
        command = add(command)
    return command


# --- fetch and create -------------------------------------------------------------------------------------------------


@bill.command()
@_of_consumer
@json_option
def fetch(biller_id: int, params: Mapping[str, str], circle: str | None, as_json: bool) -> None:
    """Ask the biller what is due; creates and pays nothing."""
    fetched = with_client(lambda client: client.bills.fetch_current(biller_id, params, circle=circle))
    (print_json if as_json else print_record)(fetched)


@bill.command()
@_of_consumer
@click.option(
    "--reference", metavar="TEXT", callback=as_reference, help="Your own id, never used before; made up if left out."
)
@click.option(
    "--amount", metavar="RUPEES", callback=as_rupees, help="What to pay, where it differs from what was fetched."
)
@click.option("--no-fetch", is_flag=True, help="Do not fetch first; needs --amount.")
@settle_option
@json_option
def create(
    biller_id: int,
    params: Mapping[str, str],
    circle: str | None,
    reference: str | None,
    amount: Decimal | None,
    no_fetch: bool,
    settle: float,
    as_json: bool,
) -> None:
    """Fetch the bill that is due, and create it with EnKash.

    `enkash bill confirm` then confirms the debit, unless EnKash debits your account on creation. The command prints the
    reference on standard error before it sends the create, so that you can always look the bill up.
    """
    if no_fetch and amount is None:
        raise click.UsageError("--no-fetch needs an amount: --amount 2450.75")
    known = uuid.uuid4().hex if reference is None else reference

    async def create_unfetched(client: EnkashClient) -> Bill:
        _announce(known)
        return await client.bills.create(biller_id, params, reference_id=known, bill_amount=amount, circle=circle)

    async def create_fetched(client: EnkashClient) -> Bill:
        fetched = await client.bills.fetch_current(biller_id, params, circle=circle)
        _announce(known)
        try:
            return await client.bills.create_from_fetch(fetched, reference_id=known, amount=amount)
        except InvalidRequestError as problem:
            # The arguments were checked before, so the biller's answer is at fault.
            raise click.ClickException(f"nothing was created: {problem}") from None

    created = with_client(create_unfetched if no_fetch else create_fetched, retry=RetryPolicy(settle=settle))
    (print_json if as_json else print_record)(created)


def _announce(reference: str) -> None:
    note(f"reference {reference} (to look it up: {look_up(reference)})")


# --- the debit --------------------------------------------------------------------------------------------------------


@bill.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--remarks", metavar="TEXT", help="A note without full stop and slash.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@settle_option
@json_option
def confirm(ids: tuple[str, ...], remarks: str | None, yes: bool, settle: float, as_json: bool) -> int:
    """Confirm the debit of bills: the money leaves your EnKash account.

    Refused with ENKASH_DEBIT_ON_CREATE=1: then the create of a bill was its debit.
    """
    refuse_debited(Environment(os.environ).debit_on_create())
    if not yes and not _agreed(ids):
        raise click.ClickException("nothing was sent")
    result = with_client(
        lambda client: client.payments.confirm_debit(ids, remarks=remarks), retry=RetryPolicy(settle=settle)
    )
    if as_json:
        print_json(result)
    else:
        print_table(["utility_enkash_id", "debit", "why"], _rows(result))
    return _exit(result)


def _agreed(ids: tuple[str, ...]) -> bool:
    unique = list(dict.fromkeys(ids))
    what = f"bill {unique[0]}" if len(unique) == 1 else f"{len(unique)} bills"
    # click's own prompt would write a space to standard output, which `--json` reserves for the document.
    click.echo(f"Confirm the debit of {clean(what)}? The money leaves your EnKash account [y/N] ", nl=False, err=True)
    answer = sys.stdin.readline()
    if not answer:
        click.echo(err=True)
        raise click.UsageError("nobody is there to say yes: add --yes")
    return answer.strip().lower() in {"y", "yes"}


def _exit(result: BulkResult[None]) -> Exit:
    if result.unknown:
        return Exit.UNKNOWN
    return Exit.FAILED if result.failed or result.not_sent else Exit.DONE


def _rows(result: BulkResult[None]) -> list[list[str]]:
    groups = {
        "confirmed": result.succeeded,
        "failed": result.failed,
        "unknown": result.unknown,
        "not sent": result.not_sent,
    }
    return [
        [item.key, group, "" if item.error is None else str(item.error)]
        for group, items in groups.items()
        for item in items
    ]
