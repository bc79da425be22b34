"""The id of a call: EnKash's operators, the log and the errors name the same request by it."""

from __future__ import annotations

import logging
import pickle
import random
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from enkash_async import (
    BillRequest,
    Credentials,
    EnkashClient,
    MemoryStore,
    PasswordGrant,
    RetryPolicy,
    StaticTokenProvider,
)
from enkash_async._support.call_ids import new_call_id, without_ids
from enkash_async.errors import (
    ApiError,
    BadRequestError,
    CredentialsRejectedError,
    EnkashError,
    LoginGuardError,
    OutcomeUnknownError,
    ResponseDecodeError,
    TokenEndpointError,
    TokenError,
    TokenReplyError,
    TransportError,
)
from enkash_async.tokens import Token

from support import EAGER, RawServer, Reader, Writer, raw_server, reply

ONCE = RetryPolicy(attempts=1)
ID = re.compile(rb"\r\nX-Request-Id: ([0-9a-f]{16})\r\n", re.IGNORECASE)
BILL = b'{"response_code":0,"response_message":"Success","payload":{"utilityEnkashId":"U-1"}}'
WRONG = b'{"response_code":1,"response_message":"Failed","payload":"no"}'


class Answers:
    """A server that gives the answers of a list, whose last is repeated; an empty one drops the connection."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = list(answers)

    async def __call__(self, server: RawServer, reader: Reader, writer: Writer) -> None:
        while True:
            await server.read_request(reader)
            answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
            if not answer:
                return
            writer.write(answer)
            await writer.drain()


def ids_of(server: RawServer) -> list[str]:
    """Return the id of each request, in their order."""
    found = [ID.findall(request) for request in server.requests]
    assert all(len(each) == 1 for each in found)
    return [each[0].decode() for each in found]


@asynccontextmanager
async def client_of(*answers: bytes) -> AsyncIterator[tuple[EnkashClient, RawServer]]:
    async with raw_server(Answers(*answers)) as server:
        tokens = StaticTokenProvider("a-token")
        async with EnkashClient(server.base_url, tokens=tokens, store=MemoryStore(), retry=EAGER) as client:
            yield client, server


# --- what is sent -----------------------------------------------------------------------------------------------------


async def test_all_attempts_of_a_call_have_one_id() -> None:
    """EnKash sees a call that is repeated under one id, and the next call under another."""
    async with client_of(reply(b"", "503 Busy"), reply(b"", "503 Busy"), reply(BILL)) as (client, server):
        await client.bills.get("U-1")
        await client.bills.get("U-1")
    first, second, third, other = ids_of(server)
    assert first == second == third != other


async def test_a_call_keeps_its_id_with_a_new_token() -> None:
    """After a 401, the call goes out again under its id; each login has one of its own."""
    token = b'{"accessToken":"t-%d","expiresIn":300}'
    answers = (reply(token % 1), reply(b"", "401 No"), reply(token % 2), reply(BILL))
    async with raw_server(Answers(*answers)) as server:
        who = Credentials("client", "secret", "user", "password")
        async with EnkashClient.from_credentials(server.base_url, who, store=MemoryStore()) as client:
            await client.bills.get("U-1")
    login, call, second_login, again = ids_of(server)
    assert call == again
    assert len({login, call, second_login}) == 3


def test_ids_do_not_follow_the_seed_of_a_program() -> None:
    """A program that seeds `random` for its own ends does not send the ids of its last run."""
    found = set()
    for _ in range(2):
        random.seed(1)
        found |= {new_call_id() for _ in range(100)}
    assert len(found) == 200
    assert all(re.fullmatch(r"[0-9a-f]{16}", one) for one in found)


FORK = """
import os
from enkash_async._support.call_ids import new_call_id
for _ in range(2):
    if os.fork() == 0:
        print(new_call_id(), flush=True)
        os._exit(0)
    os.wait()
