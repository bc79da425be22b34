"""The scale of the workers of schedules, and what a worker does wrong in a control."""

from __future__ import annotations

import enum
import random
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import attrs
from _money import debit_controls as controls
from aiohttp.payload import BytesPayload

from enkash_async._http import connections, transport
from enkash_async._http.bodies import LoneShot, OneShot
from enkash_async._http.transport import Transport
from enkash_async._money import debit_records, debits, instants, payment_step
from enkash_async._money.debit import decide
from enkash_async._money.departures import DebitDeparture
from enkash_async._money.sendings import outcome_of
from enkash_async.resources import paying

__all__ = ["SCALE", "Habit", "adopt", "scale"]

SCALE = 1 / 30
_HELD = 8.0  # seconds between the last check and the first byte, of a worker with that habit


class Habit(enum.StrEnum):
    """What a worker does wrong; each but the first is a control."""

    NONE = ""
    NO_RECORDS = "ignores the records of others"
    NO_BIRTH = "takes every store for old"
    SHORT_CLAIMS = "lets claims end early"
    SHORT_WINDOW = "does not wait until a late confirmation is carried out"
    STORES_CLOCK = "measures ages by the store's clock alone"
    WALL_CLOCKS = "measures ages by wall clocks alone"
    TRUSTS_REFUSALS = "takes the refusal of a call with several bills for clear"
    SHARES = "confirms over connections that served other calls"
    HELD = "is held up between the last check and the first byte"


def scale() -> None:
    """Shorten the windows of this process."""
    instants.DURATIONS = instants.DURATIONS.scaled(SCALE)
    payment_step._SOON *= SCALE
    paying._TOGETHER = 0.1


def adopt(habit: Habit) -> None:
    """Give this process a habit; its windows have to be shortened before."""
    match habit:
        case Habit.NONE:
            pass
        case Habit.SHORT_WINDOW:
            instants.DURATIONS = attrs.evolve(instants.DURATIONS, window=1.0)
        case Habit.TRUSTS_REFUSALS:
            _replace(debits, "outcome_of", lambda problem, _, *, begun: outcome_of(problem, 1, begun=begun))
        case Habit.SHARES:
            _replace(Transport, "_exchange_body", _shared)
            for kind in (OneShot, LoneShot):
                _replace(kind, "write_with_length", _written)
            _replace(transport, "has_stray_bytes", lambda _: False)
            _replace(connections, "has_stray_bytes", lambda _: False)
            _replace(connections, "_look_at", lambda _: lambda: False)
        case Habit.HELD:
            if random.random() < 0.5:
                _replace(DebitDeparture, "is_timely", _held_once(DebitDeparture.is_timely))
        case _:
            _decide_by(_DECISIONS[habit])


def _replace(owner: object, name: str, by: object) -> None:
    setattr(owner, name, by)


async def _shared(self: Transport, request: Any, body: Any, authorization: Any, call_id: str, **_: bool) -> Any:
    return await self._exchange(request, body, authorization, call_id, alone=False)


async def _written(self: OneShot, writer: Any, content_length: int | None) -> None:
    self.begun = True
    await BytesPayload.write_with_length(self, writer, content_length)


def _held_once(is_timely: Callable[[DebitDeparture], bool]) -> Callable[[DebitDeparture], bool]:
    times = iter((_HELD,))

    def held(departure: DebitDeparture) -> bool:
        timely = is_timely(departure)
        time.sleep(next(times, 0.0))
        return timely

    return held


_DECISIONS: Mapping[Habit, Callable[..., controls.Step]] = {
    Habit.NO_RECORDS: controls.ignores_others,
    Habit.NO_BIRTH: controls.store_never_young,
    Habit.SHORT_CLAIMS: controls.claims_end_early,
    Habit.STORES_CLOCK: controls.stores_clock_alone,
    Habit.WALL_CLOCKS: controls.wall_clocks_alone,
}


def _decide_by(control: Callable[..., controls.Step]) -> None:
    _replace(controls, "decide", partial(decide, durations=instants.DURATIONS))
    _replace(controls, "_CLAIM_LEASE", controls._CLAIM_LEASE * SCALE)
    _replace(debit_records, "decide", lambda found, command, here, _: control(found, command, here))
