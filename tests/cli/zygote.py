"""A process that has imported the command line and forks for every run of it, so that a run begins at once.

An order is a line of JSON on standard input; it is answered with the run's process id, and once that has ended with its
exit code, negative for a signal.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import NoReturn

from enkash_async.cli import run


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            _run(**order)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _run(argv: Sequence[str], environ: Mapping[str, str], output: str) -> NoReturn:
    code = 70
    try:
        number = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(number, sys.stdout.fileno())
        os.dup2(number, sys.stderr.fileno())
        os.environ.update(environ)
        code = run(argv)
    except BaseException:  # noqa: BLE001 (it is told, and ends this process all the same)
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
