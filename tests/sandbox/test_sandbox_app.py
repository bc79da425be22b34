"""The sandbox over HTTP: it answers as EnKash's pages say."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import re
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, get_args
from urllib.parse import quote

import aiohttp
import attrs
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from enkash_async.config import Routes
from enkash_async.sandbox import FaultKind, Faults, Ledger
from enkash_async.sandbox._app import create_app, late_work
from enkash_async.sandbox._reply import FetchStyle, dumps
from enkash_async.sandbox._token import TokenStyle
from enkash_async.tokens._credentials import Credentials

CREDENTIALS = Credentials("enkash-demo-client", "demo:secret", "ap+team@example.com", "demo&p=w", "CEKDEMO123")
FORM = {
    "grant_type": "password",
    "username": CREDENTIALS.username,
    "password": CREDENTIALS.password,
    "clientId": "CEKDEMO123",
}
DAY = re.compile(r"\d{4}-\d\d-\d\d")
UTC_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
IST_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


def basic(client_id: str = CREDENTIALS.client_id, secret: str = CREDENTIALS.client_secret) -> str:
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class HeldSleep:
    """A sleep of the given seconds that ends when the test says so."""

    def __init__(self) -> None:
        self._over: defaultdict[float, asyncio.Event] = defaultdict(asyncio.Event)

    async def __call__(self, seconds: float) -> None:
        await self._over[seconds].wait()

    def end(self, seconds: float) -> None:
        self._over[seconds].set()


@attrs.define
class Answer:
    status: int
    headers: dict[str, str]
    body: Any

    @property
    def payload(self) -> Any:
        return self.body["payload"]

    @property
    def refused(self) -> tuple[int, int]:
        return self.status, self.body["response_code"]


@attrs.define
class Server:
    """A running application and a session that calls it."""

    url: str
    app: web.Application
    session: aiohttp.ClientSession
    ledger: Ledger
    clock: Clock
    faults: Faults
    counts: Counter[str]
    slept: list[float]
    routes: Routes = attrs.field(factory=Routes)

    async def send(self, method: str, path: str, **options: Any) -> Answer:
        url = URL(self.url + path, encoded=True)
        async with self.session.request(method, url, **options) as reply:
            raw = await reply.text()
            body = json.loads(raw, parse_float=Decimal) if reply.content_type == "application/json" else raw
            return Answer(reply.status, {name.lower(): value for name, value in reply.headers.items()}, body)

    async def log_in(self, form: dict[str, str] | None = None, authorization: str | None = None) -> Answer:
        headers = {"Authorization": basic() if authorization is None else authorization}
        return await self.send("POST", self.routes.token, data=FORM | (form or {}), headers=headers)

    async def call(self, method: str, path: str, body: object = None, **query: str) -> Answer:
        token = (await self.log_in()).body["accessToken"]
        options: dict[str, Any] = {"headers": {"Authorization": f"Bearer {token}"}}
        if body is not None:
            options["data"] = io.BytesIO(body if isinstance(body, bytes) else dumps(body).encode())
            options["headers"]["Content-Type"] = "application/json"
        return await self.send(method, path + (f"?{URL.build(query=query).query_string}" if query else ""), **options)

    async def add(self, **members: object) -> Answer:
        return await self.call(
            "POST", self.routes.add_bill, {"billerId": 2001, "billParams": {"cn": "CN123456789"}} | members
        )

    async def confirm(self, *ids: str) -> Answer:
        return await self.call("PUT", self.routes.confirm_debit, {"utilityPaymentIds": ids})

    async def fetch(self, biller_id: object = 2001, **members: object) -> Answer:
        body = {"billerId": biller_id, "billParams": {"cn": "CN123456789"}} | members
        return await self.call("POST", self.routes.fetch_bill, body)


Start = Callable[..., Awaitable[Server]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    runners: list[web.AppRunner] = []
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:

        async def start(**styles: Any) -> Server:
            clock, slept = Clock(), list[float]()
            ledger = Ledger(credentials=CREDENTIALS, clock=clock, settle_after=10.0)

            async def sleep(seconds: float) -> None:
                slept.append(seconds)

            faults, counts = Faults(), Counter[str]()
            options: dict[str, Any] = {"routes": Routes(), "sleep": sleep} | styles
            app = create_app(ledger, faults=faults, counts=counts, **options)
            runners.append(web.AppRunner(app, access_log=None, shutdown_timeout=0.05))
            await runners[-1].setup()
            await web.TCPSite(runners[-1], "127.0.0.1", 0).start()
            url = f"http://127.0.0.1:{runners[-1].addresses[0][1]}"
            return Server(url, app, session, ledger, clock, faults, counts, slept, options["routes"])

        yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def server(start: Start) -> Server:
    return await start()


class TestLogin:
    async def test_the_documented_reply_is_camel_case(self, server: Server) -> None:
        """The login answers with four camel-case members and no envelope."""
        answer = await server.log_in()
        assert answer.status == 200
        assert set(answer.body) == {"accessToken", "tokenType", "expiresIn", "refreshToken"}
        assert answer.body["expiresIn"] == 3600

    async def test_a_lifetime_below_a_second_is_announced_as_zero(self, server: Server) -> None:
        """The login answers with an integer, as documented."""
        server.ledger.token_lifetime = 0.9
        assert (await server.log_in()).body["expiresIn"] == 0

    async def test_the_snake_style_is_that_of_the_oauth_standard(self, start: Start) -> None:
        """The login answers as other EnKash products do on the same path."""
        answer = await (await start(token_style="snake")).log_in()
        assert set(answer.body) == {"access_token", "token_type", "refresh_token", "expires_in", "scope"}

    async def test_the_legacy_style_has_an_expiry_in_milliseconds(self, start: Start) -> None:
        """The login answers as older EnKash pages print it."""
        server = await start(token_style="legacy")
        answer = await server.log_in()
        assert set(answer.body) == {"token", "expiry", "resultCode", "resultMessage"}
        since_1970 = server.ledger.opened_at - datetime(1970, 1, 1, tzinfo=UTC)
        assert answer.body["expiry"] == since_1970 // timedelta(milliseconds=1) + 3_600_000

    @pytest.mark.parametrize("style", [{"token_style": "pascal"}, {"fetch_style": "shouted"}])
    async def test_an_unknown_style_is_refused(self, start: Start, style: dict[str, str]) -> None:
        """The message lists the right ones."""
        known = ", ".join(get_args(TokenStyle if "token_style" in style else FetchStyle))
        with pytest.raises(ValueError, match=f"use one of {known}"):
            await start(**style)

    @pytest.mark.parametrize(
        ("form", "authorization", "status", "error"),
        [
            ({"password": "wrong"}, None, 400, "invalid_grant"),
            ({"username": "other@example.com"}, None, 400, "invalid_grant"),
            ({"clientId": "CEKOTHER12"}, None, 401, "invalid_client"),
            ({}, basic(secret="wrong"), 401, "invalid_client"),
            ({}, basic(client_id="wrong"), 401, "invalid_client"),
            ({}, "", 401, "invalid_client"),
            ({}, "Basic ~~~", 401, "invalid_client"),
            ({}, "Basic /w==", 401, "invalid_client"),
            ({}, "Bearer abc", 401, "invalid_client"),
            ({"grant_type": "refresh_token"}, None, 400, "unsupported_grant_type"),
        ],
    )
    async def test_a_wrong_login_is_refused(
        self, server: Server, form: dict[str, str], authorization: str | None, status: int, error: str
    ) -> None:
        """The reply has the error words of the OAuth standard."""
        answer = await server.log_in(form, authorization)
        assert (answer.status, answer.body["error"]) == (status, error)

    async def test_a_wrong_password_says_bad_credentials_and_then_locks(self, server: Server) -> None:
        """The sandbox refuses the fourth login, right or wrong."""
        for _ in range(3):
            assert (await server.log_in({"password": "wrong"})).body["error_description"] == "Bad credentials"
        answer = await server.log_in()
        assert answer.status == 400
        assert answer.body == {"error": "invalid_grant", "error_description": "User account is locked"}

    async def test_a_login_must_be_a_form(self, server: Server) -> None:
        """The sandbox refuses JSON and does not count it towards the lock."""
        for _ in range(4):
            answer = await server.send("POST", "/oauth/token", json=FORM, headers={"Authorization": basic()})
            assert (answer.status, answer.body["error"]) == (400, "invalid_request")
        assert (await server.log_in()).status == 200


class TestBearer:
    @pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", "Bearer unknown", "Basic abc"])
    async def test_a_call_without_a_good_token_is_refused(self, server: Server, authorization: str | None) -> None:
        """The sandbox answers 401 with an envelope, as EnKash does."""
        headers = {} if authorization is None else {"Authorization": authorization}
        answer = await server.send("GET", "/api/v2/biller", headers=headers)
        assert answer.refused == (401, 1)
        assert set(answer.body) == {"response_code", "response_message", "payload"}

    async def test_an_expired_token_is_refused(self, server: Server) -> None:
        """The sandbox answers 401 once the token's lifetime is over."""
        token = (await server.log_in()).body["accessToken"]
        headers = {"Authorization": f"bearer {token}"}
        assert (await server.send("GET", "/api/v2/biller", headers=headers)).status == 200
        server.clock.seconds += 3600
        answer = await server.send("GET", "/api/v2/biller", headers=headers)
        assert (answer.status, answer.payload) == (401, "Access token is expired")


