"""A fleet of 1 to 32 processes that share tokens through one real Redis: cold start, expiry, and calls in between.

Each figure is for a whole fleet. A login takes 0.2 s, as over the internet. Without a Redis there are no figures.

The SDK renews a token of a few seconds after half of its lifetime (a token of 300 s, EnKash's shortest, after 80 %);
the peers renew it when it has expired. So logins are counted per renewal, beside the time between renewals.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import aiohttp
import attrs

from benchmarks._fleet import OURS, PEERS, Ask, Call, Close, Fleet, Load, Make, fleet
from benchmarks._results import Bound, Comparison, Figure, Settings, compared
from benchmarks._rounds import interleave
from benchmarks._server import Server, serving

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # where the servers of the tests are started

from servers import FLAVOURS, MISSING, running
from servers import Server as Redis

__all__ = ["run"]

_SUITE = "fleet"
_CALLERS = 2  # callers in each process
_PAUSE = 0.05  # seconds between the calls of one caller; shorter, 32 processes would overload the machine
_READING = {"info", "client|setinfo"}  # commands that the benchmark itself sends when it reads Redis's counts


@attrs.frozen
class _Terms:
    """Durations in seconds, and the amount of work.

    Attributes:
        login: Duration of a login.
        lifetime: Lifetime of a token in the expiry test.
        load: Duration of the load in the expiry test.
        calls: API requests of a whole fleet with a valid token.
        sizes: Numbers of processes of the fleets.
    """

    login: float = 0.2
    lifetime: float = 4.0
    load: float = 8.4
    calls: int = 960
    sizes: Sequence[int] = (1, 2, 4, 8, 16, 32)


_SMOKE = _Terms(login=0.05, lifetime=0.4, load=0.6, calls=20, sizes=(2,))


@attrs.frozen
class _Place:
    """A Redis, the processes that share it, and the server that they call."""

    redis: Redis
    fleet: Fleet
    server: Server

    async def begin(self, who: str, number: int) -> None:
        """Give each of the first `number` processes a new contender, and empty Redis and the server's counts."""
        self.redis.ask("FLUSHALL")
        await self._http("POST", "/reset")
        self.fleet.tell(number, Make(who, self.server.base_url, self.redis.url))

    def ask(self, number: int) -> list[float]:
        """Let the first `number` processes ask for a token at the same time; return the seconds that each waited."""
        return self.fleet.tell(number, Ask(_soon(number)))

    async def logins(self) -> list[float]:
        """Return the start of each login since `begin`, in monotonic seconds."""
        return [float(instant) for instant in await self._http("GET", "/logins")]

    def commands(self) -> int:
        """Return the number of commands that Redis has carried out, without those of this question."""
        return sum(times for name, times in self.redis.commandstats().items() if name not in _READING)

    async def _http(self, method: str, path: str) -> list[float]:
        async with (
            aiohttp.ClientSession(raise_for_status=True) as session,
            session.request(method, self.server.base_url + path) as reply,
        ):
            return list(await reply.json())


def _soon(number: int) -> float:
    return time.monotonic() + 0.02 + 0.002 * number  # late enough for the last process to have its order


def _quantile(values: Sequence[float], share: float) -> float:
    ordered, place = sorted(values), share * (len(values) - 1)
    below, above = ordered[math.floor(place)], ordered[math.ceil(place)]
    return below + (above - below) * (place - math.floor(place))


# --- cold start -------------------------------------------------------------------------------------------------------


async def _cold_start(place: _Place, number: int, rounds: int) -> list[Comparison | Figure]:
    """Let all processes ask for a token at the same time when there is none."""
    waits: dict[str, list[list[float]]] = {who: [] for who in (OURS, *PEERS)}
    logins: dict[str, list[int]] = {who: [] for who in waits}

    async def once(who: str) -> float:
        await place.begin(who, number)
        waits[who].append(place.ask(number))
        logins[who].append(len(await place.logins()))
        place.fleet.tell(number, Close())
        return _quantile(waits[who][-1], 0.5)

    await interleave({who: functools.partial(once, who) for who in waits}, rounds)
    case = f"cold start, {_named(number)}"
    results: list[Comparison | Figure] = [
        Figure(
            _SUITE,
            case,
            who,
            "logins, the most of all rounds",
            max(counts[1:]),
            bound=Bound(1) if who == OURS else None,
            items=number,
        )
        for who, counts in logins.items()
    ]
    for share in (0.5, 0.99):
        costs = {who: [_quantile(wait, share) for wait in each[1:]] for who, each in waits.items()}
        results += compared(_SUITE, case, costs, cost=f"wait for the token, p{share * 100:g}")
    return results


# --- expiry -----------------------------------------------------------------------------------------------------------


