"""A token store that a whole fleet shares: Redis or Valkey, and what it must keep to."""

from __future__ import annotations

import asyncio
import hashlib
import random
import re
from collections.abc import Awaitable, Callable, Sequence
from logging import getLogger
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from enkash_async._support.clock import instant, waits_beside
from enkash_async._support.secret import HiddenStr
from enkash_async.errors import ConfigurationError, TokenStoreError
from enkash_async.tokens._credentials import Identity
from enkash_async.tokens._limits import (
    BUDGET,
    COOLDOWN,
    LEASE,
    LONGEST_COOLDOWN,
    REMEMBERED,
    RENEWAL_PAUSE,
    kept_retry_after,
)
from enkash_async.tokens._provider import CachingTokenProvider
from enkash_async.tokens._renewal import OnStoreDown
from enkash_async.tokens._sealer import TokenSealer
from enkash_async.tokens._status import StoreStatus
from enkash_async.tokens._types import Claim, Cooling, Failure, Found, Lead, Refused, Token, TokenSource, Wait
from enkash_async.tokens._windows import LONGEST_LIFETIME, hold_back

if TYPE_CHECKING:
    from enkash_async.stores.redis_link import Argument
    from enkash_async.stores.redis_url import Client

__all__ = ["RedisTokenProvider", "RedisTokenStore"]

_Reply: TypeAlias = Sequence[Any]

_log = getLogger("enkash_async.tokens")

_TIMEOUT = 0.25  # seconds for one reply
_SCRIPTS = ("claim", "beat", "publish", "fail", "reject", "reset", "read")
_KEYS = ("tok", "lease", "meta", "guard", "cool")
_NAME = re.compile(r"[\w.-]{1,64}")
_PLAIN = "p1:"  # prefix of a token that is stored unsealed
_KEEP = LONGEST_LIFETIME + 24 * 3600  # seconds that watermark and fence outlive their last use: longer than any token