class TestEnvelope:
    async def test_an_unknown_path_is_answered_in_the_envelope(self, server: Server) -> None:
        """The sandbox counts the request under no route."""
        assert (await server.send("GET", "/api/v2/nothing")).refused == (404, 1)
        assert not server.counts

    async def test_a_wrong_method_is_answered_in_the_envelope(self, server: Server) -> None:
        """A GET of the login's path gets 405 and an envelope in place of aiohttp's text."""
        assert (await server.send("GET", "/oauth/token")).refused == (405, 1)

    async def test_a_huge_body_is_answered_in_the_envelope(self, server: Server) -> None:
        """A body above aiohttp's limit of one mebibyte gets 413 and an envelope."""
        assert (await server.call("POST", "/api/v2/biller/addBill", b"x" * 2_000_000)).refused == (413, 1)

    async def test_a_body_must_say_that_it_is_json(self, server: Server) -> None:
        """The sandbox takes a form for the login alone."""
        token = (await server.log_in()).body["accessToken"]
        headers = {"Authorization": f"Bearer {token}"}
        answer = await server.send("POST", "/api/v2/biller/addBill", data={"billerId": "2001"}, headers=headers)
        assert answer.refused == (415, 1)

    @pytest.mark.parametrize(
        "raw", ["", "{", "[]", "null", '{"a": NaN}', "[" * 100_000, '{"a": 1e9999999999999999999}']
    )
    async def test_a_body_must_be_a_json_object(self, server: Server, raw: str) -> None:
        """The sandbox answers 400 to broken JSON, to other values and to numbers that Python cannot hold."""
        assert (await server.call("POST", "/api/v2/biller/addBill", raw.encode())).refused == (400, 1)

    async def test_requests_are_counted_by_route(self, server: Server) -> None:
        """The sandbox counts refused requests as well."""
        await server.fetch()
        await server.fetch(1)
        assert server.counts == {"token": 2, "fetch_bill": 2}

    async def test_routes_can_be_moved(self, start: Start) -> None:
        """The sandbox serves the new path and answers 404 at the old one."""
        server = await start(routes=Routes(billers="/api/v9/billers"))
        assert (await server.call("GET", "/api/v9/billers")).status == 200
        assert (await server.call("GET", "/api/v2/biller")).status == 404

    @given(digits=st.decimals(allow_nan=False, allow_infinity=False, places=3))
    def test_a_decimal_goes_out_with_exactly_its_digits(self, digits: Decimal) -> None:
        """The sandbox writes every digit of an amount, trailing zeros included."""
        back = json.loads(dumps({"amount": [digits]}), parse_float=Decimal)["amount"][0]
        assert str(back) == format(digits, "f")

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=20,
        )
    )
    def test_the_writer_writes_what_json_reads(self, value: object) -> None:
        """The text differs from the standard library's in decimals alone."""
        assert json.loads(dumps(value)) == value


