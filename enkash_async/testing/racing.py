"""Helpers for races in the tests of a store: tasks, threads and processes that change one record."""

from __future__ import annotations

import asyncio
import atexit
import base64
import contextlib
import os
import pickle
import secrets
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from typing import Any, TypeVar

import attrs

from enkash_async.stores.actions import RecordKind, act
from enkash_async.stores.store import Change, Store

__all__ = ["Racer", "count_up", "every", "in_threads", "number_in", "racers", "run_alone", "take"]

_T = TypeVar("_T")


# Number of ids that a record keeps. No test increments one key more than 100 times in several tasks or processes, so no
# id is dropped while its swap is still unanswered.
_IDS_KEPT = 100


@attrs.frozen
class _Count:
    """A number, and the ids of its last increments, the newest last."""

    number: int = 0
    ids: tuple[str, ...] = ()


class _Codec:
    """Encodes a count as its number and its ids, separated by spaces."""

    def decode(self, value: bytes) -> _Count:
        number, *ids = value.decode().split()
        return _Count(int(number), tuple(ids))

    def encode(self, record: _Count) -> bytes:
        return " ".join([str(record.number), *record.ids]).encode()


_COUNT: RecordKind[_Count] = RecordKind(_Codec())


def _next(record: _Count | None, id_: str, now: float) -> tuple[_Count, int]:
    count = record or _Count()
    if id_ in count.ids:  # this increment was written before, and the reply was lost
        return count, count.number - count.ids[::-1].index(id_)
    return _Count(count.number + 1, (*count.ids, id_)[-_IDS_KEPT:]), count.number + 1


async def count_up(store: Store, key: str, times: int = 1) -> list[int]:
    """Increment a number `times` times, and return each new number. A lost reply skips no number."""
    return [await act(store, key, _next, secrets.token_hex(8), kind=_COUNT, tries=200) for _ in range(times)]


def number_in(value: bytes | None) -> int:
    """Return the number in the record that `count_up` writes; 0 if there is no record."""
    return 0 if value is None else _COUNT.codec.decode(value).number


async def take(store: Store, key: str, name: bytes) -> bool:
    """Set a key if it holds nothing, and return whether this call has set it."""
    [made] = await store.swap([Change(key, None, name, 60)])
    return made


def run_alone(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine in an event loop of its own; unlike `asyncio.run`, keep the current loop that pytest has set."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(coroutine)


async def every(calls: Sequence[Awaitable[_T]]) -> list[_T]:
    """Run calls as concurrent tasks, and return their results."""
    return list(await asyncio.gather(*calls))


def in_threads(number: int, run: Callable[[], Coroutine[Any, Any, _T]]) -> list[_T]:
    """Run a coroutine in each of several threads, which start together and have an event loop each."""
    start = threading.Barrier(number)
    results: dict[int, _T] = {}
    errors: list[BaseException] = []

    def work(index: int) -> None:
        start.wait()
        try:
            results[index] = run_alone(run())
        except BaseException as error:  # noqa: BLE001 (raised in the test's own thread)
            errors.append(error)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return [results[index] for index in range(number)]


@attrs.define
class Racer:
    """A process that opens one store after another, and carries out orders from its standard input."""

    process: subprocess.Popen[str]

    def start(self, order: str) -> None:
        """Give the process an order: `open <store>`, `count <key> <times>`, `take <key>`, or `close`."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{order}\n")
        self.process.stdin.flush()

    def line(self) -> str:
        """Return the next line that the process prints; an empty string once the process has ended."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def kill(self) -> list[str]:
        """Kill the process, wait for its end, and return its unread lines; a second call returns no lines."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        if stdout.closed:
            return []
        self.process.kill()
        with stdin, stdout:  # not `communicate`, which leaves out what `readline` has read ahead
            unread = stdout.read().splitlines()
        self.process.wait()
        return unread


#: Idle processes, kept for the next test, since starting a process takes as long as a test.
_idle: list[Racer] = []


@contextlib.contextmanager
def racers(number: int, make: Callable[[], Store]) -> Iterator[list[Racer]]:
    """Lend processes that have each opened a store; a process that the test kills is not used again.

    Args:
        number: Number of processes.
        make: Opens the store. It is pickled, so it must be a function of a module, or a `functools.partial` of one.
    """
    job = base64.b64encode(pickle.dumps((dict(os.environ), make))).decode()
    lent = [_idle.pop() if _idle else _start() for _ in range(number)]
    try:
        for racer in lent:
            racer.start(f"open {job}")
        if any(racer.line() != "open" for racer in lent):
            raise RuntimeError("a process could not open the store; its error is above")
        yield lent
        living = [racer for racer in lent if racer.process.poll() is None]
        for racer in living:
            racer.start("close")
        _idle.extend(racer for racer in living if racer.line() == "closed")
    finally:
        for racer in lent:
            if racer not in _idle:
                racer.kill()


@atexit.register
def _dismiss() -> None:
    while _idle:
        _idle.pop().kill()


def _start() -> Racer:
    command = [sys.executable, "-c", "from enkash_async.testing.racing import main; main()"]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(path or "." for path in sys.path)}
    pipe = subprocess.PIPE
    return Racer(subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environ, text=True))  # noqa: S603


def main() -> None:
    """Carry out orders until standard input ends; this is what a `Racer` runs."""
    for line in iter(sys.stdin.readline, ""):
        _, job = line.split()
        environ, make = pickle.loads(base64.b64decode(job))  # noqa: S301 (the test's own)
        os.environ.clear()
        os.environ.update(environ)
        asyncio.run(_obey(make()))


async def _obey(store: Store) -> None:
    await store.read(["enkash:contract:v2:warm"])
    _say("open")
    while (line := sys.stdin.readline()) not in {"", "close\n"}:
        word, key, *rest = line.split()
        if word == "take":
            _say(str(await take(store, key, str(os.getpid()).encode())))
        for _ in range(int(rest[0]) if rest else 0):
            [number] = await count_up(store, key)
            _say(str(number))
    await store.aclose()
    _say("closed")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
