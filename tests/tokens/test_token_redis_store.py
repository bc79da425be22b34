"""Names and lives of Redis keys, the scripts, and the status of an account."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import attrs
import pytest
from enkash_async.tokens._redis import _name
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.crc import key_slot
from tokens.benches import OTHERS, OURS, WORSE, WRONG, assert_same
from tokens.doubles import Clock, Login, refused

from enkash_async.errors import ConfigurationError, CredentialsRejectedError, TokenError, TokenStoreError
from enkash_async.tokens import (
    Cooling,
    Failure,
    Found,
    Identity,
    Lead,
    RedisTokenProvider,
    RedisTokenStore,
    Refused,
    StoreStatus,
    Token,
    TokenSealer,
    Wait,
)

from servers import Server

DAY = 24 * 3600
KEY = TokenSealer.generate_key()


@pytest.fixture
async def redis(redis_server: Server) -> AsyncIterator[Redis]:
    async with Redis(unix_socket_path=str(redis_server.unix_socket)) as client:
        yield client


async def keys_of(redis: Redis) -> list[str]:
    return [key.decode() if isinstance(key, bytes) else key for key in await redis.keys("*")]


def store_of(redis: Redis, clock: Clock, **options: Any) -> RedisTokenStore:
    return RedisTokenStore(redis, clock=clock, sleep=clock.hurry, random=lambda: 1.0, **options)


async def log_in(
    store: RedisTokenStore, clock: Clock, who: Identity = OURS, owner: str = "a", above: int = -1
) -> Token:
    claim = await store.claim(who, owner, above=above)
    assert isinstance(claim, Lead), claim
    token = Token(f"at-{owner}", 3600.0, clock(), claim.fence)
    assert await store.publish(who, owner, token)
    return token


async def log_in_badly(store: RedisTokenStore, failure: Failure, who: Identity = OURS, owner: str = "x") -> None:
    assert isinstance(await store.claim(who, owner, above=-1), Lead)
    await store.fail(who, owner, failure, 100.0)


Life = Callable[[RedisTokenStore, Clock], Awaitable[object]]

# One step after another in the life of an account; each begins where the one before it ended.
LIFE: dict[str, Life] = {
    "a refusal of nothing": lambda store, clock: store.reject(OURS, 5),
    "a sign of life of nobody": lambda store, clock: store.beat(OURS, "stranger"),
    "a reset of nothing": lambda store, clock: store.reset(OURS),
    "a login": log_in,
    "a question": lambda store, clock: store.claim(OURS, "b", above=-1),
    "a renewal": lambda store, clock: store.claim(OURS, "c", above=2**51),
    "its sign of life": lambda store, clock: store.beat(OURS, "c"),
    "one who waits": lambda store, clock: store.claim(OURS, "d", above=2**51),
    "its failure": lambda store, clock: store.fail(OURS, "c", Failure.TRANSIENT, 100.0),
    "a report out of nowhere": lambda store, clock: store.fail(WORSE, "e", Failure.AMBIGUOUS),
    "a wrong password": lambda store, clock: store.fail(WRONG, "f", Failure.REJECTED),
    "a locked account": lambda store, clock: store.fail(WRONG, "g", Failure.LOCKED),
    "an offer": lambda store, clock: store.publish(WORSE, "h", Token("at-offer", 60.0, clock(), 2**52)),
    "a refusal": lambda store, clock: store.reject(OURS, 2**52),
    "a look": lambda store, clock: store.status(OURS),
    "a reset": lambda store, clock: store.reset(OURS),
    "a forced renewal": lambda store, clock: log_in(store, clock, owner="i"),
}


async def test_keys_have_their_names_and_one_slot(redis: Redis, clock: Clock) -> None:
    """The store writes five keys in one slot of a cluster and no others."""
    store, seen = store_of(redis, clock, prefix="my:own.prefix"), set[str]()
    for step in LIFE.values():
        await step(store, clock)
        seen |= set(await keys_of(redis))
    assert seen == {f"my:own.prefix:v1:{{account}}:{name}" for name in ("tok", "lease", "meta", "guard", "cool")}
    assert len({key_slot(key.encode()) for key in seen}) == 1


async def test_every_key_but_the_guard_dies_by_itself(redis: Redis, clock: Clock) -> None:
    """After every step each key except the guard has a time to live, and `meta` outlasts any token."""
    store, lives = store_of(redis, clock), dict[str, set[float]]()
    for name, step in LIFE.items():
        await step(store, clock)
        for key in await keys_of(redis):
            left = await redis.pttl(key) / 1000
            lives.setdefault(key.rpartition(":")[2], set()).add(left)
            assert (left > 0) != key.endswith(":guard"), f"{key} after {name}"
    assert set(lives) == {"tok", "lease", "meta", "guard", "cool"}
    assert max(lives["tok"]) <= 3600
    assert max(lives["lease"]) <= 6
    assert max(lives["cool"]) <= 100
    assert min(lives["meta"]) > 7.9 * DAY


async def test_scripts_are_sent_once(redis: Redis, redis_server: Server, clock: Clock) -> None:
    """The store sends a script's hash afterwards, and the script again to a server that forgot it."""
    for forgets in (False, True):
        store = store_of(redis, clock, prefix=f"forgets-{forgets}")
        for name, step in LIFE.items():
            if forgets:
                redis_server.ask("SCRIPT", "FLUSH")
            redis_server.ask("CONFIG", "RESETSTAT")
            await step(store, clock)
            stats = redis_server.commandstats()
            calls = 2 if step in {LIFE["a login"], LIFE["a forced renewal"]} else 1
            assert stats["evalsha"] == calls, name
            if forgets:
                assert stats["eval"] == calls, name


