"""One clock: waits follow the loop and its virtual time, and ages run on while the machine sleeps."""

from __future__ import annotations

import ast
import asyncio
import math
import selectors
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import looptime
import pytest
from tokens.doubles import Clock, Login, refused

import enkash_async
from enkash_async import EnkashClient, PollPolicy
from enkash_async._flow.gate import Gate
from enkash_async._news.machine import Answer, Claim, Held, Mine
from enkash_async._news.records import NewsRecords
from enkash_async._support import clock
from enkash_async._support.breaker import CircuitBreaker
from enkash_async._wire.operation import Operation
from enkash_async.config import Limits
from enkash_async.errors import (
    CredentialsRejectedError,
    LoginGuardError,
    ServerError,
    StoreUnavailableError,
    TokenEndpointError,
    WaitTimeoutError,
)
from enkash_async.models import Outcome
from enkash_async.sandbox import FaultKind, Sandbox
from enkash_async.stores import MemoryStore
from enkash_async.testing import VirtualClock
from enkash_async.tokens import (
    InMemoryTokenProvider,
    StaticTokenProvider,
    StoreTokenProvider,
    Token,
)

from support import LeapingLoop, bill_calls

T = TypeVar("T")

PACKAGE = Path(str(enkash_async.__file__)).parent
HOUR = 3600.0
STEADY = PollPolicy(first=1.0, longest=15.0, jitter=0.0)


