"""Confirms debits by the hundred: bills that become ready one by one are confirmed together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from types import TracebackType
from typing import Self

import attrs

from enkash_async._money.told import ConfirmResult

__all__ = ["Confirm", "Portions"]

Confirm = Callable[[Sequence[str], Collection[str]], Awaitable[Mapping[str, ConfirmResult]]]

_MOST = 100  # bills of a confirmation: few, so that an unclear end concerns few
_WITHIN = 1.0  # seconds from its first bill until a portion leaves


@attrs.define
class _Portion:
    """Bills that wait for their confirmation, and whether a create of this run brought each forth."""

    waiting: dict[str, asyncio.Future[ConfirmResult]] = attrs.field(factory=dict)
    created: set[str] = attrs.field(factory=set)
    full: asyncio.Event = attrs.field(factory=asyncio.Event)


class Portions:
    """Confirms bills in portions; an async context manager, whose end drops portions that have not left.

    Args:
        confirm: Confirms bills, given their ids and those whose debit certainly waits.
        within: Seconds from the first bill of a portion until it leaves; it leaves earlier with a hundred bills.
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
        """Confirm a bill with the next portion, and return what came of it.

        Args:
            utility_enkash_id: EnKash's id of the bill.
            waits: Whether a create of this run brought it forth, and its reply shows that the debit waits.
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
                waiting.cancel()  # without effect on those that are done
