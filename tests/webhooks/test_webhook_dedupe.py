"""The record of handled events, in memory and in Redis: one contract, and what each adds to it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import attrs
import pytest
from redis.asyncio import Redis
from redis.crc import key_slot
from tokens.doubles import Clock

from enkash_async._support import exact_json
from enkash_async.errors import ConfigurationError, WebhookStoreError
from enkash_async.webhooks import Claimed, Dedupe, MemoryDedupe, RedisDedupe, WebhookVerifier

from servers import FLAVOURS, Server, running

LEASE, KEEP = 30.0, 3600.0
EVENT, OTHER = "a1" * 32, "b2" * 32
MINE, HELD, DONE = Claimed.MINE, Claimed.HELD, Claimed.DONE


@attrs.frozen
class Bench:
    """Two workers that share a record, and the means to age it."""

    one: Dedupe
    two: Dedupe
    passes: Callable[[float], None]


def ageing(server: Server) -> Callable[[float], None]:
    """Return a function that lets time pass for every key of a server."""

    def passes(seconds: float) -> None:
        with server.admin() as admin:
            for key in admin.keys("*"):
                left = admin.pttl(key) - int(seconds * 1000)
                if left > 0:
                    admin.pexpire(key, left)
                else:
                    admin.delete(key)

    return passes


@pytest.fixture(scope="module", params=["memory", *FLAVOURS])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server | None]:
    """Where the record is kept: in this process (None), or on a server of each kind."""
    if request.param == "memory":
        yield None
        return
    with running(request.param, tmp_path_factory.mktemp(request.param)) as server:
        yield server


@pytest.fixture
async def bench(place: Server | None) -> AsyncIterator[Bench]:
    if place is None:
        clock = Clock()
        memory = MemoryDedupe(lease=LEASE, keep=KEEP, clock=clock)
        yield Bench(memory, memory, lambda seconds: setattr(clock, "now", clock.now + seconds))
        return
    with place.admin() as admin:
        admin.flushall()
    one, two = (RedisDedupe(place.unix_url, lease=LEASE, keep=KEEP, timeout=5) for _ in range(2))
    yield Bench(one, two, ageing(place))
    await one.aclose()
    await two.aclose()


# --- the contract -----------------------------------------------------------------------------------------------------


async def test_an_event_goes_from_free_to_held_to_done(bench: Bench) -> None:
    """The record moves one event through its states and leaves another event free."""
    assert await bench.one.claim(EVENT, "a") is MINE
    assert await bench.two.claim(EVENT, "b") is HELD
    assert await bench.two.claim(OTHER, "b") is MINE
    assert await bench.one.commit(EVENT, "a") is True
    assert await bench.two.claim(EVENT, "b") is DONE
    assert await bench.one.claim(EVENT, "a") is DONE
    assert await bench.one.claim(OTHER, "a") is HELD


async def test_of_many_who_claim_at_once_one_gets_it(bench: Bench) -> None:
    """One of forty owners gets the claim, although they ask through two records."""
    claims = await asyncio.gather(*((bench.one, bench.two)[n % 2].claim(EVENT, f"owner-{n}") for n in range(40)))
    assert (claims.count(MINE), claims.count(HELD)) == (1, 39)


async def test_a_claim_that_is_sent_again_is_the_same_claim(bench: Bench) -> None:
    """The owner keeps its claim, and the lease begins anew with the repeat."""
    assert await bench.one.claim(EVENT, "a") is MINE
    bench.passes(LEASE - 1)
    assert await bench.two.claim(EVENT, "a") is MINE
    bench.passes(LEASE - 1)
    assert await bench.two.claim(EVENT, "b") is HELD


async def test_a_lease_that_ends_is_taken_over_once(bench: Bench) -> None:
    """The first owner can then neither extend the lease nor release it."""
    await bench.one.claim(EVENT, "dead")
    bench.passes(LEASE - 1)
    assert await bench.two.claim(EVENT, "b") is HELD
    bench.passes(2)
    assert await bench.two.claim(EVENT, "b") is MINE
    assert await bench.one.claim(EVENT, "c") is HELD
    assert await bench.one.extend(EVENT, "dead") is False
    await bench.one.release(EVENT, "dead")
    assert await bench.one.claim(EVENT, "c") is HELD


async def test_a_lease_that_is_extended_goes_on(bench: Bench) -> None:
    """The owner can extend it any number of times, and no other owner can."""
    await bench.one.claim(EVENT, "a")
    for _ in range(3):
        bench.passes(LEASE - 1)
        assert await bench.two.extend(EVENT, "b") is False
        assert await bench.one.extend(EVENT, "a") is True
    assert await bench.two.claim(EVENT, "b") is HELD
    bench.passes(LEASE + 1)
    assert await bench.one.extend(EVENT, "a") is False
    assert await bench.two.claim(EVENT, "b") is MINE


async def test_what_nobody_claimed_cannot_be_extended(bench: Bench) -> None:
    """The record extends neither an unclaimed event nor a handled one."""
    assert await bench.one.extend(EVENT, "a") is False
    await bench.one.claim(EVENT, "a")
    await bench.one.commit(EVENT, "a")
    assert await bench.one.extend(EVENT, "a") is False
    assert await bench.two.extend(EVENT, "b") is False
    bench.passes(LEASE + 1)
    assert await bench.two.claim(EVENT, "b") is DONE


@pytest.mark.parametrize("taken_over", [False, True])
async def test_a_commit_after_a_lost_lease_counts_and_says_so(bench: Bench, taken_over: bool) -> None:
    """The event counts as handled, and both owners learn of the overlap."""
    await bench.one.claim(EVENT, "slow")
    bench.passes(LEASE + 1)
    if taken_over:
        assert await bench.two.claim(EVENT, "b") is MINE
    assert await bench.one.commit(EVENT, "slow") is False
    assert await bench.two.claim(EVENT, "c") is DONE
    if taken_over:
        assert await bench.two.extend(EVENT, "b") is False
        assert await bench.two.commit(EVENT, "b") is False, "it was handled by both"
        assert await bench.two.claim(EVENT, "c") is DONE


async def test_a_commit_that_is_sent_again_lost_nothing(bench: Bench) -> None:
    """A repeat after a lost answer does not report a lost lease."""
    await bench.one.claim(EVENT, "a")
    assert [await bench.one.commit(EVENT, "a") for _ in range(3)] == [True, True, True]


async def test_what_is_given_back_is_free_at_once(bench: Bench) -> None:
    """The owner alone can release it, and a repeated release does not affect the next owner."""
    await bench.one.claim(EVENT, "a")
    await bench.two.release(EVENT, "b")
    assert await bench.two.claim(EVENT, "b") is HELD
    await bench.one.release(EVENT, "a")
    await bench.one.release(EVENT, "a")
    assert await bench.two.claim(EVENT, "b") is MINE
    await bench.one.release(EVENT, "a")
    assert await bench.one.claim(EVENT, "a") is HELD


async def test_what_was_handled_cannot_be_given_back(bench: Bench) -> None:
    """A late release by its own handler does not free a handled event."""
    await bench.one.claim(EVENT, "a")
    await bench.one.commit(EVENT, "a")
    await bench.one.release(EVENT, "a")
    assert await bench.two.claim(EVENT, "b") is DONE


async def test_what_was_handled_is_known_as_long_as_it_is_kept(bench: Bench) -> None:
    """The time counts from the commit, and the event is free afterwards."""
    await bench.one.claim(EVENT, "a")
    bench.passes(LEASE - 1)
    await bench.one.commit(EVENT, "a")
    bench.passes(KEEP - 1)
    assert await bench.two.claim(EVENT, "b") is DONE
    bench.passes(2)
    assert await bench.two.claim(EVENT, "b") is MINE


def test_each_record_is_one_in_the_eyes_of_a_type_checker_and_of_a_receiver() -> None:
    """Each record has the lease that the receiver's heartbeat follows."""
    records: list[Dedupe] = [MemoryDedupe(lease=7), RedisDedupe("redis://127.0.0.1:1", lease=7)]
    assert [(isinstance(each, Dedupe), each.lease) for each in records] == [(True, 7.0)] * 2


