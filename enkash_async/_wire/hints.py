"""Hints for messages of errors, from the status and headers of a reply; they show only scheme and host of a URL."""

from __future__ import annotations

import re

from yarl import URL

from enkash_async._wire.operation import Response

__all__ = ["media_type", "of_packing", "of_status"]

_REDIRECTS = frozenset({300, 301, 302, 303, 307, 308})
_WANTS_LOGIN = 407  # HTTP Proxy Authentication Required
_MEDIA_TYPE = re.compile(r"\s*([\w.+-]{1,60}/[\w.+-]{1,60})\s*(;|$)", re.ASCII)
_HOST = re.compile(r"[a-z0-9._:\[\]-]{1,255}", re.ASCII)


def of_status(response: Response) -> str:
    """Return where a redirect leads, or that a proxy wants a login; empty for other replies.

    Args:
        response: The reply; redirects are not followed, since they would take the token to another host.
    """
    if response.status == _WANTS_LOGIN:
        return "a proxy wants a user and a password: authentication failed"
    if response.status not in _REDIRECTS:
        return ""
    return f"redirected to {_target(response.headers.get('location'))}; redirects are not followed: check the base URL"


def _target(location: str | None) -> str:
    """Return the scheme and host of a `Location`; its other parts may hold a password or a token."""
    if not location:
        return "an unnamed place"
    try:
        url = URL(location)
        host = (url.raw_host or "").lower() + ("" if url.is_default_port() else f":{url.port}")
    except ValueError:
        return "an unreadable place"
    if not url.raw_host:
        return "another path of the same host"
    return f"{url.scheme or 'https'}://{host}" if _HOST.fullmatch(host) else "an unreadable place"


def media_type(content_type: str | None) -> str | None:
    """Return the media type of a `Content-Type` header; its parameters may hold anything, also what was sent.

    Returns:
        Such as `text/html`; None if there is no header, or if it does not begin with a media type.
    """
    found = None if content_type is None else _MEDIA_TYPE.match(content_type)
    return None if found is None else found[1]


def of_packing(response: Response) -> str:
    """Return the hint for a compressed body that is not JSON; empty for a body that is not compressed."""
    packing = response.headers.get("content-encoding", "").strip().lower()
    if packing in {"", "identity"}:
        return ""
    known = packing if packing in {"gzip", "deflate", "br", "zstd"} else "a kind that is not known here"
    return f": bad content encoding ({known}), perhaps cut off"
