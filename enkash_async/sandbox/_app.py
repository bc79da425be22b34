"""The sandbox as an aiohttp.web application: counting, faults, the bearer check and the envelope."""

from __future__ import annotations

import asyncio
import functools
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeAlias, get_args

import attrs
from aiohttp import web
from aiohttp.typedefs import Handler

from enkash_async.config import Routes
from enkash_async.sandbox._body import Body
from enkash_async.sandbox._courier import Courier, Resends
from enkash_async.sandbox._endpoints import ENDPOINTS, Call, Endpoint
from enkash_async.sandbox._faults import Fault, FaultKind, Faults
from enkash_async.sandbox._ledger import Ledger, Refusal, RefusedError
from enkash_async.sandbox._payment import UtilityPayment
from enkash_async.sandbox._reply import FetchStyle, Reply, enveloped
from enkash_async.sandbox._tasks import Tasks
from enkash_async.sandbox._token import TokenStyle, bearer_refusal, log_in
from enkash_async.sandbox._watch import Watch

__all__ = ["create_app", "late_work", "webhooks_delivered"]

Sleep: TypeAlias = Callable[[float], Awaitable[object]]
# What is left to do once a request has been read and let in; it needs the connection no more.
Deed: TypeAlias = Callable[[], Reply]
Work: TypeAlias = Callable[[web.Request], Awaitable[Deed]]

# HTTP status and response_code. EnKash documents no status for 36 and 38; 400 is what its guide gives to hard failures.
_REFUSALS = {
    Refusal.INVALID: (400, 1),
    Refusal.NOT_FOUND: (400, 1),
    Refusal.UNKNOWN_BILLER: (400, 1),
    Refusal.INACTIVE_BILLER: (422, 1),
    Refusal.DUPLICATE_REFERENCE: (400, 38),
    Refusal.VELOCITY: (400, 36),
}


@attrs.frozen(kw_only=True)
class _Desk:
    """What every handler works with."""

    ledger: Ledger
    faults: Faults
    counts: Counter[str]
    token_style: TokenStyle
    fetch_style: FetchStyle
    sleep: Sleep
    late: Tasks  # for callers who were hung up on
    courier: Courier
    watch: Watch


_USUAL = Resends()
_DESK = web.AppKey("enkash_sandbox_desk", _Desk)


def create_app(
    ledger: Ledger,
    *,
    faults: Faults,
    counts: Counter[str],
    routes: Routes,
    token_style: TokenStyle = "camel",
    fetch_style: FetchStyle = "odd",
    resends: Resends = _USUAL,
    sleep: Sleep = asyncio.sleep,
) -> web.Application:
    """Return the application that serves a ledger.

    Args:
        ledger: What the calls act on; its changes are posted to the webhooks that are registered.
        faults: What goes wrong.
        counts: Is counted up by route name on arrival of each request, before any fault.
        routes: Where the calls are found.
        token_style: `camel`, `snake` or `legacy`, the shape of the login reply.
        fetch_style: `odd` or `regular`, the casing of the fetch reply.
        resends: How often a webhook is posted to that does not answer with a 2xx.
        sleep: Waits for so many seconds, for faults and between two posts of the same.

    Raises:
        ValueError: A style is unknown.
    """
    for style, known in ((token_style, get_args(TokenStyle)), (fetch_style, get_args(FetchStyle))):
        if style not in known:
            raise ValueError(f"unknown style {style!r}; use one of {', '.join(known)}")
    courier, watch = Courier(ledger, faults=faults, counts=counts, resends=resends, sleep=sleep), Watch(ledger)
    app = web.Application(middlewares=[_envelope_http_errors])
    app[_DESK] = _Desk(
        ledger=ledger,
        faults=faults,
        counts=counts,
        token_style=token_style,
        fetch_style=fetch_style,
        sleep=sleep,
        late=Tasks(),
        courier=courier,
        watch=watch,
    )
    app.on_startup.append(_open)
    app.on_cleanup.append(_close)  # comes after the last request, which may have put work off
    app.router.add_route("POST", routes.token, _handler("token", _login))
    for name, (method, endpoint) in ENDPOINTS.items():
        # The stock placeholder refuses braces, which a referenceId may contain.
        path = re.sub(r"\{(\w+)\}", r"{\1:[^/]+}", getattr(routes, name))
        app.router.add_route(method, path, _handler(name, functools.partial(_answer, endpoint)))
    return app


async def late_work(app: web.Application) -> None:
    """Return as soon as an application has no work outstanding that `FaultKind.LATE` put off.

    Args:
        app: Comes from `create_app`.
    """
    await app[_DESK].late.done()


async def webhooks_delivered(app: web.Application) -> None:
    """Return as soon as every change of a bill so far was posted, and each post answered or given up.

    Args:
        app: Comes from `create_app`.
    """
    desk = app[_DESK]
    # What is due is read here rather than left to the next look of the watch.
    while desk.watch.look() or desk.courier.busy:
        await desk.courier.done()


async def _open(app: web.Application) -> None:
    desk = app[_DESK]

    def changed(payment: UtilityPayment) -> None:
        desk.courier.announce(payment)
        desk.watch.wake()

    desk.ledger.on_change, desk.ledger.on_register = changed, desk.watch.wake
    desk.courier.open()
    desk.watch.open()


async def _close(app: web.Application) -> None:
    desk = app[_DESK]
    await desk.late.cancel()
    await desk.watch.close()
    await desk.courier.close()


@web.middleware
async def _envelope_http_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        return _response(_failure(error.status, error.reason))
    except ConnectionResetError:
        return _hang_up(request)  # the caller left in the middle of its request, and nobody is there to be answered


def _handler(name: str, work: Work) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        desk = request.app[_DESK]
        desk.counts[name] += 1
        fault = desk.faults.take(name)
        if fault is None:
            return _response((await work(request))())
        return await _handle_with(fault, request, work)

    return handle


async def _login(request: web.Request) -> Deed:
    desk, raw = request.app[_DESK], await request.read()
    authorization = request.headers.get("Authorization", "")
    return functools.partial(log_in, desk.ledger.accounts, authorization, request.content_type, raw, desk.token_style)


async def _answer(endpoint: Endpoint, request: web.Request) -> Deed:
    desk, raw = request.app[_DESK], await request.read()
    refusal = bearer_refusal(desk.ledger.accounts, request.headers.get("Authorization", ""))
    if refusal is not None:
        return functools.partial(_failure, 401, refusal)
    if request.method != "GET" and request.content_type != "application/json":
        return functools.partial(_failure, 415, "the body must be application/json")
    return functools.partial(_carry_out, endpoint, request, raw)


def _carry_out(endpoint: Endpoint, request: web.Request, raw: bytes) -> Reply:
    desk = request.app[_DESK]
    try:
        body = Body({}) if request.method == "GET" else Body.parse(raw)
        call = Call(
            ledger=desk.ledger, body=body, path=request.match_info, query=request.query, fetch_style=desk.fetch_style
        )
        return enveloped(endpoint(call))
    except RefusedError as refused:
        status, code = _REFUSALS[refused.refusal]
        return _failure(status, refused.text, code)


def _failure(status: int, text: str, code: int = 1) -> Reply:
    return enveloped(text, status=status, code=code, message="FAILURE")


def _response(reply: Reply) -> web.Response:
    return web.Response(
        status=reply.status, text=reply.text, content_type=reply.content_type, headers=dict(reply.headers)
    )


async def _handle_with(fault: Fault, request: web.Request, work: Work) -> web.StreamResponse:
    if fault.kind is FaultKind.DROP_BEFORE:
        return _hang_up(request)
    refusal = _refusal(fault)
    if refusal is not None:
        return _response(refusal)
    desk = request.app[_DESK]
    if fault.kind is FaultKind.SLOW:
        await request.read()  # what has arrived is done, also when the caller does not wait for it
        await desk.sleep(fault.delay)
    deed = await work(request)
    if fault.kind is FaultKind.LATE:
        desk.late.start(_do_late(deed, fault.delay, desk.sleep))
        return _hang_up(request)
    return await _send_with(fault.kind, request, deed())


async def _do_late(deed: Deed, delay: float, sleep: Sleep) -> None:
    await sleep(delay)
    deed()  # nobody is told how it ends


async def _send_with(kind: FaultKind, request: web.Request, reply: Reply) -> web.StreamResponse:
    match kind:
        case FaultKind.DROP_AFTER:
            return _hang_up(request)
        case FaultKind.TRUNCATED:
            return await _truncated(request, reply)
        case FaultKind.SERVER_ERROR_AFTER:
            return _response(Reply.html(502, "502 Bad Gateway"))
        case FaultKind.NOT_JSON:
            return _response(Reply.html(200, "Welcome"))
        case _:
            return _response(reply)


def _refusal(fault: Fault) -> Reply | None:
    """Return the reply of a fault that keeps the work from being done, or None for the other kinds."""
    headers = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
    match fault.kind:
        case FaultKind.UNAUTHORIZED:
            return _failure(401, "Access token is unknown")
        case FaultKind.RATE_LIMITED:
            return attrs.evolve(_failure(429, "Too many requests"), headers=headers)
        case FaultKind.BAD_GATEWAY:
            return Reply.html(502, "502 Bad Gateway")
        case FaultKind.UNAVAILABLE:
            return attrs.evolve(_failure(503, "Service unavailable"), headers=headers)
        case FaultKind.SERVER_ERROR:
            return _failure(500, "Internal server error")
        case _:
            return None


def _hang_up(request: web.Request) -> web.Response:
    # aiohttp fails to write the reply to the closed connection and says nothing, which is what is wanted here.
    if request.transport is not None:
        request.transport.close()
    return web.Response()


async def _truncated(request: web.Request, reply: Reply) -> web.StreamResponse:
    body = reply.text.encode()
    response = web.StreamResponse(status=reply.status, headers={"Content-Length": str(len(body))})
    response.content_type = reply.content_type
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    _hang_up(request)
    return response