print(new_call_id())
"""


def test_forked_workers_have_ids_of_their_own() -> None:
    """Each child of gunicorn begins with the memory of its parent."""
    out = subprocess.run([sys.executable, "-c", FORK], check=True, capture_output=True, text=True).stdout.split()
    assert len(set(out)) == 3


# --- what errors say --------------------------------------------------------------------------------------------------


async def test_an_error_names_the_call_and_enkashs_request() -> None:
    """Both ids are in the message and in attributes, also after pickling."""
    async with client_of(reply(WRONG, "400 Bad Request", "X-Request-Id: ek-77")) as (client, server):
        with pytest.raises(BadRequestError) as caught:
            await client.bills.get("U-1")
    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.call_id, error.request_id) == (ids_of(server)[0], "ek-77")
    assert str(error).endswith(f"[call {error.call_id}, EnKash's request id ek-77]")


@pytest.mark.parametrize(
    ("call_id", "request_id"), [(None, None), ("0123456789abcdef", None), (None, "r 1"), ("0123456789abcdef", "r-1")]
)
def test_equal_failures_can_be_told_from_others_without_their_ids(call_id: str | None, request_id: str | None) -> None:
    """Which a list of many failures needs, to show one reason once."""
    error = ApiError("HTTP 400 [not an id]", request_id=request_id)
    error.call_id = call_id
    assert without_ids(str(error)) == "HTTP 400 [not an id]"


async def test_an_id_that_comes_back_is_shown_once() -> None:
    """A gateway that returns the id it was sent says nothing new."""

    async def echo(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.read_request(reader)
        writer.write(reply(WRONG, "400 Bad Request", f"X-Request-Id: {ids_of(server)[-1]}"))

    async with raw_server(echo) as server, EnkashClient(server.base_url, tokens=StaticTokenProvider("t")) as client:
        with pytest.raises(ApiError) as caught:
            await client.bills.get("U-1")
    assert caught.value.request_id == caught.value.call_id == ids_of(server)[0]
    assert str(caught.value).endswith(f" no [call {caught.value.call_id}]")


async def test_a_dropped_call_is_named() -> None:
    """A transport error has no id of EnKash's, and needs ours all the more."""
    async with client_of(b"") as (client, server):
        with pytest.raises(TransportError) as caught:
            await client.bills.get("U-1")
    assert len(ids_of(server)) == EAGER.attempts
    assert {caught.value.call_id} == set(ids_of(server))
    assert str(caught.value).endswith(f"[call {caught.value.call_id}]")


async def test_an_unclear_create_is_named_by_the_create_and_not_by_the_look_ups() -> None:
    """EnKash is asked about the request that may have created a bill; its cause has the same id, shown once."""
    absent = reply(b'{"response_code":1,"response_message":"x","payload":"No utility payment found"}', "400 Bad")
    async with client_of(b"", absent) as (client, server):
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.bills.create(2001, {"cn": "CN1"}, bill_amount=500, reference_id="r-1")
    error, cause = caught.value, caught.value.__cause__
    create, *looks = ids_of(server)
    assert isinstance(cause, EnkashError)
    assert error.call_id == cause.call_id == create
    assert looks
    assert create not in looks
    assert str(error).count(create) == 1


async def test_an_unclear_confirmation_is_named() -> None:
    """The error of each bill has the id of the confirmation that may have debited it."""
    async with client_of(b"", reply(WRONG, "503 Busy")) as (client, server):
        client.store.nothing_pending = True  # type: ignore[attr-defined]
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.payments.confirm_debit(["U-1"], check_first=False)
    puts = [one for one, raw in zip(ids_of(server), server.requests, strict=True) if raw.startswith(b"PUT")]
    assert [caught.value.call_id] == puts


async def test_a_payment_and_an_item_of_many_name_their_calls() -> None:
    """What a job writes into its log or its file leads to the request."""
    async with client_of(reply(WRONG, "403 Forbidden")) as (client, server):
        payment = await client.payments.pay(BillRequest(2001, {"cn": "CN1"}, reference_id="r-1"))
        assert f"[call {ids_of(server)[-1]}]" in payment.reason
        many = await client.bills.get_many(["U-1"])
        error = many.failed[0].error
        assert error is not None
        assert error.call_id == ids_of(server)[-1]


async def test_a_refused_login_is_named() -> None:
    """The refusal has the id of the login; what the guard bars after it has none, since nothing was sent."""
    async with raw_server(Answers(reply(b'{"error":"invalid_grant"}', "400 Bad Request"))) as server:
        who = Credentials("client", "secret", "user", "password")
        async with EnkashClient.from_credentials(server.base_url, who, store=MemoryStore()) as client:
            with pytest.raises(CredentialsRejectedError) as refused:
                await client.bills.get("U-1")
            with pytest.raises(LoginGuardError) as barred:
                await client.bills.get("U-1")
        assert [refused.value.call_id] == ids_of(server)
        assert barred.value.call_id is None
        with pytest.raises(CredentialsRejectedError) as direct:
            await PasswordGrant(server.base_url, who).fetch_token()
        assert direct.value.call_id == ids_of(server)[-1]


class Tokens:
    """A provider that hands out tokens from a list, and fails at the end of the list."""

    def __init__(self, *tokens: str) -> None:
        self._tokens = [Token(one, 300.0) for one in tokens]

    async def get_token(self, *, rejected: Token | None = None) -> Token:
        if not self._tokens:
            raise TokenError("the provider has no more tokens")
        return self._tokens.pop(0)

    async def aclose(self) -> None:
        """Nothing to close."""


@pytest.mark.parametrize("answer", [reply(b"", "401 No"), reply(b"", "503 Busy"), b""], ids=["401", "503", "dropped"])
async def test_a_token_that_is_missed_after_the_call_was_sent_names_the_call(answer: bytes) -> None:
    """EnKash has seen the call under this id; a call that was never sent has none."""
    async with raw_server(Answers(answer)) as server:
        for tokens in ("t-1",), ():
            async with EnkashClient(
                server.base_url, tokens=Tokens(*tokens), store=MemoryStore(), retry=EAGER
            ) as client:
                with pytest.raises(TokenError) as caught:
                    await client.bills.get("U-1")
            assert caught.value.call_id == (ids_of(server)[0] if tokens else None)


