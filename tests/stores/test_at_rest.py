"""What lies in a store, and what travels to it: no password, client secret, user name or token can be read there."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import attrs
import psycopg
import pytest

from enkash_async import EnkashClient, SQLiteStore, Store, open_store
from enkash_async.errors import CredentialsRejectedError
from enkash_async.sandbox import Sandbox

from servers import Postgres, Server


async def words_after_work(sandbox: Sandbox, store: Store) -> list[bytes]:
    """Log in, try a wrong password, create a bill and confirm its debit; return every secret that took part."""
    ours = sandbox.credentials
    wrong = attrs.evolve(ours, password="made-up-wrong-password")
    async with EnkashClient.from_credentials(sandbox.base_url, ours, store=store) as client:
        bill = await client.bills.create(2001, {"cn": "CN123456789"}, bill_amount=100)
        await client.payments.confirm_debit([bill.utility_enkash_id])
        token = (await client.tokens.get_token()).reveal()
        async with EnkashClient.from_credentials(sandbox.base_url, wrong, store=store) as other:
            with contextlib.suppress(CredentialsRejectedError):
                await other.tokens.get_token(rejected=await client.tokens.get_token())
    words = [ours.password, wrong.password, ours.client_secret, ours.username, token]
    return [word.encode() for word in words]


def assert_unreadable(held: bytes, words: list[bytes]) -> None:
    """Fail where a word stands in it as it is, or in base64 or hexadecimal digits."""
    assert b"enkash" in held, "nothing was kept at all"
    for word in words:
        spelt = base64.b64encode(word).rstrip(b"=")[:-1]
        assert not [form for form in (word, spelt, binascii.hexlify(word)) if form in held], word[:3]


@pytest.mark.parametrize("seals", [True, False], ids=["with the extra", "without the extra"])
async def test_a_file_holds_no_secret(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seals: bool
) -> None:
    """Neither the database nor its log; without `cryptography` no token is in it, sealed or not."""
    monkeypatch.setattr("enkash_async.tokens._vault.can_seal", lambda: seals)
    store = SQLiteStore(tmp_path / "store.sqlite3", nothing_pending=True)
    words = await words_after_work(sandbox, store)
    held = await asyncio.to_thread(everything_in, tmp_path)
    await store.aclose()
    assert_unreadable(held, words)


def everything_in(folder: Path) -> bytes:
    """Return what the files of a folder hold."""
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


@contextlib.contextmanager
def monitored(server: Server) -> Iterator[list[bytes]]:
    """Collect all commands that a Redis gets."""
    said: list[bytes] = []
    with server.admin() as listening, server.admin() as admin, cast("Any", listening).monitor() as monitor:

        def listen() -> None:
            for command in monitor.listen():
                said.append(repr(command).encode())
                if "the-end-of-the-test" in command["command"]:
                    return

        thread = threading.Thread(target=listen)
        thread.start()
        yield said
        admin.echo("the-end-of-the-test")
        thread.join(10)
        assert not thread.is_alive()


async def test_neither_a_redis_nor_the_way_to_it_shows_a_secret(sandbox: Sandbox, redis_server: Server) -> None:
    """MONITOR shows every command as it arrives, and a dump every value."""
    with monitored(redis_server) as said:
        store = open_store(redis_server.url, nothing_pending=True)
        words = await words_after_work(sandbox, store)
        await store.aclose()
    with redis_server.admin() as admin:
        kept = [value for key in admin.keys("*") if (value := admin.get(key)) is not None]
    assert len(said) > 5
    values = [value if isinstance(value, bytes) else value.encode() for value in kept]
    assert_unreadable(b"\n".join([*said, *values]), words)


async def test_a_table_holds_no_secret(sandbox: Sandbox, postgres: Postgres) -> None:
    """The rows as they are, keys included."""
    store = open_store(postgres.dsn, nothing_pending=True)
    words = await words_after_work(sandbox, store)
    await store.aclose()

    def rows() -> bytes:
        with psycopg.connect(postgres.dsn) as connection:
            return b"\n".join(
                part if isinstance(part, bytes) else str(part).encode()
                for row in connection.execute("SELECT * FROM enkash_store")
                for part in row
            )

    assert_unreadable(await asyncio.to_thread(rows), words)