@attrs.frozen
class _Worked:
    """The observations of a time under load.

    Attributes:
        calls: Start and duration of each call of `get_token`, in seconds.
        renewals: The starts of the logins of each renewal; the first renewal is the cold start.
    """

    calls: list[tuple[float, float]]
    renewals: list[list[float]]

    def during(self, login: float) -> list[float]:
        """Return the durations of the calls that overlapped a login."""
        spans = [(logins[0], logins[-1] + login) for logins in self.renewals[1:]]
        return [
            took for begun, took in self.calls if any(begun <= end and begun + took >= start for start, end in spans)
        ]

    def period(self) -> float:
        """Return the seconds from one renewal to the next."""
        return (self.renewals[-1][0] - self.renewals[0][0]) / (len(self.renewals) - 1)

    def logins_a_renewal(self) -> float:
        """Return the number of logins of the whole fleet per renewal."""
        return sum(map(len, self.renewals[1:])) / (len(self.renewals) - 1)


def _renewals(logins: Sequence[float], apart: float) -> list[list[float]]:
    """Return the logins in groups; a login belongs to the renewal of the login before if it began soon after it."""
    groups: list[list[float]] = []
    for before, instant in zip([float("-inf"), *logins], logins, strict=False):
        if instant - before < apart:
            groups[-1].append(instant)
        else:
            groups.append([instant])
    return groups


async def _work(place: _Place, who: str, number: int, terms: _Terms) -> _Worked:
    await place.begin(who, number)
    place.ask(number)
    answers = place.fleet.tell(number, Load(_soon(number), terms.load, _CALLERS, _PAUSE))
    place.fleet.tell(number, Close())
    # No contender renews before half of the lifetime is over.
    renewals = _renewals(await place.logins(), terms.lifetime / 4)
    if len(renewals) < 2:
        raise RuntimeError(f"no token of {who} ran out within {terms.load} s")
    return _Worked(list(itertools.chain.from_iterable(answers)), renewals)


def _of_expiry(who: str, number: int, terms: _Terms, worked: _Worked) -> Iterator[Figure]:
    def figure(measure: str, value: float, unit: str = "", bound: Bound | None = None) -> Figure:
        return Figure(_SUITE, f"expiry, {_named(number)}", who, measure, value, unit, bound, number)

    every, during = [took for _, took in worked.calls], worked.during(terms.login)
    yield figure("logins a renewal", worked.logins_a_renewal(), bound=Bound(1) if who == OURS else None)
    # Shows what the figure above cannot: a fleet that renews far too often, with one login each time.
    often = Bound(0.45, least=True) if who == OURS and terms is not _SMOKE else None
    yield figure("time between renewals ÷ lifetime of a token", worked.period() / terms.lifetime, bound=often)
    # No p99 of all calls: it depends on how many meet a login, and here tokens live unusually short.
    yield figure("get_token, p50", _quantile(every, 0.5), "s")
    yield figure("get_token during a login, p50", _quantile(during, 0.5), "s")
    yield figure("get_token during a login, p99", _quantile(during, 0.99), "s")


async def _expiry(place: _Place, number: int, terms: _Terms) -> list[Figure]:
    """Let all processes ask for tokens again and again while tokens expire."""
    figures: list[Figure] = []
    for who in (OURS, *PEERS):
        figures += _of_expiry(who, number, terms, await _work(place, who, number, terms))
    return figures


# --- the calls between ------------------------------------------------------------------------------------------------


async def _steady(place: _Place, number: int, terms: _Terms) -> list[Figure]:
    """Let all processes call the API with a long-lived token, and count the Redis commands meanwhile."""
    figures: list[Figure] = []
    times = max(1, terms.calls // number)
    for who in (OURS, *PEERS):
        await place.begin(who, number)
        place.ask(number)
        before = place.commands()
        place.fleet.tell(number, Call(times))
        asked = place.commands() - before
        place.fleet.tell(number, Close())
        figures.append(
            Figure(
                _SUITE,
                f"token in hand, {_named(number)}",
                who,
                "Redis commands an API request",
                asked / (times * number),
                bound=Bound(0) if who == OURS else None,
                items=number,
            )
        )
    return figures


def _named(number: int) -> str:
    return f"{number} process" + ("es" if number > 1 else "")


@contextlib.contextmanager
def _redis() -> Iterator[Redis]:
    with tempfile.TemporaryDirectory() as folder, running(next(iter(FLAVOURS)), Path(folder)) as redis:
        yield redis


async def run(settings: Settings, server: Server) -> list[Comparison | Figure]:
    """Measure fleets of several sizes.

    Args:
        settings: Amount of work.
        server: Server for API requests; slow logins go to servers of their own.
    """
    if not FLAVOURS:
        print(f"{_SUITE}: {MISSING}", file=sys.stderr)
        return []
    terms = _SMOKE if settings.smoke else _Terms()
    results: list[Comparison | Figure] = []
    with (
        _redis() as redis,
        fleet(max(terms.sizes)) as processes,
        serving(login=terms.login) as slow,
        serving(login=terms.login, lifetime=terms.lifetime) as brief,
    ):
        for number in terms.sizes:
            results += await _cold_start(_Place(redis, processes, slow), number, settings.rounds)
            results += await _expiry(_Place(redis, processes, brief), number, terms)
            results += await _steady(_Place(redis, processes, server), number, terms)
    return results
