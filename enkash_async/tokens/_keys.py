"""Names of accounts and clients that say nothing of whose they are: spellings of one account share one name."""

from __future__ import annotations

import hashlib
import unicodedata

from yarl import URL

from enkash_async._support.urls import folded_host

__all__ = ["account_name", "client_name", "folded", "joined"]


def folded(base_url: str, username: str) -> tuple[str, str]:
    """Return the host and the user name as EnKash tells accounts apart.

    Case, a default port, a trailing dot and the names of this machine make no other host; case, outer blanks and the
    way in which an accent is encoded make no other user.
    """
    return folded_host(base_url), unicodedata.normalize("NFC", username.strip().casefold())


def account_name(base_url: str, username: str) -> str:
    """Return the name of an account."""
    return _hashed(b"enkash-account", *folded(base_url, username))


def client_name(base_url: str, username: str, client_id: str, form_client_id: str | None = None) -> str:
    """Return the name of a client id inside the record of an account.

    Two paths of one host are two clients: a token of the one is none of the other.
    """
    who = (*folded(base_url, username), URL(base_url).raw_path.rstrip("/"), client_id, form_client_id or client_id)
    return _hashed(b"enkash-client", *who)


def joined(*parts: str) -> bytes:
    """Join parts so that no two different lists give the same bytes."""
    raw = [part.encode("utf-8", "surrogatepass") for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in raw)


def _hashed(person: bytes, *parts: str) -> str:
    return hashlib.blake2b(joined(*parts), digest_size=16, person=person).hexdigest()
