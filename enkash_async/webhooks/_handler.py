"""Calls the user's handler: an async one in the event loop, any other in a thread."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeAlias, TypeVar

from enkash_async.webhooks._event import BillEvent

__all__ = ["InThread", "OnBill", "call_handler", "to_its_end"]

_T = TypeVar("_T")

OnBill: TypeAlias = Callable[[BillEvent], Awaitable[object] | None]

#: Runs a function with an event in a thread, and returns what the function returned.
InThread: TypeAlias = Callable[[Callable[[BillEvent], Any], BillEvent], Coroutine[Any, Any, Any]]


async def call_handler(on_bill: OnBill, event: BillEvent, in_thread: InThread) -> tuple[BaseException | None, bool]:
    """Call the handler; return the exception that it raised in a thread, or None, and whether the task was cancelled.

    Prevents two handlers for one bill at once: a function in a thread cannot be stopped, so a cancelled task waits
    until the function ends. If the claim on the bill were released earlier, another worker could call its handler.

    Raises:
        BaseException: An async handler raised this.
    """
    problem: BaseException | None
    if _is_async(on_bill):
        result, problem, is_cancelled = on_bill(event), None, False
    else:
        (result, problem), is_cancelled = await to_its_end(in_thread(lambda each: _outcome(on_bill, each), event))
    if inspect.isawaitable(result):
        await result
    return problem, is_cancelled


async def to_its_end(work: Coroutine[Any, Any, _T]) -> tuple[_T, bool]:
    """Finish work even if the current task is cancelled; return the result, and whether the task was cancelled."""
    task, is_cancelled = asyncio.create_task(work), False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            is_cancelled = True
    return task.result(), is_cancelled


def _is_async(on_bill: OnBill) -> bool:
    return inspect.iscoroutinefunction(on_bill) or inspect.iscoroutinefunction(getattr(on_bill, "__call__", None))  # noqa: B004 (asks about an object's own method)


def _outcome(on_bill: OnBill, event: BillEvent) -> tuple[Any, BaseException | None]:
    """Return the handler's result, and its exception or None.

    The exception is returned, not raised, since `asyncio` cannot raise a `StopIteration` out of a thread.
    """
    try:
        return on_bill(event), None
    except BaseException as problem:  # noqa: BLE001 (the caller raises it)
        return None, problem
