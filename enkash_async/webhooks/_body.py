"""Reads the body of a post within limits of time and size, and decompresses it."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterable

from enkash_async.webhooks._headers import Headers, words

__all__ = ["BODY_TIMEOUT", "RefusedError", "encoding_of", "read_whole", "unpacked"]

BODY_TIMEOUT = 20.0  # seconds to receive a whole body, which has a few kilobytes
_GZIP = {"gzip", "x-gzip"}
_MAGIC = b"\x1f\x8b"  # the first bytes of gzip; JSON never begins with them
_GZIP_WINDOW = 31  # zlib's code for the gzip format


class RefusedError(Exception):
    """A body is refused.

    Attributes:
        status: HTTP status to answer with.
        is_own_fault: Whether the fault lies in this application, not with the sender.
    """

    def __init__(self, status: int, message: str, *, is_own_fault: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.is_own_fault = is_own_fault


def encoding_of(headers: Headers) -> str:
    """Return `gzip` or an empty string.

    Raises:
        RefusedError: The body has another encoding, or several.
    """
    named = [word for word in words(headers, "content-encoding") if word != "identity"]
    if not named:
        return ""
    if len(named) == 1 and named[0] in _GZIP:
        return "gzip"
    raise RefusedError(415, "the body has a Content-Encoding other than gzip")


async def read_whole(chunks: AsyncIterable[bytes], headers: Headers, limit: int) -> bytes:
    """Read a body; stop soon after `limit` bytes.

    Raises:
        RefusedError: The body took too long, or a middleware of this application has read the body before.
    """
    whole = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            async for chunk in chunks:
                whole += chunk
                if len(whole) > limit:
                    break  # too long already; the verifier refuses it
    except TimeoutError:
        raise RefusedError(408, f"the body took longer than {BODY_TIMEOUT:g} s") from None
    if not whole and _announces_a_body(headers):
        raise RefusedError(
            500,
            "a middleware has read the body of the post as a stream, so that nothing is left: let it call "
            "request.read() of aiohttp, request.body() of Starlette or request.body of Django",
            is_own_fault=True,
        )
    return bytes(whole)


def _announces_a_body(headers: Headers) -> bool:
    return any(word != "0" for word in words(headers, "content-length")) or bool(words(headers, "transfer-encoding"))


def unpacked(body: bytes, encoding: str, limit: int) -> bytes:
    """Return the decompressed body; if it is longer than `limit`, return only its first `limit` + 1 bytes.

    Raises:
        RefusedError: The body is not valid gzip, or is incomplete.
    """
    if encoding != "gzip" or not body.startswith(_MAGIC):  # not compressed, or already decompressed by aiohttp
        return body
    unpacker = zlib.decompressobj(_GZIP_WINDOW)
    try:
        whole = unpacker.decompress(body, limit + 1)
    except zlib.error:
        raise RefusedError(400, "the body is not encoded as its headers say") from None
    if len(whole) <= limit and (not unpacker.eof or unpacker.unused_data):
        raise RefusedError(400, "the body is not encoded as its headers say")
    return whole
