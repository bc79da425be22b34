"""Billers: the two calls whose pages are not public."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from enkash_async import (
    Biller,
    BillerType,
    EnkashClient,
    InvalidRequestError,
    ResponseDecodeError,
    Routes,
    StaticTokenProvider,
)
from enkash_async.sandbox import Sandbox

from support import RawServer, Reader, Writer, raw_server, reply


def _says(body: bytes) -> Callable[[RawServer, Reader, Writer], Any]:
    async def answer(server: RawServer, reader: Reader, writer: Writer) -> None:
        while True:
            await server.read_request(reader)
            writer.write(reply(body))

    return answer


async def _billers(body: bytes, category: str | None = None) -> tuple[list[Biller], list[bytes]]:
    async with raw_server(_says(body)) as server:
        async with EnkashClient(server.base_url, tokens=StaticTokenProvider("t")) as client:
            found = [biller async for biller in client.billers.list(category)]
        return found, [request.split(b"\r\n")[0] for request in server.requests]


async def test_the_sandbox_lists_billers_of_a_category(client: EnkashClient) -> None:
    """Each biller has an id, a name, a type and its inputs."""
    found = [biller async for biller in client.billers.list(category="ELECTRICITY")]
    assert {biller.biller_type for biller in found} == {BillerType.ELECTRICITY}
    assert found[0].biller_id == 2001
    assert found[0].biller_params[0].key == "cn"
    assert len([biller async for biller in client.billers.list()]) > len(found)


async def test_the_sandbox_lists_categories(client: EnkashClient) -> None:
    """`list` takes the name of each category."""
    for category in await client.billers.list_categories():
        assert [biller async for biller in client.billers.list(category.name)]


async def test_category_and_place_are_sent_as_a_query() -> None:
    """The client percent-encodes the space and the ampersand of a category."""
    _, lines = await _billers(b'{"response_code":0,"payload":[]}', "PIPED GAS & MORE")
    assert lines[0] == b"GET /api/v2/biller?category=PIPED%20GAS%20%26%20MORE&offset=0&limit=99 HTTP/1.1"


@pytest.mark.parametrize(("count", "requests"), [(1, 2), (50, 3), (100, 2), (250, 2)])
async def test_a_server_that_ignores_the_place_is_read_once_whole(count: int, requests: int) -> None:
    """The client stops when the same list comes again, although it asked for fewer billers."""
    items = ",".join(f'{{"billerId":{number}}}' for number in range(1, count + 1))
    found, lines = await _billers(b'{"response_code":0,"payload":{"billers":[%s]}}' % items.encode())
    assert [biller.biller_id for biller in found] == list(range(1, count + 1))
    assert len(lines) == requests


async def test_a_server_that_shows_as_many_billers_as_it_is_asked_for_is_not_trusted() -> None:
    """The client gives the billers that came and then raises: it cannot know whether there are more than 99."""
    items = ",".join(f'{{"billerId":{number}}}' for number in range(1, 100))
    found: list[int] = []

    async def collect(client: EnkashClient) -> None:
        async for biller in client.billers.list():
            found.append(biller.biller_id)  # noqa: PERF401 (what came before the error is the point)

    async with raw_server(_says(b'{"response_code":0,"payload":[%s]}' % items.encode())) as server:
        async with EnkashClient(server.base_url, tokens=StaticTokenProvider("t")) as client:
            with pytest.raises(ResponseDecodeError, match=r"billers\.list: .*EnKash ignores the offset.* 99 rows"):
                await collect(client)
    assert found == list(range(1, 100))


async def test_a_biller_without_an_id_is_listed_and_refused_later() -> None:
    """The list has it with the id 0, which no other call takes."""
    found, _ = await _billers(b'{"response_code":"0","payload":[{"billerName":"A"},{"billerName":"B"}]}')
    assert [(biller.biller_id, biller.name) for biller in found] == [(0, "A"), (0, "B")]
    async with EnkashClient("https://api.example", tokens=StaticTokenProvider("t")) as client:
        with pytest.raises(InvalidRequestError):
            await client.bills.fetch_current(found[0].biller_id, {"cn": "1"})


async def test_categories_may_be_bare_words() -> None:
    """The client reads strings and objects, because no page shows what the reply holds."""
    async with raw_server(_says(b'{"response_code":0,"payload":["ELECTRICITY",{"categoryName":"GAS"}]}')) as server:
        async with EnkashClient(server.base_url, tokens=StaticTokenProvider("t")) as client:
            assert [category.name for category in await client.billers.list_categories()] == ["ELECTRICITY", "GAS"]


async def test_an_empty_category_is_refused_at_once() -> None:
    """The call itself raises, before the caller begins to iterate."""
    async with EnkashClient("https://api.example", tokens=StaticTokenProvider("t")) as client:
        with pytest.raises(InvalidRequestError, match="category is empty"):
            client.billers.list("")


async def test_routes_can_be_overridden() -> None:
    """Client and sandbox take the path that EnKash tells the user."""
    routes = Routes(billers="/api/v3/billers")
    async with (
        Sandbox(routes=routes) as sandbox,
        EnkashClient.from_credentials(sandbox.base_url, sandbox.credentials, routes=routes) as client,
    ):
        assert [biller async for biller in client.billers.list()]
