"""The clock that the processes of a machine share: monotonic within a boot, and never earlier after the next one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import attrs

__all__ = ["OTHER_MACHINE", "OtherMachineError", "StoreClock"]

OTHER_MACHINE = "two machines use it, or a copy of it: SQLite cannot share a file between machines"
_BOOTS_KEPT = 64  # names of earlier boots; a machine that comes back after as many is taken for a new one

TABLE = (
    "CREATE TABLE clock (id INTEGER PRIMARY KEY CHECK (id = 0), boot TEXT NOT NULL, offset REAL NOT NULL,"
    " last REAL NOT NULL, earlier TEXT NOT NULL)"
)


class OtherMachineError(Exception):
    """An earlier boot of the file's clock is this machine's own, so another machine has used the file since."""


@attrs.frozen
class StoreClock:
    """Reads and keeps the one row of the table `clock`.

    In one boot, now = clock + offset. In a new boot, or where that would be earlier than the last now that was written,
    the offset is chosen anew: now is the wall clock's time, or the last now if that is later.

    Attributes:
        clock: Seconds since the machine was started, those of its sleep included.
        boot: Names this boot.
        wall: Seconds since 1970.
    """

    clock: Callable[[], float]
    boot: Callable[[], str]
    wall: Callable[[], float]

    def create(self, connection: sqlite3.Connection) -> None:
        """Make the table, in a transaction of the caller's."""
        connection.execute(TABLE)
        row = (self.boot(), self.wall() - self.clock(), self.wall())
        connection.execute("INSERT INTO clock VALUES (0, ?, ?, ?, '')", row)

    def now(self, connection: sqlite3.Connection, *, writes: bool) -> float | None:
        """Return now, in a transaction of the caller's; None if the row must be set first and `writes` is False.

        Raises:
            OtherMachineError: Two machines use the file.
        """
        boot, offset, last, earlier = connection.execute("SELECT boot, offset, last, earlier FROM clock").fetchone()
        mine, here = self.boot(), self.clock()
        boots = earlier.split()
        if mine == boot and here + offset >= last:
            return float(here + offset)
        if mine != boot and mine in boots:
            raise OtherMachineError
        if not writes:
            return None
        # A new boot; or the clock itself was set back, as in a machine that is restored from a snapshot.
        now = max(self.wall(), last)
        kept = " ".join([*boots, boot][-_BOOTS_KEPT:]) if mine != boot else earlier
        connection.execute(
            "UPDATE clock SET boot = ?, offset = ?, last = ?, earlier = ?", (mine, now - here, now, kept)
        )
        return float(now)

    def note(self, connection: sqlite3.Connection, now: float) -> None:
        """Write the last now, in the transaction that changes records."""
        connection.execute("UPDATE clock SET last = max(last, ?)", (now,))
