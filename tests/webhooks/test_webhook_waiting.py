"""A post ends a wait: from creation to settled without polling."""

from __future__ import annotations

import asyncio
import math

from tokens.doubles import until
from webhooks.hosts import HOSTS

from enkash_async import BillNotifier, EnkashClient, Outcome, PollPolicy
from enkash_async.sandbox import FaultKind, Sandbox
from enkash_async.webhooks import WebhookReceiver, WebhookVerifier

from support import EAGER, alarm

KEY = {"X-Webhook-Key": "made-up-webhook-key"}
NEVER = PollPolicy(first=3600, longest=3600)


async def test_a_bill_goes_from_creation_to_settled_without_polling() -> None:
    """The sandbox's doubled posts wake the waiting caller, whose next look is an hour away."""
    notifier = BillNotifier()
    receiver = WebhookReceiver(WebhookVerifier(KEY), notifier=notifier)
    with alarm(60):
        async with (
            Sandbox(settle_after=math.inf, repeat_debits=True) as sandbox,
            EnkashClient.from_credentials(sandbox.base_url, sandbox.credentials, retry=EAGER) as client,
            HOSTS["aiohttp"](receiver) as host,
        ):
            await client.webhooks.register(host.url, headers=KEY)
            sandbox.faults.add("webhook", FaultKind.DUPLICATED, times=None)
            bill = await client.bills.create(2001, {"cn": "CN1"}, bill_amount=500, reference_id="hook-1")
            await client.payments.confirm_debit([bill.utility_enkash_id])
            await sandbox.webhooks_delivered()
            before = sandbox.counts["bill"]
            waiting = asyncio.create_task(
                client.bills.wait_until_settled(bill.utility_enkash_id, timeout=7200, policy=NEVER, notifier=notifier)
            )
            await until(lambda: sandbox.counts["bill"] > before)
            sandbox.ledger.settle_after = 0.0
            settled = await waiting
            # One look at the beginning, which could have been too late for the post, and one that the post led to.
            assert (settled.outcome, sandbox.counts["bill"] - before) == (Outcome.PAID, 2)
            assert sandbox.counts["search_bills"] == 0
