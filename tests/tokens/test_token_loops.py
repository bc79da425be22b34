"""One provider for several event loops, threads and runs of `asyncio.run`."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from tokens.doubles import Clock, Login, SpyStore, account_in, refused, settle, until

from enkash_async._support.clock import instant
from enkash_async.errors import CredentialsRejectedError, LoginGuardError, TokenEndpointError, TokenError
from enkash_async.stores import Cell, Change, MemoryStore
from enkash_async.tokens import InMemoryTokenProvider, StoreTokenProvider, Token

HOUR, HOLD, AHEAD = 3600.0, 30.0, 720.0


def provider_of(login: Login, clock: Clock) -> StoreTokenProvider:
    """Return a provider whose waiting takes no time."""
    return StoreTokenProvider(
        login, SpyStore(MemoryStore(clock=clock)), clock=clock, sleep=clock.hurry, random=lambda: 0.0
    )


def in_threads(number: int, work: Callable[[], object]) -> list[Future[object]]:
    """Run work in the given number of threads, and return once all of them have begun."""
    started = threading.Barrier(number + 1)

    def run() -> object:
        started.wait()
        return work()

    pool = ThreadPoolExecutor(number)
    futures = [pool.submit(run) for _ in range(number)]
    started.wait()
    pool.shutdown(wait=False)
    return futures


async def patiently(provider: StoreTokenProvider, clock: Clock) -> Token:
    """Ask until there is a token: a login that is given up is followed by a cooldown."""
    for _ in range(8):
        try:
            return await provider.get_token()
        except TokenEndpointError as failure:
            assert failure.retry_after is not None
            clock.now += failure.retry_after + 0.01
    raise AssertionError("there is no token")


def result_of(provider: StoreTokenProvider, clock: Clock) -> Token:
    """Ask from a thread and a loop of its own, for ten seconds at most."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(patiently(provider, clock))).result(10)


# --- several loops at once --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("silent_asyncio")
@pytest.mark.parametrize("outcome", [HOUR, refused()])
def test_callers_of_four_threads_share_one_login(outcome: float | Exception) -> None:
    """Forty callers in four event loops all get the result of one login."""
    login = Login(instant, outcome, gated=True)
    provider = InMemoryTokenProvider(login)

    async def ask() -> list[Token | BaseException]:
        return await asyncio.gather(*(provider.get_token() for _ in range(10)), return_exceptions=True)

    futures = in_threads(4, lambda: asyncio.run(ask()))

    async def let_go() -> None:
        await until(lambda: login.attempts == 1)
        await asyncio.sleep(0.05)
        await login.release()

    asyncio.run(let_go())
    answers: list[object] = []
    for future in futures:
        result = future.result(10)
        assert isinstance(result, list)
        answers += result
    assert login.attempts == 1
    assert len(answers) == 40
    if isinstance(outcome, Exception):
        # A thread that came late found the guard closed.
        assert {type(answer) for answer in answers} <= {CredentialsRejectedError, LoginGuardError}
        assert len({id(answer) for answer in answers}) == 40
    else:
        assert {answer.reveal() for answer in answers if isinstance(answer, Token)} == {"at-first-password-1"}


@pytest.mark.usefixtures("silent_asyncio")
def test_threads_that_name_one_refused_token_share_one_login() -> None:
    """Forty late 401s from four loops lead to one login."""
    login = Login(instant)
    provider = InMemoryTokenProvider(login)
    revoked = asyncio.run(provider.get_token())

    async def ask() -> set[str]:
        calls = (provider.get_token(rejected=revoked) for _ in range(10))
        return {token.reveal() for token in await asyncio.gather(*calls)}

    assert [future.result(10) for future in in_threads(4, lambda: asyncio.run(ask()))] == [{"at-first-password-2"}] * 4
    assert login.attempts == 2


@pytest.mark.usefixtures("silent_asyncio")
async def test_a_caller_may_leave_while_another_loop_logs_in(clock: Clock) -> None:
    """The login ends well, although the caller's loop is closed by then."""
    login = Login(clock, gated=True)
    provider = provider_of(login, clock)
    login_call = asyncio.create_task(provider.get_token())
    await until(lambda: login.attempts == 1)

    def ask_and_leave() -> None:
        loop = asyncio.new_event_loop()
        call = loop.create_task(provider.get_token())
        loop.run_until_complete(asyncio.sleep(0.01))
        call.cancel()
        loop.run_until_complete(asyncio.wait([call]))
        loop.close()

    await asyncio.to_thread(ask_and_leave)
    await login.release()
    assert (await login_call).reveal() == "at-first-password-1"
    assert login.attempts == 1


