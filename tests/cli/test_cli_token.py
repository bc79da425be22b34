"""`enkash token` with Redis: one login for all commands, the account's status, and a reset of the guard."""

from __future__ import annotations

import pytest

from enkash_async import TokenSealer
from enkash_async.sandbox import Sandbox

from servers import Server
from support import Enkash

KEY = TokenSealer.generate_key()


@pytest.fixture
def shared(enkash: Enkash, redis_server: Server, monkeypatch: pytest.MonkeyPatch) -> Enkash:
    """Runs commands that share their tokens."""
    monkeypatch.setenv("ENKASH_REDIS_URL", redis_server.url)
    return enkash


async def test_commands_share_one_login(shared: Enkash, sandbox: Sandbox) -> None:
    """The second command says that the token is shared."""
    first, second = await shared("token"), await shared("token")
    assert first.out.startswith(f"Login works: {sandbox.base_url}\n")
    assert second.out.startswith(f"A shared token serves: {sandbox.base_url}\nThe token is good for 3")
    assert (await shared("billers")).code == 0
    assert sandbox.counts["token"] == 1


async def test_status_makes_no_login(shared: Enkash, sandbox: Sandbox) -> None:
    """The command prints the status of an unused account."""
    run = await shared("token", "status")
    assert (run.code, run.err) == (0, "")
    _, token, guard = run.out.splitlines()
    assert token == "No token is stored that this process can read."
    assert guard == ("Logins are open: these credentials have not worked yet; attempts that may have counted: 0 of 2.")
    assert sandbox.counts["token"] == 0


async def test_status_tells_of_the_token(shared: Enkash, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command says how long it lives, if this process can open it."""
    await shared("token")
    told = await shared("token", "status")
    assert "A token is stored for another 3" in told.out
    assert "these credentials have worked" in told.out
    monkeypatch.setenv("ENKASH_TOKEN_KEYS", KEY)
    assert "No token is stored that this process can read." in (await shared("token", "status")).out
    await shared("token")
    assert "A token is stored" in (await shared("token", "status")).out


async def test_status_as_json(shared: Enkash) -> None:
    """`token status --json` prints the account's status under the names of its members."""
    await shared("token")
    run = await shared("token", "status", "--json")
    assert run.json["remaining"] > 3500
    assert run.json["charged"] == 0
    assert run.json["proven"] is True


async def test_refused_credentials_are_tried_once(
    shared: Enkash, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Further commands make no login, and a corrected password works at once."""
    right = sandbox.credentials.password
    monkeypatch.setenv("ENKASH_PASSWORD", "a-wrong-password")
    runs = [await shared("token") for _ in range(3)]
    assert [run.code for run in runs] == [1, 1, 1]
    assert "enkash token reset-guard" in runs[-1].err
    assert sandbox.counts["token"] == 1
    assert "EnKash refused them" in (await shared("token", "status")).out
    monkeypatch.setenv("ENKASH_PASSWORD", right)
    assert "counted: 1 of 2" in (await shared("token", "status")).out
    assert (await shared("token")).code == 0


async def test_two_wrong_passwords_close_the_guard_and_a_reset_opens_it(
    shared: Enkash, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The right password works after the reset."""
    right = sandbox.credentials.password
    for wrong in ("wrong-one", "wrong-two", "wrong-three"):
        monkeypatch.setenv("ENKASH_PASSWORD", wrong)
        assert (await shared("token")).code == 1
    monkeypatch.setenv("ENKASH_PASSWORD", right)
    assert (await shared("token")).code == 1
    assert sandbox.counts["token"] == 2
    assert "No login is made: 2 attempts may have counted" in (await shared("token", "status")).out
    assert "may log in once" in (await shared("token", "reset-guard")).out
    assert (await shared("token")).code == 0


async def test_a_locked_account_is_said_to_be_locked(
    shared: Enkash, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No command logs in until an operator resets the guard."""
    for _ in range(3):
        with pytest.raises(Exception, match="wrong"):
            sandbox.ledger.accounts.log_in(sandbox.credentials.username, "wrong")
    assert (await shared("token")).code == 1
    assert "the account is locked" in (await shared("token", "status")).out
    sandbox.ledger.accounts.unlock()
    await shared("token", "reset-guard")
    assert (await shared("token")).code == 0


async def test_without_a_server_commands_share_a_file(enkash: Enkash, sandbox: Sandbox) -> None:
    """Status and reset work there as well."""
    await enkash("token")
    assert (await enkash("token")).out.startswith("A shared token serves")
    assert "these credentials have worked" in (await enkash("token", "status")).out
    assert (await enkash("token", "reset-guard")).code == 0
    assert sandbox.counts["token"] == 1


@pytest.mark.parametrize("command", [(), ("status",), ("reset-guard",)])
async def test_an_unreachable_redis_is_one_line(
    enkash: Enkash, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    """The command makes no login and hides the password of the URL."""
    monkeypatch.setenv("ENKASH_REDIS_URL", "redis://me:s3cret-redis@127.0.0.1:1/0")
    run = await enkash("token", *command)
    assert (run.code, run.out) == (1, "")
    assert run.err.startswith("enkash: Redis at 127.0.0.1:1 does not answer")
    assert run.err.count("\n") == 1
    assert "s3cret" not in run.err
    assert sandbox.counts["token"] == 0
