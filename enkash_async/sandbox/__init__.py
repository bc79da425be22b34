"""A fake EnKash Bill Payment API on this computer, for your own tests and for trying the SDK.

The sandbox keeps state: a created bill can be looked up, a confirmed debit settles after a while, and a reference can
be used only once. The sandbox also fails on request: see `FaultKind`. The following pytest fixture and test check what
your code does when the reply to a create is lost::

    @pytest.fixture
    async def sandbox():
        async with Sandbox(repeat_debits=True) as sandbox:
            yield sandbox

    async def test_a_lost_reply_does_not_pay_twice(sandbox):
        sandbox.faults.add("create_bill", FaultKind.DROP_AFTER)
        async with EnkashClient.from_credentials(sandbox.base_url, sandbox.credentials) as client:
            await pay_my_invoice(client, reference_id="inv-1")
        assert sandbox.debits == {"inv-1": 1}

Billers to try: 2001 takes a `cn`, 2002 a `cn` and an `ad1`, 2003 a circle (`AGRA`). 2102 is inactive, and 2202 fails
every fetch. 2302 rejects every payment. 2303 rejects a payment once and accepts it when EnKash tries again; 2304
rejects it again. 2305 has bills whose debits cannot be confirmed. The consumer number determines the amount.

The following sandbox debits a bill again on each further confirmation, shows changes late, and debits the ids of a
confirmation one after the other until it finds a bad id::

    Sandbox(repeat_debits=True, read_lag=4.0, search_lag=10.0, confirm_style="until_bad")

The following fault is the worst case of a create: a look-up finds no bill, and the bill appears afterwards::

    sandbox.faults.add("create_bill", FaultKind.LATE, delay=2.5)
    ...
    await sandbox.late_work()
    assert len(sandbox.ledger.search()) == 1

The sandbox also posts each change of a bill to every webhook URL that was registered through the API, even if no call
reads the bill. To add a fault to these posts, write `webhook` instead of the name of a route::

    await client.webhooks.register(
        "http://127.0.0.1:8000/enkash",
        headers={"X-Key": "my-secret"},
        events=["UTILITY_BILLPAY_SUCCESS", "UTILITY_BILLPAY_FAILED"],
    )
    sandbox.faults.add("webhook", FaultKind.DUPLICATED)
    ...
    await sandbox.webhooks_delivered()
    assert sandbox.counts["webhook"] == 2

EnKash does not document the biller list, the biller categories, the payment through the gateway, the replies of the
bulk search and of a registration, and the order and resends of posts. The sandbox guesses these: a test of them that
passes proves nothing about EnKash.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from types import TracebackType
from typing import Self

from aiohttp import web
from yarl import URL

from enkash_async._support.clock import loop_now
from enkash_async.config import Routes
from enkash_async.sandbox._app import create_app, late_work, webhooks_delivered
from enkash_async.sandbox._courier import Resends
from enkash_async.sandbox._faults import FaultKind, Faults
from enkash_async.sandbox._ledger import Ledger
from enkash_async.sandbox._payment import ConfirmStyle
from enkash_async.sandbox._reply import FetchStyle
from enkash_async.sandbox._tasks import sleep_by
from enkash_async.sandbox._token import TokenStyle
from enkash_async.tokens._credentials import Credentials

__all__ = ["FaultKind", "Faults", "Ledger", "Sandbox"]

_DOCUMENTED = Routes()
_NOTHING = Decimal(0)

# Seconds that requests in progress get at the end: few, so that a slow request does not delay the end of a test.
_SHUTDOWN_TIMEOUT = 0.05


def _made_up() -> Credentials:
    return Credentials(
        client_id="enkash-demo-client",
        client_secret="demo-client-secret",
        username="ap-team@example.com",
        password="demo-password",
        form_client_id="CEKDEMO123",
    )


class Sandbox:
    """A fake EnKash that listens while its `async with` block runs; a sandbox starts empty, and can be used only once.

    The sandbox posts each change of a bill to the registered webhooks, even if no call reads the bill. The posts of one
    bill to one URL go out one after the other, posts of different bills at the same time. A post that gets no 2xx
    within 10 seconds is sent again; redirects are not followed. The end of the block drops outstanding posts.

    Args:
        host: Address to listen on; the default accepts connections from this computer only.
        port: TCP port; 0 takes a free one.
        token_lifetime: Seconds that a token is valid. For less than 1 s, the login reply states 0.
        token_style: Login reply: `camel` as documented, `snake` as in RFC 6749, `legacy` with `token` and `expiry`.
        fetch_style: Names in the fetch reply: `odd` as in `billnetamount`, `regular` as in `billNetAmount`.
        settle_after: Seconds from a debit to SUCCESS or FAILED; `math.inf` settles nothing.
        refund_after: Seconds that a failed payment shows REFUND_IN_PROGRESS, before it is refunded or tried again.
        read_lag: Seconds until a look-up by id or reference shows a change of a bill, its creation included.
        search_lag: Seconds until a search shows a change of a bill, its creation included.
        repeat_debits: Whether a further confirmation debits a bill again. EnKash does not document its effect; pass
            True to detect code that sends a confirmation twice.
        debit_on_create: Whether creating a bill debits it, as EnKash does for some accounts.
        amount_shift: Rupees by which each created bill exceeds the amount that was fetched or asked for.
        confirm_style: What a confirmation does about an id that cannot be confirmed: `whole` refuses it and debits
            nothing, `until_bad` debits the ids before it and answers 400, `report_bad` debits the other ids and answers
            success, with the bad id in the payload.
        routes: Paths of the calls.
        credentials: Credentials that a login must send; None generates credentials.
        clock: Monotonic clock in seconds, for token lifetimes, settlement and the delays of requests' faults. The posts
            of webhooks and their faults use the clock of the event loop.
        webhook_attempts: Largest number of attempts to deliver a post, including the first.
        webhook_pause: Seconds before the second attempt; each further pause is twice as long.

    Attributes:
        credentials: Credentials that a login must send.
        faults: Failures to produce; add to them at any time.
        counts: Requests that arrived, by field name of `Routes`; `webhook` counts the posts that were sent, each
            attempt included.
        ledger: State behind the API: bills, debits, limits, tokens and registered webhooks. The options about bills
            can be changed here at any time, as in `sandbox.ledger.search_lag = 4.0`.

    Raises:
        ValueError: A style is unknown, the lifetime is not a finite number above 0, a delay, lag or pause is negative,
            or `webhook_attempts` is below 1.

    EnKash pages: api-12704314 (login), api-10664797 to api-10664803 (calls), api-10664805 (registration), api-12515630
    (posts).
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        token_lifetime: float = 3600.0,
        token_style: TokenStyle = "camel",
        fetch_style: FetchStyle = "odd",
        settle_after: float = 0.5,
        refund_after: float = 0.0,
        read_lag: float = 0.0,
        search_lag: float = 0.0,
        repeat_debits: bool = False,
        debit_on_create: bool = False,
        amount_shift: Decimal = _NOTHING,
        confirm_style: ConfirmStyle = "whole",
        routes: Routes = _DOCUMENTED,
        credentials: Credentials | None = None,
        clock: Callable[[], float] = loop_now,
        webhook_attempts: int = 3,
        webhook_pause: float = 0.2,
    ) -> None:
        self.credentials: Credentials = credentials or _made_up()
        self.faults: Faults = Faults()
        self.counts: Counter[str] = Counter()
        self.ledger: Ledger = Ledger(
            credentials=self.credentials,
            token_lifetime=token_lifetime,
            settle_after=settle_after,
            refund_after=refund_after,
            read_lag=read_lag,
            search_lag=search_lag,
            repeat_debits=repeat_debits,
            debit_on_create=debit_on_create,
            amount_shift=amount_shift,
            confirm_style=confirm_style,
            clock=clock,
        )
        self._host, self._port = host, port
        self._app = create_app(
            self.ledger,
            faults=self.faults,
            counts=self.counts,
            routes=routes,
            token_style=token_style,
            fetch_style=fetch_style,
            resends=Resends(attempts=webhook_attempts, pause=webhook_pause),
            sleep=sleep_by(clock),
        )
        self._runner = web.AppRunner(self._app, access_log=None, shutdown_timeout=_SHUTDOWN_TIMEOUT)
        self._base_url: str | None = None
        self._used = False

    async def __aenter__(self) -> Self:
        if self._used:
            raise RuntimeError("this Sandbox was started before; make a new one for each `async with`")
        self._used = True
        try:
            await self._runner.setup()
            await web.TCPSite(self._runner, self._host, self._port).start()
        except BaseException:
            await self._runner.cleanup()
            raise
        port = self._runner.addresses[0][1]
        self._base_url = str(URL.build(scheme="http", host=self._host, port=port)).rstrip("/")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    @property
    def base_url(self) -> str:
        """URL of the sandbox, such as `http://127.0.0.1:41234`; still known after the block.

        Raises:
            RuntimeError: The sandbox has not been started.
        """
        if self._base_url is None:
            raise RuntimeError("the sandbox has not been started; use `async with Sandbox() as sandbox`")
        return self._base_url

    @property
    def debits(self) -> dict[str, int]:
        """How often each bill was debited, by its reference; a bill without a debit counts 0.

        To test that money moved once: `assert set(sandbox.debits.values()) == {1}`, with `repeat_debits=True`.
        """
        return self.ledger.debit_counts()

    def environ(self) -> dict[str, str]:
        """Return the `ENKASH_…` variables with which `EnkashClient.from_env` finds this sandbox.

        Raises:
            RuntimeError: The sandbox has not been started.
        """
        ours = self.credentials
        return {
            "ENKASH_BASE_URL": self.base_url,
            "ENKASH_CLIENT_ID": ours.client_id,
            "ENKASH_CLIENT_SECRET": ours.client_secret,
            "ENKASH_USERNAME": ours.username,
            "ENKASH_PASSWORD": ours.password,
            "ENKASH_FORM_CLIENT_ID": ours.form_client_id or ours.client_id,
        }

    async def late_work(self) -> None:
        """Return once all work that `FaultKind.LATE` postponed is done; the end of the block drops such work."""
        await late_work(self._app)

    async def webhooks_delivered(self) -> None:
        """Return once every change of a bill so far was posted, and each post was answered or given up.

        It does not wait for bills that settle later. The end of the block drops outstanding posts.
        """
        await webhooks_delivered(self._app)

    def revoke_tokens(self) -> None:
        """Make every token issued so far invalid: the next call that sends one gets 401."""
        self.ledger.revoke_tokens()
