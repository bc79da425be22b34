"""A fleet of 1 to 32 processes that shares tokens: cold start, renewals, and the calls between.

Ours runs over SQLite, a real Redis and a real PostgreSQL, and over memory where there is one process; the recipes of
the peers know Redis alone. Each figure is of a whole fleet. A login takes 0.2 s, as it may over the internet. A server
that is not installed is left out.

A token of a few seconds is renewed by us when half of its life is over (one of 300 s, EnKash's shortest, after 80 %),
by the peers once it has ended for them. So logins are counted for each renewal, and how far apart renewals are stands
beside it. A store call is one `read` or one `swap`.
"""

from __future__ import annotations

import functools
import itertools
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import aiohttp
import attrs

from benchmarks._counted import Counts
from benchmarks._fleet import OURS, PEERS, Ask, Call, Close, Count, Fleet, Load, Make, fleet
from benchmarks._renewals import Worked, renewals
from benchmarks._results import Bound, Comparison, Figure, Settings, compared
from benchmarks._rounds import interleave
from benchmarks._server import Server, serving
from benchmarks._shared import Shared, shared

__all__ = ["run"]

_SUITE = "fleet"
_CALLERS = 2  # in each process
_PAUSE = 0.05  # seconds between the calls of one caller: 32 processes leave the machine some air
_SOON = Bound(0.4)  # seconds after the login's end, in which the last process of a cold fleet is served
_SLOW_ROUNDS = 3  # at most, of a cold start with a slow login
_LEADER, _OTHERS = Bound(6), Bound(2)  # store calls a renewal; the second is a mean, and kept to by the largest fleet


@attrs.frozen
class _Terms:
    """Durations in seconds, and the amount of work.

    Attributes:
        login: What a login takes.
        slow_login: What a slow one takes, after which a cold fleet has to be served as soon.
        lifetime: How long a token is good for, where it is to run out.
        load: How long it is asked for on and on.
        calls: API requests of a whole fleet on a token in hand.
        sizes: How many processes there are.
    """

    login: float = 0.2
    slow_login: float = 1.0
    lifetime: float = 4.0
    load: float = 8.4
    calls: int = 960
    sizes: Sequence[int] = (1, 8, 32)


_SMOKE = _Terms(login=0.05, slow_login=0.1, lifetime=0.4, load=0.7, calls=20, sizes=(2,))


@attrs.frozen
class _Contender:
    """Somebody's tokens over a store.

    Attributes:
        who: `OURS`, or one of `PEERS`.
        store: What its processes share.
    """

    who: str
    store: Shared

    @property
    def name(self) -> str:
        """As figures call it; the peers know one store."""
        return f"{self.who}, {self.store.name}" if self.is_ours else self.who

    @property
    def is_ours(self) -> bool:
        """Whether it is our provider."""
        return self.who == OURS

    def figure(self, case: str, measure: str, value: float, **more: Any) -> Figure:
        """Return a figure; a bound is one of ours alone."""
        if not self.is_ours:
            more.pop("bound", None)
        return Figure(_SUITE, case, self.name, measure, value, **more)


@attrs.frozen
class _Place:
    """The processes, how many of them take part, and the server that they call."""

    fleet: Fleet
    server: Server
    number: int

    async def begin(self, contender: _Contender) -> None:
        """Let the processes begin with nothing at hand."""
        url = contender.store.emptied()
        await self._http("POST", "/reset")
        self.fleet.tell(self.number, Make(contender.who, self.server.base_url, url))

    def ask(self) -> list[tuple[float, float]]:
        """Have all of them ask for a token at the same instant, and return from when to when each waited."""
        return self.fleet.tell(self.number, Ask(self.soon()))

    def end(self) -> list[Counts]:
        """Have all of them close what they opened, and return what each has done."""
        counts = self.fleet.tell(self.number, Count())
        self.fleet.tell(self.number, Close())
        return counts

    async def logins(self) -> list[float]:
        """Return the start of each login since `begin`, in monotonic seconds."""
        return [float(instant) for instant in await self._http("GET", "/logins")]

    def soon(self) -> float:
        """Return an instant by which the last process has its order."""
        return time.monotonic() + 0.02 + 0.002 * self.number

    def case(self, what: str) -> str:
        """Return what was done, and by how many."""
        return f"{what}, {self.number} process" + ("es" if self.number > 1 else "")

    async def _http(self, method: str, path: str) -> list[float]:
        async with (
            aiohttp.ClientSession(raise_for_status=True) as session,
            session.request(method, self.server.base_url + path) as reply,
        ):
            return list(await reply.json())


