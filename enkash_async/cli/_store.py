"""`enkash store`: prepares the store that processes share."""

from __future__ import annotations

import os
from contextlib import aclosing

import click

from enkash_async._environment import Environment
from enkash_async.cli._output import print_line
from enkash_async.cli._run import finish, warn_of_fallback
from enkash_async.stores import PostgresStore, Store

__all__ = ["store"]


@click.group()
def store() -> None:
    """Prepare the store of ENKASH_STORE_URL, which your processes share."""


@store.command()
def init() -> None:
    """Make the table that a PostgreSQL store needs; other stores need no preparation.

    The user in the URL must be allowed to create a table; later, SELECT, INSERT, UPDATE and DELETE on it are enough.
    """
    print_line(finish(_init()))


async def _init() -> str:
    opened: Store = Environment(os.environ).store()
    async with aclosing(opened):
        warn_of_fallback(opened)
        if isinstance(opened, PostgresStore):
            await opened.init()
            return f"The table is there: {opened!r}"
        await opened.read(["enkash:none"])
        return f"Nothing to prepare, and the store answers: {opened!r}"
