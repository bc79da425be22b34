"""Tokens at rest: sealed for one account and generation, and opened with the key alone."""

from __future__ import annotations

import base64
import itertools
import pickle
import string
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokens.doubles import KEY, Clock, Login, account_in

from enkash_async.errors import ConfigurationError, TokenEndpointError
from enkash_async.stores import MemoryStore, SQLiteStore, Store
from enkash_async.tokens import StoreTokenProvider, TokenSealer
from enkash_async.tokens._record import CODEC

from support import shown

# Module level, since the locals of a test stand in the tracebacks that are searched for them.
KEYS = [bytes(range(start, start + 32)) for start in (10, 60, 110)]
OLD, NEW, STRANGE = (base64.urlsafe_b64encode(key).decode() for key in KEYS)

TOKENS = st.text(string.ascii_letters + string.digits + "-._~+/=!", min_size=1, max_size=2000)
ACCOUNTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
GENERATIONS = st.integers(0, 2**53)


def sealed_by(*keys: str, generation: int = 7) -> str:
    return TokenSealer(keys).seal("at-secret", account="account", generation=generation)


# --- sealing ----------------------------------------------------------------------------------------------------------


@given(TOKENS, ACCOUNTS, GENERATIONS)
def test_what_is_sealed_is_opened(token: str, account: str, generation: int) -> None:
    """The sealed text shows nothing and opens for any token, account and generation."""
    sealer = TokenSealer([OLD])
    value = sealer.seal(token, account=account, generation=generation)
    assert sealer.unseal(value, account=account, generation=generation) == token
    assert len(token) < 8 or token not in value


@given(TOKENS, st.tuples(ACCOUNTS, GENERATIONS), st.tuples(ACCOUNTS, GENERATIONS))
def test_it_is_opened_for_its_own_place_only(token: str, here: tuple[str, int], there: tuple[str, int]) -> None:
    """A writer in Redis cannot pass off an old token as new, nor one account's as another's."""
    sealer = TokenSealer([OLD])
    value = sealer.seal(token, account=here[0], generation=here[1])
    opened = sealer.unseal(value, account=there[0], generation=there[1])
    assert (opened == token) if here == there else opened is None


def test_places_are_told_apart_by_their_parts() -> None:
    """Two accounts and generations that join to the same text do not open each other's tokens."""
    value = TokenSealer([OLD]).seal("at-secret", account="a 1", generation=2)
    for account, generation in (("a", 12), ("a 1 2", 0), ("a 12", 2), ("a 1", 3)):
        assert TokenSealer([OLD]).unseal(value, account=account, generation=generation) is None


def test_no_two_sealings_are_alike() -> None:
    """The sealer never repeats a nonce, which would give the key away."""
    assert len({sealed_by(OLD) for _ in range(1000)}) == 1000


def test_every_byte_counts() -> None:
    """The sealer refuses a text with one flipped bit in nonce, token or tag."""
    sealer = TokenSealer([OLD])
    head, _, body = sealed_by(OLD).rpartition(":")
    raw = base64.urlsafe_b64decode(body)
    for place in range(len(raw)):
        for bit in range(8):
            changed = bytearray(raw)
            changed[place] ^= 1 << bit
            value = f"{head}:{base64.urlsafe_b64encode(changed).decode()}"
            assert sealer.unseal(value, account="account", generation=7) is None


def test_every_character_counts() -> None:
    """The sealer refuses other spellings of the same bytes, so a token has one text."""
    sealer, value = TokenSealer([OLD]), sealed_by(OLD)
    for place in range(len(value)):
        for other in "Aa0_-=:. \n":
            changed = value[:place] + other + value[place + 1 :]
            assert changed == value or sealer.unseal(changed, account="account", generation=7) is None
        assert sealer.unseal(value[:place] + value[place + 1 :], account="account", generation=7) is None
        assert sealer.unseal(value[:place], account="account", generation=7) is None
    for tail in "=", "==", "A", "AAAA", "\n":
        assert sealer.unseal(value + tail, account="account", generation=7) is None