class _Idle(selectors.DefaultSelector):
    """Moves a clock instead of waiting, but only while no socket has anything to read or write."""

    now = 500.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        ready = super().select(0.001 if timeout is not None else 5)
        assert ready or timeout is not None, "everybody waits for ever"
        if not ready and timeout is not None:
            self.now = math.nextafter(self.now + timeout, math.inf)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop with virtual time and real sockets."""

    def __init__(self) -> None:
        self._idle = _Idle()
        super().__init__(self._idle)

    def time(self) -> float:
        return self._idle.now


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end, and take less than a second of real time for it."""
    began = time.monotonic()
    with closing(VirtualLoop()) as loop:
        result = loop.run_until_complete(main)
    assert time.monotonic() - began < 1
    return result


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return a clock in the place of CLOCK_BOOTTIME: to set it ahead is a sleep of the machine."""
    stand_in = Clock(time.monotonic() + 1e6)
    monkeypatch.setattr(clock, "machine", stand_in)
    return stand_in


# --- waits in virtual time --------------------------------------------------------------------------------------------


def test_a_429_holds_the_client_back_for_the_virtual_seconds_that_enkash_asks_for() -> None:
    """The call is repeated after two seconds, and a call beside it waits as long at the gate."""

    async def main() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        async with (
            Sandbox(clock=loop.time) as sandbox,
            EnkashClient.from_credentials(sandbox.base_url, sandbox.credentials) as client,
        ):
            await client.billers.list_categories()
            sandbox.faults.add("biller_categories", FaultKind.RATE_LIMITED, retry_after=2)
            began = loop.time()
            first = asyncio.create_task(client.billers.list_categories())
            while sandbox.counts["biller_categories"] != 2:
                await asyncio.sleep(0)
            await asyncio.sleep(0.01)
            await client.billers.list_categories()
            beside = loop.time() - began
            await first
            assert sandbox.counts["biller_categories"] == 4
            return loop.time() - began, beside

    took, beside = run_virtually(main())
    assert 2 <= beside <= took < 3


def test_a_wait_of_two_minutes_takes_two_virtual_minutes() -> None:
    """The bill is seen as settled at the first look after it is; tokens of a minute are renewed on the way."""

    async def main() -> tuple[float, int, int]:
        loop = asyncio.get_running_loop()
        async with (
            Sandbox(clock=loop.time, settle_after=120, token_lifetime=60, repeat_debits=True) as sandbox,
            EnkashClient.from_credentials(sandbox.base_url, sandbox.credentials) as client,
        ):
            bill = await client.bills.create(2001, {"cn": "CN1"}, bill_amount=Decimal(10), reference_id="inv-1")
            began = loop.time()
            await client.payments.confirm_debit([bill.utility_enkash_id])
            settled = await client.bills.wait_until_settled(bill.utility_enkash_id, timeout=180, policy=STEADY)
            assert settled.outcome is Outcome.PAID
            return loop.time() - began, sandbox.counts["token"], sandbox.counts["bill"]

    took, logins, looks = run_virtually(main())
    assert 120 <= took <= 135
    assert 3 <= logins <= 6
    assert looks < 20


def test_a_wait_that_ends_in_vain_ends_after_its_virtual_seconds() -> None:
    """Each look takes a virtual second as well; nothing of it is real."""

    class Away:
        async def __call__(self, operation: Operation[T]) -> T:
            await asyncio.sleep(1)
            raise ServerError("away", status=502)

    async def main() -> float:
        began = asyncio.get_running_loop().time()
        with pytest.raises(WaitTimeoutError):
            await bill_calls(Away()).wait_until_settled("U-1", timeout=120, policy=STEADY)
        return asyncio.get_running_loop().time() - began

    assert 120 <= run_virtually(main()) <= 122


def test_a_rate_is_kept_in_virtual_time() -> None:
    """Ten requests of one a second begin within nine seconds."""

    async def main() -> float:
        gate, began = Gate(Limits(rate=1.0, burst=1)), asyncio.get_running_loop().time()
        for _ in range(10):
            await gate.turn()
        return asyncio.get_running_loop().time() - began

    assert run_virtually(main()) == pytest.approx(9, abs=0.01)


def test_a_failed_login_is_answered_from_memory_for_a_virtual_second() -> None:
    """After it the provider asks the store again, where an operator has reset the guard meanwhile."""

    async def main() -> None:
        store, login = MemoryStore(), Login(clock.instant, refused())
        provider = StoreTokenProvider(login, store)
        with pytest.raises(CredentialsRejectedError):
            await provider.get_token()
        with pytest.raises(LoginGuardError):
            await provider.get_token()
        await StoreTokenProvider(login, store).reset_guard()
        with pytest.raises(LoginGuardError):
            await provider.get_token()
        await asyncio.sleep(1.1)
        await provider.get_token()

    run_virtually(main())


def test_a_renewed_token_may_be_refused_after_virtual_seconds() -> None:
    """Within them its refusal brings no other login."""

    async def main() -> None:
        provider = InMemoryTokenProvider(Login(clock.instant))
        renewed = await provider.get_token(rejected=await provider.get_token())
        with pytest.raises(TokenEndpointError):
            await provider.get_token(rejected=renewed)
        await asyncio.sleep(31)
        assert (await provider.get_token(rejected=renewed)).generation > renewed.generation

    run_virtually(main())


def test_a_claim_on_an_event_ends_after_its_virtual_lease() -> None:
    """Then another worker takes the event over."""

    async def main() -> list[Answer]:
        store = MemoryStore()
        records = NewsRecords(lambda: store, base_url="http://127.0.0.1")
        await records.act("event", Claim("first"))
        answers = [await records.act("event", Claim("second"))]
        await asyncio.sleep(31)
        return [*answers, await records.act("event", Claim("second"))]

    assert run_virtually(main()) == [Held(30.0), Mine()]


def test_a_token_ages_with_virtual_time() -> None:
    """A virtual hour later it is dead, and the provider has logged in anew."""

    async def main() -> None:
        login = Login(clock.instant, lifetime=HOUR)
        provider = InMemoryTokenProvider(login)
        token = await provider.get_token()
        assert await provider.get_token() is token
        assert token.remaining() == HOUR
        await asyncio.sleep(HOUR)
        assert token.remaining() <= 0
        assert (await provider.get_token()).generation > token.generation
        assert login.attempts == 2

    run_virtually(main())


# --- a machine that sleeps --------------------------------------------------------------------------------------------


async def test_a_token_ages_while_the_machine_sleeps(machine: Clock) -> None:
    """Though `time.monotonic` stands still meanwhile: a token of an hour is dead after a night."""
    login = Login(clock.instant, lifetime=HOUR)
    provider = InMemoryTokenProvider(login)
    token = await provider.get_token()
    assert [await provider.get_token() for _ in range(100)] == [token] * 100
    machine.now += 8 * HOUR
    assert token.remaining() == pytest.approx(-7 * HOUR)
    state = provider.state()
    assert state.remaining == pytest.approx(-7 * HOUR)
    await asyncio.sleep(0.02)  # the clock that counts sleep is read every 10 ms at the most
    assert (await provider.get_token()).generation > token.generation
    assert login.attempts == 2


async def test_a_token_from_elsewhere_ages_while_the_machine_sleeps(machine: Clock) -> None:
    """`StaticTokenProvider` says that it has expired."""
    provider = StaticTokenProvider(Token("at-fixed", HOUR))
    await provider.get_token()
    machine.now += HOUR
    with pytest.raises(enkash_async.TokenError, match="expired"):
        await provider.get_token()


async def test_the_cheap_clock_is_believed_for_ten_milliseconds_and_not_past_the_end(machine: Clock) -> None:
    """Of an end that has come it says nothing, nor for a clock that a test gives."""
    ends = {
        left: clock.fast_clock_until(clock.instant, machine.now + left) - clock.fast_clock() for left in (60, 0.004, -1)
    }
    assert ends == {
        60: pytest.approx(0.01, abs=0.003),
        0.004: pytest.approx(0.004, abs=0.003),
        -1: pytest.approx(-1, abs=0.003),
    }
    assert clock.fast_clock_until(machine, machine.now + 60) == -math.inf


async def test_waits_stand_still_while_the_machine_sleeps(machine: Clock) -> None:
    """A 429's pause lasts as long awake as EnKash asked for, as `asyncio.sleep` does."""
    gate = Gate(Limits())
    gate.pause(0.05)
    began = asyncio.get_running_loop().time()
    machine.now += 8 * HOUR
    await gate.turn()
    assert asyncio.get_running_loop().time() - began >= 0.049


# --- which clock ------------------------------------------------------------------------------------------------------