# --- in memory --------------------------------------------------------------------------------------------------------


async def test_memory_forgets_the_oldest_beyond_its_bound() -> None:
    """The record drops the oldest event and never holds more than its bound."""
    dedupe = MemoryDedupe(max_events=3, clock=Clock())
    for number in range(10):
        assert await dedupe.claim(f"event-{number}", "a") is MINE
        await dedupe.commit(f"event-{number}", "a")
        assert len(dedupe._entries) <= 3
    assert [await dedupe.claim(f"event-{number}", "b") for number in (9, 8, 7)] == [DONE] * 3
    assert await dedupe.claim("event-6", "b") is MINE


async def test_memory_is_given_back_when_time_is_up() -> None:
    """The record drops expired events that no post asks for."""
    clock = Clock()
    dedupe = MemoryDedupe(keep=60, lease=30, clock=clock)
    for number in range(100):
        await dedupe.claim(f"event-{number}", "a")
        await dedupe.commit(f"event-{number}", "a")
    clock.now += 61
    await dedupe.claim(EVENT, "a")
    assert list(dedupe._entries) == [EVENT]


async def test_memory_that_keeps_next_to_nothing_works() -> None:
    """The record works with a time that the clock cannot tell from zero."""
    dedupe = MemoryDedupe(keep=1e-12, lease=1e-12, clock=Clock(1e9))
    assert [await dedupe.claim(EVENT, owner) for owner in "abc"] == [MINE] * 3
    assert await dedupe.commit(EVENT, "c") is False


