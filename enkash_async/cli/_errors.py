"""Failures on the command line: one line on standard error, and an exit code that tells what to do next."""

from __future__ import annotations

import contextlib
import enum
import shlex

import click

from enkash_async._support.text import clean, look_up
from enkash_async.errors import ConfigurationError, InvalidRequestError, OutcomeUnknownError

__all__ = ["Exit", "complain", "explain"]


class Exit(enum.IntEnum):
    """The exit code of a command."""

    DONE = 0
    FAILED = 1
    WRONG = 2  # arguments or set-up; nothing was sent
    UNKNOWN = 3  # the call may or may not have had its effect: look up the bill, never repeat the command
    PENDING = 4  # nothing failed, but bills are not settled yet
    STOPPED = 130  # Ctrl-C: 128 + SIGINT, as in shells

    @classmethod
    def of(cls, problem: BaseException) -> Exit:
        """Return the exit code for a failure."""
        match problem:
            case click.Abort():
                return cls.STOPPED
            case click.UsageError() | ConfigurationError() | InvalidRequestError():
                return cls.WRONG
            case OutcomeUnknownError():
                return cls.UNKNOWN
            case _:
                return cls.FAILED


def explain(problem: BaseException) -> str:
    """Return what went wrong and what to do next, in one line."""
    match problem:
        case click.Abort():
            return "stopped"
        case click.UsageError():
            command = problem.ctx.command_path if problem.ctx is not None else "enkash"
            return f"{problem.format_message()} (see {command} --help)"
        case click.ClickException():
            return problem.format_message()
        case RecursionError():
            return "EnKash's reply is nested too deeply to print"
        case OutcomeUnknownError():
            return _unclear(problem)
        case _:
            return str(problem)


def _unclear(problem: OutcomeUnknownError) -> str:
    if problem.retry_after is not None:
        shown = " ".join(map(shlex.quote, problem.utility_enkash_ids))
        return f"{problem} (what is known until then: enkash debits show {shown})"
    if problem.reference_id is not None:
        command = look_up(problem.reference_id)
    else:
        command = " && ".join(f"enkash bill get {shlex.quote(one)}" for one in problem.utility_enkash_ids)
    return (
        f"{problem.operation} may or may not have happened; do not repeat it. "
        f"Look it up in two to three minutes: {command} (cause: {problem.__cause__})"
    )


def complain(text: str) -> None:
    """Write one line to standard error, if it is still open."""
    with contextlib.suppress(OSError):
        click.echo(f"enkash: {clean(text)}", err=True)
