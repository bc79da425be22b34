"""Posts to the registered webhooks: their order, attempts and faults.

EnKash documents neither resends, nor the order of posts, nor the answer that a post needs. The sandbox guesses: a 2xx
ends a post, any other answer causes another attempt, and the posts of one bill to one URL go out one after the other.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter, deque

import aiohttp
import attrs
from yarl import URL

from enkash_async.sandbox import _reply
from enkash_async.sandbox._faults import Fault, FaultKind, Faults
from enkash_async.sandbox._ledger import Ledger
from enkash_async.sandbox._payment import UtilityPayment
from enkash_async.sandbox._registration import Registration
from enkash_async.sandbox._tasks import Sleep, Tasks

__all__ = ["Courier", "Resends"]

_AT_ONCE = 16  # largest number of attempts in progress at the same time
# Seconds that an idle connection is kept: few, since a post fails if the receiver has closed the connection meanwhile.
_KEPT = 2.0


def _whole(_: Resends, attribute: attrs.Attribute[int], value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"webhook_{attribute.name} must be 1 or more, not {value!r}")


def _finite(_: Resends, attribute: attrs.Attribute[float], value: float) -> None:
    if not 0 <= value < math.inf:
        raise ValueError(f"webhook_{attribute.name} must be a finite number of seconds, 0 or more, not {value!r}")


@attrs.frozen(kw_only=True)
class Resends:
    """How often to repeat a post that is not answered with 2xx.

    Args:
        attempts: Largest number of attempts, including the first.
        pause: Seconds before the second attempt; each further pause is twice as long.

    Raises:
        ValueError: `attempts` is below 1, or `pause` is negative or infinite.
    """

    attempts: int = attrs.field(default=3, validator=_whole)
    pause: float = attrs.field(default=0.2, validator=_finite)

    def pause_before(self, attempt: int) -> float:
        """Return the seconds to wait before an attempt; attempt 0 is the first."""
        return 0.0 if attempt == 0 else self.pause * 2 ** (attempt - 1)


@attrs.frozen
class _Post:
    """A change of a bill, to be posted to one URL."""

    registration: Registration
    payment: UtilityPayment
    fault: Fault | None


class _Line:
    """The outstanding posts of one bill to one URL, oldest first."""

    def __init__(self) -> None:
        self.posts: deque[_Post] = deque()
        self._arrived = asyncio.Event()

    def add(self, post: _Post) -> None:
        self.posts.append(post)
        self._arrived.set()

    async def arrival(self) -> None:
        """Wait until there is a post."""
        while not self.posts:
            self._arrived.clear()
            await self._arrived.wait()


class Courier:
    """Posts the changes of a ledger's bills to the registered webhooks.

    Args:
        ledger: Holds the bills and the registrations.
        faults: Failures to produce.
        counts: Incremented under `webhook` for each attempt.
        resends: How often to repeat a post.
        sleep: Waits the given seconds, between attempts and for faults.
        timeout: Seconds for one attempt.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        faults: Faults,
        counts: Counter[str],
        resends: Resends,
        sleep: Sleep = asyncio.sleep,
        timeout: float = 10.0,
    ) -> None:
        self._ledger, self._faults, self._counts = ledger, faults, counts
        self._resends, self._sleep, self._timeout = resends, sleep, timeout
        self._lines: dict[tuple[str, str], _Line] = {}
        self._tasks = Tasks()
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._session: aiohttp.ClientSession | None = None
        self._open = False

    def open(self) -> None:
        """Start posting; changes before this call are not posted."""
        self._open = True

    def announce(self, payment: UtilityPayment) -> None:
        """Post the stage of a payment to the webhooks that want it; needs a running event loop."""
        if not self._open:
            return
        for registration in self._ledger.registrations.values():
            if registration.wants(payment):
                self._hand_over(_Post(registration, payment, self._faults.take("webhook")))

    @property
    def busy(self) -> bool:
        """Whether any post is outstanding."""
        return bool(self._tasks)

    async def done(self) -> None:
        """Wait until every post was answered or given up, including posts announced meanwhile."""
        await self._tasks.done()

    async def close(self) -> None:
        """Drop the outstanding posts and stop at once."""
        self._open = False
        await self._tasks.cancel()
        if self._session is not None:
            await self._session.close()

    def _hand_over(self, post: _Post) -> None:
        if post.fault is not None and post.fault.kind is FaultKind.DROP_BEFORE:
            return
        key = (post.payment.utility_enkash_id, post.registration.webhook_url)
        if key not in self._lines:
            self._lines[key] = _Line()
            self._tasks.start(self._work_off(key))
        self._lines[key].add(post)

    async def _work_off(self, key: tuple[str, str]) -> None:
        line = self._lines[key]
        while line.posts:
            await self._send_next(line)
        # Loses no post: there is no await between the last check of the line and this statement.
        del self._lines[key]

    async def _send_next(self, line: _Line) -> None:
        post = line.posts.popleft()
        match post.fault:
            case Fault(kind=FaultKind.SLOW, delay=delay):
                await self._sleep(delay)
                await self._deliver(post)
            case Fault(kind=FaultKind.DUPLICATED):
                async with asyncio.TaskGroup() as group:
                    for _ in range(2):
                        group.create_task(self._deliver(post))
            case Fault(kind=FaultKind.REORDERED, delay=delay):
                await self._hold_back(post, line, delay)
            case _:
                await self._deliver(post)

    async def _hold_back(self, post: _Post, line: _Line, delay: float) -> None:
        async with asyncio.TaskGroup() as group:
            over, arrival = group.create_task(self._wait(delay)), group.create_task(line.arrival())
            await asyncio.wait({over, arrival}, return_when=asyncio.FIRST_COMPLETED)
            if line.posts:
                # If the later post is not answered in time, the held-back post is sent at the same time.
                overtaking = group.create_task(self._send_next(line))
                await asyncio.wait({over, overtaking}, return_when=asyncio.FIRST_COMPLETED)
            over.cancel()
            arrival.cancel()
            await self._deliver(post)

    async def _wait(self, seconds: float) -> None:
        await self._sleep(seconds)

    async def _deliver(self, post: _Post) -> None:
        for attempt in range(self._resends.attempts):
            if attempt:
                await self._sleep(self._resends.pause_before(attempt))
            async with self._slots:
                if await self._send(post):
                    return

    async def _send(self, post: _Post) -> bool:
        """Post once, and return whether the answer is a 2xx."""
        body = _reply.webhook(post.payment, self._ledger.company_name, self._ledger.company_id)
        self._counts["webhook"] += 1
        try:
            async with self._open_session().post(
                URL(post.registration.webhook_url),
                data=_reply.dumps(body).encode(),
                headers={**post.registration.headers, "Content-Type": "application/json"},
                allow_redirects=False,
            ) as reply:
                return 200 <= reply.status < 300
        except (aiohttp.ClientError, OSError, ValueError):
            # aiohttp raises ValueError for a host name that no resolver accepts.
            return False

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEPT),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=self._timeout),
            )
        return self._session
