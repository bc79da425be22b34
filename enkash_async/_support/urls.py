"""Checks the URLs that the user gives; no error message shows a URL, which may hold a password."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

from yarl import URL

from enkash_async._support import checks
from enkash_async._support.text import url_flaw
from enkash_async.errors import ConfigurationError, InvalidRequestError

__all__ = ["checked_base_url", "checked_url", "folded_host", "is_loopback"]

_UNMEANT = re.compile(r"[\s\x00-\x1f\\]")  # white space, control characters, and `\`, which some parsers read as `/`


def checked_base_url(base_url: str, *, allow_insecure: bool = False) -> str:
    """Return a base URL without a trailing slash.

    Args:
        base_url: URL of EnKash's API, such as `https://host` or `https://host/prefix`.
        allow_insecure: Allow plain `http` to hosts other than this machine.

    Raises:
        ConfigurationError: The URL is not http(s), has credentials, a query or a fragment, or would send tokens to
            another machine over plain `http` without `allow_insecure`.
    """
    url = _parsed(base_url, "base_url", "https://host.example", "they belong into Credentials", ConfigurationError)
    if url.query_string or url.fragment:
        raise ConfigurationError("base_url must have no query and no fragment")
    if _is_readable(url) and not allow_insecure:
        raise ConfigurationError("base_url must be https, or tokens travel in the clear; allow_insecure=True overrides")
    return str(url).rstrip("/")


def checked_url(value: object) -> str:
    """Return the URL of a webhook unchanged.

    Raises:
        InvalidRequestError: The URL is not http(s), has credentials or a fragment, or is plain `http` to another
            machine.
    """
    given = checks.text(value, "url")
    url = _parsed(given, "url", "https://you.example/enkash", "put a secret into headers", InvalidRequestError)
    if url.fragment:
        raise InvalidRequestError("url must have no fragment, which is never sent")
    if _is_readable(url):
        raise InvalidRequestError("url must be https, or the headers that prove a post travel in the clear")
    return given


def folded_host(base_url: str) -> str:
    """Return host and port of a base URL in one spelling, so that all spellings of a host are equal.

    Host names are equal if they differ only in case, in a default port or in a trailing dot. All names of this machine
    are equal.
    """
    url = URL(base_url)
    host = (url.raw_host or "").lower().rstrip(".")
    return ("localhost" if is_loopback(host) else host) + ("" if url.is_default_port() else f":{url.port}")


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _parsed(value: str, name: str, example: str, advice: str, error: Callable[[str], Exception]) -> URL:
    """Return an http(s) URL that has a host, and neither user nor password.

    Args:
        value: The URL as text.
        name: Name of the argument, for the message.
        example: A correct URL, for the message.
        advice: Where a secret belongs instead, for the message.
        error: Class of the error.
    """
    if isinstance(value, str) and (flaw := url_flaw(value)) is not None:
        raise error(f"{name} {flaw}")
    try:
        url = URL("" if _UNMEANT.search(value) else value)
        is_complete = url.scheme in {"https", "http"} and bool(url.host) and bool(url.port)
    except (TypeError, ValueError):
        is_complete = False
    if not is_complete:
        raise error(f"{name} must be a URL such as {example!r}")
    if url.user is not None or url.password is not None:
        raise error(f"{name} must not hold a user or a password: {advice}")
    return url


def _is_readable(url: URL) -> bool:
    """Whether others on the network could read a request to a URL."""
    return url.scheme == "http" and not is_loopback(url.host or "")
