"""A fleet of workers, one cell, one EnKash: random schedules against the account machine.

A schedule is a string of bytes, read as choices: which worker goes one step further, how much time passes, what EnKash
or the store does next. Hypothesis shortens one that fails; a run of many draws them at random:

    PYTHONPATH=.:tests python -m tokens.model 100000 [first seed]

What is watched, in the words of TOKENS §7:

S  EnKash never sees three refusals in a row from us, save for the named exceptions. They are told by the attempts in
   the row, not by the schedule: made without the store (b), under the ten-minute rule (c), under a grant of
   `reset_guard` (d), held up after the last check (e); or a write was lost since the account was new (a).
   Two that §7 does not name are counted apart as «wider»: a login without the store after a password that was changed
   before it went away (b), and a store's clock that was set ahead over a lease while its login was under way (e).
L  At the end a right password gets a token that EnKash takes, within the bound.
F  A token never replaces one whose login began later.
R  `get_token(rejected=T)` never yields T, its secret, or an older token.
"""

from __future__ import annotations

import enum
import math
import random
from collections import Counter
from collections.abc import Callable
from typing import TypeAlias

import attrs
from schedules import Tally, Violation, main, tallied

from enkash_async.tokens._account import SEND_WITHIN, decide, lease_for, view
from enkash_async.tokens._commands import (
    Answer,
    Claim,
    Closed,
    Command,
    Cooling,
    Found,
    FreshToken,
    Lead,
    Noted,
    Outcome,
    Reject,
    Reset,
    Settle,
    TooLate,
    View,
    Wait,
    Who,
)
from enkash_async.tokens._record import Account, StoredToken, decode, encode, left
from enkash_async.tokens._windows import hold_back

__all__ = ["Decide", "Model", "Reply", "Rule", "Worker", "play", "run", "schedule"]

Decide: TypeAlias = Callable[[Account, Command, float], tuple[Account, Answer]]

LOGIN_TIMEOUT = 15.0
LEASE = lease_for(LOGIN_TIMEOUT)
LOCKS_AT = 3
LONGEST_COOLDOWN = 300.0  # Retry-After, or a renewal pause
TEN_MINUTES = 600.0
QUIET_BOUND = LEASE + LONGEST_COOLDOWN + 60.0  # a minute for the end of a token that came again and again
LIFETIMES = (300.0, 3_600.0, 86_400.0)
PASSWORDS = 5


class Rule(enum.Enum):
    """What is watched; see above."""

    S = "three refusals in a row"
    L = "a right password gets no token"
    F = "an older token replaces a newer one"
    R = "a refused token is handed out again"


class Reply(enum.Enum):
    """How EnKash, or what stands before it, answers the next login."""

    PLAIN = "as it should"
    VAGUE = "a refusal that does not say why"
    LOST = "evaluated, but the reply is lost, or a gateway makes it 502"
    DROPPED = "never evaluated, and no reply"
    BUSY = "429"
    FORBIDDEN = "403 from a gateway that counts nothing"
    GARBLED = "evaluated, and 200 with something unreadable"


@attrs.define
class Secret:
    """A token of EnKash's."""

    number: int
    dies_at: float
    password: int
    revoked: bool = False


@attrs.define(eq=False)
class Try:
    """A login on its way: what the model knows of it that the machine does not."""

    id: str
    fence: int
    order: int  # of beginnings, the true one
    password: int
    why: str = ""  # "away", "ten minutes", "granted", "held"
    sent_at: float = 0.0
    arrives_by: float = 0.0
    arrived: bool = False
    reply: Outcome | None = None
    jumped: bool = False  # the store's clock was set ahead while it was on its way
    secret: Secret | None = None
    life: float = 0.0
    retry_after: float = 0.0


@attrs.define
class Hand:
    """The token that a worker holds."""

    number: int
    fence: int
    ends_at: float
    life: float
    shared: bool = True
    own: bool = True  # whether a login with the worker's password brought it


@attrs.define(eq=False)
class Act:
    """A command under way against the store: read, decide, swap."""

    command: Command
    before: float  # own clock, before the first read
    read: tuple[Account | None, float] | None = None
    is_doubtful: bool = False  # a swap of it brought no answer
    attempt: Try | None = None


