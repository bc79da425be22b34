"""The name of the boot that the machine's clock counts from."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path

__all__ = ["boot_id"]

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


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
