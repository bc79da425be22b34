"""A token that the application renews by itself."""

from __future__ import annotations

import pytest
from tokens.doubles import Clock

from enkash_async import StaticTokenProvider
from enkash_async.errors import LoginGuardError, TokenError
from enkash_async.tokens import Token, TokenProvider


async def test_it_hands_out_its_token(clock: Clock) -> None:
    """The provider returns the given object itself."""
    token = Token("at-fixed", 60.0, clock())
    provider = StaticTokenProvider(token, clock=clock)
    assert isinstance(provider, TokenProvider)
    assert await provider.get_token() is token


async def test_a_bare_string_never_expires(clock: Clock) -> None:
    """The provider returns it for ever, because its end is unknown."""
    provider = StaticTokenProvider("at-fixed", clock=clock)
    clock.now += 1e9
    assert (await provider.get_token()).authorization == "Bearer at-fixed"


@pytest.mark.parametrize(("passed", "lives"), [(59.0, True), (60.0, False), (61.0, False)])
async def test_a_dead_token_is_not_handed_out(clock: Clock, passed: float, lives: bool) -> None:
    """The provider raises, because it cannot renew the token."""
    provider = StaticTokenProvider(Token("at-fixed", 60.0, clock()), clock=clock)
    clock.now += passed
    if lives:
        assert (await provider.get_token()).reveal() == "at-fixed"
    else:
        with pytest.raises(TokenError, match="expired"):
            await provider.get_token()


async def test_a_refused_token_is_not_handed_out_again() -> None:
    """The provider raises, because the same token would get a second 401."""
    provider = StaticTokenProvider("at-fixed")
    token = await provider.get_token()
    with pytest.raises(LoginGuardError) as caught:
        await provider.get_token(rejected=token)
    assert caught.value.reason == "renewal"


async def test_closing_changes_nothing() -> None:
    """The provider holds nothing open and can be closed twice."""
    provider = StaticTokenProvider("at-fixed")
    await provider.aclose()
    await provider.aclose()
    assert (await provider.get_token()).reveal() == "at-fixed"
