"""No password, client secret, user name or sealed token shows in what Redis stores or in its errors."""

from __future__ import annotations

import base64
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import attrs
import pytest
from redis.asyncio import Redis
from tokens.benches import OURS
from tokens.doubles import Clock

from enkash_async import Credentials, PasswordGrant
from enkash_async.errors import EnkashError, TokenError, TokenStoreError
from enkash_async.sandbox import FaultKind, Sandbox
from enkash_async.tokens import Failure, Lead, RedisTokenProvider, RedisTokenStore, Token, TokenSealer

from servers import Server, running
from support import shown

KEY = TokenSealer.generate_key()

# These stand here and not in a test, since a rendered traceback shows the locals of the test as well.
RIGHT = Credentials("demo-client", "cl1ent-s3cret", "ap-team@example.com", "r1ght-passw0rd", "CEKDEMO123")
WRONG = attrs.evolve(RIGHT, password="wr0ng-passw0rd")
TOKEN = "at-s3cr3t-t0ken"
URL_PASSWORD = "red1s-passw0rd"
PRIVATE = (
    *(RIGHT.client_secret, RIGHT.password, WRONG.password, RIGHT.username, "ap-team", "example.com"),
    *(RIGHT.client_id, "CEKDEMO123", base64.b64encode(b"demo-client:cl1ent-s3cret").decode()),
)


class Observer:
    """Records everything that a server is sent and everything that it stores."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.seen: list[str] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        with self._server.admin() as client, cast("Any", client).monitor() as monitor:
            yield
            self._server.ask("ECHO", "the end of it")
            commands = iter(monitor.listen())
            while "the end of it" not in (command := next(commands)["command"]):
                self.seen.append(command)

    def look(self) -> None:
        """Record what all keys hold now."""
        with self._server.admin() as client:
            for key in client.keys("*"):
                held = client.hgetall(key) if client.type(key) == "hash" else client.get(key)
                self.seen.append(f"{key!r} {held!r}")

    @property
    def text(self) -> str:
        return "\n".join(self.seen)


async def live(sandbox: Sandbox, server: Server, observer: Observer, sealer: TokenSealer | None) -> list[str]:
    """Run through the whole life of an account, and return the tokens that EnKash gave."""
    tokens: list[str] = []

    def provider_of(credentials: Credentials, clock: Clock) -> RedisTokenProvider:
        grant = PasswordGrant(sandbox.base_url, credentials, clock=clock)
        return RedisTokenProvider(grant, server.unix_url, sealer=sealer, clock=clock, sleep=clock.hurry)

    async def ask(provider: RedisTokenProvider, rejected: Token | None = None) -> Token:
        token = await provider.get_token(rejected=rejected)
        tokens.append(token.reveal())
        observer.look()
        return token

    clock = Clock()
    wrong, right, other = (provider_of(credentials, clock) for credentials in (WRONG, RIGHT, RIGHT))
    for _ in range(2):
        with pytest.raises(TokenError):
            await wrong.get_token()
        observer.look()
    assert (await wrong.status()).barred
    first = await ask(right)
    assert await ask(other) == first or tokens[-1] == tokens[0]
    sandbox.revoke_tokens()
    await ask(right, first)
    clock.now += 40
    await other.reset_guard()
    await ask(other, first)
    await other.status()
    for provider in (wrong, right, other):
        await provider.aclose()
    return tokens


@pytest.fixture
async def guarded() -> AsyncIterator[Sandbox]:
    async with Sandbox(credentials=RIGHT) as sandbox:
        yield sandbox


async def test_a_sealed_life_shows_nothing(guarded: Sandbox, redis_server: Server) -> None:
    """No command, no script's command and no stored value shows the token."""
    observer = Observer(redis_server)
    with observer.watching():
        tokens = await live(guarded, redis_server, observer, TokenSealer(KEY))
    assert len(set(tokens)) >= 2
    assert len(observer.seen) > 30
    for secret in (*PRIVATE, *tokens, KEY):
        assert secret not in observer.text


async def test_a_plain_life_shows_the_token_and_nothing_else(guarded: Sandbox, redis_server: Server) -> None:
    """The observer sees an unsealed token, which proves that it would see a leak above."""
    observer = Observer(redis_server)
    with observer.watching():
        tokens = await live(guarded, redis_server, observer, None)
    for token in tokens:
        assert token in observer.text
    for secret in PRIVATE:
        assert secret not in observer.text


# --- errors -----------------------------------------------------------------------------------------------------------


def assert_hides_secrets(failure: BaseException) -> None:
    text = shown(failure)
    assert not [secret for secret in (TOKEN, URL_PASSWORD, KEY, *PRIVATE) if secret in text]
    chained = (failure.__cause__, failure.__context__)
    assert all(one is None or isinstance(one, EnkashError) for one in chained), chained


@pytest.fixture
def mortal(session_server: Server, tmp_path: Path) -> Iterator[Server]:
    """A server with a password, to be killed."""
    with running(session_server.flavour, tmp_path, f"requirepass {URL_PASSWORD}") as server:
        yield server


def kill(server: Server) -> None:
    server.kill()


