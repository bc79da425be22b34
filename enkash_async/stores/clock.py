"""A clock that runs on while the machine sleeps, and the name of the boot that it counts from."""

from __future__ import annotations

import asyncio
import functools
import subprocess
import sys
import time
from pathlib import Path

__all__ = ["boot_id", "boottime", "instant"]

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boottime() -> float:
    """Return seconds since the machine was started, those of its sleep included."""
    # macOS has no CLOCK_BOOTTIME; its CLOCK_MONOTONIC runs on during sleep, unlike what `time.monotonic` reads there.
    if sys.platform == "win32":
        return time.monotonic()
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def instant() -> float:
    """Return the seconds by which instants and ages are told: `boottime`, or the loop's time where that is virtual."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return boottime()
    return loop.time() if getattr(loop, "is_virtual", False) else boottime()


@functools.cache
def boot_id() -> str:
    """Return a name of this boot of this machine, or an empty string where the system has none.

    Containers of one machine share it, as they share the clock.
    """
    try:
        if sys.platform == "darwin":
            asked = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
            return subprocess.run(asked, capture_output=True, text=True, timeout=5, check=True).stdout.strip()  # noqa: S603
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except (OSError, subprocess.SubprocessError):
        return ""