class TestBillers:
    async def test_the_list_has_items_with_inputs(self, server: Server) -> None:
        """Biller 2001 asks for a consumer number."""
        billers = (await server.call("GET", "/api/v2/biller")).payload
        assert billers[0] == {
            "billerId": 2001,
            "name": "Sahyadri Electricity",
            "billerType": "ELECTRICITY",
            "billerParams": [{"key": "cn", "name": "Consumer Number"}],
        }

    async def test_the_list_can_be_filtered_and_paged(self, server: Server) -> None:
        """The list filters by category, and offset and limit count billers."""
        of_type = (await server.call("GET", "/api/v2/biller", category="ELECTRICITY")).payload
        assert {entry["billerType"] for entry in of_type} == {"ELECTRICITY"}
        page = (await server.call("GET", "/api/v2/biller", category="ELECTRICITY", offset="1", limit="1")).payload
        assert page == of_type[1:2]

    async def test_a_wrong_page_is_refused(self, server: Server) -> None:
        """The sandbox refuses a word and a negative number."""
        for wrong in ("x", "-1", ""):
            assert (await server.call("GET", "/api/v2/biller", offset=wrong)).refused == (400, 1)

    async def test_the_categories_count_their_billers(self, server: Server) -> None:
        """The reply has one entry for each type of biller."""
        found = (await server.call("GET", "/api/v2/biller/billerTypes")).payload
        assert {"name": "ELECTRICITY", "count": 3} in found


class TestFetch:
    async def test_the_odd_reply_has_the_old_names(self, server: Server) -> None:
        """The reply has lower-case letters where the page prints them."""
        payload = (await server.fetch()).payload
        assert {"companyBillerId", "billdate", "dueDate", "billnetamount", "billEnddate"} <= set(payload)
        assert isinstance(payload["billAmount"], Decimal)
        assert payload["billAmount"].as_tuple().exponent == -2
        assert DAY.fullmatch(payload["billdate"])
        assert payload["statusMessage"] is None

    async def test_the_regular_reply_has_the_names_of_the_create_request(self, start: Start) -> None:
        """Both styles of reply hold the same values; only the names of the members differ."""
        regular = (await (await start(fetch_style="regular")).fetch()).payload
        odd = (await (await start()).fetch()).payload
        assert {"billDate", "billDueDate", "billNetAmount", "billEndDate"} <= set(regular)
        assert list(regular.values()) == list(odd.values())

    async def test_a_failed_fetch_is_a_success_with_a_status_message(self, server: Server) -> None:
        """A status of 200 does not prove that there is a bill."""
        answer = await server.fetch(2202)
        assert answer.refused == (200, 0)
        assert answer.payload == {"statusMessage": "Unable to fetch the bill: the biller did not answer"}

    @pytest.mark.parametrize(
        ("members", "refused"),
        [
            ({"billerId": 1}, (400, 1)),
            ({"billerId": 2102}, (422, 1)),
            ({"billerId": "2001"}, (400, 1)),
            ({"billerId": True}, (400, 1)),
            ({"billerId": 2**31}, (400, 1)),
            ({"billerId": None}, (400, 1)),
            ({"billParams": {}}, (400, 1)),
            ({"billParams": {"cn": ""}}, (400, 1)),
            ({"billParams": {"cn": 123}}, (400, 1)),
            ({"billParams": "cn=1"}, (400, 1)),
            ({"billParams": None}, (400, 1)),
            ({"billerId": 2003}, (400, 1)),
            ({"billerId": 2003, "circle": "agra"}, (400, 1)),
            ({"remarks": 1}, (400, 1)),
            ({"billerId": 2003, "circle": "AGRA"}, (200, 0)),
            ({"remarks": "May", "keyContactEmail": "a@example.com", "unknown": 1}, (200, 0)),
        ],
    )
    async def test_the_request_is_checked(
        self, server: Server, members: dict[str, object], refused: tuple[int, int]
    ) -> None:
        """The sandbox checks the members of the page's table and ignores the others."""
        assert (await server.fetch(**{"biller_id": 2001} | members)).refused == refused


