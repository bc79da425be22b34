"""Confirms debits: each bill is claimed and written down before it is sent, for every process to see.

What is decided stands in `debit.py`, what comes next for one bill in `attempt.py`. This module carries it out for up to
1,000 bills at a time: acts on their records, reads them, sends them together, and says what came of each.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence

import attrs

from enkash_async._calls import payments as calls
from enkash_async._flow.jobs import drive, items_of
from enkash_async._flow.poller import Poller
from enkash_async._flow.verdicts import judge
from enkash_async._money.attempt import Attempt, Do, End
from enkash_async._money.debit_commands import Answer, Command, MarkSent, Mine, Outcome, Reading, Settle
from enkash_async._money.debit_records import DebitRecords
from enkash_async._money.departures import DebitDeparture, NotTogetherError
from enkash_async._money.reads import Reads
from enkash_async._money.settle import Settling
from enkash_async._money.told import ConfirmResult, Evidence, told
from enkash_async._wire.operation import Send
from enkash_async.config import PollPolicy, Routes, SettlePolicy
from enkash_async.errors import (
    ApiError,
    AuthenticationError,
    EnkashError,
    ResponseDecodeError,
    StoreError,
)
from enkash_async.models import Bill
from enkash_async.stores.actions import to_its_end

__all__ = ["Debits"]

_SINGLY_EVERY = 3  # looks, of which one reads each bill by a call of its own: a search may never show the end
_LAST = 1.0  # seconds; a look that gets no more is the last one
_SINGLE_CALLS = 16  # confirmations of one bill each, at once
_CLEAR_STATUSES = frozenset({400, 412, 422})
_CLEAR_CODES = frozenset({1, 36, 37, 38, 403})
_OF_THE_ACCOUNT = frozenset({36, 37, 403})  # refusals that the next bill would get too


class Debits:
    """Confirms debits for one client.

    Args:
        records: The records of debits.
        send: Sends operations.
        routes: The path of every operation.
        reads: Reads bills.
        settling: Knows how long a caller waits for an unclear end.
        poller: Its clock and its sleep are those of all waits.
        patience: Seconds for reading one bill.
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
        settle: SettlePolicy | None = None,
    ) -> Mapping[str, ConfirmResult]:
        """Confirm the debit of bills, and return what came of each; only wrong arguments are raised.

        Args:
            ids: EnKash's ids, each once, 1,000 at most.
            remarks: Remarks of the confirmation.
            check_first: Whether bills are read before their first confirmation.
            created: Those that a create of this step brought forth, in a waiting state: they are not read.
            settle: How long to wait for an unclear end, or for another process; None takes the client's policy.
        """
        calls.confirm_debit(self.routes, ids, remarks=remarks)  # checks the arguments before anything is written
        run = _Run(self, remarks, check_first, frozenset(created), ids)
        return await run.confirm(self._settling.window(settle), (settle or self._settling.policy).pauses)


