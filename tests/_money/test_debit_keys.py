"""The keys of records at one EnKash host."""

from __future__ import annotations

import re

from enkash_async._money.debit_keys import BIRTHS, Keys, birth_beside

HOST = "https://enkash.example"


def test_spellings_of_a_host_share_their_records() -> None:
    """For every user, whatever the path."""
    keys = {
        Keys(url, account).debit("UTIL-1")
        for url in (HOST, "https://ENKASH.example.:443/v2", "https://enkash.example/")
        for account in ("", "CEK1")
    }
    assert len(keys) == 1
    assert Keys("http://localhost:1").debit("UTIL-1") == Keys("http://127.0.0.1:1").debit("UTIL-1")


def test_spellings_of_a_bills_id_share_a_record() -> None:
    """EnKash may find one bill under each of them."""
    assert len({Keys(HOST).debit(one) for one in ("UTIL-1a", "util-1A", " UTIL-1a ")}) == 1
    assert Keys(HOST).debit("UTIL-01") != Keys(HOST).debit("UTIL-1")


def test_hosts_bills_references_and_accounts_have_records_of_their_own() -> None:
    """A reference belongs to a company, so the account tells them apart."""
    keys = {
        Keys(HOST).debit("UTIL-1"),
        Keys(HOST).debit("UTIL-2"),
        Keys("https://other.example").debit("UTIL-1"),
        Keys(HOST).create("UTIL-1"),
        Keys(HOST, "CEK1").create("UTIL-1"),
    }
    assert len(keys) == 5
    assert all(re.fullmatch(r"enkash:(debit|create):v2:\{[0-9a-f]\}[0-9a-f]{39}", key) for key in keys)


def test_a_record_lies_on_the_node_of_the_birth_that_speaks_for_it() -> None:
    """A Redis Cluster places keys by what stands in braces."""
    for number in range(100):
        key = Keys(HOST).debit(f"UTIL-{number}")
        assert birth_beside(key) in BIRTHS
        assert re.findall(r"\{.\}", key) == re.findall(r"\{.\}", birth_beside(key))
    assert len(set(BIRTHS)) == 16
