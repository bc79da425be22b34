"""The client: connects the parts, and closes only what it opened."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Annotated, Any, Self, TypedDict, TypeVar, Unpack, cast, get_type_hints

import aiohttp
import attrs

from enkash_async._calls import custom
from enkash_async._environment import Environment
from enkash_async._flow.poller import Poller
from enkash_async._http.login import PasswordGrant
from enkash_async._http.pipeline import Pipeline
from enkash_async._http.transport import Transport
from enkash_async._money.reads import Reads
from enkash_async._money.settle import Settling
from enkash_async._support.urls import checked_base_url
from enkash_async.config import MAX_RESPONSE_BYTES, Limits, RetryPolicy, Routes, Timeouts
from enkash_async.errors import ConfigurationError
from enkash_async.resources.billers import Billers
from enkash_async.resources.bills_bulk import Bills
from enkash_async.resources.payments import Payments
from enkash_async.resources.webhooks import Webhooks
from enkash_async.tokens._credentials import Credentials
from enkash_async.tokens._provider import InMemoryTokenProvider
from enkash_async.tokens._types import TokenProvider

__all__ = ["ClientOptions", "EnkashClient"]

F = TypeVar("F", bound=Callable[..., None] | Callable[..., "EnkashClient"])


class ClientOptions(TypedDict, total=False):
    """The keyword arguments of `EnkashClient`, `from_credentials` and `from_env`, with their defaults.

    To add an option: a line here, a line in the docstring of `EnkashClient`, and its use in `__init__`.
    """

    session: Annotated[aiohttp.ClientSession | None, None]
    retry: Annotated[RetryPolicy, RetryPolicy()]
    timeout: Annotated[Timeouts, Timeouts()]
    limits: Annotated[Limits, Limits()]
    routes: Annotated[Routes, Routes()]
    max_response_bytes: Annotated[int, MAX_RESPONSE_BYTES]
    allow_insecure: Annotated[bool, False]


_DEFAULTS = {name: hint.__metadata__[0] for name, hint in get_type_hints(ClientOptions, include_extras=True).items()}


@attrs.frozen(repr=False)
class _Shown:
    """A default value with a short `repr` for `help()`: `Routes()` instead of twelve paths."""

    value: object

    def __repr__(self) -> str:
        return f"{type(self.value).__name__}()" if attrs.has(type(self.value)) else repr(self.value)


def _spelt_out(call: F) -> F:
    """Make `help()` and `inspect.signature()` show each option of a call instead of `**options`."""
    *own, _ = (signature := inspect.signature(call, eval_str=True)).parameters.values()
    each = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=_Shown(_DEFAULTS[name]), annotation=hint)
        for name, hint in get_type_hints(ClientOptions).items()
    ]
    vars(call)["__signature__"] = signature.replace(parameters=[*own, *each])
    return call


def _filled(given: ClientOptions) -> ClientOptions:
    """Return every option, with the default where the caller gave none.

    Raises:
        TypeError: There is no such option.
        ConfigurationError: `retry` or `routes` has a wrong type.
    """
    if (wrong := _flaw(given)) is not None:
        cast(
            "dict[str, object]", given
        ).clear()  # a rendered traceback shows the locals of these frames, and a misspelt option may be a secret
        raise wrong
    return {**_DEFAULTS, **given}  # type: ignore[typeddict-item]


def _flaw(given: ClientOptions) -> TypeError | ConfigurationError | None:
    """Return what is wrong with options, without a value of theirs."""
    if unknown := [name for name in given if name not in _DEFAULTS]:
        return TypeError(f"unexpected keyword argument {unknown[0]!r}: a client's options are {', '.join(_DEFAULTS)}")
    for name, kind, example in (("retry", RetryPolicy, "a RetryPolicy(…)"), ("routes", Routes, "Routes(…)")):
        value = given.get(name, _DEFAULTS[name])
        if isinstance(value, _Shown):  # out of `inspect.signature`
            given[name] = value = value.value  # type: ignore[literal-required]
        if not isinstance(value, kind):
            return ConfigurationError(f"{name} must be {example}, not {type(value).__name__}")
    return None


class EnkashClient:
    """A client of the EnKash Bill Payment API.

    Use it as an async context manager, one for each event loop; it opens connections on first use. Clients may share
    `tokens`.

    Args:
        base_url: URL of EnKash's API, such as `https://host` or `https://host/prefix`. EnKash documents no single host
            for bill payment: use the one that you were given.
        tokens: Provides tokens; you close it yourself.
        session: Your own aiohttp session, which the client never closes; None, the default, opens one.
        retry: How often to repeat calls that are safe to repeat, and how long to look for the effect of other calls.
            `RetryPolicy()`, the default, makes three attempts.
        timeout: Limits of each attempt in seconds. `Timeouts()`, the default, allows 30, and 5 for the connection.
        limits: How many requests may be in flight, and begin in a second. `Limits()`, the default, allows 100 in
            flight, and sets no rate.
        routes: The path of every operation. `Routes()`, the default, has those that EnKash documents.
        max_response_bytes: Largest reply in bytes; 64 MiB by default. A larger one is raised as an error.
        allow_insecure: Allow plain `http` to hosts other than this machine; False by default.

    Attributes:
        billers: Lists the billers that can be paid.
        bills: Fetches, creates, looks up, searches and waits for bills.
        payments: Confirms debits and starts payments.
        webhooks: Registers webhooks.

    Raises:
        ConfigurationError: An argument is unusable.
        TypeError: There is no such option.
    """

    @_spelt_out
    def __init__(self, base_url: str, *, tokens: TokenProvider, **options: Unpack[ClientOptions]) -> None:
        if not isinstance(tokens, TokenProvider):
            kind = type(tokens).__name__
            del tokens  # it may be a bare token, and a rendered traceback shows the locals of this frame
            raise ConfigurationError(f"tokens must be a TokenProvider, not {kind}: wrap a token in StaticTokenProvider")
        filled = _filled(options)
        retry, timeout, routes = filled["retry"], filled["timeout"], filled["routes"]
        self._transport = Transport(
            checked_base_url(base_url, allow_insecure=filled["allow_insecure"]),
            session=filled["session"],
            timeout=timeout,
            limits=filled["limits"],
            max_response_bytes=filled["max_response_bytes"],
        )
        self._own_tokens: TokenProvider | None = None
        self._send = Pipeline(self._transport, tokens, retry)
        self.billers: Billers = Billers(self._send, routes)
        poller = Poller()
        reads = Reads(self._send, routes)
        settling = Settling(reads, retry.settle, timeout.total, poller)
        self.bills: Bills = Bills(self._send, routes, reads, settling, poller)
        self.payments: Payments = Payments(self._send, routes, reads, settling, patience=timeout.total * retry.attempts)
        self.webhooks: Webhooks = Webhooks(self._send, routes)

    @classmethod
    @_spelt_out
    def from_credentials(cls, base_url: str, credentials: Credentials, **options: Unpack[ClientOptions]) -> Self:
        """Return a client that logs in by itself and keeps its token in the memory of this process.

        Each such client makes its own logins and counts only its own attempts: make one client, not one for each
        request. To share a login, give several clients one provider as `tokens`.

        Args:
            base_url: As for the class.
            credentials: Your credentials from EnKash.
            **options: As for the class.

        Raises:
            ConfigurationError: An argument is unusable.
            TypeError: There is no such option.
        """
        filled = _filled(options)
        grant = PasswordGrant(
            base_url,
            credentials,
            session=filled["session"],
            path=filled["routes"].token,
            allow_insecure=filled["allow_insecure"],
        )
        return cls._owner(base_url, InMemoryTokenProvider(grant), options)

    @classmethod
    @_spelt_out
    def from_env(cls, environ: Mapping[str, str] | None = None, **options: Unpack[ClientOptions]) -> Self:
        """Return a client that reads its settings from environment variables, and logs in by itself.

        Required: `ENKASH_BASE_URL`, `ENKASH_CLIENT_ID`, `ENKASH_CLIENT_SECRET`, `ENKASH_USERNAME`, `ENKASH_PASSWORD`.
        Optional: `ENKASH_FORM_CLIENT_ID`, if the form's `clientId` differs from the client id; `ENKASH_REDIS_URL`, with
        which all workers share one token (`redis://`, `rediss://`, `unix://`, `redis+sentinel://host,host/service`,
        `redis+cluster://host,host`); `ENKASH_TOKEN_KEYS`, which encrypts that token (see `TokenSealer`).

        Args:
            environ: The variables; None reads `os.environ`.
            **options: As for the class.

        Raises:
            ConfigurationError: A variable is missing or unusable; the message names every missing one.
            TypeError: There is no such option.
        """
        environment = Environment(os.environ if environ is None else environ)
        del environ  # a rendered traceback shows the locals of this frame
        filled = _filled(options)
        grant = environment.grant(
            session=filled["session"], path=filled["routes"].token, allow_insecure=filled["allow_insecure"]
        )
        return cls._owner(environment.base_url, environment.provider(grant), options)

    @classmethod
    def _owner(cls, base_url: str, tokens: TokenProvider, options: ClientOptions) -> Self:
        """Return a client that owns its token provider, and closes it when the client is closed."""
        client = cls(base_url, tokens=tokens, **options)
        client._own_tokens = tokens
        return client

    async def request(
        self, method: str, *segments: str, params: Mapping[str, str | int] | None = None, json: Any = None
    ) -> Any:
        """Call any other EnKash route with the client's token, and return the decoded payload.

        `await client.request("GET", "api", "v0", "webhook-data")`. GET and HEAD are repeated like every read; a call
        with any other method is never repeated once EnKash may have received it.

        Args:
            method: GET, HEAD, POST, PUT, PATCH or DELETE.
            segments: The parts of the path. Each is percent-encoded, so that a `/` in an id stays part of the id.
            params: Query parameters; None sends none.
            json: The body; None sends none. Money as `Decimal`, never `float`.

        Returns:
            The envelope's payload, or the whole document if it has no envelope; None for an empty body. Numbers with
            a fraction are `Decimal`.

        Raises:
            InvalidRequestError: The arguments are wrong; nothing was sent.
            OutcomeUnknownError: A call other than GET and HEAD ended unclearly.
            EnkashError: See the tree in `enkash_async.errors`.
        """
        return await self._send(custom.request(method, segments, params=params, json=json))

    async def aclose(self) -> None:
        """Close the session and the token provider that this client opened itself; a second call does nothing."""
        await self._transport.aclose()
        if self._own_tokens is not None:
            await self._own_tokens.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
