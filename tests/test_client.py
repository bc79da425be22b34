"""The client: how it is set up, what it closes, and calls of the user's own."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import pickle
import re
import subprocess
import sys
import traceback
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enkash_async import (
    ApiError,
    ConfigurationError,
    Credentials,
    EnkashClient,
    InMemoryTokenProvider,
    InvalidRequestError,
    NotFoundError,
    OutcomeUnknownError,
    PasswordGrant,
    ResponseDecodeError,
    RetryPolicy,
    Routes,
    StaticTokenProvider,
    Timeouts,
    TokenError,
)
from enkash_async.client import ClientOptions
from enkash_async.sandbox import FaultKind, Sandbox
from enkash_async.stores import MemoryStore, SQLiteStore, process_store

from support import RawServer, Reader, Writer, raw_server, reply

SETTINGS = {
    "ENKASH_BASE_URL": "https://api.example",
    "ENKASH_CLIENT_ID": "client",
    "ENKASH_CLIENT_SECRET": "s3cret-client",
    "ENKASH_USERNAME": "ap-team@example.com",
    "ENKASH_PASSWORD": "s3cret-password",
}


async def test_a_client_is_set_up_from_the_environment(sandbox: Sandbox) -> None:
    """The sandbox's variables set the client up; the form's client id may differ from the header's."""
    async with EnkashClient.from_env(sandbox.environ()) as client:
        assert await client.billers.list_categories()
    assert sandbox.environ()["ENKASH_FORM_CLIENT_ID"] != sandbox.environ()["ENKASH_CLIENT_ID"]


async def test_the_environment_of_the_process_is_the_default(sandbox: Sandbox) -> None:
    """A process of its own shows that `from_env` reads `os.environ`."""
    script = (
        "import asyncio\nfrom enkash_async import EnkashClient\n"
        "async def main():\n"
        "    async with EnkashClient.from_env() as client:\n"
        "        print(len(await client.billers.list_categories()))\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", script, stdout=subprocess.PIPE, env={**os.environ, **sandbox.environ()}
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    assert int(out) > 1


@pytest.mark.parametrize("name", sorted(SETTINGS))
@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_missing_variable_is_named(name: str, value: str | None) -> None:
    """The message shows none of the other values."""
    environ = {key: item for key, item in SETTINGS.items() if key != name}
    if value is not None:
        environ[name] = value
    with pytest.raises(ConfigurationError, match=f"^set the environment variable {name}$"):
        EnkashClient.from_env(environ)


def test_all_missing_variables_are_named_at_once() -> None:
    """The user can correct all of them in one round."""
    with pytest.raises(ConfigurationError) as caught:
        EnkashClient.from_env({})
    assert all(name in str(caught.value) for name in SETTINGS)


@pytest.mark.parametrize("how", [{"retry": 3}, {"routes": {}}, {"timeout": 5}, {"limits": 5}])
def test_wrong_kinds_of_arguments_are_refused(how: dict[str, Any]) -> None:
    """The message names the argument of a wrong type."""
    with pytest.raises(ConfigurationError, match=next(iter(how))):
        EnkashClient("https://api.example", tokens=StaticTokenProvider("t"), **how)


def _every_way(how: dict[str, Any]) -> list[Callable[[], EnkashClient]]:
    return [
        lambda: EnkashClient("https://api.example", tokens=StaticTokenProvider("t"), **how),
        lambda: EnkashClient.from_credentials("https://api.example", Credentials("a", "b", "c", "d"), **how),
        lambda: EnkashClient.from_env(SETTINGS, **how),
    ]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"retry": 3}, r"^retry must be a RetryPolicy\(…\), not int$"),
        ({"routes": {}}, r"^routes must be Routes\(…\), not dict$"),
        ({"timeout": 5}, r"^timeout must be Timeouts\(total=…, connect=…\), not int$"),
        ({"limits": 5}, r"^limits must be Limits\(concurrency=…, rate=…\), not int$"),
        ({"session": 5}, "^session must be an aiohttp.ClientSession, not int$"),
        ({"max_response_bytes": 0}, "^max_response_bytes must be "),
    ],
)
def test_every_way_to_make_a_client_refuses_wrong_kinds_of_options(how: dict[str, Any], said: str) -> None:
    """In the same words, whoever makes the client."""
    for make in _every_way(how):
        with pytest.raises(ConfigurationError, match=said):
            make()


