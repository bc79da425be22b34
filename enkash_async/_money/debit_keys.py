"""The keys of what one EnKash host was asked for."""

from __future__ import annotations

import attrs

from enkash_async._support.urls import folded_host
from enkash_async.stores import record_key

__all__ = ["BIRTHS", "Keys", "birth_beside"]

_HASH_TAGS = "0123456789abcdef"


def _tagged(key: str) -> str:
    """Return the key with the first digit of its hash as Redis' hash tag: `enkash:debit:v2:{3}f…`."""
    kind, _, digits = key.rpartition(":")
    return f"{kind}:{{{digits[0]}}}{digits[1:]}"


#: A birth record for each hash tag. In a Redis Cluster it lies on the node of the records that it speaks for, so that
#: a node which comes back empty is a new store, whatever the others know.
BIRTHS = tuple(f"enkash:birth:v2:{{{tag}}}" for tag in _HASH_TAGS)


def birth_beside(key: str) -> str:
    """Return the key of the birth record that speaks for a record."""
    return BIRTHS[_HASH_TAGS.index(key.partition("{")[2][0])]


@attrs.frozen
class Keys:
    """The names of records at one EnKash host: spellings of one host share them.

    Attributes:
        host: Of the client's `base_url`.
        account: What tells companies at one host apart, such as a client id. It belongs to references alone: a bill's
            id names the same bill for every user.
    """

    host: str = attrs.field(alias="base_url", converter=folded_host)
    account: str = ""

    def debit(self, utility_enkash_id: str) -> str:
        """Return the key of a bill's debit."""
        return _tagged(record_key("debit", self.host, utility_enkash_id))

    def create(self, reference_id: str) -> str:
        """Return the key of the create under a reference."""
        return _tagged(record_key("create", self.host, self.account, reference_id))
