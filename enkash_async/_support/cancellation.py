"""Tells whether the running task was cancelled, or only something that the task awaited."""

from __future__ import annotations

import asyncio

__all__ = ["is_cancelled"]


def is_cancelled() -> bool:
    """Whether the running task itself was cancelled; False if only something that the task awaited was cancelled."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
