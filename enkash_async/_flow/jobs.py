"""Bulk jobs with back-pressure: limits the items in flight, and reads the next item only when a slot is free."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Sized
from logging import getLogger
from typing import Any, Generic, TypeAlias, TypeVar

import attrs

from enkash_async._flow.verdicts import judge
from enkash_async._support import checks
from enkash_async._support.cancellation import is_cancelled
from enkash_async._support.tracebacks import without_frames
from enkash_async.bulk import BulkError, BulkGroup, BulkItem, BulkResult
from enkash_async.errors import (
    EnkashError,
    InvalidRequestError,
    OutcomeUnknownError,
)

__all__ = [
    "Collected",
    "Job",
    "Progress",
    "Source",
    "broken_off",
    "checked_concurrency",
    "checked_source",
    "collect",
    "drive",
    "items_of",
    "stream",
]

S = TypeVar("S")
T = TypeVar("T")

Source: TypeAlias = Iterable[S] | AsyncIterable[S]
OnProgress: TypeAlias = Callable[[int, int | None], None]

_MOST_CONCURRENCY = 1000  # items in flight; ten times the requests that a client has in flight by default

_log = getLogger("enkash_async")


def checked_concurrency(value: int) -> int:
    """Return how many items may be in flight at once, checked to be 1 to 1,000."""
    return checks.number(value, "concurrency", least=1, most=_MOST_CONCURRENCY, whole=True)


def checked_source(source: object, where: str) -> None:
    """Refuse a source that cannot be iterated over, and a bare string, which is most likely a mistake."""
    if isinstance(source, (str, bytes)) or not isinstance(source, (Iterable, AsyncIterable)):
        raise InvalidRequestError(f"{where} must be an iterable, not one {type(source).__name__}: write it in […]")


async def items_of(source: Source[S]) -> AsyncIterator[S]:
    """Yield the items of any iterable, asynchronous or not."""
    try:
        if isinstance(source, AsyncIterable):
            async for item in source:
                yield item
        else:
            for item in source:
                yield item
    except asyncio.CancelledError:
        if is_cancelled():
            raise
        # The source raised the CancelledError; no caller cancelled this task. If the error were passed on, the job
        # would look cancelled.
        raise RuntimeError("the source of the items was cancelled") from None


class Progress:
    """Counts the items that are done and reports them to the user.

    An error of the callback is only logged. If it were raised, the report of money that has moved would be lost.

    Args:
        on_progress: The user's callback, called with (items done, items in all or None).
        source: The items. If the source has a length, that is the number of items in all; otherwise None is reported.
    """

    def __init__(self, on_progress: OnProgress | None, source: object) -> None:
        self._tell = on_progress
        self._total = len(source) if isinstance(source, Sized) else None
        self._done = 0

    def add(self, count: int = 1) -> None:
        """Count items as done, repeated items too, and report the count."""
        self._done += count
        if self._tell is None:
            return
        try:
            self._tell(self._done, self._total)
        except Exception:  # noqa: BLE001 (the user's callback may raise anything)
            _log.exception("on_progress failed; the job goes on")


async def drive(feed: AsyncIterator[S], handle: Callable[[S], Awaitable[object]], concurrency: int) -> None:
    """Handle every item of a feed, several at once; the next item is read only when a slot is free.

    An exception of the feed is raised once the items in flight are done. `handle` should raise nothing: an exception
    from it would cancel the other items.
    """
    free = asyncio.Semaphore(concurrency)

    async def work(item: S) -> None:
        try:
            await handle(item)
        finally:
            free.release()

    async def read_feed() -> BaseException | None:
        while True:
            await free.acquire()
            try:
                item = await anext(feed)
            except StopAsyncIteration:
                return None
            except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
                raise
            except BaseException as problem:  # noqa: BLE001 (from the user's source; raising would cancel payments)
                return problem
            group.create_task(work(item))

    async with asyncio.TaskGroup() as group:
        # Keeps payments from being cancelled: an asyncio.timeout() in the user's source cancels the task in which it
        # was entered. So the feed has a task of its own, in which no item is handled.
        feeding = group.create_task(read_feed())
    if feeding.cancelled():
        raise RuntimeError("the source of the items cancelled itself: keep asyncio.timeout() out of it")
    if (problem := feeding.result()) is not None:
        raise problem


class Collected(Generic[T]):
    """Keeps the items in the order in which the caller gave them, and sorts them into groups at the end."""

    def __init__(self) -> None:
        self._items: list[BulkItem[T] | None] = []  # by place; None: not done yet, or given before
        self._repeated: dict[str, None] = {}

    def add(self, place: int, item: BulkItem[T]) -> None:
        """Add an item at its place in the caller's order, counted from 0."""
        self._items += [None] * (place + 1 - len(self._items))
        self._items[place] = item

    def repeat(self, key: str) -> None:
        """Note that the caller gave the item of this key again."""
        self._repeated[key] = None

    def result(self) -> BulkResult[T]:
        """Return every item in its group, in the caller's order."""
        return BulkResult(
            succeeded=self._in(BulkGroup.SUCCEEDED),
            failed=self._in(BulkGroup.FAILED),
            unknown=self._in(BulkGroup.UNKNOWN),
            not_sent=self._in(BulkGroup.NOT_SENT),
            duplicates=tuple(self._repeated),
        )

    def _in(self, group: BulkGroup) -> tuple[BulkItem[T], ...]:
        return tuple(item for item in self._items if item is not None and item.group is group)


