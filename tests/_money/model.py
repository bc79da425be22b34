"""Some processes, one store, one EnKash that debits whenever it is asked: random schedules against the debit machine.

Each process works through its bills by `Attempt`, as the package does, and every step of it may be held up, or be its
last. A schedule is a seed; what fails is told as a story. A run of many:

    PYTHONPATH=.:tests python -m _money.model 10000 [first seed]

What is watched, in the words of MONEY §6:

D  No bill is debited twice.
T  No answer is untrue: what is told as debited was carried out or will be; of what is told as refused or not sent,
   nothing moved.
L  Every payable bill is paid in the end: within six windows after the last fault; through the first two of them a
   process may be held up still.

Faults: processes killed and held up between any two steps, replies lost, confirmations carried out up to 150 s late,
calls that work through ids to a bad one, displays that lag by up to 10 s, swaps whose answer is lost and that are made
later, a store emptied or losing its last write, and clocks an hour off either way: the store's, or those of processes.

Not promised, and so not drawn: a process held up between its last check and its first byte (`Process.held_at_the_byte`
draws it, and a test shows the double debit), two lost writes, the store's clock and a process's wrong at once.
"""

from __future__ import annotations

import enum
import heapq
import itertools
import math
import random
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from functools import partial
from typing import Any, TypeAlias

import attrs
from schedules import Tally, Violation, main, tallied

from enkash_async._money.attempt import Attempt, Do, End
from enkash_async._money.birth import BIRTH, Birth, See, see
from enkash_async._money.debit import decide, may_begin
from enkash_async._money.debit_commands import (
    Answer,
    Command,
    Here,
    MarkSent,
    NoteCreated,
    Outcome,
    Reading,
    Unborn,
)
from enkash_async._money.debit_record import DEBIT, Debit
from enkash_async._money.instants import DURATIONS, Instant

__all__ = ["Decide", "Habits", "Model", "Rule", "play", "run"]

Decide: TypeAlias = Callable[[Debit | None, Command, Here], tuple[Debit | None, Answer]]
Swap: TypeAlias = "tuple[str, Debit | Birth | None, Debit | Birth | None]"  # key, old, new
Steps: TypeAlias = Generator[float, None, None]

LATEST = 150.0  # seconds after its first byte within which a confirmation is carried out
LAG = 10.0  # seconds by which a display may lag
HOUR = 3_600.0
BOUND = 6 * DURATIONS.settled_after
GIVES_UP = 30.0  # seconds after which a process does not wait for a reply any longer
TRIES = 50
BIRTH_KEY = "birth"


class Rule(enum.Enum):
    """What is watched; see above."""

    D = "a bill is debited twice"
    T = "an answer is untrue"
    L = "a payable bill is not paid"


@attrs.frozen
class Habits:
    """How processes go about it; a control has a bad one.

    Attributes:
        checks_time: Asks `may_begin` before the first byte.
        checks_birth: Reads the store's birth again after *sent*.
        reads_anew: Begins the read before a second confirmation after the window, and does not use one from before.
        reads_singly: Makes that read singly, and not by search.
        notes_all: Notes bills as created that were there before.
        names_anew: Takes a new name for each attempt.
        own_connection: Opens a connection for each confirmation, so that no reply of another one comes in its place.
        held_at_the_byte: May be held up between the last check and the first byte.
    """

    checks_time: bool = True
    checks_birth: bool = True
    reads_anew: bool = True
    reads_singly: bool = True
    notes_all: bool = False
    names_anew: bool = True
    own_connection: bool = True
    held_at_the_byte: bool = False


