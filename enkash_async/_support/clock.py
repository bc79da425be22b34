"""The clocks of the package: one that waits follow, and one for instants and ages.

*Waits* are pauses, windows, deadlines and time-outs. They follow the running event loop: `loop_now()` stands beside
`asyncio.sleep` and `asyncio.timeout`, leaps where the loop's time leaps, and stands still while the machine sleeps.

*Instants and ages*, such as the age of a token, run on while the machine sleeps, as EnKash's own clock does:
`instant()` reads CLOCK_BOOTTIME on Linux, CLOCK_MONOTONIC on macOS (which there counts sleep), and `time.monotonic`
elsewhere. Under virtual time it reads the loop's time, so that a test that leaps an hour makes every token an hour
older.

`instants()` decides. The running loop has virtual time where

- it is a loop of looptime that is switched on: `looptime_on` is true. Its pytest plugin switches a loop on for a test
  and off for the fixtures around it, and off means real time;
- or it is derived from asyncio's own `BaseEventLoop`, and a subclass or an assignment has replaced its `time()`.

Any other loop has real time, uvloop's included. A loop that replaces `time()` for another reason counts as virtual too:
there, ages stand still while the machine sleeps, and EnKash's 401 renews the token.

An instant is compared only with instants of the same clock. Durations may go from one clock to the other.
"""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Callable
from functools import partial

__all__ = ["glance", "glance_until", "instant", "instants", "loop_now", "machine", "waits_beside"]

_REAL_TIME = asyncio.BaseEventLoop.time
# Seconds. Long enough that reading two clocks in a row costs nothing on average; short beside the 2 s that a token is
# given up before its end.
_GLANCE_LASTS = 0.01


def _that_counts_sleep() -> Callable[[], float]:
    if hasattr(time, "CLOCK_BOOTTIME"):
        return partial(time.clock_gettime, time.CLOCK_BOOTTIME)
    if sys.platform == "darwin":
        return partial(time.clock_gettime, time.CLOCK_MONOTONIC)
    return time.monotonic


#: The clock of instants and ages in real time.
machine: Callable[[], float] = _that_counts_sleep()

#: The cheapest clock; it stands still while the machine sleeps. See `glance_until`.
glance: Callable[[], float] = time.monotonic


def loop_now() -> float:
    """Return the seconds of the clock that waits follow; without a running loop, those of asyncio's own loops."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return time.monotonic()
    return loop.time()


def instant() -> float:
    """Return the seconds of the clock of instants and ages."""
    return instants()()


def instants() -> Callable[[], float]:
    """Return the clock of instants and ages: the running loop's under virtual time, otherwise the machine's."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return machine
    return loop.time if _has_virtual_time(loop) else machine


def waits_beside(clock: Callable[[], float]) -> Callable[[], float]:
    """Return the clock of waits for an object that was given a clock of instants; a test that gives one means both."""
    return loop_now if clock is instant else clock


def glance_until(clock: Callable[[], float], end: float) -> float:
    """Return the instant of `glance` before which `clock` cannot have come to `end`, unless the machine sleeps.

    `get_token` spares the dearer clock with it. After a sleep the answer is at most 10 ms late: as late as for a caller
    whose machine fell asleep with the token in its hand.

    Args:
        clock: Reads the clock of `end`. A clock that a test sets has no such instant, and virtual time neither.
        end: An instant.
    """
    if clock is not instant or instants() is not machine:
        return -math.inf
    seen = glance()
    return seen + min(end - machine(), _GLANCE_LASTS)


def _has_virtual_time(loop: asyncio.AbstractEventLoop) -> bool:
    switched_on = getattr(loop, "looptime_on", None)
    if switched_on is not None:
        return bool(switched_on)
    return isinstance(loop, asyncio.BaseEventLoop) and getattr(loop.time, "__func__", None) is not _REAL_TIME
