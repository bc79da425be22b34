"""Converts records to JSON documents with a format number, and back; and makes the keys of records."""

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
        kind: Kind of the record, such as `debit`.
        parts: Strings that together identify the record among its kind, such as a host and an id. They are hashed, so
            that no user name is readable in the keys of a shared server.
    """
    # The lengths make the parts `ab` and `c` differ from `a` and `bc`.
    text = b"".join(b"%d:%s" % (len(part.encode()), part.encode()) for part in parts)
    return f"enkash:{kind}:v2:{hashlib.sha256(text).hexdigest()[:40]}"


class _Document(msgspec.Struct):
    format: int
    record: msgspec.Raw = msgspec.Raw()


class DocumentCodec(Generic[_R]):
    """Reads and writes records of one type as `{"format": 1, "record": {…}}`.

    Args:
        record: Type of the records: a frozen attrs class, or any other type that msgspec reads and writes exactly.
        format: Number of the format that is written. It must be raised when an older version of this package could
            misread the new format.
        older: For each earlier format that can be read, a function that turns the decoded JSON into a record.
    """

    def __init__(
        self,
        record: type[_R],
        *,
        format: int = 1,  # noqa: A002 (the documents use this word)
        older: Mapping[int, Callable[[Any], _R]] | None = None,
    ) -> None:
        self._format = format
        self._older = dict(older or {})
        self._record = msgspec.json.Decoder(record)
        self._document = msgspec.json.Decoder(_Document)

    def decode(self, value: bytes) -> _R:
        """Return the record of a document.

        Raises:
            StoreError: The document is damaged, or its format is unknown to this version. The message does not repeat
                the document.
        """
        records, trouble = self._read(value)
        del value  # keeps secrets out of rendered tracebacks, which show the locals of this frame
        if trouble:
            raise StoreError(f"a record in the store cannot be read, and is left as it is: {trouble}")
        return records[0]

    def _read(self, value: bytes) -> tuple[list[_R], str]:
        """Return a list that holds the record, and ""; or an empty list, and why the document is unusable."""
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
