"""Reads and writes the notes of payments in the shared store; each note belongs to one reference."""

from __future__ import annotations

import uuid

from enkash_async._money.creation import Begin, End, Found, Look, Paid, Receipt
from enkash_async._money.debit_records import DebitRecords

__all__ = ["Creations"]


class Creations:
    """Notes the creates and payments of one EnKash host and account.

    Raises from every method:
        StoreUnavailableError: The store cannot be reached, or is not safe for payments.
        StoreError: This version cannot read the note, or other processes changed it before each attempt to write.

    Args:
        records: The records in the store.
    """

    def __init__(self, records: DebitRecords) -> None:
        self._records = records

    async def find(self, reference_id: str) -> Found:
        """Return what is known of a reference; changes nothing."""
        return await self._records.note_create(reference_id, Look())

    async def begin(self, reference_id: str, *, by: str = "", digest: str = "") -> Found:
        """Note a create before it is sent, and return what was known before; after an error nothing may be sent.

        Args:
            reference_id: The caller's id of the bill.
            by: Id of the step: only the same step can delete the note. An empty text stands for a random id.
            digest: Hash of the request, without its reference and ceiling.
        """
        return await self._records.note_create(reference_id, Begin(by or uuid.uuid4().hex, digest))

    async def end(self, reference_id: str, utility_enkash_id: str | None, *, by: str = "", digest: str = "") -> None:
        """Note the bill that a create made; None deletes the step's own note after a clear refusal."""
        await self._records.note_create(reference_id, End(by, utility_enkash_id, digest))

    async def paid(self, reference_id: str, receipt: Receipt, *, digest: str = "") -> None:
        """Note that EnKash shows the bill as paid."""
        await self._records.note_create(reference_id, Paid(uuid.uuid4().hex, digest, receipt))