class RedisTokenStore:
    """Keeps the token, the right to log in and the guard of an account in Redis or Valkey.

    Every step is one Lua script. All keys of an account share a hash tag, so that they are in one slot of a cluster:
    `<prefix>:v1:{<account>}:tok`, `lease`, `meta`, `guard` and `cool`. Passwords, client secrets and user names are not
    written. Without a sealer, the access token is, in plain text.

    Args:
        redis: Your asyncio client of redis-py (`Redis`, `RedisCluster`, or what `Sentinel.master_for` returns), which
            is never closed and is used in the event loop that it belongs to; or a URL, for which a small pool is opened
            in each event loop.
        sealer: Seals the access token; None writes it in plain text.
        prefix: Begins every key; no braces.
        timeout: Seconds for one reply; opening a connection may take twice as long.
        clock: Monotonic seconds.
        sleep: Waits so many seconds.
        random: Returns a number in [0, 1), for the jitter of cooldowns.

    Raises:
        ConfigurationError: An argument is unusable.
    """

    def __init__(
        self,
        redis: Client | str,
        *,
        sealer: TokenSealer | None = None,
        prefix: str = "enkash",
        timeout: float = _TIMEOUT,
        clock: Callable[[], float] = instant,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        random: Callable[[], float] = random.random,
    ) -> None:
        redis = HiddenStr(redis) if isinstance(redis, str) else redis
        # Only who shares tokens pays for importing redis-py, which takes longer than this whole package.
        from enkash_async.stores.redis_link import set_up  # noqa: PLC0415

        if sealer is not None and not isinstance(sealer, TokenSealer):
            raise ConfigurationError(f"sealer must be a TokenSealer, not {type(sealer).__name__}")
        self._link, self._scripts = set_up(
            redis,
            str(__package__),
            _SCRIPTS,
            prefix=prefix,
            timeout=timeout,
            error=TokenStoreError,
            clock=waits_beside(clock),
            sleep=sleep,
            random=random,
        )
        self._sealer = sealer
        self._prefix = prefix
        self._clock = clock
        self._random = random
        self._warned = False

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        sealer: TokenSealer | None = None,
        prefix: str = "enkash",
        timeout: float = _TIMEOUT,
    ) -> Self:
        """Return a store with a small pool of its own in each event loop; close it with `aclose()`.

        Args:
            url: As in `ENKASH_REDIS_URL`: `redis://`, `rediss://`, `unix://`, `redis+sentinel://host,host/service` or
                `redis+cluster://host,host`. The other arguments are those of the class.

        Raises:
            ConfigurationError: An argument is unusable; the message does not repeat the URL.
        """
        url = HiddenStr(url) if isinstance(url, str) else url  # a wrong kind is complained of further down
        return cls(url, sealer=sealer, prefix=prefix, timeout=timeout)

    async def claim(self, identity: Identity, owner: str, *, above: int) -> Claim:
        """Ask for a token, or for the right to fetch one; as in `TokenStore.claim`."""
        while True:
            asked_at = self._clock()
            # No local here holds the reply, whose token a traceback of the next question would show.
            answer = self._answer(await self._claim(identity, owner, above), identity, asked_at)
            if not isinstance(answer, int):
                return answer
            self._warn_unreadable()
            above = max(above, answer)

    def _answer(self, reply: _Reply, identity: Identity, asked_at: float) -> Claim | int:
        """Return the store's answer to a claim; if its token cannot be read, return that token's generation instead."""
        word, found = _text(reply[0]), reply[1:]
        if word != "TOKEN":
            return _answer(word, found)
        generation, value, lifetime, left, proven, settled = found
        # What is left is counted from before the question, so that a slow answer makes no token look younger.
        token = self._token(identity, _text(value), generation, lifetime / 1000, asked_at + left / 1000)
        return int(generation) if token is None else Found(token, bool(proven), settled / 1000)

    async def _claim(self, identity: Identity, owner: str, above: int) -> _Reply:
        fingerprint = _name(identity.fingerprint)
        pause_us = _ms(RENEWAL_PAUSE) * 1000
        reply: _Reply = await self._run(
            "claim",
            identity,
            lambda: (owner, fingerprint, above, _ms(LEASE), BUDGET, pause_us, REMEMBERED, _ms(_KEEP)),
        )
        return reply

    async def beat(self, identity: Identity, owner: str) -> bool:
        """Extend the owner's lease; as in `TokenStore.beat`."""
        fingerprint = _name(identity.fingerprint)
        return bool(await self._run("beat", identity, lambda: (owner, _ms(LEASE), fingerprint, _ms(_KEEP))))

    async def publish(self, identity: Identity, owner: str, token: Token) -> bool:
        """Store a token; as in `TokenStore.publish`."""
        return bool(
            await self._run(
                "publish",
                identity,
                lambda: (
                    owner,
                    _name(identity.fingerprint),
                    token.generation,
                    self._written(identity, token),
                    _ms(token.expires_in),
                    _ms(token.remaining(self._clock())),
                    _ms(hold_back(token.expires_in)),
                    _ms(_KEEP),
                ),
            )
        )

    async def fail(
        self,
        identity: Identity,
        owner: str,
        failure: Failure,
        retry_after: float | None = None,
        *,
        fence: int | None = None,
    ) -> float:
        """Note a failed login; as in `TokenStore.fail`."""
        share = self._random()
        pause = await self._run(
            "fail",
            identity,
            lambda: (
                owner,
                _name(identity.fingerprint),
                failure.value,
                share,
                _ms(COOLDOWN),
                _ms(LONGEST_COOLDOWN),
                _ms(kept_retry_after(retry_after)),
                REMEMBERED,
                _ms(_KEEP),
                "" if fence is None else fence,
            ),
        )
        return float(pause) / 1000

    async def reject(self, identity: Identity, generation: int) -> None:
        """Note that EnKash refused a generation; as in `TokenStore.reject`."""
        await self._run("reject", identity, lambda: (generation, _ms(_KEEP)))

    async def reset(self, identity: Identity) -> None:
        """Forget bars, budget and cooldown; as in `TokenStore.reset`."""
        await self._run("reset", identity, tuple)

    async def status(self, identity: Identity) -> StoreStatus:
        """Return how an account stands; nothing is changed, and no login is made.

        Raises:
            TokenStoreError: Redis cannot be reached, or refuses.
        """
        reply = await self._run("read", identity, lambda: (_name(identity.fingerprint),))
        generation, form, _, left, watermark, spent, locked, barred, in_all, proven, cooling, lease, failures = reply
        mark, _, key_id = _text(form).partition(":")
        has_token = left > 0 and bool(mark)
        return StoreStatus(
            generation=generation if has_token else None,
            remaining=left / 1000 if has_token else None,
            sealed_with=(key_id or ("" if mark == "p1" else mark)) if has_token else None,
            readable=self._reads(mark, key_id) if has_token else None,
            refused_up_to=watermark if watermark >= 0 else None,
            attempts=spent,
            budget=BUDGET,
            locked=bool(locked),
            barred=bool(barred),
            barred_in_all=in_all,
            proven=bool(proven),
            cooling=max(0, cooling) / 1000,
            logging_in=lease > 0,
            failures=failures,
        )

    async def aclose(self) -> None:
        """Close the connections that were opened for a URL; a second call does nothing."""
        await self._link.aclose()

    async def _run(self, name: str, identity: Identity, arguments: Callable[[], Sequence[Argument]]) -> Any:
        tag = f"{self._prefix}:v1:{{{_name(identity.account)}}}"
        return await self._link.run(self._scripts[name], [f"{tag}:{key}" for key in _KEYS], arguments)

    def _written(self, identity: Identity, token: Token) -> str:
        if self._sealer is None:
            return _PLAIN + token.reveal()
        return self._sealer.seal(token.reveal(), account=identity.account, generation=token.generation)

    def _token(self, identity: Identity, value: str, generation: int, lifetime: float, end: float) -> Token | None:
        """Return the token that was written, or None where it cannot be read."""
        secret: str | None
        if self._sealer is not None:
            # A token in plain text may have been planted by whoever can write to Redis, so it is not taken.
            secret = self._sealer.unseal(value, account=identity.account, generation=generation)
        else:
            secret = value.removeprefix(_PLAIN) if value.startswith(_PLAIN) else None
        try:
            return None if secret is None else Token(secret, lifetime, end - lifetime, generation)
        except ConfigurationError:
            return None

    def _reads(self, mark: str, key_id: str) -> bool:
        return mark == "p1" if self._sealer is None else mark == "s1" and key_id in self._sealer.key_ids

    def _warn_unreadable(self) -> None:
        if not self._warned:
            self._warned = True
            _log.warning("the token in Redis cannot be read with the keys of this process; it fetches one of its own")


