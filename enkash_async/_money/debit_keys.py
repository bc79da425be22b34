"""The store's keys for the debits and creates at one EnKash host."""

from __future__ import annotations

import attrs

from enkash_async._support.text import folded
from enkash_async._support.urls import folded_host
from enkash_async.stores import record_key

__all__ = ["BIRTHS", "Keys", "birth_beside"]

_HASH_TAGS = "0123456789abcdef"


def _tagged(key: str) -> str:
    """Return the key with the first digit of its hash as Redis' hash tag: `enkash:debit:v2:{3}f…`."""
    kind, _, digits = key.rpartition(":")
    return f"{kind}:{{{digits[0]}}}{digits[1:]}"


#: One birth record for each hash tag. In a Redis Cluster, a birth record lies on the same node as the records with its
#: hash tag. So a node that comes back empty has lost its birth record too, and counts as a new store.
BIRTHS = tuple(f"enkash:birth:v2:{{{tag}}}" for tag in _HASH_TAGS)


def birth_beside(key: str) -> str:
    """Return the key of the birth record with the same hash tag as a record's key."""
    return BIRTHS[_HASH_TAGS.index(key.partition("{")[2][0])]


@attrs.frozen
class Keys:
    """Makes the keys of records at one EnKash host; different spellings of the host give the same keys.

    Attributes:
        host: Host of the client's `base_url`.
        account: Tells companies at one host apart, such as a client id. Only the keys of references contain it, because
            a bill's id names the same bill for every user.
    """

    host: str = attrs.field(alias="base_url", converter=folded_host)
    account: str = ""

    def debit(self, utility_enkash_id: str) -> str:
        """Return the key of a bill's debit.

        Ids that differ only in case or in blanks around them share a record, as they are equal in `match.py`. Prevents
        a double debit: EnKash may find one bill under both.
        """
        return _tagged(record_key("debit", self.host, folded(utility_enkash_id)))

    def create(self, reference_id: str) -> str:
        """Return the key of the create under a reference."""
        return _tagged(record_key("create", self.host, self.account, reference_id))
