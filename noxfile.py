"""The pieces of the project's checks: `.ci/run` calls them one after the other, and `nox -s lint` runs one by itself.

Most pieces share the environment `.venv`, which `tests` sets up. Three have their own below `.nox`: `wheel`, where the
source must be out of reach, `benchmarks`, which may need nothing but its extra, and `versions`.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from pathlib import Path

import nox
from nox.command import CommandFailed

nox.needs_version = ">=2025.10.14"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.reuse_venv = "yes"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = True

ROOT = Path(__file__).parent
BIN = ROOT / ".venv" / "bin"

#: What packaging can break: data files, entry points, lazy imports, extras. The rest is equal to the tested source.
PACKAGED = (
    "tests/cli/test_cli.py",
    "tests/cli/test_cli_process.py",
    "tests/cli/test_cli_webhook.py",
    "tests/cli/test_demo.py",
    "tests/cli/test_rows.py",
    "tests/sandbox",
    "tests/stores/test_redis.py",
    "tests/stores/test_sqlite.py",
    "tests/test_environment.py",
    "tests/test_imports.py",
    "tests/test_public.py",
    "tests/test_readme.py",
    "tests/tokens/test_token_sealer.py",
    "tests/webhooks/test_webhook_news.py",
    "tests/webhooks/test_webhook_receiver.py",
)
#: The tests that draw schedules of calls, faults, cancellations and outages.
SCHEDULES = (
    "tests/_money/test_confirm.py",
    "tests/_money/test_confirm_races.py",
    "tests/_money/test_money_machine.py",
    "tests/tokens/test_account_model.py",
    "tests/tokens/test_token_outages.py",
    "tests/tokens/test_token_rejections.py",
)
ROUNDS = 20  # of the schedules; about eight minutes on two cores


@nox.session(venv_backend="none")
def tests(session: nox.Session) -> None:
    """Run every test, with the README's second command as it stands there; it makes or updates `.venv`.

    Many tests start real servers and processes, and a machine that stands still for a second can fail one. So each test
    that failed runs once more, alone. The log names it, and it must pass then.
    """
    failures = ROOT / ".pytest_cache" / "v" / "cache" / "lastfailed"
    failures.unlink(missing_ok=True)
    try:
        session.run("bash", "-c", _readme_command(2), external=True)
    except CommandFailed:
        if not failures.exists():  # no test failed, but the coverage is too low, or the environment could not be made
            raise
        for test in json.loads(failures.read_text(encoding="utf-8")):
            _run(session, "python", "-m", "pytest", "-q", "-n", "0", test)


@nox.session(venv_backend="none")
def lint(session: nox.Session) -> None:
    """Check style, format, and which room imports which."""
    _run(session, "ruff", "check", ".")
    _run(session, "ruff", "format", "--check", ".")
    _run(session, "lint-imports")


@nox.session(venv_backend="none")
def types(session: nox.Session) -> None:
    """Check all types, and that the public ones are complete as a user's type checker sees them."""
    _run(session, "python", "-m", "pip", "install", "-q", "-e", ".[test,bench]")  # mypy reads the benchmarks as well
    _run(session, "mypy")
    _verify_types(session, BIN)


@nox.session
def wheel(session: nox.Session) -> None:
    """Build the wheel and test it with the source out of reach."""
    apart, dist = _emptied(session, "apart"), _emptied(session, "dist")
    _run(session, "python", "-m", "build", "--outdir", str(dist), str(ROOT), silent=True)
    # pip takes a wheel of the version that it has installed for the same one.
    session.run("python", "-m", "pip", "uninstall", "-q", "-y", "enkash-async")
    session.install(f"{next(dist.glob('*.whl'))}[test]")
    for name in ("tests", "docs"):
        shutil.copytree(ROOT / name, apart / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, apart)
    with session.chdir(apart):
        found = session.run("python", "-c", "import enkash_async; print(*enkash_async.__path__)", silent=True)
        # What ships is what `tests` has tested, to the byte.
        session.run("diff", "-r", "-x", "__pycache__", str(ROOT / "enkash_async"), str(found).strip(), external=True)
        session.run("python", "-m", "pytest", "-q", *PACKAGED)
    _verify_types(session, Path(session.bin))


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Run as little of each benchmark as shows that it runs; the figures mean nothing."""
    session.install("-e", ".[bench]")
    out = _emptied(session, "bench")
    session.run("python", "-m", "benchmarks", "--smoke", "--out", str(out), silent=True)
    for name in ("results.json", "results.svg", "summary.svg"):
        if not (out / name).stat().st_size:
            session.error(f"the benchmarks wrote an empty {name}")


@nox.session(venv_backend="none")
def demo(session: nox.Session) -> None:
    """Run the README's first command in a copy of the package, since it installs into `.venv`."""
    copy = _emptied(session, "copy")
    shutil.copytree(ROOT / "enkash_async", copy / "enkash_async", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("LICENSE", "README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, copy)
    with session.chdir(copy):
        said = str(session.run("bash", "-c", _readme_command(1), external=True, silent=True))
    session.log(f"the demo says:\n{said}")
    if "settled" not in said.lower():
        session.error("the demo shows no settled bill")


@nox.session(python=["3.11", "3.12", "3.13"])
def versions(session: nox.Session) -> None:
    """Run every test on each Python that is supported; not part of `.ci/run`."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "pytest", "-q", *session.posargs)


@nox.session(venv_backend="none")
def slow(session: nox.Session) -> None:
    """Run the tests that draw schedules 20 times, or as often as `nox -s slow -- 100` says; not part of `.ci/run`.

    Each round has a seed of its own, which the command line shows: with the same seed a failure comes again.
    """
    for _ in range(int(session.posargs[0]) if session.posargs else ROUNDS):
        _run(session, "python", "-m", "pytest", "-q", f"--hypothesis-seed={secrets.randbelow(2**32)}", *SCHEDULES)


def _readme_command(number: int) -> str:
    """Return a command below the README's heading «Set up»; the first has the number 1."""
    set_up = re.split(r"(?mi)^#+ *set[- ]?up.*$", (ROOT / "README.md").read_text(encoding="utf-8"), maxsplit=1)[1]
    return str(re.findall(r"(?s)```sh\n(.*?)```", set_up)[number - 1]).strip()


def _run(session: nox.Session, tool: str, *arguments: str, silent: bool = False) -> None:
    """Run a tool of `.venv`."""
    path = BIN / tool
    if not path.exists():
        session.error(f".venv has no {tool}: set it up with the README's second command, or as CONTRIBUTING.md says")
    session.run(str(path), *arguments, external=True, silent=silent)


def _verify_types(session: nox.Session, tools: Path) -> None:
    """Have basedpyright look at the package that is installed beside it, away from the source."""
    with session.chdir(_emptied(session, "elsewhere")):
        said = session.run(
            *(str(tools / "basedpyright"), "--verifytypes", "enkash_async", "--ignoreexternal"),
            env={"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"},  # it asks the first Python there for the package
            external=True,
            silent=True,
            success_codes=[0, 1],
        )
    score = re.search(r"completeness score: [\d.]+%", str(said))
    if score is None or not score.group().endswith(" 100%"):
        session.error(f"the public types are not complete:\n{said}")
    session.log(score.group())


def _emptied(session: nox.Session, name: str) -> Path:
    """Return an empty folder of this session."""
    folder = Path(session.create_tmp()) / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder
