"""The FastAPI service of `docs/deploying.md`, served by uvicorn: what its callers get."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvicorn

from enkash_async.sandbox import FaultKind, Sandbox

from servers import HOST

PAGE = (Path(__file__).parents[1] / "docs" / "deploying.md").read_text(encoding="utf-8")
(SERVICE,) = (block for block in re.findall(r"(?s)```python\n(.*?)```", PAGE) if "FastAPI(lifespan=lifespan)" in block)


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[aiohttp.ClientSession]:
    """Serve an application on a free port, and yield a session for its callers."""
    server = uvicorn.Server(uvicorn.Config(app, host=HOST, port=0, log_config=None, lifespan="on", ws="none"))
    task = asyncio.create_task(server.serve())
    while not server.started:
        assert not task.done(), "the service did not start"
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with aiohttp.ClientSession(f"http://{HOST}:{port}") as session:
        yield session
    server.should_exit = True
    await task


@pytest.fixture
def app(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    environ = {**sandbox.environ(), "ENKASH_STORE_URL": f"sqlite:///{tmp_path}/store.sqlite3"}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    names: dict[str, Any] = {"__name__": "service"}
    exec(compile(SERVICE, "deploying.md", "exec"), names)
    return names["app"]


async def asked(session: aiohttp.ClientSession, method: str, path: str, **body: Any) -> tuple[int, Any, Any]:
    async with session.request(method, path, json=body or None) as reply:
        return reply.status, await reply.json(), reply.headers.get("Retry-After")


async def test_the_service_pays_and_shows_a_bill(app: Any) -> None:
    """The amounts are exact, and a second post pays nothing."""
    request = {"biller_id": 2001, "params": {"cn": "CN123456789"}, "reference_id": "inv-1", "max_amount": "20000"}
    async with served(app) as session:
        status, paid, _ = await asked(session, "POST", "/pay", **request)
        assert (status, paid["state"]) == (200, "PAID")
        assert (await asked(session, "POST", "/pay", **request))[1]["state"] == "ALREADY_PAID"
        status, bill, _ = await asked(session, "GET", "/bills/inv-1")
    assert (status, bill["amount"]) == (200, paid["amount"])


async def test_the_service_tells_its_callers_what_they_can_do(
    app: Any, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """A bill that is not there, a wrong argument, a failure for a while, and one for good; the log has the call."""
    async with served(app) as session:
        assert (await asked(session, "GET", "/bills/none"))[:2] == (404, {"error": "no such bill"})
        assert (await asked(session, "GET", "/bills/%01"))[:2] == (
            422,
            {"error": "reference_id holds a control character"},
        )
        sandbox.faults.add("bill_by_reference", FaultKind.SERVER_ERROR, times=None)
        status, told, pause = await asked(session, "GET", "/bills/none")
        assert (status, told["retry"], pause) == (503, "later", "5")
        sandbox.faults.clear()
        sandbox.faults.add("bill_by_reference", FaultKind.UNAUTHORIZED, times=None)
        status, for_good, pause = await asked(session, "GET", "/bills/none")
        assert (status, for_good["retry"], pause) == (502, "never", None)
    for one in (told, for_good):
        assert f"[call {one['call']}" in caplog.text
