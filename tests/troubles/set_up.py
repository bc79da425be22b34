"""Values and set-up that are refused before anything is sent, and webhooks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from enkash_async import EnkashClient
from enkash_async.webhooks import BillEvent, WebhookReceiver, WebhookVerifier

from troubles import SECRET, Stage, Told, failure, row
from troubles.logins import logged


async def made(make: Callable[[], object]) -> Exception:
    """Return the error that a call without waiting ends with."""

    async def call() -> object:
        return make()

    return await failure(call())


@row("set the environment variables ENKASH_")
async def missing(stage: Stage) -> Sequence[Told]:
    return [await made(lambda: EnkashClient.from_env({"ENKASH_PASSWORD": SECRET}))]


@row("holds a line break (U+000A) at its end: remove it")
async def line_break(stage: Stage) -> Sequence[Told]:
    environ = {**stage.sandbox.environ(), "ENKASH_PASSWORD": f"{SECRET}\n"}
    return [await made(lambda: EnkashClient.from_env(environ))]


@row("holds an invisible character: character … is U+")
async def invisible(stage: Stage) -> Sequence[Told]:
    names = ("ENKASH_CLIENT_ID", "ENKASH_CLIENT_SECRET", "ENKASH_USERNAME", "ENKASH_BASE_URL", "ENKASH_STORE_URL")
    known = {"ENKASH_STORE_URL": "memory:", **stage.sandbox.environ()}
    return [
        await made(lambda: EnkashClient.from_env({**known, name: f"{known[name]}\u200b{SECRET}"}))  # noqa: B023
        for name in names
    ]


@row("begins and ends with a quotation mark: remove it")
async def quoted_url(stage: Stage) -> Sequence[Told]:
    environ = stage.sandbox.environ()
    return [
        await made(lambda: EnkashClient.from_env({**environ, "ENKASH_BASE_URL": f"'{environ['ENKASH_BASE_URL']}'"}))
    ]


@row("must be https, or tokens travel in the clear")
async def plain_http(stage: Stage) -> Sequence[Told]:
    return [await failure(stage.client("http://enkash.example"))]


async def creating(stage: Stage, amount: Any) -> Exception:
    client = await stage.client()
    return await failure(client.bills.create(2001, {"cn": "CN1"}, bill_amount=amount, reference_id="r-1"))


@row("must not be a float, floats lose paise: write Decimal(")
async def float_amount(stage: Stage) -> Sequence[Told]:
    return [await creating(stage, 2450.75)]


@row("has more than two decimals")
async def third_decimal(stage: Stage) -> Sequence[Told]:
    return [await creating(stage, Decimal("2450.755"))]


@row("the client is closed; make a new one")
async def closed(stage: Stage) -> Sequence[Told]:
    client = await stage.client()
    await client.aclose()
    return [await failure(client.bills.get("U-1"))]


@row("a client belongs to one event loop")
async def two_loops(stage: Stage) -> Sequence[Told]:
    client = await stage.client()
    await failure(client.bills.get("U-1"))

    async def elsewhere() -> Exception:
        return await failure(client.bills.get("U-1"))

    return [await asyncio.to_thread(asyncio.run, elsewhere())]


@row("unexpected keyword argument …: a client's options are")
async def misspelt(stage: Stage) -> Sequence[Told]:
    return [await failure(stage.client(time_out=5))]


# --- webhooks ---------------------------------------------------------------------------------------------------------


_POST = '{"utilityEnkashId":"U-1","billpayStatus":"SUCCESS"}'


async def posted(stage: Stage, headers: dict[str, str], body: str, client: EnkashClient) -> None:
    async def on_bill(event: BillEvent) -> None:
        """Do nothing with it."""

    verifier = WebhookVerifier(headers={"X-Webhook-Key": SECRET})

    async def at_once(seconds: float) -> None:
        """Wait for nothing."""

    receiver = WebhookReceiver(verifier, client=client, on_bill=on_bill, sleep=at_once)
    await receiver.receive(headers, body.encode())


@row("HTTP 401: ")
async def forged(stage: Stage) -> Sequence[Told]:
    await posted(stage, {"X-Webhook-Key": "guessed"}, _POST, await stage.client())
    return logged(stage, "HTTP 401")


@row("HTTP 400: ")
async def no_bill(stage: Stage) -> Sequence[Told]:
    for body in ("rubbish", "{}"):
        await posted(stage, {"X-Webhook-Key": SECRET}, body, await stage.client())
    return logged(stage, "HTTP 400")


@row("is not confirmed: EnKash knows no such bill")
async def unknown_bill(stage: Stage) -> Sequence[Told]:
    await posted(stage, {"X-Webhook-Key": SECRET}, _POST, await stage.logging_in())
    return logged(stage, "is not confirmed")


@row("is not confirmed: ")
async def unconfirmed(stage: Stage) -> Sequence[Told]:
    await posted(stage, {"X-Webhook-Key": SECRET}, _POST, await stage.client("https://enkash.invalid"))
    return logged(stage, "is not confirmed")
