"""`enkash sandbox`: runs a fake EnKash on this computer for other programs."""

from __future__ import annotations

import functools
import shlex

import click

from enkash_async.cli._output import json_option, note, print_json
from enkash_async.cli._run import finish
from enkash_async.sandbox import Sandbox
from enkash_async.sandbox._serve import serve

__all__ = ["sandbox"]


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
@json_option
def sandbox(port: int, settle_after: float, as_json: bool) -> None:
    """Run a made-up EnKash on 127.0.0.1 until Ctrl-C.

    Paste the lines that this command prints into another shell; there, `enkash token` shows that they work.
    """
    try:
        finish(serve(port=port, settle_after=settle_after, announce=functools.partial(_announce, as_json)))
    except (OSError, ValueError) as problem:
        raise click.ClickException(f"the sandbox cannot start: {problem}") from None


def _announce(as_json: bool, started: Sandbox) -> None:
    if as_json:
        print_json({"base_url": started.base_url, "environ": started.environ()})
        return
    for name, value in started.environ().items():
        click.echo(f"export {name}={shlex.quote(value)}")
    note(f"The sandbox listens on {started.base_url} until Ctrl-C; its credentials are made up.")