def _quantile(values: Sequence[float], share: float) -> float:
    ordered, place = sorted(values), share * (len(values) - 1)
    below, above = ordered[math.floor(place)], ordered[math.ceil(place)]
    return below + (above - below) * (place - math.floor(place))


def _commands(contender: _Contender) -> int:
    return 0 if contender.store.commands is None else contender.store.commands()


# --- cold start -------------------------------------------------------------------------------------------------------


@attrs.frozen
class _Start:
    """One cold start.

    Attributes:
        waits: How many seconds each process waited.
        logins: How many there were.
        late: Seconds from the end of the first login to the last process that was served.
        store_calls: Of all processes together.
        commands: Of Redis, likewise.
    """

    waits: Sequence[float]
    logins: int
    late: float
    store_calls: int
    commands: int


async def _started(place: _Place, contender: _Contender, login: float) -> _Start:
    await place.begin(contender)
    before = _commands(contender)
    spans = place.ask()
    commands = _commands(contender) - before
    logins = await place.logins()
    return _Start(
        waits=[ended - begun for begun, ended in spans],
        logins=len(logins),
        late=max(ended for _, ended in spans) - (logins[0] + login),
        store_calls=sum(len(count.store_calls) for count in place.end()),
        commands=commands,
    )


async def _cold_start(
    place: _Place, what: str, contenders: Sequence[_Contender], rounds: int, login: float
) -> list[Comparison | Figure]:
    """Let all processes ask for a token at once when there is none; a login takes the given seconds."""
    starts: dict[str, list[_Start]] = {one.name: [] for one in contenders}

    async def once(contender: _Contender) -> float:
        starts[contender.name].append(await _started(place, contender, login))
        return 0.0

    await interleave({one.name: functools.partial(once, one) for one in contenders}, rounds)
    counted = {name: found[1:] for name, found in starts.items()}  # the first was to warm up
    results: list[Comparison | Figure] = []
    for one in contenders:
        results += _of_start(place.case(what), one, counted[one.name])
    for one in filter(lambda one: one.is_ours, contenders):
        rivals = {OURS: counted[one.name]} | {who: counted[who] for who in PEERS if who in counted}
        case = place.case(f"{what} over {one.store.name}")
        for share in (0.5, 0.99):
            costs = {who: [_quantile(start.waits, share) for start in found] for who, found in rivals.items()}
            results += compared(_SUITE, case, costs, cost=f"wait for the token, p{share * 100:g}")
    return results


def _of_start(case: str, contender: _Contender, starts: Sequence[_Start]) -> Iterator[Figure]:
    number = len(starts[0].waits)
    figure = functools.partial(contender.figure, case, items=number)
    late = [start.late for start in starts]
    yield figure("logins, the most of all rounds", max(start.logins for start in starts), bound=Bound(1))
    yield figure("last one served after the login's end", statistics.median(late), unit="s", bound=_SOON)
    yield figure("last one served after the login's end, the most of all rounds", max(late), unit="s")
    if contender.is_ours:
        calls = statistics.median(start.store_calls for start in starts)
        yield figure("store calls a process", calls / number)
    if contender.store.commands is not None:
        commands = statistics.median(start.commands for start in starts)
        yield figure("Redis commands a process", commands / number)


# --- renewals ---------------------------------------------------------------------------------------------------------


async def _worked(place: _Place, contender: _Contender, terms: _Terms) -> tuple[Worked, int]:
    """Put the processes under load, and return what came of it and how many commands Redis carried out meanwhile."""
    await place.begin(contender)
    place.ask()
    before = _commands(contender)
    answers = place.fleet.tell(place.number, Load(place.soon(), terms.load, _CALLERS, _PAUSE))
    commands = _commands(contender) - before
    # Nobody renews before half of a life is over.
    groups = renewals(await place.logins(), terms.lifetime / 4)
    if len(groups) < 2:
        raise RuntimeError(f"no token of {contender.name} ran out within {terms.load} s")
    return Worked(list(itertools.chain.from_iterable(answers)), groups, place.end()), commands