def forbid(server: Server) -> None:
    server.ask("ACL", "SETUSER", "default", "-hset")


def forbid_all(server: Server) -> None:
    server.ask("ACL", "SETUSER", "default", "-evalsha", "-eval")


def change_password(server: Server) -> None:
    server.ask("CONFIG", "SET", "requirepass", "another")
    with server.admin(password="another") as client:
        client.client_kill_filter(_type="normal")


def spoil(server: Server) -> None:
    for name in ("tok", "lease", "meta", "guard", "cool"):
        key = f"enkash:v1:{{account}}:{name}"
        server.ask("DEL", key)
        server.ask("RPUSH", key, TOKEN)


def fill(server: Server) -> None:
    server.ask("CONFIG", "SET", "maxmemory", "1")


def turn_away(server: Server) -> None:
    server.ask("CONFIG", "SET", "min-replicas-to-write", "1")


CALLS: dict[str, Callable[[RedisTokenStore, Token], Awaitable[object]]] = {
    "claim": lambda store, token: store.claim(OURS, "b", above=token.generation),
    "beat": lambda store, token: store.beat(OURS, "a"),
    "publish": lambda store, token: store.publish(OURS, "a", token),
    "fail": lambda store, token: store.fail(OURS, "c", Failure.REJECTED),
    "reject": lambda store, token: store.reject(OURS, token.generation),
    "reset": lambda store, token: store.reset(OURS),
    "status": lambda store, token: store.status(OURS),
}


@pytest.mark.parametrize(
    ("trouble", "harmless"),
    [
        (kill, set()),
        (forbid, {"beat", "reset", "status"}),
        (forbid_all, set()),
        (change_password, set()),
        (spoil, set()),
        (fill, {"beat", "reset", "status"}),
        (turn_away, {"beat", "status"}),
    ],
)
async def test_an_error_of_redis_is_ours_and_shows_nothing(
    mortal: Server, clock: Clock, trouble: Callable[[Server], None], harmless: set[str]
) -> None:
    """The locals of the error's frames show no secret either."""
    stores = [RedisTokenStore(mortal.url, clock=clock, sleep=clock.hurry, random=lambda: 0.5) for _ in CALLS]
    claim = await stores[0].claim(OURS, "a", above=-1)
    assert isinstance(claim, Lead)
    await stores[0].fail(OURS, "a", Failure.ABANDONED)  # so that the next claim has to write
    token = Token(TOKEN, 3600.0, clock(), claim.fence)
    trouble(mortal)
    worked = set()
    for store, name in zip(stores, CALLS, strict=True):
        try:
            await CALLS[name](store, token)
            worked.add(name)
        except Exception as failure:  # noqa: BLE001 (whatever it is, it is looked at)
            assert type(failure) is TokenStoreError
            assert_hides_secrets(failure)
        await store.aclose()
    assert worked == harmless


async def test_a_provider_in_trouble_shows_nothing(mortal: Server, clock: Clock, guarded: Sandbox) -> None:
    """Errors, log and repr of the provider show no secret."""
    grant = PasswordGrant(guarded.base_url, RIGHT, clock=clock)
    provider = RedisTokenProvider(grant, mortal.url, clock=clock, sleep=clock.hurry, random=lambda: 0.5)
    token = await provider.get_token()
    mortal.kill()
    guarded.faults.add("token", FaultKind.SERVER_ERROR, times=None)
    clock.now += 3600
    for _ in range(3):
        with pytest.raises(TokenError) as caught:
            await provider.get_token()
        assert token.reveal() not in shown(caught.value)
        assert_hides_secrets(caught.value)
    for text in (repr(provider), repr(provider.state()), repr(vars(provider)), repr(vars(provider._redis_store))):
        assert not [secret for secret in (URL_PASSWORD, token.reveal(), *PRIVATE) if secret in text]
    await provider.aclose()


async def test_a_token_that_cannot_be_read_is_not_shown_by_what_comes_after_it(mortal: Server) -> None:
    """The next command's error hides a plain token that its frame has read."""
    async with Redis.from_url(mortal.url) as client:
        writer, clock = RedisTokenStore(client), Clock()
        claim = await writer.claim(OURS, "a", above=-1)
        assert isinstance(claim, Lead)
        await writer.publish(OURS, "a", Token(TOKEN, 3600.0, generation=claim.fence))
    questions = 0

    def asked() -> float:
        nonlocal questions
        questions += 1
        if questions == 2:
            forbid_all(mortal)
        return clock()

    reader = RedisTokenStore(mortal.url, sealer=TokenSealer(KEY), clock=asked)
    with pytest.raises(TokenStoreError) as caught:
        await reader.claim(OURS, "b", above=-1)
    assert questions >= 2
    assert_hides_secrets(caught.value)
    await reader.aclose()


@pytest.fixture(autouse=True)
def clean_logs(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test during which a secret is logged, at whatever level."""
    caplog.set_level(logging.DEBUG)
    yield
    text = "\n".join(f"{record.getMessage()} {vars(record)}" for record in caplog.get_records("call"))
    assert not [secret for secret in (TOKEN, URL_PASSWORD, KEY, *PRIVATE) if secret in text]
