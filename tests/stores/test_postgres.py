"""The store in PostgreSQL: what it asks, what it may do, and what happens when the server fails."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest
from stores.stores import SECRET, Skip, alone, comes_back, count_up, in_child, number_in, put, timed, value_of
from tokens.doubles import until

from enkash_async.errors import ConfigurationError, StoreError, StoreUnavailableError
from enkash_async.stores import Change, PostgresStore, open_store
from enkash_async.stores.postgres import table_statement

from servers import HOST, Postgres, free_ports, gate, running_postgres
from support import shown

KEY = "enkash:test:v2:key"
TIMEOUT = 0.5
BOUND = 3 * TIMEOUT + 4  # a connection may take two seconds


@pytest.fixture
async def store(postgres: Postgres) -> AsyncIterator[PostgresStore]:
    made = PostgresStore(postgres.dsn)
    yield made
    await made.aclose()


# What is asked.


async def test_the_table_is_made_by_init_or_by_the_documented_statement(postgres: Postgres) -> None:
    """By several processes at once, and again."""
    for name in ("first_store", "public.second_store"):
        stores = [PostgresStore(postgres.dsn, table=name) for _ in range(4)]
        await asyncio.gather(*(one.init() for one in stores))
        await stores[0].init()
        assert await put(stores[0], KEY, b"value")
        assert await value_of(stores[1], KEY) == b"value"
        for one in stores:
            await one.aclose()
        postgres.ask(f"DROP TABLE {name}")
    assert "CREATE TABLE IF NOT EXISTS enkash_store" in table_statement()


async def test_without_the_table_the_store_is_away_and_says_how_to_make_it(postgres: Postgres) -> None:
    """Nothing is made behind the operator's back."""
    store = PostgresStore(postgres.dsn, table="not_there")
    for call in (value_of(store, KEY), put(store, KEY, b"value")):
        with pytest.raises(StoreUnavailableError, match="enkash store init"):
            await call
    await store.aclose()


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("sslmode=nonsense", " (sslmode)"),
        ("sslnegotiation=direct", " (sslmode)"),  # libpq blames both
        ("ssl_min_protocol_version=TLSv9", " (ssl_min_protocol_version)"),
        ("hostaddr=nonsense", " (hostaddr)"),
        ("service=nonsense", " (service)"),
        ("gssencmode=require", " (gssencmode)"),
        ("target_session_attrs=standby", " (target_session_attrs)"),
        ("channel_binding=require", " (channel_binding)"),
        ("require_auth=md5", " (require_auth)"),
        ("client_encoding=nonsense", " (client_encoding)"),
        ("options=-c%20nonsense%3D1", ""),
        ("keepalives=x", " (keepalives)"),
    ],
)
async def test_a_wrong_option_of_the_url_is_told(postgres: Postgres, option: str, named: str) -> None:
    """A retry does not help; the message has a fixed phrase, and not the value."""
    store = open_store(f"{postgres.dsn}?{option}")
    with pytest.raises(StoreUnavailableError) as caught:
        await value_of(store, KEY)
    await store.aclose()
    said = str(caught.value)
    assert said.endswith(
        f"cannot be used as a store: an option of its URL is wrong, or this server does not fulfil it{named}"
    )
    assert SECRET not in shown(caught.value)


@pytest.mark.parametrize("port", ["99999", "0"])
async def test_a_port_that_cannot_be_is_told(port: str) -> None:
    """The message names the port as what is wrong."""
    store = open_store(f"postgresql://owner:{SECRET}@{HOST}:{port}/postgres")
    with pytest.raises(StoreUnavailableError, match=r"an option of its URL is wrong, .* \(port\)$") as caught:
        await value_of(store, KEY)
    await store.aclose()
    assert SECRET not in shown(caught.value)


async def test_a_record_is_one_row(store: PostgresStore, postgres: Postgres) -> None:
    """With its bytes and its end."""
    await store.swap([Change(KEY, None, b"\xffvalue", 90.5), Change("other", None, b"", None)])
    statement = "SELECT key, value, extract(epoch FROM expires - now())::float8 FROM enkash_store ORDER BY key"
    (first, value, left), other = postgres.ask(statement)
    assert (first, value, 80 < left <= 90.5) == (KEY, b"\xffvalue", True)
    assert other == ("other", b"", None)


