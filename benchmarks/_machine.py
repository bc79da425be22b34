"""The machine and the package versions of a run: without them, figures cannot be compared."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

__all__ = ["machine", "versions"]

_PACKAGES = (
    "enkash-async",
    "aiohttp",
    "attrs",
    "cattrs",
    "redis",
    "hiredis",
    "aiobotocore",
    "aiocache",
    "authlib",
    "azure-core",
    "azure-identity",
    "google-auth",
    "httpx",
    "msgspec",
    "pydantic",
    "pydantic-core",
)


def _cpu() -> str | None:
    """Return the model of the processor, or None if the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, "") or platform.processor() or None


def machine() -> dict[str, str | int | None]:
    """Return the facts about this machine on which the figures depend."""
    return {
        "platform": platform.platform(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "cpus": os.cpu_count(),
        "cpu": _cpu(),
    }


def versions() -> dict[str, str]:
    """Return the versions of the compared packages that are installed."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
