"""The account of one provider in a store: commands go in, answers come out, and what was not delivered is kept."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from logging import getLogger

import attrs

from enkash_async._support.breaker import CircuitBreaker
from enkash_async._support.clock import instant, waits_beside
from enkash_async.errors import StoreError, StoreUnavailableError
from enkash_async.stores import RecordKind, Store, act, refuse_eviction
from enkash_async.stores.actions import to_its_end
from enkash_async.tokens._account import decide, view
from enkash_async.tokens._commands import Answer, Claim, Command, Outcome, Reject, Settle, View, Who
from enkash_async.tokens._record import CODEC, Account, StoredToken

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
        kept: The token of a report as it lies in the record, if it does.
    """

    answer: Answer
    now: float
    kept: StoredToken | None = None


@attrs.define(eq=False)
class _Owed:
    """A report that the store has missed, and when it was made."""

    command: Command
    noted_at: float


class SharedAccount:
    """Acts on the record of one account.

    Args:
        store: Where the record lies.
        key: Its key.
        clock: Seconds that run on while the machine sleeps, for the age of what is not delivered.
        sleep: Waits for a number of seconds.
        random: Returns a number in [0, 1).

    Attributes:
        known: What the process knows of the account since the last answer, or None before the first.
        is_away: Whether the store could not be reached when it was last asked.
    """

    def __init__(
        self,
        store: Store,
        key: str,
        *,
        clock: Callable[[], float] = instant,
        sleep: Callable[[float], Awaitable[object]],
        random: Callable[[], float],
    ) -> None:
        self._store = store
        self._key = key
        self._clock = clock
        self._sleep = sleep
        self._random = random
        self._breaker = self._new_breaker()
        self._owed: deque[_Owed] = deque(maxlen=_MOST_OWED)
        self._lock = threading.Lock()
        self._is_checked = False  # whether the store keeps what it is given
        self.known: View | None = None
        self.is_away = False

    def after_fork(self) -> None:
        """Leave to the parent what the parent has begun."""
        self._owed.clear()
        self._lock = threading.Lock()
        self._breaker = self._new_breaker()

    def owe(self, command: Command) -> None:
        """Keep a report for the time when the store answers again."""
        self._owed.append(_Owed(command, self._clock()))

    def withhold(self, mark: str) -> None:
        """Deliver no token of this mark: EnKash refused it before the store heard of it."""
        for owed in list(self._owed):
            command = owed.command
            if isinstance(command, Settle) and command.token is not None and command.token.mark == mark:
                owed.command = attrs.evolve(command, token=None)

    async def claim(self, claim: Claim) -> Told:
        """Ask for a token, or for the right to log in.

        An attempt that may have begun although no answer came is settled as not counted, since its login is not sent:
        at once where the caller was cancelled, and else when the store answers again.

        Raises:
            StoreUnavailableError: The store is away.
            StoreError: The record cannot be used.
        """
        unsent = Settle(claim.id, claim.who, 0, Outcome.NOT_COUNTED, 0.0)
        try:
            return await self._act(claim, claim.who)
        except asyncio.CancelledError:
            await self.report(unsent, claim.who)
            raise
        except Exception:
            self.owe(unsent)
            raise

    async def report(self, command: Settle | Reject, who: Who) -> Told | None:
        """Deliver a report; None where the store is away, and the report is kept for its return.

        A task that is cancelled meanwhile ends when the report has arrived: what EnKash answered must not be lost.
        """
        is_noted: list[bool] = []
        try:
            return await to_its_end(self._deliver(command, who, is_noted))
        except asyncio.CancelledError:
            if not is_noted:  # an event loop that ends cancels every task once, that of the delivery as well
                await to_its_end(self._deliver(command, who, is_noted))
            raise

    async def _deliver(self, command: Settle | Reject, who: Who, is_noted: list[bool]) -> Told | None:
        told = None
        try:
            told = await self._act(command, who)
        except StoreError as problem:
            _log.warning("the store did not take a report: %s", problem)
        except Exception as problem:  # noqa: BLE001 (a store of the user's own; its words may hold secrets)
            _log.warning("the store did not take a report: %s", type(problem).__name__)
        if told is None:
            self.owe(command)
        is_noted.append(True)
        return told

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
        while (owed := next(iter(self._owed), None)) is not None:
            await self._act(_aged(owed.command, self._clock() - owed.noted_at), who)
            with self._lock:  # another task may have delivered it as well
                if self._owed and self._owed[0] is owed:
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

    def _new_breaker(self) -> CircuitBreaker:
        return CircuitBreaker(error=StoreUnavailableError, clock=waits_beside(self._clock), random=self._random)


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
    told = Told(answer, now, _kept(after, command) if isinstance(command, Settle) else None)
    return (account if after is before else after), (told, view(after, who, now))


def _kept(account: Account, report: Settle) -> StoredToken | None:
    tokens = account.client(report.who.client).tokens
    return next((token for token in tokens if token.fence == report.fence and not token.refused), None)
