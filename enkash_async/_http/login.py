"""The login of `POST /oauth/token`: one attempt, and what its answer means."""

from __future__ import annotations

import re
import time
from base64 import b64encode
from collections.abc import Callable
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import attrs

from enkash_async._http.transport import Transport
from enkash_async._support import exact_json
from enkash_async._support.clock import instant
from enkash_async._support.headers import is_visible
from enkash_async._support.secret import Secret
from enkash_async._support.urls import checked_base_url
from enkash_async._wire.operation import Request, Response
from enkash_async._wire.retry_after import parse_retry_after
from enkash_async.config import Timeouts
from enkash_async.errors import (
    ConfigurationError,
    CredentialsRejectedError,
    ResponseDecodeError,
    TokenEndpointError,
    TokenError,
    TokenReplyError,
    TransportError,
)
from enkash_async.tokens._credentials import Credentials, Identity
from enkash_async.tokens._types import Token

if TYPE_CHECKING:
    import aiohttp

__all__ = ["LOGIN_TIMEOUTS", "PasswordGrant"]

LOGIN_TIMEOUTS = Timeouts(total=8.0, connect=3.0)
_MAX_REPLY = 1024 * 1024  # bytes; a token reply has a few hundred

_REFUSING = frozenset({401, 403, 423})
# A 400 with one of these words is about the request, and no password was looked at.
_HARMLESS = frozenset(
    {"invalid_request", "invalid_scope", "server_error", "temporarily_unavailable", "unsupported_grant_type"}
)
# Only words that are known are repeated: this member of the reply could as well hold what was sent.
_OAUTH_ERRORS = _HARMLESS | {
    "access_denied", "account_locked", "invalid_client", "invalid_grant", "invalid_token", "server_error",
    "unauthorized", "unauthorized_client",
}  # fmt: skip
_UNLOCK = "have the account unlocked"
_CHECK_CLIENT = "check client id, client secret and form client id"
_CHECK_ALL = "check client id, client secret, form client id, username and password"
# "ACCOUNT_LOCKED", "has been locked"; not "blocked", "unlocked", "deadlocked", nor Spring's "accountNonLocked".
_LOCKED = re.compile(rb"(?<!un)(?<!non)(?<!dead)(?<![bcf])locked", re.IGNORECASE)
_LONGEST_TOKEN = 16_384  # characters; servers refuse longer header lines
_NUMBER = re.compile(r"\d{1,18}(\.\d{1,18})?", re.ASCII)


@attrs.frozen
class _Reply:
    """What a token reply says; made where the body is read, so that nobody else has to hold the body."""

    access_token: Secret | None = None
    expires_in: float = 0.0
    error: str | None = None


