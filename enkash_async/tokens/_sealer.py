"""Seals (encrypts) tokens before they are written to a store, so that a reader of the store learns no token."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

import attrs

from enkash_async.errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["TokenSealer", "can_seal"]

_FORM = "s1"  # version of the format; begins each sealed token, and is authenticated with it
_SEALED = re.compile(r"s1:([0-9a-f]{8}):([A-Za-z0-9_=-]+)")
_KEY_BYTES = 32
_NONCE_BYTES = 12
_WHAT = "must be 32 bytes, or those in base64 or hexadecimal: TokenSealer.generate_key() makes one"


class TokenSealer:
    """Seals tokens with AES-256-GCM before they are written to a store; needs the extra `crypto`.

    A token that is sealed for one account and generation cannot be unsealed for another. To rotate keys without a new
    login: add the new key after the old key in every process, then put the new key first in every process, then remove
    the old key.

    Args:
        keys: The keys. The first key seals, the others only unseal. Each key is 32 random bytes, or these bytes in
            base64 or hexadecimal. One string may hold several keys, separated by commas.

    Raises:
        ConfigurationError: No key is given, a key is unusable, or the extra `crypto` is not installed.
    """

    def __init__(self, keys: Sequence[str | bytes] | str | bytes) -> None:
        self._ciphers: dict[str, AESGCM] = {}  # set first: if `__init__` fails, an error reporter may call `repr`
        crypto = _crypto()
        kind, listed = type(keys).__name__, _listed(keys)
        parsed = [_parsed(key) for key in listed or ()]
        flaws = [number for number, key in enumerate(parsed) if key is None]
        ciphers = {} if crypto is None else {_key_id(key): crypto.cipher(key) for key in parsed if key is not None}
        is_list = listed is not None
        del keys, listed, parsed  # keeps secrets out of rendered tracebacks, which show the locals of this frame
        if not is_list:
            raise ConfigurationError(f"keys must be a list of keys, not {kind}; each {_WHAT}")
        if flaws:
            raise ConfigurationError(f"keys[{flaws[0]}] {_WHAT}")
        if crypto is None:
            raise ConfigurationError("sealing tokens needs the extra: pip install 'enkash-async[crypto]'")
        if not ciphers:
            raise ConfigurationError(f"keys must hold at least one key; each {_WHAT}")
        self._ciphers = ciphers
        self._writing = next(iter(ciphers))
        self._unfit = crypto.unfit

    def __repr__(self) -> str:
        return f"TokenSealer(key_ids={self.key_ids!r})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a TokenSealer is not pickled; make one from the keys in each process")

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Ids of the keys, in the order of the keys; an id reveals nothing about its key."""
        return tuple(self._ciphers)

    @staticmethod
    def generate_key() -> str:
        """Return a new random key in base64, as `ENKASH_TOKEN_KEYS` takes it."""
        return base64.urlsafe_b64encode(os.urandom(_KEY_BYTES)).decode()

    def seal(self, access_token: str, *, account: str, generation: int) -> str:
        """Return the encrypted form of a token.

        Args:
            access_token: The token.
            account: Name of the token's account; `unseal` must be given the same name.
            generation: Generation of the token; `unseal` must be given the same number.
        """
        nonce = os.urandom(_NONCE_BYTES)
        context = _context(account, self._writing, generation)
        sealed = self._ciphers[self._writing].encrypt(nonce, access_token.encode(), context)
        return f"{_FORM}:{self._writing}:{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def unseal(self, value: str, *, account: str, generation: int) -> str | None:
        """Return the token; None if `value` is not a token that was sealed with these keys, account and generation."""
        found = _SEALED.fullmatch(value)
        cipher = None if found is None else self._ciphers.get(found[1])
        if found is None or cipher is None:
            return None
        try:
            raw = base64.urlsafe_b64decode(found[2])
            if base64.urlsafe_b64encode(raw).decode() != found[2]:
                return None  # Python decodes several spellings of these bytes; `seal` writes only one
            opened = cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], _context(account, found[1], generation))
        except (self._unfit, ValueError):  # ValueError: the text is not base64, or too short for a nonce
            return None
        return opened.decode()


def can_seal() -> bool:
    """Whether the extra `crypto` is installed."""
    return _crypto() is not None


@attrs.frozen
class _Crypto:
    """The parts of `cryptography` that are used: the cipher, and the error that it raises for a text it cannot open."""

    cipher: type[AESGCM]
    unfit: type[Exception]


def _crypto() -> _Crypto | None:
    """Return the parts of `cryptography`, or None if the extra `crypto` is not installed."""
    try:
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 (an optional package, loaded at this one place)
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415
    except ImportError:
        return None
    return _Crypto(AESGCM, InvalidTag)


def _listed(keys: object) -> list[object] | None:
    if isinstance(keys, str):
        return [part for part in (piece.strip() for piece in keys.split(",")) if part]
    if isinstance(keys, bytes):
        return [keys]
    if not isinstance(keys, Sequence):
        return None
    # A list such as `[os.environ["ENKASH_TOKEN_KEYS"]]` must also split at commas. Otherwise, it would fail once the
    # variable holds a second key.
    return [part for key in keys for part in (_listed(key) or [key] if isinstance(key, str) else [key])]


def _parsed(key: object) -> bytes | None:
    """Return the 32 bytes of a key, or None if the value is not a key."""
    if isinstance(key, bytes):
        return key if len(key) == _KEY_BYTES else None
    if not isinstance(key, str):
        return None
    text = key.strip()
    try:
        if re.fullmatch(r"[0-9a-fA-F]{64}", text):
            return bytes.fromhex(text)
        plain = text.rstrip("=").replace("+", "-").replace("/", "_")
        raw = base64.b64decode(plain + "=" * (-len(plain) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) == _KEY_BYTES else None


def _key_id(key: bytes) -> str:
    return hashlib.blake2b(key, digest_size=4, person=b"enkash-key-id").hexdigest()


def _context(account: str, key_id: str, generation: int) -> bytes:
    """Return the data that binds a sealed token to its account, key and generation: nobody can swap sealed tokens."""
    return f"enkash-async {_FORM} {key_id} {len(account)} {account} {generation}".encode("utf-8", "surrogatepass")