@given(st.one_of(st.text(max_size=200), st.text("s1:0123456789abcdefAZ_-=", max_size=80).map("s1:".__add__)))
def test_what_was_not_sealed_is_not_opened(value: str) -> None:
    """Any other text is a miss and raises nothing."""
    assert TokenSealer([OLD]).unseal(value, account="account", generation=7) is None
    value = f"{sealed_by(OLD)[:12]}{value}"
    assert TokenSealer([OLD]).unseal(value, account="account", generation=7) is None


# --- keys -------------------------------------------------------------------------------------------------------------


def test_keys_rotate_without_a_gap() -> None:
    """At each step every worker reads what a worker of this step or the one before has written."""
    steps = [(OLD,), (OLD, NEW), (NEW, OLD), (NEW,)]
    for before, after in itertools.pairwise(steps):
        for writer in (before, after):
            for reader in (before, after):
                value = sealed_by(*writer)
                assert TokenSealer(reader).unseal(value, account="account", generation=7) == "at-secret"


def test_a_key_that_is_gone_opens_nothing() -> None:
    """The sealer opens nothing with a removed key or an unknown one."""
    for writer, reader in ((OLD, NEW), (NEW, OLD), (STRANGE, f"{OLD},{NEW}")):
        assert TokenSealer(reader).unseal(sealed_by(writer), account="account", generation=7) is None


def test_the_first_key_writes() -> None:
    """The sealed text begins with the key's id, by which a reader finds its key."""
    sealer = TokenSealer([NEW, OLD])
    assert sealer.key_ids == (*TokenSealer(NEW).key_ids, *TokenSealer(OLD).key_ids)
    assert sealed_by(NEW, OLD).startswith(f"s1:{sealer.key_ids[0]}:")


