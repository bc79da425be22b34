"""What the ENKASH_ variables set up: the account, the shared Redis and the sealing of tokens."""

from __future__ import annotations

from pathlib import Path

import pytest

from enkash_async import ConfigurationError, EnkashClient, InMemoryTokenProvider, RedisTokenProvider, TokenSealer
from enkash_async._environment import Environment
from enkash_async.sandbox import Sandbox

from servers import Server
from support import shown

SETTINGS = {
    "ENKASH_BASE_URL": "https://api.example",
    "ENKASH_CLIENT_ID": "client",
    "ENKASH_CLIENT_SECRET": "s3cret-client",
    "ENKASH_USERNAME": "ap-team@example.com",
    "ENKASH_PASSWORD": "s3cret-password",
}
REDIS = "redis://worker:s3cret-redis@127.0.0.1:6379/0"
KEY = TokenSealer.generate_key()


async def test_clients_of_one_redis_share_a_login(sandbox: Sandbox, redis_server: Server) -> None:
    """Three clients of one Redis log in once between them."""
    environ = {**sandbox.environ(), "ENKASH_REDIS_URL": redis_server.url}
    for _ in range(3):
        async with EnkashClient.from_env(environ) as client:
            assert await client.billers.list_categories()
    assert sandbox.counts["token"] == 1


async def test_clients_of_one_unix_socket_share_a_login(sandbox: Sandbox, redis_server: Server) -> None:
    """Two clients share one login over the third kind of URL that redis-py takes."""
    environ = {**sandbox.environ(), "ENKASH_REDIS_URL": redis_server.unix_url}
    for _ in range(2):
        async with EnkashClient.from_env(environ) as client:
            assert await client.billers.list_categories()
    assert sandbox.counts["token"] == 1


async def test_token_keys_seal_the_token(sandbox: Sandbox, redis_server: Server) -> None:
    """The first key seals, and a client with both keys reads what the old one sealed."""
    environ = {**sandbox.environ(), "ENKASH_REDIS_URL": redis_server.url}
    for keys in (KEY, f"{TokenSealer.generate_key()},{KEY}"):
        async with EnkashClient.from_env({**environ, "ENKASH_TOKEN_KEYS": keys}) as client:
            await client.billers.list_categories()
    assert sandbox.counts["token"] == 1
    with redis_server.admin() as admin:
        (key,) = admin.keys("*:tok")
        assert str(admin.hget(key, "value")).startswith(f"s1:{TokenSealer(KEY).key_ids[0]}:")


@pytest.mark.parametrize("url", [None, "", "  "])
def test_without_a_redis_url_every_process_is_alone(url: str | None) -> None:
    """An empty variable counts as unset."""
    environ = {**SETTINGS, "ENKASH_TOKEN_KEYS": KEY} | ({} if url is None else {"ENKASH_REDIS_URL": url})
    environment = Environment(environ)
    assert type(environment.provider(environment.grant())) is InMemoryTokenProvider
    with pytest.raises(ConfigurationError, match="ENKASH_REDIS_URL"):
        environment.redis_provider(environment.grant())


def test_with_a_redis_url_tokens_are_shared() -> None:
    """The client opens no connection before the first token."""
    environment = Environment({**SETTINGS, "ENKASH_REDIS_URL": REDIS})
    assert isinstance(environment.provider(environment.grant()), RedisTokenProvider)


@pytest.mark.parametrize(
    "keys", ["", " ", ",", "s3cret-short", pytest.param(f"{KEY},s3cret-short", id="a key,s3cret-short")]
)
def test_unusable_token_keys_are_refused(keys: str) -> None:
    """An empty secret is refused, because it would mean plain text."""
    with pytest.raises(ConfigurationError, match="ENKASH_TOKEN_KEYS") as caught:
        EnkashClient.from_env({**SETTINGS, "ENKASH_REDIS_URL": REDIS, "ENKASH_TOKEN_KEYS": keys})
    assert "s3cret" not in shown(caught.value)


@pytest.mark.parametrize(
    "url", ["http://worker:s3cret-redis@host", "redis+sentinel://:s3cret-redis@host:26379", "host"]
)
def test_an_unusable_redis_url_is_refused(url: str) -> None:
    """The message shows a good URL and not the given one."""
    with pytest.raises(ConfigurationError, match="redis://host:6379/0") as caught:
        EnkashClient.from_env({**SETTINGS, "ENKASH_REDIS_URL": url})
    assert "s3cret" not in shown(caught.value)


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_a_complaint_shows_no_value(name: str) -> None:
    """Neither the message nor a rendered traceback shows a value."""
    environ = {key: value for key, value in SETTINGS.items() if key != name}
    with pytest.raises(ConfigurationError, match=name) as caught:
        EnkashClient.from_env(environ)
    assert "s3cret" not in shown(caught.value)


def test_the_plan_of_variables_is_in_the_readme() -> None:
    """The README's table has exactly the variables that are read."""
    source = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    for name in (*SETTINGS, "ENKASH_FORM_CLIENT_ID", "ENKASH_REDIS_URL", "ENKASH_TOKEN_KEYS"):
        assert f"`{name}`" in source
