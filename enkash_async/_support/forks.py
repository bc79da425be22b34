"""Resets objects in a child process after `fork`, which copies held locks and unfinished work, but not the threads."""

from __future__ import annotations

import os
import weakref
from typing import Protocol

__all__ = ["Forked", "reset_after_fork"]


class Forked(Protocol):
    """An object that can reset itself in a child process."""

    def after_fork(self) -> None:
        """Drop locks and work that belong to the parent process."""
        ...


_alive: weakref.WeakSet[Forked] = weakref.WeakSet()


def reset_after_fork(thing: Forked) -> None:
    """Call `thing.after_fork()` in every child process, for as long as `thing` lives.

    All objects share one hook, since a hook of `os.register_at_fork` cannot be removed.
    """
    _alive.add(thing)


def _in_child() -> None:
    for thing in list(_alive):
        thing.after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_in_child)