async def test_a_call_is_one_statement_of_each_kind(postgres: Postgres, store: PostgresStore) -> None:
    """However many keys it has; nothing outlives a transaction, so that PgBouncer may share out connections."""
    await value_of(store, KEY)
    postgres.ask("ALTER SYSTEM SET log_statement = 'all'")
    postgres.ask("SELECT pg_reload_conf()")
    await until(lambda: postgres.ask("SHOW log_statement") == [("all",)])
    began = len(postgres.log)
    keys = [f"key-{number}" for number in range(100)]
    assert all(await store.swap([Change(key, None, b"a", 60) for key in keys]))
    changes = [Change(key, b"a", b"b" if number % 2 else None) for number, key in enumerate(keys)]
    assert all(await store.swap(changes))
    await store.read(keys)
    postgres.ask("ALTER SYSTEM RESET log_statement")
    postgres.ask("SELECT pg_reload_conf()")
    lines = [line.partition("execute ")[2] for line in postgres.log[began:].splitlines() if "execute " in line]
    assert lines[:4] == ["<unnamed>: "] * 4
    said = [
        words
        for line in postgres.log[began:].splitlines()
        if (words := line.strip().split()[:1])
        and words[0] in {*("INSERT", "UPDATE", "DELETE", "SELECT", "SET", "BEGIN", "PREPARE", "DISCARD", "LISTEN")}
    ]
    assert [word for [word] in said if word != "SELECT"] == ["INSERT", "UPDATE", "DELETE"]


async def test_few_connections_serve_many_tasks(store: PostgresStore, postgres: Postgres) -> None:
    """Four for all loops and threads; they are closed in the end."""

    def connections() -> int:
        statement = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        return int(postgres.ask(statement)[0][0]) - 1

    await until(lambda: connections() == 0)  # those of the test before may still be ending
    await asyncio.gather(*(put(store, f"key-{number}", b"value") for number in range(100)))
    await asyncio.gather(*(asyncio.to_thread(alone, count_up(store, KEY, 3)) for _ in range(4)))
    await until(lambda: 1 <= connections() <= 4)  # that of the question before may still be ending
    await store.aclose()
    await until(lambda: connections() == 0)
    with pytest.raises(StoreError, match="is closed"):
        await value_of(store, KEY)


async def test_a_child_does_not_use_the_parents_connections(store: PostgresStore) -> None:
    """Nor does its end close them."""
    assert await count_up(store, KEY) == [1]
    child = asyncio.to_thread(in_child, lambda: len(alone(count_up(store, KEY, 10))) == 10)
    mine, is_well = await asyncio.gather(count_up(store, KEY, 10), child)
    assert is_well
    assert len(set(mine)) == 10
    assert number_in(await value_of(store, KEY)) == 21


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
async def test_a_stricter_isolation_loses_nothing(postgres: Postgres, level: str) -> None:
    """A serialization failure means that another process was faster."""
    postgres.ask(f"ALTER ROLE owner SET default_transaction_isolation = '{level}'")
    try:
        stores = [PostgresStore(postgres.dsn) for _ in range(3)]
        numbers = await asyncio.gather(*(count_up(store, KEY, 15) for store in stores))
        assert sorted(sum(numbers, [])) == list(range(1, 46))  # noqa: RUF017 (three lists)
        for store in stores:
            await store.aclose()
    finally:
        postgres.ask("ALTER ROLE owner RESET default_transaction_isolation")


async def test_a_change_that_another_transaction_makes_first_is_false(store: PostgresStore, postgres: Postgres) -> None:
    """It waits for that transaction's end, and looks again."""
    await put(store, KEY, b"a")
    with psycopg.connect(postgres.dsn) as other:
        other.execute("UPDATE enkash_store SET value = 'b'")
        swap = asyncio.ensure_future(put(store, KEY, b"c", b"a"))
        await asyncio.sleep(0.2)
        assert not swap.done()
        other.commit()
        assert not await swap
    assert await value_of(store, KEY) == b"b"


# Who may what.


@pytest.mark.parametrize("missing", ["SELECT", "INSERT", "UPDATE", "DELETE"])
async def test_without_one_right_the_store_is_away(postgres: Postgres, missing: str) -> None:
    """And with all four it is enough."""
    rights = {"SELECT", "INSERT", "UPDATE", "DELETE"}
    postgres.ask("CREATE ROLE clerk LOGIN")
    try:
        store = PostgresStore(f"postgresql://clerk@{HOST}:{postgres.port}/postgres")
        postgres.ask(f"GRANT {', '.join(rights)} ON enkash_store TO clerk")
        assert await put(store, KEY, b"a")
        assert await put(store, KEY, b"b", b"a")
        assert await put(store, KEY, None, b"b")
        postgres.ask(f"REVOKE {missing} ON enkash_store FROM clerk")
        calls = [put(store, KEY, b"a"), put(store, KEY, b"b", b"a"), put(store, KEY, None, b"b"), value_of(store, KEY)]
        outcomes = [(await timed(call))[0] for call in calls]
        assert any(
            isinstance(outcome, StoreUnavailableError) and "lacks a right" in str(outcome) for outcome in outcomes
        )
        await store.aclose()
    finally:
        postgres.ask("DROP OWNED BY clerk")
        postgres.ask("DROP ROLE clerk")


