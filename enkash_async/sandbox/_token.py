"""The login: takes a form and returns a token reply in one of three styles."""

from __future__ import annotations

import base64
import binascii
import urllib.parse
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias

from enkash_async.sandbox._accounts import Accounts, IssuedToken, LoginRefusal, LoginRefusedError, TokenState
from enkash_async.sandbox._reply import Reply, json_reply

__all__ = ["TokenStyle", "bearer_refusal", "log_in"]

TokenStyle: TypeAlias = Literal["camel", "snake", "legacy"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FORM = "application/x-www-form-urlencoded"

# The error words of RFC 6749, as a sister product of EnKash uses them; EnKash documents no error body for this call.
_REFUSALS = {
    LoginRefusal.WRONG_CLIENT: (401, "invalid_client", "Bad client credentials"),
    LoginRefusal.BAD_CREDENTIALS: (400, "invalid_grant", "Bad credentials"),
    LoginRefusal.LOCKED: (400, "invalid_grant", "User account is locked"),
}


def log_in(accounts: Accounts, authorization: str, content_type: str, raw: bytes, style: TokenStyle) -> Reply:
    """Answer a login.

    Args:
        accounts: The user, the lock and the tokens.
        authorization: The Authorization header, or "" without one.
        content_type: Media type of the body.
        raw: The body.
        style: `camel` is the documented reply, `snake` that of RFC 6749, `legacy` that of older pages, with an
            expiry in epoch milliseconds.

    EnKash page: Generate Authentication Token (api-12704314).
    """
    if content_type != _FORM:
        return _error(400, "invalid_request", f"The body must be {_FORM}")
    form = dict(urllib.parse.parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True))
    try:
        accounts.check_client(*_basic(authorization), form.get("clientId", ""))
        if form.get("grant_type") != "password":
            return _error(400, "unsupported_grant_type", "grant_type must be password")
        token = accounts.log_in(form.get("username", ""), form.get("password", ""))
    except LoginRefusedError as refused:
        return _error(*_REFUSALS[refused.refusal])
    return json_reply(200, _token(token, style))


def _basic(authorization: str) -> tuple[str, str]:
    """Return client id and secret of a Basic header; for any other header, two empty strings, which match no client."""
    scheme, _, encoded = authorization.partition(" ")
    try:
        decoded = base64.b64decode(encoded, validate=True).decode() if scheme.lower() == "basic" else ""
    except (binascii.Error, UnicodeDecodeError):
        decoded = ""
    client_id, _, client_secret = decoded.partition(":")
    return client_id, client_secret


def _error(status: int, error: str, description: str) -> Reply:
    return json_reply(status, {"error": error, "error_description": description})


def _token(token: IssuedToken, style: TokenStyle) -> dict[str, object]:
    # The documented number is an integer: a lifetime below one second is announced as 0.
    seconds = int(token.lifetime)
    if style == "camel":
        return {
            "accessToken": token.access_token,
            "tokenType": "bearer",
            "expiresIn": seconds,
            "refreshToken": token.refresh_token,
        }
    if style == "snake":
        return {
            "access_token": token.access_token,
            "token_type": "bearer",
            "refresh_token": token.refresh_token,
            "expires_in": seconds,
            "scope": "read write trust",
        }
    expiry = token.issued_at + timedelta(seconds=token.lifetime)
    return {
        "token": token.access_token,
        "expiry": (expiry - _EPOCH) // timedelta(milliseconds=1),
        "resultCode": 200,
        "resultMessage": "Success",
    }


def bearer_refusal(accounts: Accounts, authorization: str) -> str | None:
    """Return what is wrong with the Authorization header of a call, or None when its token is valid."""
    scheme, _, access_token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not access_token:
        return "Full authentication is required"
    state = accounts.verify(access_token)
    return None if state is TokenState.VALID else f"Access token is {state.value}"
