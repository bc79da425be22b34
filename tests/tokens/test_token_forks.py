"""After `fork`: a child has the parent's memory, but neither its threads nor its logins."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


def test_a_child_gets_a_token_while_its_parent_logs_in(run_script: Callable[[str], str]) -> None:
    """The child waits for the end of the parent's lease, and counts its attempt as unknown."""
    said = run_script("""
        clock = Clock()
        login = Login(clock, gated=True)
        provider = StoreTokenProvider(login, MemoryStore(clock=clock), clock=clock, sleep=clock.hurry)
        thread = threading.Thread(target=lambda: print("parent", asyncio.run(provider.get_token()).reveal()))
        thread.start()
        while not login.attempts:
            time.sleep(0.001)

        def in_the_child():
            login.gated = False
            for _ in range(2):
                try:
                    return asyncio.run(provider.get_token()).reveal()
                except TokenError as failure:
                    clock.now += failure.retry_after + 0.01

        print("child", in_child(in_the_child), flush=True)
        asyncio.run(login.release())
        thread.join()
    """)
    assert said.splitlines() == ["child at-first-password-2", "parent at-first-password-1"]


@pytest.mark.parametrize("locked", ["provider", "store"])
def test_locks_that_other_threads_held_do_not_stop_a_child(run_script: Callable[[str], str], locked: str) -> None:
    """The child does not wait for threads that exist in its parent alone."""
    said = run_script(f"""
        class StandingClock(Clock):
            stands, inside = False, threading.Event()

            def __call__(self):
                if self.stands and threading.current_thread() is not threading.main_thread():
                    self.inside.set()
                    going_on.wait()
                return super().__call__()

        going_on = threading.Event()
        standing, clock = StandingClock(), Clock()
        clocks = {{"provider": (standing, clock), "store": (clock, standing)}}
        of_provider, of_store = clocks["{locked}"]
        store = SpyStore(MemoryStore(clock=of_store))
        provider = StoreTokenProvider(Login(clock), store, clock=of_provider, sleep=clock.hurry)
        token = asyncio.run(provider.get_token())
        standing.now = clock.now = 1e6
        standing.stands = True
        thread = threading.Thread(target=lambda: asyncio.run(provider.get_token()))
        thread.start()
        standing.inside.wait()
        print(in_child(lambda: asyncio.run(provider.get_token()).generation > token.generation))
        going_on.set()
        thread.join()
    """)
    assert said == "True"


def test_a_child_inherits_the_token_and_the_guard(run_script: Callable[[str], str]) -> None:
    """The child uses the parent's token and does not try a password that the parent saw refused."""
    said = run_script("""
        login, barred = Login(instant), Login(instant, refused())
        provider, other = InMemoryTokenProvider(login), StoreTokenProvider(barred, MemoryStore())
        asyncio.run(provider.get_token())

        def ask_in_vain():
            try:
                asyncio.run(other.get_token())
            except TokenError as failure:
                return type(failure).__name__, barred.attempts

        print(ask_in_vain())
        print(in_child(lambda: (asyncio.run(provider.get_token()).reveal(), login.attempts)))
        print(in_child(ask_in_vain))
    """)
    assert said.splitlines() == [
        "('CredentialsRejectedError', 1)",
        "('at-first-password-1', 1)",
        "('LoginGuardError', 1)",
    ]


def test_the_children_of_a_prefork_server_renew_apart(run_script: Callable[[str], str]) -> None:
    """Each process draws its own random share of the renewal window."""
    said = run_script("""
        shares = iter([0.0])
        clock = Clock()
        login = Login(clock)
        store = SpyStore(MemoryStore(clock=clock))
        provider = StoreTokenProvider(
            login, store, clock=clock, sleep=clock.hurry, random=lambda: next(shares, 0.9)
        )
        asyncio.run(provider.get_token())

        def seconds_before_the_end():
            async def main():
                await provider.get_token(rejected=await provider.get_token())
                end = clock.now + 3600
                attempts = login.attempts
                while login.attempts == attempts:
                    clock.now += 1
                    await provider.get_token()
                    await settle()
                return end - clock.now

            return asyncio.run(main())

        print(in_child(seconds_before_the_end) != str(seconds_before_the_end()))
    """)
    assert said == "True"


def test_what_is_gone_is_not_put_right(run_script: Callable[[str], str]) -> None:
    """The list of objects to reset in a child does not keep them alive."""
    said = run_script("""
        from enkash_async._support.forks import reset_after_fork

        class Thing:
            forked = 0

            def after_fork(self):
                Thing.forked += 1

        kept, gone = Thing(), Thing()
        reset_after_fork(kept)
        reset_after_fork(gone)
        del gone
        print(in_child(lambda: Thing.forked), Thing.forked)
    """)
    assert said == "1 0"
