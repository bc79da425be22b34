"""The file of `enkash pay`: its rows, and what became of each; `read_rows` reads such a file for code as well."""

from enkash_async.cli.batch.row import Row
from enkash_async.cli.batch.rows import read_rows

__all__ = ["Row", "read_rows"]
