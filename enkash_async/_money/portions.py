"""Batches confirmations: bills that become ready one by one are confirmed together, up to 100 per call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from types import TracebackType
from typing import Self

import attrs

from enkash_async._money.told import ConfirmResult

__all__ = ["Confirm", "Portions"]

Confirm = Callable[[Sequence[str], Collection[str]], Awaitable[Mapping[str, ConfirmResult]]]

_MOST = 100  # bills of one confirmation; the API takes more, but an unclear end then concerns at most 100 bills
_WITHIN = 1.0  # seconds from the first bill of a portion until the portion is sent


@attrs.define
class _Portion:
    """Bills that wait for their confirmation.

    Attributes:
        waiting: The result for each bill, by the bill's id.
        created: Ids of the bills that this run created, and whose debit waits.
        full: Set when the portion takes no further bill.
    """

    waiting: dict[str, asyncio.Future[ConfirmResult]] = attrs.field(factory=dict)
    created: set[str] = attrs.field(factory=set)
    full: asyncio.Event = attrs.field(factory=asyncio.Event)


class Portions:
    """Confirms bills in portions; an async context manager that cancels unfinished portions on exit.

    Args:
        confirm: Confirms bills. It is called with the ids of all bills, and the ids of bills whose debit surely waits.
        within: Seconds from the first bill of a portion until the portion is sent; a full portion is sent at once.
        sleep: Waits for the given seconds.
    """

    def __init__(
        self,
        confirm: Confirm,
        *,
        within: float = _WITHIN,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._confirm = confirm
        self._within = within
        self._sleep = sleep
        self._open: _Portion | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def confirm(self, utility_enkash_id: str, *, waits: bool) -> ConfirmResult:
        """Confirm a bill with the next portion, and return the outcome.

        Args:
            utility_enkash_id: EnKash's id of the bill.
            waits: Whether this run created the bill, and the reply shows that the debit waits.
        """
        portion = self._open
        if portion is None:
            portion = self._open = _Portion()
            task = asyncio.create_task(self._leave(portion))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if waits:
            portion.created.add(utility_enkash_id)
        result = portion.waiting.setdefault(utility_enkash_id, asyncio.get_running_loop().create_future())
        if len(portion.waiting) >= _MOST:
            self._close(portion)
        return await asyncio.shield(result)

    def _close(self, portion: _Portion) -> None:
        portion.full.set()
        if self._open is portion:
            self._open = None

    async def _leave(self, portion: _Portion) -> None:
        if self._within > 0:
            pause = asyncio.ensure_future(self._sleep(self._within))
            full = asyncio.ensure_future(portion.full.wait())
            try:
                await asyncio.wait((pause, full), return_when=asyncio.FIRST_COMPLETED)
            finally:
                pause.cancel()
                full.cancel()
        self._close(portion)
        try:
            results = await self._confirm(list(portion.waiting), portion.created)
            for one, waiting in portion.waiting.items():
                waiting.set_result(results[one])
        except Exception as problem:  # noqa: BLE001 (each caller of the portion is told)
            for waiting in portion.waiting.values():
                waiting.set_exception(problem)
        finally:
            for waiting in portion.waiting.values():
                waiting.cancel()  # has no effect on a future that is done
