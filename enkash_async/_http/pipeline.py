"""The pipeline takes one call from end to end: sign, send, renew the token once after a 401, decode, repeat or stop.

When a call that changes something ends unclearly, the pipeline raises `OutcomeUnknownError`. It does not look the bill
up: only the resource that made the call, `bills` or `payments`, knows what to compare with EnKash's answer.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, closing, nullcontext
from logging import getLogger
from typing import TypeVar

from enkash_async._flow.gate import Gate
from enkash_async._flow.verdicts import Next, decide
from enkash_async._http.transport import Transport
from enkash_async._support.cancellation import is_cancelled
from enkash_async._support.secret import Secret
from enkash_async._wire.envelope import SLICED_FROM, read, read_in_slices
from enkash_async._wire.operation import Operation, Response
from enkash_async.config import RetryPolicy
from enkash_async.errors import (
    ApiError,
    AuthenticationError,
    EnkashError,
    LoginGuardError,
    OutcomeUnknownError,
    RateLimitError,
    ResponseDecodeError,
    TokenError,
)
from enkash_async.tokens._types import Token, TokenProvider

__all__ = ["Pipeline", "decoded"]

T = TypeVar("T")

_log = getLogger("enkash_async")


class Pipeline:
    """Sends operations for the resources, to which it is passed as `Send`.

    Args:
        transport: Sends HTTP requests.
        tokens: Provides tokens.
        retry: Number of attempts, and the pauses between them.
        sleep: Waits for the given seconds.
        random: Returns a number in [0, 1), for jitter.
    """

    def __init__(
        self,
        transport: Transport,
        tokens: TokenProvider,
        retry: RetryPolicy,
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._transport = transport
        self._tokens = tokens
        self._retry = retry
        self._sleep = sleep
        self._random = random

    async def __call__(self, operation: Operation[T]) -> T:
        """Send an operation and return its result.

        Raises:
            OutcomeUnknownError: A call that changes something ended unclearly.
            EnkashError: Any other failure.
        """
        attempt = 1
        unclear: EnkashError | None = None
        while True:
            result = await self._attempt(operation)
            if not isinstance(result, EnkashError):
                return result
            if decide(operation.effect, result) is Next.RECONCILE:
                unclear = result
            then = decide(operation.effect, result, writes=self._retry.writes)
            pause = self._pause(attempt, result) if then is Next.AGAIN else None
            if pause is None:
                # An earlier attempt may have succeeded, whatever the last one says. Even «reference used before» proves
                # nothing: the earlier attempt may have used it.
                if unclear is not None:
                    raise _unknown(operation, unclear) from unclear
                raise result
            _log.debug("%s: %s, attempt %d, again in %.2f s", operation.name, type(result).__name__, attempt, pause)
            await self._sleep(pause)
            attempt += 1

    def _pause(self, attempt: int, failure: EnkashError) -> float | None:
        """Return the seconds until the next attempt, or None when no attempt may follow."""
        asked = failure.retry_after
        if attempt >= self._retry.attempts or (asked or 0) > self._retry.max_retry_after:
            return None
        return self._retry.pause(attempt, asked, self._random)

    async def _attempt(self, operation: Operation[T]) -> T | EnkashError:
        """Make one attempt; after a 401, send the call once more with a newer token."""
        try:
            gate = self._transport.gate()
            async with gate.slot():
                # The token is obtained last: a token from before a long wait could have expired when it is sent.
                await gate.turn()
                token = await self._token(None)
                result = await self._exchange(operation, token, gate)
                if not isinstance(result, AuthenticationError):
                    return result
                await gate.turn()
                try:
                    renewed = await self._token(token)
                except LoginGuardError as guard:
                    if guard.reason == "renewal":
                        return result
                    raise
                return await self._exchange(operation, renewed, gate)
        except EnkashError as failure:
            return failure

    async def _token(self, rejected: Token | None) -> Token:
        try:
            return await self._tokens.get_token(rejected=rejected)
        except EnkashError:
            raise
        except asyncio.CancelledError:
            if is_cancelled():
                raise
            raise TokenError("the token provider was cancelled; nothing was sent") from None
        except Exception as problem:
            # The provider may be the user's own. Only an `EnkashError` keeps a bulk call's report of what was done.
            raise TokenError(f"the token provider failed with {type(problem).__name__}; nothing was sent") from problem

    async def _exchange(self, operation: Operation[T], token: Token, gate: Gate) -> T | EnkashError:
        response = await self._transport.send(operation.request, Secret(token.authorization))
        result = await decoded(operation, response, secrets=(token.reveal(),), decode_lock=gate.decode_lock)
        if isinstance(result, RateLimitError):
            asked = self._retry.backoff if result.retry_after is None else result.retry_after
            gate.pause(min(asked, self._retry.max_retry_after))
        return result


async def decoded(
    operation: Operation[T],
    response: Response,
    *,
    secrets: Iterable[str] = (),
    decode_lock: AbstractAsyncContextManager[None] = nullcontext(),
) -> T | ApiError | ResponseDecodeError:
    """Return the result of a reply, or the error that it stands for; other tasks run while a large reply is decoded.

    Args:
        operation: The call that was made.
        response: The reply.
        secrets: Strings that an error must not show.
        decode_lock: Held while a large reply is decoded: side by side, all would fill memory and none be ready early.
    """
    if len(response.body) < SLICED_FROM:
        return read(operation, response, secrets=secrets)
    steps = read_in_slices(operation, response, secrets=secrets)
    del secrets  # the traceback of a cancellation shows the locals of this frame
    async with decode_lock:
        with closing(steps):  # frees the document: a cancelled caller may keep this frame alive in a traceback
            while True:
                await asyncio.sleep(0)
                try:
                    next(steps)
                except StopIteration as end:
                    result: T | ApiError | ResponseDecodeError = end.value
                    return result


def _unknown(operation: Operation[T], cause: EnkashError) -> OutcomeUnknownError:
    if operation.reference_id is not None:
        advice = f"come back with bills.reconcile({operation.reference_id!r})"
    elif operation.utility_enkash_ids:
        advice = "look the bills up with bills.get() in two to three minutes"
    else:
        advice = "find out with EnKash what it did"
    return OutcomeUnknownError(
        f"{operation.name} may or may not have happened: {advice}; do not send it again. Cause: {cause}",
        operation=operation.name,
        reference_id=operation.reference_id,
        utility_enkash_ids=operation.utility_enkash_ids,
    )
