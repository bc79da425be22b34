"""Stores by their URL."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stores.stores import SECRET, put, value_of

from enkash_async.errors import ConfigurationError
from enkash_async.stores import MemoryStore, PostgresStore, RedisStore, SQLiteStore, open_store, process_store

from support import shown


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("redis://127.0.0.1:6379/0", RedisStore),
        ("rediss://127.0.0.1:6379/0", RedisStore),
        ("unix:///run/redis.sock", RedisStore),
        ("redis+sentinel://127.0.0.1:26379,127.0.0.2/enkash", RedisStore),
        ("rediss+sentinel://127.0.0.1:26379/enkash", RedisStore),
        ("redis+cluster://127.0.0.1:6379,127.0.0.2", RedisStore),
        ("rediss+cluster://127.0.0.1:6379", RedisStore),
        ("REDIS://127.0.0.1", RedisStore),
        ("postgresql://owner@127.0.0.1/db", PostgresStore),
        ("postgres://owner@127.0.0.1/db", PostgresStore),
        ("sqlite:///var/lib/enkash.db", SQLiteStore),
    ],
)
def test_a_url_names_a_store(url: str, kind: type[Any]) -> None:
    """Which carries the declaration, and opens nothing yet."""
    for pending in (False, True):
        store = open_store(url, nothing_pending=pending)
        assert type(store) is kind
        assert vars(store)["nothing_pending"] is pending


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///var/lib/enkash.db", "/var/lib/enkash.db"),
        ("sqlite:////var/lib/enkash.db", "/var/lib/enkash.db"),
        ("sqlite:///with%20blank/and%25", "/with blank/and%"),
        ("sqlite:///~/enkash.db", "~/enkash.db"),
    ],
)
def test_a_url_of_a_file_names_a_path(url: str, path: str) -> None:
    """An absolute one, or one of the user's home."""
    store = open_store(url)
    assert isinstance(store, SQLiteStore)
    assert store.path == Path(path).expanduser()


async def test_memory_is_that_of_the_process() -> None:
    """Clients that name it share its records; a declaration is that of the client that makes it."""
    declared, store = open_store("memory://", nothing_pending=True), open_store("memory:")
    assert isinstance(declared, MemoryStore)
    assert store is process_store()
    assert (declared.nothing_pending, process_store().nothing_pending) == (True, False)
    assert await put(declared, "key", b"value")
    assert await value_of(store, "key") == b"value"
    assert await put(store, "key", b"new", b"value")
    assert await value_of(declared, "key") == b"new"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "redis",
        "redis:",
        "http://host",
        "memory:other",
        "sqlite:relative",
        "sqlite://host/path",
        "sqlite:///",
        "mysql://host/db",
    ],
)
def test_what_leads_to_no_store_is_refused(url: str) -> None:
    """With all that would."""
    with pytest.raises(ConfigurationError, match="sqlite:///"):
        open_store(url)


@pytest.mark.parametrize(
    "url", ["redis://:{}\u200b@host", "postgresql://owner:{}\u00a0@host/db", "sqlite:///{}\u202e/x"]
)
def test_an_invisible_character_is_refused_by_its_place(url: str) -> None:
    """One that is meant can be percent-encoded; the message does not show the URL."""
    with pytest.raises(
        ConfigurationError, match=r"^the store's URL holds an invisible character: character \d+ is U"
    ) as no:
        open_store(url.format(SECRET))
    assert SECRET not in shown(no.value)
    assert isinstance(open_store("sqlite:///made%E2%80%8Dup"), SQLiteStore)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (RedisStore.from_url, "the Redis URL"),
        (PostgresStore, "dsn"),
    ],
)
def test_a_store_that_is_made_directly_is_checked_as_well(make: Callable[[str], object], name: str) -> None:
    """A character that nobody sees is named before the host is looked for."""
    for odd, said in (("\u200b", "an invisible character: character "), ("\n", "a line break (U+000A)")):
        with pytest.raises(ConfigurationError) as caught:
            make(f"redis://:{SECRET}@host{odd}/0" if make is not PostgresStore else f"postgresql://u:{SECRET}@h{odd}/d")
        assert str(caught.value).startswith(f"{name} holds {said}")
        assert SECRET not in shown(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        functools.partial(PostgresStore, f"postgresql://owner:{SECRET}@host/db?made_up=1"),
        functools.partial(PostgresStore, f"postgresql://owner:{SECRET}@host/db", table="NOT A TABLE"),
        functools.partial(PostgresStore, f"postgresql://owner:{SECRET}@host/db", timeout=0),
        functools.partial(RedisStore.from_url, f"redis://:{SECRET}@host:no-port"),
        functools.partial(RedisStore.from_url, f"redis://:{SECRET}@host", timeout=0),
        functools.partial(open_store, f"redis://:{SECRET}@host:no-port"),
        functools.partial(open_store, f"postgresql://owner:{SECRET}@host/db?made_up=1"),
        functools.partial(open_store, f"sqlite://:{SECRET}@host"),
    ],
)
def test_no_frame_of_an_error_shows_the_password_of_a_url(make: Callable[[], object]) -> None:
    """Neither its text nor a rendered traceback with the locals of every frame."""
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert SECRET not in shown(caught.value)


@pytest.mark.parametrize(
    ("url", "absent"),
    [
        ("memory:", {"redis", "psycopg", "pytest"}),
        ("sqlite:///made-up/store", {"redis", "psycopg", "pytest"}),
        ("redis://127.0.0.1", {"psycopg", "pytest"}),
        ("postgresql://127.0.0.1", {"redis", "pytest"}),
    ],
)
def test_a_store_loads_its_own_library_alone(url: str, absent: set[str]) -> None:
    """In a fresh process."""
    check = (
        f"import sys\nfrom enkash_async.stores import open_store\nopen_store({url!r})\n"
        f"print({absent!r} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


_WITHOUT_EXTRAS = """
import sys
for name in ("click", "cryptography", "django", "psycopg", "pydantic", "pytest", "rich"):
    sys.modules[name] = None
from enkash_async import *
import enkash_async, pydoc
pydoc.render_doc(enkash_async)
print(PostgresStore.__name__)
"""


def test_every_public_name_can_be_imported_without_any_extra() -> None:
    """`import *`, and `help()` of the package, in a process in which no package of an extra can be imported."""
    done = subprocess.run([sys.executable, "-c", _WITHOUT_EXTRAS], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("PostgresStore", "")


def test_without_psycopg_the_error_says_what_to_install() -> None:
    """In a process in which it cannot be imported."""
    check = (
        "import sys\nsys.modules['psycopg'] = None\nfrom enkash_async.stores import open_store\n"
        "from enkash_async.errors import ConfigurationError\n"
        "try:\n    open_store('postgresql://host/db')\nexcept ConfigurationError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "PostgresStore needs psycopg: pip install 'enkash-async[postgres]'"
