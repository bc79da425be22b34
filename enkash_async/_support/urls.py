"""Rules of URLs and of header lines, for whatever is given by the user."""

from __future__ import annotations

import re

from yarl import URL

from enkash_async._support.checks import is_loopback
from enkash_async.errors import ConfigurationError

__all__ = ["checked_base_url"]


def checked_base_url(base_url: str, *, allow_insecure: bool = False) -> str:
    """Return a base URL without a trailing slash.

    Args:
        base_url: Such as `https://host` or `https://host/prefix`; EnKash documents no single host for bill payment.
        allow_insecure: Take plain `http` for hosts other than this machine.

    Raises:
        ConfigurationError: Not an http(s) URL, or one with credentials, query or fragment, or plain `http`.
    """
    try:
        url = URL("" if re.search(r"[\s\x00-\x1f\\]", base_url) else base_url)
        is_complete = url.scheme in {"https", "http"} and bool(url.host) and bool(url.port)
    except (TypeError, ValueError):
        raise ConfigurationError("base_url must be a URL such as 'https://host.example'") from None
    if not is_complete:
        raise ConfigurationError("base_url must be a URL such as 'https://host.example'")
    if url.user is not None or url.password is not None:
        raise ConfigurationError("base_url must not hold a user or a password: they belong into Credentials")
    if url.query_string or url.fragment:
        raise ConfigurationError("base_url must have no query and no fragment")
    if url.scheme == "http" and not allow_insecure and not is_loopback(url.host or ""):
        raise ConfigurationError("base_url must be https, or tokens travel in the clear; allow_insecure=True overrides")
    return str(url).rstrip("/")
