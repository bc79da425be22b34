"""The journal of a batch, in one process, in several, and in processes that are killed."""

from __future__ import annotations

import os
import re
import resource
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from enkash_async.batch.journal import Journal
from enkash_async.errors import ConfigurationError, InvalidRequestError

NOON = datetime(2026, 11, 2, 12, 0, 0, 250_000, tzinfo=UTC)
LATER = NOON + timedelta(minutes=3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "november.journal"


def reopened(path: Path, *ids: str) -> list[datetime | None]:
    """Return what the next run reads."""
    with Journal(path) as journal:
        return [journal.sent_at(each) for each in ids]


class TestEntries:
    def test_the_next_run_knows_what_was_about_to_be_sent(self, path: Path) -> None:
        """The journal returns the time of each confirmation to the next process that opens it."""
        with Journal(path) as journal:
            assert journal.sent_at("U-1") is None
            journal.confirming(["U-1", "U-2"], NOON)
            assert journal.sent_at("U-1") == NOON
        assert reopened(path, "U-1", "U-2", "U-3") == [NOON, NOON, None]

    def test_an_answer_closes_an_entry(self, path: Path) -> None:
        """The journal forgets the answered bill and keeps the entry of the other one."""
        with Journal(path) as journal:
            journal.confirming(["U-1", "U-2"], NOON)
            journal.answered(["U-2", "U-9", "U-2"])
            assert (journal.sent_at("U-1"), journal.sent_at("U-2")) == (NOON, None)
        assert reopened(path, "U-1", "U-2") == [NOON, None]

    def test_the_last_entry_counts(self, path: Path) -> None:
        """The journal returns the later time when a bill is confirmed again."""
        with Journal(path) as journal:
            journal.confirming(["U-1", "U-2"], NOON)
            journal.answered(["U-1"])
            journal.confirming(["U-1", "U-2"], LATER)
        assert reopened(path, "U-1", "U-2") == [LATER, LATER]

    def test_a_line_is_plain_json(self, path: Path) -> None:
        """A person can read the line, whose time is in UTC."""
        zone = timezone(timedelta(hours=5, minutes=30))
        with Journal(path) as journal:
            journal.confirming(["U-1", "é\n\ud800"], NOON.astimezone(zone))
            journal.answered(["U-1"])
        assert path.read_bytes().splitlines() == [
            b'{"confirming": ["U-1", "\\u00e9\\n\\ud800"], "at": "2026-11-02T12:00:00.250000Z"}',
            b'{"answered": ["U-1"]}',
        ]
        assert reopened(path, "U-1", "é\n\ud800") == [None, NOON]

    def test_a_time_needs_its_zone(self, path: Path) -> None:
        """The journal refuses a naive time, which would mean another moment elsewhere."""
        with Journal(path) as journal:
            with pytest.raises(InvalidRequestError, match="without a zone"):
                journal.confirming(["U-1"], datetime(2026, 11, 2))
        assert not path.exists()


class TestFile:
    def test_nothing_is_written_before_a_confirmation(self, path: Path) -> None:
        """An answer without an entry writes nothing either."""
        with Journal(path) as journal:
            journal.answered(["U-1"])
            journal.remove()
        assert not path.exists()

    def test_an_entry_is_on_the_disk_before_it_counts(self, path: Path) -> None:
        """The journal syncs the file, and the directory that has its new name."""
        synced: list[str] = []

        def sync(number: int) -> None:
            synced.append("folder" if stat.S_ISDIR(os.fstat(number).st_mode) else path.read_text())

        with Journal(path, sync=sync) as journal:
            journal.confirming(["U-1"], NOON)
            assert synced == ["folder", path.read_text()]
            assert "U-1" in synced[1]
            journal.confirming(["U-2"], NOON)
        assert synced[2:] == [path.read_text()]

    def test_only_the_owner_can_read_it(self, path: Path) -> None:
        """The journal and its lock file get mode 0600, whatever the umask of the process allows."""
        before = os.umask(0)
        try:
            with Journal(path) as journal:
                journal.confirming(["U-1"], NOON)
        finally:
            os.umask(before)
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
        assert modes["november.journal"] == 0o600
        assert set(modes.values()) == {0o600}

    def test_it_goes_when_nothing_is_open(self, path: Path) -> None:
        """The journal removes its file after the last answer and writes a new one for the next entry."""
        with Journal(path) as journal:
            journal.confirming(["U-1", "U-2"], NOON)
            journal.answered(["U-1"])
            journal.remove()
            assert path.exists()
            journal.answered(["U-2"])
            journal.remove()
            assert not path.exists()
            journal.confirming(["U-3"], LATER)
        assert reopened(path, "U-2", "U-3") == [None, LATER]

    def test_it_is_written_inside_its_block_alone(self, path: Path) -> None:
        """The journal refuses a write outside, where another run may be at work."""
        with Journal(path) as journal:
            journal.confirming(["U-1"], NOON)
        with pytest.raises(ConfigurationError, match="inside its with block"):
            journal.confirming(["U-2"], NOON)
        with pytest.raises(ConfigurationError, match="inside its with block"):
            journal.remove()
        assert reopened(path, "U-1", "U-2") == [NOON, None]


class TestDamage:
    def test_a_torn_last_line_is_as_good_as_none(self, path: Path) -> None:
        """The journal ignores a line that a kill cut at any place, and writes the next one whole."""
        with Journal(path) as journal:
            for number in range(3):
                journal.confirming([f"U-{number}"], NOON)
        whole = path.read_bytes()
        ends = [found.end() for found in re.finditer(b"\n", whole)]
        for cut in range(len(whole)):
            path.write_bytes(whole[:cut])
            with Journal(path) as journal:
                found = [journal.sent_at(f"U-{number}") for number in range(3)]
                assert found == [NOON if end <= cut else None for end in ends]
                journal.confirming(["U-9"], LATER)
            assert reopened(path, "U-9", "U-0") == [LATER, found[0]]

    @pytest.mark.parametrize(
        "line",
        [
            b"",
            b"{",
            b"[]",
            b"\0\0\0",
            b"\xff",
            b'{"confirming": ["U-1"]}',
            b'{"confirming": "U-1", "at": "2026-11-02T12:00:00Z"}',
            b'{"confirming": [1], "at": "2026-11-02T12:00:00Z"}',
            b'{"confirming": ["U-1"], "at": "2026-11-02T12:00:00"}',
            b'{"confirming": ["U-1"], "at": "0001-01-01T00:00:00+14:00"}',
            b'{"confirming": ["U-1"], "at": "noon"}',
            b'{"confirming": ["U-1"], "at": "2026-11-02T12:00:00Z", "more": 1}',
            b'{"answered": [[]]}',
            b'{"answered": ["U-1"], "more": 1}',
            b"[" * 100_000,
        ],
    )
    def test_any_other_unreadable_line_stops_the_run(self, path: Path, line: bytes) -> None:
        """The message says what to do, and the lock is free afterwards."""
        path.write_bytes(b'{"answered": ["U-1"]}\n' + line + b'\n{"answered": ["U-1"]}\n')
        for journal in [Journal(path) for _ in range(2)]:
            with pytest.raises(ConfigurationError, match=r"^november.journal:2: .* then delete the file$"), journal:
                raise AssertionError("the journal was read")

    def test_a_full_disk_is_said_and_leaves_nothing_behind(self, path: Path) -> None:
        """The journal removes half a line before it writes the next one."""
        with Journal(path) as journal:
            journal.confirming(["U-1"], NOON)
            with _largest(path.stat().st_size + 20):
                with pytest.raises(ConfigurationError, match="the journal cannot be written: File too large"):
                    journal.confirming(["U-2"], NOON)
                assert path.read_bytes().count(b"confirming") == 2  # one of them cut off
            assert journal.sent_at("U-2") is None
            journal.confirming(["U-3"], LATER)
        assert reopened(path, "U-1", "U-2", "U-3") == [NOON, None, LATER]

    def test_an_answer_that_cannot_be_noted_is_an_answer(self, path: Path) -> None:
        """The run goes on to its results, and the next run waits once in vain."""
        with Journal(path) as journal:
            journal.confirming(["U-1"], NOON)
            with _largest(path.stat().st_size):
                journal.answered(["U-1"])
            assert journal.sent_at("U-1") is None
        assert reopened(path, "U-1") == [NOON]

    def test_a_file_that_is_none_is_said(self, path: Path) -> None:
        """The journal refuses a directory in its place or its lock's, and frees the lock."""
        path.mkdir()
        for _ in range(2):
            with pytest.raises(ConfigurationError, match=r"^november.journal: the journal cannot be read: "):
                reopened(path)
        lock = path.with_name("other.journal.lock")
        lock.mkdir()
        with pytest.raises(ConfigurationError, match=r"^other.journal: the journal cannot be locked: "):
            reopened(path.with_name("other.journal"))

    def test_a_file_that_cannot_be_deleted_stays(self, path: Path) -> None:
        """The run ends well, because all entries of the file are closed."""
        with Journal(path) as journal:
            path.mkdir()
            journal.remove()
        assert path.is_dir()


@contextmanager
def _largest(size: int) -> Iterator[None]:
    """Limit the size of this process's files, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


#: Confirms for ever, and says which ones it has noted.
PROGRAM = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from enkash_async.batch.journal import Journal

with Journal(Path(sys.argv[1])) as journal:
    number = 0
    while True:
        journal.confirming([f"U-{number}", f"V-{number}"], datetime.now(UTC))
        print(number, flush=True)
        number += 1
"""


class TestProcesses:
    def test_one_run_works_on_a_batch_until_it_is_killed(self, path: Path) -> None:
        """A second run is refused until then and reads the first one's entries afterwards."""
        command = [sys.executable, "-c", PROGRAM, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                for _ in range(50):
                    assert process.stdout.readline()
                with pytest.raises(ConfigurationError, match="another run works on this batch: wait until it has"):
                    reopened(path)
            finally:
                process.kill()
            last = int(("49\n" + process.stdout.read()).split("\n")[-2])
        with Journal(path) as journal:
            for number in range(last + 1):
                assert journal.sent_at(f"U-{number}") == journal.sent_at(f"V-{number}") is not None
            journal.confirming(["U-0"], LATER)
            assert journal.sent_at("U-0") == LATER

    def test_two_journals_in_one_process_exclude_each_other(self, path: Path) -> None:
        """Two calls of the command in one program cannot work on one batch."""
        with Journal(path):
            with pytest.raises(ConfigurationError, match="another run works on this batch"):
                reopened(path)
        assert reopened(path, "U-1") == [None]
