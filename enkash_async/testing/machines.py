"""Tests that run the token provider and the records of webhooks on a store.

The tests check that callers share one login, that a wrong password is tried once, that a piece of news is handed over
once, and that every wait ends.
"""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

import attrs

from enkash_async._news.machine import Claim as ClaimBill
from enkash_async._news.machine import Done, Go, Hand, Held, Mine, Release
from enkash_async._news.record import Durations
from enkash_async._news.records import NewsRecords
from enkash_async._support.clock import instant
from enkash_async._support.secret import Secret
from enkash_async.errors import CredentialsRejectedError, LoginGuardError, StoreUnavailableError
from enkash_async.stores.actions import RecordKind, act
from enkash_async.stores.store import Cell, Change, Store
from enkash_async.testing.asking import new_key, run
from enkash_async.tokens import Identity, StoreTokenProvider, Token
from enkash_async.tokens._account import decide
from enkash_async.tokens._commands import Answer, Claim, Command, Lead, Wait, Who
from enkash_async.tokens._record import CODEC, Account

__all__ = ["Machines"]

_PROCESSES, _CALLERS = 4, 5
# Seconds that a claim holds in these tests; a power of two, so that no instant after it is rounded up.
_LEASE = 0.25
_HOUR = 3600.0


@attrs.define
class _Source:
    """A token source that imitates EnKash: each login brings a new token, or is refused."""

    identity: Identity
    seal_key: bytes
    refuses: bool = False
    logins: int = 0

    async def fetch_token(self) -> Token:
        self.logins += 1
        requested_at = instant()
        await asyncio.sleep(0.05)
        if self.refuses:
            raise CredentialsRejectedError("a wrong password", status=401, error="invalid_grant")
        return Token(Secret(f"at-{uuid.uuid4().hex}"), 3600.0, requested_at)


@attrs.frozen
class _Shaken:
    """A faulty store: its clock is off by `offset` seconds, and with `loses`, every second swap loses its answer."""

    inner: Store
    offset: float = 0.0
    loses: bool = False
    _swaps: list[int] = attrs.field(factory=list, init=False)

    async def read(self, keys: Sequence[str]) -> Mapping[str, Cell]:
        cells = await self.inner.read(keys)
        return {key: Cell(cell.value, cell.now + self.offset) for key, cell in cells.items()}

    async def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
        made = await self.inner.swap(changes)
        self._swaps.append(len(changes))
        if self.loses and len(self._swaps) % 2:
            raise StoreUnavailableError("the answer was lost")
        return made

    async def aclose(self) -> None:
        await self.inner.aclose()


