"""The clock that the processes of a machine share; it never goes back, not even after a reboot."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import attrs

__all__ = ["OTHER_MACHINE", "OtherMachineError", "StoreClock"]

OTHER_MACHINE = (
    "another machine has written to it within the last minute: SQLite cannot share a file between machines; where only "
    "one of them uses it at a time, it can be used again in a minute"
)
_RECENT = 60.0  # seconds after its last write in which a machine may still use the file; moving a volume takes as long
_BOOTS_KEPT = 64  # ids of earlier boots to keep; a machine whose id was dropped counts as a new machine

TABLE = (
    "CREATE TABLE clock (id INTEGER PRIMARY KEY CHECK (id = 0), boot TEXT NOT NULL, offset REAL NOT NULL,"
    " last REAL NOT NULL, earlier TEXT NOT NULL)"
)


class OtherMachineError(Exception):
    """Another machine used the file after this machine did, and may still use it."""


@attrs.frozen
class StoreClock:
    """Reads and writes the one row of the table `clock`.

    The time is the machine's clock plus an offset. A new offset is chosen in two cases: after a reboot, and if the time
    would be earlier than the last written time. The time then goes on from the wall clock, or from the last written
    time if that is later.

    Attributes:
        clock: Returns the seconds since the machine was started, including those in which it slept.
        boot: Returns the id of the machine's current boot.
        wall: Returns the seconds since 1970.
    """

    clock: Callable[[], float]
    boot: Callable[[], str]
    wall: Callable[[], float]

    def create(self, connection: sqlite3.Connection) -> None:
        """Make the table, within the caller's transaction."""
        connection.execute(TABLE)
        row = (self.boot(), self.wall() - self.clock(), self.wall())
        connection.execute("INSERT INTO clock VALUES (0, ?, ?, ?, '')", row)

    def now(self, connection: sqlite3.Connection, *, writes: bool) -> float | None:
        """Return the time, within the caller's transaction; None if the row must be set first but `writes` is False.

        Raises:
            OtherMachineError: Two machines use the file in turn, less than a minute apart.
        """
        boot, offset, last, earlier = connection.execute("SELECT boot, offset, last, earlier FROM clock").fetchone()
        mine, here = self.boot(), self.clock()
        boots = earlier.split()
        if mine == boot and here + offset >= last:
            return float(here + offset)
        if mine != boot and mine in boots and self.wall() - last < _RECENT:
            raise OtherMachineError
        if not writes:
            return None
        # The machine was rebooted, or its clock went back, for example because it was restored from a snapshot.
        now = max(self.wall(), last)
        kept = " ".join([one for one in [*boots, boot] if one != mine][-_BOOTS_KEPT:])
        connection.execute(
            "UPDATE clock SET boot = ?, offset = ?, last = ?, earlier = ?", (mine, now - here, now, kept)
        )
        return float(now)

    def note(self, connection: sqlite3.Connection, now: float) -> None:
        """Set the column `last` to the time, within the transaction that changes records."""
        connection.execute("UPDATE clock SET last = max(last, ?)", (now,))
