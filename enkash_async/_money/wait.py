"""Waits for bills to settle: one poller reads all bills, and a notifier can wake it early."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext

from enkash_async._flow.jobs import Collected, OnProgress, Progress
from enkash_async._flow.notifier import BillNotifier, News
from enkash_async._flow.poller import Poller
from enkash_async._flow.verdicts import judge
from enkash_async._money.reads import Reads
from enkash_async._money.wait_looks import WaitLooks, is_over
from enkash_async._support import checks
from enkash_async.bulk import BulkGroup, BulkItem, BulkResult
from enkash_async.config import PollPolicy
from enkash_async.errors import EnkashError, WaitTimeoutError
from enkash_async.models import Bill

__all__ = ["checked_timeout", "wait_for"]


def checked_timeout(timeout: float) -> float:
    """Return the seconds to wait, after a check that they are not negative."""
    return checks.number(timeout, "timeout", least=0, unit="seconds")


class _Wait:
    """The bills that one call waits for, and their last states.

    Args:
        reads: Reads bills.
        ids: EnKash's ids of the bills.
        progress: Counts the bills that need no more waiting.
    """

    def __init__(self, reads: Reads, ids: Sequence[str], progress: Progress) -> None:
        self._looks = WaitLooks(reads)
        self._pending = dict.fromkeys(ids)
        self._progress = progress
        self._last: dict[str, Bill] = {}
        self._trouble: dict[str, EnkashError] = {}

    async def look(self, patience: float, only: Sequence[str] = (), *, is_last: bool = False) -> bool:
        """Read the pending bills, or only the pending ones in `only`; return whether no bill is pending any more."""
        # If none of the bills in `only` is pending any more, `wanted` is empty, and nothing is read.
        wanted = [one for one in only if one in self._pending] if only else list(self._pending)
        found = await self._looks.look(wanted, patience=patience, last=wanted if is_last else ())
        for one, seen in found.items():
            self._note(one, seen)
        return not self._pending

    def item(self, one: str, timeout: float) -> BulkItem[Bill]:
        """Return the outcome of a bill; `timeout` only appears in the error message."""
        last, trouble = self._last.get(one), self._trouble.get(one)
        if last is not None and is_over(last):
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
            ends = is_over(seen)
        else:
            self._trouble[one] = seen
            ends = not judge(seen).is_transient
        if ends:
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
        timeout: Seconds to wait for all bills together.
        policy: Pauses between the looks.
        notifier: Wakes the wait at news of a bill; then only that bill is read. None polls without news.
        poller: Polls EnKash.
        on_progress: Called with (number of bills that need no more waiting, number of all bills).
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
        # Steady news of some bills must not starve the others: read all once a full look is due, or the time is up.
        if heard and now < min(due, deadline):
            return await wait.look(patience, heard)
        due = now + policy.longest
        return await wait.look(patience, is_last=now >= deadline)

    return look
