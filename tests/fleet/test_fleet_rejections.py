"""EnKash revokes the token of a whole fleet, and the 401s come in late and one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import attrs
import pytest
from fleet.controls import careless
from fleet.processes import scene
from fleet.workers import Maker, Report, shared, together

from servers import Server


@attrs.frozen
class Revoked:
    """The result of a revocation.

    Attributes:
        logins: In all, with the one that brought the revoked token.
        deletions: How often a token was deleted from Redis.
        report: What the callers got instead.
        old: What they had before.
    """

    logins: int
    deletions: int
    report: Report
    old: Report


@contextmanager
def deletions(server: Server) -> Iterator[Callable[[], int]]:
    """Count deletions of tokens, as the server announces them."""
    server.ask("CONFIG", "SET", "notify-keyspace-events", "Kg")
    with server.admin() as admin, cast("Any", admin).pubsub() as listener:
        listener.psubscribe("__keyspace@0__:*:tok")
        listener.subscribe("end")

        def count() -> int:
            admin.publish("end", "")  # comes after everything that was told before
            told = []
            while (message := listener.get_message(timeout=5)) is not None and message["channel"] != "end":
                told.append(message)
            return sum(message["type"] == "pmessage" and message["data"] == "del" for message in told)

        # The first messages confirm the subscriptions.
        listener.get_message(timeout=5)
        listener.get_message(timeout=5)
        yield count


async def refuse_late(server: Server, make: Maker = shared) -> Revoked:
    """Let 16 workers of 20 callers report a revoked token, one after the other."""
    async with scene(server, make, login_takes=0.2) as place, place.fleet(16) as workers:
        old = await workers.ask()
        place.sandbox.revoke_tokens()
        with deletions(server) as count:
            reports = await asyncio.gather(
                *(
                    worker.ask(rejected=True, wait=number * 0.05, spread=0.02)
                    for number, worker in enumerate(workers.workers)
                )
            )
            return Revoked(place.logins, count(), together(reports), old)


def check_one_renewal(seen: Revoked) -> None:
    assert seen.deletions == 1
    assert seen.logins == 2
    assert seen.report.served == 16 * 20
    assert len(seen.report.tokens) == 1
    assert seen.report.tokens != seen.old.tokens
    assert min(seen.report.generations) > max(seen.old.generations)


async def test_late_refusals_of_one_token_renew_it_once(server: Server) -> None:
    """320 late 401s delete one token and lead to one login, and the new token survives the later ones."""
    check_one_renewal(await refuse_late(server))


async def test_late_refusals_that_delete_whatever_is_there_renew_again_and_again(server: Server) -> None:
    """Control: the same run fails the check when a refusal deletes any token."""
    seen = await refuse_late(server, careless)
    with pytest.raises(AssertionError):
        check_one_renewal(seen)
    assert (seen.deletions > 1, seen.logins > 2) == (True, True)
