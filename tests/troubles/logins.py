"""Logins that fail, and what the guard says after them."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from enkash_async import Credentials, MemoryStore, StaticTokenProvider
from enkash_async.errors import EnkashError

from support import reply
from troubles import SECRET, WHO, Stage, Told, answering, failure, row
from troubles.replies import not_logged_in, silence


def wrong(stage: Stage, **values: str) -> Credentials:
    """Return the credentials of the sandbox with other values."""
    known = stage.sandbox.credentials
    names = ("client_id", "client_secret", "username", "password", "form_client_id")
    return Credentials(**{**{name: getattr(known, name) for name in names}, **values})


async def refused(stage: Stage, **values: str) -> Exception:
    client = await stage.logging_in(who=wrong(stage, **values))
    return await failure(client.bills.get("U-1"))


@row("EnKash refused the login (HTTP …): check client id, client secret, form client id, username and password")
async def wrong_password(stage: Stage) -> Sequence[Told]:
    denied = reply(b'{"error":"invalid_grant"}', "401 Unauthorized")
    return [*await not_logged_in(stage, reply(b"", "403 Forbidden"), denied)]


@row("Most likely the cause: … begins with a blank")
async def blank(stage: Stage) -> Sequence[Told]:
    return [await refused(stage, password=f" {SECRET}")]


@row("Most likely the cause: … begins and ends with a quotation mark")
async def quoted(stage: Stage) -> Sequence[Told]:
    return [await refused(stage, password=f'"{SECRET}"'), await refused(stage, username="'user@example.com'")]


@row("Most likely the cause: … holds an invisible character (character …")
async def invisible(stage: Stage) -> Sequence[Told]:
    return [await refused(stage, password=f"{SECRET[:3]}\u200b{SECRET[3:]}")]


@row("(HTTP …, invalid_client): check client id, client secret and form client id")
async def wrong_client(stage: Stage) -> Sequence[Told]:
    return [await refused(stage, client_secret=SECRET)]


@row(": have the account unlocked")
async def locked(stage: Stage) -> Sequence[Told]:
    return await not_logged_in(
        stage, reply(b'{"error":"invalid_grant","error_description":"User is locked"}', "400 Bad")
    )


async def barred(stage: Stage, *answers: bytes) -> list[Told]:
    """Return what the second call ends with, for each answer to the login of the first."""
    clients = [await stage.logging_in(await stage.serve(answering(answer)), who=WHO) for answer in answers]
    for client in clients:
        await failure(client.bills.get("U-1"))
    return [await failure(client.bills.get("U-1")) for client in clients]


@row("no login was attempted, since EnKash refused these credentials or gave no token for them")
async def rejected(stage: Stage) -> Sequence[Told]:
    return await barred(stage, reply(b'{"error":"invalid_grant"}', "400 Bad"))


@row("no login was attempted, since too many failed that EnKash may have counted")
async def budget(stage: Stage) -> Sequence[Told]:
    store = MemoryStore()
    url = await stage.serve(answering(reply(b'{"error":"invalid_grant"}', "400 Bad")))
    found: Exception = EnkashError()
    for number in range(3):  # three passwords in a row
        who = Credentials("client", SECRET, "user@example.com", f"{SECRET}-{number}")
        found = await failure((await stage.logging_in(url, who=who, store=store)).bills.get("U-1"))
    return [found]


@row("no login was attempted, since EnKash says that the account is locked")
async def locked_before(stage: Stage) -> Sequence[Told]:
    return await barred(stage, reply(b'{"error":"account_locked"}', "400 Bad"))


@row("no login is made for another … s: one failed a moment ago")
async def cooldown(stage: Stage) -> Sequence[Told]:
    return await barred(stage, reply(b"", "500 Internal Server Error"))


@row("EnKash refused the fixed token, which cannot be renewed here")
async def fixed_token(stage: Stage) -> Sequence[Told]:
    tokens = StaticTokenProvider(SECRET)
    return [await failure(tokens.get_token(rejected=await tokens.get_token()))]


@row("the login was given up after … s without an answer: raise login_timeout")
async def slow_login(stage: Stage) -> Sequence[Told]:
    client = await stage.logging_in(await stage.serve(silence), login_timeout=0.3)
    return [await failure(client.bills.get("U-1"))]


@row("the login failed (HTTP 404); is the base URL right?")
async def wrong_path(stage: Stage) -> Sequence[Told]:
    return await not_logged_in(stage, reply(b"<html>", "404 Not Found"))


@row("without a token that can be read")
async def no_token(stage: Stage) -> Sequence[Told]:
    return await not_logged_in(stage, reply(b"<html>", "200 OK", "Content-Type: text/html"), reply(b"{}"))


@row("EnKash gave a token lifetime of")
async def no_lifetime(stage: Stage) -> Sequence[Told]:
    url = await stage.serve(answering(reply(f'{{"accessToken":"{SECRET}","expiresIn":0}}'.encode())))
    await (await stage.logging_in(url, who=WHO)).tokens.get_token()
    return logged(stage, "lifetime")


@row("no new token: ")
async def not_renewed(stage: Stage) -> Sequence[Told]:
    await not_logged_in(stage, reply(b"", "500 Internal Server Error"))
    return logged(stage, "no new token")


def logged(stage: Stage, words: str) -> list[Told]:
    """Return the warnings with these words."""
    records = [record for record in stage.caplog.records if record.levelno >= logging.WARNING]
    return [text for record in records if words in (text := record.getMessage())]
