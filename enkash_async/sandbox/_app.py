"""The sandbox as an aiohttp.web application: counts requests, produces faults, checks tokens, wraps replies."""

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
# The work of a request that was read and authenticated; it no longer needs the connection.
Deed: TypeAlias = Callable[[], Reply]
Work: TypeAlias = Callable[[web.Request], Awaitable[Deed]]

# HTTP status and response_code. EnKash documents no status for 36 and 38; its guide uses 400 for hard failures.
_REFUSALS = {
    Refusal.INVALID: (400, 1),
    Refusal.NOT_FOUND: (400, 1),
    Refusal.UNKNOWN_BILLER: (400, 1),
    Refusal.INACTIVE_BILLER: (422, 1),
    Refusal.DUPLICATE_REFERENCE: (400, 38),
    Refusal.VELOCITY: (400, 36),
}


@attrs.frozen(kw_only=True)
class _Services:
    """What the request handlers share."""

    ledger: Ledger
    faults: Faults
    counts: Counter[str]
    token_style: TokenStyle
    fetch_style: FetchStyle
    sleep: Sleep
    late: Tasks  # work that LATE postponed; its callers were disconnected
    courier: Courier
    watch: Watch


_USUAL = Resends()
_SERVICES = web.AppKey("enkash_sandbox_services", _Services)


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
        ledger: State that the calls act on; its changes are posted to the registered webhooks.
        faults: Failures to produce.
        counts: Incremented by route name when a request arrives, before any fault.
        routes: Paths of the calls.
        token_style: `camel`, `snake` or `legacy`, the shape of the login reply.
        fetch_style: `odd` or `regular`, the casing of the fetch reply.
        resends: How often to repeat a post that is not answered with 2xx.
        sleep: Waits the given seconds, for faults and between the attempts of a post.

    Raises:
        ValueError: A style is unknown.
    """
    for style, known in ((token_style, get_args(TokenStyle)), (fetch_style, get_args(FetchStyle))):
        if style not in known:
            raise ValueError(f"unknown style {style!r}; use one of {', '.join(known)}")
    courier, watch = Courier(ledger, faults=faults, counts=counts, resends=resends, sleep=sleep), Watch(ledger)
    app = web.Application(middlewares=[_envelope_http_errors])
    app[_SERVICES] = _Services(
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
    app.on_cleanup.append(_close)  # runs after the last request, which may have postponed work
    app.router.add_route("POST", routes.token, _handler("token", _login))
    for name, (method, endpoint) in ENDPOINTS.items():
        # aiohttp's own placeholder refuses braces, which a referenceId may contain.
        path = re.sub(r"\{(\w+)\}", r"{\1:[^/]+}", getattr(routes, name))
        app.router.add_route(method, path, _handler(name, functools.partial(_answer, endpoint)))
    return app


async def late_work(app: web.Application) -> None:
    """Return once all work that `FaultKind.LATE` postponed is done.

    Args:
        app: An application from `create_app`.
    """
    await app[_SERVICES].late.done()


async def webhooks_delivered(app: web.Application) -> None:
    """Return once every change of a bill so far was posted, and each post was answered or given up.

    Args:
        app: An application from `create_app`.
    """
    services = app[_SERVICES]
    # Reads the bills that are due now, instead of waiting until the watch does.
    while services.watch.look() or services.courier.busy:
        await services.courier.done()


async def _open(app: web.Application) -> None:
    services = app[_SERVICES]

    def changed(payment: UtilityPayment) -> None:
        services.courier.announce(payment)
        services.watch.wake()

    services.ledger.on_change, services.ledger.on_register = changed, services.watch.wake
    services.courier.open()
    services.watch.open()


async def _close(app: web.Application) -> None:
    services = app[_SERVICES]
    await services.late.cancel()
    await services.watch.close()
    await services.courier.close()


@web.middleware
async def _envelope_http_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        return _response(_failure(error.status, error.reason))
    except ConnectionResetError:
        return _hang_up(request)  # the caller disconnected during its request, so there is no one to answer


def _handler(name: str, work: Work) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        services = request.app[_SERVICES]
        services.counts[name] += 1
        fault = services.faults.take(name)
        if fault is None:
            return _response((await work(request))())
        return await _handle_with(fault, request, work)

    return handle


async def _login(request: web.Request) -> Deed:
    services, raw = request.app[_SERVICES], await request.read()
    authorization = request.headers.get("Authorization", "")
    return functools.partial(
        log_in, services.ledger.accounts, authorization, request.content_type, raw, services.token_style
    )


async def _answer(endpoint: Endpoint, request: web.Request) -> Deed:
    services, raw = request.app[_SERVICES], await request.read()
    refusal = bearer_refusal(services.ledger.accounts, request.headers.get("Authorization", ""))
    if refusal is not None:
        return functools.partial(_failure, 401, refusal)
    if request.method != "GET" and request.content_type != "application/json":
        return functools.partial(_failure, 415, "the body must be application/json")
    return functools.partial(_carry_out, endpoint, request, raw)


def _carry_out(endpoint: Endpoint, request: web.Request, raw: bytes) -> Reply:
    services = request.app[_SERVICES]
    try:
        body = Body({}) if request.method == "GET" else Body.parse(raw)
        call = Call(
            ledger=services.ledger,
            body=body,
            path=request.match_info,
            query=request.query,
            fetch_style=services.fetch_style,
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
    services = request.app[_SERVICES]
    if fault.kind is FaultKind.SLOW:
        await request.read()  # read first, so that the work is done even if the caller gives up
        await services.sleep(fault.delay)
    deed = await work(request)
    if fault.kind is FaultKind.LATE:
        services.late.start(_do_late(deed, fault.delay, services.sleep))
        return _hang_up(request)
    return await _send_with(fault.kind, request, deed())


async def _do_late(deed: Deed, delay: float, sleep: Sleep) -> None:
    await sleep(delay)
    deed()  # its reply is dropped, since the caller is gone


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
    """Return the reply of a fault that prevents the work, or None for the other kinds."""
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
    # aiohttp then fails to write the reply to the closed connection, silently, as intended here.
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
