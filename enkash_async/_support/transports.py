"""Looks beneath TLS, and closes connections whose event loop does not run any more."""

from __future__ import annotations

import asyncio
import contextlib

__all__ = ["beneath_tls", "close_by_hand"]


def beneath_tls(transport: asyncio.Transport) -> asyncio.Transport:
    """Return the transport that has the socket: the one beneath TLS, or this one.

    A TLS transport of asyncio that was closed twice, as by the server's goodbye and by aiohttp, forgets what lies
    beneath it: most of its methods then raise `AttributeError`, and `abort()` does nothing. So ask while it is open.
    """
    return getattr(getattr(transport, "_ssl_protocol", None), "_transport", None) or transport


def close_by_hand(transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
    """Close a transport whose event loop is closed or stands still.

    `transport.close()` would only ask the loop to close the socket later. Python has no public way to close the socket
    at once.
    """
    beneath = beneath_tls(transport)
    end = getattr(beneath, "_call_connection_lost", None)
    if loop.is_closed():
        with contextlib.suppress(RuntimeError):  # a closed loop refuses the callback that `abort` adds
            transport.abort()  # marks the transport as closing
    elif end is None or beneath.is_closing() or beneath.get_write_buffer_size():
        transport.abort()  # the loop closes the socket if it ever runs again
        return
    else:
        beneath.pause_reading()  # takes the socket out of the loop's selector
    if end is not None and getattr(beneath, "_sock", None) is not None:
        with contextlib.suppress(RuntimeError):
            end(None)