async def test_a_forgotten_script_changes_no_answer(redis: Redis, redis_server: Server, clock: Clock) -> None:
    """A restart of the server between two calls changes no answer."""
    answers = []
    for forgets in (False, True):
        store = store_of(redis, clock, prefix=f"forgets-{forgets}")
        told = []
        for name, step in LIFE.items():
            if forgets:
                redis_server.ask("SCRIPT", "FLUSH")
            answer = await step(store, clock)
            told.append((name, type(answer), answer if isinstance(answer, (bool, Refused)) else None))
        answers.append(told)
    assert answers[0] == answers[1]


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("decoding", [False, True])
async def test_a_client_may_read_replies_as_it_likes(
    redis_server: Server, clock: Clock, protocol: int, decoding: bool
) -> None:
    """The store works in RESP2 and RESP3 and with bytes and text."""
    path = str(redis_server.unix_socket)
    async with Redis(unix_socket_path=path, protocol=protocol, decode_responses=decoding) as client:
        store = store_of(client, clock, sealer=TokenSealer(KEY))
        token = await log_in(store, clock)
        found = await store.claim(OURS, "b", above=-1)
        assert isinstance(found, Found)
        assert_same(found.token, token, clock)
        assert (found.proven, found.settled) == (True, 0)
        assert isinstance(await store.claim(OURS, "c", above=token.generation), Lead)
        assert isinstance(await store.claim(OURS, "d", above=token.generation), Wait)
        assert await store.beat(OURS, "c") is True
        assert await store.fail(OURS, "c", Failure.TRANSIENT, 100.0) == 100
        assert isinstance(await store.claim(OURS, "d", above=token.generation), Cooling)
        await store.fail(WRONG, "e", Failure.LOCKED)
        assert await store.claim(WRONG, "f", above=token.generation) == Refused("locked")
        assert (await store.status(OURS)).generation == token.generation
        await store.reject(OURS, token.generation)
        await store.reset(OURS)
        assert isinstance(await store.claim(OURS, "g", above=-1), Lead)


@pytest.mark.parametrize(
    "name",
    ["a}b{c", "{}", "a:b", "account:tok", "", " ", "\n", "\0", "*", "x" * 5000, "kontö", "\ud800", "a,b", "a\r\nb"],
)
@pytest.mark.parametrize("sealer", [None, TokenSealer(KEY)])
async def test_a_source_may_name_its_account_as_it_likes(
    redis: Redis, clock: Clock, name: str, sealer: TokenSealer | None
) -> None:
    """Keys keep their form and their slot for any account and fingerprint."""
    store = store_of(redis, clock, sealer=sealer)
    for who in (Identity(name, "fingerprint"), Identity("account", name), Identity(name, name)):
        await redis.flushall()
        token = await log_in(store, clock, who)
        found = await store.claim(who, "b", above=-1)
        assert isinstance(found, Found)
        assert found.proven
        assert found.token.reveal() == token.reveal()
        assert isinstance(await store.claim(OTHERS, "c", above=-1), Lead)
        await store.claim(who, "d", above=token.generation)
        await store.fail(who, "d", Failure.REJECTED)
        assert await store.claim(who, "e", above=token.generation) == Refused("rejected")
        assert isinstance(await store.claim(Identity(who.account, "right"), "f", above=token.generation), Lead)
        assert (await store.status(who)).barred
        keys = await keys_of(redis)
        assert all(re.fullmatch(r"enkash:v1:\{[^{}:*\s]+\}:(tok|lease|meta|guard|cool)", key) for key in keys)
        assert len({key_slot(key.encode()) for key in keys}) == 2


