"""The pipeline handles one call from end to end: sign, send, renew the token once after a 401, decode, retry or stop.

If a call that changes something has an unknown outcome, the pipeline raises `OutcomeUnknownError`. The pipeline does
not look the bill up. Only the resource that made the call, `bills` or `payments`, knows what to compare with EnKash's
answer.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, closing, nullcontext
from logging import DEBUG, getLogger
from typing import TypeVar

from enkash_async._flow.gate import Gate
from enkash_async._flow.verdicts import Next, decide
from enkash_async._http.transport import Transport
from enkash_async._support.call_ids import about, new_call_id
from enkash_async._support.cancellation import is_cancelled
from enkash_async._support.secret import Secret
from enkash_async._wire.envelope import SLICED_FROM, read, read_in_slices
from enkash_async._wire.operation import Effect, Operation, Response
from enkash_async.config import RetryPolicy
from enkash_async.errors import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    EnkashError,
    LoginGuardError,
    OutcomeUnknownError,
    RateLimitError,
    ResponseDecodeError,
    TokenEndpointError,
    TokenError,
    TransportError,
)
from enkash_async.tokens._types import Token, TokenProvider

__all__ = ["Pipeline", "decoded"]

T = TypeVar("T")

_log = getLogger("enkash_async")


class Pipeline:
    """Sends operations for the resources, which get the pipeline as their `Send`.

    Args:
        transport: Sends HTTP requests.
        tokens: Provides tokens.
        retry: Number of attempts, and the pauses between the attempts.
        sleep: Waits for a number of seconds.
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
            OutcomeUnknownError: A call that changes something may or may not have had its effect.
            EnkashError: Any other failure.
        """
        call_id = new_call_id()
        try:
            with self._transport.call():
                result = await self._attempt(operation, call_id, alone=False)
                return await self._retried(operation, call_id, result) if isinstance(result, EnkashError) else result
        except EnkashError as failure:
            if not isinstance(failure, (TokenError, ConfigurationError)):  # raised before the call was sent
                failure.call_id = failure.call_id or call_id
            raise

    async def _retried(self, operation: Operation[T], call_id: str, failure: EnkashError) -> T:
        """Make the attempts after a first one that failed."""
        attempt = 1
        unclear: EnkashError | None = None
        while True:
            if decide(operation.effect, failure) is Next.RECONCILE:
                unclear = unclear or failure
            then = decide(operation.effect, failure, writes=self._retry.writes and operation.departure is None)
            pause = self._pause(attempt, failure) if then is Next.AGAIN else None
            if pause is None:
                # Whatever the last attempt's answer is, an earlier attempt may have succeeded. Even «reference used
                # before» proves nothing, since the earlier attempt may have used the reference.
                if unclear is not None:
                    error = _unknown(operation, unclear)
                    unclear.call_id = call_id
                    raise error from unclear
                if attempt > 1:
                    failure.call_id = failure.call_id or call_id  # also of a login that failed before this attempt
                raise failure
            if _log.isEnabledFor(DEBUG):
                line, kind = "%s: %s, attempt %d, again in %.2f s [call %s]", type(failure).__name__
                _log.debug(line, operation.name, kind, attempt, pause, call_id, extra=about(call_id))
            await self._sleep(pause)
            attempt += 1
            # Retry on a new connection: the server may have closed the other kept connections as well.
            result = await self._attempt(operation, call_id, alone=isinstance(failure, TransportError))
            if not isinstance(result, EnkashError):
                return result
            failure = result

    def _pause(self, attempt: int, failure: EnkashError) -> float | None:
        """Return the seconds until the next attempt, or None if no attempt may follow."""
        asked = failure.retry_after
        if attempt >= self._retry.attempts or (asked or 0) > self._retry.max_retry_after:
            return None
        return self._retry.pause(attempt, asked, self._random)

    async def _attempt(self, operation: Operation[T], call_id: str, *, alone: bool) -> T | EnkashError:
        """Make one attempt; after a 401, send the call once more with a newer token."""
        try:
            gate = self._transport.gate()
            async with gate.slot():
                # Get the token last: if it were obtained before a long wait, it could expire before it is sent.
                await gate.turn()
                token = await self._token(None)
                result = await self._exchange(operation, token, gate, call_id, alone=alone)
                if not isinstance(result, AuthenticationError):
                    return result
                await gate.turn()
                try:
                    renewed = await self._token(token)
                except EnkashError as no_login:
                    if isinstance(no_login, (LoginGuardError, TokenEndpointError)) and no_login.reason == "renewal":
                        return result
                    no_login.call_id = no_login.call_id or call_id  # the call was sent, with the old token
                    raise
                return await self._exchange(operation, renewed, gate, call_id, alone=alone)
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
            raise TokenError(f"the token provider was cancelled; {_sent_until(rejected)}") from None
        except Exception as problem:
            # A user's provider may raise anything. A bulk call reports its finished parts only after an `EnkashError`.
            why = f"the token provider failed with {type(problem).__name__}; {_sent_until(rejected)}"
            raise TokenError(why) from problem

    async def _exchange(
        self, operation: Operation[T], token: Token, gate: Gate, call_id: str, *, alone: bool, again: bool = True
    ) -> T | EnkashError:
        """Send the call once; send a read once more, on a new connection, if its reply belongs to another call."""
        if operation.departure is not None:
            await operation.departure.note()  # last, so that no wait comes between this note and the request
        # A call that changes something uses no kept connection: the server may be closing the connection, and then the
        # outcome would be unknown. And a refusal names no bill, so a late refusal of another call could be taken for
        # the reply.
        is_read = operation.effect is Effect.READ
        alone = alone or operation.alone or not is_read
        response = await self._transport.send(
            operation.request, Secret(token.authorization), operation.departure, alone=alone, call_id=call_id
        )
        result = await decoded(operation, response, secrets=(token.reveal(),), decode_lock=gate.decode_lock)
        why = None if operation.contradiction is None else operation.contradiction(result)
        if why is not None:
            response.abandon()
            if is_read and again:
                await gate.turn()
                return await self._exchange(operation, token, gate, call_id, alone=True, again=False)
            # After a call that changes something, the resource looks up whether the call did something.
            return ResponseDecodeError(f"the reply answers another call: {why}", status=response.status)
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
    """Return the result or the error in a reply; other tasks can run while a large reply is decoded.

    Args:
        operation: The call that was made.
        response: The reply.
        secrets: Strings that an error must not show.
        decode_lock: Held while a large reply is decoded. Without it, many large replies would fill the memory at the
            same time, and all of them would be finished late.
    """
    if len(response.body) < SLICED_FROM:
        return read(operation, response, secrets=secrets)
    steps = read_in_slices(operation, response, secrets=secrets)
    del secrets  # keeps secrets out of the traceback of a cancellation, which shows the locals of this frame
    async with decode_lock:
        with closing(steps):  # frees the document, which a traceback of a cancelled caller could keep alive
            while True:
                await asyncio.sleep(0)
                try:
                    next(steps)
                except StopIteration as end:
                    result: T | ApiError | ResponseDecodeError = end.value
                    return result


def _sent_until(rejected: Token | None) -> str:
    """Return what was sent of an attempt that gets no token."""
    return "nothing was sent" if rejected is None else "EnKash refused the call with the token before"


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
