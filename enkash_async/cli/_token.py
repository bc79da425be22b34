"""`enkash token`: whether the login works, without showing what it brings."""

from __future__ import annotations

import os
from contextlib import aclosing

import attrs
import click

from enkash_async.cli._output import json_option, print_json, print_line
from enkash_async.cli._run import finish
from enkash_async.client import _Variables
from enkash_async.tokens import InMemoryTokenProvider, PasswordGrant, ProviderState

__all__ = ["token"]


@attrs.frozen(kw_only=True)
class _Login:
    """A login that worked.

    Attributes:
        base_url: Where.
        expires_in: The token's lifetime in seconds.
        state: What the provider knows after it.
    """

    base_url: str
    expires_in: float
    state: ProviderState


@click.command()
@json_option
def token(as_json: bool) -> None:
    """Log in once and tell for how long; the token is never shown."""
    login = finish(_log_in())
    if as_json:
        print_json(login)
        return
    print_line(f"Login works: {login.base_url}")
    print_line(f"The token is good for {login.expires_in:.10g} s (generation {login.state.generation}).")


async def _log_in() -> _Login:
    base_url, credentials = _Variables(os.environ).settings()
    async with aclosing(InMemoryTokenProvider(PasswordGrant(base_url, credentials))) as provider:
        expires_in = (await provider.get_token()).expires_in
        return _Login(base_url=base_url, expires_in=expires_in, state=provider.state())
