"""`python -m enkash_async.sandbox`: runs a fake EnKash for other programs."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shlex
import sys
from collections.abc import Sequence

from enkash_async.sandbox import Sandbox
from enkash_async.sandbox._serve import serve

__all__ = ["main"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m enkash_async.sandbox", description="Run a made-up EnKash Bill Payment API until Ctrl-C."
    )
    parser.add_argument("--port", type=int, default=0, metavar="N", help="TCP port; 0, the default, takes a free one")
    parser.add_argument(
        "--settle-after", type=float, default=5.0, metavar="S", help="seconds until a payment settles (default 5)"
    )
    parser.add_argument(
        "--token-lifetime", type=float, default=3600.0, metavar="S", help="seconds a token is good for (default 3600)"
    )
    parser.add_argument(
        "--read-lag", type=float, default=0.0, metavar="S", help="seconds until a look-up shows a change (default 0)"
    )
    parser.add_argument(
        "--search-lag", type=float, default=0.0, metavar="S", help="seconds until a search shows a change (default 0)"
    )
    parser.add_argument("--repeat-debits", action="store_true", help="debit a bill again at each further confirmation")
    parser.add_argument("--debit-on-create", action="store_true", help="debit a bill when it is created")
    return parser


def _announce(sandbox: Sandbox) -> None:
    print(sandbox.base_url)
    for name, value in sandbox.environ().items():
        print(f"export {name}={shlex.quote(value)}")
    sys.stdout.flush()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the sandbox until Ctrl-C or SIGTERM; print its URL and the `ENKASH_…` variables that connect a client to it.

    Args:
        argv: Command-line arguments; None takes those of the process.

    Returns:
        0 at the end; 1 if the sandbox cannot start, with the reason on standard error.

    Raises:
        SystemExit: The arguments are wrong (2) or ask for help (0).
    """
    options = vars(_parser().parse_args(argv))
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(serve(Sandbox(**options), announce=_announce))
    except (OSError, OverflowError, ValueError) as error:
        print(f"the sandbox cannot start: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
