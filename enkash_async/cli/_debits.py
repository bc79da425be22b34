"""`enkash debits`: shows the records of debits in the store, and deletes records of debits that did not happen."""

from __future__ import annotations

import click

from enkash_async.bulk import BulkResult
from enkash_async.cli._errors import Exit
from enkash_async.cli._output import json_option, print_json, print_table
from enkash_async.cli._run import with_client
from enkash_async.models import DebitRecord

__all__ = ["debits"]

_ids = click.argument("ids", nargs=-1, required=True, metavar="ID...")


@click.group()
def debits() -> None:
    """Show your processes' records of the debits of bills, or release records."""


@debits.command()
@_ids
@json_option
def show(ids: tuple[str, ...], as_json: bool) -> None:
    """Show the records of bills; reads only the store, and sends nothing to EnKash.

    `none`: no record. `created`: no confirmation was sent. `claimed`: a process is about to send a confirmation.
    `sent`: a confirmation was carried out, or may be in flight for window_left seconds. `accepted`: EnKash accepted the
    confirmation, or showed the debit.
    """
    found = with_client(lambda client: client.payments.debits(ids))
    if as_json:
        print_json(found)
    else:
        print_table(["utility_enkash_id", "state", "at", "window_left"], map(_row, found))


def _row(record: DebitRecord) -> list[str]:
    at = "" if record.at is None else record.at.isoformat(timespec="seconds")
    return [record.utility_enkash_id, record.state, at, f"{record.window_left:.0f} s" if record.window_left else ""]


@debits.command()
@_ids
@click.option("--because", required=True, metavar="TEXT", help="Your reason, for the log.")
@json_option
def release(ids: tuple[str, ...], because: str, as_json: bool) -> int:
    """Delete the records of debits that EnKash did not make, so that the bills can be confirmed again.

    Use this only if EnKash has told you that a bill was not debited. A record stays while a confirmation may be in
    flight, or if one of two reads, 15 s apart, does not show the bill as unconfirmed. This command confirms nothing.
    """
    result = with_client(lambda client: client.payments.release(ids, because=because))
    if as_json:
        print_json(result)
    else:
        print_table(["utility_enkash_id", "record", "why"], _rows(result))
    return Exit.FAILED if result.failed else Exit.DONE


def _rows(result: BulkResult[None]) -> list[list[str]]:
    released = [[item.key, "released", ""] for item in result.succeeded]
    return released + [[item.key, "stays", str(item.error)] for item in result.failed]