class Vault(Tokens):
    """A provider that fails with an error of its own once its token was refused."""

    async def get_token(self, *, rejected: Token | None = None) -> Token:
        if rejected is not None:
            raise KeyError("vault")
        return await super().get_token()


async def test_a_provider_that_fails_after_a_401_does_not_say_that_nothing_was_sent() -> None:
    """The call was sent and refused; the error says so, and has its id."""
    async with raw_server(Answers(reply(b"", "401 No"))) as server:
        async with EnkashClient(server.base_url, tokens=Vault("t-1"), store=MemoryStore(), retry=ONCE) as client:
            with pytest.raises(TokenError) as caught:
                await client.bills.get("U-1")
    assert str(caught.value) == (
        "the token provider failed with KeyError; EnKash refused the call with the token before "
        f"[call {ids_of(server)[0]}]"
    )


async def test_a_login_that_fails_after_the_call_was_sent_has_its_own_id() -> None:
    """The login is what EnKash's operators have to look at."""
    token, denied = b'{"accessToken":"t-1","expiresIn":300}', b'{"error":"invalid_grant"}'
    answers = (reply(token), reply(b"", "401 No"), reply(denied, "400 Bad Request"))
    async with raw_server(Answers(*answers)) as server:
        who = Credentials("client", "secret", "user", "password")
        async with EnkashClient.from_credentials(server.base_url, who, store=MemoryStore()) as client:
            with pytest.raises(CredentialsRejectedError) as caught:
                await client.bills.get("U-1")
    assert caught.value.call_id == ids_of(server)[2]


@pytest.mark.parametrize("header", ["X-Request-Id", "X-Correlation-Id"])
@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (b'{"error":"invalid_grant"}', "400 Bad Request", CredentialsRejectedError),
        (b"", "500 Oops", TokenEndpointError),
        (b"{}", "200 OK", TokenReplyError),
    ],
)
async def test_a_failed_login_names_enkashs_request(
    body: bytes, status: str, kind: type[TokenError], header: str
) -> None:
    """Both ids are in the message and in attributes, as for a call; a secret that came back is not."""
    who = Credentials("client", "secret-9b1f", "user", "hunter2-of-ours")
    async with raw_server(Answers(reply(body, status, f"{header}: ek-77-hunter2-of-ours"))) as server:
        async with EnkashClient.from_credentials(server.base_url, who, store=MemoryStore(), retry=ONCE) as client:
            with pytest.raises(kind) as caught:
                await client.bills.get("U-1")
    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.call_id, error.request_id) == (ids_of(server)[0], "ek-77-***")
    assert str(error).endswith(f"[call {error.call_id}, EnKash's request id ek-77-***]")


async def test_a_reply_that_cannot_be_read_names_enkashs_request() -> None:
    """EnKash's operators find what they have answered."""
    async with client_of(reply(b"<html>", "200 OK", "X-Correlation-Id: ek-78")) as (client, _):
        with pytest.raises(ResponseDecodeError) as caught:
            await client.bills.get("U-1")
    assert caught.value.request_id == "ek-78"
    assert str(caught.value).endswith(f"[call {caught.value.call_id}, EnKash's request id ek-78]")


# --- what the log says ------------------------------------------------------------------------------------------------


async def test_every_log_line_of_a_call_has_its_id(caplog: pytest.LogCaptureFixture) -> None:
    """The id is in the text and in the record's attribute `call_id`, for attempts, pauses and a failed login."""
    caplog.set_level(logging.DEBUG, logger="enkash_async")
    async with client_of(b"", reply(b"", "503 Busy"), reply(BILL)) as (client, server):
        await client.bills.get("U-1")
    async with raw_server(Answers(reply(b"", "500 Oops"))) as other:
        who = Credentials("client", "secret", "user", "password")
        async with EnkashClient.from_credentials(other.base_url, who, store=MemoryStore()) as client:
            with pytest.raises(EnkashError):
                await client.bills.get("U-1")
    records = [record for record in caplog.records if record.name.startswith("enkash_async")]
    shown = [(getattr(record, "call_id", None), record.getMessage()) for record in records]
    assert len([text for _, text in shown if "again in" in text]) == 2
    assert len([text for _, text in shown if text.startswith("GET /api/v2/utilityPayment/U-1: ")]) == 3
    assert len([text for _, text in shown if text.startswith("no new token: TokenEndpointError: ")]) == 1
    assert {one for one, _ in shown} == {*ids_of(server), *ids_of(other)}
    assert all(f"[call {one}]" in text for one, text in shown)


async def test_a_quiet_log_costs_no_formatting(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is logged of a call at the level INFO."""
    caplog.set_level(logging.INFO, logger="enkash_async")
    async with client_of(reply(BILL)) as (client, _):
        await client.bills.get("U-1")
    assert not caplog.records


async def test_an_error_of_a_user_has_no_id() -> None:
    """A wrong argument led to no call."""
    async with client_of(reply(BILL)) as (client, server):
        with pytest.raises(ValueError, match="is empty") as caught:
            await client.bills.get("")
    assert isinstance(caught.value, EnkashError)
    assert caught.value.call_id is None
    assert server.requests == []
