"""The journal of a batch: each confirmation is on disk before it is sent, so that a killed run can be repeated safely.

Prevents a double debit: a run is killed while its confirmation is in flight; the next run reads the bill before EnKash
has processed that confirmation, sees it as not confirmed, and confirms it again. The journal makes the next run wait.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from filelock import FileLock, Timeout

from enkash_async._support.text import clean
from enkash_async.errors import ConfigurationError, InvalidRequestError

__all__ = ["Journal"]


class Journal:
    """Records, in an append-only file, which confirmations may be in flight.

    A context manager that only one process at a time can enter. The lock file beside the journal is never deleted:
    deleting it could let two processes in. Both files hold only EnKash's ids and times, and only their owner may read
    them.

    Args:
        path: Path of the journal, made when the first confirmation is noted. The lock file's name is this and `.lock`.
        sync: Flushes a file or directory to the disk, given its file descriptor.

    Raises:
        ConfigurationError: On entering, another run holds the lock, or the journal cannot be read.
    """

    _sent: dict[str, datetime]
    _end: int

    def __init__(self, path: Path, *, sync: Callable[[int], None] = os.fsync) -> None:
        self._path = path
        self._sync = sync
        # thread_local=False: the lock belongs to this object, whichever thread uses it. timeout=0: do not wait for it.
        self._lock = FileLock(f"{path}.lock", timeout=0, mode=0o600, thread_local=False)
        self._file: FileIO | None = None

    def __enter__(self) -> Self:
        try:
            self._lock.acquire()
        except Timeout:
            raise self._error("another run works on this batch: wait until it has ended") from None
        except OSError as problem:
            raise self._refused("locked", problem) from None
        with ExitStack() as undone:
            undone.callback(self._lock.release)
            self._read()
            undone.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
        self._lock.release()

    def sent_at(self, utility_enkash_id: str) -> datetime | None:
        """Return when the latest confirmation of a bill was noted, or None if it was answered or never noted."""
        return self._sent.get(utility_enkash_id)

    def confirming(self, ids: Sequence[str], at: datetime) -> None:
        """Note that the confirmation of these bills is about to be sent; the note is on disk when this returns.

        Args:
            ids: `utility_enkash_id` of each bill.
            at: The present time, with a time zone.

        Raises:
            ConfigurationError: The note cannot be written; the caller must not send the confirmation.
        """
        if at.tzinfo is None:
            raise InvalidRequestError("at is a date-time without a zone: pass datetime.now(UTC)")
        moment = at.astimezone(UTC)
        self._append({"confirming": list(ids), "at": moment.isoformat().replace("+00:00", "Z")}, durable=True)
        self._sent.update(dict.fromkeys(ids, moment))

    def answered(self, ids: Iterable[str]) -> None:
        """Note that EnKash has answered for these bills, so that no confirmation of them is in flight any more."""
        known = [one for one in dict.fromkeys(ids) if one in self._sent]
        with suppress(ConfigurationError):
            # An error is ignored: this run must report its results, and without the line the next run only waits.
            self._append({"answered": known}, durable=False)
        for one in known:
            del self._sent[one]

    def remove(self) -> None:
        """Delete the journal, unless a confirmation in it may still be in flight.

        If the file cannot be deleted, it stays: the next run finds nothing in it to wait for.
        """
        self._check_inside()
        if self._sent:
            return
        self._close()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
            self._end = 0

    # --- reading ------------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            data = b""
        except OSError as problem:
            raise self._refused("read", problem) from None
        # After the last line break may be the half-written line of a killed run, which had not sent it yet.
        self._end = data.rfind(b"\n") + 1
        self._sent = {}
        for number, line in enumerate(data[: self._end].splitlines(), 1):
            try:
                self._replay(json.loads(line))
            except (ValueError, TypeError, OverflowError, RecursionError):
                unreadable = number
                break
        else:
            return
        raise self._error(
            "this line cannot be read, so it is not known which confirmations may still be on their way: wait ten "
            "minutes, look at the batch's bills (enkash bill get --reference …), then delete the file",
            unreadable,
        )

    def _replay(self, line: Any) -> None:
        match line:
            case {"confirming": list(ids), "at": str(at), **rest} if not rest:
                moment = datetime.fromisoformat(at)
                if moment.tzinfo is None:
                    raise ValueError("no zone")
                self._sent.update({_word(one): moment.astimezone(UTC) for one in ids})
            case {"answered": list(ids), **rest} if not rest:
                for one in ids:
                    self._sent.pop(_word(one), None)
            case _:
                raise ValueError("not a line of a journal")

    # --- writing ------------------------------------------------------------------------------------------------------

    def _append(self, line: dict[str, object], *, durable: bool) -> None:
        self._check_inside()
        data = json.dumps(line).encode("ascii") + b"\n"
        try:
            file = self._opened()
            # Removes the half-written line of a killed run or a full disk.
            file.truncate(self._end)
            _write(file, data)
            if durable:
                self._sync(file.fileno())
        except OSError as problem:
            raise self._refused("written", problem) from None
        self._end += len(data)

    def _check_inside(self) -> None:
        if not self._lock.is_locked:
            raise self._error("the journal can only be written inside its with block")

    def _opened(self) -> FileIO:
        if self._file is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            self._file = FileIO(self._path, "ab", opener=lambda path, _: os.open(path, flags | _BINARY, 0o600))
            self._sync_folder()
        return self._file

    def _sync_folder(self) -> None:
        """Flush the directory entry of the file to the disk too, where the system can open directories."""
        if not hasattr(os, "O_DIRECTORY"):  # Windows
            return
        with suppress(OSError):
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                self._sync(folder)
            finally:
                os.close(folder)

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _refused(self, done: str, problem: OSError) -> ConfigurationError:
        return self._error(f"the journal cannot be {done}: {problem.strerror or type(problem).__name__}")

    def _error(self, text: str, line: int | None = None) -> ConfigurationError:
        name = clean(self._path.name)
        return ConfigurationError(f"{name}: {text}" if line is None else f"{name}:{line}: {text}")


_BINARY = getattr(os, "O_BINARY", 0)  # Windows


def _word(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a str")
    return value


def _write(file: FileIO, data: bytes) -> None:
    # A nearly full disk accepts only a part of the data; the next write then raises.
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]
