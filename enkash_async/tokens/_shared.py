"""Sends a provider's commands to its account in the store, and keeps the reports that it could not deliver."""

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
_MOST_OWED = 16  # undelivered reports to keep; a few are enough, since a few failed logins close the guard


@attrs.frozen
class Told:
    """An answer of the account.

    Attributes:
        answer: The state machine's answer.
        now: Time of the answer in seconds, on the store's clock.
        kept: The reported token as the record holds it; None if the record does not hold this token.
    """

    answer: Answer
    now: float
    kept: StoredToken | None = None


@attrs.define(eq=False)
class _Owed:
    """A report that could not be delivered, and the instant at which it was made."""

    command: Command
    noted_at: float


class SharedAccount:
    """Carries out commands on the record of one account.

    Args:
        store: Store that holds the record.
        key: Key of the record.
        clock: Returns seconds, including those in which the machine sleeps; gives the age of undelivered reports.
        sleep: Waits for a number of seconds.
        random: Returns a number in [0, 1).

    Attributes:
        known: What the process learned of the account from the last answer; None before the first answer.
        is_away: Whether the store was unavailable when it was last asked.
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
        self._is_checked = False  # whether the store's eviction policy was checked
        self.known: View | None = None
        self.is_away = False

    def after_fork(self) -> None:
        """Forget the undelivered reports: the parent process delivers them."""
        self._owed.clear()
        self._lock = threading.Lock()
        self._breaker = self._new_breaker()

    def owe(self, command: Command) -> None:
        """Keep a report, and deliver it when the store answers again."""
        self._owed.append(_Owed(command, self._clock()))

    def withhold(self, mark: str) -> None:
        """Remove tokens with this mark from the undelivered reports, because EnKash has refused these tokens."""
        for owed in list(self._owed):
            command = owed.command
            if isinstance(command, Settle) and command.token is not None and command.token.mark == mark:
                owed.command = attrs.evolve(command, token=None)

    async def claim(self, claim: Claim) -> Told:
        """Ask for a token, or for the right to log in.

        If no answer comes, the attempt may have begun in the store, but its login is never sent. The attempt is then
        reported as not counted: at once if the caller was cancelled, otherwise when the store answers again.

        Raises:
            StoreUnavailableError: The store is unavailable.
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
        """Deliver a report. If the store does not take it, keep it to deliver it later, and return None.

        A cancelled task ends only after the delivery, so that EnKash's answer is not lost.
        """
        is_noted: list[bool] = []
        try:
            return await to_its_end(self._deliver(command, who, is_noted))
        except asyncio.CancelledError:
            if not is_noted:  # the event loop is closing and has cancelled the delivery too: deliver again
                await to_its_end(self._deliver(command, who, is_noted))
            raise

    async def _deliver(self, command: Settle | Reject, who: Who, is_noted: list[bool]) -> Told | None:
        told = None
        try:
            told = await self._act(command, who)
        except StoreError as problem:
            _log.warning("the store did not take a report: %s", problem)
        except Exception as problem:  # noqa: BLE001 (the store may be the user's own; its message may hold secrets)
            _log.warning("the store did not take a report: %s", type(problem).__name__)
        if told is None:
            self.owe(command)
        is_noted.append(True)
        return told

    async def act(self, command: Command, who: Who) -> Told:
        """Carry out one command.

        Raises:
            StoreUnavailableError: The store is unavailable.
            StoreError: The record cannot be used.
        """
        return await self._act(command, who)

    async def deliver_owed(self, who: Who) -> None:
        """Deliver the kept reports; call this before asking the store for anything.

        Raises:
            StoreUnavailableError: The store is unavailable.
        """
        while (owed := next(iter(self._owed), None)) is not None:
            await self._act(_aged(owed.command, self._clock() - owed.noted_at), who)
            with self._lock:  # another task may have delivered the same report
                if self._owed and self._owed[0] is owed:
                    self._owed.popleft()

    async def _act(self, command: Command, who: Who) -> Told:
        self._breaker.enter()
        try:
            if not self._is_checked:
                await refuse_eviction(self._store, expiring_only=True)  # accounts never expire
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
    """Return a report with its token's age increased by the seconds since the report was made."""
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
