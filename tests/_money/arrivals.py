"""Knows when nothing is on its way to a sandbox any longer, so that its ledger can be held to what was said."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler
from tokens.doubles import until

from enkash_async.sandbox import Sandbox

__all__ = ["Arrivals"]


class Arrivals:
    """Counts the requests in the hands of a sandbox; made before it is started.

    Args:
        sandbox: Where they arrive.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._busy = 0
        sandbox._app.middlewares.append(self._count)

    @web.middleware
    async def _count(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._busy += 1
        try:
            return await handler(request)
        finally:
            self._busy -= 1

    async def are_over(self) -> None:
        """Wait until all is done that any client has sent; every client has to be closed."""
        server = self._sandbox._runner.server
        assert server is not None
        await until(lambda: not server.connections and not self._busy)
        await self._sandbox.late_work()
