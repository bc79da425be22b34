"""Every error that this package raises, one class for each decision that a caller can take.

::

    EnkashError
    ├─ ConfigurationError (ValueError)       the client cannot be set up like this
    ├─ InvalidRequestError (ValueError)      the arguments are wrong; nothing was sent
    ├─ TransportError                        no usable reply came back; `sent` says whether EnKash may have the request
    │  └─ RequestTimeoutError (TimeoutError)
    ├─ ResponseDecodeError                   a reply came back that cannot be read
    ├─ ApiError                              EnKash answered with an error
    │  ├─ BadRequestError                    400, 412
    │  ├─ AuthenticationError                401, after one new login
    │  ├─ PermissionDeniedError              403
    │  ├─ NotFoundError                      404, or «No utility payment found»
    │  ├─ RateLimitError                     429; `retry_after`
    │  ├─ ServerError                        5xx
    │  ├─ BillerInactiveError                422
    │  ├─ VelocityLimitError                 response_code 36, 37
    │  └─ DuplicateReferenceError            response_code 38
    ├─ OutcomeUnknownError                   the call may or may not have had an effect: look up, never resend
    ├─ BulkError (in `enkash_async.bulk`)    some items did not succeed, or their source failed; `result`
    ├─ WaitTimeoutError (TimeoutError)       not settled in time; `last` is the last state seen
    ├─ TokenError                            no token, so nothing was sent
    │  ├─ CredentialsRejectedError           EnKash refused the credentials
    │  ├─ LoginGuardError                    no login was attempted, since it could lock the account
    │  ├─ TokenEndpointError                 the login failed for another reason; `retry_after`
    │  │  └─ TokenReplyError                 EnKash accepted the login, but sent no readable token
    │  └─ StoreUnavailableError (StoreError) the shared store does not answer, or refuses the request
    ├─ StoreError                            the shared store answers, but its record cannot be used
    └─ WebhookError                          a post to your webhook cannot be accepted
       ├─ WebhookAuthenticationError         the post does not prove that EnKash sent it: answer 401
       └─ WebhookPayloadError                the body cannot be read: answer 400, or 413 when `too_large`

Errors carry evidence as attributes and survive pickling. No error holds a password, a client secret, a token or a raw
body. No error refers to an exception of another library, since that exception can hold request headers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from enkash_async.errors._base import EnkashError, RetryAdvice

if TYPE_CHECKING:
    from enkash_async.models import Bill

__all__ = [
    "ApiError", "AuthenticationError", "BadRequestError", "BillerInactiveError", "ConfigurationError",
    "CredentialsRejectedError", "DuplicateReferenceError", "EnkashError", "InvalidRequestError", "LoginGuardError",
    "NotFoundError", "OutcomeUnknownError", "PermissionDeniedError", "RateLimitError", "RequestTimeoutError",
    "ResponseDecodeError", "RetryAdvice", "ServerError", "StoreError", "StoreUnavailableError", "TokenEndpointError",
    "TokenError", "TokenReplyError", "TransportError", "VelocityLimitError", "WaitTimeoutError",
    "WebhookAuthenticationError", "WebhookError", "WebhookPayloadError",
]  # fmt: skip


class ConfigurationError(EnkashError, ValueError):
    """The client or a provider cannot be set up like this; the message says what to write instead."""


class InvalidRequestError(EnkashError, ValueError):
    """The arguments of a call are wrong; nothing was sent."""


class TransportError(EnkashError):
    """No usable reply came back.

    Attributes:
        sent: False if EnKash surely received nothing that it could act on; True if EnKash may have received the call.
        status: HTTP status of a reply that broke off; 0 if no reply began.
    """

    _advice = RetryAdvice.LATER  # nothing was sent, or the call was a read

    def __init__(self, message: str = "", *, sent: bool = True, status: int = 0) -> None:
        super().__init__(message)
        self.sent: bool = sent
        self.status: int = status


class RequestTimeoutError(TransportError, TimeoutError):
    """One attempt took longer than `Timeouts` allows; `sent` as in `TransportError`."""


class ResponseDecodeError(EnkashError):
    """A reply came back that cannot be read: not JSON, not an envelope, or a member of the wrong kind.

    A search also raises this error after the rows that it has read, if the pages do not show whether all rows came.

    Attributes:
        status: HTTP status of the reply.
        content_type: `Content-Type` of the reply, or None.
        where: Place of the unreadable value in the body, such as `payload.amount`; None for the whole body.
    """

    _advice = RetryAdvice.LATER  # the call was a read; a call that changes something raises `OutcomeUnknownError`

    def __init__(
        self, message: str = "", *, status: int = 0, content_type: str | None = None, where: str | None = None
    ) -> None:
        super().__init__(message)
        self.status: int = status
        self.content_type: str | None = content_type
        self.where: str | None = where


class ApiError(EnkashError):
    """EnKash answered with an error.

    Attributes:
        status: HTTP status.
        response_code: The envelope's `response_code`, or None if the body has none.
        response_message: The envelope's `response_message` or another message in the body, redacted, or None.
        payload: The envelope's payload with sensitive values replaced by `***`, or None.
        method: HTTP method of the call.
        path: Path of the call, with its ids.
    """

    def __init__(
        self,
        message: str = "",
        *,
        status: int = 0,
        response_code: int | None = None,
        response_message: str | None = None,
        payload: Any = None,
        method: str = "",
        path: str = "",
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status: int = status
        self.response_code: int | None = response_code
        self.response_message: str | None = response_message
        self.payload: Any = payload
        self.method: str = method
        self.path: str = path
        self.request_id: str | None = request_id

    @property
    def retry(self) -> RetryAdvice:
        """LATER for HTTP 408; LOOK for 409, since EnKash may have done the work; otherwise the advice of the class."""
        return {408: RetryAdvice.LATER, 409: RetryAdvice.LOOK}.get(self.status, self._advice)


class BadRequestError(ApiError):
    """HTTP 400 or 412: EnKash refuses the request as wrong; correct the request before sending it again."""


class AuthenticationError(ApiError):
    """HTTP 401, even after the SDK has renewed the token: check that the account may use this API."""


class PermissionDeniedError(ApiError):
    """HTTP 403: the account may not do this, or this machine's IP address is not on EnKash's list."""

    _advice = RetryAdvice.LATER  # once EnKash adds a missing IP address to its list, the same job works


class NotFoundError(ApiError):
    """HTTP 404, or EnKash's «No utility payment found».

    Attributes:
        bill_absent: True only when EnKash said «No utility payment found». A bare 404 can also come from a wrong
            route or a gateway, and proves nothing about the bill.
    """

    bill_absent: bool = False


class RateLimitError(ApiError):
    """HTTP 429, too many requests; `retry_after` has the seconds that the reply asks to wait, or None."""

    _advice = RetryAdvice.LATER  # after `retry_after` seconds, if EnKash states a number


class ServerError(ApiError):
    """HTTP 5xx on a call that changes nothing; `retry_after` has the seconds that the reply asks to wait, or None."""

    _advice = RetryAdvice.LATER  # after `retry_after` seconds, if EnKash states a number


class BillerInactiveError(ApiError):
    """HTTP 422: the biller is not active."""


class VelocityLimitError(ApiError):
    """`response_code` 36 or 37: the account's business limit is used up; wait, or ask EnKash to raise the limit."""

    _advice = RetryAdvice.LATER  # the limit ends with time, or EnKash raises it


