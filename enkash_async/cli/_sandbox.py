"""`enkash sandbox`: runs a fake EnKash on this computer for other programs."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable
from typing import Any

import click

from enkash_async.cli._output import json_option, note, print_json
from enkash_async.cli._run import finish
from enkash_async.sandbox import Sandbox
from enkash_async.sandbox._serve import serve

__all__ = ["sandbox"]


def _lag(name: str, meaning: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(name, type=click.FloatRange(min=0), default=0.0, show_default=True, metavar="S", help=meaning)


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, metavar="N", help="TCP port; 0 takes a free one.")
@click.option(
    "--settle-after",
    type=click.FloatRange(min=0),
    default=5.0,
    show_default=True,
    metavar="S",
    help="Seconds from a confirmed debit to its settlement.",
)
@_lag("--read-lag", "Seconds until a look-up of a bill shows a change.")
@_lag("--search-lag", "Seconds until a search shows a change.")
@click.option("--repeat-debits", is_flag=True, help="Debit a bill again at each further confirmation.")
@click.option("--debit-on-create", is_flag=True, help="Debit a bill when it is created.")
@json_option
def sandbox(as_json: bool, **options: Any) -> None:
    """Run a made-up EnKash on 127.0.0.1 until Ctrl-C.

    Paste the lines that it prints into another shell; `enkash token` there shows that they work. At the end, it
    prints how many bills were debited, and which bills were debited more than once.
    """
    try:
        started = Sandbox(**options)
        finish(serve(started, announce=functools.partial(_announce, as_json)))
    except (OSError, ValueError) as problem:
        raise click.ClickException(f"the sandbox cannot start: {problem}") from None
    _sum_up(started)


def _announce(as_json: bool, started: Sandbox) -> None:
    if as_json:
        print_json({"base_url": started.base_url, "environ": started.environ()})
        return
    for name, value in started.environ().items():
        click.echo(f"export {name}={shlex.quote(value)}")
    note(f"The sandbox listens on {started.base_url} until Ctrl-C; its credentials are made up.")


def _sum_up(stopped: Sandbox) -> None:
    debits = stopped.debits
    if debits:
        note(f"{len(debits)} bills were created, and {sum(1 for count in debits.values() if count)} of them debited.")
    for reference, count in debits.items():
        if count > 1:
            note(f"{reference} was debited {count} times.")
