"""The login with `POST /oauth/token`: makes one attempt, and interprets the reply."""

from __future__ import annotations

import re
import time
from base64 import b64encode
from collections.abc import Callable
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlencode

import attrs

from enkash_async._http.proxy import checked_proxy
from enkash_async._http.transport import Transport
from enkash_async._support import exact_json
from enkash_async._support.call_ids import new_call_id
from enkash_async._support.clock import instant
from enkash_async._support.headers import is_visible
from enkash_async._support.secret import HiddenStr, Secret
from enkash_async._support.urls import checked_base_url
from enkash_async._wire.envelope import request_id_of
from enkash_async._wire.hints import media_type, of_packing, of_status
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
from enkash_async.tokens._credentials import Credentials, Identity, seal_key
from enkash_async.tokens._types import Token

if TYPE_CHECKING:
    import aiohttp

__all__ = ["LOGIN_TIMEOUTS", "PasswordGrant"]

#: `total` is the largest `login_timeout` of a provider, so that the provider's own time-out ends a login first.
LOGIN_TIMEOUTS = Timeouts(total=110.0, connect=5.0)
_MAX_REPLY = 1024 * 1024  # bytes; a token reply has a few hundred bytes

_TOO_MANY = 429
_REFUSING = frozenset({401, 403, 423})
# With these statuses, «locked» means the account. With other statuses, it may mean a database.
_SPEAKING = frozenset({200, 400, 401, 403, 423, 429})
_ACCOUNT_LOCKED = re.compile(rb"(account|user)[\s_a-z\"':-]{0,40}locked|^\W*locked\W*$", re.IGNORECASE)
# These errors are about the request or the server, and not about the credentials.
_OTHER = frozenset({"server_error", "temporarily_unavailable", "unsupported_grant_type"})
# Messages repeat only these known errors: EnKash could put a part of the request, such as the password, into `error`.
_OAUTH_ERRORS = _OTHER | {
    "access_denied", "account_locked", "invalid_client", "invalid_grant", "invalid_request", "invalid_scope",
    "invalid_token", "unauthorized", "unauthorized_client",
}  # fmt: skip
_UNLOCK = "have the account unlocked"
_CHECK_CLIENT = "check client id, client secret and form client id"
_CHECK_ALL = "check client id, client secret, form client id, username and password"
# Matches "ACCOUNT_LOCKED" and "has been locked", but not "blocked", "unlocked", "deadlocked" or "accountNonLocked".
_LOCKED = re.compile(rb"(?<!un)(?<!non)(?<!dead)(?<![bcf])locked", re.IGNORECASE)
_LONGEST_TOKEN = 16_384  # characters; servers refuse longer header lines
_NO_REFUSAL = re.compile(r"0|[25]\d\d", re.ASCII)  # codes of success, and of a server that failed
_NUMBER = re.compile(r"\d{1,18}(\.\d{1,18})?", re.ASCII)


@attrs.frozen
class _Reply:
    """The contents of a token reply, so that no other function has to hold the body with its secret."""

    access_token: Secret | None = None
    expires_in: float = 0.0
    error: str | None = None
    is_failure: bool = False  # whether the reply's own code is that of a failure


class PasswordGrant:
    """Logs in with `grant_type=password`. Each call makes one attempt, and never retries.

    EnKash page: Generate Authentication Token (api-12704314).

    Args:
        base_url: Such as `https://host`; EnKash documents no single host for bill payment.
        credentials: The credentials that EnKash gave you.
        session: Your own aiohttp session, which is never closed. None opens a session for each login, so that a
            provider can serve several event loops.
        timeout: Time limits of the attempt, by default 110 s in all and 5 s to connect. The provider's `login_timeout`
            usually ends an attempt earlier.
        path: Path of the token route.
        allow_insecure: Accept plain `http` for hosts other than this machine.
        proxy: URL of the HTTP proxy for the sessions opened here; None follows `HTTPS_PROXY` and `NO_PROXY`.
        clock: Returns monotonic seconds, for the age of the token.
        wall_clock: Returns seconds since 1970, for replies with an instant of expiry but without a `Date` header.

    Raises:
        ConfigurationError: The base URL or the proxy is unusable.
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
        proxy: str | None = None,
        clock: Callable[[], float] = instant,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        if not isinstance(credentials, Credentials):
            raise ConfigurationError(f"credentials must be Credentials(…), not {type(credentials).__name__}")
        self._base_url = checked_base_url(base_url, allow_insecure=allow_insecure)
        self._credentials = credentials
        self._session = session
        self._proxy = None if proxy is None else HiddenStr(checked_proxy(proxy))
        self._timeout = timeout
        self._path = path
        self._clock = clock
        self._wall_clock = wall_clock
        self._identity = Identity.of(self._base_url, credentials)
        self._seal_key = Secret(seal_key(credentials, self._identity.account).hex())

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a PasswordGrant is not pickled; make one where it is needed")

    @property
    def identity(self) -> Identity:
        """Identifies the account and the credentials by hashes, which reveal neither."""
        return self._identity

    @property
    def seal_key(self) -> bytes:
        """The key that seals tokens of these credentials in a store; it is derived from the credentials."""
        return bytes.fromhex(self._seal_key.reveal())

    async def fetch_token(self) -> Token:
        """Log in once.

        Raises:
            CredentialsRejectedError: EnKash refused the credentials (400, 401, 403, 423, or a text that says that the
                account is locked).
            TokenReplyError: EnKash answered with success, but without a readable token.
            TokenEndpointError: The login failed otherwise; `counted` is True if EnKash may have counted the attempt.
        """
        requested_at, call_id = self._clock(), new_call_id()
        response = await self._post(call_id)
        result = response if isinstance(response, TokenError) else self._meaning(response, requested_at)
        if isinstance(result, TokenError):
            result.call_id = call_id
            if isinstance(response, Response):
                secrets = (self._credentials.client_secret, self._credentials.password)
                result.request_id = request_id_of(response, secrets)
                del secrets  # keeps secrets out of rendered tracebacks, which show the locals of this frame
            raise result
        return result

    def _meaning(self, response: Response, requested_at: float) -> Token | TokenError:
        reply = _read(response, self._wall_clock)
        doubts = self._credentials.doubts()
        if not response.is_success:
            return _refusal(response, response.status, reply.error, doubts)
        if reply.access_token is None:
            return _without_token(response, reply.error, doubts, is_failure=reply.is_failure)
        return Token(reply.access_token, reply.expires_in, requested_at)

    async def _post(self, call_id: str) -> Response | TokenError:
        transport = Transport(
            self._base_url,
            session=self._session,
            timeout=self._timeout,
            max_response_bytes=_MAX_REPLY,
            proxy=self._proxy,
        )
        try:
            # The server may be closing a kept connection: EnKash could then count the login, but return no token.
            return await transport.send(self._request(), self._authorization(), alone=True, call_id=call_id)
        except TransportError as problem:
            if problem.status >= 400:
                return Response(status=problem.status, headers={}, body=b"")  # the status tells enough without a body
            return TokenEndpointError(f"the login failed: {problem}", counted=problem.sent)
        except ResponseDecodeError as problem:
            if not 200 <= problem.status < 300:
                return Response(status=problem.status, headers={}, body=b"")  # the status tells enough without a body
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
    """Read a reply in any of the forms that EnKash's products use; never raises.

    Known forms are `accessToken`/`expiresIn`, `access_token`/`expires_in`, and `token`/`expiry` in milliseconds since
    1970.
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
        is_failure=_is_failure(document),
    )