class TestCreate:
    async def test_a_bill_is_created_with_the_documented_reply(self, server: Server) -> None:
        """The reply repeats the amount with exactly its digits."""
        answer = await server.add(referenceId="inv-1", billAmount=Decimal("2450.70"), remarks="May")
        assert answer.refused == (200, 0)
        assert str(answer.payload["amount"]) == "2450.70"
        assert answer.payload["referenceId"] == "inv-1"
        assert answer.payload["paymentStatus"] == "INIT"
        assert UTC_TIME.fullmatch(answer.payload["createdDate"])

    async def test_without_an_amount_the_open_bill_is_taken(self, server: Server) -> None:
        """The bill has the open amount and a generated reference."""
        due = (await server.fetch()).payload["billAmount"]
        payload = (await server.add()).payload
        assert payload["amount"] == due
        assert payload["referenceId"]

    async def test_a_fetched_bill_is_created_from_what_was_fetched(self, server: Server) -> None:
        """A later enquiry shows the members of the request."""
        fetched = (await server.fetch()).payload
        body = {
            "referenceId": "inv-2",
            "companyBillerId": fetched["companyBillerId"],
            "billNetAmount": fetched["earlyPaymentAmount"],
            "billAmount": fetched["billAmount"],
            "billDate": fetched["billdate"],
            "billId": fetched["billId"],
        }
        created = (await server.call("POST", "/api/v2/utilityPayment", body)).payload
        shown = (await server.call("GET", f"/api/v2/utilityPayment/{created['utilityEnkashId']}")).payload
        assert shown["amount"] == fetched["earlyPaymentAmount"]
        assert shown["billAmount"] == fetched["billAmount"]
        assert shown["billDate"] == fetched["billdate"]
        assert shown["billNumber"] is None

    async def test_a_used_reference_is_refused_with_code_38(self, server: Server) -> None:
        """The second create with one reference gets 400 and code 38."""
        await server.add(referenceId="inv-1")
        assert (await server.add(referenceId="inv-1")).refused == (400, 38)

    async def test_a_breached_limit_is_refused_with_code_36(self, server: Server) -> None:
        """The sandbox answers with code 36 and creates no bill."""
        assert (await server.add(billAmount=200_001)).refused == (400, 36)
        assert server.ledger.search() == []

    @pytest.mark.parametrize(
        "members",
        [
            {"billAmount": 0},
            {"billAmount": "10"},
            {"billAmount": True},
            {"billDate": "2025-02-30"},
            {"billDueDate": "20250131"},
            {"billDueDate": 20250131},
            {"referenceId": ""},
            {"referenceId": 1},
            {"email": ["a@example.com"]},
        ],
    )
    async def test_a_bill_without_fetch_is_checked(self, server: Server, members: dict[str, object]) -> None:
        """The sandbox checks the members of the page's table."""
        assert (await server.add(**members)).refused == (400, 1)

    @pytest.mark.parametrize(
        "members",
        [
            {"companyBillerId": None},
            {"companyBillerId": "CB-none"},
            {"billNetAmount": None},
            {"billNetAmount": Decimal("0.99")},
            {"billAmount": None},
            {"billAmount": Decimal("1e40")},
            {"billEndDate": "yesterday"},
        ],
    )
    async def test_a_bill_after_fetch_is_checked(self, server: Server, members: dict[str, object]) -> None:
        """The sandbox checks the members of the page's table."""
        enrolled = (await server.fetch()).payload["companyBillerId"]
        body = {"companyBillerId": enrolled, "billNetAmount": 1, "billAmount": 1} | members
        assert (await server.call("POST", "/api/v2/utilityPayment", body)).refused == (400, 1)


