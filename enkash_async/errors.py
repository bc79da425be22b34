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
    ├─ OutcomeUnknownError                   it may or may not have happened: look it up, never resend
    ├─ BulkError (in `enkash_async.bulk`)    some items of a bulk call did not succeed, or broke off; `result`
    ├─ WaitTimeoutError (TimeoutError)       not settled in time; `last` is the last state seen
    ├─ TokenError                            no token, so nothing was sent
    │  ├─ CredentialsRejectedError           EnKash refused the credentials
    │  ├─ LoginGuardError                    another login attempt could lock the account, so none is made
    │  ├─ TokenEndpointError                 the login failed for another reason; `retry_after`
    │  │  └─ TokenReplyError                 the login was answered with something that is not a token
    │  └─ TokenStoreError                    the shared token store cannot be reached
    └─ WebhookError                          a post to your webhook cannot be taken
       ├─ WebhookAuthenticationError         it does not prove that it comes from EnKash: answer 401
       ├─ WebhookPayloadError                its body cannot be read: answer 400, or 413 when it is `too_large`
       └─ WebhookStoreError                  the shared record of events cannot be reached: answer 503

Errors carry evidence as attributes and survive pickling. None of them holds a password, a client secret, a token or a
raw body, and none keeps another library's exception alive: such an exception can hold request headers.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Self, TypeVar

if TYPE_CHECKING:
    from enkash_async.models import Bill

__all__ = [
    "ApiError",
    "AuthenticationError",
    "BadRequestError",
    "BillerInactiveError",
    "ConfigurationError",
    "CredentialsRejectedError",
    "DuplicateReferenceError",
    "EnkashError",
    "InvalidRequestError",
    "LoginGuardError",
    "NotFoundError",
    "OutcomeUnknownError",
    "PermissionDeniedError",
    "RateLimitError",
    "RequestTimeoutError",
    "ResponseDecodeError",
    "RetryAdvice",
    "ServerError",
    "TokenEndpointError",
    "TokenError",
    "TokenReplyError",
    "TokenStoreError",
    "TransportError",
    "VelocityLimitError",
    "WaitTimeoutError",
    "WebhookAuthenticationError",
    "WebhookError",
    "WebhookPayloadError",
    "WebhookStoreError",
]

_E = TypeVar("_E", bound="EnkashError")


class RetryAdvice(enum.Enum):
    """What a task queue should do with a job that failed."""

    NOW = "now"  # run it again at once: nothing was done, and nothing stands in the way
    LATER = "later"  # run it again after `retry_after` seconds, or after the pause of the queue where that is None
    NEVER = "never"  # the same job would fail again: drop it, or have a person correct it
    LOOK = "look"  # it may have happened: look at EnKash's state, or have a person look, before anything is run again


class EnkashError(Exception):
    """The base of every error of this package.

    Args:
        message: What happened and what to do next, in one sentence.

    Attributes:
        retry: What a task queue should do with a job that ended with this error.
        retry_after: Seconds after which to run the job again, where EnKash or this package knows it; otherwise None.
    """

    retry_after: float | None = None

    @property
    def retry(self) -> RetryAdvice:
        """What a task queue should do with a job that ended with this error."""
        return RetryAdvice.NEVER

    def __init__(self, message: str = "") -> None:
        super().__init__(message)

    def __reduce__(self) -> tuple[Any, ...]:
        # BaseException pickles by calling the class with `args` alone, which loses keyword-only evidence.
        return _rebuild, (type(self), self.args, self.__dict__.copy())

    def copy(self) -> Self:
        """Return an equal error without a traceback, for handing one failure to several waiters."""
        return _rebuild(type(self), self.args, self.__dict__.copy())


def _rebuild(cls: type[_E], args: tuple[Any, ...], state: dict[str, Any]) -> _E:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigurationError(EnkashError, ValueError):
    """The client or a provider cannot be set up like this; the message says what to write instead."""


class InvalidRequestError(EnkashError, ValueError):
    """The arguments of a call are wrong; this was found here and nothing was sent."""


