"""`enkash store`: prepares the store that processes share."""

from __future__ import annotations

import os
from contextlib import aclosing

import click

from enkash_async._environment import Environment
from enkash_async._money.debit_keys import Keys
from enkash_async._money.debit_records import DebitRecords
from enkash_async.cli._output import print_line
from enkash_async.cli._run import finish, warn_of_fallback
from enkash_async.stores import Store

__all__ = ["store"]


@click.group()
def store() -> None:
    """Prepare the store of ENKASH_STORE_URL, which your processes share."""


@store.command()
@click.option(
    "--nothing-pending",
    is_flag=True,
    help="Declare that no confirmation of a debit is under way, in any process: the store counts as old at once.",
)
def init(nothing_pending: bool) -> None:
    """Create the table that a PostgreSQL store needs; no other store needs this command.

    The user of the URL has to be allowed to create a table; later SELECT, INSERT, UPDATE and DELETE on it are enough.

    A new store does not know what was sent before the store existed. For its first 200 s, it confirms only bills that
    were created since. --nothing-pending skips this wait: use it only if you are sure that no process, with any store,
    has sent anything in the last minutes.
    """
    print_line(finish(_init(nothing_pending)))


async def _init(nothing_pending: bool) -> str:
    opened: Store = Environment(os.environ).store()
    async with aclosing(opened):
        warn_of_fallback(opened)
        said = f"Nothing to prepare, and the store answers: {opened!r}"
        # Only a PostgresStore has `init`. Importing the class here would make every command load psycopg.
        if (make_table := getattr(opened, "init", None)) is not None:
            await make_table()
            said = f"The table is there: {opened!r}"
        await opened.read(["enkash:none"])
        if nothing_pending:
            await DebitRecords(lambda: opened, Keys("")).declare_nothing_pending()
            said += "; it counts as old: no confirmation is under way"
        return said
