"""The store in a file: who may read it, its clock, forks, and what happens to files."""

# ruff: noqa: ASYNC240 (a test may look at a file)

from __future__ import annotations

import asyncio
import ctypes
import functools
import logging
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import attrs
import pytest
from stores.stores import SECRET, alone, count_up, in_child, put, timed, value_of

from enkash_async._support.clock import machine as boottime
from enkash_async.errors import ConfigurationError, StoreError, StoreUnavailableError
from enkash_async.stores import SQLiteStore, open_store, user_store_path
from enkash_async.stores.boot import boot_id
from enkash_async.stores.filesystems import check_local, filesystem_of
from enkash_async.testing.racing import racers

from support import shown

KEY = "enkash:test:v2:key"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "store.sqlite3"


async def filled(path: Path) -> None:
    """Make a file that holds a record."""
    store = SQLiteStore(path)
    assert await put(store, KEY, b"value")
    await store.aclose()


# The file.


async def test_the_file_and_its_folder_are_the_owners_alone(path: Path) -> None:
    """Whatever the umask is; so are the files beside it."""
    before = os.umask(0)
    try:
        store = SQLiteStore(path)
        await put(store, KEY, b"value")
        modes = {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        assert {file.name for file in path.parent.iterdir()} == {f"{path.name}{end}" for end in ("", "-wal", "-shm")}
        assert modes == {0o600}
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        await store.aclose()
    finally:
        os.umask(before)


async def test_a_file_that_others_may_read_is_made_private(path: Path) -> None:
    """When it is opened, with the two beside it."""
    await filled(path)
    first = SQLiteStore(path)
    assert await value_of(first, KEY) == b"value"
    files = [path.with_name(f"{path.name}{end}") for end in ("", "-wal", "-shm")]
    for file in files:
        file.chmod(0o644)
    store = SQLiteStore(path)
    assert await value_of(store, KEY) == b"value"
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600] * 3
    for one in (first, store):
        await one.aclose()