FORMS: dict[str, Callable[[bytes], str | bytes]] = {
    "bytes": lambda key: key,
    "hex": lambda key: key.hex(),
    "capital hex": lambda key: key.hex().upper(),
    "base64": lambda key: base64.b64encode(key).decode(),
    "base64 without padding": lambda key: base64.b64encode(key).decode().rstrip("="),
    "urlsafe": lambda key: base64.urlsafe_b64encode(key).decode(),
    "urlsafe without padding": lambda key: base64.urlsafe_b64encode(key).decode().rstrip("="),
    "with blanks around": lambda key: f" {key.hex()}\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_key_has_many_forms(form: str) -> None:
    """All forms give the same bytes, alone or in a list."""
    key = b"\xfb\xff" * 16  # whose base64 has the two characters in which the alphabets differ
    plain, written = TokenSealer([key]), FORMS[form](key)
    for keys in (written, [written], (written,), [written, OLD]):
        assert TokenSealer(keys).key_ids[0] == plain.key_ids[0]


def test_a_text_may_hold_several_keys() -> None:
    """A variable may hold keys between commas; blanks and a trailing comma are ignored."""
    text = f" {OLD} , {KEYS[1].hex()},{base64.b64encode(KEYS[2]).decode()}, "
    assert TokenSealer(text).key_ids == TokenSealer(KEYS).key_ids


@given(st.binary(min_size=32, max_size=32))
def test_any_32_bytes_are_a_key(key: bytes) -> None:
    """The sealer takes them in each form."""
    assert {TokenSealer(form(key)).key_ids for form in FORMS.values()} == {TokenSealer(key).key_ids}


def test_a_key_is_made() -> None:
    """Each generated key differs and has a form that the sealer takes."""
    keys = {TokenSealer.generate_key() for _ in range(100)}
    assert len(keys) == 100
    assert len(TokenSealer(sorted(keys)).key_ids) == 100


BAD = {
    "too short": OLD[:-4],
    "too long": OLD + "AAAA",
    "bytes of base64": OLD.encode(),
    "31 bytes": KEYS[0][:31],
    "33 bytes": KEYS[0] + b"x",
    "32 characters": "s3cret-key-of-just-32-characters",
    "a passphrase": "correct horse battery staple, s3cret",
    "half of hex": KEYS[0].hex()[:63],
    "no text": 12345678901234567890,
    "nothing": None,
    "not ascii": "é" * 43,
    "padding inside": f"{OLD[:20]}={OLD[21:]}",
}


@pytest.mark.parametrize("flaw", BAD)
def test_a_bad_key_is_named_by_its_place(flaw: str) -> None:
    """The error and its frames show the index and no key."""
    with pytest.raises(ConfigurationError, match=r"^keys\[1\] must be 32 bytes") as caught:
        TokenSealer([OLD, BAD[flaw], NEW])  # type: ignore[list-item]
    text = shown(caught.value)
    for key in (OLD, NEW, BAD[flaw], *KEYS):
        for form in (str(key), repr(key)[1:-1], key.hex() if isinstance(key, bytes) else str(key)):
            assert len(form) < 5 or form not in text


@pytest.mark.parametrize("keys", [[], (), "", " , ", ","])
def test_there_must_be_a_key(keys: str | list[str]) -> None:
    """The sealer refuses an empty variable, which would mean plain text."""
    with pytest.raises(ConfigurationError, match="at least one key"):
        TokenSealer(keys)


@pytest.mark.parametrize("keys", [None, 5, {OLD}, {OLD: NEW}, object()])
def test_keys_are_a_list(keys: object) -> None:
    """The sealer refuses a set, which has no first key."""
    with pytest.raises(ConfigurationError, match=f"must be a list of keys, not {type(keys).__name__}") as caught:
        TokenSealer(keys)  # type: ignore[arg-type]
    assert OLD not in shown(caught.value)


def test_a_sealer_hides_its_keys() -> None:
    """No repr, attribute, pickle or traceback shows a key."""
    sealer = TokenSealer([OLD, NEW])
    texts = [repr(sealer), str(sealer), f"{sealer}", repr(vars(sealer)), repr(sealer._ciphers)]
    for key in KEYS:
        for form in FORMS.values():
            assert not any(str(form(key)).strip() in text for text in texts)
    assert repr(sealer) == f"TokenSealer(key_ids={sealer.key_ids!r})"
    assert not attrs.has(TokenSealer)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(sealer, protocol)


_BARE = """
import sys, traceback
sys.modules["cryptography"] = None
from enkash_async.errors import ConfigurationError
from enkash_async.tokens import TokenSealer
for keys in (sys.argv[1], []):
    try:
        TokenSealer(keys)
    except ConfigurationError as error:
        frames = traceback.TracebackException.from_exception(error, capture_locals=True).stack
        ours = repr([frame.locals for frame in frames if "enkash_async" in frame.filename])
        print(error, sys.argv[1] in ours)
"""


def test_without_the_extra_it_says_what_to_install() -> None:
    """The error names the extra and shows no key; the rest of the package works."""
    done = subprocess.run([sys.executable, "-c", _BARE, OLD], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["sealing tokens needs the extra: pip install 'enkash-async[crypto]' False"] * 2
    assert done.stderr == ""


# --- in a store -------------------------------------------------------------------------------------------------------


def provider_of(
    store: Store, clock: Clock, sealer: TokenSealer | None = None, **options: bool
) -> tuple[StoreTokenProvider, Login]:
    login = Login(clock)
    made = StoreTokenProvider(
        login,
        store,
        sealer=sealer,
        clock=clock,
        sleep=clock.hurry,
        random=lambda: 0.5,
        **options,  # type: ignore[arg-type]
    )
    return made, login


class Elsewhere:
    """A store that is neither a file nor the memory of this process."""

    def __init__(self, clock: Clock) -> None:
        inner = MemoryStore(clock=clock)
        self.read, self.swap, self.aclose = inner.read, inner.swap, inner.aclose


async def test_a_token_is_sealed_without_anything_to_configure(clock: Clock, tmp_path: Path) -> None:
    """The file shows no token, and others with the same credentials open it."""
    store = SQLiteStore(tmp_path / "store")
    first, login = provider_of(store, clock)
    second, other = provider_of(store, clock)
    token = await first.get_token()
    assert (await second.get_token()).reveal() == token.reveal()
    await store.aclose()
    held = b"".join(path.read_bytes() for path in tmp_path.iterdir())  # noqa: ASYNC240 (a test)
    assert token.reveal().encode() not in held
    assert base64.b64encode(token.reveal().encode()).rstrip(b"=") not in held
    assert (login.attempts, other.attempts) == (1, 0)


@pytest.mark.parametrize("seals", [True, False])
async def test_without_the_extra_no_token_lies_in_a_file(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seals: bool
) -> None:
    """The guard is shared all the same, and each process logs in for itself; with the extra, one does for all."""
    monkeypatch.setattr("enkash_async.tokens._vault.can_seal", lambda: seals)
    store = SQLiteStore(tmp_path / "store")
    pairs = [provider_of(store, clock, allow_plain=True) for _ in range(2)]
    tokens = [await provider.get_token() for provider, _ in pairs]
    assert [login.attempts for _, login in pairs] == ([1, 0] if seals else [1, 1])
    account = await account_in(store)
    (known,) = account.clients
    assert [bool(token.sealed) for token in known.tokens] == [seals]
    assert account.attempts == ()
    assert (await pairs[0][0].get_token()).reveal() == tokens[0].reveal()
    # A secret that comes again although EnKash refused it is not handed out, nor asked for again at once.
    if not seals:
        provider, login = pairs[0]
        login.attempts = 0
        for _ in range(5):
            with pytest.raises(TokenEndpointError):
                await provider.get_token(rejected=tokens[0])
        assert login.attempts == 1
    await store.aclose()


async def test_without_the_extra_a_server_needs_a_word(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens lie there in plain text with `allow_plain` alone; the memory of the process needs none."""
    monkeypatch.setattr("enkash_async.tokens._vault.can_seal", lambda: False)
    with pytest.raises(ConfigurationError, match=r"crypto.*allow_plain"):
        provider_of(Elsewhere(clock), clock)
    for store in (Elsewhere(clock), MemoryStore(clock=clock)):
        pairs = [provider_of(store, clock, allow_plain=isinstance(store, Elsewhere)) for _ in range(2)]
        assert len({(await provider.get_token()).reveal() for provider, _ in pairs}) == 1
        assert [login.attempts for _, login in pairs] == [1, 0]


@pytest.mark.parametrize(("writer", "reader"), [((OLD,), (NEW,)), ((OLD,), ()), ((), (OLD,)), ((STRANGE,), (OLD, NEW))])
async def test_a_worker_that_cannot_read_logs_in_once(
    clock: Clock, writer: tuple[str, ...], reader: tuple[str, ...]
) -> None:
    """With another key, or that of the credentials on one side, the token is a miss; both then lie in the record."""
    store = MemoryStore(clock=clock)
    writes, reads = (TokenSealer(keys) if keys else None for keys in (writer, reader))
    one, first = provider_of(store, clock, writes)
    other, second = provider_of(store, clock, reads)
    token = await one.get_token()
    own = await other.get_token()
    assert own.generation > token.generation
    clock.now += 60
    assert [await other.get_token() for _ in range(10)] == [own] * 10
    for sealer in (writes, reads):
        third, login = provider_of(store, clock, sealer)
        await third.get_token()
        assert login.attempts == 0
    assert (first.attempts, second.attempts) == (1, 1)


async def test_keys_rotate_in_a_fleet_without_a_login(clock: Clock) -> None:
    """The fleet uses one token through all steps of the rotation."""
    store = MemoryStore(clock=clock)
    attempts = []
    for keys in ([OLD], [OLD, NEW], [NEW, OLD]):
        provider, login = provider_of(store, clock, TokenSealer(keys))
        assert (await provider.get_token()).reveal() == "at-first-password-1"
        attempts.append(login.attempts)
    assert attempts == [1, 0, 0]


async def test_what_somebody_planted_is_a_miss(clock: Clock) -> None:
    """A token that was changed in the store costs one login."""
    store = MemoryStore(clock=clock)
    await provider_of(store, clock)[0].get_token()
    held = await account_in(store)
    [token] = held.clients[0].tokens
    for sealed in (b"at-planted", b"s1:00000000:AAAA", b"", b"\xff\xfe\x00", token.sealed[:-4] + b"AAAA"):
        planted = attrs.evolve(held.clients[0], tokens=(attrs.evolve(token, sealed=sealed),))
        store._held[KEY] = CODEC.encode(held.with_client(planted)), None
        provider, login = provider_of(store, clock)
        assert (await provider.get_token()).reveal() == "at-first-password-1"
        assert login.attempts == 1


def test_a_sealer_is_a_sealer(clock: Clock) -> None:
    """The provider refuses a key in its place and does not show it."""
    with pytest.raises(ConfigurationError, match="sealer must be a TokenSealer, or None, not str") as caught:
        provider_of(MemoryStore(), clock, OLD)  # type: ignore[arg-type]
    assert OLD not in str(caught.value)
