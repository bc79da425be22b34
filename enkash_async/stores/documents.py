"""Records as JSON documents with a format number, and the names of their keys."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import msgspec

from enkash_async.errors import StoreError

__all__ = ["DocumentCodec", "record_key"]

_R = TypeVar("_R")


def record_key(kind: str, *parts: str) -> str:
    """Return the key of a record: `enkash:<kind>:v2:<hash>`.

    Args:
        kind: What the record is of, such as `debit`.
        parts: What tells the record from others of its kind, such as a host and an id. They are hashed, since a user
            name does not belong into the keys of a shared server.
    """
    text = b"".join(b"%d:%s" % (len(part.encode()), part.encode()) for part in parts)  # «ab»,«c» is not «a»,«bc»
    return f"enkash:{kind}:v2:{hashlib.sha256(text).hexdigest()[:40]}"


class _Document(msgspec.Struct):
    format: int
    record: msgspec.Raw = msgspec.Raw()


class DocumentCodec(Generic[_R]):
    """Writes records of one type as `{"format": 1, "record": {…}}`.

    Args:
        record: A frozen attrs class, or any other type that msgspec reads and writes exactly.
        format: The number of the format in which records are written; raised when an older version of this package
            could misread the new one.
        older: How a document of an earlier format is turned into a record; it is given the decoded JSON.
    """

    def __init__(
        self,
        record: type[_R],
        *,
        format: int = 1,  # noqa: A002 (the word of the documents)
        older: Mapping[int, Callable[[Any], _R]] | None = None,
    ) -> None:
        self._format = format
        self._older = dict(older or {})
        self._record = msgspec.json.Decoder(record)
        self._document = msgspec.json.Decoder(_Document)

    def decode(self, value: bytes) -> _R:
        """Return the record of a document.

        Raises:
            StoreError: Its format is not known here, or it is damaged. The document is not repeated in the message.
        """
        records, trouble = self._read(value)
        del value  # a rendered traceback would show it
        if trouble:
            raise StoreError(f"a record in the store cannot be read, and is left as it is: {trouble}")
        return records[0]

    def _read(self, value: bytes) -> tuple[list[_R], str]:
        """Return the record, or why there is none."""
        try:
            document = self._document.decode(value)
            if document.format == self._format:
                return [self._record.decode(document.record)], ""
            if document.format in self._older:
                return [self._older[document.format](msgspec.json.decode(document.record))], ""
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return [], "it is not a document of enkash-async, or damaged"
        return [], f"format {document.format} is not known to this version of enkash-async"

    def encode(self, record: _R) -> bytes:
        """Return the document of a record."""
        return msgspec.json.encode({"format": self._format, "record": record})
