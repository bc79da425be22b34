"""Starts the command line, for `enkash` and for `python -m enkash_async`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        argv: Command-line arguments; None takes those of the process.

    Returns:
        0 if the command worked; 1 if it failed; 2 for wrong arguments or set-up; 3 if it is unknown whether a call
        that moves money had its effect; 4 if bills are not settled yet; 130 after Ctrl-C.
    """
    try:
        # Imported here, so that the command prints one line and no traceback if click or rich is not installed.
        from enkash_async.cli import run  # noqa: PLC0415
    except ModuleNotFoundError as missing:
        absent = str(missing.name).partition(".")[0]
        if absent not in {"click", "rich"}:
            raise
        print(
            f"enkash: {absent} is not installed; in a checkout, run: pip install '.[cli]'",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:  # Ctrl-C while the command line is imported, which takes nearly a second
        return 130
    return run(argv)


if __name__ == "__main__":
    raise SystemExit(main())