class Machines:
    """The part of `StoreContract` that runs the token provider and the records of webhooks on the store."""

    def test_all_providers_of_an_account_share_one_login(self, store: Store) -> None:
        """Twenty callers of four providers get the same token from one login."""

        async def body(store: Store) -> None:
            source = _source()
            tokens = await asyncio.gather(*_calls(source, store))
            assert (len({token.reveal() for token in tokens}), source.logins) == (1, 1)

        run(store, body)

    def test_a_wrong_password_is_tried_once(self, store: Store) -> None:
        """The other providers learn of the refusal from the store."""

        async def body(store: Store) -> None:
            source = _source(refuses=True)
            failures = await asyncio.gather(*_calls(source, store), return_exceptions=True)
            assert {type(failure) for failure in failures} <= {CredentialsRejectedError, LoginGuardError}
            assert source.logins == 1

        run(store, body)

    def test_a_swap_whose_answer_is_lost_begins_no_second_login(self, store: Store) -> None:
        """The state machine gets the same command again, with the record that shows the attempt."""

        async def body(store: Store) -> None:
            source = _source()
            tokens = await asyncio.gather(*_calls(source, _Shaken(store, loses=True)))
            assert (len({token.reveal() for token in tokens}), source.logins) == (1, 1)

        run(store, body)

    def test_a_clock_that_is_set_back_ends_every_wait(self, store: Store) -> None:
        """A lease ends in time, even if the store's clock is set back by an hour after the lease began."""

        async def body(store: Store) -> None:
            key, back = new_key(), _Shaken(store, offset=-_HOUR)
            assert isinstance(await _claim(store, key, "first"), Lead)
            waiting = await _claim(back, key, "second")
            assert isinstance(waiting, Wait)
            assert waiting.seconds <= _LEASE
            await asyncio.sleep(2 * _LEASE)
            assert not isinstance(await _claim(back, key, "third"), Wait)

        run(store, body)

    def test_a_piece_of_news_is_handed_over_once(self, store: Store) -> None:
        """Twenty workers receive a post about the same news, and only one of them is told to call its handler."""

        async def body(store: Store) -> None:
            assert sum(await asyncio.gather(*_deliveries(store))) == 1

        run(store, body)

    def test_news_is_handed_over_once_where_answers_are_lost(self, store: Store) -> None:
        """A worker whose change was made, but not answered, tries again, and sees the change in the record."""

        async def body(store: Store) -> None:
            assert sum(await asyncio.gather(*_deliveries(_Shaken(store, loses=True)))) == 1

        run(store, body)

    def test_a_clock_that_is_set_back_ends_the_claim_on_a_bill(self, store: Store) -> None:
        """A claim ends in time, even if the store's clock is set back by an hour after the claim began."""

        async def body(store: Store) -> None:
            bill, lease = uuid.uuid4().hex, Durations(lease=_LEASE)
            before, after = (_news(each, lease) for each in (store, _Shaken(store, offset=-_HOUR)))
            assert isinstance(await before.act(bill, ClaimBill("first")), Mine)
            held = await after.act(bill, ClaimBill("second"))
            assert isinstance(held, Held)
            assert held.seconds <= _LEASE
            await asyncio.sleep(2 * _LEASE)
            assert isinstance(await after.act(bill, ClaimBill("third")), Mine)

        run(store, body)


def _news(store: Store, durations: Durations | None = None) -> NewsRecords:
    return NewsRecords(lambda: store, base_url="https://contract.example", durations=durations)


def _deliveries(store: Store) -> list[Coroutine[Any, Any, bool]]:
    """Deliver one piece of news as several processes would; each `NewsRecords` object stands for a process."""
    bill = uuid.uuid4().hex
    return [_delivers(records, bill) for records in map(_news, [store] * _PROCESSES) for _ in range(_CALLERS)]


async def _delivers(records: NewsRecords, bill: str) -> bool:
    """Return whether this delivery handed over the news."""
    by = uuid.uuid4().hex
    claimed = await records.act(bill, ClaimBill(by))
    while isinstance(claimed, Held):
        await asyncio.sleep(0.02)
        claimed = await records.act(bill, ClaimBill(by))
    answer = await records.act(bill, Hand(by, "state"))
    await records.act(bill, Done(by, "state", answer.number) if isinstance(answer, Go) else Release(by))
    return isinstance(answer, Go)


def _source(*, refuses: bool = False) -> _Source:
    identity = Identity(account=f"contract-{uuid.uuid4().hex}", client="client", fingerprint="one")
    return _Source(identity, secrets.token_bytes(32), refuses)


def _calls(source: _Source, store: Store) -> list[asyncio.Task[Token]]:
    """Ask for a token as several callers in several processes would; each provider stands for a process."""
    providers = [StoreTokenProvider(source, store, allow_plain=True) for _ in range(_PROCESSES)]
    return [asyncio.ensure_future(provider.get_token()) for provider in providers for _ in range(_CALLERS)]


async def _claim(store: Store, key: str, id_: str) -> Answer:
    def decided(account: Account | None, command: Command, now: float) -> tuple[Account, Answer]:
        return decide(account or Account(), command, now)

    claim = Claim(id_, Who("client", "fingerprint", "worker", ()), _LEASE, 0.0)
    return await act(store, key, decided, claim, kind=RecordKind(CODEC))