@attrs.define(eq=False)
class Bill:
    """A bill at EnKash.

    Attributes:
        is_bad: Every confirmation of it is refused.
        moved_by: The attempts whose confirmations were carried out, or will be.
        debits: When.
        lag: Of the single read, and of the search.
    """

    id: str
    is_bad: bool
    exists: bool
    lag: dict[Do, float]
    moved_by: list[str] = attrs.Factory(list)
    debits: list[float] = attrs.Factory(list)

    def shows(self, how: Do, now: float) -> Reading:
        """Return what a display shows."""
        is_debited = any(at + self.lag[how] <= now for at in self.debits)
        return Reading.CONFIRMED if is_debited else Reading.UNCONFIRMED


@attrs.define(eq=False)
class Process:
    """A process that is to pay some bills; killed, it begins again.

    Attributes:
        wall: Seconds by which its wall clock is off.
        left: Bills that it was not told the end of.
        dies_at: The step that it does not do any more.
    """

    name: str
    bills: list[Bill]
    wall: float = 0.0
    lives: int = 0
    steps: int = 0
    dies_at: float = math.inf
    left: list[Bill] = attrs.Factory(lambda self: list(self.bills), takes_self=True)
    last_readings: dict[str, Reading] = attrs.Factory(dict)
    last_outcome: Outcome | None = None


