"""Changes records by compare-and-swap: reads, applies a pure function, and retries if another process was faster."""

from __future__ import annotations

import asyncio
import random as _random
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

import attrs

from enkash_async._support.clock import loop_now
from enkash_async.errors import StoreError, StoreUnavailableError
from enkash_async.stores.store import Cell, Change, Store

__all__ = ["Codec", "RecordKind", "Transition", "act", "act_on_each", "act_on_each_beside", "to_its_end"]

_R = TypeVar("_R")
_C = TypeVar("_C")
_A = TypeVar("_A")
_T = TypeVar("_T")

_TRIES = 50  # two tries are enough for 64 processes that change one record at the same time
_FIRST_PAUSE = 0.002  # seconds before the second try, doubled for each further try; jitter shortens the pause
_LONGEST_PAUSE = 0.2  # seconds; all pauses together take less than ten seconds
# Seconds. A store that can be read, but answers no swap for this long, counts as unavailable, for example because its
# disk is full or a right is missing. One lost reply takes about one second, so it does not reach this limit.
_UNANSWERED = 2.0

Sleep = Callable[[float], Awaitable[object]]
Random = Callable[[], float]
Transition = Callable[["_R | None", "_C", float], "tuple[_R | None, _A]"]


class Codec(Protocol[_R]):
    """Converts a record to bytes, and back."""

    def decode(self, value: bytes) -> _R:
        """Return the record.

        Raises:
            StoreError: The format is newer than this version of the package, or is not a format of the package.
        """
        ...

    def encode(self, record: _R) -> bytes:
        """Return the bytes of a record."""
        ...


@attrs.frozen
class RecordKind(Generic[_R]):
    """How the records of one kind are written and how long they are kept.

    Attributes:
        codec: Converts the records to bytes, and back.
        keep: Seconds after its last change at which a record expires; None keeps it for ever.
    """

    codec: Codec[_R]
    keep: float | None = None


async def act(
    store: Store,
    key: str,
    transition: Transition[_R, _C, _A],
    command: _C,
    *,
    kind: RecordKind[_R],
    tries: int = _TRIES,
    sleep: Sleep = asyncio.sleep,
    random: Random = _random.random,
) -> _A:
    """Carry out one command on one record, and return its answer.

    Reads the record, calls the transition, and swaps in the new record if it differs. If another process changed the
    record first, or if the swap got no answer, the transition is called again with the record as it is then. So a
    command carries an id, by which the transition recognizes a command that it has already carried out.

    If the task is cancelled during a swap, it ends only after the swap, since a swap cannot be stopped.

    Args:
        store: Store that holds the record.
        key: Key of the record.
        transition: A pure function of the record (None if there is none), the command and the store's time. It returns
            the new record (None deletes the record; an equal record is not written) and the answer.
        command: The command to carry out.
        kind: How the record is encoded, and how long it is kept.
        tries: Largest number of tries.
        sleep: Waits for a number of seconds.
        random: Returns a number in [0, 1).

    Raises:
        StoreUnavailableError: The store is unavailable; the command may or may not have been carried out.
        StoreError: This version cannot read the record, or another process was faster at every try. Nothing was
            written.
    """
    answers = await act_on_each(store, {key: command}, transition, kind=kind, tries=tries, sleep=sleep, random=random)
    return answers[key]


async def act_on_each(
    store: Store,
    commands: Mapping[str, _C],
    transition: Transition[_R, _C, _A],
    *,
    kind: RecordKind[_R],
    tries: int = _TRIES,
    sleep: Sleep = asyncio.sleep,
    random: Random = _random.random,
) -> dict[str, _A]:
    """Carry out one command on each of several records of one kind, as `act` does on one record.

    Each record changes independently. After an error, some commands may have been carried out; the caller may repeat
    the call with the same commands.

    Args:
        commands: The command for each key, up to 1,024.
    """
    return await act_on_each_beside(
        store, commands, (), lambda _key, _cells: transition, kind=kind, tries=tries, sleep=sleep, random=random
    )


async def act_on_each_beside(
    store: Store,
    commands: Mapping[str, _C],
    beside: Sequence[str],
    given: Callable[[str, Mapping[str, Cell]], Transition[_R, _C, _A]],
    *,
    kind: RecordKind[_R],
    tries: int = _TRIES,
    sleep: Sleep = asyncio.sleep,
    random: Random = _random.random,
) -> dict[str, _A]:
    """Carry out one command on each of several records, by transitions that also see other records.

    Args:
        commands: The command for each key; `commands` and `beside` together have up to 1,024 keys.
        beside: Keys of the other records, which are read in the same call as the records to change.
        given: Returns the transition for a key. It is called with the key and with all cells of one read.
    """
    answers: dict[str, _A] = {}
    unanswered: StoreUnavailableError | None = None
    in_a_row, began = 0, loop_now()
    for pause in _pauses(tries):
        if pause:
            await sleep(pause * random())
        todo = {key: command for key, command in commands.items() if key not in answers}
        cells = await store.read([*todo, *beside])
        decided = {key: _decision(key, cells[key], given(key, cells), command, kind) for key, command in todo.items()}
        changes = [one.change for one in decided.values() if one.change is not None]
        swapped, unanswered = await _swap(store, changes) if changes else ({}, None)
        answers |= {key: one.answer for key, one in decided.items() if one.change is None or swapped.get(key)}
        if len(answers) == len(commands):
            return {key: answers[key] for key in commands}
        in_a_row = 0 if unanswered is None else in_a_row + 1
        if in_a_row > 1 and loop_now() - began > _UNANSWERED:
            break
    raise unanswered or StoreError(f"other processes changed the record before this one, {tries} times in a row")


@attrs.frozen
class _Decision(Generic[_A]):
    """The answer to a command, and the change that the store must make for it; None if no change is needed."""

    answer: _A
    change: Change | None


def _decision(
    key: str, cell: Cell, transition: Transition[_R, _C, _A], command: _C, kind: RecordKind[_R]
) -> _Decision[_A]:
    before = None if cell.value is None else kind.codec.decode(cell.value)
    after, answer = transition(before, command, cell.now)
    if after == before:
        return _Decision(answer, None)
    new = None if after is None else kind.codec.encode(after)
    return _Decision(answer, Change(key, cell.value, new, kind.keep))


async def _swap(store: Store, changes: list[Change]) -> tuple[dict[str, bool], StoreUnavailableError | None]:
    """Return for each key whether its change was made, and None; if the store failed, an empty dict and the error."""
    try:
        made = await to_its_end(store.swap(changes))
    except StoreUnavailableError as error:
        return {}, error.copy()
    return {change.key: done for change, done in zip(changes, made, strict=True)}, None


def _pauses(tries: int) -> list[float]:
    """Return the longest pause before each try, in seconds."""
    return [0.0, *(min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**number) for number in range(tries - 1))]


async def to_its_end(work: Coroutine[Any, Any, _T]) -> _T:
    """Wait until the work has ended, even if this task is cancelled; then raise the cancellation."""
    task = asyncio.ensure_future(work)
    is_cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            is_cancelled = True
    if is_cancelled:
        if not task.cancelled():
            task.exception()  # otherwise asyncio logs "exception was never retrieved"
        raise asyncio.CancelledError
    return task.result()
