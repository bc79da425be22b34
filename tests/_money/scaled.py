"""Runs a Python file with windows that pass thirty times as fast."""

from __future__ import annotations

import runpy
import sys

from _money.schedule_habits import scale

if __name__ == "__main__":
    scale()
    runpy.run_path(sys.argv[1], run_name="__main__")
