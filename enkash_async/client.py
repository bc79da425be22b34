"""The client: wires the parts together and closes only what it opened."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from enkash_async._calls import custom
from enkash_async._environment import Environment
from enkash_async._flow.poller import Poller
from enkash_async._http.login import PasswordGrant
from enkash_async._http.pipeline import Pipeline
from enkash_async._http.transport import Transport
from enkash_async._money.settle import Settling
from enkash_async._support.urls import checked_base_url
from enkash_async.config import MAX_RESPONSE_BYTES, Limits, RetryPolicy, Routes, Timeouts
from enkash_async.errors import ConfigurationError
from enkash_async.resources.billers import Billers
from enkash_async.resources.bills import Bills
from enkash_async.resources.payments import Payments
from enkash_async.resources.webhooks import Webhooks
from enkash_async.tokens._credentials import Credentials
from enkash_async.tokens._provider import InMemoryTokenProvider
from enkash_async.tokens._types import TokenProvider

if TYPE_CHECKING:
    import aiohttp

__all__ = ["EnkashClient"]


class EnkashClient:
    """A client of the EnKash Bill Payment API.

    Use it as an async context manager, one for each event loop; it opens connections on first use. Clients may share
    `tokens`.

    Args:
        base_url: Such as `https://host` or `https://host/prefix`. EnKash documents no single host for bill payment:
            use the one that you were given.
        tokens: Hands out tokens; it is yours to close.
        session: Your own aiohttp session, which is never closed; None opens one.
        retry: How often and how patiently to repeat calls that are safe to repeat, and to look for those that are not.
        timeout: Bounds of each attempt in seconds.
        limits: How many requests may be under way, and begin in a second.
        routes: The path of every operation.
        max_response_bytes: Largest reply that is read.
        allow_insecure: Take plain `http` for hosts other than this machine.

    Attributes:
        billers: Who can be paid.
        bills: Fetch, create, look up, search, wait.
        payments: Let the money go.
        webhooks: Tell EnKash where to post.

    Raises:
        ConfigurationError: An argument is unusable.
    """

    def __init__(
        self,
        base_url: str,
        *,
        tokens: TokenProvider,
        session: aiohttp.ClientSession | None = None,
        retry: RetryPolicy = RetryPolicy(),
        timeout: Timeouts = Timeouts(),
        limits: Limits = Limits(),
        routes: Routes = Routes(),
        max_response_bytes: int = MAX_RESPONSE_BYTES,
        allow_insecure: bool = False,
    ) -> None:
        if not isinstance(tokens, TokenProvider):
            kind = type(tokens).__name__
            del tokens  # a rendered traceback shows the locals of this frame, and this may be a bare token
            raise ConfigurationError(f"tokens must be a TokenProvider, not {kind}: wrap a token in StaticTokenProvider")
        if not isinstance(retry, RetryPolicy):
            raise ConfigurationError(f"retry must be a RetryPolicy(…), not {type(retry).__name__}")
        if not isinstance(routes, Routes):
            raise ConfigurationError(f"routes must be Routes(…), not {type(routes).__name__}")
        self._transport = Transport(
            checked_base_url(base_url, allow_insecure=allow_insecure),
            session=session,
            timeout=timeout,
            limits=limits,
            max_response_bytes=max_response_bytes,
        )
        self._own_tokens: TokenProvider | None = None
        self._send = Pipeline(self._transport, tokens, retry)
        self.billers: Billers = Billers(self._send, routes)
        self.bills: Bills = Bills(self._send, routes, settle=retry.settle, attempt_timeout=timeout.total)
        settling = Settling(self.bills, retry.settle, timeout.total, Poller())
        self.payments: Payments = Payments(
            self._send, routes, self.bills, settling, patience=timeout.total * retry.attempts
        )
        self.webhooks: Webhooks = Webhooks(self._send, routes)

    @classmethod
    def from_credentials(
        cls,
        base_url: str,
        credentials: Credentials,
        *,
        session: aiohttp.ClientSession | None = None,
        retry: RetryPolicy = RetryPolicy(),
        timeout: Timeouts = Timeouts(),
        limits: Limits = Limits(),
        routes: Routes = Routes(),
        max_response_bytes: int = MAX_RESPONSE_BYTES,
        allow_insecure: bool = False,
    ) -> Self:
        """Return a client that logs in by itself and keeps its token in the memory of this process.

        Each client made like this logs in for itself and guards its own attempts: make one, not one for each request.
        Several clients share a login through one provider in `tokens`.

        Args:
            base_url: As for the class, like every argument but this one:
            credentials: What EnKash gave you.

        Raises:
            ConfigurationError: An argument is unusable.
        """
        grant = PasswordGrant(base_url, credentials, session=session, path=routes.token, allow_insecure=allow_insecure)
        provider = InMemoryTokenProvider(grant)
        client = cls(
            base_url,
            tokens=provider,
            session=session,
            retry=retry,
            timeout=timeout,
            limits=limits,
            routes=routes,
            max_response_bytes=max_response_bytes,
            allow_insecure=allow_insecure,
        )
        client._own_tokens = provider
        return client

    @classmethod
    def from_env(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        session: aiohttp.ClientSession | None = None,
        retry: RetryPolicy = RetryPolicy(),
        timeout: Timeouts = Timeouts(),
        limits: Limits = Limits(),
        routes: Routes = Routes(),
        max_response_bytes: int = MAX_RESPONSE_BYTES,
        allow_insecure: bool = False,
    ) -> Self:
        """Return a client that is set up by environment variables, and logs in by itself.

        Needed: `ENKASH_BASE_URL`, `ENKASH_CLIENT_ID`, `ENKASH_CLIENT_SECRET`, `ENKASH_USERNAME`, `ENKASH_PASSWORD`.
        Optional: `ENKASH_FORM_CLIENT_ID`, where the form's `clientId` differs from the client id; `ENKASH_REDIS_URL`,
        through which all workers share one token (`redis://`, `rediss://`, `unix://`,
        `redis+sentinel://host,host/service`, `redis+cluster://host,host`); `ENKASH_TOKEN_KEYS`, which seals the token
        there (see `TokenSealer`).

        Args:
            environ: Where to look; None looks into `os.environ`. The other arguments are those of the class.

        Raises:
            ConfigurationError: A variable is missing or unusable; the message names every missing one.
        """
        environment = Environment(os.environ if environ is None else environ)
        del environ  # a rendered traceback shows the locals of this frame
        provider = environment.provider(
            environment.grant(session=session, path=routes.token, allow_insecure=allow_insecure)
        )
        client = cls(
            environment.base_url,
            tokens=provider,
            session=session,
            retry=retry,
            timeout=timeout,
            limits=limits,
            routes=routes,
            max_response_bytes=max_response_bytes,
            allow_insecure=allow_insecure,
        )
        client._own_tokens = provider
        return client

    async def request(
        self, method: str, *segments: str, params: Mapping[str, str | int] | None = None, json: Any = None
    ) -> Any:
        """Call any other EnKash route, signed, and return its decoded payload.

        `await client.request("GET", "api", "v0", "webhook-data")`. A GET or HEAD is repeated like every read; any other
        method is never sent again once it may have arrived.

        Args:
            method: GET, HEAD, POST, PUT, PATCH or DELETE.
            segments: The parts of the path, each percent-encoded, so that a `/` in an id stays part of it.
            params: Query parameters.
            json: The body; money as `Decimal`, never `float`.

        Returns:
            The envelope's payload, or the whole document where it has no envelope; None for an empty body. Numbers with
            a fraction are `Decimal`.

        Raises:
            InvalidRequestError: The arguments are wrong; nothing was sent.
            OutcomeUnknownError: A call other than GET and HEAD ended unclearly.
            EnkashError: See the tree in `enkash_async.errors`.
        """
        return await self._send(custom.request(method, segments, params=params, json=json))

    async def aclose(self) -> None:
        """Close what this client opened, its session and its own provider; a second call does nothing."""
        await self._transport.aclose()
        if self._own_tokens is not None:
            await self._own_tokens.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
