"""The command line: all commands, and how a failure becomes one line and an exit code.

Commands are thin: they parse their arguments, call the client and print the result. With `--json`, a command prints
one JSON document and nothing else on standard output.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import click

from enkash_async._support.version import __version__
from enkash_async.cli._bill import bill
from enkash_async.cli._billers import billers
from enkash_async.cli._debits import debits
from enkash_async.cli._demo import demo
from enkash_async.cli._errors import Exit, complain, explain
from enkash_async.cli._output import PRINTING, accept_any_text, drop_output
from enkash_async.cli._pay import pay
from enkash_async.cli._sandbox import sandbox
from enkash_async.cli._store import store
from enkash_async.cli._token import token
from enkash_async.cli._webhook import webhook
from enkash_async.errors import EnkashError

__all__ = ["enkash", "run"]


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="enkash", message="%(prog)s %(version)s")
@click.pass_context
def enkash(ctx: click.Context) -> None:
    """Pay bills through the EnKash Bill Payment API; unofficial, not affiliated with EnKash.

    `enkash demo` needs no account and makes a payment in a sandbox. `token`, `billers`, `bill`, `pay` and `debits` read
    ENKASH_BASE_URL, ENKASH_CLIENT_ID, ENKASH_CLIENT_SECRET, ENKASH_USERNAME and ENKASH_PASSWORD, and
    ENKASH_FORM_CLIENT_ID if the form's clientId differs. They share one token with your other processes, through a
    file of this user, or through the store in ENKASH_STORE_URL or ENKASH_REDIS_URL. ENKASH_LOGIN_TIMEOUT limits the
    time of a login. `webhook` reads ENKASH_WEBHOOK_HEADERS.

    Exit codes: 0 done, 1 failed, 2 wrong arguments or set-up, 3 outcome unknown, 4 not settled yet (`pay`), 130
    stopped by Ctrl-C.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


for _command in (demo, token, billers, bill, pay, debits, sandbox, store, webhook):
    enkash.add_command(_command)


def run(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; a failure becomes one line on standard error.

    Args:
        argv: Command-line arguments; None takes those of the process.
    """
    accept_any_text()
    # Hides the library's warnings, which would add a second line to the line that explains the failure.
    logging.getLogger("enkash_async").addHandler(logging.NullHandler())
    try:
        code = enkash.main(argv, prog_name="enkash", standalone_mode=False)
    # This clause must come first: some errors of this package are a `TimeoutError`, and so an `OSError` too.
    except (click.Abort, click.ClickException, EnkashError, RecursionError) as problem:
        complain(explain(problem))
        return Exit.of(problem)
    except (OSError, SystemExit) as problem:  # click leaves with SystemExit when a pipe is closed
        if isinstance(problem, OSError) and problem.errno not in PRINTING:
            raise
        drop_output()
        complain(f"not everything could be printed: {getattr(problem, 'strerror', None) or 'the pipe was closed'}")
        return Exit.FAILED
    return code if isinstance(code, int) else Exit.DONE
