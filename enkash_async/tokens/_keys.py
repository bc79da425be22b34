"""Hashes that name accounts and clients; different spellings of one account give the same hash."""

from __future__ import annotations

import hashlib
import unicodedata

from yarl import URL

from enkash_async._support.urls import folded_host

__all__ = ["account_name", "client_name", "folded", "joined"]


def folded(base_url: str, username: str) -> tuple[str, str]:
    """Return the host and the user name in one spelling, so that all spellings of an EnKash account are equal.

    The host is in lower case, without a default port or a trailing dot, and every loopback name is `localhost`. The
    user name is case-folded, without surrounding blanks, and in Unicode's normal form NFC.
    """
    return folded_host(base_url), unicodedata.normalize("NFC", username.strip().casefold())


def account_name(base_url: str, username: str) -> str:
    """Return the hash that names an account."""
    return _hashed(b"enkash-account", *folded(base_url, username))


def client_name(base_url: str, username: str, client_id: str, form_client_id: str | None = None) -> str:
    """Return the hash that names a client id inside the record of an account.

    Each path of a host counts as a client of its own, since a token for one path is not valid for another.
    """
    who = (*folded(base_url, username), URL(base_url).raw_path.rstrip("/"), client_id, form_client_id or client_id)
    return _hashed(b"enkash-client", *who)


def joined(*parts: str) -> bytes:
    """Join parts so that no two different lists give the same bytes."""
    raw = [part.encode("utf-8", "surrogatepass") for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in raw)


def _hashed(person: bytes, *parts: str) -> str:
    return hashlib.blake2b(joined(*parts), digest_size=16, person=person).hexdigest()