@given(st.text(), st.text())
def test_no_two_accounts_share_their_keys(one: str, other: str) -> None:
    """No character of an account's name has a meaning in a key."""
    assert (_name(one) == _name(other)) == (one == other)
    assert re.fullmatch(r"[\w.-]{1,64}", _name(one))


# --- how an account stands --------------------------------------------------------------------------------------------

NOTHING = StoreStatus(
    generation=None,
    remaining=None,
    sealed_with=None,
    readable=None,
    refused_up_to=None,
    attempts=0,
    budget=2,
    locked=False,
    barred=False,
    barred_in_all=0,
    proven=False,
    cooling=0,
    logging_in=False,
    failures=0,
)


async def test_status_of_an_account_that_nobody_knows(redis: Redis, clock: Clock) -> None:
    """The status is empty, and asking for it writes no key."""
    assert await store_of(redis, clock).status(OURS) == NOTHING
    assert await redis.keys("*") == []


async def test_status_of_a_token(redis: Redis, clock: Clock) -> None:
    """The status has the token's number, remaining life and key id, and not the token."""
    sealer = TokenSealer(KEY)
    for seals, sealed_with in ((None, ""), (sealer, sealer.key_ids[0])):
        store = store_of(redis, clock, sealer=seals, prefix=f"p-{sealed_with}")
        token = await log_in(store, clock)
        status = await store.status(OURS)
        assert status.remaining == pytest.approx(3600, abs=5)
        expected = attrs.evolve(
            NOTHING,
            generation=token.generation,
            remaining=status.remaining,
            sealed_with=sealed_with,
            readable=True,
            proven=True,
        )
        assert status == expected
        assert token.reveal() not in repr(status)
        assert not (await store.status(WRONG)).proven


@pytest.mark.parametrize("value", ["s1:00000000:AAAA", "x1:at-planted", "at-planted", ":", "", "p2:at-planted"])
async def test_status_of_a_token_that_cannot_be_read(redis: Redis, clock: Clock, value: str) -> None:
    """The status says so for another key and for a value that no store wrote."""
    for sealer in (None, TokenSealer(KEY)):
        store = store_of(redis, clock, sealer=sealer)
        await redis.flushall()
        await log_in(store, clock)
        assert (await store.status(OURS)).readable is True
        await redis.hset("enkash:v1:{account}:tok", "value", value)
        assert not (await store.status(OURS)).readable
    await redis.hset("enkash:v1:{account}:tok", "value", "p1:at-plain")
    assert (await store.status(OURS)).readable is False


async def test_status_of_a_refused_token(redis: Redis, clock: Clock) -> None:
    """The status has no token and shows the highest refused generation."""
    store = store_of(redis, clock)
    token = await log_in(store, clock)
    await store.reject(OURS, token.generation)
    assert await store.status(OURS) == attrs.evolve(NOTHING, refused_up_to=token.generation, proven=True)


async def test_status_of_a_login(redis: Redis, clock: Clock) -> None:
    """The status shows a login in flight, and one that failed for a transient reason."""
    store = store_of(redis, clock)
    await store.claim(OURS, "a", above=-1)
    assert await store.status(OURS) == attrs.evolve(NOTHING, logging_in=True)
    await store.fail(OURS, "a", Failure.AMBIGUOUS, 100.0)
    status = await store.status(OURS)
    assert status.cooling == pytest.approx(100, abs=5)
    assert status == attrs.evolve(NOTHING, attempts=1, failures=1, cooling=status.cooling)


async def test_status_of_bars(redis: Redis, clock: Clock) -> None:
    """The status shows own and other bars, budget and lock, and none of them after a reset."""
    store = store_of(redis, clock)
    await log_in_badly(store, Failure.REJECTED, WRONG, "a")
    await log_in_badly(store, Failure.LOCKED, WORSE, "b")
    barred = attrs.evolve(NOTHING, attempts=2, locked=True, barred_in_all=2)
    assert await store.status(OURS) == barred
    assert await store.status(WRONG) == attrs.evolve(barred, barred=True)
    await store.reset(OURS)
    assert await store.status(WRONG) == NOTHING


