"""What the ENKASH_ variables set up: the account, the shared Redis and the sealing of tokens."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import NoReturn

import attrs
import pytest

from enkash_async import (
    ConfigurationError,
    Credentials,
    EnkashClient,
    MemoryStore,
    RedisStore,
    SQLiteStore,
    TokenSealer,
)
from enkash_async._environment import Environment
from enkash_async.errors import TokenError
from enkash_async.sandbox import Sandbox
from enkash_async.stores import FallbackStore

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
        (key,) = admin.keys("enkash:token:v2:*")
        assert TokenSealer(KEY).key_ids[0] in str(admin.get(key))


@pytest.mark.parametrize(
    "name", ["ENKASH_BASE_URL", "ENKASH_PASSWORD", "ENKASH_FORM_CLIENT_ID", "ENKASH_STORE_URL", "ENKASH_REDIS_URL"]
)
def test_a_control_character_is_told_by_the_variable(name: str) -> None:
    """A value that was read with a line break is refused before a request, by its variable and without the value."""
    value = f"{SETTINGS.get(name, 'redis://127.0.0.1')}\nhunter2"
    with pytest.raises(ConfigurationError, match=rf"^{name} holds a line break \(U\+000A\): remove it$") as caught:
        EnkashClient.from_env({**SETTINGS, name: value})
    assert "hunter2" not in shown(caught.value, frames=False)


@pytest.mark.parametrize("name", ["ENKASH_BASE_URL", "ENKASH_CLIENT_SECRET", "ENKASH_STORE_URL", "ENKASH_REDIS_URL"])
def test_an_invisible_character_is_told_by_the_variable(name: str) -> None:
    """The message has its place and name, and not the value."""
    value = SETTINGS.get(name, "redis://127.0.0.1")
    with pytest.raises(ConfigurationError) as caught:
        EnkashClient.from_env({**SETTINGS, name: f"{value}\u200bhunter2"})
    assert str(caught.value) == (
        f"{name} holds an invisible character: character {len(value) + 1} is U+200B, zero width space; remove it"
    )
    assert "hunter2" not in shown(caught.value, frames=False)


@pytest.mark.parametrize("name", ["ENKASH_BASE_URL", "ENKASH_STORE_URL"])
def test_quotation_marks_around_a_url_are_told_by_the_variable(name: str) -> None:
    """`docker --env-file` keeps them; the message says what to remove."""
    value = f'"{SETTINGS.get(name, "redis://127.0.0.1")}"'
    with pytest.raises(ConfigurationError, match=f"^{name} begins and ends with a quotation mark: remove it$"):
        EnkashClient.from_env({**SETTINGS, name: value})


@pytest.mark.parametrize("url", [None, "", "  "])
async def test_without_a_url_the_processes_of_this_user_share_a_file(
    url: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty variable counts as unset."""
    monkeypatch.setattr("platformdirs.user_state_dir", lambda *_, **__: str(tmp_path / "state"))
    environ = {**SETTINGS} | ({} if url is None else {"ENKASH_REDIS_URL": url, "ENKASH_STORE_URL": url})
    async with EnkashClient.from_env(environ) as client:
        assert isinstance(client.store, SQLiteStore)
        assert client.store.path == tmp_path / "state" / "store.sqlite3"


async def test_without_a_url_clients_in_a_row_share_a_login(sandbox: Sandbox) -> None:
    """Ten commands in a row log in once, without any server."""
    for _ in range(10):
        async with EnkashClient.from_env(sandbox.environ()) as client:
            assert await client.billers.list_categories()
    assert sandbox.counts["token"] == 1


async def test_a_wrong_password_is_tried_once_by_clients_in_a_row(sandbox: Sandbox) -> None:
    """The file keeps the guard."""
    for _ in range(10):
        async with EnkashClient.from_env({**sandbox.environ(), "ENKASH_PASSWORD": "wrong"}) as client:
            with pytest.raises(TokenError):
                await client.billers.list_categories()
    assert sandbox.counts["token"] == 1


async def test_memory_shares_nothing_with_other_clients(sandbox: Sandbox) -> None:
    """`memory:` switches sharing off."""
    async with EnkashClient.from_env({**sandbox.environ(), "ENKASH_STORE_URL": "memory:"}) as client:
        assert isinstance(client.store, MemoryStore)
        await client.billers.list_categories()
    assert sandbox.counts["token"] == 1