# --- odd loops --------------------------------------------------------------------------------------------------------


def test_a_garbage_collection_at_a_bad_moment_blocks_nobody(run_script: Callable[[str], str]) -> None:
    """Prevents a deadlock: a collection under the lock may end the login of a closed loop."""
    said = run_script("""
        import gc, logging

        class CollectingClock(Clock):
            collecting = False

            def __call__(self):
                if self.collecting:
                    gc.collect()
                return super().__call__()

        logging.disable()
        clock = CollectingClock()
        login = Login(clock, gated=True)
        provider = StoreTokenProvider(login, SpyStore(MemoryStore(clock=clock)), clock=clock, sleep=clock.hurry)
        login.gated = False
        asyncio.run(provider.get_token())
        login.gated = True
        clock.now += 3600
        closed = asyncio.new_event_loop()
        call = closed.create_task(provider.get_token())
        closed.run_until_complete(settle())
        closed.close()
        login.gated = False
        gc.disable()
        try:
            asyncio.run(provider.get_token())
        except TokenError as failure:
            clock.now += failure.retry_after + 0.01
        token = asyncio.run(provider.get_token())
        call = None
        login.forget()
        clock.collecting = True
        print(asyncio.run(provider.get_token(rejected=token)).generation > token.generation)
    """)
    assert said == "True"


# What `asyncio.eager_task_factory` of Python 3.12 does: a task's first part runs where it is made.
EAGER = """
import types

@types.coroutine
def rest_of(coroutine, awaited):
    while True:
        try:
            sent = yield awaited
        except BaseException as problem:
            step, argument = coroutine.throw, problem
        else:
            step, argument = coroutine.send, sent
        try:
            awaited = step(argument)
        except StopIteration as end:
            return end.value

async def finish(coroutine, awaited):
    return await rest_of(coroutine, awaited)

async def give(value):
    return value

def eager_task_factory(loop, coroutine, context=None):
    try:
        awaited = (context or contextvars.copy_context()).run(coroutine.send, None)
    except StopIteration as end:
        return asyncio.Task(give(end.value), loop=loop, context=context)
    return asyncio.Task(finish(coroutine, awaited), loop=loop, context=context)

eager_task_factory = getattr(asyncio, "eager_task_factory", eager_task_factory)
"""


@pytest.mark.parametrize("script", ["gated=True", "gated=False", "gated=False, lifetime=0.0"])
def test_a_loop_that_begins_tasks_at_once_is_served(run_script: Callable[[str], str], script: str) -> None:
    """With an eager task factory, callers share a login that suspends and one that does not."""
    said = run_script(f"""{EAGER}
async def main():
    asyncio.get_running_loop().set_task_factory(eager_task_factory)
    clock = Clock()
    login = Login(clock, {script})
    provider = StoreTokenProvider(login, SpyStore(MemoryStore(clock=clock)), clock=clock, sleep=clock.sleep)
    calls = [asyncio.ensure_future(provider.get_token()) for _ in range(3)]
    if login.gated:
        await login.release()
    print({{token.reveal() for token in await asyncio.gather(*calls)}}, login.attempts)

asyncio.run(main())
""")
    assert said == "{'at-first-password-1'} 1"


def test_a_loop_that_begins_tasks_at_once_is_told_of_the_guard(run_script: Callable[[str], str]) -> None:
    """Callers get the guard's error, although the memory store answers without suspending."""
    said = run_script(f"""{EAGER}
async def main():
    clock = Clock()
    store = SpyStore(MemoryStore(clock=clock))
    provider = StoreTokenProvider(Login(clock, refused()), store, clock=clock, sleep=clock.sleep)
    for factory in (None, eager_task_factory):
        asyncio.get_running_loop().set_task_factory(factory)
        try:
            await provider.get_token()
        except TokenError as failure:
            print(type(failure).__name__)

asyncio.run(main())
""")
    assert said.splitlines() == ["CredentialsRejectedError", "LoginGuardError"]


