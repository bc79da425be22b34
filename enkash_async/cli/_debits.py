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
    """Show what your processes have written down of the debits of bills, or release a record."""


@debits.command()
@_ids
@json_option
def show(ids: tuple[str, ...], as_json: bool) -> None:
    """Show the records of bills; asks the store alone, and sends nothing to EnKash.

    `none`: no record. `created`: never sent. `claimed`: a process is about to send. `sent`: a confirmation may be under
    way for as long as window_left says, or was carried out. `accepted`: EnKash said yes, or showed the debit.
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
    """Take away the records of debits that EnKash did not make, so that the bills can be confirmed again.

    For a bill of which EnKash has told you that it was not debited. A record stays while a confirmation may be under
    way, and unless two reads, 15 s apart, show the bill unconfirmed. Nothing is confirmed by this command.
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
