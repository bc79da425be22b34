"""The server of all contenders: one process that does as little work per request as Python can.

It answers with bytes prepared before, so that the benchmark measures the client. `GET /counts` returns the number of
requests of each kind, `GET /logins` the time of each login, and `POST /reset` clears both. Tokens can expire soon, and
logins can take as long as over the internet.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import attrs

from benchmarks._samples import BILL_PATH, SEARCH_PATH, TOKEN_PATH, bill, bill_reply, page
from enkash_async import Credentials, Routes

__all__ = ["CREDENTIALS", "WAITING", "Server", "serving"]

#: Made up; the server accepts any credentials.
CREDENTIALS = Credentials("bench-client", "bench-secret", "bench@example.com", "bench-password")
#: Prefix of the ids of bills whose debit is not confirmed yet.
WAITING = "WAIT-"
_DIFFERENT = 64  # bills that the server has; each id is mapped to one of them

_FETCH_PATH = Routes().fetch_bill
_WAITING_PATH = BILL_PATH + WAITING
#: Members of a bill whose debit waits to be confirmed.
_UNCONFIRMED = {
    "approvalStatus": "MAKER_APPROVAL_PENDING",
    "paymentStatus": "INIT",
    "billpayStatus": "PENDING",
    "paymentDate": None,
    "billpayDate": None,
    "approvedDate": None,
}
#: The payload of every fetched bill.
_DUE = {
    "companyBillerId": "CB-000000001",
    "billNumber": "B-000000001",
    "userName": "A Consumer",
    "billAmount": 2450.75,
    "billDate": "2026-12-01",
    "billDueDate": "2026-12-21",
    "billPeriod": "MONTHLY",
    "billNetAmount": 2450.75,
    "earlyPaymentAmount": 2400.25,
    "earlyPaymentDate": "2026-12-10",
    "latePaymentAmount": 2525.5,
    "actualDueDate": "2026-12-21",
    "statusMessage": "",
    "billId": "BILL-000000001",
    "validationId": "V-000000001",
    "billStartDate": "2026-11-01",
    "billEndDate": "2026-11-30",
}


@attrs.frozen
class Server:
    """The address of a running server."""

    base_url: str


def _payload(payload: object) -> bytes:
    return json.dumps({"response_code": 0, "response_message": "Success", "payload": payload}).encode()


def _answer(body: bytes, kind: str = "application/json") -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: keep-alive\r\n\r\n"
    return head.encode() + body


class _Answers:
    """The prepared replies, and the counts of requests."""

    def __init__(self, lifetime: float, login: float) -> None:
        self.counts: Counter[str] = Counter()
        self.logins: list[float] = []  # monotonic seconds, which all processes of a machine share
        self.login = login
        self._lifetime = lifetime
        self._numbers = itertools.count(1)
        self._bills = [_answer(bill_reply(number)) for number in range(_DIFFERENT)]
        self._waiting = [_answer(_payload(bill(number) | _UNCONFIRMED)) for number in range(_DIFFERENT)]
        self._due = _answer(_payload(_DUE))
        self._done = _answer(_payload(None))
        self._pages: dict[int, bytes] = {}

    def to(self, target: str, body: bytes) -> bytes:
        """Return the whole reply to a request, and count the request."""
        if target.startswith(BILL_PATH):
            self.counts["bill"] += 1
            bills = self._waiting if target.startswith(_WAITING_PATH) else self._bills
            return bills[crc32(target.encode()) % _DIFFERENT]
        if target == _FETCH_PATH:
            self.counts["fetch"] += 1
            return self._due
        if target == TOKEN_PATH:
            self.counts["token"] += 1
            self.logins.append(time.monotonic())
            token = {
                "access_token": f"bench-token-{next(self._numbers)}",
                "token_type": "bearer",
                "expires_in": self._lifetime,
                "scope": "read write",
            }
            return _answer(json.dumps(token).encode())
        if target == SEARCH_PATH:
            self.counts["search"] += 1
            return self._page(json.loads(body)["limit"])
        if target == "/counts":
            return _answer(json.dumps(self.counts).encode())
        if target == "/logins":
            return _answer(json.dumps(self.logins).encode())
        if target == "/reset":
            self.counts.clear()
            self.logins.clear()
            return _answer(b"{}")
        self.counts["other"] += 1
        return self._done

    def _page(self, size: int) -> bytes:
        if size not in self._pages:
            self._pages[size] = _answer(page(range(size)))
        return self._pages[size]


class _Connection(asyncio.Protocol):
    def __init__(self, answers: _Answers) -> None:
        self._answers = answers
        self._received = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("a TCP connection is expected")
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head, begin = self._received[:end], end + 4
            length = _length(head)
            if len(self._received) < begin + length:
                return
            body, self._received = self._received[begin : begin + length], self._received[begin + length :]
            target = head.split(b" ", 2)[1].decode("ascii")
            reply = self._answers.to(target, body)
            if target == TOKEN_PATH and self._answers.login:
                asyncio.get_running_loop().call_later(self._answers.login, self._transport.write, reply)
            else:
                self._transport.write(reply)


def _length(head: bytes) -> int:
    if head.startswith(b"GET"):
        return 0
    _, found, rest = head.lower().partition(b"content-length:")
    return int(rest.split(b"\r\n", 1)[0]) if found else 0


async def _serve(lifetime: float, login: float) -> None:
    answers = _Answers(lifetime, login)
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(answers), "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)  # returns when the parent process is gone


@contextlib.contextmanager
def serving(*, lifetime: float = 36_000, login: float = 0.0) -> Iterator[Server]:
    """Run the server in a process of its own.

    Args:
        lifetime: Seconds for which a token is valid.
        login: Seconds that a login takes.
    """
    command = [sys.executable, "-m", "benchmarks._server", f"--lifetime={lifetime}", f"--login={login}"]
    top = Path(__file__).parents[1]
    with subprocess.Popen(  # noqa: S603 (our own module)
        command, cwd=top, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the server has no pipes")
        try:
            yield Server(f"http://127.0.0.1:{int(process.stdout.readline())}")
        finally:
            process.stdin.close()


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lifetime", type=float, required=True)
    parser.add_argument("--login", type=float, required=True)
    given = parser.parse_args()
    asyncio.run(_serve(given.lifetime, given.login))


if __name__ == "__main__":
    _main()
