"""What a store keeps of an account, and under which names."""

from __future__ import annotations

import json

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokens.model import Model, schedule

from enkash_async.errors import StoreError
from enkash_async.stores import record_key
from enkash_async.tokens._keys import account_name, client_name, folded
from enkash_async.tokens._record import (
    Account,
    Attempt,
    Client,
    Fingerprint,
    Grant,
    StoredToken,
    decode,
    encode,
)

FULL = Account(
    now=1_000.25,
    revision=7,
    fence=1_000_251,
    attempts=(Attempt("a", 1_000_251, "f", 1_000.1, 25.0, "refused"),),
    fingerprints=(Fingerprint("f", True, 9, True, "w", 1.5, 600.0),),
    clients=(
        Client("c", 5, 6, (StoredToken(7, "f", "k", b"\x00\xff sealed", "m", 1.0, 2.0, 3.0, 1, True),), 1, 2.0, 30.0),
    ),
    settled=("x", "y"),
    grant=Grant("f", 1.0, 600.0, "a"),
    locked=3,
    answered=4,
    worked=5,
    failures=2,
    cooling_at=0.1,
    cooling_for=0.2,
)


def test_a_document_brings_back_the_account() -> None:
    """Every member, and the bytes of a sealed token that nobody here can open."""
    assert all(getattr(FULL, field.name) != field.default for field in attrs.fields(Account))
    assert decode(encode(FULL)) == FULL


def test_what_was_not_changed_keeps_its_bytes() -> None:
    """Encoding what was decoded gives the same document."""
    assert encode(decode(encode(FULL))) == encode(FULL)


@given(seed=st.integers(0, 10_000))
def test_the_accounts_of_a_fleet_come_back_as_they_were(seed: int) -> None:
    """Instants are exact."""
    model = Model(schedule(seed))
    model.play()
    assert model.cell is not None
    assert decode(encode(model.cell)) == model.cell


def test_where_a_store_holds_nothing_the_account_is_empty() -> None:
    """It was never used, or the store was flushed."""
    assert decode(None) == Account()


def test_a_document_says_its_format() -> None:
    """A reader of a later version can tell."""
    assert json.loads(encode(Account()))["format"] == 2


@pytest.mark.parametrize("rest", [{}, {"record": {"attempts": "of another kind"}}])
def test_a_document_of_a_newer_format_is_not_read(rest: dict[str, object]) -> None:
    """Whatever else is in it: the store's loop says so, and overwrites nothing."""
    with pytest.raises(StoreError, match="format 3"):
        decode(json.dumps({"format": 3, "record": {}, **rest}).encode())


@pytest.mark.parametrize(
    "value", [b"", b"\xff", b"[]", b"{}", b'{"format":2}', b'{"format":2,"record":{"now":"noon"}}', b'{"format":"2"}']
)
def test_what_is_no_document_is_a_store_error(value: bytes) -> None:
    """Something else lies under the key."""
    with pytest.raises(StoreError, match="left as it is"):
        decode(value)


# --- names ------------------------------------------------------------------------------------------------------------

USER = "a@example.com"
HERE = "http://localhost:8080"


@pytest.mark.parametrize(
    ("base_url", "username"),
    [
        ("https://api.enkash.example", USER),
        ("https://API.Enkash.Example", USER),
        ("https://api.enkash.example:443", USER),
        ("https://api.enkash.example.", USER),
        ("https://api.enkash.example/", USER),
        ("https://api.enkash.example/prefix", USER),
        ("https://api.enkash.example", " A@Example.COM\n"),
    ],
)
def test_spellings_of_one_account_share_its_record(base_url: str, username: str) -> None:
    """EnKash counts wrong logins for all of them together."""
    assert account_name(base_url, username) == account_name("https://api.enkash.example", USER)


@pytest.mark.parametrize(
    "base_url",
    [
        "http://127.0.0.1:8080",
        "http://LOCALHOST:8080",
        "http://[::1]:8080",
        "http://127.9.9.9:8080",
        "http://localhost.:8080",
    ],
)
def test_the_names_of_this_machine_are_one_host(base_url: str) -> None:
    """Two guards for one account let twice as many through."""
    assert account_name(base_url, USER) == account_name(HERE, USER)


@pytest.mark.parametrize(
    ("base_url", "username"),
    [
        ("https://other.example", USER),
        ("https://api.enkash.example:8443", USER),
        ("https://api.enkash.example:80", USER),
        ("https://api.enkash.example", "b@example.com"),
    ],
)
def test_other_hosts_ports_and_users_are_other_accounts(base_url: str, username: str) -> None:
    """Each has its own guard."""
    assert account_name(base_url, username) != account_name("https://api.enkash.example", USER)


def test_a_key_shows_nothing_of_host_and_user() -> None:
    """It is a hash under the name of the SDK."""
    key = record_key("token", account_name("https://api.enkash.example", USER))
    assert key.startswith("enkash:token:v2:")
    assert not any(word in key for word in ("example", USER, "api"))


def test_folding_is_told_in_one_place() -> None:
    """Host and user as EnKash tells accounts apart."""
    assert folded("HTTPS://Api.Enkash.Example.:443/x", " A@b.C ") == ("api.enkash.example", "a@b.c")
    assert folded("http://[::1]:99", "ü") == ("localhost:99", "ü")


def test_client_ids_and_paths_have_tokens_of_their_own() -> None:
    """And a form client id that says the same makes no other client."""
    base = "https://api.enkash.example"
    names = {
        client_name(base, USER, "id"),
        client_name(base, USER, "id", "id"),
        client_name(base + "/", "A@EXAMPLE.COM", "id"),
        client_name(base, USER, "other"),
        client_name(base, USER, "id", "CEK1"),
        client_name(base + "/v2", USER, "id"),
    }
    assert len(names) == 4


def test_parts_of_a_name_do_not_run_together() -> None:
    """No two lists of parts are hashed alike."""
    base = "https://api.enkash.example"
    assert client_name(base, USER, "ab", "c") != client_name(base, USER, "a", "bc")
