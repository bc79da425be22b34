"""Reads the text of a batch file, and splits the text into records."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from enkash_async.cli.batch.problems import Problems

__all__ = ["DELIMITERS", "is_stream", "name_of", "records", "text_of", "without_preamble"]

DELIMITERS = (",", ";", "\t", "|")
_AS_UTF8 = "save it as UTF-8 (Excel: 'CSV UTF-8')"
_LARGEST = 64 * 1024 * 1024  # bytes; far more than any batch has; stops reading from an endless pipe
# How files begin that users take for CSV, and some exports call `.csv`.
_OTHER_KINDS = {
    b"PK\x03\x04": "a workbook (.xlsx or .ods)",
    b"\xd0\xcf\x11\xe0": "a workbook (.xls)",
    b"%PDF": "a PDF",
    b"\x1f\x8b": "a compressed file",
    b"{\\rtf": "a document (.rtf)",
    b"<": "a page of HTML or XML",
    b"[{": "JSON",
    b'{"': "JSON",
}
# `sep=;` tells Excel which delimiter the file uses; `#TYPE …` is the first line of PowerShell's Export-Csv.
_SEPARATOR = re.compile(r'"?sep=([,;|:^~\t])"?[,;]*(?=[\r\n])', re.IGNORECASE)
_TYPE = re.compile(r'"?#TYPE [^\r\n]*')


def is_stream(path: Path) -> bool:
    """Whether a path is standard input (`-`), a pipe or a device, so that no result file can lie beside it."""
    if str(path) == "-" or path.absolute().parts[1:2] in {("dev",), ("proc",)}:
        return True
    try:
        return path.exists() and not path.is_file() and not path.is_dir()
    except OSError:  # such as a name that is too long
        return False


def name_of(path: Path) -> str:
    """Return the name of a file for messages."""
    return "standard input" if str(path) == "-" else path.name


def text_of(path: Path, problems: Problems) -> str:
    """Return the file's text, without a byte order mark.

    Raises:
        InvalidRequestError: The file cannot be read, or is not UTF-8 text.
    """
    try:
        with _opened(path) as file:
            data = file.read(_LARGEST + 1)
    except FileNotFoundError:
        raise problems.fatal("there is no such file") from None
    except IsADirectoryError:
        raise problems.fatal("this is a directory: name a CSV file in it") from None
    except OSError as problem:
        raise problems.fatal(f"the file cannot be read: {problem.strerror or type(problem).__name__}") from None
    if len(data) > _LARGEST:
        raise problems.fatal(f"this is more than {_LARGEST >> 20} MiB: split it")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise problems.fatal(f"the file is UTF-16: {_AS_UTF8}", 1)
    for mark, kind in _OTHER_KINDS.items():
        if data.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(mark):
            raise problems.fatal(f"this is {kind}, not CSV: {_AS_UTF8}")
    if b"\0" in data:
        line = _line_at(data, data.index(b"\0"))
        raise problems.fatal(f"a NUL character, which is in no CSV file, but in UTF-16 and .xlsx: {_AS_UTF8}", line)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        # The error counts bytes after the byte order mark. The mark has no line break, so the line number is right.
        line = _line_at(problem.object, problem.start)
    # Do not raise inside the `except` block: the new error's context, a UnicodeDecodeError, would keep the whole file
    # in memory.
    raise problems.fatal(f"the file is not UTF-8: {_AS_UTF8}", line)


def _opened(path: Path) -> BinaryIO:
    if str(path) == "-":
        return open(0, "rb", closefd=False)
    return path.open("rb")


def _line_at(data: bytes, position: int) -> int:
    return len((data[:position] + b"-").splitlines())


def without_preamble(text: str) -> tuple[str, str | None]:
    """Return a text without a first line that is meant for a program, and the delimiter that this line names.

    This line becomes blank, so that the other lines keep their numbers.
    """
    if (found := _SEPARATOR.match(text)) is not None:
        return text[found.end() :], found[1]
    found = _TYPE.match(text)
    return (text, None) if found is None else (text[found.end() :], None)


def records(text: str, delimiter: str, problems: Problems) -> Iterator[tuple[int, list[str]]]:
    """Yield each record that is not blank, with the line in which it begins."""
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as problem:
            # After a syntax error, the start of the next record is unknown.
            problems.add(_syntax(problem), line)
            return
        if cells is None:
            return
        if any(cell.strip() for cell in cells):
            yield line, cells


def _syntax(problem: csv.Error) -> str:
    said = str(problem)
    if "unexpected end" in said:
        return "a quote is opened in this row and never closed: close it, or write a quote inside a cell twice"
    if "field limit" in said:
        return f"a cell of this row has more than {csv.field_size_limit()} characters: look for a quote never closed"
    return "a cell of this row goes on behind its closing quote: write a quote inside a quoted cell twice"
