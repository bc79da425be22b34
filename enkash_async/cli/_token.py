"""`enkash token`: tests the login and shows the state of the account in the store, but never the token."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import attrs
import click

from enkash_async._environment import Environment
from enkash_async.cli._output import json_option, print_json, print_line
from enkash_async.cli._run import finish, warn_of_fallback
from enkash_async.stores import record_key
from enkash_async.tokens import ProviderState, StoreTokenProvider

__all__ = ["token"]


@attrs.frozen(kw_only=True)
class _Login:
    """A login that worked.

    Attributes:
        base_url: Base URL of EnKash.
        expires_in: Lifetime of the token in seconds.
        state: State of the token provider after the login.
    """

    base_url: str
    expires_in: float
    state: ProviderState


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def token(ctx: click.Context, as_json: bool) -> None:
    """Get a shared token, or log in, and show how long the token is valid; the token itself is never shown."""
    if ctx.invoked_subcommand is not None:
        return
    login = finish(_log_in())
    if as_json:
        print_json(login)
        return
    how = "Login works" if login.state.logins else "A shared token serves"
    print_line(f"{how}: {login.base_url}")
    print_line(f"The token is good for {login.state.remaining or 0:.0f} s (generation {login.state.generation}).")


@token.command()
@json_option
def status(as_json: bool) -> None:
    """Show the state of the account in the store, without a login."""
    found = finish(_look())
    if as_json:
        print_json(found)
        return
    print_line(_looked_at())
    print_line(_token_line(found))
    print_line(_guard_line(found))


@token.command("reset-guard")
def reset_guard() -> None:
    """Grant the credentials one more login attempt; first make sure that they are right."""
    before = finish(_reset())
    print_line(_looked_at())
    if before.barred or before.charged or before.cooling:
        print_line("The next process that needs a token may log in once; if that fails, run this again.")
    else:
        print_line("The guard was open already.")


def _looked_at() -> str:
    """Return a line that names the account, so that users notice a mistyped user name."""
    environment = Environment(os.environ)
    account = environment.grant().identity.account
    return f"{environment.base_url}, {environment.store()!r}, {record_key('token', account)}"


@asynccontextmanager
async def _provider() -> AsyncIterator[StoreTokenProvider]:
    environment = Environment(os.environ)
    grant, store = environment.grant(), environment.store()
    warn_of_fallback(store)
    async with aclosing(store):
        provider = StoreTokenProvider(
            grant, store, sealer=environment.sealer(), login_timeout=environment.login_timeout()
        )
        async with aclosing(provider):
            yield provider


async def _log_in() -> _Login:
    async with _provider() as provider:
        expires_in = (await provider.get_token()).expires_in
        return _Login(base_url=Environment(os.environ).base_url, expires_in=expires_in, state=provider.state())


async def _look() -> ProviderState:
    async with _provider() as provider:
        return await provider.look()


async def _reset() -> ProviderState:
    async with _provider() as provider:
        before = await provider.look()
        await provider.reset_guard()
        return before


def _token_line(found: ProviderState) -> str:
    if found.remaining is None:
        return "No token is stored that this process can read."
    return f"A token is stored for another {found.remaining:.0f} s (generation {found.generation})."


def _guard_line(found: ProviderState) -> str:
    reset = "put it right, then run: enkash token reset-guard"
    if found.barred == "locked":
        return f"No login is made: EnKash says that the account is locked; {reset}"
    if found.barred == "rejected":
        return f"No login is made with these credentials: EnKash refused them; correct them, or {reset}"
    if found.barred == "budget":
        return f"No login is made: {found.charged} attempts may have counted at EnKash; {reset}"
    if found.cooling:
        return f"The next login may be made in {found.cooling:.1f} s."
    worked = "have worked" if found.proven else "have not worked yet"
    return f"Logins are open: these credentials {worked}; attempts that may have counted: {found.charged} of 2."
