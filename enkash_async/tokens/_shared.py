"""The account of one provider in a store: commands go in, answers come out, and what was not delivered is kept."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from logging import getLogger

import attrs

from enkash_async._support.breaker import CircuitBreaker
from enkash_async._support.clock import instant, loop_now
from enkash_async.errors import StoreError, StoreUnavailableError
from enkash_async.stores import RecordKind, Store, act, refuse_eviction
from enkash_async.tokens._account import decide, view
from enkash_async.tokens._commands import Answer, Claim, Command, Outcome, Reject, Settle, View, Who
from enkash_async.tokens._record import CODEC, Account

__all__ = ["SharedAccount", "Told"]

_log = getLogger("enkash_async.tokens")

_KIND: RecordKind[Account] = RecordKind(CODEC)
_MOST_OWED = 16  # reports that wait for the store; a few are as good as many, since they close the guard


@attrs.frozen
class Told:
    """An answer of the account.

    Attributes:
        answer: What the machine answered.
        now: The store's clock at that moment.
    """

    answer: Answer
    now: float


class SharedAccount:
    """Acts on the record of one account.

    Args:
        store: Where the record lies.
        key: Its key.
        sleep: Waits for a number of seconds.
        random: Returns a number in [0, 1).

    Attributes:
        known: What the process knows of the account since the last answer, or None before the first.
        is_away: Whether the store could not be reached when it was last asked.
    """

    def __init__(
        self, store: Store, key: str, *, sleep: Callable[[float], Awaitable[object]], random: Callable[[], float]
    ) -> None:
        self._store = store
        self._key = key
        self._sleep = sleep
        self._random = random
        self._breaker = CircuitBreaker(error=StoreUnavailableError, clock=loop_now, random=random)
        self._owed: deque[tuple[Command, float]] = deque(maxlen=_MOST_OWED)
        self._is_checked = False  # whether the store keeps what it is given
        self.known: View | None = None
        self.is_away = False

    def after_fork(self) -> None:
        """Leave to the parent what the parent has begun."""
        self._owed.clear()
        self._breaker = CircuitBreaker(error=StoreUnavailableError, clock=loop_now, random=self._random)

    def owe(self, command: Command) -> None:
        """Keep a report for the time when the store answers again."""
        self._owed.append((command, instant()))

    def withhold(self, mark: str) -> None:
        """Deliver no token of this mark: EnKash refused it before the store heard of it."""
        for place, (command, noted_at) in enumerate(self._owed):
            if isinstance(command, Settle) and command.token is not None and command.token.mark == mark:
                self._owed[place] = attrs.evolve(command, token=None), noted_at

    async def claim(self, claim: Claim) -> Told:
        """Ask for a token, or for the right to log in.

        Raises:
            StoreUnavailableError: The store is away. An attempt that may have begun all the same is settled as not
                counted when the store answers again, since its login is not sent.
            StoreError: The record cannot be used.
        """
        unsent = Settle(claim.id, claim.who, 0, Outcome.NOT_COUNTED, 0.0)
        try:
            return await self._act(claim, claim.who)
        except StoreUnavailableError:
            self.owe(unsent)
            raise
        except asyncio.CancelledError:
            await self.report(unsent, claim.who)
            raise

    async def report(self, command: Settle | Reject, who: Who) -> Told | None:
        """Deliver a report; None where the store is away, and the report is kept for its return.

        A task that is cancelled meanwhile delivers it once more before it ends: the loop may have cancelled the swap,
        and a repeated report changes nothing.
        """
        try:
            return await self._delivered(command, who)
        except asyncio.CancelledError:
            await self._delivered(command, who)
            raise

    async def _delivered(self, command: Settle | Reject, who: Who) -> Told | None:
        try:
            return await self._act(command, who)
        except StoreError as problem:
            _log.warning("the store did not take a report: %s", problem)
            self.owe(command)
            return None

    async def act(self, command: Command, who: Who) -> Told:
        """Carry out one command.

        Raises:
            StoreUnavailableError: The store is away.
            StoreError: The record cannot be used.
        """
        return await self._act(command, who)

    async def deliver_owed(self, who: Who) -> None:
        """Deliver what the store has missed, before it is asked for anything.

        Raises:
            StoreUnavailableError: The store is away.
        """
        while self._owed:
            command, noted_at = self._owed[0]
            await self._act(_aged(command, instant() - noted_at), who)
            self._owed.popleft()

    async def _act(self, command: Command, who: Who) -> Told:
        self._breaker.enter()
        try:
            if not self._is_checked:
                await refuse_eviction(self._store, expiring_only=True)  # an account is kept for ever
                self._is_checked = True
            told, self.known = await act(
                self._store,
                self._key,
                lambda account, order, now: _carried_out(account, order, now, who),
                command,
                kind=_KIND,
                sleep=self._sleep,
                random=self._random,
            )
        except StoreUnavailableError as problem:
            self._failed(problem)
            raise
        self._breaker.worked()
        if self.is_away:
            self.is_away = False
            _log.info("the store of tokens is back")
        return told

    def _failed(self, problem: StoreUnavailableError) -> None:
        self._breaker.failed(str(problem))
        if not self.is_away:
            self.is_away = True
            _log.warning("the store of tokens is away: %s", problem)


def _aged(command: Command, seconds: float) -> Command:
    """Return a report as it is made now: its token has grown older while the store was away."""
    if not isinstance(command, Settle) or command.token is None:
        return command
    return attrs.evolve(command, token=attrs.evolve(command.token, age=command.token.age + seconds))


def _carried_out(
    account: Account | None, command: Command, now: float, who: Who
) -> tuple[Account | None, tuple[Told, View]]:
    before = Account() if account is None else account
    after, answer = decide(before, command, now)
    return (account if after is before else after), (Told(answer, now), view(after, who, now))
