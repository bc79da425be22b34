"""The clocks of the package: one for waits, and one for instants and ages.

*Waits* are pauses, windows, deadlines and time-outs. They follow the running event loop: `loop_now()` reads the clock
of `asyncio.sleep` and `asyncio.timeout`. This clock jumps with the loop under virtual time, and stops while the machine
sleeps.

*Instants and ages*, such as the age of a token, go on while the machine sleeps, as EnKash's clock does: `instant()`
reads CLOCK_BOOTTIME on Linux, CLOCK_MONOTONIC on macOS (where that clock counts sleep), and `time.monotonic` elsewhere.
Under virtual time, `instant()` reads the loop's time: a test that jumps one hour makes every token one hour older.

`instants()` decides which clock `instant()` reads. The running loop has virtual time in two cases:

- The loop is looptime's, and its `looptime_on` is true. The pytest plugin of looptime sets `looptime_on` to true for a
  test, and to false for the fixtures around the test, which have real time.
- The loop is derived from asyncio's own `BaseEventLoop`, and a subclass or an assignment has replaced its `time()`.

Every other loop has real time, including uvloop's. A loop that replaces `time()` for another reason counts as virtual
too. On such a loop, ages stop while the machine sleeps; the client then renews a token only when EnKash answers 401.

Compare an instant only with an instant of the same clock. Durations may be used with either clock.
"""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Callable
from functools import partial

__all__ = ["fast_clock", "fast_clock_until", "instant", "instants", "loop_now", "machine", "waits_beside", "wall"]

_REAL_TIME = asyncio.BaseEventLoop.time
# Seconds. Long enough that the slower clock is read rarely. Short compared with the last 2 s of a token's lifetime, in
# which the token is no longer used.
_TRUSTED_FOR = 0.01


def _that_counts_sleep() -> Callable[[], float]:
    if hasattr(time, "CLOCK_BOOTTIME"):
        return partial(time.clock_gettime, time.CLOCK_BOOTTIME)
    if sys.platform == "darwin":
        return partial(time.clock_gettime, time.CLOCK_MONOTONIC)
    return time.monotonic


#: The clock of instants and ages in real time; it counts the machine's sleep.
machine: Callable[[], float] = _that_counts_sleep()

#: The cheapest clock to read; it stops while the machine sleeps. See `fast_clock_until`.
fast_clock: Callable[[], float] = time.monotonic


def loop_now() -> float:
    """Return the seconds of the clock for waits; without a running loop, `time.monotonic()`."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return time.monotonic()
    return loop.time()


def instant() -> float:
    """Return the seconds of the clock for instants and ages."""
    return instants()()


def wall() -> float:
    """Return the Unix time, which several machines can compare; under virtual time, the running loop's time."""
    return time.time() if instants() is machine else instant()


def instants() -> Callable[[], float]:
    """Return the clock for instants and ages: the running loop's clock under virtual time, otherwise `machine`."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return machine
    return loop.time if _has_virtual_time(loop) else machine


def waits_beside(clock: Callable[[], float]) -> Callable[[], float]:
    """Return the clock for waits: the loop's, or `clock` itself if a test replaced the clock for instants."""
    return loop_now if clock is instant else clock


def fast_clock_until(clock: Callable[[], float], end: float) -> float:
    """Return a reading of `fast_clock` until which `clock` cannot reach `end`, unless the machine sleeps.

    Until that reading, `get_token` need not read `clock`, which is slower. If the machine sleeps meanwhile, a token is
    used for up to 10 ms too long. That is no worse than a machine that falls asleep just after `get_token` returns.

    Args:
        clock: The clock of `end`. With a test's own clock or virtual time, the result is minus infinity: the caller
            must always read `clock`.
        end: An instant of `clock`.
    """
    if clock is not instant or instants() is not machine:
        return -math.inf
    seen = fast_clock()
    return seen + min(end - machine(), _TRUSTED_FOR)


def _has_virtual_time(loop: asyncio.AbstractEventLoop) -> bool:
    switched_on = getattr(loop, "looptime_on", None)
    if switched_on is not None:
        return bool(switched_on)
    return isinstance(loop, asyncio.BaseEventLoop) and getattr(loop.time, "__func__", None) is not _REAL_TIME