# --- loops that stop --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("silent_asyncio")
def test_two_runs_share_a_token() -> None:
    """The second `asyncio.run` uses the token of the first, each in its own loop."""
    login = Login(instant)
    provider = InMemoryTokenProvider(login)
    assert asyncio.run(provider.get_token()) is asyncio.run(provider.get_token())
    assert login.attempts == 1


@pytest.mark.usefixtures("silent_asyncio")
@pytest.mark.parametrize("begun", [True, False])
def test_a_run_that_ends_during_a_renewal_leaves_a_working_provider(clock: Clock, begun: bool) -> None:
    """`asyncio.run` cancels the renewal; the old token is served and a later run renews it."""
    login = Login(clock)
    provider = provider_of(login, clock)
    old = asyncio.run(provider.get_token())
    clock.now += HOUR - AHEAD
    login.gated = True

    async def ask() -> Token:
        token = await provider.get_token()
        if begun:
            await until(lambda: login.attempts == 2)
        return token

    assert asyncio.run(ask()) is old
    clock.now += 60
    login.gated = False

    async def ask_and_stay() -> Token:
        await provider.get_token()
        await until(lambda: not provider.state().refreshing)
        return await provider.get_token()

    assert asyncio.run(ask_and_stay()).generation > old.generation


@pytest.mark.usefixtures("silent_asyncio")
def test_a_loop_that_stands_still_during_a_login_holds_nobody_up(clock: Clock) -> None:
    """The first loop stops during a renewal, and another thread makes its own login.

    When the first loop goes on, its late token does not replace the newer one.
    """
    login = Login(clock)
    provider = provider_of(login, clock)
    standing = asyncio.new_event_loop()
    try:
        old = standing.run_until_complete(provider.get_token())
        clock.now += HOUR - AHEAD
        login.gated = True
        assert standing.run_until_complete(provider.get_token()) is old
        standing.run_until_complete(settle())
        assert login.attempts == 2
        clock.now += AHEAD - HOLD
        login.gated = False
        newer = result_of(provider, clock)
        assert newer.generation > old.generation
        standing.run_until_complete(login.release())
        standing.run_until_complete(until(lambda: len(asyncio.all_tasks()) == 1))
        assert standing.run_until_complete(provider.get_token()).generation == newer.generation
        assert result_of(provider, clock).generation == newer.generation
        assert login.attempts == 3
    finally:
        standing.close()


@pytest.mark.usefixtures("silent_asyncio")
def test_a_caller_who_waits_for_a_loop_that_stops_goes_on_alone(clock: Clock) -> None:
    """The waiting caller checks twice a second whether the other loop still runs."""
    login = Login(clock, gated=True)
    provider = provider_of(login, clock)
    other = asyncio.new_event_loop()
    thread = threading.Thread(target=other.run_forever)
    thread.start()
    first = asyncio.run_coroutine_threadsafe(provider.get_token(), other)

    async def ask() -> Token:
        await until(lambda: login.attempts == 1)
        call = asyncio.create_task(provider.get_token())
        await settle()
        other.call_soon_threadsafe(other.stop)
        await asyncio.to_thread(thread.join)
        login.gated = False
        async with asyncio.timeout(5):
            with pytest.raises(TokenEndpointError):
                await call
            return await patiently(provider, clock)

    try:
        newer = asyncio.run(ask())
        assert login.attempts == 2
        other.run_until_complete(login.release())
        other.run_until_complete(until(first.done))
        assert first.result().generation == newer.generation
    finally:
        other.run_until_complete(until(lambda: len(asyncio.all_tasks()) == 1))
        other.close()