class DuplicateReferenceError(ApiError):
    """`response_code` 38: this `reference_id` was used before, for another bill or a bill that cannot be looked up.

    If the reference was used for the same bill, the create returns this bill and raises no error.

    Attributes:
        differences: Names of the facts that differ, such as `ad1` or `amount`; empty if they could not be compared.
    """

    differences: tuple[str, ...] = ()

    @property
    def retry(self) -> RetryAdvice:
        """NEVER if the reference belongs to another bill; LOOK if the two bills could not be compared."""
        return RetryAdvice.NEVER if self.differences else RetryAdvice.LOOK


class OutcomeUnknownError(EnkashError):
    """A call that changes something may or may not have had its effect. Look up the result; never resend the call.

    If a look-up is possible, the SDK has already made it, without a clear result.

    Attributes:
        operation: Name of the call, such as `bills.create`.
        reference_id: Reference to pass to `bills.reconcile` later, or None.
        utility_enkash_ids: Ids of the bills; empty for a call that names no bill.
        retry_after: Seconds after which a repetition of the call finds out what happened; None if only a person can
            find out.
    """

    _advice = RetryAdvice.LOOK  # repeating the call without a look-up could pay twice

    def __init__(
        self,
        message: str = "",
        *,
        operation: str = "",
        reference_id: str | None = None,
        utility_enkash_ids: Iterable[str] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.operation: str = operation
        self.reference_id: str | None = reference_id
        self.utility_enkash_ids: tuple[str, ...] = tuple(utility_enkash_ids)

    @property
    def retry(self) -> RetryAdvice:
        """LATER if a repetition of the call finds out what happened; else LOOK, since a repetition could pay twice."""
        return self._advice if self.retry_after is None else RetryAdvice.LATER


class WaitTimeoutError(EnkashError, TimeoutError):
    """A bill was not settled in time; the bill may still settle.

    Attributes:
        last: The bill as EnKash showed it last; None if the bill was never read.
    """

    _advice = RetryAdvice.LATER  # the bill may still settle

    def __init__(self, message: str = "", *, last: Bill | None = None) -> None:
        super().__init__(message)
        self.last: Bill | None = last


class TokenError(EnkashError):
    """The SDK could not obtain a token, so nothing was sent."""

    _advice = RetryAdvice.LATER  # nothing was sent, and a later login may work


class CredentialsRejectedError(TokenError):
    """EnKash refused the credentials; the SDK does not try them again until they change.

    Attributes:
        status: HTTP status of the login's reply.
        error: The OAuth error word, such as `invalid_grant`; None if the reply has none.
        locked: True if EnKash said that the account is locked.
    """

    _advice = RetryAdvice.NEVER  # a person has to correct the credentials first

    def __init__(self, message: str = "", *, status: int = 0, error: str | None = None, locked: bool = False) -> None:
        super().__init__(message)
        self.status: int = status
        self.error: str | None = error
        self.locked: bool = locked


class LoginGuardError(TokenError):
    """No login was attempted, since another attempt could lock the account.

    Attributes:
        reason: `rejected` (EnKash refused these credentials), `budget` (too many attempts with credentials that have
            never worked), `locked` (EnKash says that the account is locked) or `renewal` (EnKash refused a fixed token,
            which cannot be renewed).
    """

    _advice = RetryAdvice.NEVER  # a person has to act first

    def __init__(self, message: str = "", *, reason: str = "rejected") -> None:
        super().__init__(message)
        self.reason: str = reason


class TokenEndpointError(TokenError):
    """The login failed for a reason other than the credentials.

    Attributes:
        retry_after: Seconds to wait before the next attempt, or None.
        counted: True if EnKash may have counted the attempt: the login was sent, and the answer was not 429.
        status: HTTP status of the login's reply; 0 if no reply came.
        reason: Why no login was made: `"cooldown"` (an earlier login failed) or `"renewal"` (EnKash refused a token
            right after the login that returned it). Empty if a login was made.
    """

    def __init__(
        self,
        message: str = "",
        *,
        retry_after: float | None = None,
        counted: bool = False,
        status: int = 0,
        reason: str = "",
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.counted: bool = counted
        self.status: int = status
        self.reason: str = reason


class TokenReplyError(TokenEndpointError):
    """EnKash accepted the login, but its reply holds no readable token; the SDK does not repeat the login.

    Attributes:
        status: HTTP status of the login's reply.
        content_type: Media type of the reply, such as `text/html`, or None.
    """

    _advice = RetryAdvice.NEVER  # a person has to check the base URL first

    def __init__(self, message: str = "", *, status: int = 0, content_type: str | None = None) -> None:
        super().__init__(message, counted=True, status=status)
        self.content_type: str | None = content_type


class StoreError(EnkashError):
    """The shared store answers, but a record cannot be used: its format is newer, or other processes keep changing it.

    Also raised if the Redis client that the user passed in has no free connection. Nothing was overwritten. Only a
    `StoreUnavailableError` means that the store is unavailable.
    """

    _advice = RetryAdvice.LATER  # by then, other processes may be done, or this package may be upgraded


class StoreUnavailableError(TokenError, StoreError):
    """The shared store is unavailable: it does not answer in time, is full or read-only, or denies this user access.

    A change that was in flight may or may not have been made. `retry_after` is set if the store is too new for debits.
    """

    def __init__(self, message: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class WebhookError(EnkashError):
    """A post to your webhook cannot be accepted; the message is for your log, not for the sender."""


class WebhookAuthenticationError(WebhookError):
    """A post lacks the headers that prove who sent it; the body was not read.

    Attributes:
        header: The name of the first configured header that is missing, repeated or wrong.
    """

    def __init__(self, message: str = "", *, header: str = "") -> None:
        super().__init__(message)
        self.header: str = header


class WebhookPayloadError(WebhookError):
    """The body of a post cannot be read as an event about a bill.

    Attributes:
        where: Place of the unreadable value in the body, such as `companyBiller.biller`; None for the whole body.
        too_large: True if the body is longer than `max_body`: answer 413 instead of 400.
    """

    def __init__(self, message: str = "", *, where: str | None = None, too_large: bool = False) -> None:
        super().__init__(message)
        self.where: str | None = where
        self.too_large: bool = too_large