class TestEnquiry:
    async def test_an_open_bill_shows_everything_it_has(self, server: Server) -> None:
        """The reply has the documented names, and null for what has not happened."""
        key = (await server.add(billDate="2025-05-10", billDueDate="2025-05-25")).payload["utilityEnkashId"]
        shown = (await server.call("GET", f"/api/v2/utilityPayment/{key}")).payload
        assert shown["companyId"] == "CEKDEMO123"
        assert (shown["approvalStatus"], shown["paymentStatus"], shown["billpayStatus"]) == (
            "MAKER_APPROVAL_PENDING",
            "INIT",
            "PENDING",
        )
        assert (shown["billDate"], shown["billDueDate"]) == ("2025-05-10", "2025-05-25")
        assert shown["paymentDate"] is shown["refundDate"] is shown["billReferenceId"] is None
        assert shown["companyBiller"]["biller"]["billerId"] == 2001
        assert shown["companyBiller"]["billInputParams"] == "consumer_number=CN123456789"
        assert shown["companyBiller"]["billerParams"] == [
            {"key": "cn", "name": "Consumer Number", "value": "CN123456789"}
        ]

    async def test_a_confirmed_bill_is_paid_after_a_while(self, server: Server) -> None:
        """The confirmation's reply equals the one that the page prints in full."""
        key = (await server.add()).payload["utilityEnkashId"]
        confirmed = await server.confirm(key)
        assert confirmed.body == {"response_code": 0, "response_message": "Success", "payload": None}
        shown = (await server.call("GET", f"/api/v2/utilityPayment/{key}")).payload
        assert (shown["paymentStatus"], shown["billpayStatus"]) == ("IN_PROCESS", "IN_PROGRESS")
        server.clock.seconds += 10
        shown = (await server.call("GET", f"/api/v2/utilityPayment/{key}")).payload
        assert (shown["paymentStatus"], shown["billpayStatus"]) == ("SUCCESS", "SUCCESS")
        assert shown["billReferenceId"]
        assert IST_TIME.fullmatch(shown["paymentDate"])
        assert IST_TIME.fullmatch(shown["billpayDate"])

    async def test_a_rejected_payment_is_refunded(self, server: Server) -> None:
        """The bill shows a reason, a code and a refund date in EnKash's format."""
        key = (await server.add(billerId=2302)).payload["utilityEnkashId"]
        await server.confirm(key)
        server.clock.seconds += 10
        shown = (await server.call("GET", f"/api/v2/utilityPayment/{key}")).payload
        assert (shown["paymentStatus"], shown["billpayStatus"]) == ("REFUNDED", "FAILED")
        assert shown["failureReason"]
        assert shown["failureCode"]
        assert IST_TIME.fullmatch(shown["refundDate"])

    @pytest.mark.parametrize("reference", ["ref/1 é?#%2F", "{a}", "a+b&c=d", "%", "referenceId", "a//b", "100%25"])
    async def test_any_reference_arrives_whole(self, server: Server, reference: str) -> None:
        """The ledger has the reference that the caller percent-encoded in the path."""
        created = (await server.add(referenceId=reference)).payload
        path = f"/api/v2/utilityPayment/referenceId/{quote(reference, safe='')}"
        shown = (await server.call("GET", path)).payload
        assert (shown["referenceId"], shown["utilityEnkashId"]) == (reference, created["utilityEnkashId"])

    @pytest.mark.parametrize("path", ["none", "referenceId", "referenceId/none", "a%2Fb"])
    async def test_an_unknown_bill_is_a_bad_request(self, server: Server, path: str) -> None:
        """The reply has the words that the guide quotes."""
        answer = await server.call("GET", f"/api/v2/utilityPayment/{path}")
        assert answer.refused == (400, 1)
        assert answer.payload == "No utility payment found"


class TestSearch:
    async def search(self, server: Server, **members: object) -> list[str]:
        answer = await server.call("POST", "/api/v1/utilityPayment/search", members)
        assert answer.status == 200
        return [entry["referenceId"] for entry in answer.payload]

    async def test_filters_hold_together_and_pages_count_records(self, server: Server) -> None:
        """The result is oldest first, and a null member is no filter."""
        for reference, amount in (("a", 100), ("b", 200), ("c", 300)):
            await server.add(referenceId=reference, billAmount=amount)
        assert await self.search(server) == ["a", "b", "c"]
        assert await self.search(server, amountRangeStart=200, billerType="ELECTRICITY", statuses=None) == ["b", "c"]
        assert await self.search(server, offset=1, limit=1) == ["b"]
        assert await self.search(server, createdDateFrom="2000-01-01", amountRangeEnd=Decimal("99.99")) == []
        assert await self.search(server, statuses=["SUCCESS"]) == []
        assert await self.search(server, makerUser="somebody", serviceProvider="MK") == ["a", "b", "c"]

    async def test_another_company_finds_nothing(self, server: Server) -> None:
        """Every bill belongs to the company of the credentials."""
        await server.add(referenceId="a")
        assert await self.search(server, companyId="CEKDEMO123", companyName=server.ledger.company_name) == ["a"]
        assert await self.search(server, companyId="CEKOTHER12") == []

    @pytest.mark.parametrize(
        "wrong",
        [
            {"limit": 0},
            {"offset": -1},
            {"limit": "10"},
            {"statuses": ["INIT"]},
            {"utilityEnkashIds": "UTIL-1"},
            {"consumerNumbers": [1]},
            {"createdDateFrom": "02-06-2025"},
            {"amountRangeStart": "100"},
            {"billerName": ""},
        ],
    )
    async def test_a_wrong_filter_is_refused(self, server: Server, wrong: dict[str, object]) -> None:
        """The sandbox does not ignore it, which would find too many bills."""
        assert (await server.call("POST", "/api/v1/utilityPayment/search", wrong)).refused == (400, 1)