async def test_a_password_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    """A wrong one is told as such; neither the error nor a log nor the store repeats it."""
    caplog.set_level(logging.DEBUG)
    with running_postgres(auth="scram-sha-256") as server:
        store = PostgresStore(server.dsn)
        await store.init()
        assert await put(store, KEY, b"value")
        await store.aclose()
        wrong = open_store(server.dsn.replace("made-up", SECRET))
        with pytest.raises(StoreUnavailableError, match="refuses the user or the password") as caught:
            await value_of(wrong, KEY)
        assert server.log.count("password authentication failed") == 1  # it is not tried again and again
        assert SECRET not in shown(caught.value)
        assert SECRET not in repr(wrong) + repr(vars(wrong)) + repr(vars(wrong._links))  # type: ignore[attr-defined]
        await wrong.aclose()
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    "dsn", ["", f"postgresql://owner:{SECRET}@host/db?nonsense=1", f"password={SECRET} nonsense", 5]
)
def test_what_is_no_dsn_is_refused(dsn: Any) -> None:
    """Without a word of it."""
    with pytest.raises(ConfigurationError, match="dsn must be") as caught:
        PostgresStore(dsn)
    assert SECRET not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("table", ["", "Enkash", "a b", "a;b", 'a"', "a.b.c", "x" * 60])
def test_a_table_that_could_be_something_else_is_refused(table: str) -> None:
    """It stands in statements."""
    with pytest.raises(ConfigurationError, match="table must be"):
        PostgresStore(f"host={HOST}", table=table)


async def test_a_value_is_not_shown_by_an_error(postgres: Postgres) -> None:
    """PostgreSQL's own words would repeat it."""
    postgres.ask("ALTER TABLE enkash_store ADD CHECK (length(value) < 5)")
    store = PostgresStore(postgres.dsn)
    with pytest.raises(StoreUnavailableError, match="CheckViolation") as caught:
        await put(store, KEY, SECRET.encode())
    assert SECRET not in shown(caught.value)
    await store.aclose()


# A server that fails.


@pytest.fixture
def own() -> Iterator[Postgres]:
    """A server for this test alone."""
    with running_postgres() as server:
        for statement in table_statement().strip().split("\n"):
            server.ask(statement)
        yield server


@pytest.mark.parametrize("kind", ["killed", "stopped", "frozen"])
async def test_a_server_that_is_gone_is_told_within_a_bound(own: Postgres, kind: str) -> None:
    """From the third failure on at once; when it is back its records are there."""
    clock = Skip()
    store = PostgresStore(own.dsn, timeout=TIMEOUT, clock=clock)
    assert await put(store, KEY, b"value")
    {"killed": own.kill, "stopped": own.stop, "frozen": own.freeze}[kind]()
    for call in (value_of(store, KEY), put(store, KEY, b"new", b"value")):
        outcome, took = await timed(call)
        assert isinstance(outcome, StoreUnavailableError)
        assert took < BOUND
    began = time.monotonic()
    crowd = await asyncio.gather(*(timed(value_of(store, KEY)) for _ in range(100)))
    assert {type(outcome) for outcome, _ in crowd} == {StoreUnavailableError}
    assert time.monotonic() - began < BOUND
    if kind == "frozen":
        own.thaw()
    else:
        own.restart()
    clock.ahead += 10
    assert await comes_back(store, KEY) in {b"value", b"new"}
    await store.aclose()


async def test_a_frozen_server_keeps_no_thread(own: Postgres) -> None:
    """A call that was given up has let go of its connection, so that the process can end."""
    store = PostgresStore(own.dsn, timeout=TIMEOUT)
    await value_of(store, KEY)
    own.freeze()
    doomed = asyncio.ensure_future(value_of(store, KEY))
    await asyncio.sleep(0.05)
    doomed.cancel()
    await asyncio.wait([doomed])
    assert doomed.cancelled()
    threads = store._workers._executor
    assert threads is not None
    try:
        await store.aclose()
        await asyncio.wait_for(asyncio.to_thread(threads.shutdown, wait=True), BOUND)
    finally:
        own.thaw()


