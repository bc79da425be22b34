"""The command `python -m benchmarks`."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import importlib.util
import json
import signal
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from benchmarks._report import bounds_held, document, table
from benchmarks._results import Figure, Result, Settings
from benchmarks._server import Server, serving

_Suite = Callable[[Settings, Server], Awaitable[Sequence[Result]]]

SUITES = ("request", "tokens", "decode", "start", "fleet", "bulk")
_ROUNDS, _SMOKE_ROUNDS = 9, 1  # nine rounds give stable quartiles in about eleven minutes


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("a whole number above 0 is needed")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure the SDK beside what people would use instead; JSON and SVG are written.",
    )
    parser.add_argument("--only", action="append", choices=SUITES, help="one suite only; repeatable")
    parser.add_argument(
        "--rounds", type=_positive, help=f"rounds that count, {_ROUNDS} if left out, where there are rounds"
    )
    parser.add_argument("--smoke", action="store_true", help="see that everything runs; the figures mean nothing")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a bound does not hold")
    parser.add_argument("--out", type=Path, default=Path("bench-results"), help="folder to write to: %(default)s")
    return parser


def _loaded(names: Sequence[str]) -> dict[str, _Suite]:
    """Import all suites before the first one runs, so that a missing package is noticed at once.

    Raises:
        ModuleNotFoundError: A peer is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:  # imported only at the end, since it is large
        raise ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib")
    return {name: importlib.import_module(f"benchmarks.{name}").run for name in names}


async def _ran(suite: _Suite, settings: Settings, server: Server) -> Sequence[Result]:
    return await suite(settings, server)


def _measured(suites: dict[str, _Suite], settings: Settings) -> tuple[list[Result], list[str]]:
    """Return the results, and the names of suites that failed: one failure does not discard the other results."""
    results: list[Result] = []
    failed: list[str] = []
    with serving() as server:
        for name, suite in suites.items():
            _say(f"{name}: measuring")
            begun = time.monotonic()
            try:
                results += asyncio.run(_ran(suite, settings, server))  # each suite has its own event loop
            except Exception:  # noqa: BLE001 (a suite may raise anything; the traceback is printed)
                traceback.print_exc()
                failed.append(name)
            else:
                _say(f"{name}: done in {time.monotonic() - begun:.1f} s")
    return results, failed


def _command(given: argparse.Namespace) -> str:
    """Return the command line without `--out`, whose path is private."""
    only = [f"--only {name}" for name in given.only or ()]
    rounds = [f"--rounds {given.rounds}"] if given.rounds else []
    flags = [f"--{flag}" for flag in ("smoke", "strict") if getattr(given, flag)]
    return " ".join(["python -m benchmarks", *only, *rounds, *flags])


def _write(results: Sequence[Result], settings: Settings, command: str, folder: Path) -> None:
    if not folder.exists():
        folder.mkdir(parents=True)
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")  # figures of one machine on one day
    text = json.dumps(document(results, settings, command), indent=2, ensure_ascii=False)
    (folder / "results.json").write_text(text + "\n", encoding="utf-8")
    draw = importlib.import_module("benchmarks._plot").draw
    draw(results, folder / "results.svg")
    # The summary has the bounds and the growth curves, and fits on one page.
    draw([result for result in results if isinstance(result, Figure) or result.bound], folder / "summary.svg")
    _say(f"written to {folder}: results.json, results.svg, summary.svg")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suites one after the other, print and write their results, and return the exit code.

    Args:
        arguments: Arguments of the command line; None takes those of the process.
    """
    given = _parser().parse_args(arguments)
    try:
        suites = _loaded([name for name in SUITES if given.only is None or name in given.only])
    except ModuleNotFoundError as missing:
        if (missing.name or "benchmarks").partition(".")[0] in {"benchmarks", "enkash_async"}:
            raise
        if missing.name == "servers":
            _say("the folder tests/ is needed as well: run this from a clone or the sdist")
            return 2
        _say(f"{missing.name} is not installed; this needs the extra `bench`: pip install -e '.[bench]'")
        return 2
    settings = Settings(rounds=given.rounds or (_SMOKE_ROUNDS if given.smoke else _ROUNDS), smoke=given.smoke)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as after Ctrl-C: ends the started processes
    results, failed = _measured(suites, settings)
    print(table(results))
    held, of = bounds_held(results)
    print(f"\n{held} of {of} bounds hold" + ("; a smoke run, in which figures mean nothing" if given.smoke else ""))
    _write(results, settings, _command(given), given.out)
    if failed:
        _say(f"failed, so that their figures are missing: {', '.join(failed)}")
    return 1 if failed or (given.strict and held < of) else 0


if __name__ == "__main__":
    sys.exit(main())