async def test_an_empty_file_becomes_a_store(path: Path) -> None:
    """As one that `mktemp` has made; it is private from then on."""
    path.parent.mkdir()
    path.write_bytes(b"")
    await filled(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_what_was_swapped_is_on_disk(path: Path) -> None:
    """Every commit is synced, and readers do not wait for writers."""
    store = SQLiteStore(path)
    await put(store, KEY, b"value")
    connection = store._file._connection
    assert connection is not None
    said = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    assert said == ["wal", 2]
    await store.aclose()


async def test_records_that_have_ended_are_removed(path: Path) -> None:
    """Now and then."""
    clock = Machine("boot")
    store = clock.store(path)
    for number in range(300):
        await put(store, f"key-{number}", b"value")
        clock.up += 1
    await store.aclose()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM records").fetchone()[0] < 150


def test_the_file_of_a_user_is_in_the_state_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As the XDG rules say on Linux."""
    monkeypatch.undo()  # every test has a folder of its own
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert user_store_path() == tmp_path / "enkash-async" / "store.sqlite3"


def folder(path: Path) -> None:
    path.mkdir()


def pipe(path: Path) -> None:
    os.mkfifo(path)


def text(path: Path) -> None:
    path.write_text("shared with others")


def database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE records (theirs)")


def database_of_a_program_that_names_itself(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA application_id = 5")


@pytest.mark.parametrize("make", [folder, pipe, text, database, database_of_a_program_that_names_itself])
async def test_what_is_no_store_is_refused_and_stays_as_it_is(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """A wrong path would otherwise lock everybody out of a folder such as /tmp, or out of a file they share."""
    path = tmp_path / "theirs"
    make(path)
    path.chmod(0o777)
    tmp_path.chmod(0o755)
    before = path.read_bytes() if path.is_file() else b""
    await refused(path)
    assert [stat.S_IMODE(each.stat().st_mode) for each in (path, tmp_path)] == [0o777, 0o755]
    assert [file.name for file in tmp_path.iterdir()] == ["theirs"]
    assert not path.is_file() or path.read_bytes() == before


@pytest.mark.parametrize("wrong", ["", ":memory:", "sqlite:///a", "a\0b", Path("a\0b"), 5, None])
def test_what_is_no_path_is_refused(wrong: object) -> None:
    """Before any file is made."""
    with pytest.raises(ConfigurationError, match="path must be that of a file"):
        SQLiteStore(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(("home", "path"), [("", "~/x"), ("relative", "~/x"), (None, "~made-up-user/x")])
def test_a_home_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, home: str | None, path: str) -> None:
    """With a word on it; in a URL too."""
    if home is not None:
        monkeypatch.setenv("HOME", home)
    with pytest.raises(ConfigurationError, match="no such home directory"):
        SQLiteStore(path)
    with pytest.raises(ConfigurationError, match="no such home directory"):
        open_store(f"sqlite:///{path}")


def test_a_url_in_the_place_of_a_path_is_hidden() -> None:
    """A rendered traceback shows no password of it, also where it shows the half-made store."""
    url = f"postgresql://owner:{SECRET}@127.0.0.1/db"
    with pytest.raises(ConfigurationError) as caught:
        SQLiteStore(url)
    said = shown(caught.value)
    assert "SQLiteStore('…')" in said
    assert SECRET not in said


# The clock.


@attrs.define
class Machine:
    """A machine with its boot and its clocks."""

    boot: str
    up: float = 100.0
    wall: float = 1_700_000_000.0

    def store(self, path: Path) -> SQLiteStore:
        return SQLiteStore(path, clock=lambda: self.up, boot=lambda: self.boot, wall=lambda: self.wall)

    async def now(self, path: Path) -> float:
        """Write, and return what time it is then."""
        store = self.store(path)
        held = await value_of(store, KEY)
        assert await put(store, KEY, b"value", held)
        now = (await store.read([KEY]))[KEY].now
        await store.aclose()
        return now


async def test_now_begins_at_the_wall_clock_and_runs_with_the_machine(path: Path) -> None:
    """Setting the wall clock does not change it."""
    machine = Machine("boot")
    assert await machine.now(path) == 1_700_000_000.0
    machine.up += 50
    machine.wall -= 3600
    assert await machine.now(path) == 1_700_000_050.0


@pytest.mark.parametrize(("wall", "expected"), [(1_700_009_000.0, 1_700_009_000.0), (1_600_000_000.0, 1_700_000_050.0)])
async def test_after_a_new_boot_now_is_never_earlier(path: Path, wall: float, expected: float) -> None:
    """It is the wall clock's time, or the last one that was written; and it runs on."""
    machine = Machine("first")
    await machine.now(path)
    machine.up += 50
    assert await machine.now(path) == 1_700_000_050.0
    machine.boot, machine.up, machine.wall = "second", 3.0, wall
    assert await machine.now(path) == expected
    machine.up += 10
    assert await machine.now(path) == expected + 10


async def test_a_read_after_a_new_boot_sets_the_clock_too(path: Path) -> None:
    """Else two processes would have two times until somebody writes."""
    machine = Machine("first")
    await machine.now(path)
    machine.boot, machine.up, machine.wall = "second", 3.0, 1_700_000_500.0
    store = machine.store(path)
    first = (await store.read([KEY]))[KEY].now
    machine.wall += 1000
    machine.up += 1
    assert (await store.read([KEY]))[KEY].now == first + 1
    await store.aclose()


async def test_a_machine_that_was_set_back_does_not_set_now_back(path: Path) -> None:
    """As one that is restored from a snapshot, in the same boot; and waits still end."""
    machine = Machine("boot", up=5000.0)
    before = await machine.now(path)
    machine.up -= 3000
    assert await machine.now(path) == before
    machine.up += 7
    assert await machine.now(path) == before + 7


async def test_a_system_without_names_of_boots_has_a_clock_too(path: Path) -> None:
    """That a boot is new is seen by its clock, which begins anew."""
    machine = Machine("", up=5000.0)
    before = await machine.now(path)
    machine.up, machine.wall = 3.0, machine.wall + 600
    assert await machine.now(path) == before + 600
    machine.up += 7
    assert await machine.now(path) == before + 607


async def test_a_file_may_move_between_machines(path: Path) -> None:
    """As a volume that is mounted here, then there, and here again; the clock goes on, and is never earlier."""
    seen = []
    first, second = Machine("first"), Machine("second", up=7.0)
    for number, machine in enumerate((first, second, first, second, second, first)):
        machine.wall = 1_700_000_000.0 + 61 * number
        machine.up += 1
        seen.append(await machine.now(path))
    assert seen == sorted(seen)
    assert seen[:4] == [1_700_000_000.0 + 61 * number for number in range(4)]


async def test_two_machines_are_refused(path: Path) -> None:
    """The first one learns it when it comes back, just after the second has used the file."""
    first, second = Machine("first"), Machine("second")
    await first.now(path)
    await second.now(path)
    for _ in range(2):
        with pytest.raises(StoreUnavailableError, match="another machine has written to it"):
            await first.now(path)
    third = Machine("third")
    await third.now(path)
    for machine in (first, second):
        with pytest.raises(StoreUnavailableError, match="another machine has written to it"):
            await machine.now(path)


def test_this_machine_has_a_boot_and_a_clock() -> None:
    """The clock is that of the kernel, which runs on while the machine sleeps."""
    assert boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert abs(boottime() - float(Path("/proc/uptime").read_text().split()[0])) < 1


# Forks.


def counted(store: SQLiteStore, times: int) -> list[int]:
    return alone(count_up(store, KEY, times))


def test_parent_and_child_share_the_file(path: Path) -> None:
    """With the store that the parent had open."""
    store = SQLiteStore(path)
    assert counted(store, 2) == [1, 2]
    assert in_child(lambda: counted(store, 2) == [3, 4])
    assert counted(store, 1) == [5]
    store._file.close()


def test_a_child_holds_locks_of_its_own(path: Path) -> None:
    """What it inherits of SQLite would let it write without any: none is open when it is born."""
    store = SQLiteStore(path)
    counted(store, 1)
    assert in_child(lambda: store._file._connection is None and store._file.lock.acquire(timeout=1))
    store._file.close()


def test_forks_amid_writes_lose_nothing(path: Path) -> None:
    """Threads of the parent write while children are born, and the children write too."""
    store = SQLiteStore(path)
    counted(store, 1)
    stop = threading.Event()
    made: list[int] = []

    def write() -> None:
        while not stop.is_set():
            made.extend(counted(store, 3))

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    born = [in_child(lambda: len(counted(store, 5)) == 5) for _ in range(8)]
    stop.set()
    for writer in writers:
        writer.join()
    assert born == [True] * 8
    assert counted(store, 1) == [1 + len(made) + 8 * 5 + 1]
    assert len(set(made)) == len(made)
    store._file.close()


def forked_by_c(life: Callable[[], bool], *, has_hook: bool) -> bool:
    """As `in_child`, but forked by C code: at most the hook in the child is called, and none before."""
    child = ctypes.PyDLL(None).fork()
    if child == 0:
        if has_hook:
            ctypes.pythonapi.PyOS_AfterFork_Child()
        try:
            os._exit(0 if life() else 1)
        except BaseException:  # noqa: BLE001 (a child must not run the rest of the tests)
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


#: Forks by C code, after a call (idle) or in the midst of one (busy); prints what child and parent can do then. Without
#: any hook, Python's own threads are of no use in the child, so it works without them.
_FORKED_BY_C = """
import os, sys
from pathlib import Path
from stores.test_sqlite import counted, forked_by_c
from enkash_async.stores import SQLiteStore
path, has_hook, is_busy = Path(sys.argv[1]), sys.argv[2] == "hook", sys.argv[3] == "busy"
store = SQLiteStore(path)
counted(store, 1)
if is_busy:
    store._file.lock.acquire()
def has_lock():
    locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return [str(os.getpid()), str(path.stat().st_ino)] in [[lock[4], lock[5].rpartition(":")[2]] for lock in locks]
def insert(connection, now):
    connection.execute("INSERT INTO records VALUES (hex(randomblob(8)), 'theirs', NULL)")
def child():
    for each in (store, SQLiteStore(path)):
        try:
            each._file.transact(insert, writes=True)
            print("child wrote, with a lock" * has_lock(), flush=True)
        except Exception as error:
            print(type(error).__name__, "after the fork" in str(error), flush=True)
    return True
assert forked_by_c(child, has_hook=has_hook)
if is_busy:
    store._file.lock.release()
print("parent", counted(store, 1))
count = "SELECT count(*) FROM records"
print("records", store._file.transact(lambda connection, now: connection.execute(count).fetchone()[0], writes=False))
"""


@pytest.mark.parametrize(
    ("hook", "state", "expected"),
    [
        ("hook", "idle", [*["child wrote, with a lock"] * 2, "parent [2]", "records 3"]),
        ("none", "idle", [*["child wrote, with a lock"] * 2, "parent [2]", "records 3"]),
        ("hook", "busy", [*["StoreUnavailableError True"] * 2, "parent [2]", "records 1"]),
    ],
)
def test_a_child_forked_by_c_code_has_locks_of_its_own_or_is_refused(
    path: Path, hook: str, state: str, expected: list[str]
) -> None:
    """As under uWSGI, which forks after the application was loaded and used, and calls no hook before."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _FORKED_BY_C, str(path), hook, state],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(entry or "." for entry in sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == expected


# What happens to files.


async def refused(path: Path, *, patience: float = 0.3) -> str:
    """Return the words of the error that a read and a swap end with."""
    store = SQLiteStore(path, patience=patience)
    for call in (store.read([KEY]), put(store, KEY, b"new", b"value")):
        outcome, took = await timed(call)
        assert isinstance(outcome, StoreUnavailableError), outcome
        assert took < patience + 3
        assert str(path) in str(outcome)
        assert "ENKASH_STORE_URL" in str(outcome)
        assert outcome.__context__ is None
        assert outcome.__cause__ is None
    await store.aclose()
    return str(outcome)


async def test_a_damaged_file_is_named(path: Path) -> None:
    """It is left as it is."""
    path.parent.mkdir()
    path.write_bytes(b"this is not a database" * 100)
    assert "damaged" in await refused(path)
    assert path.read_bytes() == b"this is not a database" * 100


async def test_a_file_that_is_damaged_inside_is_named(path: Path) -> None:
    """Its head is whole."""
    await filled(path)
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * (path.stat().st_size - 100))
    assert "damaged" in await refused(path)


async def test_a_file_of_a_newer_version_is_left_alone(path: Path) -> None:
    """The store is not away: nobody acts as if there were no records."""
    await filled(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 2")
    store = SQLiteStore(path)
    with pytest.raises(StoreError, match="newer version") as caught:
        await value_of(store, KEY)
    assert not isinstance(caught.value, StoreUnavailableError)
    await store.aclose()


async def test_a_path_that_cannot_be_a_file_is_named(tmp_path: Path) -> None:
    """A folder; or a file where a folder should be."""
    (tmp_path / "folder").mkdir()
    await refused(tmp_path / "folder")
    (tmp_path / "file").write_text("")
    await refused(tmp_path / "file" / "store.sqlite3")


#: Runs as nobody where the tests run as root, whom no mode keeps from writing; prints how a read and a swap end.
_AS_NOBODY = """
import asyncio, os, resource, signal, sys
from enkash_async.stores import Change, SQLiteStore
path, limit = sys.argv[1], int(sys.argv[2])
if limit:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
elif os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
async def main():
    store = SQLiteStore(path, patience=0.3)
    for call in (lambda: store.read(["enkash:test:v2:key"]), lambda: store.swap([Change("a", None, b"x" * 100_000)])):
        try:
            await call()
            print("done")
        except Exception as error:
            print(type(error).__name__, error)
    await store.aclose()
asyncio.run(main())
"""


def as_nobody(path: Path, *, limit: int = 0) -> list[str]:
    """Return how a read and a swap end, for a user who owns nothing, or under a limit to the size of files."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _AS_NOBODY, str(path), str(limit)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(entry or "." for entry in sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may enter: that of pytest is its owner's."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


async def test_a_file_that_may_not_be_written_is_named(open_folder: Path) -> None:
    """And one in a folder where none may be made."""
    path = open_folder / "store.sqlite3"
    await filled(path)
    path.chmod(0o444)
    open_folder.chmod(0o555)
    for file in (path, open_folder / "other.sqlite3"):
        for words in as_nobody(file):
            assert words.startswith("StoreUnavailableError")
            assert str(file) in words
            assert "ENKASH_STORE_URL" in words


async def test_a_full_disk_is_named_and_reading_goes_on(path: Path) -> None:
    """What was written before is still there."""
    await filled(path)
    read, swap = as_nobody(path, limit=40_000)
    assert read == "done"
    assert swap.startswith("StoreUnavailableError")
    assert "full" in swap
    store = SQLiteStore(path)
    assert await value_of(store, KEY) == b"value"
    assert await value_of(store, "a") is None
    await store.aclose()


@pytest.mark.parametrize("what", ["file", "folder"])
async def test_a_file_that_was_removed_is_made_anew(path: Path, what: str) -> None:
    """A store that has lost its records is an empty one, for all processes alike: none goes on with the old file."""
    store, other = SQLiteStore(path), SQLiteStore(path)
    await put(store, KEY, b"value")
    assert await value_of(other, KEY) == b"value"
    for file in list(path.parent.iterdir()):
        file.unlink()
    if what == "folder":
        path.parent.rmdir()
    assert await value_of(store, KEY) is None
    assert await put(store, KEY, b"new")
    assert await value_of(other, KEY) == b"new"
    for one in (store, other):
        await one.aclose()


async def test_a_file_that_is_removed_in_the_midst_of_a_swap_is_no_success(path: Path) -> None:
    """What was written is in a file that no other process sees."""
    store = SQLiteStore(path)
    await put(store, KEY, b"value")
    note = type(store._file._clock).note

    def remove(clock: object, connection: sqlite3.Connection, now: float) -> None:
        note(store._file._clock, connection, now)
        path.unlink()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(store._file._clock), "note", remove)
        with pytest.raises(StoreUnavailableError, match="removed while it was in use"):
            await put(store, KEY, b"new", b"value")
    await store.aclose()


@contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """Another process's transaction, as one that is stopped has it open."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection


async def test_a_lock_that_lasts_is_named_and_reading_goes_on(path: Path) -> None:
    """A process was stopped in the midst of a swap; when it is over, swaps are made again."""
    store = SQLiteStore(path, patience=0.4)
    await put(store, KEY, b"value")
    with locked(path):
        assert await value_of(store, KEY) == b"value"
        outcome, took = await timed(put(store, KEY, b"new", b"value"))
        assert isinstance(outcome, StoreUnavailableError)
        assert "kept it locked for 0.4 s" in str(outcome)
        assert 0.4 <= took < 3
    assert await put(store, KEY, b"new", b"value")
    await store.aclose()


async def test_a_brief_lock_is_waited_for(path: Path) -> None:
    """Longer than SQLite itself would wait."""
    store = SQLiteStore(path)
    await put(store, KEY, b"value")
    with locked(path) as connection:
        swap = asyncio.ensure_future(put(store, KEY, b"new", b"value"))
        await asyncio.sleep(0.6)
        assert not swap.done()
        connection.execute("COMMIT")
        assert await swap
    await store.aclose()


async def test_a_process_that_is_killed_in_a_swap_keeps_no_lock(path: Path) -> None:
    """Nor one that is killed while it is stopped."""
    with racers(2, functools.partial(SQLiteStore, path)) as (one, other):
        one.start(f"count {KEY} 100000")
        assert int(one.line()) == 1
        os.kill(one.process.pid, signal.SIGSTOP)
        os.kill(one.process.pid, signal.SIGKILL)
        one.process.wait()
        other.start("take enkash:test:v2:other")
        assert other.line() == "True"


async def test_a_closed_store_says_so(path: Path) -> None:
    """It is no store that is away."""
    store = SQLiteStore(path)
    await store.aclose()
    with pytest.raises(StoreError, match="is closed") as caught:
        await value_of(store, KEY)
    assert not isinstance(caught.value, StoreUnavailableError)


# File systems.

_MOUNTS = r"""
22 1 0:20 / / rw,relatime - ext4 /dev/vda rw
30 22 0:30 / /srv/share rw shared:1 - nfs4 server:/export rw
31 22 0:31 / /srv/share/local rw - xfs /dev/vdb rw
32 22 0:32 / /srv/with\040blank rw - cifs //server/share rw
33 22 0:33 / /mnt/host rw - virtiofs host rw
34 22 0:34 / /over rw - nfs server:/a rw
35 22 0:35 / /over rw - tmpfs none rw
"""


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    file = tmp_path / "mountinfo"
    file.write_text(_MOUNTS.lstrip())
    return file


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/asha/store", "ext4"),
        ("/srv/share/store", "nfs4"),
        ("/srv/share/deep/er/store", "nfs4"),
        ("/srv/shared/store", "ext4"),
        ("/srv/share/local/store", "xfs"),
        ("/srv/with blank/store", "cifs"),
        ("/mnt/host/store", "virtiofs"),
        ("/over/store", "tmpfs"),
    ],
)
def test_the_file_system_of_a_path_is_known(mounts: Path, path: str, kind: str) -> None:
    """The deepest mount counts, and the last of equal ones."""
    assert filesystem_of(Path(path), mounts) == kind


@pytest.mark.parametrize("path", ["/srv/share/store", "/srv/with blank/store"])
def test_a_network_file_system_is_refused(mounts: Path, path: str) -> None:
    """By its name."""
    with pytest.raises(OSError, match="network file system"):
        check_local(Path(path), mounts)


def test_a_folder_of_the_host_is_warned_of(mounts: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Another machine may have it too; a local disk is not worth a word."""
    check_local(Path("/srv/share/local/store"), mounts)
    assert caplog.text == ""
    with caplog.at_level(logging.WARNING):
        check_local(Path("/mnt/host/store"), mounts)
    assert "virtiofs" in caplog.text


async def test_a_store_on_a_network_file_system_is_away(
    path: Path, mounts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an error that says what to set instead; no file is made."""
    mounts.write_text(f"22 1 0:20 / / rw - ext4 a rw\n23 22 0:21 / {path.parent} rw - nfs a rw\n")
    monkeypatch.setattr("enkash_async.stores.sqlite_file.check_local", lambda path: check_local(path, mounts))
    assert "network file system (nfs)" in await refused(path)
    assert not path.exists()


async def test_a_url_leads_to_the_file(path: Path) -> None:
    """Of an absolute path."""
    store = open_store(f"sqlite://{path}", nothing_pending=True)
    assert isinstance(store, SQLiteStore)
    assert store.nothing_pending
    await put(store, KEY, b"value")
    assert path.exists()
    await store.aclose()