class TestConfirm:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"utilityPaymentIds": None},
            {"utilityPaymentIds": []},
            {"utilityPaymentIds": ["UTIL-1"] * 1001},
            {"utilityPaymentIds": [1]},
            {"utilityPaymentIds": ["UTIL-none"]},
            {"approvalStatus": "APPROVED"},
            {"remarks": "with a full stop."},
            {"remarks": "a/b"},
            {"remarks": "é"},
            {"remarks": "line\n"},
            {"remarks": "x" * 256},
        ],
    )
    async def test_a_wrong_confirmation_confirms_nothing(self, server: Server, wrong: dict[str, object]) -> None:
        """The sandbox checks the members of the page's table."""
        key = (await server.add()).payload["utilityEnkashId"]
        body = {"utilityPaymentIds": [key]} | wrong
        assert (await server.call("PUT", "/api/v0/utilityPayment/status", body)).refused == (400, 1)
        assert server.ledger.debits == []

    async def test_a_thousand_ids_and_remarks_by_the_pattern_are_accepted(self, server: Server) -> None:
        """The ledger debits a bill once for a call that repeats its id a thousand times."""
        key = (await server.add()).payload["utilityEnkashId"]
        body = {
            "utilityPaymentIds": [key] * 1000,
            "approvalStatus": "CHECKER_APPROVED",
            "remarks": """May, @#$%^&*+:;?!()-_"'`""",
        }
        assert (await server.call("PUT", "/api/v0/utilityPayment/status", body)).status == 200
        assert len(server.ledger.debits) == 1

    async def test_an_initiated_payment_is_debited(self, server: Server) -> None:
        """The reply has the sum of the paid bills."""
        keys = [(await server.add(billAmount=amount)).payload["utilityEnkashId"] for amount in (100, 200)]
        body = {"paymentIds": keys, "paymentType": "UTILITY", "urn": "U1", "seamlessBanking": False, "otp": "401936"}
        payload = (await server.call("POST", "/api/v0/payment", body)).payload
        assert payload == {
            "paymentIds": keys,
            "paymentType": "UTILITY",
            "paymentStatus": "IN_PROCESS",
            "amount": 300,
            "urn": "U1",
        }
        assert len(server.ledger.debits) == 2

    async def test_initiating_paid_and_open_bills_is_in_process(self, server: Server) -> None:
        """The reply has a status for all bills only when they share it."""
        old, new = [(await server.add()).payload["utilityEnkashId"] for _ in range(2)]
        await server.confirm(old)
        server.clock.seconds += 10
        body: dict[str, object] = {"paymentIds": [old], "paymentType": "UTILITY", "amount": 5}
        payload = (await server.call("POST", "/api/v0/payment", body)).payload
        assert (payload["paymentStatus"], payload["amount"]) == ("SUCCESS", 5)
        payload = (await server.call("POST", "/api/v0/payment", body | {"paymentIds": [old, new]})).payload
        assert payload["paymentStatus"] == "IN_PROCESS"

    @pytest.mark.parametrize(
        "wrong",
        [
            {"paymentType": None},
            {"paymentType": "utility"},
            {"paymentIds": None},
            {"amount": 0},
            {"otp": "12345"},
            {"partialPayment": "true"},
        ],
    )
    async def test_a_wrong_initiation_debits_nothing(self, server: Server, wrong: dict[str, object]) -> None:
        """The sandbox checks the members of the sibling page's table."""
        key = (await server.add()).payload["utilityEnkashId"]
        body = {"paymentIds": [key], "paymentType": "UTILITY"} | wrong
        assert (await server.call("POST", "/api/v0/payment", body)).refused == (400, 1)
        assert server.ledger.debits == []


