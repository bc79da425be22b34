"""The contracts of `pyproject.toml` hold, and the late imports are those of the list here."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import enkash_async

CONTRACTS = Path(__file__).parents[1] / "pyproject.toml"
PACKAGE = Path(str(enkash_async.__file__)).parent

#: What is imported inside a function, since only some need it, and it takes long or may not be installed.
LAZY = {
    "models.base": {"enkash_async.models._pydantic"},
    "models._enums": {"enkash_async.models._pydantic"},
    "tokens._memory_and_redis": {"enkash_async.stores.redis"},
    "testing": {"enkash_async.testing.contract"},
    "tokens._sealer": {"cryptography.exceptions", "cryptography.hazmat.primitives.ciphers.aead"},
}


def _name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_name(path): path for path in PACKAGE.rglob("*.py")}


class _Imports(ast.NodeVisitor):
    """Collects what a module imports, and which of it inside functions."""

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


def test_imports_run_downstairs_and_few_rooms_know_a_library(tmp_path: Path) -> None:
    """`lint-imports` finds no broken contract in `pyproject.toml`."""
    program = "import sys; from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", program, "--no-cache", "--config", str(CONTRACTS)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", sorted(set(MODULES) - {"__main__"}))
def test_a_module_imports_at_its_top(name: str) -> None:
    """A function imports only what the list names, and the entry point alone asks for an extra there."""
    assert _imports(name).inner == LAZY.get(name, set())


def test_third_party_imports_are_declared() -> None:
    """Each import is of the standard library, the package, or a declared dependency."""
    found = {top.split(".")[0] for name in MODULES for top in _imports(name).found}
    assert found - set(sys.stdlib_module_names) - {"enkash_async"} <= {
        *("aiohttp", "yarl", "attrs", "cattrs", "lazy_loader", "redis"),
        *("asgiref", "click", "cryptography", "django", "msgspec", "platformdirs", "psycopg", "pytest", "rich"),
        *("pydantic", "pydantic_core"),  # in one module, which pydantic alone asks for
    }