def test_a_loop_that_is_closed_during_a_login_holds_nobody_up(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """The other caller makes its own login, and asyncio alone complains about lost tasks."""
    login = Login(clock, gated=True)
    provider = provider_of(login, clock)
    closed = asyncio.new_event_loop()
    call = closed.create_task(provider.get_token())
    closed.run_until_complete(settle())
    assert login.attempts == 1
    closed.close()
    login.gated = False
    token = result_of(provider, clock)
    assert result_of(provider, clock) is token
    assert login.attempts == 2
    del call
    login.forget()
    gc.collect()
    said = {record.getMessage().partition("\n")[0] for record in caplog.records if record.levelno > logging.INFO}
    pause = "no login is made for another 60.0 s: one failed a moment ago, or an operator has granted the next one to"
    assert said == {
        "Task was destroyed but it is pending!",
        f"no new token: TokenEndpointError: {pause} other credentials",
    }


@pytest.mark.usefixtures("silent_asyncio")
def test_a_provider_can_be_closed_from_another_loop(clock: Clock) -> None:
    """`aclose` cancels the login in its own loop and wakes the waiting callers of both loops."""
    login = Login(clock, gated=True)
    provider = provider_of(login, clock)

    async def ask() -> str:
        with pytest.raises(TokenError) as caught:
            await provider.get_token()
        await until(lambda: len(asyncio.all_tasks()) == 1)
        return str(caught.value)

    futures = in_threads(2, lambda: asyncio.run(ask()))

    async def close() -> None:
        await until(lambda: login.attempts == 1)
        await asyncio.sleep(0.03)
        await provider.aclose()

    asyncio.run(close())
    assert all("closed" in str(future.result(10)) for future in futures)


@pytest.mark.usefixtures("silent_asyncio")
def test_a_loop_that_goes_on_after_the_end_does_not_open_the_provider_again(clock: Clock) -> None:
    """The closed provider ignores the late token of a loop that had stopped in a login."""
    login = Login(clock, gated=True)
    provider = provider_of(login, clock)
    standing = asyncio.new_event_loop()
    try:
        late = standing.create_task(provider.get_token())
        standing.run_until_complete(settle())
        login.gated = False
        result_of(provider, clock)
        asyncio.run(provider.aclose())
        standing.run_until_complete(login.release())
        standing.run_until_complete(asyncio.wait([late]))
        standing.run_until_complete(until(lambda: len(asyncio.all_tasks()) == 1))
        with pytest.raises(TokenError, match="closed"):
            asyncio.run(provider.get_token())
        assert provider.state().generation is None
        late.exception()
    finally:
        standing.close()


@pytest.mark.usefixtures("silent_asyncio")
def test_a_login_that_a_standing_loop_has_yet_to_begin_is_not_made_after_the_end(clock: Clock) -> None:
    """The login's task finds the provider closed and sends nothing."""
    login = Login(clock)
    provider = provider_of(login, clock)
    standing = asyncio.new_event_loop()
    try:
        call = standing.create_task(provider.get_token())
        standing.call_soon(standing.stop)
        standing.run_forever()
        assert provider.state().refreshing
        asyncio.run(provider.aclose())
        with pytest.raises(TokenError, match="closed"):
            standing.run_until_complete(call)
        assert login.attempts == 0
    finally:
        standing.close()


def test_a_provider_can_be_closed_after_its_loop(clock: Clock) -> None:
    """`aclose` works in another loop when the login's own loop is closed."""
    login = Login(clock, gated=True)
    provider = provider_of(login, clock)
    closed = asyncio.new_event_loop()
    call = closed.create_task(provider.get_token())
    closed.run_until_complete(settle())
    closed.close()
    asyncio.run(provider.aclose())
    with pytest.raises(TokenError, match="closed"):
        asyncio.run(provider.get_token())
    del call
    login.forget()
    gc.collect()  # asyncio complains about the tasks that were left behind here, not in some other test


# --- short jobs -------------------------------------------------------------------------------------------------------


class Slow(Login):
    """Every login takes a moment, in which a short job ends."""

    async def fetch_token(self) -> Token:
        token = await super().fetch_token()
        await asyncio.sleep(0.02)
        return token


@pytest.mark.usefixtures("silent_asyncio")
@pytest.mark.parametrize("provides", ["one provider", "a provider for each job"])
def test_short_jobs_make_two_logins_a_lifetime_at_most(
    clock: Clock, provides: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one in the last stretch is cut off with its job; the next job waits for its own."""
    monkeypatch.setattr("enkash_async.tokens._provider._PATIENCE", 1e-9)
    login, store = Slow(clock), SpyStore(MemoryStore(clock=clock))

    def new_provider() -> StoreTokenProvider:
        return StoreTokenProvider(login, store, clock=clock, sleep=clock.hurry, random=lambda: 0.5)

    async def job(provider: StoreTokenProvider) -> None:
        for _ in range(2):
            await provider.get_token()

    provider = new_provider()
    asyncio.run(job(provider))
    for lifetime in range(1, 4):
        before = login.attempts
        for _ in range(100):
            clock.now += 36
            asyncio.run(job(provider if provides == "one provider" else new_provider()))
        assert login.attempts - before <= 2, lifetime


@pytest.mark.usefixtures("silent_asyncio")
@pytest.mark.parametrize("provides", ["one provider", "a provider for each job"])
def test_short_jobs_after_a_password_change_do_not_lock_the_account(clock: Clock, provides: str) -> None:
    """Their logins are cut off before EnKash's refusal arrives: two attempts, and never a third."""
    login, store = Slow(clock), SpyStore(MemoryStore(clock=clock))

    def new_provider() -> StoreTokenProvider:
        return StoreTokenProvider(login, store, clock=clock, sleep=clock.hurry, random=lambda: 0.5)

    provider = new_provider()
    asyncio.run(provider.get_token())
    login.script = [refused() for _ in range(1000)]

    async def job() -> None:
        mine = provider if provides == "one provider" else new_provider()
        for _ in range(2):
            with contextlib.suppress(TokenError):
                await mine.get_token()

    for _ in range(200):
        clock.now += 36
        asyncio.run(job())
    assert login.attempts <= 3  # the one that worked, and two wrong ones


@pytest.mark.usefixtures("silent_asyncio")
def test_threads_with_a_loop_each_share_one_refresh(clock: Clock) -> None:
    """With a wrong password as well: one attempt, and none later."""
    login = Slow(clock, *(refused() for _ in range(50)))
    provider = provider_of(login, clock)

    async def ask() -> None:
        for _ in range(5):
            with contextlib.suppress(TokenError):
                await provider.get_token()

    for future in in_threads(8, lambda: asyncio.run(ask())):
        future.result(20)
    assert login.attempts == 1


@pytest.mark.usefixtures("silent_asyncio")
@pytest.mark.parametrize("outcome", [HOUR, refused()])
def test_a_job_that_is_cancelled_in_any_await_leaves_an_account_that_is_right(
    clock: Clock, outcome: float | Exception
) -> None:
    """Its attempt is settled by what EnKash answered, or charged where no answer came; none stays open."""
    for turns in range(60):
        login = Login(clock, outcome)
        store = SpyStore(Turning(clock))
        provider = StoreTokenProvider(login, store, clock=clock, sleep=clock.hurry, random=lambda: 0.5)

        async def job(turns: int = turns, provider: StoreTokenProvider = provider) -> None:
            call = asyncio.create_task(provider.get_token())
            for _ in range(turns):
                await asyncio.sleep(0)
            call.cancel()

        asyncio.run(job())
        account = asyncio.run(account_in(store))
        states = [attempt.state for attempt in account.attempts]
        assert "open" not in states, turns
        if not login.attempts:
            assert states == []
        elif isinstance(outcome, float):
            assert states in ([], ["unknown"]), turns
        else:
            assert states in (["refused"], ["unknown"]), turns


class Turning(MemoryStore):
    """A memory whose answers take a few turns of the loop."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock=clock)

    async def read(self, keys: Sequence[str]) -> Mapping[str, Cell]:
        for _ in range(3):
            await asyncio.sleep(0)
        return await super().read(keys)

    async def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
        for _ in range(3):
            await asyncio.sleep(0)
        made = await super().swap(changes)
        for _ in range(3):
            await asyncio.sleep(0)
        return made


def test_a_refresh_in_a_loop_that_stands_still_is_taken_over_when_its_lease_has_run_out(clock: Clock) -> None:
    """A caller of another loop does not wait for the end of a blocked thread."""
    login, go_on = Login(clock, gated=True), threading.Event()
    provider = provider_of(login, clock)

    async def stuck() -> Token:
        call = asyncio.create_task(provider.get_token())
        await until(lambda: login.attempts > 0)
        go_on.wait(20)  # blocks the event loop
        return await call

    with ThreadPoolExecutor(2) as pool:
        blocked = pool.submit(lambda: asyncio.run(stuck()))
        while not login.attempts:
            time.sleep(0.001)
        clock.now += 25 + 61  # the lease, and the cooldown of credentials that are not proven
        login.gated = False
        token = result_of(provider, clock)
        assert login.attempts == 2
        go_on.set()
        pool.submit(lambda: asyncio.run(login.release())).result(10)
        assert blocked.result(10).reveal() == token.reveal()
