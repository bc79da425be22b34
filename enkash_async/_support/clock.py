"""The clocks of the package: one for waits, and one for instants and ages.

*Waits* are pauses, windows, deadlines and time-outs. They follow the running event loop: `loop_now()` reads the clock
of `asyncio.sleep` and `asyncio.timeout`. Under virtual time it jumps with the loop; while the machine sleeps, it stops.

*Instants and ages*, such as the age of a token, go on while the machine sleeps, as EnKash's clock does: `instant()`
reads CLOCK_BOOTTIME on Linux, CLOCK_MONOTONIC on macOS (where it counts sleep), and `time.monotonic` elsewhere. Under
virtual time it reads the loop's time, so that a test that jumps an hour makes every token an hour older.

`instants()` decides which clock is read. The running loop has virtual time if

- it is a loop of looptime with `looptime_on` true. The pytest plugin of looptime turns this on for a test and off for
  the fixtures around it; off means real time;
- or it is derived from asyncio's own `BaseEventLoop`, and a subclass or an assignment has replaced its `time()`.

Any other loop has real time, uvloop's included. A loop that replaces `time()` for another reason counts as virtual too:
there, ages stop while the machine sleeps, and EnKash's 401 makes the client renew the token.

Compare an instant only with instants of the same clock. Durations may be used with either clock.
"""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Callable
from functools import partial

__all__ = ["fast_clock", "fast_clock_until", "instant", "instants", "loop_now", "machine", "waits_beside"]

_REAL_TIME = asyncio.BaseEventLoop.time
# Seconds. Long enough that the dearer clock is read rarely; short beside the 2 s by which a token is given up early.
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


def instants() -> Callable[[], float]:
    """Return the clock for instants and ages: the running loop's under virtual time, otherwise the machine's."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return machine
    return loop.time if _has_virtual_time(loop) else machine


def waits_beside(clock: Callable[[], float]) -> Callable[[], float]:
    """Return the clock for waits of an object with this clock for instants; a test that passes a clock means both."""
    return loop_now if clock is instant else clock


def fast_clock_until(clock: Callable[[], float], end: float) -> float:
    """Return the instant of `fast_clock` before which `clock` cannot reach `end`, unless the machine sleeps.

    Until then `get_token` need not read the dearer `clock`. If the machine sleeps meanwhile, a token is used for up to
    10 ms too long: no worse than when the machine falls asleep just after `get_token` has returned.

    Args:
        clock: The clock of `end`. For a test's own clock or virtual time, the answer is minus infinity: always read it.
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