async def test_an_extended_claim_is_not_the_oldest() -> None:
    """The record drops a handled event before a claim that was extended."""
    dedupe = MemoryDedupe(max_events=2, clock=Clock())
    await dedupe.claim(EVENT, "a")
    await dedupe.claim("done", "b")
    await dedupe.commit("done", "b")
    await dedupe.extend(EVENT, "a")
    await dedupe.claim("new", "c")
    assert await dedupe.claim(EVENT, "d") is HELD


# --- in Redis ---------------------------------------------------------------------------------------------------------


@pytest.fixture
async def redis(redis_server: Server) -> AsyncIterator[Redis]:
    async with Redis(unix_socket_path=str(redis_server.unix_socket), decode_responses=True) as client:
        yield client


async def test_every_key_dies_by_itself(redis: Redis) -> None:
    """A claim expires with its lease and a handled event after its time."""
    dedupe = RedisDedupe(redis, lease=LEASE, keep=KEEP)
    steps: list[tuple[Callable[[], Awaitable[object]], float]] = [
        (lambda: dedupe.claim(EVENT, "a"), LEASE),
        (lambda: dedupe.extend(EVENT, "a"), LEASE),
        (lambda: dedupe.claim(EVENT, "a"), LEASE),
        (lambda: dedupe.commit(EVENT, "a"), KEEP),
        (lambda: dedupe.commit(EVENT, "late"), KEEP),
    ]
    for step, life in steps:
        for key in await redis.keys("*"):
            await redis.pexpire(key, 5000)  # so that it shows when a step sets none
        await step()
        (key,) = await redis.keys("*")
        assert life - 5 < await redis.pttl(key) / 1000 <= life


async def test_a_short_lease_ends_by_the_clock_of_the_server(redis: Redis) -> None:
    """Redis frees the event of a dead owner, and no other process has to help."""
    dedupe = RedisDedupe(redis, lease=0.05)
    await dedupe.claim(EVENT, "dead")
    async with asyncio.timeout(10):
        while await dedupe.claim(EVENT, "b") is HELD:
            await asyncio.sleep(0.01)
    assert await dedupe.extend(EVENT, "dead") is False


async def test_keys_have_one_hash_tag_and_nothing_personal(redis: Redis) -> None:
    """The key has a hash, and the value has a state and a nonce."""
    body = exact_json.dumps(
        {"utilityEnkashId": "UTIL-PRIVATE-1", "consumerNumber": "CN123456789", "consumerName": "Asha"}
    )
    key = WebhookVerifier({"X-Key": "made-up"}).verify({"X-Key": "made-up"}, body.encode()).key
    dedupe = RedisDedupe(redis, prefix="my:own.prefix")
    for work in (dedupe.claim, dedupe.extend, dedupe.commit):
        await work(key, "nonce")
        name = str((await redis.keys("*"))[0])
        assert await redis.dbsize() == 1
        assert re.fullmatch(r"my:own\.prefix:v1:\{[0-9a-f]{64}\}", name)
        assert key_slot(name.encode()) == key_slot(key.encode())
        assert await redis.get(name) in {"by:nonce", "done:nonce"}
    await dedupe.claim(OTHER, "nonce")
    await dedupe.release(OTHER, "nonce")
    assert await redis.keys("*") == [name]


