"""The client: connects the parts, and closes only the parts that it opened."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Annotated, Any, Self, TypedDict, TypeVar, Unpack, cast, get_type_hints

import aiohttp
import attrs
from yarl import URL

from enkash_async._calls import custom
from enkash_async._environment import Environment
from enkash_async._flow.poller import Poller
from enkash_async._http.login import PasswordGrant
from enkash_async._http.pipeline import Pipeline
from enkash_async._http.transport import Transport
from enkash_async._money.creations import Creations
from enkash_async._money.debit_keys import Keys
from enkash_async._money.debit_records import DebitRecords
from enkash_async._money.debits import Debits
from enkash_async._money.pay import Payer
from enkash_async._money.reads import Reads
from enkash_async._money.settle import Settling
from enkash_async._support.clock import loop_now
from enkash_async._support.secret import HiddenStr
from enkash_async._support.urls import checked_base_url, is_loopback
from enkash_async.config import MAX_RESPONSE_BYTES, Limits, RetryPolicy, Routes, Timeouts
from enkash_async.errors import ConfigurationError
from enkash_async.resources.billers import Billers
from enkash_async.resources.bills_bulk import Bills
from enkash_async.resources.payments import Payments
from enkash_async.resources.webhooks import Webhooks
from enkash_async.stores import Store, process_store
from enkash_async.stores.closed import ClosedStore
from enkash_async.tokens import LOGIN_TIMEOUT, OnStoreDown, StoreTokenProvider, TokenProvider
from enkash_async.tokens._credentials import Credentials

__all__ = ["ClientOptions", "EnkashClient"]

_LET_END = 10.0  # seconds for calls under way to end
_LET_NOTE = 1.0  # seconds for calls that were cut off to write their outcome into the store

S = TypeVar("S", bound="TokenProvider | Store")
F = TypeVar("F", bound=Callable[..., None] | Callable[..., "EnkashClient"])


class ClientOptions(TypedDict, total=False):
    """The keyword arguments of `EnkashClient`, `from_credentials` and `from_env`, with their defaults.

    To add an option, add a line here and a line in the docstring of `EnkashClient`, and use the option in `__init__`.
    """

    store: Annotated[Store | None, None]
    session: Annotated[aiohttp.ClientSession | None, None]
    retry: Annotated[RetryPolicy, RetryPolicy()]
    timeout: Annotated[Timeouts, Timeouts()]
    limits: Annotated[Limits, Limits()]
    routes: Annotated[Routes, Routes()]
    proxy: Annotated[str | None, None]
    debit_on_create: Annotated[bool, False]
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
    """Return every option, with its default if the caller did not give the option.

    Raises:
        TypeError: There is no such option.
        ConfigurationError: `retry`, `routes`, `store` or `debit_on_create` has a wrong type.
    """
    if (wrong := _flaw(given)) is not None:
        # A wrong option may be a secret. Drops it, since a rendered traceback shows the locals of these frames.
        cast("dict[str, object]", given).clear()
        raise wrong
    if isinstance(given.get("proxy"), str):
        given["proxy"] = HiddenStr(given["proxy"])  # may hold a password, which a traceback would show
    return {**_DEFAULTS, **given}  # type: ignore[typeddict-item]


def _flaw(given: ClientOptions) -> TypeError | ConfigurationError | None:
    """Return the error for wrong options, or None; the error shows no value of an option."""
    if unknown := [name for name in given if name not in _DEFAULTS]:
        return TypeError(f"unexpected keyword argument {unknown[0]!r}: a client's options are {', '.join(_DEFAULTS)}")
    kinds = (
        ("retry", RetryPolicy, "a RetryPolicy(…)"),
        ("routes", Routes, "Routes(…)"),
        ("debit_on_create", bool, "True or False"),
    )
    for name, kind, example in kinds:
        value = given.get(name, _DEFAULTS[name])
        if isinstance(value, _Shown):  # a default that the caller took from `inspect.signature`
            given[name] = value = value.value  # type: ignore[literal-required]
        if not isinstance(value, kind):
            return ConfigurationError(f"{name} must be {example}, not {type(value).__name__}")
    store = given.get("store")
    if store is not None and not all(callable(getattr(store, name, None)) for name in ("read", "swap", "aclose")):
        kind_of = type(store).__name__
        return ConfigurationError(f"store must be a Store, such as open_store(url) or MemoryStore(), not {kind_of}")
    return None


def _client_of(tokens: TokenProvider) -> str:
    """Return a hash of the client id, which tells the companies of one host apart; empty if it is not known."""
    return tokens.client if isinstance(tokens, StoreTokenProvider) else ""


def _default_store(base_url: str) -> Store:
    """Return the store for a client without one: memory if EnKash is on this machine, else what the variables name."""
    return process_store() if is_loopback(URL(base_url).host or "") else Environment(os.environ).store()


class EnkashClient:
    """A client of the EnKash Bill Payment API.

    Use the client as an async context manager, and one client for each event loop. It opens connections on first use.
    Clients may share `tokens`.

    Args:
        base_url: URL of EnKash's API, such as `https://host` or `https://host/prefix`. EnKash documents no single host
            for bill payment: use the URL that EnKash gave you.
        tokens: Provides the tokens; the client does not close it.
        store: The store that the processes of this account share; the client does not close it. None, the default,
            opens the store that `ENKASH_STORE_URL` names, or the SQLite file of this user. If `base_url` is on this
            machine, such as a sandbox, None takes the memory of the process.
        session: Your own aiohttp session, which the client does not close. None, the default, opens one.
        retry: How to repeat calls that are safe to repeat, and how long to look for the effect of other calls.
            `RetryPolicy()`, the default, makes three attempts.
        timeout: Limits of each attempt in seconds. `Timeouts()`, the default, allows 30, and 5 for the connection.
        limits: How many requests may be in flight, and begin in a second. `Limits()`, the default, allows 100 in
            flight, and sets no rate.
        routes: The path of every operation. `Routes()`, the default, has those that EnKash documents.
        proxy: URL of the HTTP proxy for the session that the client opens, such as `http://user:password@host:3128`.
            None, the default, follows `HTTPS_PROXY` and `NO_PROXY`. The store is never reached through the proxy.
        debit_on_create: Whether EnKash debits your account as soon as a bill is created, as it does for accounts that
            are set up so; False by default. Then `payments.pay` confirms nothing, and `payments.confirm_debit` refuses.
        max_response_bytes: Largest reply in bytes; 64 MiB by default. A larger reply raises an error.
        allow_insecure: Allow plain `http` to hosts other than this machine; False by default.

    Attributes:
        base_url: The base URL, as it was given.
        tokens: The `TokenProvider` of the client.
        store: The `Store` of the client.
        billers: Calls about billers, the companies that can be paid.
        bills: Calls that fetch, create, look up, search and wait for bills.
        payments: Calls that move money.
        webhooks: Calls that register a webhook with EnKash, and find changes whose posts did not arrive.

    Raises:
        ConfigurationError: An argument is unusable.
        TypeError: An option does not exist.
    """

    @_spelt_out
    def __init__(self, base_url: str, *, tokens: TokenProvider, **options: Unpack[ClientOptions]) -> None:
        if not isinstance(tokens, TokenProvider):
            kind = type(tokens).__name__
            del tokens  # the argument may be a bare token, and a rendered traceback shows this frame
            raise ConfigurationError(f"tokens must be a TokenProvider, not {kind}: wrap a token in StaticTokenProvider")
        filled = _filled(options)
        retry, timeout, routes = filled["retry"], filled["timeout"], filled["routes"]
        self._transport = Transport(
            checked_base_url(base_url, allow_insecure=filled["allow_insecure"]),
            session=filled["session"],
            timeout=timeout,
            limits=filled["limits"],
            proxy=filled["proxy"],
            max_response_bytes=filled["max_response_bytes"],
        )
        self._owned: list[TokenProvider | Store] = []
        self.tokens: TokenProvider = tokens
        self.base_url: str = base_url
        self._store = filled["store"]
        self._send = Pipeline(self._transport, tokens, retry)
        self._routes: Routes = routes
        self.billers: Billers = Billers(self._send, routes)
        poller = Poller()
        reads = Reads(self._send, routes)
        settling = Settling(reads, retry.settle, timeout.total, poller)
        self._records = records = DebitRecords(
            lambda: self.store, Keys(base_url, _client_of(tokens)), is_loopback=is_loopback(URL(base_url).host or "")
        )
        debits = Debits(records, self._send, routes, reads, settling, poller, patience=timeout.total * retry.attempts)
        self.bills: Bills = Bills(self._send, routes, reads, settling, poller, records)
        payer = Payer(
            self._send,
            routes,
            reads,
            settling,
            poller,
            debits,
            Creations(records),
            timeout=timeout.total,
            debit_on_create=filled["debit_on_create"],
        )
        self.payments: Payments = Payments(self._send, routes, settling, debits, payer)
        self.webhooks: Webhooks = Webhooks(self._send, routes, reads, lambda: self.store, base_url)

    @classmethod
    @_spelt_out
    def from_credentials(
        cls,
        base_url: str,
        credentials: Credentials,
        *,
        login_timeout: float = LOGIN_TIMEOUT,
        on_store_down: OnStoreDown = "login_if_proven",
        **options: Unpack[ClientOptions],
    ) -> Self:
        """Return a client that logs in by itself and shares its token through the store.

        All clients that use the same store share one login, and one guard that keeps logins from locking the account.
        By default, the store is the one that `ENKASH_STORE_URL` names, or the SQLite file of this user.

        Args:
            base_url: As for the class.
            credentials: The credentials that EnKash gave you.
            login_timeout: Seconds after which a login times out, above 0 and up to 110.
            on_store_down: What happens if the token expires while the store is unavailable; see `StoreTokenProvider`.
            **options: As for the class.

        Raises:
            ConfigurationError: An argument is unusable.
            TypeError: An option does not exist.
        """
        filled = _filled(options)
        grant = PasswordGrant(
            base_url,
            credentials,
            session=filled["session"],
            path=filled["routes"].token,
            allow_insecure=filled["allow_insecure"],
            proxy=filled["proxy"],
        )
        given = filled["store"]
        store = _default_store(base_url) if given is None else given
        provider = StoreTokenProvider(grant, store, login_timeout=login_timeout, on_store_down=on_store_down)
        return cls._owner(base_url, provider, store, options)

    @classmethod
    @_spelt_out
    def from_env(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        login_timeout: float | None = None,
        on_store_down: OnStoreDown = "login_if_proven",
        **options: Unpack[ClientOptions],
    ) -> Self:
        """Return a client that reads its settings from environment variables, and logs in by itself.

        Needed: `ENKASH_BASE_URL`, `ENKASH_CLIENT_ID`, `ENKASH_CLIENT_SECRET`, `ENKASH_USERNAME`, `ENKASH_PASSWORD`.
        Optional: `ENKASH_FORM_CLIENT_ID`, if the form's `clientId` differs from the client id; `ENKASH_STORE_URL`, the
        store that your processes share (`sqlite:///path`, `redis://`, `rediss://`, `unix://`,
        `redis+sentinel://host,host/service`, `redis+cluster://host,host`, `postgresql://`, or `memory:` to share
        nothing); `ENKASH_REDIS_URL`, the same for a Redis; `ENKASH_TOKEN_KEYS`, which seals the token with keys of your
        own (see `TokenSealer`); `ENKASH_LOGIN_TIMEOUT`, in seconds; `ENKASH_DEBIT_ON_CREATE`, 1 for `debit_on_create`;
        `ENKASH_NOTHING_PENDING=1`, which declares that no confirmation of a debit is under way anywhere, so that a new
        store confirms at once. If no variable names a store, the store is the SQLite file of this user.

        Args:
            environ: The variables; None takes `os.environ`.
            login_timeout: Seconds after which a login times out. None takes `ENKASH_LOGIN_TIMEOUT`, or 15 without it.
            on_store_down: What happens if the token expires while the store is unavailable; see `StoreTokenProvider`.
            **options: As for the class.

        Raises:
            ConfigurationError: A variable is missing or unusable; the message names every missing one.
            TypeError: An option does not exist.
        """
        environment = Environment(os.environ if environ is None else environ)
        del environ  # keeps secrets out of rendered tracebacks, which show the locals of this frame
        filled = _filled(options)
        options.setdefault("debit_on_create", environment.debit_on_create())
        grant = environment.grant(
            session=filled["session"],
            path=filled["routes"].token,
            allow_insecure=filled["allow_insecure"],
            proxy=filled["proxy"],
        )
        store = environment.store() if filled["store"] is None else filled["store"]
        provider = StoreTokenProvider(
            grant,
            store,
            sealer=environment.sealer(),
            login_timeout=environment.login_timeout() if login_timeout is None else login_timeout,
            on_store_down=on_store_down,
        )
        return cls._owner(environment.base_url, provider, store, options)

    @classmethod
    def _owner(cls, base_url: str, tokens: TokenProvider, store: Store, options: ClientOptions) -> Self:
        """Return a client that closes its provider, and its store too unless the caller gave the store."""
        shared: ClientOptions = {**options, "store": store}
        client = cls(base_url, tokens=tokens, **shared)
        client._own(tokens)
        if options.get("store") is None:
            client._own(store)
        return client

    @property
    def store(self) -> Store:
        """The store that the processes of this account share; the default store is opened on first access."""
        if self._store is None:
            self._store = self._own(_default_store(self.base_url))
        return self._store

    def _own(self, opened: S) -> S:
        """Record an object that `aclose` has to close, and return it."""
        self._owned.append(opened)
        return opened

    async def request(
        self, method: str, *segments: str, params: Mapping[str, str | int] | None = None, json: Any = None
    ) -> Any:
        """Call any other EnKash route with the client's token, and return the decoded payload.

        `await client.request("GET", "api", "v0", "webhook-data")`. GET and HEAD are repeated like every read. A call
        with another method is not repeated once EnKash may have received it, except as `RetryPolicy.writes` allows.

        A confirmation of debits is refused: use `payments.confirm_debit` or `payments.pay`, which first write a record.
        Two other kinds of calls move money without a record in the store: a payment through the gateway (as does
        `payments.initiate`), and a create on an account that debits on creation (instead of `payments.pay` with
        `debit_on_create=True`). Send such a call only once. EnKash accepts one create for each `referenceId`.

        Args:
            method: GET, HEAD, POST, PUT, PATCH or DELETE.
            segments: The parts of the path. Each is percent-encoded, so that a `/` in an id stays part of the id.
            params: Query parameters; None sends none.
            json: The body; None sends none. Money as `Decimal`, never `float`.

        Returns:
            The envelope's payload, or the whole document if it has no envelope; None for an empty body. Numbers with
            a fraction are `Decimal`.

        Raises:
            InvalidRequestError: The arguments are wrong, or the call would confirm debits; nothing was sent.
            OutcomeUnknownError: A call other than GET and HEAD may or may not have had its effect.
            EnkashError: See the tree in `enkash_async.errors`.
        """
        return await self._send(custom.request(self._routes, method, segments, params=params, json=json))

    async def aclose(self) -> None:
        """Close what this client opened: its session, its provider and its store; a second call does nothing.

        Calls under way get up to 10 seconds to end, and later calls raise `ConfigurationError`. If a call that changes
        something has not ended by then, its caller learns that the outcome is unknown. `aclose` may be called from any
        event loop.
        """
        end = loop_now() + _LET_END
        try:
            await self._transport.aclose(_LET_END)
            await self._records.acts.ended(max(end - loop_now(), _LET_NOTE))
        finally:
            async with AsyncExitStack() as stack:  # goes on if closing one fails or the caller is cancelled
                stack.callback(self._forget_store)
                for opened in reversed(self._owned):
                    stack.push_async_callback(opened.aclose)

    def _forget_store(self) -> None:
        """Replace the store, so that later calls neither use a closed store nor open the default store again."""
        if self._store is None or any(one is self._store for one in self._owned):
            self._store = ClosedStore()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