def test_every_way_to_make_a_client_names_an_option_that_there_is_not() -> None:
    """A slip of the pen does not leave the default in force."""
    for make in _every_way({"retrys": RetryPolicy(attempts=1)}):
        with pytest.raises(TypeError, match=r"^unexpected keyword argument 'retrys': .* session, retry"):
            make()


def test_a_client_made_in_any_way_takes_the_options() -> None:
    """And hands them to what they are for."""
    how = {"retry": RetryPolicy(attempts=2), "timeout": Timeouts(total=7), "routes": Routes(billers="/b")}
    for client in (make() for make in _every_way(how)):
        assert client.payments._debits.patience == 14
        assert client._transport._timeout.total == 7
        assert client.billers._routes.billers == "/b"


def test_bills_and_payments_share_what_reads_and_what_settles() -> None:
    """There is one of each, so that both look in the same way and for as long."""
    client = EnkashClient("https://api.example", tokens=StaticTokenProvider("t"))
    assert client.bills._reads is client.payments._debits.reads
    assert client.bills._settling is client.payments._settling
    assert client.bills._debits is client.payments._debits.records
    assert client.bills._settling._reads is client.bills._reads
    assert client.bills._settling._poller is client.bills._poller


@pytest.mark.parametrize(
    ("call", "own"),
    [
        (EnkashClient, ["base_url", "tokens"]),
        (EnkashClient.from_credentials, ["base_url", "credentials", "login_timeout", "on_store_down"]),
        (EnkashClient.from_env, ["environ", "login_timeout", "on_store_down"]),
    ],
)
def test_help_tells_every_option_with_its_type_and_default(call: Callable[..., Any], own: list[str]) -> None:
    """The options are declared once, yet stand in each signature, and each has its line in the docstring."""
    signature = inspect.signature(call)
    assert list(signature.parameters) == [*own, *ClientOptions.__annotations__]
    assert "retry: enkash_async.config.RetryPolicy = RetryPolicy(), " in str(signature)
    assert "allow_insecure: bool = False" in str(signature)
    arguments = str(inspect.getdoc(EnkashClient)).partition("Args:")[2].partition("Attributes:")[0]
    assert re.findall(r"^    (\w+):", arguments, re.MULTILINE) == ["base_url", "tokens", *ClientOptions.__annotations__]


@pytest.mark.parametrize("how", [{}, {"base_url": "http://api.example"}, {"tokens": "bare-token"}])
def test_wrong_set_ups_are_refused(how: dict[str, Any]) -> None:
    """The client refuses plain HTTP and a string in place of a provider, and does not repeat the token."""
    arguments = {"base_url": "https://api.example", "tokens": None, **how}
    with pytest.raises(ConfigurationError) as caught:
        EnkashClient(arguments["base_url"], tokens=arguments["tokens"])
    assert "bare-token" not in str(caught.value)


async def test_plain_http_can_be_allowed() -> None:
    """`allow_insecure` holds for the calls and for the login."""
    credentials = Credentials("a", "b", "c", "d")
    EnkashClient.from_credentials("http://10.1.1.1", credentials, allow_insecure=True)
    with pytest.raises(ConfigurationError):
        EnkashClient.from_credentials("http://10.1.1.1", credentials)


async def test_a_client_closes_what_it_opened_and_nothing_else(sandbox: Sandbox) -> None:
    """The client closes its own provider and session and not those of the application."""
    tokens = InMemoryTokenProvider(PasswordGrant(sandbox.base_url, sandbox.credentials))
    async with aiohttp.ClientSession() as session:
        async with EnkashClient(sandbox.base_url, tokens=tokens, session=session) as client:
            await client.billers.list_categories()
        await client.aclose()
        assert not session.closed
        assert (await tokens.get_token()).generation >= 1
    await tokens.aclose()
    with pytest.raises(TokenError, match="closed"):
        await tokens.get_token()


async def test_errors_of_a_real_exchange_pickle(client: EnkashClient) -> None:
    """Celery and multiprocessing can send the errors to another process."""
    with pytest.raises(NotFoundError) as caught:
        await client.bills.get("nobody")
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.__dict__ == caught.value.__dict__
    assert str(again) == str(caught.value)


# --- request ----------------------------------------------------------------------------------------------------------