@attrs.frozen(kw_only=True)
class Job(Generic[S, T]):
    """A bulk call: one function, applied to many items.

    Args:
        where: Name of the argument with the items, for messages.
        check: Returns a valid item, or raises `InvalidRequestError`.
        key: Returns the item's name in the result.
        digest: Returns a value that differs for two different items with the same key.
        work: Makes the call for one item, and returns its value.
        report: Makes the item of the result from three arguments: the name, the value from `work`, and the item as the
            caller gave it. By default, the item has succeeded.
    """

    where: str
    check: Callable[[object], S]
    key: Callable[[S], str]
    digest: Callable[[S], object] = attrs.field(default=lambda _: None)
    work: Callable[[S], Awaitable[Any]]
    report: Callable[[str, Any, S], BulkItem[T]] = lambda key, value, item: BulkItem(key, value, request=item)


class _Run(Generic[S, T]):
    """One run of a job.

    Args:
        job: The bulk call.
        emit: Called with each item that is done, and its index in the caller's order.
        repeat: Called with the key of an item each time the caller gives the same item again.
    """

    def __init__(
        self,
        job: Job[S, T],
        emit: Callable[[int, BulkItem[T]], Awaitable[None]],
        repeat: Callable[[str], None],
    ) -> None:
        self._job = job
        self._emit = emit
        self._repeat = repeat
        self._seen: dict[str, object] = {}
        self._stopped_by: EnkashError | None = None

    async def __call__(self, source: Source[Any], concurrency: int) -> None:
        await drive(self._numbered(source), self._handle, concurrency)

    async def _numbered(self, source: Source[Any]) -> AsyncIterator[tuple[int, object]]:
        index = 0
        async for item in items_of(source):
            yield index, item
            index += 1

    async def _handle(self, numbered: tuple[int, object]) -> None:
        index, given = numbered
        job = self._job
        try:
            item = job.check(given)
            key, digest = job.key(item), job.digest(item)
        except InvalidRequestError as wrong:
            await self._emit(index, _item(f"{job.where}[{index}]", without_frames(wrong), given))
            return
        except Exception as problem:  # noqa: BLE001 (from the user's item; raising would cancel the other calls)
            kind = type(problem).__name__
            odd = InvalidRequestError(f"{job.where}[{index}] cannot be worked on: reading it raised {kind}")
            odd.__cause__ = problem
            await self._emit(index, _item(f"{job.where}[{index}]", odd, given))
            return
        if key not in self._seen:
            self._seen[key] = digest
            await self._emit(index, await self._work(key, item))
        elif self._seen[key] == digest:
            self._repeat(key)
        else:
            clash = InvalidRequestError(f"{key!r} was given before, for something else; give this one its own")
            await self._emit(index, _item(key, clash, given))

    async def _work(self, key: str, item: S) -> BulkItem[T]:
        if self._stopped_by is not None:
            return BulkItem(key, error=self._stopped_by, group=BulkGroup.NOT_SENT, request=item)
        try:
            return self._job.report(key, await self._job.work(item), item)
        except EnkashError as problem:
            if judge(problem).ends_job:
                self._stopped_by = problem
            return _item(key, without_frames(problem), item)
        except asyncio.CancelledError:
            if is_cancelled():
                raise
            # No caller cancelled this task; something that the call awaited was cancelled. If the error were passed on,
            # this task would end silently, and the item would be missing from the result.
            lost = OutcomeUnknownError("what this call waited for was cancelled; it may or may not have happened")
            return _item(key, lost, item)
        except Exception as problem:  # noqa: BLE001 (raising would cancel the other calls)
            broken = OutcomeUnknownError(f"it broke off with {type(problem).__name__}; it may or may not have happened")
            broken.__cause__ = problem
            return _item(key, broken, item)


