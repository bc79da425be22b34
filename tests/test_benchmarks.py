"""The benchmarks' bookkeeping: the order of runs, the ratios, the table and the server."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks._counted import CountedStore, Counts
from benchmarks._renewals import Costs, Worked, renewals
from benchmarks._report import WIDTH, bounds_held, document, number, quantity, table, words
from benchmarks._results import Bound, Comparison, Figure, Settings, compared
from benchmarks._rounds import Spread, interleave, ratios
from benchmarks._samples import bill
from benchmarks._server import CREDENTIALS, serving
from enkash_async import BillFilter, EnkashClient, MemoryStore, PasswordGrant, StoreTokenProvider

COSTS = st.lists(st.floats(1e-9, 1e3), min_size=1, max_size=20)


def contender(log: list[str], name: str, cost: float) -> Callable[[], Awaitable[float]]:
    async def run() -> float:
        log.append(name)
        return cost

    return run


async def test_everybody_runs_in_every_round_after_changing_others() -> None:
    """After a warm-up, the order of each round is drawn, so no peer always follows the same one."""
    log: list[str] = []
    costs = await interleave({name: contender(log, name, len(log)) for name in "abcd"}, rounds=9)
    rounds = ["".join(log[start : start + 4]) for start in range(0, len(log), 4)]
    assert rounds[0] == "abcd"
    assert all(sorted(order) == list("abcd") for order in rounds)
    assert all(len({order[order.index(name) - 1] for order in rounds if order[0] != name}) > 1 for name in "abcd")
    assert [len(values) for values in costs.values()] == [9, 9, 9, 9]


@given(COSTS)
def test_a_spread_has_its_median_between_its_quartiles(costs: list[float]) -> None:
    """The order holds for any number of rounds from one on."""
    spread = Spread.of(costs)
    assert min(costs) <= spread.low <= spread.median <= spread.high <= max(costs)
    assert spread.rounds == len(costs)


def test_a_ratio_is_ours_by_the_peers_round_by_round() -> None:
    """The median of the ratios is robust, because a slow moment hits both sides of a round."""
    assert ratios([1.0, 10.0], [2.0, 20.0]) == [0.5, 0.5]
    with pytest.raises(ValueError, match="zip"):
        ratios([1.0], [1.0, 2.0])


def test_ours_is_compared_with_each_peer_and_not_with_itself() -> None:
    """A bound applies to the peer that it names."""
    costs = {"enkash_async": [1.0, 1.0], "slow": [4.0, 2.0], "quick": [0.5, 0.5]}
    slow, quick = compared("request", "one", costs, bounds={"quick": Bound(1.15)})
    assert (slow.peer, slow.ratio.median, slow.bound) == ("slow", 0.375, None)
    assert (quick.peer, quick.ratio.median, quick.bound) == ("quick", 2.0, Bound(1.15))
    assert bounds_held([slow, quick]) == (0, 1)


@pytest.mark.parametrize(("bound", "good", "bad"), [(Bound(1.15), 1.15, 1.16), (Bound(15, least=True), 15, 14.9)])
def test_a_bound_holds_up_to_its_limit(bound: Bound, good: float, bad: float) -> None:
    """A bound is a maximum or a minimum, and its limit is allowed."""
    assert bound.holds(good)
    assert not bound.holds(bad)


@pytest.mark.parametrize(
    ("ratio", "said"), [(1.08, "1.08 x the cost"), (0.2, "5.00 x faster"), (1.0, "1.00 x the cost")]
)
def test_a_ratio_is_said_in_words(ratio: float, said: str) -> None:
    """The table calls a ratio below 1 «faster» and every other one a cost."""
    (comparison,) = compared("s", "c", {"enkash_async": [ratio], "peer": [1.0]})
    assert words(comparison) == said


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0.0042, "s", "4.20 ms"),
        (1.5e-6, "s", "1.50 µs"),
        (3 * 2**20, "bytes", "3.00 MiB"),
        (32, "", "32"),
        (0, "s", "0 s"),
    ],
)
def test_quantities_read_well(value: float, unit: str, shown: str) -> None:
    """The text has three digits and a fitting unit."""
    assert quantity(value, unit) == shown


def test_whole_numbers_are_shown_whole() -> None:
    """The table shows a count, such as one of logins, without decimals."""
    assert number(100_000) == "100,000"


@given(st.lists(st.tuples(st.text("abc ", max_size=60), st.floats(1e-6, 1e6)), min_size=1, max_size=6))
def test_the_table_is_never_wider_than_it_promises(rows: list[tuple[str, float]]) -> None:
    """The table shortens names of any length to fit the promised width."""
    results: list[Comparison | Figure] = [Figure("suite", name, name, name, value, "s") for name, value in rows]
    results += compared("suite", "case", {"enkash_async": [1.0], **{name or "x": [value] for name, value in rows}})
    assert max(map(len, table(results).splitlines())) <= WIDTH


def test_the_document_says_where_when_and_what() -> None:
    """The document can be written as JSON and says which bounds hold."""
    results: list[Comparison | Figure] = [Figure("fleet", "32 processes", "ours", "logins", 1, bound=Bound(1))]
    written = json.loads(json.dumps(document(results, Settings(), "python -m benchmarks")))
    assert written["bounds"] == {"hold": 1, "of": 1}
    assert written["versions"]["aiohttp"]
    assert written["machine"]["cpus"]
    assert [result["holds"] for result in written["results"]] == [True]


def test_a_sample_has_forty_members_and_objects_within() -> None:
    """The decoding suite measures bills of the documented size."""
    sample = bill(7)
    assert len(sample) == 40
    assert isinstance(sample["companyBiller"]["biller"], dict)
    assert bill(8) != sample


async def test_the_server_is_one_that_the_client_understands() -> None:
    """The client gets a token, bills and pages from the server, which counts them."""
    with serving() as server:
        async with EnkashClient.from_credentials(server.base_url, CREDENTIALS) as client:
            one = await client.bills.get("UTIL-00000001")
            page = await anext(client.bills.search(BillFilter(), page_size=10).pages())
            counts = await client.request("GET", "counts")
    assert one.company_biller is not None
    assert one.extra == {"makerUser": "maker@example.com", "retries": one.extra["retries"]}
    assert len(page) == 10
    assert (counts["bill"], counts["token"], counts["search"]) == (1, 1, 1)


async def test_a_counted_store_counts_what_a_login_costs() -> None:
    """A login is recorded before it is sent and settled after it, each with a read and a swap."""
    store = CountedStore(MemoryStore())
    with serving() as server:
        provider = StoreTokenProvider(PasswordGrant(server.base_url, CREDENTIALS), store)
        await provider.get_token()
        cold = len(store.calls)
        await provider.get_token()
        await provider.aclose()
    assert (cold, len(store.calls)) == (4, 4)


def test_logins_close_together_are_one_renewal() -> None:
    """A login belongs to the renewal of the one before, if it began soon after that."""
    assert renewals([10.0, 10.1, 10.2, 12.0, 14.0, 14.3], apart=0.5) == [[10.0, 10.1, 10.2], [12.0], [14.0, 14.3]]


def test_the_store_calls_of_a_renewal_are_those_from_its_login_to_the_next() -> None:
    """The leader's first call lies before its login; the cold start and the last renewal are left out."""
    leader = Counts(store_calls=[0.0, 0.1, 9.9, 9.95, 10.2, 10.3, 19.9], logins=[0.05, 10.0])
    other = Counts(store_calls=[0.0, 0.3, 10.1, 19.9, 19.95, 20.3], logins=[20.0])
    worked = Worked(calls=[], renewals=[[0.05], [10.0], [20.0]], counts=[leader, other])
    assert worked.costs(lead=0.5) == [Costs(leaders=[4], others=[1])]
    assert worked.period() == pytest.approx(9.975)