async def test_where_no_file_can_be_made_the_log_says_so_once(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The memory of the process takes its place for tokens."""
    (tmp_path / "in the way").write_text("")
    monkeypatch.setattr("platformdirs.user_state_dir", lambda *_, **__: str(tmp_path / "in the way"))
    for _ in range(2):
        async with EnkashClient.from_env(sandbox.environ()) as client:
            assert isinstance(client.store, FallbackStore)
            await client.billers.list_categories()
    assert sandbox.counts["token"] == 1
    said = [record.getMessage() for record in caplog.records if "ENKASH_STORE_URL" in record.getMessage()]
    assert len(said) == 1
    assert str(tmp_path) in said[0]


def nobody(uid: int) -> NoReturn:
    """Know no user."""
    raise KeyError(uid)


@pytest.mark.parametrize("home", ["", "relative", None])
def test_without_a_home_the_memory_takes_the_place_of_the_file(
    home: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As for a user id without a name in a container; nothing is made where the process happens to be."""
    monkeypatch.undo()  # every test has a folder of its own
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr("enkash_async.stores.default._told", set())
    monkeypatch.setattr("pwd.getpwuid", nobody)
    if home is None:
        monkeypatch.delenv("HOME")
    else:
        monkeypatch.setenv("HOME", home)
    assert isinstance(Environment({}).store(), FallbackStore)
    assert "HOME must be an absolute path" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_a_login_timeout_is_a_number() -> None:
    """The variable is named; 15 s where it is not set."""
    assert Environment({}).login_timeout() == 15
    assert Environment({"ENKASH_LOGIN_TIMEOUT": " 40.5 "}).login_timeout() == 40.5
    for wrong in ("soon", "15s"):
        with pytest.raises(ConfigurationError, match="ENKASH_LOGIN_TIMEOUT"):
            Environment({"ENKASH_LOGIN_TIMEOUT": wrong}).login_timeout()
    for wrong in ("0", "111", "nan"):
        with pytest.raises(ConfigurationError, match="login_timeout"):
            EnkashClient.from_env({**SETTINGS, "ENKASH_STORE_URL": "memory:", "ENKASH_LOGIN_TIMEOUT": wrong})


@pytest.mark.parametrize(("given", "declared"), [({}, False), ("0", False), (" 1 ", True)])
@pytest.mark.parametrize("url", ["", "memory:", "sqlite:///{}/store", "redis://127.0.0.1:1", "postgresql://h/d"])
async def test_nothing_pending_is_passed_on_to_any_store(
    tmp_path: Path, given: str | dict[str, str], declared: bool, url: str
) -> None:
    """`ENKASH_NOTHING_PENDING=1` declares it for the store of the variables, the default one as well."""
    environ = {"ENKASH_STORE_URL": url.format(tmp_path)}
    store = Environment(environ | ({"ENKASH_NOTHING_PENDING": given} if isinstance(given, str) else {})).store()
    assert vars(store)["nothing_pending"] is declared
    await store.aclose()


def test_nothing_pending_is_0_or_1() -> None:
    """Any other word is a mistake, since the variable lets debits through."""
    with pytest.raises(ConfigurationError, match="ENKASH_NOTHING_PENDING must be 1"):
        Environment({"ENKASH_NOTHING_PENDING": "yes"}).store()


def test_a_store_url_comes_before_a_redis_url(tmp_path: Path) -> None:
    """No connection is opened before the first token."""
    assert isinstance(Environment({"ENKASH_REDIS_URL": REDIS}).store(), RedisStore)
    both = {"ENKASH_REDIS_URL": REDIS, "ENKASH_STORE_URL": f"sqlite:///{tmp_path}/file"}
    assert isinstance(Environment(both).store(), SQLiteStore)


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


# --- Credentials.from_env ---------------------------------------------------------------------------------------------


def test_credentials_are_read_from_the_variables_of_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are those that `EnkashClient.from_env` would use, from a mapping or from the process's own environment."""
    expected = Credentials("client", "s3cret-client", "ap-team@example.com", "s3cret-password")
    assert Credentials.from_env(SETTINGS) == Environment(SETTINGS).credentials() == expected
    for name, value in (SETTINGS | {"ENKASH_FORM_CLIENT_ID": "CEK1"}).items():
        monkeypatch.setenv(name, value)
    assert Credentials.from_env() == attrs.evolve(expected, form_client_id="CEK1")


def test_credentials_need_no_base_url_and_name_every_variable_that_is_missing() -> None:
    """A blank variable counts as missing, like a secret that was not filled in."""
    with pytest.raises(ConfigurationError) as caught:
        Credentials.from_env({"ENKASH_USERNAME": "u", "ENKASH_PASSWORD": " "})
    assert str(caught.value) == (
        "set the environment variables ENKASH_CLIENT_ID, ENKASH_CLIENT_SECRET, ENKASH_PASSWORD"
    )


@pytest.mark.parametrize(
    "change", [{"ENKASH_CLIENT_ID": "a:b"}, {"ENKASH_PASSWORD": "s3cret\ud800"}, {"ENKASH_USERNAME": ""}]
)
def test_no_traceback_of_credentials_shows_a_variable(change: dict[str, str]) -> None:
    """The error is a `ConfigurationError`, and neither it nor the locals of its frames hold a secret."""
    with pytest.raises(ConfigurationError) as caught:
        Credentials.from_env({**SETTINGS, **change})
    assert "s3cret" not in shown(caught.value, frames=False)
    for frame, _ in traceback.walk_tb(caught.tb):
        if "enkash_async" in frame.f_code.co_filename and "tests" not in frame.f_code.co_filename:
            assert "s3cret" not in repr(frame.f_locals)