def _item(key: str, problem: EnkashError, given: object) -> BulkItem[Any]:
    return BulkItem(key, error=problem, group=judge(problem).group, request=given)


async def collect(
    job: Job[S, T], source: Source[Any], *, concurrency: int, on_progress: OnProgress | None
) -> BulkResult[T]:
    """Run a job and return the outcome of every item.

    Raises:
        InvalidRequestError: The arguments are wrong; nothing was sent.
        BulkError: The source failed; `result` has the items before the failure, and `__cause__` is the source's error.
    """
    collected: Collected[T] = Collected()
    progress = Progress(on_progress, source)

    async def emit(index: int, item: BulkItem[T]) -> None:
        collected.add(index, item)
        progress.add()

    def repeat(key: str) -> None:
        collected.repeat(key)
        progress.add()

    checked_source(source, job.where)
    try:
        await _Run(job, emit, repeat)(source, checked_concurrency(concurrency))
    except Exception as problem:
        told = broken_off(problem, collected.result())
        if told is problem:
            raise
        raise told from problem
    return collected.result()


def broken_off(problem: Exception, result: BulkResult[Any]) -> Exception:
    """Return the error to raise if the source fails: a `BulkError`, or `problem` if no item was done before."""
    done = sum(map(len, (result.succeeded, result.failed, result.unknown, result.not_sent)))
    if not done:
        return problem
    return BulkError(
        f"the items broke off with {type(problem).__name__}; what became of the {done} before it is in .result",
        result=result,
    )


def stream(job: Job[S, T], source: Source[Any], *, concurrency: int) -> AsyncGenerator[BulkItem[T], None]:
    """Run a job and yield each item as soon as it is done.

    The job is about `concurrency` items ahead of the caller.

    Raises:
        InvalidRequestError: The arguments are wrong; nothing was sent.
        Exception: The source's own error, raised once the items before the error are done.
    """
    checked_source(source, job.where)
    return _streamed(job, source, checked_concurrency(concurrency))


async def _streamed(job: Job[S, T], source: Source[Any], concurrency: int) -> AsyncGenerator[BulkItem[T], None]:
    done: asyncio.Queue[BulkItem[T] | None] = asyncio.Queue(maxsize=1)

    async def emit(_: int, item: BulkItem[T]) -> None:
        await done.put(item)

    async def run() -> None:
        try:
            await _Run(job, emit, _ignore)(source, concurrency)
        except asyncio.CancelledError:
            raise  # the caller takes no more items
        except BaseException:  # even a SystemExit of the source: without the None below, the caller would wait forever
            await done.put(None)
            raise
        await done.put(None)

    task = asyncio.create_task(run())
    try:
        while (item := await done.get()) is not None:
            yield item
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _ignore(_: str) -> None:
    """Ignore an item that was given before."""