class TestFaults:
    @pytest.mark.parametrize(
        ("kind", "status", "header"),
        [
            (FaultKind.UNAUTHORIZED, 401, None),
            (FaultKind.RATE_LIMITED, 429, "7"),
            (FaultKind.UNAVAILABLE, 503, "7"),
            (FaultKind.SERVER_ERROR, 500, None),
        ],
    )
    async def test_a_refusing_fault_keeps_the_work_from_being_done(
        self, server: Server, kind: FaultKind, status: int, header: str | None
    ) -> None:
        """The reply is an envelope, with `Retry-After` where it belongs."""
        server.faults.add("add_bill", kind, retry_after=7)
        answer = await server.add()
        assert answer.refused == (status, 1)
        assert answer.headers.get("retry-after") == header
        assert server.ledger.search() == []
        assert (await server.add()).status == 200
        assert server.counts["add_bill"] == 2

    @pytest.mark.parametrize(
        ("kind", "status", "done"),
        [
            (FaultKind.BAD_GATEWAY, 502, 0),
            (FaultKind.SERVER_ERROR_AFTER, 502, 1),
            (FaultKind.NOT_JSON, 200, 1),
        ],
    )
    async def test_a_page_is_not_json(self, server: Server, kind: FaultKind, status: int, done: int) -> None:
        """The sandbox answers as a gateway does, before or after the work."""
        server.faults.add("add_bill", kind)
        answer = await server.add()
        assert (answer.status, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
        assert answer.body.startswith("<html>")
        assert len(server.ledger.search()) == done

    @pytest.mark.parametrize(("kind", "done"), [(FaultKind.DROP_BEFORE, 0), (FaultKind.DROP_AFTER, 1)])
    async def test_a_dropped_connection_gives_no_reply(self, server: Server, kind: FaultKind, done: int) -> None:
        """The ledger alone knows whether the work was done."""
        server.faults.add("add_bill", kind)
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await server.add()
        assert len(server.ledger.search()) == done

    async def test_a_truncated_reply_ends_too_early(self, server: Server) -> None:
        """The work was done, and the body is shorter than announced."""
        server.faults.add("add_bill", FaultKind.TRUNCATED)
        with pytest.raises(aiohttp.ClientPayloadError):
            await server.add()
        assert len(server.ledger.search()) == 1

    async def test_a_slow_request_waits_and_then_works(self, server: Server) -> None:
        """The sandbox delays the request before its work."""
        server.faults.add("add_bill", FaultKind.SLOW, delay=2.5)
        assert (await server.add()).status == 200
        assert server.slept == [2.5]

    async def test_success_may_come_without_its_payload(self, server: Server) -> None:
        """The bill is created, and the reply does not name it."""
        server.faults.add("add_bill", FaultKind.NULL_PAYLOAD)
        answer = await server.add()
        assert (answer.refused, answer.payload) == ((200, 0), None)
        assert len(server.ledger.search()) == 1

    @pytest.mark.parametrize(("given", "status", "payload"), [(None, 409, "Conflict"), (429, 429, "Too Many Requests")])
    async def test_a_refusal_may_come_after_the_work(
        self, server: Server, given: int | None, status: int, payload: str
    ) -> None:
        """The reply is an envelope that says no, and the debit is made."""
        key = (await server.add()).payload["utilityEnkashId"]
        server.faults.add("confirm_debit", FaultKind.REFUSED_AFTER, status=given)
        answer = await server.confirm(key)
        assert (answer.refused, answer.payload) == ((status, 1), payload)
        assert len(server.ledger.debits) == 1

    async def test_the_login_can_fail_too(self, server: Server) -> None:
        """The ledger has a token that no client knows after a lost reply."""
        server.faults.add("token", FaultKind.DROP_AFTER)
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await server.log_in()
        assert server.counts == {"token": 1}


class TestStrayReplies:
    """A reply that comes a second time on its connection."""

    @staticmethod
    async def on_one_connection(server: Server, *paths: str) -> list[bytes]:
        """Send GET requests, each once the reply before is there; return the bodies in the order of their arrival."""
        reader, writer = await asyncio.open_connection(*server.url.removeprefix("http://").split(":"))
        try:
            bodies = []
            for path in paths:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: enkash\r\n\r\n".encode())
                bodies.append(await TestStrayReplies.read_body(reader))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    bodies.append(await TestStrayReplies.read_body(reader))
            return bodies
        finally:
            writer.close()

    @staticmethod
    async def read_body(reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        (length,) = re.findall(rb"Content-Length: (\d+)", head)
        return await reader.readexactly(int(length))

    async def test_it_answers_the_next_request_of_its_connection(self, start: Start) -> None:
        """The second request gets the first one's reply again, and then its own."""
        server = await start(sleep=HeldSleep())
        server.faults.add("billers", FaultKind.STRAY)
        server.faults.add("bill", FaultKind.SERVER_ERROR)
        unauthorized, again, own = await self.on_one_connection(server, "/api/v2/biller", "/api/v2/utilityPayment/U")
        assert unauthorized == again
        assert b"Internal server error" in own

    @pytest.mark.parametrize("delay", [0, 0.5])
    async def test_it_comes_by_itself_after_the_delay(self, server: Server, delay: float) -> None:
        """No further request is needed; with a delay of 0 nothing is waited for."""
        server.faults.add("billers", FaultKind.STRAY, delay=delay)
        first, again = await self.on_one_connection(server, "/api/v2/biller")
        assert first == again
        assert server.slept == [delay] * bool(delay)

    async def test_another_connection_does_not_get_it(self, start: Start) -> None:
        """The reply is lost with its connection."""
        server = await start(sleep=(held := HeldSleep()))
        server.faults.add("billers", FaultKind.STRAY)
        assert len(await self.on_one_connection(server, "/api/v2/biller")) == 1
        held.end(1.0)
        assert len(await self.on_one_connection(server, "/api/v2/biller")) == 1


class TestLateWork:
    """The sandbox reads a request, drops the connection, and does the work later."""

    @pytest.fixture
    def held(self) -> HeldSleep:
        return HeldSleep()

    @pytest.fixture
    async def server(self, start: Start, held: HeldSleep) -> Server:
        return await start(sleep=held)

    @staticmethod
    async def add_late(server: Server, delay: float, **members: object) -> None:
        server.faults.add("add_bill", FaultKind.LATE, delay=delay)
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await server.add(**members)

    @staticmethod
    async def look_up(server: Server, reference: str) -> Answer:
        return await server.call("GET", f"/api/v2/utilityPayment/referenceId/{reference}")

    async def test_a_look_up_finds_no_bill_and_a_later_one_finds_it(self, server: Server, held: HeldSleep) -> None:
        """The bill is created after the delay, although no client waits for it."""
        await self.add_late(server, 2.5, referenceId="inv-1")
        early = await self.look_up(server, "inv-1")
        assert (early.status, early.payload) == (400, "No utility payment found")
        held.end(2.5)
        await late_work(server.app)
        assert (await self.look_up(server, "inv-1")).payload["referenceId"] == "inv-1"
        assert server.counts["add_bill"] == 1

    async def test_a_slow_create_is_done_after_its_caller_has_given_up(self, server: Server, held: HeldSleep) -> None:
        """The caller's time-out ends the connection, and the bill is created when the wait is over."""
        server.faults.add("add_bill", FaultKind.SLOW, delay=2.5)
        giving_up = asyncio.create_task(server.add(referenceId="inv-1"))
        while not server.counts["add_bill"]:
            await asyncio.sleep(0)
        giving_up.cancel()
        await asyncio.wait([giving_up])
        assert (await self.look_up(server, "inv-1")).status == 400
        held.end(2.5)
        while not server.ledger.search():
            await asyncio.sleep(0)
        assert (await self.look_up(server, "inv-1")).payload["referenceId"] == "inv-1"

    async def test_a_debit_can_be_late_as_well(self, server: Server, held: HeldSleep) -> None:
        """The sandbox debits after the connection has dropped, so a client can meet a late debit."""
        key = (await server.add()).payload["utilityEnkashId"]
        server.faults.add("initiate_payment", FaultKind.LATE, delay=2.5)
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await server.call("POST", "/api/v0/payment", {"paymentIds": [key], "paymentType": "UTILITY"})
        assert server.ledger.debits == []
        held.end(2.5)
        await late_work(server.app)
        assert [debit.utility_enkash_id for debit in server.ledger.debits] == [key]

    @pytest.mark.parametrize(
        ("status", "content_type", "said"),
        [
            (200, "application/json", '"payload":null'),
            (400, "application/json", '"payload":"Bad Request"'),
            (504, "text/html", "504 Gateway Timeout"),
        ],
    )
    async def test_the_caller_may_be_answered_before_the_work(
        self, server: Server, held: HeldSleep, status: int, content_type: str, said: str
    ) -> None:
        """Success, a refusal or a gateway's page comes at once; the debit is made 150 seconds later."""
        key = (await server.add()).payload["utilityEnkashId"]
        server.faults.add("confirm_debit", FaultKind.LATE, delay=150, status=status)
        answer = await server.confirm(key)
        assert (answer.status, answer.headers["content-type"].partition(";")[0]) == (status, content_type)
        assert said in (answer.body if isinstance(answer.body, str) else dumps(answer.body))
        assert server.ledger.debits == []
        held.end(150)
        await late_work(server.app)
        assert [debit.utility_enkash_id for debit in server.ledger.debits] == [key]

    async def test_a_refusal_that_nobody_hears_is_the_end_of_it(
        self, server: Server, held: HeldSleep, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Another create used the reference first, so the late one creates no bill."""
        await self.add_late(server, 2.5, referenceId="inv-1", billAmount=100)
        assert (await server.add(referenceId="inv-1", billAmount=200)).status == 200
        held.end(2.5)
        await late_work(server.app)
        assert [payment.amount for payment in server.ledger.search()] == [200]
        assert caplog.records == []

    async def test_the_token_is_checked_when_the_request_arrives(self, server: Server, held: HeldSleep) -> None:
        """Revoking the token meanwhile does not stop the late work."""
        await self.add_late(server, 2.5)
        server.ledger.revoke_tokens()
        held.end(2.5)
        await late_work(server.app)
        assert len(server.ledger.search()) == 1

    async def test_a_request_without_a_good_token_does_no_late_work(self, server: Server, held: HeldSleep) -> None:
        """The sandbox drops the connection and does nothing later."""
        server.faults.add("add_bill", FaultKind.LATE, delay=2.5)
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await server.send("POST", "/api/v2/biller/addBill", json={"billerId": 2001, "billParams": {"cn": "CN1"}})
        held.end(2.5)
        await late_work(server.app)
        assert server.ledger.search() == []

    async def test_work_that_is_put_off_while_one_waits_is_waited_for(self, server: Server, held: HeldSleep) -> None:
        """`late_work` returns only when no postponed work is left, new work included."""
        await self.add_late(server, 1.0, referenceId="first")
        waiting = asyncio.create_task(late_work(server.app))
        await self.add_late(server, 2.0, referenceId="second")
        held.end(1.0)
        while (await self.look_up(server, "first")).status != 200:
            await asyncio.sleep(0)
        assert not waiting.done()
        held.end(2.0)
        await waiting
        assert [payment.reference_id for payment in server.ledger.search()] == ["first", "second"]

    async def test_giving_up_the_wait_leaves_the_work_alone(self, server: Server, held: HeldSleep) -> None:
        """The sandbox does the late work, although the waiting test timed out."""
        await self.add_late(server, 2.5)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(late_work(server.app), 0.01)
        held.end(2.5)
        await late_work(server.app)
        assert len(server.ledger.search()) == 1
