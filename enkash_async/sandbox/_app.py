"""The sandbox as an aiohttp.web application: counts requests, applies faults, checks tokens, wraps replies."""

from __future__ import annotations

import asyncio
import functools
import re
from collections import Counter
from typing import get_args

import attrs
from aiohttp import web
from aiohttp.typedefs import Handler

from enkash_async.config import Routes
from enkash_async.sandbox._body import Body
from enkash_async.sandbox._courier import Courier, Resends
from enkash_async.sandbox._endpoints import ENDPOINTS, Call, Endpoint
from enkash_async.sandbox._failing import Deed, Failing, Work, failure, hang_up, response
from enkash_async.sandbox._faults import Faults
from enkash_async.sandbox._ledger import Ledger
from enkash_async.sandbox._payment import UtilityPayment
from enkash_async.sandbox._refusals import Refusal, RefusedError
from enkash_async.sandbox._reply import FetchStyle, Reply, enveloped
from enkash_async.sandbox._tasks import Sleep
from enkash_async.sandbox._token import TokenStyle, bearer_refusal, log_in
from enkash_async.sandbox._watch import Watch

__all__ = ["create_app", "late_work", "webhooks_delivered"]

# HTTP status and response_code. EnKash documents no status for 36 and 38; its guide uses 400 for hard failures.
_REFUSALS = {
    Refusal.INVALID: (400, 1),
    Refusal.NOT_FOUND: (400, 1),
    Refusal.UNKNOWN_BILLER: (400, 1),
    Refusal.INACTIVE_BILLER: (422, 1),
    Refusal.DUPLICATE_REFERENCE: (400, 38),
    Refusal.NOT_CONFIRMABLE: (400, 1),
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
    failing: Failing
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
        sleep: Waits the given seconds, for the faults of requests.

    Raises:
        ValueError: A style is unknown.
    """
    for style, known in ((token_style, get_args(TokenStyle)), (fetch_style, get_args(FetchStyle))):
        if style not in known:
            raise ValueError(f"unknown style {style!r}; use one of {', '.join(known)}")
    courier, watch = Courier(ledger, faults=faults, counts=counts, resends=resends), Watch(ledger)
    app = web.Application(middlewares=[_envelope_http_errors])
    app[_SERVICES] = _Services(
        ledger=ledger,
        faults=faults,
        counts=counts,
        token_style=token_style,
        fetch_style=fetch_style,
        failing=Failing(sleep),
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
    await app[_SERVICES].failing.late.done()


async def webhooks_delivered(app: web.Application) -> None:
    """Return once every change of a bill so far was posted, and each post was answered or given up.

    Args:
        app: An application from `create_app`.
    """
    services = app[_SERVICES]
    # Reads the bills that are due now, instead of waiting until the watch reads them.
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
    await services.failing.close()
    await services.watch.close()
    await services.courier.close()


@web.middleware
async def _envelope_http_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        return response(failure(error.status, error.reason))
    except ConnectionResetError:
        return hang_up(request)  # the caller disconnected during the request, so nobody receives an answer


def _handler(name: str, work: Work) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        services = request.app[_SERVICES]
        services.counts[name] += 1
        services.failing.send_stray(request)
        fault = services.faults.take(name)
        if fault is None:
            return response((await work(request))())
        return await services.failing.answer(fault, request, work)

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
        return functools.partial(failure, 401, refusal)
    if request.method != "GET" and request.content_type != "application/json":
        return functools.partial(failure, 415, "the body must be application/json")
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
        return failure(status, refused.text, code)