async def _echo(server: RawServer, reader: Reader, writer: Writer) -> None:
    while True:
        request = await server.read_request(reader)
        body = request.split(b"\r\n\r\n", 1)[1] or b"null"
        writer.write(reply(b'{"response_code":0,"payload":{"you_sent":%s,"amount":1.10}}' % body))


async def test_a_call_of_the_users_own_is_signed_and_decoded() -> None:
    """The client quotes each segment and keeps money exact in both directions."""
    async with raw_server(_echo) as server:
        async with EnkashClient(server.base_url, tokens=StaticTokenProvider("abc")) as client:
            answer = await client.request(
                "post",
                "api",
                "v0",
                "a/b c",
                params={"x": "1&2", "n": 5},
                json={"amount": Decimal("100000000000000.07")},
            )
    assert answer == {"you_sent": {"amount": Decimal("100000000000000.07")}, "amount": Decimal("1.10")}
    head = server.requests[0].decode()
    assert head.startswith("POST /api/v0/a%2Fb%20c?x=1%262&n=5 HTTP/1.1")
    assert "Authorization: Bearer abc" in head


@pytest.mark.parametrize(
    ("body", "status", "expected"),
    [
        (b'{"response_code":0,"payload":[1]}', "200 OK", [1]),
        (b'{"code":0,"message":"Success","payload":{"a":1}}', "200 OK", {"a": 1}),
        (b'{"some":"document"}', "200 OK", {"some": "document"}),
        (b"[1,2]", "200 OK", [1, 2]),
        (b"", "204 No Content", None),
        (b"<html></html>", "200 OK", ResponseDecodeError),
        (b'{"response_code":1,"payload":"no"}', "200 OK", ApiError),
        (b"", "302 Found", ApiError),
    ],
)
async def test_what_a_call_of_the_users_own_returns(body: bytes, status: str, expected: Any) -> None:
    """The call returns an envelope's payload, another document whole, or None for an empty body."""

    async def answer(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.read_request(reader)
        writer.write(reply(body, status))

    async with raw_server(answer) as server:
        async with EnkashClient(server.base_url, tokens=StaticTokenProvider("abc")) as client:
            if isinstance(expected, type):
                with pytest.raises(expected):
                    await client.request("GET", "x")
            else:
                assert await client.request("GET", "x") == expected


@pytest.mark.parametrize(
    ("arguments", "how", "said"),
    [
        (("FETCH", "x"), {}, "method must be one of"),
        ((None, "x"), {}, "method must be one of"),
        (("GET",), {}, "name the parts of the path"),
        (("GET", "a", ".."), {}, "must not be '..'"),
        (("GET", "a", ""), {}, "is empty"),
        (("PUT", "api", "v0", "utilityPayment", "status"), {}, r"use client\.payments\.confirm_debit\(ids\)"),
        (("POST", "a"), {"json": {"amount": 1.5}}, r"json\['amount'\] must not be a float"),
        (("GET", "a"), {"params": {"x": None}}, r"params\['x'\] must be a str or an int, not NoneType"),
        (("GET", "a"), {"params": "x=1"}, "params must be a mapping"),
        (("GET", "a"), {"params": {"x": 1.5}}, r"params\['x'\] must be a str or an int, not float"),
    ],
)
async def test_a_wrong_call_of_the_users_own_is_refused(arguments: Any, how: Any, said: str) -> None:
    """The client refuses it before it connects; nothing listens at this address."""
    async with EnkashClient("https://127.0.0.1:9", tokens=StaticTokenProvider("t")) as client:
        with pytest.raises(InvalidRequestError, match=said):
            await client.request(*arguments, **how)


async def test_a_one_time_password_of_a_users_own_call_is_not_repeated() -> None:
    """The error redacts members with a sensitive name at any place."""

    async def echo_error(server: RawServer, reader: Reader, writer: Writer) -> None:
        request = await server.read_request(reader)
        writer.write(reply(b'{"response_code":1,"payload":%s}' % json.dumps(request.decode()).encode(), "400 Bad"))

    async with raw_server(echo_error) as server:
        async with EnkashClient(server.base_url, tokens=StaticTokenProvider("t")) as client:
            with pytest.raises(ApiError) as caught:
                await client.request("POST", "x", json={"list": [{"otp": "401936"}]})
    assert "401936" not in str(caught.value) + repr(vars(caught.value))


@given(st.text(min_size=1))
async def test_any_id_arrives_whole_or_is_refused(reference: str) -> None:
    """The server decodes the same id, or the client sends nothing."""
    async with raw_server(_echo) as server:
        async with EnkashClient(server.base_url, tokens=StaticTokenProvider("t"), routes=Routes()) as client:
            try:
                await client.request("GET", "a", reference, "z")
            except InvalidRequestError:
                assert server.requests == []
                return
    path = server.requests[0].split(b" ")[1].decode()
    assert [unquote(part) for part in path.split("/")] == ["", "a", reference, "z"]


async def test_clients_of_this_machine_share_the_memory_of_the_process(sandbox: Sandbox) -> None:
    """Two clients make one login; one with a store of its own makes another, and the store stays open."""
    for _ in range(2):
        async with EnkashClient.from_credentials(sandbox.base_url, sandbox.credentials) as client:
            assert client.store is process_store()
            await client.billers.list_categories()
    assert sandbox.counts["token"] == 1
    own = MemoryStore()
    async with EnkashClient.from_credentials(sandbox.base_url, sandbox.credentials, store=own) as client:
        assert client.store is own
        assert client.tokens.state().logins == 0  # type: ignore[attr-defined]
        await client.billers.list_categories()
    assert sandbox.counts["token"] == 2


def test_a_client_of_another_host_opens_the_file_of_this_user() -> None:
    """Also one that was given a provider."""
    client = EnkashClient.from_credentials("https://api.example", Credentials("a", "b", "c", "d"))
    assert isinstance(client.store, SQLiteStore)
    assert isinstance(EnkashClient("https://api.example", tokens=StaticTokenProvider("t")).store, SQLiteStore)


def test_a_store_that_is_none_is_refused_without_a_word_of_it() -> None:
    """A URL, which may hold a password, is to be opened first."""
    with pytest.raises(ConfigurationError, match=r"store must be a Store, such as open_store\(url\)") as caught:
        EnkashClient("https://api.example", tokens=StaticTokenProvider("t"), store="redis://:secret-word@h")  # type: ignore[arg-type]
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert all("secret-word" not in line for line in shown.format() if "test_client.py" not in line)


async def test_the_variable_names_the_store_of_every_client_of_another_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log and the errors name it, so it must work; against this machine the memory of the process stays."""
    monkeypatch.setenv("ENKASH_STORE_URL", f"sqlite:///{tmp_path}/shared.sqlite3")
    for host, kind in (("https://api.example", SQLiteStore), ("http://127.0.0.1:1", MemoryStore)):
        async with EnkashClient.from_credentials(host, Credentials("c", "s", "u", "p")) as client:
            assert type(client.store) is kind


@pytest.mark.parametrize("route", ["add_bill", "biller_categories"])
async def test_closing_lets_calls_end(sandbox: Sandbox, route: str) -> None:
    """A create or a read under way is answered; a call that comes meanwhile is refused, and sends nothing."""
    client = EnkashClient.from_credentials(sandbox.base_url, sandbox.credentials, store=MemoryStore())
    sandbox.faults.add(route, FaultKind.SLOW, delay=0.3)
    if route == "add_bill":
        call = client.bills.create(2001, {"cn": "CN1"}, bill_amount=500, reference_id="inv-1")
        under_way: asyncio.Task[Any] = asyncio.create_task(call)
    else:
        under_way = asyncio.create_task(client.billers.list_categories())
    while not sandbox.counts[route]:
        await asyncio.sleep(0.01)
    closing = asyncio.create_task(client.aclose())
    await asyncio.sleep(0)
    with pytest.raises(ConfigurationError, match="the client is closed; make a new one"):
        await client.bills.get("U-1")
    await closing
    assert await under_way
    assert sandbox.counts["bill"] == 0


async def test_closing_waits_no_longer_than_its_bound(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has not ended by then is told as unclear, with its reference."""
    monkeypatch.setattr("enkash_async.client._LET_END", 0.1)
    client = EnkashClient.from_credentials(sandbox.base_url, sandbox.credentials, store=MemoryStore())
    sandbox.faults.add("add_bill", FaultKind.SLOW, delay=5)
    create = asyncio.create_task(client.bills.create(2001, {"cn": "CN1"}, bill_amount=500, reference_id="inv-1"))
    while not sandbox.counts["add_bill"]:
        await asyncio.sleep(0.01)
    await client.aclose()
    with pytest.raises(OutcomeUnknownError) as caught:
        await create
    assert caught.value.reference_id == "inv-1"