class PasswordGrant:
    """Logs in with `grant_type=password`; one attempt a call, never repeated here.

    EnKash page: Generate Authentication Token (api-12704314).

    Args:
        base_url: Such as `https://host`; EnKash documents no single host for bill payment.
        credentials: What EnKash gave you.
        session: Your own aiohttp session, which is never closed; None opens one for each login, so that a provider
            can serve several event loops.
        timeout: Bounds of the attempt; 8 s in all and 3 s to connect.
        path: Path of the token route.
        allow_insecure: Take plain `http` for hosts other than this machine.
        clock: Monotonic seconds, for the age of the token.
        wall_clock: Seconds since 1970, for replies that name an instant of expiry and no `Date`.

    Raises:
        ConfigurationError: The base URL is unusable.
    """

    def __init__(
        self,
        base_url: str,
        credentials: Credentials,
        *,
        session: aiohttp.ClientSession | None = None,
        timeout: Timeouts = LOGIN_TIMEOUTS,
        path: str = "/oauth/token",
        allow_insecure: bool = False,
        clock: Callable[[], float] = instant,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        if not isinstance(credentials, Credentials):
            raise ConfigurationError(f"credentials must be Credentials(…), not {type(credentials).__name__}")
        self._base_url = checked_base_url(base_url, allow_insecure=allow_insecure)
        self._credentials = credentials
        self._session = session
        self._timeout = timeout
        self._path = path
        self._clock = clock
        self._wall_clock = wall_clock
        self._identity = Identity.of(self._base_url, credentials)

    @property
    def identity(self) -> Identity:
        """Names the account and the credentials by hashes, which reveal neither."""
        return self._identity

    async def fetch_token(self) -> Token:
        """Log in once.

        Raises:
            CredentialsRejectedError: EnKash refused the credentials (401, 403, 423, 400, or a text that says locked).
            TokenReplyError: Success, but no token can be read from the reply.
            TokenEndpointError: Anything else; `counted` is True where EnKash may have counted the attempt.
        """
        requested_at = self._clock()
        response = await self._post()
        if isinstance(response, TokenError):
            raise response
        reply = _read(response, self._wall_clock)
        if not response.is_success:
            raise _refusal(response, response.status, reply.error)
        if reply.access_token is None:
            raise _without_token(response, reply.error)
        return Token(reply.access_token, reply.expires_in, requested_at)

    async def _post(self) -> Response | TokenError:
        transport = Transport(
            self._base_url, session=self._session, timeout=self._timeout, max_response_bytes=_MAX_REPLY
        )
        try:
            return await transport.send(self._request(), self._authorization())
        except TransportError as problem:
            return TokenEndpointError(f"the login failed: {problem}", counted=problem.sent)
        except ResponseDecodeError as problem:
            if not 200 <= problem.status < 300:
                return Response(status=problem.status, headers={}, body=b"")  # the status says enough
            return TokenReplyError(
                "the login's reply is far larger than a token", status=problem.status, content_type=problem.content_type
            )
        finally:
            await transport.aclose()

    def _authorization(self) -> Secret:
        who = self._credentials
        return Secret("Basic " + b64encode(f"{who.client_id}:{who.client_secret}".encode()).decode("ascii"))

    def _request(self) -> Request:
        who = self._credentials
        return Request(
            method="POST",
            path=self._path,
            content_type="application/x-www-form-urlencoded",
            body=urlencode(
                {
                    "username": who.username,
                    "password": who.password,
                    "grant_type": "password",
                    "clientId": who.form_client_id if who.form_client_id is not None else who.client_id,
                }
            ).encode("ascii"),
        )


def _read(response: Response, wall_clock: Callable[[], float]) -> _Reply:
    """Read a reply in any of the shapes that EnKash's products show; never raises.

    Seen are `accessToken`/`expiresIn`, `access_token`/`expires_in`, and `token`/`expiry` in epoch milliseconds.
    """
    try:
        document = exact_json.loads(response.body)
    except ValueError:
        return _Reply()
    if isinstance(document, dict) and isinstance(document.get("payload"), dict):
        document = {**document["payload"], **document}
    if not isinstance(document, dict):
        return _Reply()
    error = document.get("error")
    return _Reply(
        access_token=_access_token(document),
        expires_in=_lifetime(document, response, wall_clock),
        error=error if isinstance(error, str) and error in _OAUTH_ERRORS else None,
    )


def _access_token(document: dict[str, Any]) -> Secret | None:
    for name in ("accessToken", "access_token", "token"):
        value = document.get(name)
        if isinstance(value, str) and len(value.strip()) <= _LONGEST_TOKEN and is_visible(value.strip()):
            return Secret(value.strip())
    return None


def _lifetime(document: dict[str, Any], response: Response, wall_clock: Callable[[], float]) -> float:
    """Return the lifetime in seconds, 0 where the reply names none that can be read."""
    for name in ("expiresIn", "expires_in"):
        seconds = _number(document.get(name))
        if seconds > 0:
            return seconds
    expiry = _number(document.get("expiry"))
    return expiry / 1000 - _now(response, wall_clock) if expiry > 0 else 0.0


def _number(value: object) -> float:
    """Return a number or a numeric string as a float, 0 for anything else."""
    if isinstance(value, str):
        return float(value) if _NUMBER.fullmatch(value.strip()) else 0.0
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        return 0.0
    try:
        return float(value)
    except OverflowError:
        return 0.0


def _now(response: Response, wall_clock: Callable[[], float]) -> float:
    """Return EnKash's time of day, from the reply itself where possible: this machine's clock may be off."""
    try:
        # The header counts whole seconds: the true time may be almost one later.
        return parsedate_to_datetime(response.headers["date"]).timestamp() + 1
    except (KeyError, ValueError, OverflowError):
        return wall_clock()


def _refusal(response: Response, status: int, error: str | None) -> TokenError:
    """Return the error of a refused login; `status` is what the reply amounts to, whatever it was sent with."""
    locked = status == 423 or _says_locked(response)
    said = f"HTTP {response.status}" + (f", {error}" if error else "")
    if locked or status in _REFUSING or (status == 400 and error not in _HARMLESS):
        advice = _UNLOCK if locked else _CHECK_CLIENT if error == "invalid_client" else _CHECK_ALL
        return CredentialsRejectedError(
            f"EnKash refused the login ({said}): {advice}. They are not tried again here; a process that shares no "
            "token store would, and several wrong logins may lock the account",
            status=response.status,
            error=error,
            locked=locked,
        )
    where = "; is the base URL right?" if status in {404, 405} else ""
    return TokenEndpointError(
        f"the login failed ({said}){where}",
        retry_after=parse_retry_after(response.headers.get("retry-after"), response.headers.get("date")),
    )


def _says_locked(response: Response) -> bool:
    # A gateway's HTML page may well speak of something else that is locked.
    return response.body.lstrip()[:1] != b"<" and bool(_LOCKED.search(response.body))


def _without_token(response: Response, error: str | None) -> TokenError:
    if error is not None or _says_locked(response):
        return _refusal(response, 400 if error in _HARMLESS else 401, error)
    kind = response.content_type or "no content type"
    return TokenReplyError(
        f"the login was answered HTTP {response.status} ({kind}) without a token that can be read; check the base URL",
        status=response.status,
        content_type=response.content_type,
    )
