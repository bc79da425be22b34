"""Tells a cancellation of the running task from a cancellation of something that it awaits."""

from __future__ import annotations

import asyncio

__all__ = ["is_cancelled"]


def is_cancelled() -> bool:
    """Whether the running task itself was asked to cancel, and not only something that it awaits."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