class RedisTokenProvider(CachingTokenProvider):
    """Hands out tokens that all workers of an account share through Redis or Valkey.

    They log in once between them, and a password that EnKash refused is tried once by all of them together. With a
    fresh token in hand, Redis is not asked.

    Args:
        source: Logs in, such as a `PasswordGrant`.
        redis: As in `RedisTokenStore`.
        sealer: Seals the access token in Redis; None writes it in plain text.
        prefix: Begins every key in Redis.
        timeout: Seconds for one reply of Redis.
        on_store_down: What is done without Redis, as in `CachingTokenProvider`.
        clock: Monotonic seconds; the clock of the tokens that the source makes.
        sleep: Waits so many seconds.
        random: Returns a number in [0, 1).

    Raises:
        ConfigurationError: An argument is unusable.
    """

    def __init__(
        self,
        source: TokenSource,
        redis: Client | str,
        *,
        sealer: TokenSealer | None = None,
        prefix: str = "enkash",
        timeout: float = _TIMEOUT,
        on_store_down: OnStoreDown = "login_if_proven",
        clock: Callable[[], float] = instant,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        random: Callable[[], float] = random.random,
    ) -> None:
        redis = HiddenStr(redis) if isinstance(redis, str) else redis
        store = RedisTokenStore(
            redis, sealer=sealer, prefix=prefix, timeout=timeout, clock=clock, sleep=sleep, random=random
        )
        super().__init__(source, store, on_store_down=on_store_down, clock=clock, sleep=sleep, random=random)
        self._redis_store = store
        self._identity_source = source

    @classmethod
    def from_url(
        cls,
        source: TokenSource,
        url: str,
        *,
        sealer: TokenSealer | None = None,
        prefix: str = "enkash",
        timeout: float = _TIMEOUT,
        on_store_down: OnStoreDown = "login_if_proven",
    ) -> Self:
        """Return a provider with a small pool of its own in each event loop; close it with `aclose()`.

        Args:
            source: Logs in.
            url: As in `RedisTokenStore.from_url`. The other arguments are those of the class.

        Raises:
            ConfigurationError: An argument is unusable; the message does not repeat the URL.
        """
        url = HiddenStr(url) if isinstance(url, str) else url
        return cls(source, url, sealer=sealer, prefix=prefix, timeout=timeout, on_store_down=on_store_down)

    async def aclose(self) -> None:
        """Stop a refresh under way and close the connections that were opened for a URL."""
        try:
            await super().aclose()
        finally:  # also when the one who closes is cancelled
            await self._redis_store.aclose()

    async def status(self) -> StoreStatus:
        """Return how the account stands in Redis; as in `RedisTokenStore.status`."""
        return await self._redis_store.status(self._identity_source.identity)


def _answer(word: str, found: _Reply) -> Claim:
    if word == "LEAD":
        return Lead(found[0], bool(found[1]))
    if word == "WAIT":
        return Wait(found[0] / 1000)
    if word == "COOL":
        return Cooling(found[0] / 1000)
    if word == "REFUSED":
        return Refused(_text(found[0]))
    raise TokenStoreError("Redis gave an answer that a token store does not give")


def _text(reply: str | bytes) -> str:
    """Return a text as the client gives it, with `decode_responses` or without."""
    # What somebody else wrote may be anything; with the replacement it is no token of ours.
    return reply.decode(errors="replace") if isinstance(reply, bytes) else reply


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


def _name(text: str) -> str:
    """Return an account or a fingerprint as it stands in Redis, where colons and braces have a meaning."""
    if _NAME.fullmatch(text):
        return text
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
