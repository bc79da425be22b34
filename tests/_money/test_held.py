"""Replies that answer another call: a server that sends one reply twice on a connection that it keeps open."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from enkash_async import EnkashClient, FetchedBill, OutcomeUnknownError, ResponseDecodeError, StaticTokenProvider

from support import EAGER, RawServer, Reader, Writer, raw_server, reply

_CN = {"cn": "CN123456789"}


def _enveloped(payload: Any) -> bytes:
    return reply(json.dumps({"response_code": 0, "response_message": "Success", "payload": payload}).encode())


_ABSENT = reply(b'{"response_code": 1, "payload": "No utility payment found"}', "400 Bad Request")


class _Repeating:
    """Answers creates and look-ups; the first reply is followed by a copy, a moment later.

    Args:
        always_of: Reference of the bill that every look-up is answered with; None answers with the right one.
        is_late: Whether the copy comes only once the next request is there.

    Attributes:
        connections: How many were opened.
    """

    def __init__(self, *, always_of: str | None = None, is_late: bool = False) -> None:
        self.connections = 0
        self._created: dict[str, dict[str, Any]] = {}
        self._repeated = False
        self._always_of = always_of
        self._is_late = is_late

    def _answer(self, request: bytes) -> bytes:
        line, _, body = request.partition(b"\r\n")[0], b"", request.partition(b"\r\n\r\n")[2]
        method, path, _ = line.decode().split(" ")
        if method == "POST":
            given = json.loads(body)
            reference = given["referenceId"]
            self._created[reference] = {
                "utilityEnkashId": f"UTIL-{reference}",
                "referenceId": reference,
                "consumerNumber": given.get("billParams", _CN)["cn"],
                "paymentStatus": "INIT",
                "approvalStatus": "MAKER_APPROVAL_PENDING",
            }
            return _enveloped(self._created[reference])
        name = path.rpartition("/")[2]
        bill = self._created.get(self._always_of or name.removeprefix("UTIL-"))
        return _ABSENT if bill is None else _enveloped(bill)

    async def __call__(self, server: RawServer, reader: Reader, writer: Writer) -> None:
        self.connections += 1
        while True:
            answer = self._answer(await server.read_request(reader))
            writer.write(answer)
            await writer.drain()
            if not self._repeated:
                self._repeated = True  # by now or then, the client has given the connection back
                await (server.read_request(reader) if self._is_late else asyncio.sleep(0.02))
                writer.write(answer)
                await writer.drain()


async def test_the_reply_to_another_create_is_never_taken_for_this_one() -> None:
    """The stray reply is inv-1's bill; the client looks up what became of inv-2, on a fresh connection.

    The create may be cut off by the reply that comes too early, so that EnKash never has it.
    """
    handler = _Repeating()
    async with raw_server(handler) as server:
        async with EnkashClient(server.base_url, tokens=StaticTokenProvider("t"), retry=EAGER) as client:
            first = await client.bills.create(2001, _CN, reference_id="inv-1")
            await asyncio.sleep(0.05)
            try:
                second = (await client.bills.create(2001, _CN, reference_id="inv-2")).utility_enkash_id
            except OutcomeUnknownError as unclear:
                second = unclear.reference_id or ""
    assert first.utility_enkash_id == "UTIL-inv-1"
    assert second in {"UTIL-inv-2", "inv-2"}
    assert handler.connections == 2


@pytest.mark.parametrize(("is_late", "requests"), [(False, 2), (True, 3)])
async def test_a_stray_reply_to_a_look_up_is_not_taken(is_late: bool, requests: int) -> None:
    """It is noticed before the next look is sent on its connection; where it comes later, it costs one more look."""
    handler = _Repeating(is_late=is_late)
    async with raw_server(handler) as server:
        async with EnkashClient(server.base_url, tokens=StaticTokenProvider("t"), retry=EAGER) as client:
            for reference in ("inv-1", "inv-2"):
                handler._answer(f"POST / H\r\n\r\n{json.dumps({'referenceId': reference})}".encode())
            await client.bills.get("UTIL-inv-1")
            await asyncio.sleep(0.05)
            assert (await client.bills.get("UTIL-inv-2")).reference_id == "inv-2"
    assert handler.connections == 2
    assert len(server.requests) == requests


async def test_a_server_that_always_answers_another_call_is_an_error() -> None:
    """A look-up raises after one more try, and a create is unclear."""
    handler = _Repeating(always_of="inv-1")
    async with raw_server(handler) as server:
        async with EnkashClient(server.base_url, tokens=StaticTokenProvider("t"), retry=EAGER) as client:
            await client.bills.create(2001, _CN, reference_id="inv-1")
            with pytest.raises(ResponseDecodeError, match="another utility_enkash_id"):
                await client.bills.get("UTIL-inv-2")
            with pytest.raises(ResponseDecodeError, match="another reference_id"):
                await client.bills.get_by_reference("inv-2")


async def test_a_stray_reply_where_nothing_tells_what_became_of_the_create() -> None:
    """The stray reply is no success: the outcome is unknown, and the error names the reference."""

    async def answer(server: RawServer, reader: Reader, writer: Writer) -> None:
        while True:
            await server.read_request(reader)
            writer.write(_enveloped({"utilityEnkashId": "UTIL-1", "referenceId": "inv-1", "consumerNumber": "CN9"}))

    async with raw_server(answer) as server:
        async with EnkashClient(server.base_url, tokens=StaticTokenProvider("t"), retry=EAGER) as client:
            with pytest.raises(OutcomeUnknownError) as caught:
                await client.bills.create(2001, _CN, reference_id="inv-2")
            fetched = FetchedBill(company_biller_id="CB-1", bill_net_amount=10)  # type: ignore[arg-type]
            with pytest.raises(OutcomeUnknownError):
                await client.bills.create_from_fetch(fetched, reference_id="inv-3")
    assert caught.value.reference_id == "inv-2"