async def test_a_restarted_server_is_used_at_once(own: Postgres) -> None:
    """Connections that it has closed are found to be so before they are used."""
    store = PostgresStore(own.dsn)
    assert await put(store, KEY, b"value")
    own.restart()
    assert await put(store, KEY, b"new", b"value")
    await store.aclose()


async def test_a_swap_whose_answer_is_lost_is_not_sent_again(own: Postgres) -> None:
    """It was made; a read whose answer is lost is sent again."""
    async with gate(own.port) as between:
        store = PostgresStore(own.dsn.replace(str(own.port), str(between.port)) + "?sslmode=disable&gssencmode=disable")
        await put(store, KEY, b"value")
        for call in (timed(put(store, KEY, b"new", b"value")), timed(value_of(store, KEY))):
            between.hold()
            task = asyncio.ensure_future(call)
            await between.held()
            between.cut()
            between.release()
            outcome, _ = await task
            assert isinstance(outcome, StoreUnavailableError) or outcome == b"new"
        assert outcome == b"new"
        assert await value_of(store, KEY) == b"new"
        await store.aclose()


async def test_a_read_only_server_is_told(postgres: Postgres) -> None:
    """Reading goes on."""
    store = PostgresStore(f"{postgres.dsn}?options=-c%20default_transaction_read_only%3Don")
    assert await value_of(store, KEY) is None
    with pytest.raises(StoreUnavailableError, match="read-only"):
        await put(store, KEY, b"value")
    await store.aclose()


async def test_a_row_that_stays_locked_is_told_within_a_bound(postgres: Postgres) -> None:
    """Another process was stopped in the midst of a transaction."""
    store = PostgresStore(postgres.dsn, timeout=TIMEOUT)
    await put(store, KEY, b"value")
    with psycopg.connect(postgres.dsn) as other:
        other.execute("SELECT * FROM enkash_store FOR UPDATE")
        outcome, took = await timed(put(store, KEY, b"new", b"value"))
        assert isinstance(outcome, StoreUnavailableError)
        assert took < BOUND
        assert await value_of(store, KEY) == b"value"
        other.rollback()
    await store.aclose()


async def test_a_server_that_takes_no_more_connections_is_told() -> None:
    """Until there are some again."""
    with running_postgres("max_connections = 5", "superuser_reserved_connections = 0") as server:
        store = PostgresStore(server.dsn)
        await store.init()
        await store.aclose()
        clock = Skip()
        store = PostgresStore(server.dsn, clock=clock)
        crowd = [psycopg.connect(server.dsn) for _ in range(5)]
        outcome, took = await timed(value_of(store, KEY))
        assert isinstance(outcome, StoreUnavailableError)
        assert took < BOUND
        for one in crowd:
            one.close()
        clock.ahead += 10
        assert await comes_back(store, KEY) is None
        await store.aclose()


async def test_no_server_is_told_at_once() -> None:
    """The port answers nobody."""
    store = PostgresStore(f"postgresql://{HOST}:{free_ports(1)[0]}/postgres")
    outcome, took = await timed(value_of(store, KEY))
    assert isinstance(outcome, StoreUnavailableError)
    assert took < 2
    await store.aclose()


async def test_a_loop_that_is_blocked_is_no_server_that_is_away(postgres: Postgres) -> None:
    """The caller's own code stands still for longer than the time-out."""
    store = PostgresStore(postgres.dsn, timeout=TIMEOUT)
    await value_of(store, KEY)
    for _ in range(3):
        read = asyncio.ensure_future(value_of(store, KEY))
        await asyncio.sleep(0)
        time.sleep(2 * TIMEOUT)  # noqa: ASYNC251 (what it is about)
        assert await read is None
    assert store._breaker._failures == 0
    await store.aclose()


async def test_records_that_have_ended_are_removed(store: PostgresStore, postgres: Postgres) -> None:
    """Now and then; those of the last hour stay."""
    for key, age in (("old", "2 hours"), ("young", "1 minute")):
        postgres.ask(f"INSERT INTO enkash_store VALUES ('{key}', 'a', now() - interval '{age}')")
    postgres.ask("INSERT INTO enkash_store VALUES ('eternal', 'a', NULL)")
    for _ in range(256):
        await put(store, KEY, b"no", b"such")
    assert sorted(postgres.ask("SELECT key FROM enkash_store")) == [("eternal",), ("young",)]