async def test_services_with_prefixes_of_their_own_do_not_meet(redis: Redis) -> None:
    """Each service gets the claim on one event, because each has its own keys."""
    for prefix in ("orders", "ledger"):
        assert await RedisDedupe(redis, prefix=prefix).claim(EVENT, "a") is MINE


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("decoding", [False, True])
async def test_a_client_may_read_replies_as_it_likes(redis_server: Server, protocol: int, decoding: bool) -> None:
    """The record works in RESP2 and RESP3 and with bytes and text, and does not close the client."""
    path = str(redis_server.unix_socket)
    async with Redis(unix_socket_path=path, protocol=protocol, decode_responses=decoding) as client:
        dedupe = RedisDedupe(client)
        assert [await dedupe.claim(EVENT, owner) for owner in "ab"] == [MINE, HELD]
        assert [await dedupe.extend(EVENT, owner) for owner in "ab"] == [True, False]
        await dedupe.release(EVENT, "a")
        assert await dedupe.claim(EVENT, "b") is MINE
        assert [await dedupe.commit(EVENT, owner) for owner in "ba"] == [True, False]
        assert await dedupe.claim(EVENT, "a") is DONE
        await dedupe.aclose()
        assert await client.ping()


async def test_a_server_that_forgot_the_scripts_is_sent_them_again(redis_server: Server) -> None:
    """A restart of the server between two steps changes no answer."""
    dedupe = RedisDedupe(redis_server.url)
    told = []
    for work in (dedupe.claim, dedupe.extend, dedupe.commit, dedupe.claim):
        told.append(await work(EVENT, "a"))
        redis_server.ask("SCRIPT", "FLUSH")
    assert told == [MINE, True, True, DONE]
    await dedupe.aclose()


async def test_a_server_that_is_away_is_told_as_one_error() -> None:
    """Every call raises the same error, which names the address."""
    clock = Clock()
    dedupe = RedisDedupe("redis://127.0.0.1:1", clock=clock, sleep=clock.hurry)
    for work in (dedupe.claim, dedupe.extend, dedupe.commit, dedupe.release):
        with pytest.raises(WebhookStoreError, match=r"^Redis at 127\.0\.0\.1:1 cannot be reached"):
            await work(EVENT, "a")
    await dedupe.aclose()


async def test_a_closed_record_says_so() -> None:
    """A claim after `aclose` raises and opens no new connection."""
    dedupe = RedisDedupe("redis://127.0.0.1:1")
    await dedupe.aclose()
    with pytest.raises(WebhookStoreError, match="closed"):
        await dedupe.claim(EVENT, "a")


# --- arguments --------------------------------------------------------------------------------------------------------

BAD_SECONDS = [0, -1, True, "30", None, float("nan"), float("inf"), 1e9]


@pytest.mark.parametrize("name", ["lease", "keep"])
@pytest.mark.parametrize("value", BAD_SECONDS)
def test_seconds_have_to_be_some(name: str, value: Any) -> None:
    """Both records name the argument that is not a positive number of seconds."""
    arguments: dict[str, Any] = {name: value}
    with pytest.raises(ConfigurationError, match=f"^{name} must be a number of seconds above 0"):
        MemoryDedupe(**arguments)
    with pytest.raises(ConfigurationError, match=f"^{name} must be a number of seconds above 0"):
        RedisDedupe("redis://127.0.0.1:1", **arguments)


@pytest.mark.parametrize("value", [0, -1, True, 1.5, "9", None])
def test_a_bound_has_to_be_a_whole_number(value: Any) -> None:
    """The record refuses a bound that is no int of at least one event."""
    with pytest.raises(ConfigurationError, match=r"^max_events must be an int, 1 or more, not "):
        MemoryDedupe(max_events=value)


@pytest.mark.parametrize("value", ["", "a{b}", "a}", "{", None, b"enkash", 7])
def test_a_prefix_has_to_be_text_without_braces(value: Any) -> None:
    """The record refuses braces, which would move the hash tag."""
    with pytest.raises(ConfigurationError, match="prefix must be a non-empty str without braces"):
        RedisDedupe("redis://127.0.0.1:1", prefix=value)


@pytest.mark.parametrize("value", [None, 7, object()])
def test_a_redis_has_to_be_a_client_or_a_url(value: Any) -> None:
    """The error names the type that was given."""
    with pytest.raises(ConfigurationError, match=r"redis must be a client of redis\.asyncio, or a URL, not "):
        RedisDedupe(value)


def test_an_unusable_url_does_not_show_its_password() -> None:
    """The error shows neither the URL nor its password."""
    with pytest.raises(ConfigurationError) as caught:
        RedisDedupe("http://:red1s-passw0rd@127.0.0.1")
    assert "red1s-passw0rd" not in str(caught.value)
