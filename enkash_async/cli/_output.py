"""Prints records and tables for people, and JSON for programs."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterable, Sequence

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from enkash_async._support import exact_json
from enkash_async._support.text import RUPEE, clean, members, plain

__all__ = [
    "accept_any_text",
    "drop_output",
    "json_option",
    "note",
    "print_json",
    "print_line",
    "print_record",
    "print_table",
]

_WIDEST = 100_000  # columns; more than any table has

#: Error numbers of a failed print, such as for a closed pipe or a full disk.
PRINTING = frozenset({errno.EPIPE, errno.ENOSPC, errno.EIO, errno.EFBIG})

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document, with exact numbers.")


def accept_any_text() -> None:
    """Make the standard streams print an escape for a character that their encoding lacks, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def drop_output() -> None:
    """Discard standard output after a failed write, so that Python does not fail again when it flushes at exit."""
    with contextlib.suppress(OSError, ValueError):  # in a test, standard output may have no file descriptor
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def note(text: str) -> None:
    """Write a line to standard error, so that programs can read standard output."""
    click.echo(clean(text), err=True)


def print_json(value: object) -> None:
    """Print a value as one line of JSON, in ASCII."""
    click.echo(exact_json.dumps(plain(value)))


def print_line(text: str = "") -> None:
    """Print a line without breaking it at the width of the terminal."""
    console = _console()
    console.print(_text(console, text), soft_wrap=True)


def print_record(value: object) -> None:
    """Print the members of a value that are set, one on each line."""
    _print_pairs(_console(), list(members(value)))


def print_table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows as a table, or as records if the terminal is too narrow, so that nothing is cut off."""
    console, cells = _console(), list(rows)
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for header in headers:
        table.add_column(header, no_wrap=True, justify="right" if header == "amount" else "left")
    for row in cells:
        table.add_row(*(_text(console, cell) for cell in row))
    needed = console.measure(table, options=console.options.update(width=_WIDEST)).maximum
    if needed <= console.width or not console.is_terminal:
        console.width = max(console.width, needed)
        console.print(table)
        return
    for row in cells:
        _print_pairs(console, [pair for pair in zip(headers, row, strict=True) if pair[1]])
        console.print()


def _print_pairs(console: Console, pairs: Sequence[tuple[str, str]]) -> None:
    width = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        line = Text.assemble((name.ljust(width), "dim"), "  ", _text(console, value))
        console.print(line, soft_wrap=True)


def _text(console: Console, value: str) -> Text:
    """Return text to be printed unchanged, except for a rupee sign that the console cannot show."""
    visible = clean(value)
    try:
        RUPEE.encode(console.encoding)
    except UnicodeEncodeError:
        visible = visible.replace(RUPEE, "Rs")
    return Text(visible)


class _Console(Console):
    """A console that tells its caller about a closed pipe; rich would end the process with its own exit code."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def _console() -> Console:
    """Return a console for the present standard output, without markup, emoji codes or guessed colours."""
    return _Console(markup=False, emoji=False, highlight=False)