@attrs.define(eq=False)
class Worker:
    """A process with one provider."""

    who: Who
    password: int
    offset: float
    seen: int = 0
    view: View | None = None
    hand: Hand | None = None
    rejected: Hand | None = None  # of the get_token under way
    wants: bool = False
    act: Act | None = None
    sending: Act | None = None  # leads, and has not sent yet
    checked: bool = False  # has looked at its deadline, and not written yet: exception (e)
    flying: Try | None = None
    owed: list[Command] = attrs.Factory(list)
    alone_in: int = 0  # the outage in which it has logged in by itself
    idle_until: float = 0.0


class Tape:
    """A schedule that is being read."""

    def __init__(self, data: bytes) -> None:
        self._bytes = iter(data)

    def take(self, options: int) -> int:
        """Return a choice; raises StopIteration at the end."""
        return next(self._bytes) % options


class Model:
    """The world of one schedule.

    Args:
        data: The schedule.
        decide: The machine, or one with a rule taken out.
        deadline: Seconds within which a login is sent.
        policy: `on_store_down`.
        through_bytes: Whether the cell goes through documents, as in a store, or holds values, which is faster.
    """

    def __init__(
        self,
        data: bytes = b"",
        *,
        decide: Decide = decide,
        deadline: float = SEND_WITHIN,
        policy: str = "login_if_proven",
        through_bytes: bool = False,
    ) -> None:
        self.tape = Tape(data)
        self.decide = decide
        self.deadline = deadline
        self.policy = policy
        self.through_bytes = through_bytes
        self.may_lose_writes = self.may_jump = self.may_hold = self.may_be_away = False
        self.shared_key, self.life, self.clients = False, LIFETIMES[0], 1
        self.story: list[tuple[object, ...]] = []
        self.excused: Counter[str] = Counter()
        self.t = 1_000_000.0
        # The store
        self.cell: Account | None = None
        self.previous: Account | None = None
        self.store_offset = 0.0
        self.store_up = True
        self.outages = 0
        self.lose_swap = ""
        self.lost_writes = False
        # EnKash
        self.password = 0
        self.row: list[Try] = []
        self.locked = False
        self.secrets: dict[int, Secret] = {}
        self.next_reply = Reply.PLAIN
        self.repeats = (
            0  # 1: a login brings the living secret again; 2: also one that EnKash refuses at its other routes
        )
        self.changed_while_away = False
        # The fleet
        self.flying: list[Try] = []
        self.brought: dict[tuple[int, int], int] = {}  # fence and secret -> the order of the login
        self.sent_at: dict[str, float] = {}
        self.told: set[str] = set()  # attempts of which the store knows what EnKash answered
        self.alone: set[tuple[int, int]] = set()  # fences and secrets of logins that were made without the store
        self.orders = 0
        self.ids = 0
        self.workers: list[Worker] = []

    # --- the schedule -------------------------------------------------------------------------------------------------

    def play(self) -> None:
        """Play the schedule, then let everything be quiet and look for a token."""
        try:
            self._set_up(self.tape.take(256), self.tape.take(256))
            ops = self._ops(self.tape.take(256), self.tape.take(256))
            while True:
                ops[self.tape.take(256) * len(ops) // 256](self)
        except StopIteration:
            pass
        self.be_quiet()

    def _set_up(self, features: int, shape: int) -> None:
        self.may_lose_writes = features % 4 == 0
        self.may_jump = features // 4 % 2 == 0
        self.may_hold = features // 8 % 4 == 0
        self.may_be_away = features // 32 % 4 != 0
        self.shared_key = features // 128 == 0
        self.life = LIFETIMES[shape % 3]
        self.clients = 1 + (shape // 3 % 4 == 0)
        self.policy = "serve" if shape % 16 == 0 else self.policy
        typos = shape // 48  # most often none at first
        for number in range(2 + shape // 12 % 4):
            self.join(number % PASSWORDS + 1 if typos == 4 else self.tape.take(2) * (typos > 1))

    def join(self, password: int) -> Worker:
        """Let a worker begin to work."""
        self.workers.append(self._worker(password))
        return self.workers[-1]

    def _ops(self, first: int, second: int) -> list[Callable[[Model], None]]:
        """Return the choices of this schedule: a few of the rare ones, each of them often."""
        chosen = [first & 15, first >> 4, second & 15, second >> 4]
        return [*_ALWAYS, *(op for number in chosen for op in [_RARE[number]] * 16)]

    def _worker(self, password: int) -> Worker:
        self.ids += 1
        client = f"c{self.ids % self.clients}"
        keys = tuple(f"k{n}" for n in ((password,) if not self.shared_key else (password, *range(PASSWORDS))))
        who = Who(client, f"f{password}{client}", f"w{self.ids}", keys)
        return Worker(who, password, offset=(self.ids * 3_600.0) % 7_201)

    def _pick(self) -> Worker:
        return self.workers[self.tape.take(len(self.workers))]

    def tell(self, *parts: object) -> None:
        self.story.append((self.t - 1_000_000.0, *parts))

    def _violation(self, rule: Rule) -> Violation:
        return Violation(rule, (" ".join(map(str, event)) for event in self.story))

    # Each of these is one choice of a schedule.

    def op_step(self) -> None:
        self.step(self._pick())

    def op_run(self) -> None:
        self.run(self._pick())

    def op_wait(self) -> None:
        spans = (0.5, 3.0, 6.0, 20.0, 26.0, 61.0, 301.0, 601.0, self.life / 2, self.life)
        self.wait(spans[self.tape.take(len(spans))])

    def op_use(self) -> None:
        worker = self._pick()
        if worker.hand is not None and worker.act is None and worker.sending is None and worker.flying is None:
            self.use(worker)

    def op_crash(self) -> None:
        number = self.tape.take(len(self.workers))
        self.deploy(number, self.workers[number].password)

    def op_redeploy(self) -> None:
        self.deploy(self.tape.take(len(self.workers)), self.tape.take(PASSWORDS))

    def op_change_password(self) -> None:
        self.change_password(self.tape.take(PASSWORDS))
        if self.tape.take(2):
            self.revoke()

    def change_password(self, password: int) -> None:
        """Change it at EnKash."""
        self.password = password
        self.changed_while_away = self.changed_while_away or not self.store_up
        self.tell("password is now", self.password)

    def op_revoke(self) -> None:
        self.revoke()

    def op_reply(self) -> None:
        self.next_reply = _REPLIES[self.tape.take(len(_REPLIES))]

    def op_repeat(self) -> None:
        self.repeats = self.tape.take(3)

    def op_reset(self) -> None:
        worker = self._pick()
        is_right = worker.password == self.password or self.tape.take(8) == 0
        if is_right and worker.act is None and worker.sending is None and worker.flying is None:
            self.reset(worker)

    def reset(self, worker: Worker) -> None:
        """Call `reset_guard`, after EnKash has unlocked the account."""
        self.locked, self.row = False, [] if self.locked else self.row
        self.tell(worker.who.worker, "resets the guard")
        worker.act, worker.idle_until = Act(Reset(self._id(), worker.who), self._clock(worker)), 0.0
        while worker.act is not None:
            self.step(worker)

    def op_jump(self) -> None:
        by = (-3_600.0, 3_600.0, -40.0, 40.0)[self.tape.take(4)]
        worker = self._pick()
        if self.may_jump and self.tape.take(4) == 0:
            worker.offset += 3_600.0  # a clock that runs on while the machine sleeps never goes back
        elif self.may_jump:
            self.jump(by)

    def op_outage(self) -> None:
        if self.may_be_away:
            self.toggle_store()

    def toggle_store(self) -> None:
        """Let the store be away, or back."""
        self.store_up = not self.store_up
        self.outages += self.store_up is False
        self.tell("the store is", "back" if self.store_up else "away")

    def op_lose_writes(self) -> None:
        which = self.tape.take(2)
        if self.may_lose_writes:
            self.lose_writes((None, self.previous)[which])

    def lose_writes(self, cell: Account | None = None) -> None:
        """Flush the store, or let it be as it was before."""
        self.cell, self.lost_writes = cell, True
        self.tell("the store is flushed" if cell is None else "the store loses its last write")

    def op_late_401(self) -> None:
        """A request that was sent with an older token comes back now."""
        worker = self._pick()
        if old := self._dead():
            worker.owed.append(self._reject(worker, *old[self.tape.take(len(old))]))

    def op_want(self) -> None:
        """A token comes to the second half of its life."""
        worker = self._pick()
        worker.wants = worker.wants or (worker.hand is not None and worker.hand.ends_at - self.t < self.life / 2)

    def op_swap_or_hold(self) -> None:
        """Lose the reply of the next swap, or the swap; or stop a worker between its last check and the write."""
        which = self.tape.take(3)
        worker = self._pick()
        if which < 2:
            self.lose_swap = ("carried out", "dropped")[which]
        elif self.may_hold and worker.sending is not None:
            worker.checked = True

    def jump(self, by: float) -> None:
        """Set the store's clock."""
        self.store_offset += by
        self.tell("the store's clock jumps by", by)
        if by > 0:
            leading = [worker.sending.attempt for worker in self.workers if worker.sending is not None]
            for attempt in (*self.flying, *leading):
                assert attempt is not None
                attempt.jumped = True

    # --- a worker, step by step ---------------------------------------------------------------------------------------

    def run(self, worker: Worker) -> None:
        """Let a worker go on until it has to wait."""
        for _ in range(12):
            if not self.step(worker):
                return

    def lead(self, worker: Worker) -> None:
        """Let a worker begin a login, and not send it."""
        while worker.sending is None and self.step(worker):
            pass

    def step(self, worker: Worker) -> bool:
        """Go one step; False when there is nothing to do before time passes or something happens."""
        if worker.act is not None:
            return self._go_on(worker, worker.act)
        if worker.flying is not None:
            return self._listen(worker, worker.flying)
        if worker.sending is not None:
            return self._send(worker, worker.sending)
        if worker.owed and self.store_up:
            worker.act = Act(worker.owed[0], self._clock(worker))
            return True
        if not worker.wants and self._serves(worker):
            return False
        if self._clock(worker) < worker.idle_until:
            return False
        if not self.store_up:
            return self._go_alone(worker)
        return self._ask(worker)

    def _ask(self, worker: Worker) -> bool:
        above = worker.rejected.fence if worker.rejected is not None else 0
        if worker.hand is not None and self._serves(worker):
            above = max(above, worker.hand.fence)
        rejected = "" if worker.rejected is None else f"m{worker.rejected.number}"
        claim = Claim(self._id(), worker.who, LEASE, self._share(), above, rejected, worker.seen)
        worker.act = Act(claim, self._clock(worker))
        return True

    def _go_on(self, worker: Worker, act: Act) -> bool:
        if not self.store_up:  # reports stay owed; a begin may or may not be in the record, and is not sent
            worker.act = None
            if isinstance(act.command, Claim):
                worker.owed.append(self._unsent(worker, act.command.id))
            return True
        if act.read is None:
            act.read, act.before = (self.cell, self.t + self.store_offset), min(act.before, self._clock(worker))
            return True
        read, now = act.read
        act.read = None
        before = self._opened(read)
        after, answer = self.decide(before, self._aged(act.command), now)
        if after is not before and not self._swap(act, read, after):
            return True  # the same command is decided again, on what is read then
        worker.view, worker.act = view(after, worker.who, now), None
        worker.seen = max(worker.seen, worker.view.seen)
        self._answered(worker, act, before, answer)
        return True

    def _aged(self, command: Command) -> Command:
        """Return a report with the age that its token has by now."""
        if not isinstance(command, Settle) or command.token is None:
            return command
        age = self.t - self.sent_at[command.id]
        return attrs.evolve(command, token=attrs.evolve(command.token, age=age))

    def _swap(self, act: Act, read: Account | None, after: Account) -> bool:
        """Compare and swap; False when somebody was faster, or no reply came."""
        if self.cell is not read:
            if not act.is_doubtful:  # the attempt is not in the record: a later read is the one that leads to it
                act.before = math.inf
            return False
        lost, self.lose_swap = self.lose_swap, ""
        if lost != "dropped":
            self._watch_order(self._opened(read), after)
            self.previous, self.cell = self.cell, decode(encode(after)) if self.through_bytes else after
        act.is_doubtful = act.is_doubtful or bool(lost)
        return not lost

    def _opened(self, cell: Account | None) -> Account:
        return Account() if cell is None else cell

    def _answered(self, worker: Worker, act: Act, before: Account, answer: Answer) -> None:
        match act.command, answer:
            case Claim(), Found(token):
                own = token.fingerprint == worker.who.fingerprint
                self._adopt(worker, Hand(int(token.mark[1:]), token.fence, self._end(token), token.life, own=own))
            case Claim(id=id_), Lead(fence):
                self.orders += 1
                act.attempt = Try(id_, fence, self.orders, worker.password, self._why(before, worker, id_))
                worker.sending, worker.checked = act, False
                is_new = worker.view is not None and not worker.view.proven
                if is_new and worker.hand is not None and worker.hand.own:
                    proof = Settle(self._id(), worker.who, worker.hand.fence, Outcome.WORKED, 0.0)
                    worker.act = Act(proof, self._clock(worker))
            case Claim(id=id_), TooLate():
                worker.owed.append(self._unsent(worker, id_))
            case Claim(), Wait(seconds):
                worker.idle_until = self._clock(worker) + min(seconds, 0.5)
            case Claim(), Cooling() | Closed():
                worker.idle_until, worker.wants, worker.rejected = self._clock(worker) + 1.0, False, None
            case Settle(token=token), Noted(stored):
                worker.owed = [owed for owed in worker.owed if owed is not act.command]
                self._settled(worker, act.command, token, stored)
            case _:
                worker.owed = [owed for owed in worker.owed if owed is not act.command]

    def _why(self, before: Account, worker: Worker, id_: str) -> str:
        """Return under which rule an attempt was begun, if it was not the budget."""
        grant = before.grant
        if grant is not None and grant.fingerprint == worker.who.fingerprint:
            is_open = grant.attempt == "" and left(grant.at, grant.lasts, self.t + self.store_offset) > 0
            if is_open or grant.attempt == id_:
                return "granted"
        return "ten minutes" if len([a for a in before.attempts if a.id != id_]) > 1 else ""

    def _settled(self, worker: Worker, report: Settle, token: FreshToken | None, stored: bool) -> None:
        if report.outcome is not Outcome.UNKNOWN:
            self.told.add(report.id)
        if token is None:
            return
        number = int(token.mark[1:])
        if not stored:
            if worker.hand is not None and worker.hand.number == number and not worker.hand.shared:
                worker.hand = None  # the fleet's token takes its place
            return
        if worker.hand is not None and worker.hand.number == number:
            worker.hand.shared = True
        elif worker.rejected is not None and number == worker.rejected.number:
            worker.owed.append(Reject(worker.who.client, report.fence, token.mark))
        elif worker.rejected is None or report.fence > worker.rejected.fence:
            self._adopt(worker, Hand(number, report.fence, self.sent_at[report.id] + token.life, token.life))

    def _adopt(self, worker: Worker, hand: Hand) -> None:
        refused = worker.rejected
        if refused is not None and (hand.number == refused.number or hand.fence <= refused.fence):
            raise self._violation(Rule.R)
        worker.hand, worker.rejected, worker.wants = hand, None, False

    def _send(self, worker: Worker, act: Act) -> bool:
        attempt = act.attempt
        assert attempt is not None
        worker.sending = None
        if self._clock(worker) - act.before > self.deadline and not worker.checked:
            worker.owed.append(self._unsent(worker, attempt.id, attempt.fence))
            return True
        if worker.checked and self._clock(worker) - act.before > self.deadline:
            attempt.why = "held"
        worker.flying = attempt
        self._fly(attempt)
        return True

    def _fly(self, attempt: Try) -> None:
        attempt.sent_at, attempt.arrives_by = self.t, self.t + LOGIN_TIMEOUT
        self.sent_at[attempt.id] = self.t
        self.tell("sent:", attempt.id, "password", attempt.password, "fence", attempt.fence, attempt.why)
        self.flying.append(attempt)

    def _listen(self, worker: Worker, attempt: Try) -> bool:
        """Take in the reply of a login, or give it up."""
        if not attempt.arrived:
            self._arrive(attempt)
        is_late = self.t - attempt.sent_at > LOGIN_TIMEOUT
        if attempt.reply is None and not is_late:
            self.wait(LOGIN_TIMEOUT + 0.1)  # nobody else goes on meanwhile, which other schedules do
        outcome = Outcome.UNKNOWN if attempt.reply is None or is_late else attempt.reply
        worker.flying, token = None, None
        if outcome is Outcome.WORKED:
            assert attempt.secret is not None
            number = attempt.secret.number
            token = FreshToken(f"k{worker.password}", b"%d" % number, f"m{number}", attempt.life, 0.0)
        retry_after = attempt.retry_after
        report = Settle(attempt.id, worker.who, attempt.fence, outcome, self._share(), retry_after, token)
        if attempt.why == "away":
            worker.owed.append(report)
            if token is not None and (worker.rejected is None or number != worker.rejected.number):
                end = attempt.sent_at + attempt.life
                worker.hand = Hand(number, attempt.fence, end, attempt.life, shared=False)
                worker.wants, worker.rejected = False, None
            return True
        worker.owed.insert(0, report)
        worker.idle_until = 0.0
        return True

    def _go_alone(self, worker: Worker) -> bool:
        """Log in while the store is away, once an outage."""
        is_fit = self.policy == "login" or (worker.view is not None and worker.view.alone)
        if self.policy == "serve" or not is_fit or worker.alone_in == self.outages:
            return False
        worker.alone_in = self.outages
        self.orders += 1
        worker.seen += 1
        worker.flying = Try(self._id(), worker.seen, self.orders, worker.password, "away")
        self._fly(worker.flying)
        return True

    def use(self, worker: Worker) -> None:
        """Send a request with the token in hand; a refusal is told to the store and to `get_token`."""
        hand = worker.hand
        assert hand is not None
        if self._takes(self.secrets[hand.number]):
            return
        self.tell(worker.who.worker, "has a 401 for", hand.number, "fence", hand.fence)
        worker.hand, worker.rejected, worker.wants, worker.idle_until = None, hand, True, 0.0
        if hand.shared:
            worker.owed.append(self._reject(worker, hand.fence, hand.number))

    def _reject(self, worker: Worker, fence: int, number: int) -> Reject:
        return Reject(worker.who.client, fence, f"m{number}")

    def _dead(self) -> list[tuple[int, int]]:
        """Return fence and number of the tokens that EnKash takes no more."""
        return [key for key in self.brought if not self._takes(self.secrets[key[1]])]

    def _unsent(self, worker: Worker, id_: str, fence: int = 0) -> Settle:
        return Settle(id_, worker.who, fence, Outcome.NOT_COUNTED, 0.0)

    def _serves(self, worker: Worker) -> bool:
        return worker.hand is not None and worker.hand.ends_at - self.t > hold_back(worker.hand.life)

    def _clock(self, worker: Worker) -> float:
        return self.t + worker.offset

    def deploy(self, number: int, password: int) -> None:
        old = self.workers[number]
        self.workers[number] = new = self._worker(password)
        self.tell(old.who.worker, "is gone;", new.who.worker, "has password", password)

    def _id(self) -> str:
        self.ids += 1
        return f"i{self.ids}"

    def _share(self) -> float:
        return (self.ids * 0.37) % 1

    def _end(self, token: StoredToken) -> float:
        """Return the true instant at which a stored token ends, as far as the store's clock tells."""
        return self.t + token.life - max(0.0, self.t + self.store_offset - token.at)

    # --- EnKash -------------------------------------------------------------------------------------------------------

    def wait(self, seconds: float) -> None:
        """Let time pass; what is on its way arrives before its connection is given up."""
        end = self.t + seconds
        for attempt in sorted(self.flying, key=lambda each: each.arrives_by):
            if attempt.arrives_by <= end:
                self.t = max(self.t, attempt.arrives_by)
                self._arrive(attempt)
        self.t = end

    def _arrive(self, attempt: Try) -> None:
        self.flying = [other for other in self.flying if other is not attempt]
        attempt.arrived = True
        how, self.next_reply = self.next_reply, Reply.PLAIN
        if how in {Reply.DROPPED, Reply.BUSY, Reply.FORBIDDEN}:
            attempt.reply = {Reply.BUSY: Outcome.PASSING, Reply.FORBIDDEN: Outcome.UNCLEAR}.get(how)
            attempt.retry_after = 120.0 if how is Reply.BUSY else 0.0
            self.tell(attempt.id, how.value)
            return
        answer = self._evaluate(attempt)
        if how is Reply.GARBLED and answer is Outcome.WORKED:
            answer = Outcome.UNREADABLE
        if how is Reply.VAGUE and answer in {Outcome.INVALID, Outcome.LOCKED}:
            answer = Outcome.UNCLEAR
        attempt.reply = None if how is Reply.LOST else answer
        self.tell(attempt.id, "password", attempt.password, answer.value, "(lost)" if how is Reply.LOST else "")

    def _evaluate(self, attempt: Try) -> Outcome:
        if self.locked:
            return Outcome.LOCKED
        if attempt.password != self.password:
            self.row.append(attempt)
            if len(self.row) >= LOCKS_AT:
                self._lock()
            return Outcome.INVALID
        self.row = []
        attempt.secret = self._secret(attempt)
        attempt.life = max(1.0, attempt.secret.dies_at - self.t) if self.repeats else self.life
        self.brought[attempt.fence, attempt.secret.number] = attempt.order
        if attempt.why == "away":
            self.alone.add((attempt.fence, attempt.secret.number))
        return Outcome.WORKED

    def _secret(self, attempt: Try) -> Secret:
        again = [secret for secret in self.secrets.values() if self._takes(secret, with_revoked=self.repeats > 1)]
        if self.repeats and again:
            return again[-1]
        made = Secret(len(self.secrets), self.t + self.life, attempt.password)
        self.secrets[made.number] = made
        return made

    def _takes(self, secret: Secret, *, with_revoked: bool = False) -> bool:
        return secret.dies_at > self.t and (with_revoked or not secret.revoked)

    def revoke(self) -> None:
        for secret in self.secrets.values():
            secret.revoked = True
        self.tell("all tokens are revoked")

    # --- what is watched ----------------------------------------------------------------------------------------------

    def _lock(self) -> None:
        """EnKash saw three refusals in a row: an exception, or a violation."""
        self.locked = True
        whys = {attempt.why for attempt in self.row}
        after_silence = any(
            attempt.why == "ten minutes"
            and number > 1
            and not any(other.id in self.told for other in self.row[:number])
            for number, attempt in enumerate(self.row)
        )
        self.tell("LOCKED", [(attempt.id, attempt.why) for attempt in self.row])
        if self.lost_writes:
            self.excused["a: lost writes"] += 1
        elif "away" in whys:
            self.excused["b: changed while away" if self.changed_while_away else "b, wider: changed before"] += 1
        elif after_silence:
            self.excused["c: two replies lost"] += 1
        elif "granted" in whys:
            self.excused["d: reset for a wrong password"] += 1
        elif "held" in whys:
            self.excused["e: held after the last check"] += 1
        elif any(attempt.jumped for attempt in self.row):
            self.excused["e, wider: the store's clock ran over the lease"] += 1
        else:
            raise self._violation(Rule.S)

    def _watch_order(self, before: Account, after: Account) -> None:
        """F: what is in the place of a living token began later than it; without the store nobody could number it."""
        if before.clients is after.clients:
            return
        now = self.t + self.store_offset
        for client in after.clients:
            old = before.client(client.id).tokens
            living = [t for t in old if not t.refused and left(t.at, t.life, now) > 0 and not self._was_alone(t)]
            for token in client.tokens:
                is_new, order = all(token.fence != other.fence for other in old), self._order(token)
                if is_new and any(self._order(other) > order for other in living):
                    raise self._violation(Rule.F)

    def _order(self, token: StoredToken) -> int:
        return self.brought[token.fence, int(token.mark[1:])]

    def _was_alone(self, token: StoredToken) -> bool:
        return (token.fence, int(token.mark[1:])) in self.alone

    # --- the end ------------------------------------------------------------------------------------------------------

    def be_quiet(self) -> None:
        """Let every worker stop, and hold L: one with the right password asks until it has a token."""
        self.wait(LOGIN_TIMEOUT + 0.1)
        self.store_up, self.next_reply, self.repeats, self.lose_swap = True, Reply.PLAIN, 0, ""
        worker = self._worker(self.password)
        bound = self._bound(worker, self._opened(self.cell))
        self.tell("quiet; the right password is", self.password, "a token is due within", bound)
        start, rejected, rounds = self.t, None, 0
        while self.t - start <= bound and rounds < 12:
            mark = "" if rejected is None else f"m{rejected}"
            answer = self._do(Claim(self._id(), worker.who, LEASE, 0.5, 0, mark, worker.seen))
            match answer:
                case Found(token):
                    if self._takes(self.secrets[rejected := int(token.mark[1:])]):
                        return
                    self._do(self._reject(worker, token.fence, rejected))
                    rounds += 1
                case Lead(fence):
                    rounds += 1
                    if self._log_in_quietly(worker, fence):
                        return
                case Wait(seconds) | Cooling(seconds):
                    self.t += seconds + 0.001
                case Closed("budget"):
                    self.t = max(self.t + 30.0, start + bound - QUIET_BOUND)
                case _:
                    break
            self.tell(answer)
        self.tell(self.cell)
        raise self._violation(Rule.L)

    def _log_in_quietly(self, worker: Worker, fence: int) -> bool:
        """Log in; requests with tokens from long ago come back with 401 meanwhile."""
        self.orders += 1
        attempt = Try(f"i{self.ids}", fence, self.orders, worker.password, sent_at=self.t)
        assert self._evaluate(attempt) is Outcome.WORKED
        assert attempt.secret is not None
        self.t += 1.0
        for old in self._dead()[-2:]:
            self._do(self._reject(worker, *old))
        number = attempt.secret.number
        token = FreshToken(f"k{worker.password}", b"%d" % number, f"m{number}", attempt.life, 1.0)
        answer = self._do(Settle(attempt.id, worker.who, fence, Outcome.WORKED, 0.5, 0.0, token))
        return isinstance(answer, Noted) and answer.stored

    def _do(self, command: Command) -> Answer:
        before = self._opened(self.cell)
        self.cell, answer = self.decide(before, command, self.t + self.store_offset)
        self._watch_order(before, self.cell)
        return answer

    def _bound(self, worker: Worker, account: Account) -> float:
        """Return the seconds within which L promises a token; with an operator's help where L asks for it."""
        now, known = self.t + self.store_offset, account.fingerprint(worker.who.fingerprint)
        bound = QUIET_BOUND
        is_own = all(a.state != "refused" and a.fingerprint == known.id for a in account.attempts)
        is_stuck = len(account.attempts) > 1 and not (known.proven and is_own)
        if is_stuck or self.locked or account.locked or known.barred == "*":
            self.locked, self.row = False, []
            self._do(Reset(self._id(), worker.who))
            return bound
        if (grant := account.grant) is not None:
            bound += max(0.0, left(grant.at, grant.lasts, now))
        if len(account.attempts) > 1:
            return bound + TEN_MINUTES
        tokens = [token for client in account.clients for token in client.tokens]
        ends = max((left(token.at, token.life, now) for token in tokens), default=-TEN_MINUTES)
        return bound + max(0.0, ends + TEN_MINUTES) if account.attempts and not known.proven else bound


_REPLIES = [
    *[Reply.LOST] * 4,
    *[Reply.DROPPED] * 2,
    *[Reply.VAGUE] * 2,
    Reply.BUSY,
    Reply.FORBIDDEN,
    Reply.GARBLED,
]
_ALWAYS = [
    *[Model.op_step] * 40,
    *[Model.op_run] * 50,
    *[Model.op_wait] * 30,
    *[Model.op_use] * 10,
    *[Model.op_want] * 6,
]
_RARE = [
    Model.op_crash,
    Model.op_redeploy,
    Model.op_redeploy,
    Model.op_redeploy,
    Model.op_change_password,
    Model.op_revoke,
    Model.op_reply,
    Model.op_reply,
    Model.op_reply,
    Model.op_repeat,
    Model.op_reset,
    Model.op_swap_or_hold,
    Model.op_jump,
    Model.op_outage,
    Model.op_lose_writes,
    Model.op_late_401,
]


def schedule(seed: int) -> bytes:
    """Return the schedule of a number."""
    source = random.Random(seed)
    return source.randbytes(source.choice((40, 90, 160, 300)))


def play(data: bytes, *, decide: Decide = decide, deadline: float = SEND_WITHIN, through_bytes: bool = False) -> Model:
    """Play one schedule to its end, and return the world as it is then."""
    model = Model(data, decide=decide, deadline=deadline, through_bytes=through_bytes)
    model.play()
    return model


def run(count: int, first: int = 0, *, decide: Decide = decide, deadline: float = SEND_WITHIN) -> Tally:
    """Play the schedules of so many seeds; one in 32 with documents in the cell."""

    def played(seed: int) -> tuple[int, Counter[str]]:
        model = play(schedule(seed), decide=decide, deadline=deadline, through_bytes=seed % 32 == 0)
        return model.orders, model.excused

    return tallied(played, count, first)


if __name__ == "__main__":
    main(run, acts="logins", count=100_000)
