"""Chooses the proxy to EnKash, and explains failures of a proxy; no message shows a proxy's user or password."""

from __future__ import annotations

import ipaddress
import netrc
import os
import sys
from pathlib import Path
from urllib.request import getproxies_environment

import aiohttp
from yarl import URL

from enkash_async._support.causes import Cause, phrase_of
from enkash_async._support.text import url_flaw
from enkash_async._support.urls import is_loopback
from enkash_async.errors import ConfigurationError

__all__ = ["checked_proxy", "netrc_flaw", "proxy_for", "proxy_trouble"]

_WANTS_LOGIN = 407  # HTTP Proxy Authentication Required
_AS_IN = "as in http://user:password@proxy.example:3128"


def proxy_for(target: URL, given: str | None) -> URL | None:
    """Return the proxy that a session of the SDK must use for a host, or None for a direct connection.

    Without `given`, this is the proxy in `HTTPS_PROXY` (`HTTP_PROXY` for plain http), unless `NO_PROXY` names the host.
    The lower-case variables take precedence. For a host on this machine, a proxy on another machine is ignored: plain
    http to this machine is allowed only because nothing leaves the machine.

    Args:
        target: EnKash's base URL.
        given: The client's option `proxy`, which overrides the variables; None uses the variables.

    Raises:
        ConfigurationError: The proxy's URL is not the URL of an HTTP proxy.
    """
    if given is not None:
        return checked_proxy(given)
    proxies = getproxies_environment()
    found = proxies.get(target.scheme, "").strip()
    host = (target.host or "").rstrip(".")
    if not found or _is_exempt(host, target.port, proxies.get("no", "")):
        return None
    proxy = checked_proxy(found, f"{target.scheme.upper()}_PROXY")
    return None if is_loopback(host) and not is_loopback(proxy.host or "") else proxy


def checked_proxy(value: object, name: str = "proxy") -> URL:
    """Return the URL of a proxy.

    Args:
        value: The URL, such as `http://proxy.example:3128`, with or without `user:password@`. A URL without a scheme
            is taken as `http`.
        name: Name of the option or variable that holds the value, for messages.

    Raises:
        ConfigurationError: The value is not the URL of an HTTP proxy.
    """
    flaw = url_flaw(value) if isinstance(value, str) else None
    if flaw is not None:
        raise ConfigurationError(f"{name} {flaw}")
    url = _parsed(value) if isinstance(value, str) else None
    if url is None:
        raise ConfigurationError(
            f"{name} must be the URL of an HTTP proxy such as 'http://proxy.example:3128'; SOCKS is not supported"
        )
    return url


def _is_exempt(host: str, port: int | None, listed: str) -> bool:
    """Whether `NO_PROXY` names a host: its name, name and port, a parent domain, or a network such as 10.0.0.0/8."""
    for entry in (one.strip().lower().lstrip(".") for one in listed.split(",")):
        if entry in {"*", host, f"{host}:{port}"} or (entry and host.endswith(f".{entry}")):
            return True
        if "/" in entry and _is_within(host, entry):
            return True
    return False


def _is_within(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _parsed(value: str) -> URL | None:
    try:
        url = URL(value if "://" in value else f"http://{value}")
        is_proxy = url.scheme in {"http", "https"} and bool(url.host) and bool(url.port)
    except ValueError:
        return None
    return url if is_proxy and " " not in value else None


def netrc_flaw(session: aiohttp.ClientSession, host: str) -> str | None:
    """Return what is wrong if a session would send a login from a netrc file, not the token; otherwise None."""
    if not session.trust_env:
        return None
    named = os.environ.get("NETRC")
    try:
        path = Path(named) if named else Path.home() / ("_netrc" if sys.platform == "win32" else ".netrc")
        found = netrc.netrc(str(path)).authenticators(host) is not None
    except (OSError, RuntimeError, netrc.NetrcParseError):  # aiohttp ignores an unreadable netrc file, too
        return None
    if not found:
        return None
    return (
        f"session has trust_env=True, and {path.name!r} has a login for {host} (or a default one), which aiohttp "
        "would send in place of the token: leave session out, since the SDK follows HTTPS_PROXY by itself and never "
        "reads netrc files, or take the entry away"
    )


def proxy_trouble(problem: Exception, proxy: URL | None, host: str) -> str | None:
    """Return a message about a failure of the proxy; None if the proxy did not cause the failure.

    Args:
        problem: The exception that aiohttp raised.
        proxy: The proxy's URL, for the message; None if the caller's own session has chosen the proxy.
        host: Name of EnKash's host.
    """
    name = "the proxy" if proxy is None else f"the proxy {proxy.host}:{proxy.port}"
    # Through a proxy that the SDK chose, only the proxy's own name is resolved on this machine.
    is_unnamed = proxy is not None and isinstance(problem, aiohttp.ClientConnectorDNSError)
    if is_unnamed or isinstance(problem, aiohttp.ClientProxyConnectionError):
        return f"no connection to {name}: {phrase_of(problem)}; nothing was sent"
    if isinstance(problem, aiohttp.ClientHttpProxyError):
        wanted = f": {Cause.AUTHENTICATION}; it wants a user and a password, {_AS_IN}"
        hint = wanted if problem.status == _WANTS_LOGIN else ""
        return f"{name} refused to connect to {host} (HTTP {problem.status}){hint}; nothing was sent"
    return None
