"""The file of `enkash pay`: its rows and their results; your own code can read such a file with `read_rows`."""

from enkash_async.cli.batch.row import Row
from enkash_async.cli.batch.rows import read_rows

__all__ = ["Row", "read_rows"]
