"""The plan of imports: a module imports only from floors below its own, and few modules know a library."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import enkash_async

PACKAGE = Path(str(enkash_async.__file__)).parent

#: From the ground up.
FLOORS: list[set[str]] = [
    {
        "_forks",
        "_json",
        "_secret",
        "_version",
        "errors",
        "models._base",
        "models._enums",
        "notifier",
        "paging",
        "webhooks",
    },
    {"limits", "models._webhooks", "tokens._limits", "tokens._windows"},
    {"_checks", "_wire", "bulk", "models._billers", "models._filters", "routes", "tokens._types"},
    {"_reach", "tokens._flight", "tokens._memory", "tokens._sealer", "tokens._states", "tokens._static"},
    {"_redis_url", "_transport", "models._bills", "retry", "tokens._renewal", "webhooks._dedupe"},
    {"_lookout", "_redis_link", "models._requests", "tokens._grant", "tokens._provider"},
    {"_bulk", "models", "tokens._redis", "webhooks._redis"},
    {"_leaves", "_matching", "_search", "tokens", "webhooks._event"},
    {"_replies"},
    {"_codec"},
    {"_bill_calls", "_bill_jobs", "_enquiries", "_envelope", "_environment", "_outbox", "billers"}
    | {"webhooks._registration", "webhooks._verifier"},
    {"_settling", "_waiting"},
    {"_confirming", "bills"},
    {"_pipeline", "payments"},
    {"client"},
    {"webhooks._receiver"},
    {"webhooks._aiohttp", "webhooks._asgi", "webhooks._django"},
    {""},  # the package itself, which loads the others lazily
    {"sandbox._catalogue", "sandbox._faults", "sandbox._tasks"},
    {"sandbox._payment"},
    {"sandbox._accounts", "sandbox._registration", "sandbox._reply", "sandbox._search", "sandbox._timetable"},
    {"sandbox._ledger", "sandbox._token"},
    {"sandbox._body", "sandbox._courier", "sandbox._watch"},
    {"sandbox._endpoints"},
    {"sandbox._app"},
    {"sandbox"},
    {"sandbox._serve"},
    {"sandbox.__main__"},
    {"cli._text"},
    {"cli._arguments", "cli._errors", "cli._output", "cli._run"},
    {"cli._billers", "cli._demo", "cli._enquiry", "cli._sandbox", "cli._token"}
    | {"cli._webhook_example", "cli._webhook_listen"},
    {"cli._bill", "cli._webhook", "cli.pay._journal", "cli.pay._rows"},
    {"cli.pay._cautions", "cli.pay._results"},
    {"cli.pay._job"},
    {"cli.pay"},
    {"cli"},
    {"__main__"},
]

#: Which modules may import a library that is not everywhere at home.
LIBRARIES = {
    "aiohttp": {"_transport", "webhooks._aiohttp"},
    "yarl": {"_transport"},
    "cattrs": {"_codec"},
    "django": {"webhooks._django"},
    "click": set(),
    "rich": set(),
    "cryptography": {"tokens._sealer"},
    "msgspec": {"_json"},
    "redis": {"_redis_link", "_redis_url"},
}

#: What is imported inside a function, since only some need it, and it takes long or may not be installed.
LAZY = {
    "tokens._redis": {"enkash_async._redis_link"},
    "webhooks._redis": {"enkash_async._redis_link"},
    "tokens._sealer": {"cryptography.exceptions", "cryptography.hazmat.primitives.ciphers.aead"},
}


def _name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_name(path): path for path in PACKAGE.rglob("*.py")}
HEIGHT = {name: height for height, floor in enumerate(FLOORS) for name in floor}


class _Imports(ast.NodeVisitor):
    """Collects what a module imports when it runs, and which of it inside functions."""

    def __init__(self) -> None:
        self.found: set[str] = set()
        self.inner: set[str] = set()
        self._depth = 0

    def visit_If(self, node: ast.If) -> None:
        if "TYPE_CHECKING" not in ast.dump(node.test):
            self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._depth += 1
        self.generic_visit(node)
        self._depth -= 1

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 (the name that ast looks for)

    def visit_Import(self, node: ast.Import) -> None:
        self._add(alias.name for alias in node.names)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        assert node.level == 0, "imports are absolute"
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            self._add([inner if inner.removeprefix("enkash_async.") in MODULES else str(node.module)])

    def _add(self, names: object) -> None:
        fresh = set(names)  # type: ignore[call-overload]
        self.found |= fresh
        if self._depth:
            self.inner |= fresh


def _imports(name: str) -> _Imports:
    visitor = _Imports()
    visitor.visit(ast.parse(MODULES[name].read_text(encoding="utf-8")))
    return visitor


def _ours(names: set[str]) -> set[str]:
    return {name.removeprefix("enkash_async").lstrip(".") for name in names if name.split(".")[0] == "enkash_async"}


def test_the_plan_names_every_module_and_no_other() -> None:
    """A new module has to be given its floor, and a removed one leaves the plan."""
    assert set(HEIGHT) == set(MODULES)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_module_imports_only_from_floors_below(name: str) -> None:
    """Imports run downstairs, so no cycle can come about."""
    above = {other for other in _ours(_imports(name).found) if HEIGHT[other] >= HEIGHT[name]}
    assert not above, f"{name} imports from its own floor or above"


@pytest.mark.parametrize("name", sorted(set(MODULES) - {"__main__"}))
def test_a_module_imports_at_its_top(name: str) -> None:
    """No import hides in a function, save for those of the list; only the entry point asks there for an extra."""
    assert _imports(name).inner == LAZY.get(name, set())


@pytest.mark.parametrize("library", sorted(LIBRARIES))
def test_few_modules_know_a_library(library: str) -> None:
    """aiohttp is known to the transport alone, cattrs to the codec alone, redis to what links a store to it."""
    users = {name for name in MODULES if any(found.split(".")[0] == library for found in _imports(name).found)}
    aside = {name for name in users if name.split(".")[0] in {"cli", "sandbox", "__main__"}}
    assert users - aside == LIBRARIES[library]


def test_the_client_does_not_know_the_sandbox() -> None:
    """What is made for tests is not loaded in production."""
    users = {name for name in MODULES if any(found.startswith("sandbox") for found in _ours(_imports(name).found))}
    assert {name.split(".")[0] for name in users} <= {"sandbox", "cli"}


def test_third_party_imports_are_declared() -> None:
    """Whatever the package imports is the standard library, itself, or a declared dependency."""
    found = {top.split(".")[0] for name in MODULES for top in _imports(name).found}
    assert found - set(sys.stdlib_module_names) - {"enkash_async"} <= {
        *("aiohttp", "yarl", "attrs", "cattrs", "redis"),
        *("click", "cryptography", "django", "filelock", "msgspec", "rich"),
    }
