"""Waiting for bills to settle: one poller for however many, woken early by news from elsewhere."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext

from enkash_async._flow.jobs import Collected, OnProgress, Progress
from enkash_async._flow.notifier import BillNotifier, News
from enkash_async._flow.poller import Poller
from enkash_async._flow.verdicts import judge
from enkash_async._money.reads import Reads
from enkash_async._support import checks
from enkash_async.bulk import BulkGroup, BulkItem, BulkResult
from enkash_async.config import PollPolicy
from enkash_async.errors import EnkashError, WaitTimeoutError
from enkash_async.models import Bill

__all__ = ["checked_timeout", "wait_for"]


def checked_timeout(timeout: float) -> float:
    """Return a number of seconds to wait."""
    return checks.number(timeout, "timeout", least=0, unit="seconds")


class _Wait:
    """Bills that are waited for.

    Args:
        reads: Reads them.
        ids: Which bills.
        progress: Is told of each that needs no more waiting.
    """

    def __init__(self, reads: Reads, ids: Sequence[str], progress: Progress) -> None:
        self._reads = reads
        self._pending = dict.fromkeys(ids)
        self._progress = progress
        self._last: dict[str, Bill] = {}
        self._trouble: dict[str, EnkashError] = {}

    async def look(self, patience: float, only: Sequence[str] = ()) -> bool:
        """Look at the bills that are not settled, or at some of them; whether none is left."""
        # News of bills that are settled already has nothing looked at, least of all the others.
        wanted = [one for one in only if one in self._pending] if only else list(self._pending)
        for one, seen in (await self._reads.read(wanted, patience=patience)).items():
            self._note(one, seen)
        return not self._pending

    def item(self, one: str, timeout: float) -> BulkItem[Bill]:
        """Return what became of a bill in so many seconds."""
        last, trouble = self._last.get(one), self._trouble.get(one)
        if last is not None and last.is_settled:
            return BulkItem(one, last)
        if trouble is not None and not judge(trouble).is_transient:
            return BulkItem(one, error=trouble, group=BulkGroup.FAILED)
        late = WaitTimeoutError(f"bill {one} is not settled after {timeout:g} s; it may still settle", last=last)
        late.__cause__ = trouble
        return BulkItem(one, error=late, group=BulkGroup.UNKNOWN)

    def _note(self, one: str, seen: Bill | EnkashError) -> None:
        self._trouble.pop(one, None)
        if isinstance(seen, Bill):
            self._last[one] = seen
            is_over = seen.is_settled
        else:
            self._trouble[one] = seen
            is_over = not judge(seen).is_transient
        if is_over:
            del self._pending[one]
            self._progress.add()


async def wait_for(
    reads: Reads,
    ids: Sequence[str],
    *,
    timeout: float,
    policy: PollPolicy,
    notifier: BillNotifier | None,
    poller: Poller,
    on_progress: OnProgress | None = None,
) -> BulkResult[Bill]:
    """Return every bill once all are settled or the time is up.

    Args:
        reads: Reads them.
        ids: Which bills, each once.
        timeout: Seconds to wait in all.
        policy: How often to look.
        notifier: Wakes the wait when there is news of a bill, which is then looked at alone.
        poller: Time, pauses and chance.
        on_progress: Is called with (bills that need no more waiting, bills in all).
    """
    wait = _Wait(reads, ids, Progress(on_progress, ids))
    with nullcontext() if notifier is None else notifier.listen(ids) as news:
        look = _looking(wait, news, poller, timeout, policy)
        await poller.until(look, seconds=timeout, pauses=policy, news=news)
    collected: Collected[Bill] = Collected()
    for place, one in enumerate(ids):
        collected.add(place, wait.item(one, timeout))
    return collected.result()


def _looking(
    wait: _Wait, news: News | None, poller: Poller, timeout: float, policy: PollPolicy
) -> Callable[[float], Awaitable[bool]]:
    deadline = poller.clock() + timeout
    due = deadline

    async def look(patience: float) -> bool:
        nonlocal due
        heard = () if news is None else news.take()
        now = poller.clock()
        # However much news there is of some bills, the others are not forgotten, least of all at the end.
        if heard and now < min(due, deadline):
            return await wait.look(patience, heard)
        due = now + policy.longest
        return await wait.look(patience)

    return look
