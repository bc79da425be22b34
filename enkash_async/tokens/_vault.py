"""Tokens on their way into a store and out of it: sealed, or not stored at all."""

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

_PLAIN: Final = "plain"  # stands for the key id of a token that is stored as it is
_ABSENT: Final = ""  # stands for the key id of a token that stays out of the store


def mark_of(token: Token) -> str:
    """Return what is equal for two tokens of one secret, and tells nothing of it."""
    return hashlib.blake2b(token.reveal().encode(), digest_size=16, person=b"enkash-token").hexdigest()


@attrs.frozen
class Vault:
    """Puts the tokens of one identity into records, and takes them out.

    Args:
        identity: Whose tokens.
        sealer: Seals them; None stores them as they are.
        stores: Whether tokens are stored at all.
    """

    identity: Identity
    sealer: TokenSealer | None = None
    stores: bool = True

    @property
    def keys(self) -> tuple[str, ...]:
        """The ids of the keys that open a token here."""
        if not self.stores:
            return ()
        return (_PLAIN,) if self.sealer is None else self.sealer.key_ids

    def put(self, token: Token, age: float) -> FreshToken:
        """Return a token as a report carries it; where tokens are not stored, only that there is one, and its end.

        Args:
            token: Numbered with the fence of its attempt.
            age: Seconds since just before its login was sent.
        """
        if not self.stores:
            return FreshToken(_ABSENT, b"", mark_of(token), token.expires_in, age)
        if self.sealer is None:
            return FreshToken(_PLAIN, token.reveal().encode(), mark_of(token), token.expires_in, age)
        sealed = self.sealer.seal(token.reveal(), account=self._context, generation=token.generation)
        return FreshToken(self.sealer.key_ids[0], sealed.encode(), mark_of(token), token.expires_in, age)

    def take(self, stored: StoredToken, requested_at: float) -> Token | None:
        """Return a token of a record, or None where it cannot be opened.

        Args:
            stored: The token.
            requested_at: The instant of this process at which its login was sent.
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
    """Return how the tokens of a source are kept in a store.

    Sealed, with the key of the source where no sealer is given. Without either they stay out of a file, and are stored
    as they are only in the memory of this process or with `allow_plain`.

    Raises:
        ConfigurationError: They could only be stored in plain text, and that was not allowed.
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
