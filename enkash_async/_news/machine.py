"""The state machine of a bill's news: which worker may handle the bill, and whether a state is news.

`decide(news, command, now)` is a pure function and the only way to change a record. A state is written down before it
is handed to the handler. So after a crash, the next worker knows that the handler may have been given the state.
"""

from __future__ import annotations

from typing import TypeAlias, assert_never

import attrs

from enkash_async._news.record import DURATIONS, Durations, Hold, News

__all__ = [
    "Answer",
    "Claim",
    "Command",
    "Done",
    "Extend",
    "Go",
    "Hand",
    "Held",
    "Lost",
    "Mine",
    "Noted",
    "Old",
    "Release",
    "decide",
]

_REMEMBERED = 32  # posts to remember of one bill; a bill has a handful of states, each posted a few times
_BLOCK = 2**20  # event numbers in one period of `DURATIONS.keep`; a bill has far fewer events in a week


@attrs.frozen
class Claim:
    """Asks for the right to handle a bill's news."""

    by: str


@attrs.frozen
class Extend:
    """Restarts the lease of a claim."""

    by: str


@attrs.frozen
class Hand:
    """Writes down that the handler is being called with a state.

    Attributes:
        state: Hash of the state.
        ever: Whether to compare the state with all remembered states; False compares it with the last state only.
    """

    by: str
    state: str
    ever: bool = False


@attrs.frozen
class Done:
    """Writes down that the handler took a state, and ends the claim.

    Attributes:
        number: The number in the `Go` that allowed the call of the handler.
        ever: As in `Hand`.
    """

    by: str
    state: str
    number: int
    ever: bool = False


@attrs.frozen
class Release:
    """Ends the claim."""

    by: str


Command: TypeAlias = Claim | Extend | Hand | Done | Release


@attrs.frozen
class Mine:
    """The caller has the claim.

    Attributes:
        last: Hash of the last state that the handler took; empty if none is known.
    """

    last: str = ""


@attrs.frozen
class Held:
    """Another attempt holds the claim; its lease ends after `seconds` unless it is extended."""

    seconds: float


@attrs.frozen
class Go:
    """The state is news: call the handler, and then send `Done`.

    Attributes:
        number: Number of the event. Every attempt to hand over this state gets the same number; if the bill returns to
            this state later, the number is another.
    """

    number: int


@attrs.frozen
class Old:
    """The state is not news: the handler took it before."""


@attrs.frozen
class Lost:
    """The caller's lease ended, and another attempt took the claim: hand nothing over."""


@attrs.frozen
class Noted:
    """The answer to `Extend`, `Done` and `Release`.

    Attributes:
        in_time: False if the caller had lost its claim, so that two attempts may have overlapped.
    """

    in_time: bool


Answer: TypeAlias = Mine | Held | Go | Old | Lost | Noted


def decide(
    news: News | None, command: Command, now: float, durations: Durations = DURATIONS
) -> tuple[News | None, Answer]:
    """Return the record after a command, or None to delete the record; and the answer."""
    before = News(now) if news is None else news.moved_back(now)
    after, answer = _decide(before, command, now, durations)
    if not after.told and after.hold is None:
        return None, answer
    if after == news:
        return news, answer
    return attrs.evolve(after, now=now, revision=before.revision + 1), answer


def _decide(news: News, command: Command, now: float, durations: Durations) -> tuple[News, Answer]:
    is_mine = news.hold is not None and news.hold.by == command.by
    match command:
        case Claim():
            if not is_mine and (seconds := news.seconds_held(now)) > 0:
                return news, Held(seconds)
            return _held(news, command.by, now, durations), Mine(news.last)
        case Extend():
            return (_held(news, command.by, now, durations), Noted(True)) if is_mine else (news, Noted(False))
        case Hand():
            return _handed(_held(news, command.by, now, durations), command, now) if is_mine else (news, Lost())
        case Done():
            return _done(news, command, is_mine, now)
        case Release():
            return (attrs.evolve(news, hold=None), Noted(True)) if is_mine else (news, Noted(False))
        case _:
            assert_never(command)


def _held(news: News, by: str, now: float, durations: Durations) -> News:
    return attrs.evolve(news, hold=Hold(by, now, durations.lease))


def _handed(news: News, hand: Hand, now: float) -> tuple[News, Answer]:
    taken = _taken(news)
    if hand.state in (taken if hand.ever else (news.last,)):
        return news, Old()
    if news.is_open and news.told[-1] == hand.state:  # an earlier attempt may have called the handler
        return news, Go(news.number)
    number = _next(news, now)
    return attrs.evolve(news, told=_with(taken, hand), number=number, is_open=True), Go(number)


def _done(news: News, done: Done, is_mine: bool, now: float) -> tuple[News, Answer]:
    if not is_mine and not news.is_open and news.number == done.number and news.last == done.state:
        return news, Noted(True)  # an earlier swap, whose reply was lost, or another attempt recorded the same state
    told = _with(tuple(one for one in _taken(news) if one != done.state), done)
    if is_mine and news.number == done.number:
        return attrs.evolve(news, told=told, is_open=False, hold=None), Noted(True)
    # Two attempts overlapped, and the handler may have heard of their states in either order. So the next look at the
    # bill is news, whatever it shows. Without a client there is no such look: posts have no order.
    is_unsure = not done.ever and bool(news.told)
    hold = None if is_mine else news.hold
    return attrs.evolve(news, told=told, is_open=is_unsure, hold=hold, number=_next(news, now)), Noted(False)


def _taken(news: News) -> tuple[str, ...]:
    """Return the states that the handler took, without a state whose handling may have failed."""
    return news.told[:-1] if news.is_open else news.told


def _with(taken: tuple[str, ...], command: Hand | Done) -> tuple[str, ...]:
    return (*(taken if command.ever else ()), command.state)[-_REMEMBERED:]


def _next(news: News, now: float) -> int:
    """Return the number of the next state.

    A number is never used twice, even after the record has expired. The record expires after `DURATIONS.keep` seconds,
    and the numbers in each period of this length begin with a higher block. So a state that comes back later is a new
    event too.
    """
    return max(news.number, int(now // DURATIONS.keep) * _BLOCK) + 1
