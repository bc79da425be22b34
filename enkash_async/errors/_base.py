"""The base class of all errors: copies, pickles, and says what a task queue should do with the failed job."""

from __future__ import annotations

import enum
from typing import Any, ClassVar, Self

__all__ = ["EnkashError", "RetryAdvice"]


class RetryAdvice(enum.Enum):
    """What a task queue should do with a job that failed."""

    NOW = "now"  # run the job again at once: nothing was done
    LATER = "later"  # run the job again after `retry_after` seconds, or after the queue's own pause if it is None
    NEVER = "never"  # the same job would fail again: drop the job, or have a person correct it
    LOOK = "look"  # the call may have had an effect: first read EnKash's state, or ask a person


class EnkashError(Exception):
    """The base of every error of this package.

    Args:
        message: What happened and what to do next, in one sentence.

    Attributes:
        retry: What a task queue should do with a job that ended with this error.
        retry_after: Seconds after which to run the job again; None if neither EnKash nor this package names a time.
        call_id: Id of the call, which every attempt sends to EnKash as `X-Request-Id` and every log line about the call
            shows; the id of the login if the login failed. None if the error was raised before anything was sent.
        request_id: EnKash's id of the request: the reply's `X-Request-Id` or `X-Correlation-Id`. None if there is none.
    """

    _advice: ClassVar[RetryAdvice] = RetryAdvice.NEVER
    retry_after: float | None = None
    call_id: str | None = None
    request_id: str | None = None

    @property
    def retry(self) -> RetryAdvice:
        """What a task queue should do with a job that ended with this error."""
        return self._advice

    def __init__(self, message: str = "") -> None:
        super().__init__(message)

    def __str__(self) -> str:
        said = super().__str__()
        theirs = self.request_id  # may be our `call_id`, sent back
        marks = [] if self.call_id is None else [f"call {self.call_id}"]
        marks += [] if theirs in {None, self.call_id} else [f"EnKash's request id {theirs}"]
        new = ", ".join(mark for mark in marks if mark not in said)  # the message may quote its cause with an id
        return f"{said} [{new}]" if new else said

    def __reduce__(self) -> tuple[Any, ...]:
        # BaseException pickles by calling the class with `args` alone, which loses attributes given by keyword.
        return _rebuild, (type(self), self.args, self.__dict__.copy())

    def copy(self) -> Self:
        """Return an equal error without a traceback, so that each caller that shares a failure can raise a copy."""
        copied: Self = _rebuild(type(self), self.args, self.__dict__.copy())
        return copied


def _rebuild(cls: type[Any], args: tuple[Any, ...], state: dict[str, Any]) -> Any:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error