class Model:
    """The world of one schedule.

    Args:
        seed: Of the schedule.
        decide: The machine, or one with a rule taken out.
        habits: Of the processes.
        through_bytes: Whether records go through documents, as in a store, which takes longer.
        slow_search: Whether the search lags by minutes; then the store is not emptied.
    """

    def __init__(
        self,
        seed: int,
        *,
        decide: Decide = decide,
        habits: Habits | None = None,
        through_bytes: bool = False,
        slow_search: bool = False,
    ) -> None:
        self.random = random.Random(seed)
        self.decide = decide
        self.habits = habits or Habits()
        self.through_bytes = through_bytes
        self.story: list[str] = []
        self.seen: Counter[str] = Counter()
        self.t = 1_000_000.0
        self._queue: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count(1)
        # The store
        self.cells: dict[str, Debit | Birth] = {}
        self.last_write: list[Swap] = []
        self.store_ahead = 0.0
        # What may happen in this schedule
        choose = self.random.choice
        self.is_quiet = False
        self.ends_at = self.t + choose((60.0, 400.0, 900.0))
        self.kills, self.holds = choose((0.0, 0.02, 0.1)), choose((0.0, 0.02, 0.08))
        self.loses_answers = choose((0.0, 0.0, 0.05))
        self.trouble = choose((0.1, 0.5, 0.9))  # share of confirmations that do not end as they should
        self.clocks = choose(("right", "right", "store", "walls"))
        self.may_empty, self.may_fail_over = choose((False, False, True)) and not slow_search, choose((False, True))
        self.slow_search = slow_search
        self.bills = [self._bill(number) for number in range(choose((1, 1, 2, 4)))]
        self.processes = [self._process(number) for number in range(choose((2, 2, 3, 4)))]
        self._old_store()

    def _bill(self, number: int) -> Bill:
        lags = {how: self.random.choice((0.0, 1.0, LAG)) for how in (Do.READ, Do.SEARCH)}
        if self.slow_search:
            lags[Do.SEARCH] = HOUR
        return Bill(f"b{number}", self.random.random() < 0.15, self.random.random() < 0.6, lags)

    def _process(self, number: int) -> Process:
        wall = self.random.choice((-HOUR, 0.0, HOUR)) if self.clocks == "walls" else 0.0
        bills = [bill for bill in self.bills if number == 0 or self.random.random() < 0.8]
        return Process(f"p{number}", bills, wall)

    def _old_store(self) -> None:
        """Most stores are old when a schedule begins; nothing was sent before a new one."""
        if self.random.random() < 0.7:
            self.cells[BIRTH_KEY] = Birth("before", Instant(self.t - 2 * HOUR, self.t - 2 * HOUR))

    # --- the schedule -------------------------------------------------------------------------------------------------

    def play(self) -> None:
        """Play the schedule, then let everything be quiet until each process is done."""
        for process in self.processes:
            self._at(self.random.uniform(0, 5), partial(self._step, process, self._life(process)))
        for _ in range(3):
            self._at(self.random.uniform(0, self.ends_at - self.t), self._misfortune)
        while self._queue:
            at, _, what = heapq.heappop(self._queue)
            self.t = max(self.t, at)
            self.is_quiet = self.t >= self.ends_at
            if self.t > self.ends_at + BOUND:
                break
            what()
        for process in self.processes:
            for bill in process.left:
                if not bill.is_bad:
                    raise self._violation(Rule.L, f"{process.name} was not told that {bill.id} is paid")

    def _at(self, seconds: float, what: Callable[[], object]) -> None:
        heapq.heappush(self._queue, (self.t + seconds, next(self._numbers), what))

    def _step(self, process: Process, life: Steps) -> None:
        process.steps += 1
        if process.steps >= process.dies_at and not self.is_quiet:
            self.tell(f"{process.name} is killed")
            process.dies_at = math.inf
            life.close()
            self._at(self.random.choice((1.0, 10.0, 170.0, 210.0)), partial(self._step, process, self._life(process)))
            return
        seconds = next(life, None)
        if seconds is not None:
            self._at(seconds, partial(self._step, process, life))

    def tell(self, what: str) -> None:
        self.story.append(f"{self.t - 1_000_000:9.2f} {what}")

    def _violation(self, rule: Rule, what: str) -> Violation:
        self.tell(what)
        return Violation(rule, self.story)

    def _chance(self, share: float) -> bool:
        return not self.is_quiet and self.random.random() < share

    def _pause(self) -> float:
        """Return for how long a process is held up between two steps."""
        if self._chance(self.holds):
            return self.random.choice((5.0, 19.0, 25.0, 100.0, 195.0, 400.0)) * self.random.uniform(0.8, 1.1)
        return self.random.uniform(0.001, 0.2)

    def _misfortune(self) -> None:
        if self.may_empty and self.random.random() < 0.5:
            self._empty()
        if self.may_fail_over and self.last_write:
            self.may_fail_over = False  # two lost writes are not promised
            self._lose_write(self.last_write)
        if self.clocks == "store":
            by = self.random.choice((-HOUR, -250.0, 250.0, HOUR))
            self.tell(f"the store's clock is moved by {by}")
            self.store_ahead += by
        if self.clocks == "walls":
            process = self.random.choice(self.processes)
            process.wall = self.random.choice((-HOUR, 0.0, HOUR))
            self.tell(f"the clock of {process.name} is off by {process.wall}")

    def _lose_write(self, changes: list[Swap]) -> None:
        self.tell(f"the store loses a write, of {[key for key, *_ in changes]}")
        for key, old, new in changes:
            if self.cells.get(key) == new:
                self._put(key, old)

    # --- the store ----------------------------------------------------------------------------------------------------

    def _put(self, key: str, record: Debit | Birth | None) -> None:
        if record is None:
            self.cells.pop(key, None)
        else:
            self.cells[key] = record

    def _empty(self) -> None:
        self.tell("the store is emptied")
        self.cells.clear()
        self.last_write = []

    def _swap(self, changes: list[Swap]) -> list[bool]:
        was_overtaken = any(old is None and key in self.cells for key, old, _ in changes)
        if self.may_empty and self._chance(0.3 if was_overtaken else 0.02):
            self._empty()
        made = [self.cells.get(key) == old for key, old, _ in changes]
        self.last_write = [change for change, is_made in zip(changes, made, strict=True) if is_made]
        for key, _, new in self.last_write:
            self._put(key, self._written(new) if self.through_bytes else new)
        is_sent = any(isinstance(new, Debit) and new.state == "sent" for _, _, new in changes)
        if self.may_fail_over and self._chance(0.2 if is_sent else 0.02):
            self.may_fail_over = False  # two lost writes are not promised
            self._at(self.random.uniform(0, 0.5), partial(self._lose_write, self.last_write))
        return made

    @staticmethod
    def _written(record: Debit | Birth | None) -> Debit | Birth | None:
        if isinstance(record, Debit):
            return DEBIT.codec.decode(DEBIT.codec.encode(record))
        return None if record is None else BIRTH.codec.decode(BIRTH.codec.encode(record))

    def _late_swap(self, changes: list[Swap]) -> bool:
        """Lose the answer to a swap, which is made now, later or never; return whether it was lost."""
        if not self._chance(self.loses_answers):
            return False
        if self.random.random() < 0.7:
            self._at(self.random.choice((0.0, 0.3, 5.0)), partial(self._swap, changes))
        return True

    def _now(self, process: Process, store_now: float) -> Instant:
        return Instant(store_now, self.t + process.wall)

    def _birth(self) -> Birth | None:
        birth = self.cells.get(BIRTH_KEY)
        assert birth is None or isinstance(birth, Birth)
        return birth

    def _see_birth(self, process: Process) -> Generator[float, None, Birth]:
        for _ in range(TRIES):
            found, store_now = self._birth(), self.t + self.store_ahead
            yield self._pause()
            after, answer = see(found, See(f"birth-{next(self._numbers)}"), self._now(process, store_now))
            if after == found:
                return answer
            yield self._pause()
            changes: list[Swap] = [(BIRTH_KEY, found, after)]
            if not self._late_swap(changes) and self._swap(changes) == [True]:
                return answer
        raise AssertionError("the store is too busy")

    def _act(self, process: Process, commands: Mapping[Bill, Command]) -> Generator[float, None, dict[Bill, Answer]]:
        """Read, decide, swap, for several records; again where somebody was faster."""
        answers: dict[Bill, Answer] = {}
        for _ in range(TRIES):
            todo = [bill for bill in commands if bill not in answers]
            found, store_now = {bill: self._debit(bill) for bill in todo}, self.t + self.store_ahead
            birth = self._birth()
            yield self._pause()
            here = Here(self._now(process, store_now), process.name, birth)
            decided = {bill: self.decide(found[bill], commands[bill], here) for bill in todo}
            changes = {bill: after for bill, (after, _) in decided.items() if after != found[bill]}
            yield self._pause()
            swaps: list[Swap] = [(bill.id, found[bill], after) for bill, after in changes.items()]
            lost = bool(swaps) and self._late_swap(swaps)
            made = dict(zip(changes, [] if lost else self._swap(swaps), strict=not lost)) if swaps else {}
            yield self._pause()
            got = {bill: decided[bill][1] for bill in todo if bill not in changes or made.get(bill)}
            if any(isinstance(answer, Unborn) for answer in got.values()):
                yield from self._see_birth(process)
            answers |= {bill: answer for bill, answer in got.items() if not isinstance(answer, Unborn)}
            if len(answers) == len(commands):
                return answers
        raise AssertionError("the store is too busy")

    def _debit(self, bill: Bill) -> Debit | None:
        debit = self.cells.get(bill.id)
        assert debit is None or isinstance(debit, Debit)
        return debit

    # --- EnKash -------------------------------------------------------------------------------------------------------

    def _carry_out(self, bills: list[Bill], by: Mapping[Bill, str], late: float = 0.0) -> None:
        for bill in bills:
            bill.moved_by.append(by[bill])
            self._at(late, partial(self._debited, bill))

    def _debited(self, bill: Bill) -> None:
        bill.debits.append(self.t)
        self.tell(f"{bill.id} is debited")
        if len(bill.debits) > 1:
            raise self._violation(Rule.D, bill.id)

    def _confirm(self, bills: list[Bill], by: Mapping[Bill, str]) -> tuple[Outcome | None, float]:
        """Return what a confirmation comes to (None: 401), and the seconds until its sender knows."""
        quick, slow, late = self.random.uniform(0.1, 2), GIVES_UP, self.random.choice((0.0, 20.0, 120.0, LATEST))
        refused = Outcome.REFUSED if len(bills) == 1 else Outcome.REFUSED_TOGETHER
        bad = next((number for number, bill in enumerate(bills) if bill.is_bad), None)
        kind = self.random.choice(_TROUBLES) if self._chance(self.trouble) else "plain"
        self.seen[kind] += 1
        match kind:
            case "401":
                return None, self.random.choice((quick, slow, 2 * slow))  # EnKash, then the login, may be slow
            case "velocity":
                return refused, quick
            case "dropped" | "busy":
                return Outcome.UNCLEAR, slow if kind == "dropped" else quick
        self._carry_out(bills[:bad], by, late if kind != "plain" else 0.0)
        if kind == "reply lost":
            return Outcome.UNCLEAR, slow
        if kind == "502":
            return Outcome.UNCLEAR, quick
        return Outcome.ACCEPTED if bad is None else refused, quick

    # --- a process ----------------------------------------------------------------------------------------------------

    def _life(self, process: Process) -> Steps:
        """Pay each bill, as a task queue does: one step after another until it is done."""
        process.lives += 1
        if self._chance(0.8) and self.kills:
            process.dies_at = process.steps + self.random.expovariate(self.kills / 4)
        process.left = left = list(process.bills)
        while left:
            portion = self.random.sample(left, self.random.randint(1, len(left)))
            attempts: dict[Bill, Attempt] = {}
            for bill in portion:
                created = yield from self._create(process, bill)
                name = process.name if not self.habits.names_anew else ""
                by = f"{name}{process.lives}" if name else f"{process.name}-{next(self._numbers)}"
                attempts[bill] = Attempt(by, created=created)
            attempts = yield from self._run(process, attempts)
            for bill, attempt in attempts.items():
                self._judge(bill, attempt)
                is_refused = attempt.end is End.REFUSED and bill.is_bad
                if attempt.end in {End.DEBITED, End.CONTRADICTED} or is_refused:
                    left.remove(bill)
            yield self._rest(attempts)

    def _rest(self, attempts: Mapping[Bill, Attempt]) -> float:
        """Return how long a step's caller waits for the next: as it was told, or not as long."""
        waits = [one.wait.seconds for one in attempts.values() if one.do is Do.WAIT and one.wait is not None]
        if self.is_quiet or self._chance(0.3) or not waits:
            return self.random.uniform(0.1, 60)
        return min(waits) + 0.1

    def _create(self, process: Process, bill: Bill) -> Generator[float, None, bool]:
        """Return whether a create of this step brought the bill forth."""
        if bill.exists and not self.habits.notes_all:
            return False
        birth = yield from self._see_birth(process)
        yield self._pause()
        is_new, bill.exists = not bill.exists, True
        yield self._pause()
        if (not is_new and not self.habits.notes_all) or self._chance(0.2):  # 38, or a lost reply: it is looked up
            return False
        yield from self._act(process, {bill: NoteCreated(process.name, birth.id)})
        return is_new

    def _run(self, process: Process, attempts: dict[Bill, Attempt]) -> Generator[float, None, dict[Bill, Attempt]]:
        """Do what the attempts ask for until each waits or has ended."""
        before_sent: dict[Bill, float] = {}
        while True:
            by_need: dict[Do, list[Bill]] = {}
            for bill, attempt in attempts.items():
                by_need.setdefault(attempt.do, []).append(bill)
            if not by_need.keys() - {Do.WAIT, Do.END}:
                return attempts
            if acts := by_need.get(Do.ACT):
                before_sent |= {bill: self.t for bill in acts if isinstance(attempts[bill].command, MarkSent)}
                commands = {bill: command for bill in acts if (command := attempts[bill].command) is not None}
                answers = yield from self._act(process, commands)
                attempts |= {bill: attempts[bill].answered(answers[bill]) for bill in acts}
            for how in (Do.SEARCH, Do.READ):
                for bill in by_need.get(how, []):
                    reading = yield from self._read(process, bill, how, is_second=attempts[bill].seen is not None)
                    attempts[bill] = attempts[bill].showed(reading)
            if checks := by_need.get(Do.CHECK):
                birth = self._birth()
                yield self._pause()
                known = None if birth is None else birth.id
                attempts |= {
                    bill: attempts[bill].checked(known if self.habits.checks_birth else attempts[bill].store)
                    for bill in checks
                }
            if sends := by_need.get(Do.SEND):
                yield from self._send(process, sends, attempts, before_sent)

    def _read(self, process: Process, bill: Bill, how: Do, *, is_second: bool) -> Generator[float, None, Reading]:
        if is_second and not self.habits.reads_singly:
            how = Do.SEARCH
        yield self.random.uniform(0.01, 0.5) if self.is_quiet or self.random.random() < 0.9 else GIVES_UP
        reading = Reading.UNCLEAR if self._chance(0.05) else bill.shows(how, self.t)
        if is_second and not self.habits.reads_anew:
            reading = process.last_readings.get(bill.id, reading)
        process.last_readings[bill.id] = reading
        yield self._pause()
        return reading

    def _send(
        self, process: Process, bills: list[Bill], attempts: dict[Bill, Attempt], before_sent: Mapping[Bill, float]
    ) -> Steps:
        """Send one call, and let the others come in the next turn."""
        lone = [bill for bill in bills if attempts[bill].alone]
        call = lone[:1] or bills
        yield self._pause()
        began = min(before_sent[bill] for bill in call)
        if self.habits.checks_time and not may_begin(began, self.t):
            for bill in call:
                attempts[bill] = attempts[bill].returned(Outcome.NEVER_SENT)
            return
        if self.habits.held_at_the_byte:
            yield self._pause()
        self.tell(f"{process.name} sends {[bill.id for bill in call]}")
        outcome, seconds = self._confirm(call, {bill: attempts[bill].by for bill in call})
        yield seconds
        if not self.habits.own_connection and process.last_outcome is not None and self._chance(0.3):
            outcome = process.last_outcome  # a stray reply: an earlier one's comes in its place
        process.last_outcome = outcome
        for bill in call:
            told = attempts[bill]
            attempts[bill] = told.unauthorized() if outcome is None else told.returned(outcome)

    def _judge(self, bill: Bill, attempt: Attempt) -> None:
        self.seen[attempt.end.name if attempt.end is not None else attempt.do.name] += 1
        self.tell(f"{attempt.by} ends with {bill.id}: {attempt.end or attempt.wait}")
        moved, was_debited = attempt.by in bill.moved_by, bool(bill.moved_by)
        is_untrue = {
            End.DEBITED: not was_debited,
            End.REFUSED: moved,
            End.NOT_SENT: moved,
            End.UNREADABLE: moved,
            End.CONTRADICTED: True,
        }
        if attempt.end is not None and is_untrue.get(attempt.end):
            raise self._violation(Rule.T, f"{bill.id}: {attempt.end.name}")


_TROUBLES = ("reply lost", "reply lost", "502", "dropped", "busy", "late", "401", "velocity")


def play(seed: int, **options: Any) -> Model:
    """Play one schedule to its end, and return the world as it is then; options as for `Model`."""
    model = Model(seed, **options)
    model.play()
    return model


def run(count: int, first: int = 0, **options: Any) -> Tally:
    """Play the schedules of so many seeds; one in 32 with documents in the store."""

    def played(seed: int) -> tuple[int, Counter[str]]:
        model = play(seed, through_bytes=seed % 32 == 0, **options)
        return sum(len(bill.debits) for bill in model.bills), model.seen

    return tallied(played, count, first)


if __name__ == "__main__":
    main(run, acts="debits", count=10_000)
