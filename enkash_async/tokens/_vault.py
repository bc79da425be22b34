"""Converts tokens for a store, and back: sealed, in plain text, or not stored at all."""

from __future__ import annotations

import hashlib
from typing import Final

import attrs

from enkash_async._support.secret import Secret
from enkash_async.errors import ConfigurationError
from enkash_async.stores import MemoryStore, SQLiteStore, Store
from enkash_async.tokens._commands import FreshToken
from enkash_async.tokens._credentials import Identity
from enkash_async.tokens._record import StoredToken
from enkash_async.tokens._sealer import TokenSealer, can_seal
from enkash_async.tokens._types import Token, TokenSource

__all__ = ["Vault", "mark_of", "vault_for"]

_PLAIN: Final = "plain"  # key id of a token that is stored in plain text
_ABSENT: Final = ""  # key id of a token whose secret is not stored


def mark_of(token: Token) -> str:
    """Return a hash of the token's secret, which is equal for tokens with the same secret and does not reveal it."""
    return hashlib.blake2b(token.reveal().encode(), digest_size=16, person=b"enkash-token").hexdigest()


@attrs.frozen
class Vault:
    """Converts the tokens of one identity for records, and back.

    Args:
        identity: Account and client id of the tokens.
        sealer: Encrypts the tokens; None stores them in plain text.
        stores: Whether secrets are stored at all.
    """

    identity: Identity
    sealer: TokenSealer | None = None
    stores: bool = True

    @property
    def keys(self) -> tuple[str, ...]:
        """Ids of the keys with which this vault can read stored tokens; empty if it stores no secrets."""
        if not self.stores:
            return ()
        return (_PLAIN,) if self.sealer is None else self.sealer.key_ids

    def put(self, token: Token, age: float) -> FreshToken:
        """Return a token in the form of a report; if tokens are not stored, the report has its lifetime but no secret.

        Args:
            token: The token; its generation is the fence of its attempt.
            age: Seconds since just before the token's login was sent.
        """
        if not self.stores:
            return FreshToken(_ABSENT, b"", mark_of(token), token.expires_in, age)
        if self.sealer is None:
            return FreshToken(_PLAIN, token.reveal().encode(), mark_of(token), token.expires_in, age)
        sealed = self.sealer.seal(token.reveal(), account=self._context, generation=token.generation)
        return FreshToken(self.sealer.key_ids[0], sealed.encode(), mark_of(token), token.expires_in, age)

    def take(self, stored: StoredToken, requested_at: float) -> Token | None:
        """Return the token of a record, or None if it cannot be unsealed.

        Args:
            stored: The token as the record holds it.
            requested_at: Instant just before the token's login was sent, on the clock of this process.
        """
        text = self._opened(stored)
        return None if text is None else Token(text, stored.life, requested_at, stored.fence)

    def _opened(self, stored: StoredToken) -> Secret | None:
        text = stored.sealed.decode("ascii", "replace")
        if stored.key_id == _PLAIN:
            return Secret(text)
        if self.sealer is None:
            return None
        opened = self.sealer.unseal(text, account=self._context, generation=stored.fence)
        return None if opened is None else Secret(opened)

    @property
    def _context(self) -> str:
        return f"{self.identity.account} {self.identity.client}"


def vault_for(source: TokenSource, store: Store, *, sealer: TokenSealer | None, allow_plain: bool) -> Vault:
    """Return the vault for the tokens of a source in a store.

    The vault seals tokens with the given sealer, or with the key of the source. Without a sealer and a key, a
    `SQLiteStore` gets no secrets, a `MemoryStore` gets plain tokens, and other stores need `allow_plain`.

    Raises:
        ConfigurationError: The tokens could only be stored in plain text, and `allow_plain` is False.
    """
    identity = source.identity
    if sealer is None:
        key = getattr(source, "seal_key", None)
        sealer = TokenSealer([key]) if key is not None and can_seal() else None
    if sealer is not None or isinstance(store, MemoryStore):
        return Vault(identity, sealer)
    if isinstance(store, SQLiteStore):
        return Vault(identity, stores=False)
    if allow_plain:
        return Vault(identity)
    raise ConfigurationError(
        "tokens would lie in the store in plain text: install the extra (pip install 'enkash-async[crypto]'), or give "
        "sealer=TokenSealer(…), or allow_plain=True"
    )