def _of_renewals(
    place: _Place, contender: _Contender, terms: _Terms, worked: Worked, commands: int
) -> Iterator[Figure]:
    figure = functools.partial(contender.figure, place.case("renewals"), items=place.number)
    every, during = [took for _, took in worked.calls], worked.during(terms.login)
    yield figure("logins a renewal", worked.logins_a_renewal(), bound=Bound(1))
    # What the one before cannot see: a fleet that renews far too often, each time with one login.
    often = Bound(0.45, least=True) if terms is not _SMOKE else None
    yield figure("time between renewals ÷ lifetime of a token", worked.period() / terms.lifetime, bound=often)
    # No p99 of all calls: how many of them meet a login is a matter of the short life that tokens have here.
    yield figure("get_token, p50", _quantile(every, 0.5), unit="s")
    if during:
        yield figure("get_token during a login, p50", _quantile(during, 0.5), unit="s")
        yield figure("get_token during a login, p99", _quantile(during, 0.99), unit="s")
    if contender.is_ours:
        yield from _of_store_calls(figure, worked, terms)
    if contender.store.commands is not None:
        yield figure("Redis commands a process and renewal", commands / place.number / (len(worked.renewals) - 1))


def _of_store_calls(figure: Callable[..., Figure], worked: Worked, terms: _Terms) -> Iterator[Figure]:
    costs = worked.costs(terms.lifetime / 8)
    leaders = [calls for cost in costs for calls in cost.leaders]
    others = [calls for cost in costs for calls in cost.others]
    if leaders:
        yield figure("store calls of the leader, the most of all renewals", max(leaders), bound=_LEADER)
    if others:
        is_bound = len(worked.counts) == max(terms.sizes) and terms is not _SMOKE
        yield figure(
            "store calls of another process, a renewal", statistics.mean(others), bound=_OTHERS if is_bound else None
        )


async def _renewing(place: _Place, contenders: Sequence[_Contender], terms: _Terms) -> list[Figure]:
    """Let all processes ask for tokens on and on, while these run out."""
    figures: list[Figure] = []
    for one in contenders:
        figures += _of_renewals(place, one, terms, *await _worked(place, one, terms))
    return figures


# --- the calls between ------------------------------------------------------------------------------------------------


async def _steady(place: _Place, contender: _Contender, terms: _Terms) -> list[Figure]:
    """Let all processes call the API on a token that is good for long, and count what the store is asked meanwhile."""
    figure = functools.partial(contender.figure, place.case("token in hand"), items=place.number, bound=Bound(0))
    times = max(1, terms.calls // place.number)
    await place.begin(contender)
    place.ask()
    calls, commands = _store_calls(place), _commands(contender)
    place.fleet.tell(place.number, Call(times))
    calls, commands = _store_calls(place) - calls, _commands(contender) - commands
    place.end()
    requests = times * place.number
    figures = [figure("store calls an API request", calls / requests)] if contender.is_ours else []
    if contender.store.commands is not None:
        figures.append(figure("Redis commands an API request", commands / requests))
    return figures


def _store_calls(place: _Place) -> int:
    counts: list[Counts] = place.fleet.tell(place.number, Count())
    return sum(len(count.store_calls) for count in counts)


def _contenders(stores: Sequence[Shared], number: int) -> list[_Contender]:
    ours = [_Contender(OURS, store) for store in stores if number == 1 or not store.is_of_one_process]
    return ours + [_Contender(who, store) for store in stores if store.commands is not None for who in PEERS]


async def run(settings: Settings, server: Server) -> list[Comparison | Figure]:
    """Measure fleets of several sizes.

    Args:
        settings: Amount of work.
        server: Server for API requests; slow logins go to servers of their own.
    """
    terms = _SMOKE if settings.smoke else _Terms()
    results: list[Comparison | Figure] = []
    with (
        shared() as stores,
        fleet(max(terms.sizes)) as processes,
        serving(login=terms.login) as usual,
        serving(login=terms.slow_login) as slow,
        serving(login=terms.login, lifetime=terms.lifetime) as brief,
    ):
        for number in terms.sizes:
            contenders, place = _contenders(stores, number), _Place(processes, usual, number)
            results += await _cold_start(place, "cold start", contenders, settings.rounds, terms.login)
            results += await _renewing(_Place(processes, brief, number), contenders, terms)
            for one in contenders:
                results += await _steady(_Place(processes, server, number), one, terms)
        ours = [one for one in contenders if one.is_ours]
        place, rounds = _Place(processes, slow, max(terms.sizes)), min(settings.rounds, _SLOW_ROUNDS)
        results += await _cold_start(place, "cold start, slow login", ours, rounds, terms.slow_login)
    return results
