"""EnKash revokes the token of a whole fleet, and the 401s come in late and one by one."""

from __future__ import annotations

import asyncio

import pytest
from fleet.controls import careless
from fleet.enkash import Enkash
from fleet.places import Place
from fleet.processes import Scene, Seen
from fleet.workers import Maker, Report, shared, together


async def refuse_late(enkash: Enkash, place: Place, make: Maker = shared, number: int = 16) -> tuple[Seen, Report]:
    """Let workers of 20 callers report a revoked token, one after the other; return also what they had before."""
    scene = Scene(enkash, place, make)
    async with scene.fleet(number) as workers:
        old = await workers.ask()
        scene.revoke()
        reports = asyncio.gather(
            *(worker.ask(rejected=True, wait=each * 0.05, spread=0.02) for each, worker in enumerate(workers.workers))
        )
        return await scene.seen(workers, _together(reports)), old


async def _together(reports: asyncio.Future[list[Report]]) -> Report:
    return together(await reports)


def check_one_renewal(seen: Seen, old: Report, number: int = 16) -> None:
    assert seen.logins == 1
    assert seen.report.served == number * 20
    assert len(seen.report.tokens) == 1
    assert seen.report.tokens.keys() != old.tokens.keys()
    assert min(seen.report.generations) > max(old.generations)


async def test_late_refusals_of_one_token_renew_it_once(enkash: Enkash, place: Place) -> None:
    """320 late 401s lead to one login, and the new token survives the later ones."""
    check_one_renewal(*await refuse_late(enkash, place))


async def test_late_refusals_that_end_whatever_token_is_there_renew_again_and_again(
    enkash: Enkash, place: Place
) -> None:
    """Control: the same run fails the check when a refusal ends any token."""
    seen, old = await refuse_late(enkash, place, careless, 6)
    with pytest.raises(AssertionError):
        check_one_renewal(seen, old, 6)
    assert seen.logins > 1
