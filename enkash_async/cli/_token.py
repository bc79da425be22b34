"""`enkash token`: tests the login and shows the state of the account in Redis, but never the token."""

from __future__ import annotations

import os
from contextlib import aclosing

import attrs
import click

from enkash_async._environment import Environment
from enkash_async.cli._output import json_option, print_json, print_line
from enkash_async.cli._run import finish
from enkash_async.tokens import ProviderState, StoreStatus

__all__ = ["token"]


@attrs.frozen(kw_only=True)
class _Login:
    """A login that worked.

    Attributes:
        base_url: Base URL of EnKash.
        expires_in: Lifetime of the token in seconds.
        state: State of the provider after the login.
    """

    base_url: str
    expires_in: float
    state: ProviderState


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def token(ctx: click.Context, as_json: bool) -> None:
    """Get a shared token, or log in, and tell how long it is valid; the token itself is never shown."""
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
    """Show the state of the account in Redis, without a login."""
    found = finish(_status())
    if as_json:
        print_json(found)
        return
    print_line(_looked_at())
    for line in _told(found):
        print_line(line)


@token.command("reset-guard")
def reset_guard() -> None:
    """Let all workers try refused credentials again; first make sure that the credentials are right."""
    before = finish(_reset())
    print_line(_looked_at())
    if before.locked or before.barred_in_all or before.attempts or before.cooling:
        print_line("The guard is open again: the next worker that needs a token logs in.")
    else:
        print_line("The guard was open already; nothing has changed.")


def _looked_at() -> str:
    """Return a line that names the account: it reveals a mistyped user name, which stands for another account."""
    environment = Environment(os.environ)
    return f"{environment.base_url}, keys enkash:v1:{{{environment.grant().identity.account}}}:*"


async def _log_in() -> _Login:
    environment = Environment(os.environ)
    async with aclosing(environment.provider(environment.grant())) as provider:
        expires_in = (await provider.get_token()).expires_in
        return _Login(base_url=environment.base_url, expires_in=expires_in, state=provider.state())


async def _status() -> StoreStatus:
    environment = Environment(os.environ)
    async with aclosing(environment.redis_provider(environment.grant())) as provider:
        return await provider.status()


async def _reset() -> StoreStatus:
    environment = Environment(os.environ)
    async with aclosing(environment.redis_provider(environment.grant())) as provider:
        before = await provider.status()
        await provider.reset_guard()
        return before


def _told(found: StoreStatus) -> list[str]:
    lines = [_token_line(found)]
    if found.logging_in:
        lines.append("A worker is logging in.")
    if found.cooling:
        lines.append(f"The next login may be tried in {found.cooling:.1f} s, after {found.failures} failures in a row.")
    return [*lines, _guard_line(found)]


def _token_line(found: StoreStatus) -> str:
    if found.generation is None:
        return "No token is stored."
    kept = f"sealed with key {found.sealed_with}" if found.sealed_with else "in plain text"
    unread = "" if found.readable else "; this process cannot read it with its keys"
    return (
        f"A token is stored for another {found.remaining or 0:.0f} s, {kept} (generation {found.generation}){unread}."
    )


def _guard_line(found: StoreStatus) -> str:
    reset = "put it right, then run: enkash token reset-guard"
    if found.locked:
        return f"No login is made: EnKash says that the account is locked; {reset}"
    if found.barred:
        return f"No login is made with these credentials: EnKash refused them; correct them, or {reset}"
    if not found.proven and found.attempts >= found.budget:
        return f"No login is made: {found.attempts} attempts may have counted at EnKash; {reset}"
    worked = "have worked" if found.proven else f"have not worked yet; attempts: {found.attempts} of {found.budget}"
    return f"Logins are open: these credentials {worked}."