async def test_a_provider_tells_how_its_account_stands(redis: Redis, clock: Clock) -> None:
    """The provider's status equals that of its store, under the same prefix."""
    login = Login(clock, refused())
    provider = RedisTokenProvider(login, redis, clock=clock, sleep=clock.hurry, prefix="mine")
    with pytest.raises(CredentialsRejectedError):
        await provider.get_token()
    assert await provider.status() == attrs.evolve(NOTHING, attempts=1, barred=True, barred_in_all=1)
    assert await provider.status() == await store_of(redis, clock, prefix="mine").status(login.identity)


async def test_status_of_a_server_that_is_gone(clock: Clock) -> None:
    """`status` raises the same error as every other call of the store."""
    store = RedisTokenStore("redis://127.0.0.1:1", sleep=clock.hurry)
    with pytest.raises(TokenStoreError, match=r"^Redis at 127\.0\.0\.1:1 cannot be reached \(ConnectionError\)$"):
        await store.status(OURS)
    await store.aclose()


async def test_an_answer_that_no_script_gives_is_an_error(redis: Redis, clock: Clock) -> None:
    """The store raises where the application's client alters replies."""
    theirs: Any = redis
    for command in ("EVALSHA", "EVAL"):
        theirs.set_response_callback(command, lambda reply, **options: [b"PERHAPS", 1])
    with pytest.raises(TokenStoreError, match="an answer that a token store does not give"):
        await store_of(redis, clock).claim(OURS, "a", above=-1)


@pytest.mark.parametrize("number", [2**53 - 1, 2**53, 2**53 + 1, 10**18])
async def test_a_number_that_redis_cannot_count_to_brings_no_endless_logins(
    redis: Redis, clock: Clock, number: int
) -> None:
    """Scripts count in doubles, so a larger refused generation is ignored."""
    login, other = Login(clock), Login(clock)
    with suppress(ConfigurationError, TokenError):
        async with asyncio.timeout(3):
            provider = RedisTokenProvider(login, redis, clock=clock, sleep=clock.hurry)
            await provider.get_token(rejected=Token("at-alien", 60.0, clock(), number))
    assert login.attempts <= 3
    clock.now += 60
    async with asyncio.timeout(3):
        await RedisTokenProvider(other, redis, clock=clock, sleep=clock.hurry).get_token()
    assert other.attempts <= 3


# --- what it is asked -------------------------------------------------------------------------------------------------


def _commands(server: Server) -> int:
    """Return how many commands the server has had, this one not counted."""
    return int(server.info("stats")["total_commands_processed"])


async def test_a_fresh_token_costs_no_command(redis: Redis, redis_server: Server, clock: Clock) -> None:
    """Eleven thousand callers send Redis nothing."""
    provider = RedisTokenProvider(Login(clock), redis, clock=clock, sleep=clock.hurry)
    token = await provider.get_token()
    own = -_commands(redis_server) + _commands(redis_server)
    before = _commands(redis_server)
    for _ in range(10_000):
        assert await provider.get_token() is token
    await asyncio.gather(*(provider.get_token() for _ in range(1000)))
    assert _commands(redis_server) - before == own


async def test_a_first_token_costs_three_scripts(redis: Redis, redis_server: Server, clock: Clock) -> None:
    """The leader sends a claim, a heartbeat and a publication, and every other worker a claim."""
    await RedisTokenProvider(Login(clock), redis, clock=clock, prefix="warm").get_token()
    for scripts in (3, 1, 1):
        redis_server.ask("CONFIG", "RESETSTAT")
        await RedisTokenProvider(Login(clock), redis, clock=clock).get_token()
        assert redis_server.commandstats()["evalsha"] == scripts


async def test_clocks_of_workers_need_not_agree(redis: Redis) -> None:
    """Workers an hour ahead or years behind see the same remaining life."""
    clocks = [Clock(1000.0), Clock(4600.0), Clock(1e9), Clock(-1e6)]
    logins = [Login(clock) for clock in clocks]
    for clock, login in zip(clocks, logins, strict=True):
        token = await RedisTokenProvider(login, redis, clock=clock).get_token()
        assert token.remaining(clock()) == pytest.approx(3600, abs=5)
        assert token.expires_in == 3600
    assert [login.attempts for login in logins] == [1, 0, 0, 0]
