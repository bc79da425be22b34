"""A count of the requests a sandbox still works on, so that a test reads the ledger when nothing is in flight."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler
from tokens.doubles import until

from enkash_async.sandbox import Sandbox

__all__ = ["Arrivals"]


class Arrivals:
    """Counts the requests that a sandbox works on; made before the sandbox is started.

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
        """Wait until every request that was sent has been worked on; every client has to be closed."""
        server = self._sandbox._runner.server
        assert server is not None
        await until(lambda: not server.connections and not self._busy)
        await self._sandbox.late_work()
