"""A login server in a process of its own: it counts logins, and locks an account after three wrong ones in a row."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any

import attrs
from fleet.zygote import begin, finish

__all__ = ["CLIENT_SECRET", "RIGHT", "WRONG", "Account", "Enkash", "Login", "enkash"]

CLIENT_SECRET = "made-up-client-secret"
RIGHT = "right-password"
WRONG = "wrong-password"

_LOCKS_AT = 3  # wrong logins in a row
_LIFETIME = 600  # seconds without an order, after which a server that nobody ends is ended


@attrs.define
class Login:
    """One login that arrived; instants are those of `time.monotonic`, which the processes of a machine share."""

    outcome: str
    arrived: float
    answered: float | None = None


@attrs.define
class Account:
    """One user of EnKash.

    Attributes:
        passwords: The right ones.
        takes: Seconds that a login takes.
        once: Seconds that the next logins take instead, one after the other.
        lifetime: Of a token, in seconds.
        living: Instants at which tokens end.
        logins: All that arrived.
        in_a_row: Wrong ones since the last that worked.
    """

    passwords: set[str] = attrs.field(factory=lambda: {RIGHT})
    takes: float = 0.3
    once: list[float] = attrs.field(factory=list)
    lifetime: float = 3600.0
    living: dict[str, float] = attrs.field(factory=dict)
    logins: list[Login] = attrs.field(factory=list)
    in_a_row: int = 0
    locked: bool = False

    @property
    def worked(self) -> int:
        return sum(login.outcome == "worked" for login in self.logins)

    @property
    def refused(self) -> int:
        return sum(login.outcome != "worked" for login in self.logins)

    def judge(self, password: str) -> str:
        """Decide about a login when it arrives, as EnKash does, even if nobody waits for the answer."""
        if self.locked:
            return "locked"
        if password in self.passwords:
            self.in_a_row = 0
            return "worked"
        self.in_a_row += 1
        self.locked = self.in_a_row >= _LOCKS_AT
        return "wrong"


class _Process:
    """What runs in the server's process; each method without an underscore is an order."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}
        self._numbers = itertools.count(1)

    def open(self, name: str, **settings: Any) -> None:
        self._accounts[name] = Account(**settings)

    def change(self, name: str, **settings: Any) -> None:
        for setting, value in settings.items():
            setattr(self._accounts[name], setting, value)

    def seen(self, name: str) -> Account:
        return self._accounts[name]

    def revoke(self, name: str) -> None:
        self._accounts[name].living = dict.fromkeys(self._accounts[name].living, time.monotonic())

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one login."""
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            form = dict(urllib.parse.parse_qsl((await reader.readexactly(length)).decode()))
            status, reply = await self._log_in(self._accounts[form["username"]], form["password"])
            body = json.dumps(reply).encode()
            writer.write(
                b"HTTP/1.1 %d x\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"
                % (status, len(body), body)
            )
            await writer.drain()
        writer.close()

    async def _log_in(self, account: Account, password: str) -> tuple[int, dict[str, Any]]:
        login = Login(account.judge(password), time.monotonic())
        account.logins.append(login)
        await asyncio.sleep(account.once.pop(0) if account.once else account.takes)
        login.answered = time.monotonic()
        if login.outcome != "worked":
            words = "User account is locked" if login.outcome == "locked" else "Bad credentials"
            return 400, {"error": "invalid_grant", "error_description": words}
        token = f"made-up-token-{next(self._numbers)}"
        account.living[token] = login.arrived + account.lifetime
        return 200, {"accessToken": token, "tokenType": "bearer", "expiresIn": int(account.lifetime)}


def _main(line: Connection) -> None:
    signal.alarm(_LIFETIME)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with line:
        asyncio.run(_serve(line))


async def _serve(line: Connection) -> None:
    process, ended = _Process(), asyncio.Event()
    server = await asyncio.start_server(process.answer, "127.0.0.1", 0, backlog=512)
    line.send(server.sockets[0].getsockname()[1])

    def obey() -> None:
        try:
            order, arguments = line.recv()
        except EOFError:
            asyncio.get_running_loop().remove_reader(line.fileno())
            ended.set()
        else:
            signal.alarm(_LIFETIME)
            line.send(getattr(process, order)(**arguments))

    asyncio.get_running_loop().add_reader(line.fileno(), obey)
    await ended.wait()


class Enkash:
    """The server, as a test sees it."""

    def __init__(self, line: Connection) -> None:
        self._line = line
        self._names = (f"user-{number}@example.com" for number in itertools.count())
        self.base_url = f"http://127.0.0.1:{line.recv()}"

    def open(self, **settings: Any) -> str:
        """Open an account that nobody else uses, and return its user name."""
        name = next(self._names)
        self._tell("open", name=name, **settings)
        return name

    def change(self, name: str, **settings: Any) -> None:
        """Change the account from now on."""
        self._tell("change", name=name, **settings)

    def seen(self, name: str) -> Account:
        """Return the account as it is now."""
        account: Account = self._tell("seen", name=name)
        return account

    def revoke(self, name: str) -> None:
        """End all tokens of the account."""
        self._tell("revoke", name=name)

    def _tell(self, order: str, **arguments: Any) -> Any:
        self._line.send((order, arguments))
        assert self._line.poll(20), "the login server does not answer"
        return self._line.recv()


@contextmanager
def enkash() -> Iterator[Enkash]:
    """Run a login server."""
    process, line = begin(_main)
    try:
        with line:
            yield Enkash(line)
    finally:
        assert finish([process]) == [0]
