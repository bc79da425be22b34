"""Confirms debits. Before a confirmation is sent, its claim and then *sent* are written to the shared store.

`debit.py` decides who may send, and `attempt.py` decides the next action for one bill. This module carries out these
actions for up to 1,000 bills at a time: changes their records, reads the bills, sends them together, and returns the
outcome of each.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import attrs

from enkash_async._calls import payments as calls
from enkash_async._flow.jobs import drive, items_of
from enkash_async._flow.poller import Poller
from enkash_async._flow.verdicts import judge
from enkash_async._money.attempt import Attempt, Do, End
from enkash_async._money.debit_commands import Answer, Command, MarkSent, Mine, Outcome, Settle, Wait
from enkash_async._money.debit_records import DebitRecords
from enkash_async._money.departures import DebitDeparture, NotTogetherError
from enkash_async._money.looks import Looks, reading
from enkash_async._money.reads import Reads
from enkash_async._money.sendings import is_of_the_account, outcome_of
from enkash_async._money.settle import Settling
from enkash_async._money.told import ConfirmResult, Evidence, told
from enkash_async._wire.operation import Send
from enkash_async.config import PollPolicy, Routes, SettlePolicy
from enkash_async.errors import EnkashError, ResponseDecodeError, StoreError, StoreUnavailableError
from enkash_async.models import Bill
from enkash_async.stores.actions import to_its_end

__all__ = ["Debits"]

_SINGLE_CALLS = 16  # calls in flight that confirm one bill each
_VAIN = 10  # failed departures after which a bill is given up, for example if each answer of the store takes 20 s


class Debits:
    """Confirms debits for one client.

    Args:
        records: The records of debits.
        send: Sends operations.
        routes: The path of every operation.
        reads: Reads bills.
        settling: Returns how long a caller waits for an unclear end.
        poller: Provides the clock and the sleep for all waits.
        patience: Seconds that reading one bill may take.
    """

    def __init__(
        self,
        records: DebitRecords,
        send: Send,
        routes: Routes,
        reads: Reads,
        settling: Settling,
        poller: Poller,
        *,
        patience: float = 30.0,
    ) -> None:
        self.records = records
        self.send = send
        self.routes = routes
        self.reads = reads
        self._settling = settling
        self.poller = poller
        self.patience = patience

    async def confirm(
        self,
        ids: Sequence[str],
        *,
        remarks: str | None = None,
        check_first: bool = True,
        created: Collection[str] = (),
        doubted: Collection[str] = (),
        settle: SettlePolicy | None = None,
    ) -> Mapping[str, ConfirmResult]:
        """Confirm the debit of bills, and return the outcome of each; only wrong arguments raise an error.

        Args:
            ids: EnKash's ids of the bills, unique, at most 1,000.
            remarks: Remarks of the confirmation; None sends none.
            check_first: Whether bills are read before their first confirmation.
            created: Ids of bills that this step created, and whose debit waits: they are not read first.
            doubted: Ids of bills that the caller has just read as unconfirmed. If the record of such a bill has been
                *accepted* for longer than the window, a single read checks it: EnKash may have accepted the
                confirmation without a debit.
            settle: How long to wait for an unclear end, or for another process; None takes the client's policy.
        """
        calls.confirm_debit(self.routes, ids, remarks=remarks)  # checks the arguments before anything is written
        run = _Run(self, remarks, check_first, frozenset(created), frozenset(doubted), ids)
        with self.records.acts.here():
            return await run.confirm(self._settling.window(settle), (settle or self._settling.policy).pauses)


class _Run:
    """The attempts of one call, at most 1,000 bills.

    Attributes:
        attempts: The current attempt for each bill, by the bill's id.
    """

    def __init__(
        self,
        debits: Debits,
        remarks: str | None,
        check_first: bool,
        created: frozenset[str],
        doubted: frozenset[str],
        ids: Sequence[str],
    ) -> None:
        self._debits = debits
        self._remarks = remarks
        self._check_first = check_first
        self._created = created
        self._doubted = doubted
        self.attempts = {one: self._new(one) for one in ids}
        self._looks = Looks(debits.reads, debits.patience, debits.poller.clock)
        self._trouble: dict[str, EnkashError] = {}  # how the last sending of a bill failed
        self._unsent: set[str] = set()  # bills whose last sending never went out, and is not retried
        self._under_way: dict[str, float] = {}  # seconds for which a confirmation, or another claim, may be in flight
        self._vain: dict[str, int] = {}  # number of failed departures of each bill
        self._seen: dict[str, Bill | EnkashError] = {}
        self._new_bills: set[str] = set()  # bills whose records say that no confirmation was sent
        self._held_back: EnkashError | None = None  # a refusal that EnKash would give every further single call too

    async def confirm(self, window: float, pauses: PollPolicy) -> Mapping[str, ConfirmResult]:
        """Carry out the attempts until each bill has an end, or the window is over."""
        failure: EnkashError | None = None
        self._looks.wait(window)
        try:
            await self._debits.poller.until(self._look, seconds=window, pauses=pauses)
        except EnkashError as problem:  # the store failed; other failures are in the outcomes of their bills
            failure = problem
        finally:
            await self._give_back()
        if failure is not None:
            self._store_failed(failure)
        return told({one: self._evidence(one) for one in self.attempts})

    def _new(self, one: str) -> Attempt:
        return Attempt(
            uuid.uuid4().hex, created=one in self._created, reads=self._check_first, doubted=one in self._doubted
        )

    async def _look(self, _: float) -> bool:
        """Advance every bill as far as possible; return whether no bill has to wait."""
        self._looks.begin()
        for one in self._all(Do.WAIT):
            self.attempts[one] = self._new(one)
        while await self._step():
            continue
        return all(self._waits_in_vain(one) for one in self._all(Do.WAIT))

    def _waits_in_vain(self, one: str) -> bool:
        """Whether waiting longer in this call is of no use for the bill.

        Either the store stays too young until the call ends, or no further read of the bill can succeed, for example
        because the client is being closed.
        """
        wait = self.attempts[one].wait
        if wait is not None and wait.why == "store" and wait.seconds > self._looks.left:
            return True
        seen = self._seen.get(one)
        return isinstance(seen, EnkashError) and judge(seen).ends_job

    async def _step(self) -> bool:
        """Carry out one kind of action for all bills that need it next; return False if no bill needs an action."""
        if commands := dict(self._commands()):
            await self._act(commands)
        elif wanted := self._all(Do.SEARCH):
            self._show(wanted, await self._looks.before_first(wanted))
        elif wanted := [one for one in self._all(Do.READ) if self.attempts[one].seen is not None]:
            self._show(wanted, await self._looks.after_window(wanted))
        elif wanted := self._all(Do.READ):
            self._show(wanted, await self._looks.within_window(wanted))
        elif together := self._ready(alone=False):
            await self._send(together[: calls.LARGEST_CALL])
        elif alone := self._ready(alone=True):
            await self._send_singly(alone)
        else:
            return False
        return True

    async def _act(self, commands: Mapping[str, Command]) -> None:
        """Carry out commands on records; an unusable record, such as a newer format, fails only its bill."""
        try:
            answers = await self._debits.records.act(commands)
        except StoreUnavailableError:
            raise
        except StoreError as problem:
            ids = list(commands)
            if len(ids) == 1:
                self._cannot_use(ids[0], problem)
                return
            for some in (ids[: len(ids) // 2], ids[len(ids) // 2 :]):
                await self._act({one: commands[one] for one in some})
            return
        for one, answer in answers.items():
            self._note(one, answer)

    def _cannot_use(self, one: str, problem: StoreError) -> None:
        self._trouble.setdefault(one, problem)
        self.attempts[one] = attrs.evolve(self.attempts[one], do=Do.END, end=self.attempts[one].end or End.NOT_SENT)

    def _note(self, one: str, answer: Answer) -> None:
        """Pass an answer to the bill's attempt; make a new attempt if the old one sent nothing or ended unclearly."""
        if isinstance(answer, Mine):
            self._under_way.pop(one, None)  # nothing was sent before, or a single read after the window shows no debit
            self._new_bills |= {one} if answer.is_new else set()
        elif isinstance(answer, Wait) and answer.why != "store":
            self._under_way[one] = answer.seconds
        attempt = self.attempts[one].answered(answer)
        if attempt.do is Do.END:
            if attempt.end is End.UNCLEAR:
                attempt = self._new(one)  # the record says *sent*: the new attempt reads the bill, and waits
            elif (attempt.end is End.NOT_SENT and one not in self._unsent) or self._is_lagging(one, attempt):
                attempt = attrs.evolve(self._new(one), do=Do.WAIT)  # another process was faster, or EnKash lags
        self.attempts[one] = attempt

    def _is_lagging(self, one: str, attempt: Attempt) -> bool:
        """Whether EnKash does not show the bill yet, although a create has returned it."""
        seen = self._seen.get(one)
        is_absent = isinstance(seen, EnkashError) and judge(seen).says_absent
        return attempt.end is not End.DEBITED and is_absent and one in self._new_bills

    def _commands(self) -> Iterator[tuple[str, Command]]:
        for one in self._all(Do.ACT):
            command = self.attempts[one].command
            if command is not None and not isinstance(command, MarkSent):
                yield one, command

    def _all(self, do: Do) -> list[str]:
        return [one for one, attempt in self.attempts.items() if attempt.do is do]

    def _show(self, ids: Iterable[str], found: Mapping[str, Bill | EnkashError]) -> None:
        self._seen.update(found)
        for one in ids:
            self.attempts[one] = self.attempts[one].showed(reading(found.get(one)))

    # --- sending ------------------------------------------------------------------------------------------------------

    def _ready(self, *, alone: bool) -> list[str]:
        """Return the bills whose next action is to write *sent*, or to send."""
        return [
            one
            for one, each in self.attempts.items()
            if each.alone == alone
            if each.do is Do.SEND or (each.do is Do.ACT and isinstance(each.command, MarkSent))
        ]

    async def _send_singly(self, ids: Sequence[str]) -> None:
        """Send each bill by a call of its own; one bill goes first, and shows whether EnKash refuses the account.

        The first bill is chosen at random: otherwise one bill that is always refused could block the others for ever.
        """
        first = ids[int(self._debits.poller.random() * len(ids))]
        await self._send([first])
        await drive(items_of([one for one in ids if one != first]), lambda one: self._send([one]), _SINGLE_CALLS)

    async def _send(self, group: Sequence[str]) -> None:
        """Send one call, for one bill or for many."""
        if self._held_back is not None and self.attempts[group[0]].alone:
            self._came_to(group, Outcome.NEVER_SENT, self._held_back)
            return
        departure = DebitDeparture(self._debits.records, self.attempts, group)
        operation = calls.confirm_debit(self._debits.routes, group, remarks=self._remarks)
        problem: EnkashError | None = None
        try:
            await self._debits.send(attrs.evolve(operation, departure=departure))
        except NotTogetherError:  # nothing was sent; the bills that may still be sent make a new call
            self._was_vain(group)
            return
        except EnkashError as failure:
            problem = failure
        except BaseException:  # for example, the task was cancelled
            self._came_to(group, Outcome.UNCLEAR if departure.begun else Outcome.NEVER_SENT, None)
            raise
        self._came_to(group, outcome_of(problem, len(group), begun=departure.begun), problem)

    def _was_vain(self, group: Sequence[str]) -> None:
        slow = StoreUnavailableError("the store is too slow to write down what is sent; nothing was sent")
        for one in group:
            self._vain[one] = self._vain.get(one, 0) + 1
            if self.attempts[one].do is Do.END:  # another process has claimed the bill
                self.attempts[one] = attrs.evolve(self._new(one), do=Do.WAIT)
            elif self._vain[one] > _VAIN:
                self._came_to([one], Outcome.NEVER_SENT, slow)

    def _came_to(self, group: Sequence[str], outcome: Outcome, problem: EnkashError | None) -> None:
        if self.attempts[group[0]].alone and is_of_the_account(problem):
            self._held_back = problem
        if problem is not None and isinstance(problem.__cause__, ResponseDecodeError):
            self._looks.note_named(group)
        for one in group:
            self._trouble.pop(one, None)
            if problem is not None:
                self._trouble[one] = problem
            if outcome is Outcome.NEVER_SENT:
                self._unsent.add(one)
            if outcome in {Outcome.UNCLEAR, Outcome.REFUSED_TOGETHER}:
                self._under_way[one] = self._debits.records.durations.settled_after
            self.attempts[one] = self.attempts[one].returned(outcome)

    # --- the end ------------------------------------------------------------------------------------------------------

    def _store_failed(self, problem: EnkashError) -> None:
        """End the open attempts as not sent, because the store cannot write *sent* any more."""
        for one, attempt in self.attempts.items():
            if attempt.end is None:
                self._trouble.setdefault(one, problem)
                self.attempts[one] = attrs.evolve(attempt, do=Do.END, end=End.NOT_SENT)

    async def _give_back(self) -> None:
        """Settle open attempts when the call ends early: a claim left behind would make the next call wait."""
        left: dict[str, Command] = {}
        for one, attempt in self.attempts.items():
            if attempt.do is Do.ACT and isinstance(attempt.command, Settle):
                left[one] = attempt.command
            elif attempt.do in {Do.ACT, Do.SEARCH, Do.CHECK, Do.SEND}:  # nothing was sent yet
                left[one] = Settle(attempt.by, Outcome.NEVER_SENT)
        if left:
            with contextlib.suppress(EnkashError):  # if this fails, other processes wait until the window is over
                await to_its_end(self._debits.records.act(left))

    def _evidence(self, one: str) -> Evidence:
        attempt = self.attempts[one]
        return Evidence(
            attempt=attempt,
            trouble=self._trouble.get(one),
            seen=self._seen.get(one),
            under_way=self._under_way.get(one),
            is_lagging=self._is_lagging(one, attempt),
            window=self._debits.records.durations.settled_after,
        )
