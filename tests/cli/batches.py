"""Batches for tests: a sandbox that reports each request, rows, and what must hold afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import attrs
from aiohttp import web
from aiohttp.typedefs import Handler

from enkash_async.cli.batch.row import Row
from enkash_async.config import Routes
from enkash_async.sandbox import Ledger, Sandbox

__all__ = ["Listener", "WatchedSandbox", "due", "money_moved_once", "row"]

Listener = Callable[[str, bool], None]

_NAMES = {getattr(Routes(), field.name): field.name for field in attrs.fields(Routes)}


class WatchedSandbox(Sandbox):
    """A sandbox that debits a bill at each confirmation, and reports each request.

    Attributes:
        listener: Is called with the route's name, first with False when a request has arrived, then with True once its
            work is done and the reply is about to be sent.
        edit: Changes the text of a reply, by the route's name.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(repeat_debits=True, **options)
        self.listener: Listener = lambda route, done: None
        self.edit: dict[str, Callable[[str], str]] = {}

        @web.middleware
        async def watch(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._watch(request, handler)

        self._app.middlewares.append(watch)

    async def _watch(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        name = _NAMES.get("" if resource is None else resource.canonical, "")
        self.listener(name, False)
        response = await handler(request)
        if name in self.edit and isinstance(response, web.Response):
            response.text = self.edit[name](response.text or "")
        self.listener(name, True)
        return response


def row(number: int = 1, **changes: Any) -> Row:
    """Return a row of its own for each number."""
    plain = Row(line=number + 1, reference_id=f"inv-{number}", biller_id=2001, params={"cn": f"{900_000_000 + number}"})
    return attrs.evolve(plain, **changes)


def due(sandbox: Sandbox, one: Row) -> Decimal:
    """Return the rupees that a row's consumer owes."""
    ledger = sandbox.ledger
    return ledger.due(ledger.enrol(one.biller_id, one.params, one.circle)).net_amount


def money_moved_once(ledger: Ledger, rows: Iterable[Row]) -> None:
    """Check that each row has one bill, that each bill has one debit, and that there is no other."""
    wanted = Counter(one.reference_id for one in rows)
    assert Counter(payment.reference_id for payment in ledger.search()) == wanted
    assert Counter(debit.reference_id for debit in ledger.debits) == wanted