def _is_failure(document: dict[str, Any]) -> bool:
    """Whether the reply's code refuses the login; sister products of EnKash put an HTTP status there."""
    named = (document.get(name) for name in ("response_code", "code", "resultCode"))
    code = str(next((code for code in named if code is not None), 0))
    return _NO_REFUSAL.fullmatch(code) is None


def _access_token(document: dict[str, Any]) -> Secret | None:
    for name in ("accessToken", "access_token", "token"):
        value = document.get(name)
        if isinstance(value, str) and len(value.strip()) <= _LONGEST_TOKEN and is_visible(value.strip()):
            return Secret(value.strip())
    return None


def _lifetime(document: dict[str, Any], response: Response, wall_clock: Callable[[], float]) -> float:
    """Return the lifetime in seconds; 0 if the reply has no readable lifetime."""
    for name in ("expiresIn", "expires_in"):
        seconds = _number(document.get(name))
        if seconds > 0:
            return seconds
    expiry = _number(document.get("expiry"))
    return expiry / 1000 - _now(response, wall_clock) if expiry > 0 else 0.0


def _number(value: object) -> float:
    """Return a number or a numeric string as a float; 0 for anything else."""
    if isinstance(value, str):
        return float(value) if _NUMBER.fullmatch(value.strip()) else 0.0
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        return 0.0
    try:
        return float(value)
    except OverflowError:
        return 0.0


def _now(response: Response, wall_clock: Callable[[], float]) -> float:
    """Return EnKash's time, if possible from the reply's `Date` header, since this machine's clock may be wrong."""
    try:
        # The header gives whole seconds, so the true time may be almost one second later.
        return parsedate_to_datetime(response.headers["date"]).timestamp() + 1
    except (KeyError, ValueError, OverflowError):
        return wall_clock()


def _refusal(response: Response, status: int, error: str | None, doubts: str) -> TokenError:
    """Return the error of a failed login.

    Args:
        response: The reply.
        status: Status by which the reply is judged; it may differ from the reply's HTTP status.
        error: The OAuth error of the reply, or None.
        doubts: What looks wrong with the credentials, as `Credentials.doubts` tells it.
    """
    locked = error == "account_locked" or _says_locked(response)
    said = f"HTTP {response.status}" + (f", {error}" if error else "")
    if locked or status in _REFUSING or (status == 400 and error not in _OTHER):
        advice = _UNLOCK if locked else _CHECK_CLIENT if error == "invalid_client" else _CHECK_ALL
        return CredentialsRejectedError(
            f"EnKash refused the login ({said}): {advice}{doubts}. They are not tried again here; a process that "
            "shares no store with this one would, and several wrong logins may lock the account",
            status=response.status,
            error=error,
            locked=locked,
        )
    hint = of_status(response) or ("is the base URL right?" if status in {404, 405} else "")
    return TokenEndpointError(
        f"the login failed ({said})" + (f"; {hint}" if hint else ""),
        retry_after=parse_retry_after(response.headers.get("retry-after"), response.headers.get("date")),
        counted=response.status != _TOO_MANY,
        status=response.status,
    )


def _says_locked(response: Response) -> bool:
    # An HTML page comes from a gateway, and its «locked» need not be about the account.
    if response.body.lstrip()[:1] == b"<" or not _LOCKED.search(response.body):
        return False
    return response.status in _SPEAKING or bool(_ACCOUNT_LOCKED.search(response.body))


def _without_token(response: Response, error: str | None, doubts: str, *, is_failure: bool) -> TokenError:
    if error is not None or is_failure or _says_locked(response):
        return _refusal(response, 400 if error in _OTHER else 401, error, doubts)
    kind = media_type(response.content_type)
    return TokenReplyError(
        f"the login was answered HTTP {response.status} ({kind or 'no content type'}) without a token that can be read"
        f"{of_packing(response)}; check the base URL",
        status=response.status,
        content_type=kind,
    )