def _clock_in(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    async def ask() -> Callable[[], float]:
        assert clock.loop_now() == pytest.approx(loop.time(), abs=1)
        return clock.instants()

    with closing(loop):
        return loop.run_until_complete(ask())


@pytest.mark.parametrize("make", [VirtualLoop, LeapingLoop, looptime.new_event_loop])
def test_a_loop_with_virtual_time_gives_the_instants(make: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Loops that replace `time()`, looptime's among them."""
    assert _clock_in(loop := make()) == loop.time


def test_a_loop_whose_time_is_set_from_outside_gives_the_instants(monkeypatch: pytest.MonkeyPatch) -> None:
    """As some test helpers do, on the loop or on the class."""
    loop = asyncio.new_event_loop()
    loop.time = lambda: 7.0  # type: ignore[method-assign]
    assert _clock_in(loop)() == 7
    loop = asyncio.new_event_loop()
    now = loop.time()
    monkeypatch.setattr(asyncio.BaseEventLoop, "time", lambda self: now + 5)
    assert _clock_in(loop)() == now + 5


def test_a_real_loop_leaves_the_instants_to_the_machine() -> None:
    """Also one of looptime that is switched off, as for fixtures."""
    off = looptime.new_event_loop(_enabled=False)
    for loop in (asyncio.SelectorEventLoop(), off):
        assert _clock_in(loop) is clock.machine


async def test_a_strange_loop_has_real_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as uvloop's, which has a `time()` of its own and nothing of asyncio's loops in it."""

    class Strange(asyncio.AbstractEventLoop):
        def time(self) -> float:
            return 3.0

    monkeypatch.setattr(asyncio, "get_running_loop", Strange)
    assert clock.instants() is clock.machine
    assert clock.loop_now() == 3


def test_a_thread_without_a_loop_has_both_clocks() -> None:
    """Real time, and comparable with what loops of asyncio say."""
    seen: list[float] = []
    thread = threading.Thread(
        target=lambda: seen.extend((clock.loop_now(), clock.instant(), Token("at", 60).remaining()))
    )
    before = time.monotonic(), clock.machine()
    thread.start()
    thread.join()
    assert before[0] <= seen[0] <= time.monotonic()
    assert before[1] <= seen[1] <= clock.machine()
    assert 59 < seen[2] <= 60


def test_the_machines_clock_counts_its_sleep() -> None:
    """CLOCK_BOOTTIME where there is one."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        before = time.clock_gettime(time.CLOCK_BOOTTIME)
        assert before <= clock.machine() <= time.clock_gettime(time.CLOCK_BOOTTIME)
    assert clock.machine() >= time.monotonic() - 1


def test_a_clock_that_is_given_serves_for_waits_as_well() -> None:
    """Only where none is given are there two."""
    given = Clock()
    assert clock.waits_beside(given) is given
    assert clock.waits_beside(clock.instant) is clock.loop_now


def test_another_loops_clock_does_not_keep_a_store_down() -> None:
    """A breaker is shared by loops: one whose clock is far behind looks at the store, and then as often as any."""
    now = Clock(1e6)
    breaker = CircuitBreaker(error=StoreUnavailableError, clock=now, random=lambda: 0.5)
    for _ in range(3):
        breaker.failed("away")
    with pytest.raises(StoreUnavailableError):
        breaker.enter()
    now.now = 0.0
    breaker.enter()
    with pytest.raises(StoreUnavailableError):
        breaker.enter()
    now.now = 5.0
    breaker.enter()


# --- the wall clock ---------------------------------------------------------------------------------------------------


def test_the_wall_clock_is_the_machines_save_under_virtual_time() -> None:
    """Otherwise a window of two clocks would never end in a test that leaps."""
    assert abs(clock.wall() - time.time()) < 5

    async def body() -> float:
        before = clock.wall()
        await asyncio.sleep(300)
        return clock.wall() - before

    assert VirtualClock().run(body()) == pytest.approx(300, abs=1)


# --- nobody else reads a clock ----------------------------------------------------------------------------------------


def _clocks_read(path: Path) -> set[str]:
    """Return the names of `time` that a module uses, and `loop.time` where it uses that."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            found |= {f"time.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {f"time as {alias.asname}" for alias in node.names if alias.name == "time" and alias.asname}
        elif isinstance(node, ast.Attribute):
            if isinstance(node.value, ast.Name) and node.value.id == "time":
                found.add(f"time.{node.attr}")
            elif node.attr == "time" and "loop" in ast.unparse(node.value):
                found.add("loop.time")
    return found


def test_no_other_module_reads_a_clock() -> None:
    """Save for the wall clock of a login, and for the sandbox, which plays EnKash, the stores and what tests them."""
    found = {
        name: clocks
        for path in PACKAGE.rglob("*.py")
        if not (name := path.relative_to(PACKAGE).as_posix()).startswith(("sandbox/", "stores/", "testing/"))
        and (clocks := _clocks_read(path))
    }
    assert found.pop("_support/clock.py") > {"time.monotonic", "time.clock_gettime", "loop.time"}
    assert found == {"_http/login.py": {"time.time"}}