class TransportError(EnkashError):
    """No usable reply came back.

    Attributes:
        sent: False when the request provably never left in a form that EnKash could act on; True when it may have.
    """

    sent: bool

    def __init__(self, message: str = "", *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent

    @property
    def retry(self) -> RetryAdvice:
        """LATER: nothing was sent, or it was a read."""
        return RetryAdvice.LATER


class RequestTimeoutError(TransportError, TimeoutError):
    """One attempt took longer than `Timeouts` allows; `sent` as in `TransportError`."""


class ResponseDecodeError(EnkashError):
    """A reply came back that cannot be read: not JSON, not an envelope, or a member of the wrong kind.

    Attributes:
        status: HTTP status of the reply.
        content_type: Its `Content-Type`, or None.
        where: The place in the body, such as `payload.amount`; never a value. None when the body as a whole is meant.
    """

    status: int
    content_type: str | None
    where: str | None

    def __init__(
        self, message: str = "", *, status: int = 0, content_type: str | None = None, where: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.content_type = content_type
        self.where = where

    @property
    def retry(self) -> RetryAdvice:
        """LATER: it was a read, since a call that changes something ends as `OutcomeUnknownError`."""
        return RetryAdvice.LATER


class ApiError(EnkashError):
    """EnKash answered with an error.

    Attributes:
        status: HTTP status.
        response_code: The envelope's `response_code`, or None when the body has none.
        response_message: The envelope's `response_message` or the nearest thing to it, redacted, or None.
        payload: The envelope's payload with sensitive values replaced by `***`, or None.
        method: HTTP method of the call.
        path: Path of the call, with its ids.
        request_id: The reply's `X-Request-Id` or `X-Correlation-Id`, or None.
    """

    status: int
    response_code: int | None
    response_message: str | None
    payload: Any
    method: str
    path: str
    request_id: str | None

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
        self.status = status
        self.response_code = response_code
        self.response_message = response_message
        self.payload = payload
        self.method = method
        self.path = path
        self.request_id = request_id

    @property
    def retry(self) -> RetryAdvice:
        """NEVER, save for a time-out at EnKash (408)."""
        return RetryAdvice.LATER if self.status == 408 else RetryAdvice.NEVER


class BadRequestError(ApiError):
    """HTTP 400 or 412: EnKash finds the request wrong; fix it before sending it again."""


class AuthenticationError(ApiError):
    """HTTP 401 although the token was renewed: check that the account may use this API."""


class PermissionDeniedError(ApiError):
    """HTTP 403: the account may not do this, or this machine's IP address is not on EnKash's list."""

    @property
    def retry(self) -> RetryAdvice:
        """LATER: an IP address that is missing on EnKash's list is added without a change of the job."""
        return RetryAdvice.LATER


class NotFoundError(ApiError):
    """HTTP 404, or EnKash's «No utility payment found».

    Attributes:
        bill_absent: True only when EnKash said «No utility payment found». A bare 404 can also come from a wrong
            route or a gateway, and then proves nothing about the bill.
    """

    bill_absent: bool = False


class RateLimitError(ApiError):
    """HTTP 429.

    Attributes:
        retry_after: Seconds that the reply asks to wait, or None.
    """

    @property
    def retry(self) -> RetryAdvice:
        """LATER, after `retry_after` where EnKash names it."""
        return RetryAdvice.LATER


class ServerError(ApiError):
    """HTTP 5xx on a call that changes nothing.

    Attributes:
        retry_after: Seconds that the reply asks to wait, or None.
    """

    @property
    def retry(self) -> RetryAdvice:
        """LATER, after `retry_after` where EnKash names it."""
        return RetryAdvice.LATER


class BillerInactiveError(ApiError):
    """HTTP 422: the biller is not active."""


class VelocityLimitError(ApiError):
    """`response_code` 36 or 37: the account's business limit is used up; wait, or have it raised by EnKash."""

    @property
    def retry(self) -> RetryAdvice:
        """LATER: the limit is a matter of time, or is raised by EnKash."""
        return RetryAdvice.LATER


class DuplicateReferenceError(ApiError):
    """`response_code` 38: this `reference_id` was used before, for another bill or for one that cannot be looked up.

    Where it was used for the same biller, consumer and amount, a create returns that bill instead.

    Attributes:
        differences: Names of what is not the same: `reference_id`, `biller_id`, `consumer_number`, `amount`; empty
            where the bill could not be compared.
    """

    differences: tuple[str, ...] = ()

    @property
    def retry(self) -> RetryAdvice:
        """NEVER where the reference belongs to another bill; LOOK where that bill could not be compared."""
        return RetryAdvice.NEVER if self.differences else RetryAdvice.LOOK


class OutcomeUnknownError(EnkashError):
    """A call that moves money ended unclearly: it may or may not have happened. Look it up, never resend it.

    Where a call can be looked up, that was done, and did not settle it. EnKash's own guidance is to wait two to three
    minutes and then to enquire.

    Attributes:
        operation: Name of the call, such as `bills.create`.
        reference_id: The reference to come back with to `bills.reconcile`, or None.
        utility_enkash_ids: The bills to come back with to `payments.reconcile`, for calls that name bills; otherwise
            empty.
    """

    operation: str
    reference_id: str | None
    utility_enkash_ids: tuple[str, ...]

    def __init__(
        self,
        message: str = "",
        *,
        operation: str = "",
        reference_id: str | None = None,
        utility_enkash_ids: Iterable[str] = (),
    ) -> None:
        super().__init__(message)
        self.operation = operation
        self.reference_id = reference_id
        self.utility_enkash_ids = tuple(utility_enkash_ids)

    @property
    def retry(self) -> RetryAdvice:
        """LOOK: running it again blindly could pay twice."""
        return RetryAdvice.LOOK


class WaitTimeoutError(EnkashError, TimeoutError):
    """A bill was not settled in time; it may still settle.

    Attributes:
        last: The last state that was seen, or None when none was.
    """

    last: Bill | None

    def __init__(self, message: str = "", *, last: Bill | None = None) -> None:
        super().__init__(message)
        self.last = last

    @property
    def retry(self) -> RetryAdvice:
        """LATER: the bill may still settle."""
        return RetryAdvice.LATER


class TokenError(EnkashError):
    """There is no token to send, so nothing was sent."""

    @property
    def retry(self) -> RetryAdvice:
        """LATER: nothing was sent, and a later login may work."""
        return RetryAdvice.LATER


class CredentialsRejectedError(TokenError):
    """EnKash refused the credentials; they are not tried again until they change.

    Attributes:
        status: HTTP status of the login's reply.
        error: The OAuth error word, such as `invalid_grant`, or None.
        locked: True when EnKash said that the account is locked.
    """

    status: int
    error: str | None
    locked: bool

    def __init__(self, message: str = "", *, status: int = 0, error: str | None = None, locked: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.error = error
        self.locked = locked

    @property
    def retry(self) -> RetryAdvice:
        """NEVER: a person has to correct the credentials first."""
        return RetryAdvice.NEVER


class LoginGuardError(TokenError):
    """No login was attempted, since another one could lock the account.

    Attributes:
        reason: `rejected` (these credentials were refused), `budget` (too many unproven attempts), `locked` (EnKash
            said so) or `renewal` (the token was renewed a moment ago and refused again).
    """

    reason: str

    def __init__(self, message: str = "", *, reason: str = "rejected") -> None:
        super().__init__(message)
        self.reason = reason

    @property
    def retry(self) -> RetryAdvice:
        """LATER after a renewal that brought nothing; NEVER where a person has to act first."""
        return RetryAdvice.LATER if self.reason == "renewal" else RetryAdvice.NEVER


class TokenEndpointError(TokenError):
    """The login failed for a reason other than the credentials.

    Attributes:
        retry_after: Seconds until the next attempt makes sense, or None.
        counted: True when EnKash may have counted the attempt (sent, but no readable answer).
    """

    counted: bool

    def __init__(self, message: str = "", *, retry_after: float | None = None, counted: bool = False) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.counted = counted


class TokenReplyError(TokenEndpointError):
    """The login was answered with success, but no token can be read from the reply; it is not tried again.

    Attributes:
        status: HTTP status of the login's reply.
        content_type: Its `Content-Type`, or None.
    """

    status: int
    content_type: str | None

    def __init__(self, message: str = "", *, status: int = 0, content_type: str | None = None) -> None:
        super().__init__(message, counted=True)
        self.status = status
        self.content_type = content_type

    @property
    def retry(self) -> RetryAdvice:
        """NEVER: the base URL has to be checked first."""
        return RetryAdvice.NEVER


class TokenStoreError(TokenError):
    """The shared token store cannot be reached and there is no safe way on."""


class WebhookError(EnkashError):
    """A post to your webhook cannot be taken; the message is for your log, not for whoever posted."""


class WebhookAuthenticationError(WebhookError):
    """A post does not bring the headers that prove where it comes from; its body was not looked at.

    Attributes:
        header: The name of the first configured header that is missing, repeated or wrong.
    """

    header: str

    def __init__(self, message: str = "", *, header: str = "") -> None:
        super().__init__(message)
        self.header = header


class WebhookPayloadError(WebhookError):
    """The body of a post cannot be read as news of a bill.

    Attributes:
        where: The place in the body, such as `companyBiller.biller`; never a value. None when it is the whole.
        too_large: Whether it is longer than `max_body`, so that 413 is the answer rather than 400.
    """

    where: str | None
    too_large: bool

    def __init__(self, message: str = "", *, where: str | None = None, too_large: bool = False) -> None:
        super().__init__(message)
        self.where = where
        self.too_large = too_large


class WebhookStoreError(WebhookError):
    """The record of handled events that the workers share cannot be reached, so nothing was handed over."""

    @property
    def retry(self) -> RetryAdvice:
        """LATER: answer 503, so that EnKash's resend, if there is one, is taken."""
        return RetryAdvice.LATER