class _Run:
    """The attempts of one call, 1,000 bills at most.

    Attributes:
        attempts: The present attempt at each bill.
    """

    def __init__(
        self, debits: Debits, remarks: str | None, check_first: bool, created: frozenset[str], ids: Sequence[str]
    ) -> None:
        self._debits = debits
        self._remarks = remarks
        self._check_first = check_first
        self._created = created
        self.attempts = {one: self._new(one) for one in ids}
        self._trouble: dict[str, EnkashError] = {}  # how the last sending of a bill failed
        self._unsent: set[str] = set()  # bills whose last sending never left, and is not tried again
        self._sent: set[str] = set()  # bills that were sent in this call, with no clear end yet
        self._seen: dict[str, Bill | EnkashError] = {}
        self._new_bills: set[str] = set()  # bills that the record says a create brought forth
        self._looks = 0
        self._is_last = False
        self._held_back: EnkashError | None = None  # a refusal that every further single confirmation would get

    async def confirm(self, window: float, pauses: PollPolicy) -> Mapping[str, ConfirmResult]:
        """Go on until each bill has an end, or the window is over."""
        try:
            await self._debits.poller.until(self._look, seconds=window, pauses=pauses)
        except StoreError as problem:
            self._store_failed(problem)
        finally:
            await self._give_back()
        return told({one: self._evidence(one) for one in self.attempts})

    def _new(self, one: str) -> Attempt:
        return Attempt(uuid.uuid4().hex, created=one in self._created, reads=self._check_first)

    async def _look(self, patience: float) -> bool:
        """Go on with every bill as far as it gets; return whether none waits."""
        self._looks += 1
        self._is_last = patience <= _LAST
        for one in self._all(Do.WAIT):
            self.attempts[one] = self._new(one)
        while await self._step():
            continue
        return not self._all(Do.WAIT)

    async def _step(self) -> bool:
        """Go one step with every bill that needs one; return whether there was any."""
        if commands := dict(self._commands()):
            for one, answer in (await self._debits.records.act(commands)).items():
                self._note(one, answer)
            return True
        if wanted := self._all(Do.SEARCH):
            self._show(await self._debits.reads.read(wanted, patience=self._debits.patience * len(wanted)))
            return True
        if wanted := self._all(Do.READ):
            self._show(await self._read(wanted))
            return True
        if together := self._ready(alone=False):
            await self._send(together[: calls.LARGEST_CALL])
            return True
        if alone := self._ready(alone=True):
            # The first one tells whether the others would be refused for the account's sake.
            await self._send(alone[:1])
            await drive(items_of(alone[1:]), lambda one: self._send([one]), _SINGLE_CALLS)
            return True
        return False

    def _note(self, one: str, answer: Answer) -> None:
        """Take in an answer; an attempt that came to nothing, or to nothing clear, is followed by another."""
        if isinstance(answer, Mine) and answer.is_new:
            self._new_bills.add(one)
        attempt = self.attempts[one].answered(answer)
        if attempt.do is Do.END:
            if attempt.end is End.UNCLEAR:
                attempt = self._new(one)  # it stands in the record as sent: read it, and wait
            elif (attempt.end is End.NOT_SENT and one not in self._unsent) or self._is_lagging(one, attempt):
                attempt = attrs.evolve(self._new(one), do=Do.WAIT)  # another process was faster, or EnKash lags
            else:
                self._sent -= {one} if attempt.end in {End.DEBITED, End.REFUSED} else set()
        self.attempts[one] = attempt

    def _is_lagging(self, one: str, attempt: Attempt) -> bool:
        """Whether EnKash does not show a bill yet that a create returned."""
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

    # --- reading ------------------------------------------------------------------------------------------------------

    async def _read(self, ids: Sequence[str]) -> Mapping[str, Bill | EnkashError]:
        """Read bills of which a confirmation was sent.

        A search proves that a bill is confirmed, and never that it is not. So those whose window is over are read
        singly, and the others, whose answer changes nothing yet, in some of the looks.
        """
        patience = self._debits.patience
        singly = self._is_last or self._looks % _SINGLY_EVERY == 0 or any(map(self._was_answered, ids))
        early = [] if singly else [one for one in ids if self.attempts[one].seen is None]
        found = dict(await self._debits.reads.read(early, patience=patience)) if early else {}
        late = [one for one in ids if one not in found]
        if late:
            found |= await self._debits.reads.read_each(late, patience=patience * len(late))
        return found

    def _was_answered(self, one: str) -> bool:
        """Whether EnKash said yes and named bills, so that each has to be looked at."""
        trouble = self._trouble.get(one)
        return trouble is not None and isinstance(trouble.__cause__, ResponseDecodeError)

    def _show(self, found: Mapping[str, Bill | EnkashError]) -> None:
        self._seen.update(found)
        for one, seen in found.items():
            self.attempts[one] = self.attempts[one].showed(_reading(seen))

    # --- sending ------------------------------------------------------------------------------------------------------

    def _ready(self, *, alone: bool) -> list[str]:
        """Return the bills that are to be written down as sent, and sent."""
        return [
            one
            for one, each in self.attempts.items()
            if each.alone == alone
            if each.do is Do.SEND or (each.do is Do.ACT and isinstance(each.command, MarkSent))
        ]

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
        except NotTogetherError:  # nothing was sent; the others make a new call
            for one in group:
                if self.attempts[one].do is Do.END:  # another process has it
                    self.attempts[one] = attrs.evolve(self._new(one), do=Do.WAIT)
            return
        except EnkashError as failure:
            problem = failure
        except BaseException:  # cancelled
            self._came_to(group, Outcome.UNCLEAR if departure.begun else Outcome.NEVER_SENT, None)
            raise
        self._came_to(group, _outcome(problem, len(group), begun=departure.begun), problem)

    def _came_to(self, group: Sequence[str], outcome: Outcome, problem: EnkashError | None) -> None:
        if isinstance(problem, ApiError) and self.attempts[group[0]].alone and _is_of_the_account(problem):
            self._held_back = problem
        for one in group:
            self._trouble.pop(one, None)
            if problem is not None:
                self._trouble[one] = problem
            self._unsent |= {one} if outcome is Outcome.NEVER_SENT else set()
            self._sent |= {one} if outcome in {Outcome.UNCLEAR, Outcome.REFUSED_TOGETHER} else set()
            self.attempts[one] = self.attempts[one].returned(outcome)

    # --- the end ------------------------------------------------------------------------------------------------------

    def _store_failed(self, problem: StoreError) -> None:
        """Note that nothing more can be written down: what was not sent is not sent."""
        for one, attempt in self.attempts.items():
            if attempt.end is None:
                self._trouble.setdefault(one, problem)
                self.attempts[one] = attrs.evolve(attempt, do=Do.END, end=End.NOT_SENT)

    async def _give_back(self) -> None:
        """Settle what is open when the call is cancelled: a claim left behind would hold up the next one."""
        left: dict[str, Command] = {}
        for one, attempt in self.attempts.items():
            if attempt.do is Do.ACT and isinstance(attempt.command, Settle):
                left[one] = attempt.command
            elif attempt.do in {Do.ACT, Do.SEARCH, Do.CHECK, Do.SEND}:  # what has left is told by a `Settle`
                left[one] = Settle(attempt.by, Outcome.NEVER_SENT)
        if left:
            with contextlib.suppress(StoreError):  # the records stay, and others wait for the end of their window
                await to_its_end(self._debits.records.act(left))

    def _evidence(self, one: str) -> Evidence:
        attempt = self.attempts[one]
        return Evidence(
            attempt, self._trouble.get(one), self._seen.get(one), one in self._sent, self._is_lagging(one, attempt)
        )


def _reading(seen: Bill | EnkashError) -> Reading:
    if isinstance(seen, Bill) and seen.debit_confirmed is not None:
        return Reading.CONFIRMED if seen.debit_confirmed else Reading.UNCONFIRMED
    return Reading.UNCLEAR


def _outcome(problem: EnkashError | None, count: int, *, begun: bool) -> Outcome:
    """Return what a sending came to; only a call with one id can be refused for certain."""
    if problem is None:
        return Outcome.ACCEPTED
    if not begun:
        return Outcome.NEVER_SENT
    if isinstance(problem, AuthenticationError):
        return Outcome.REFUSED
    if isinstance(problem, ApiError) and _is_clear(problem):
        return Outcome.REFUSED if count == 1 else Outcome.REFUSED_TOGETHER
    return Outcome.UNCLEAR


def _is_clear(answer: ApiError) -> bool:
    return answer.status in _CLEAR_STATUSES or answer.response_code in _CLEAR_CODES


def _is_of_the_account(answer: ApiError) -> bool:
    return answer.status == 429 or answer.response_code in _OF_THE_ACCOUNT
