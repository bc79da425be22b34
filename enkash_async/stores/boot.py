"""The id of the machine's current boot; the machine's clock starts at each boot."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path

__all__ = ["boot_id"]

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@functools.cache
def boot_id() -> str:
    """Return the id of the machine's current boot; an empty string if the system has none.

    All containers on a machine get the same id, and read the same clock.
    """
    try:
        if sys.platform == "darwin":
            asked = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
            return subprocess.run(asked, capture_output=True, text=True, timeout=5, check=True).stdout.strip()  # noqa: S603
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except (OSError, subprocess.SubprocessError):
        return ""
