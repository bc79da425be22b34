"""Waits for bills to settle: one poller for all bills, woken early by a notifier."""

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
    """Return the seconds to wait, checked."""
    return checks.number(timeout, "timeout", least=0, unit="seconds")


class _Wait:
    """The bills that one call waits for, and their last states.

    Args:
        reads: Reads bills.
        ids: EnKash's ids of the bills.
        progress: Is told of each bill that needs no more waiting.
    """

    def __init__(self, reads: Reads, ids: Sequence[str], progress: Progress) -> None:
        self._reads = reads
        self._pending = dict.fromkeys(ids)
        self._progress = progress
        self._last: dict[str, Bill] = {}
        self._trouble: dict[str, EnkashError] = {}

    async def look(self, patience: float, only: Sequence[str] = ()) -> bool:
        """Read the bills that are still waited for, or only those in `only`; return whether none remains."""
        # News of settled bills only makes `wanted` empty: then nothing is read.
        wanted = [one for one in only if one in self._pending] if only else list(self._pending)
        for one, seen in (await self._reads.read(wanted, patience=patience)).items():
            self._note(one, seen)
        return not self._pending

    def item(self, one: str, timeout: float) -> BulkItem[Bill]:
        """Return the outcome of a bill; the timeout is for the message."""
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
    """Return every bill in its group once all are settled or the time is up.

    Args:
        reads: Reads bills.
        ids: EnKash's ids of the bills, each once.
        timeout: Seconds to wait in all.
        policy: Pauses between the looks.
        notifier: Wakes the wait when there is news of a bill; then only that bill is read. None means no news.
        poller: Polls EnKash.
        on_progress: Called with (bills that need no more waiting, bills in all).
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
        # Steady news of some bills must not starve the others: once a full look is due, or time is up, read all.
        if heard and now < min(due, deadline):
            return await wait.look(patience, heard)
        due = now + policy.longest
        return await wait.look(patience)

    return look
