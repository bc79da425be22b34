"""`enkash webhook`: posts from one process to another, and the secrets that neither shows."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import shlex
import signal
import socket
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import click
import pytest
from yarl import URL

from enkash_async import EnkashClient
from enkash_async._support.secret import HiddenStr
from enkash_async.cli._webhook import _post
from enkash_async.cli._webhook_example import example
from enkash_async.cli._webhook_listen import Place, as_document, as_line, listen
from enkash_async.models import Bill, CompanyBiller
from enkash_async.sandbox import Sandbox
from enkash_async.webhooks import BillEvent, WebhookVerifier

from support import Enkash, RawServer, Reader, Run, Writer, raw_server, reply

SAMPLE = Path(__file__).parents[1] / "samples" / "webhook_bill.json"
HUSH = "hush-webhook-key"
HEADER = f"X-Webhook-Key={HUSH}"
NOWHERE = "http://127.0.0.1:9/"
AT = datetime(2026, 1, 31, 12, 30, 5, tzinfo=UTC)
BARE = {name: value for name, value in os.environ.items() if not name.startswith("ENKASH_")}


@pytest.fixture(autouse=True)
def no_headers_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENKASH_WEBHOOK_HEADERS", raising=False)


@attrs.frozen
class Listening:
    """A process that runs `enkash webhook listen`."""

    process: asyncio.subprocess.Process
    url: str
    second: str

    async def line(self) -> str:
        """Return the next line of standard output."""
        assert self.process.stdout is not None
        return (await asyncio.wait_for(self.process.stdout.readline(), 20)).decode()

    async def noted(self) -> str:
        """Return the next line of standard error."""
        assert self.process.stderr is not None
        return (await asyncio.wait_for(self.process.stderr.readline(), 20)).decode()

    async def end(self, number: signal.Signals | None = None) -> Run:
        """Wait for the end, after a signal where one is given, and return the remaining output."""
        if number is not None:
            self.process.send_signal(number)
        out, err = await asyncio.wait_for(self.process.communicate(), 20)
        assert self.process.returncode is not None
        return Run(self.process.returncode, out.decode(), err.decode())


@asynccontextmanager
async def listening(*argv: str, environ: Mapping[str, str] | None = None) -> AsyncIterator[Listening]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "enkash_async", "webhook", "listen", *argv),
        env=BARE | {"PYTHONIOENCODING": "utf-8"} | {**(environ or {})},
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        assert process.stderr is not None
        first, second = [(await asyncio.wait_for(process.stderr.readline(), 20)).decode() for _ in range(2)]
        where = re.match(r"Listening on (http://127\.0\.0\.1:\d+/\S*) until Ctrl-C", first)
        assert where is not None, first
        yield Listening(process, where[1], second)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def post(url: str, body: bytes, key: str = HUSH) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=io.BytesIO(body), headers={"X-Webhook-Key": key}) as answer,
    ):
        return answer.status


async def test_the_line_that_is_printed_can_be_pasted(cli: Enkash) -> None:
    """The printed command posts an event, which the listener shows masked."""
    async with listening() as listener:
        prefix, _, pasted = listener.second.partition(": enkash ")
        assert prefix == "In another shell"
        sent = await cli(*shlex.split(pasted), "--id", "U-1", "--reference", "inv 1", "--status", "SUCCESS")
        assert sent == Run(0, "HTTP 200 OK\n", "")
        assert re.fullmatch(
            r"\d\d:\d\d:\d\d  U-1  inv 1  ₹ 2,450\.75  PAID  approval=APPROVED  payment=SUCCESS  billpay=SUCCESS"
            r"  consumer=…4321  posted\n",
            await listener.line(),
        )
        assert await listener.end(signal.SIGINT) == Run(0, "", "")


async def test_what_is_refused_is_noted_in_one_line_each(cli: Enkash) -> None:
    """The line has no value, header or traceback; a duplicate gets 200 and is not shown."""
    environ = {"ENKASH_WEBHOOK_HEADERS": f"{HEADER}\n\nx-webhook-key=older-{HUSH}\n"}
    async with listening("--path", "/enkash", environ=environ) as listener:
        assert listener.second == "A post has to carry: X-Webhook-Key\n"
        assert await post(listener.url, example(), "wrong-key") == 401
        assert await post(listener.url, b"x" * (2**20 + 1)) == 413
        assert await post(listener.url, b'{"hush-body": NaN}') == 400
        assert await post(f"{listener.url}/elsewhere", example()) == 404
        await no_http(listener.url)
        for key in (HUSH, f"older-{HUSH}", HUSH):
            assert await post(listener.url, example(), key) == 200
        assert await post(listener.url, example(utility_enkash_id="U-2")) == 200
        ended = await listener.end(signal.SIGTERM)
    assert ended.code == 0
    assert [line.split("  ")[1] for line in ended.out.splitlines()] == ["UTIL-12345678", "U-2"]
    assert re.fullmatch(
        "HTTP 401: .* X-Webhook-Key .*\nHTTP 413: .*\nHTTP 400: .*\nHTTP 404: only posts to /enkash are received\n",
        ended.err,
    )
    assert not re.search("hush|wrong-key", ended.out + ended.err)


async def no_http(url: str) -> None:
    """Send bytes that aiohttp would log with the line itself, and wait for the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", URL(url).port)
    writer.write(f"POST / HTTP/1.1\r\nX-Webhook-Key\x00: {HUSH}\r\n\r\n".encode())
    assert b" 400 " in await reader.readline()
    writer.close()
    await writer.wait_closed()


async def test_a_bill_is_confirmed_before_it_is_shown(sandbox: Sandbox, client: EnkashClient) -> None:
    """The listener asks the sandbox, prints a document per event and ends with the last one."""
    options = ("--confirm", "--json", "--count", "2", "--header", HEADER)
    async with listening(*options, environ=sandbox.environ()) as listener:
        await client.webhooks.register(listener.url, headers={"X-Webhook-Key": HUSH})
        bill = await client.bills.create(2001, {"cn": "123456789"}, reference_id="inv-1", bill_amount=Decimal("10.50"))
        first = json.loads(await listener.line(), parse_float=str)
        assert (first["amount"], first["outcome"], first["source"]) == ("10.50", "PENDING", "confirmed")
        await client.payments.confirm_debit([bill.utility_enkash_id])
        ended = await listener.end()
    assert (ended.code, ended.err) == (0, "")
    second = ended.json
    assert (second["utility_enkash_id"], second["reference_id"]) == (bill.utility_enkash_id, "inv-1")
    assert (second["outcome"], second["type"]) == ("PAID", "UTILITY_BILLPAY_SUCCESS")
    assert second["consumer_number"] == "…6789"
    assert first["key"] != second["key"]


async def test_the_end_before_enough_events_has_its_own_exit_code() -> None:
    """A script learns that its events have not come, and the header stays hidden."""
    async with listening("--count", "2", "--header", HEADER) as listener:
        assert await post(listener.url, example()) == 200
        assert "UTIL-12345678" in await listener.line()
        assert await listener.end(signal.SIGINT) == Run(130, "", "enkash: stopped\n")


@asynccontextmanager
async def inside(show: Callable[[BillEvent], None], most: int | None = None) -> AsyncIterator[tuple[str, Any]]:
    """Listen in a task of this loop, and yield the URL and the task."""
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    verifier = WebhookVerifier({"X-Webhook-Key": HUSH})
    task = asyncio.create_task(
        listen(Place("127.0.0.1", 0, "/"), verifier, show=show, most=most, announce=url.set_result)
    )
    try:
        yield await asyncio.wait_for(url, 20), task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_enough_events_are_no_more_than_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """The listener does not answer a surplus event as if it had been shown."""
    events: list[BillEvent] = []
    async with inside(events.append, 1) as (url, task):
        posts = [asyncio.create_task(post(url, example(utility_enkash_id=f"U-{number}"))) for number in range(5)]
        found = await asyncio.gather(*posts, return_exceptions=True)
        assert await asyncio.wait_for(task, 20) is True
    assert len(events) == 1
    assert [answer for answer in found if answer == 200] == [200]
    assert capsys.readouterr().err == ""


async def test_what_cannot_be_shown_ends_it() -> None:
    """The listener answers 500, so that another one can get the resend."""
    problem = BrokenPipeError()

    def show(event: BillEvent) -> None:
        raise problem

    async with inside(show) as (url, task):
        assert await post(url, example()) == 500
        await asyncio.wait([task], timeout=20)
        assert task.exception() is problem


@pytest.mark.parametrize("options", [(), ("--json",)])
async def test_a_reader_that_leaves_is_no_traceback(options: tuple[str, ...]) -> None:
    """The process ends with one line and code 1, as in `enkash webhook listen | head -1`."""
    async with listening("--header", HEADER, *options) as listener:
        assert listener.process.stdout is not None
        listener.process.stdout._transport.close()  # type: ignore[attr-defined]
        assert await post(listener.url, example()) == 500
        assert listener.process.stderr is not None
        said = await asyncio.wait_for(listener.process.stderr.read(), 20)
        assert said == b"enkash: not everything could be printed: the pipe was closed\n"
        assert await listener.process.wait() == 1


class TestShown:
    BILL = Bill(utility_enkash_id="U-1", consumer_number="123456789", reference_id="a\x1b[31m\nb")

    def test_what_is_missing_is_a_dash(self) -> None:
        """The line has no text that could steer the terminal."""
        line = as_line(BillEvent(posted=self.BILL, key="k"), AT)
        assert line == (
            "12:30:05  U-1  a\\x1b[31m b  no amount  PENDING  approval=-  payment=-  billpay=-  consumer=…6789  posted"
        )

    def test_a_reference_alone_will_do(self) -> None:
        """The document has null as the id."""
        event = BillEvent(posted=Bill(reference_id="inv-1"), key="k")
        assert "  -  inv-1  " in as_line(event, AT)
        assert as_document(event, AT)["utility_enkash_id"] is None

    @pytest.mark.parametrize(("number", "shown"), [("12345", "…2345"), ("1234", "…"), ("", None), (None, None)])
    def test_a_consumer_number_is_masked_wherever_it_stands(self, number: str | None, shown: str | None) -> None:
        """The document shows the last four digits alone, and none of a number that has only four."""
        outer = Bill(utility_enkash_id="U-1", consumer_number=number)
        inner = Bill(utility_enkash_id="U-1", company_biller=CompanyBiller(consumer_number=number))
        for bill in (outer, inner):
            assert as_document(BillEvent(posted=bill, key="k"), AT)["consumer_number"] == shown


class TestExample:
    def test_it_has_the_documented_shape(self) -> None:
        """The body has the example's names and types, in its order."""
        assert shape(json.loads(example())) == shape(json.loads(SAMPLE.read_bytes()))

    def test_options_replace_values(self) -> None:
        """The options change nothing else, and amounts keep their digits."""
        plain = json.loads(example(), parse_float=str)
        changed = json.loads(example(utility_enkash_id="U", reference_id="R", status="W"), parse_float=str)
        assert changed == plain | {
            "utilityEnkashId": "U",
            "referenceId": "R",
            "paymentStatus": "W",
            "billpayStatus": "W",
        }
        assert plain["earlyPaymentAmount"] == "2400.00"


def shape(value: Any) -> Any:
    match value:
        case dict():
            return [(name, shape(item)) for name, item in value.items()]
        case list():
            return [shape(item) for item in value]
        case _:
            return type(value)


class TestWrong:
    @pytest.mark.parametrize(
        ("argv", "said"),
        [
            (("send", NOWHERE), "write --header X-Webhook-Key=…, or set ENKASH_WEBHOOK_HEADERS to such lines"),
            (("send", NOWHERE, "--header", HEADER, "--header", f"x-webhook-key={HUSH}"), "is given twice"),
            (("send", NOWHERE, HEADER), "there are words too many (1); a header is given as --header NAME=VALUE"),
            (("send", HEADER), "url must be a URL such as"),
            (("send", f"https://me:{HUSH}@host.example/", "--header", HEADER), "url must not hold a user"),
            (("send", f"http://host.example/?{HUSH}", "--header", HEADER), "url must be https"),
            (("listen", "--host", "0.0.0.0"), "with --host, other machines can post: give --header"),
            (("listen", "--host", ""), "with --host, other machines can post: give --header"),
            (("listen", "--path", "enkash"), "write a path such as /enkash"),
            (("listen", "--path", "/{id}"), "write a path such as /enkash"),
            (("listen", "--count", "0"), "0 is not in the range"),
            (("listen", "--confirm"), "set the environment variables ENKASH_BASE_URL"),
        ],
    )
    async def test_a_wrong_argument_is_told_in_one_line(self, cli: Enkash, argv: tuple[str, ...], said: str) -> None:
        """The command exits with 2 and repeats no secret."""
        self.wrong(await cli("webhook", *argv), said)

    @pytest.mark.parametrize(
        "word", [HUSH, f"={HUSH}", "X-Key=", f"X Key={HUSH}", f"X= {HUSH}", "X=\u0939", f"{HUSH}=="]
    )
    @pytest.mark.parametrize("command", [("listen",), ("send", NOWHERE)])
    async def test_a_header_that_is_none(
        self, cli: Enkash, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], word: str
    ) -> None:
        """The command refuses it as an option and in the variable, whose lines are stripped."""
        self.wrong(await cli("webhook", *command, "--header", word), "write NAME=VALUE, such as X-Webhook-Key=…")
        monkeypatch.setenv("ENKASH_WEBHOOK_HEADERS", f"A=b\n{word}")
        self.wrong(await cli("webhook", *command), "'ENKASH_WEBHOOK_HEADERS')")

    def wrong(self, run: Run, said: str) -> None:
        assert (run.code, run.out) == (2, "")
        assert run.err.startswith("enkash: ")
        assert run.err.count("\n") == 1
        assert said in run.err
        assert "hush" not in run.err

    async def test_a_taken_port(self, cli: Enkash) -> None:
        """The command exits with 1 and one line."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            run = await cli("webhook", "listen", "--port", str(taken.getsockname()[1]))
        assert (run.code, run.out) == (1, "")
        assert re.fullmatch(r"enkash: cannot listen: .*address already in use.*\n", run.err, re.IGNORECASE)

    @pytest.mark.parametrize("command", ["listen", "send"])
    async def test_help_names_the_variable(self, cli: Enkash, command: str) -> None:
        """The help says why the variable exists."""
        run = await cli("webhook", command, "--help")
        assert run.code == 0
        assert "ENKASH_WEBHOOK_HEADERS, one NAME=VALUE a line" in run.out
        assert "list of processes" in " ".join(run.out.split())


def answering(status: str, *headers: str) -> Callable[[RawServer, Reader, Writer], Awaitable[None]]:
    async def handle(server: RawServer, reader: Reader, writer: Writer) -> None:
        await server.read_request(reader)
        writer.write(reply(b"", status, *headers))
        await writer.drain()

    return handle


class TestSend:
    async def test_the_headers_of_the_variable_go_out(self, cli: Enkash, monkeypatch: pytest.MonkeyPatch) -> None:
        """The post has their spaces and signs, and an option replaces them."""
        monkeypatch.setenv("ENKASH_WEBHOOK_HEADERS", f"  X-One={HUSH} = 1==\r\nX-Two=2\n")
        async with raw_server(answering("204 No Content")) as server:
            assert await cli("webhook", "send", server.base_url, "--json") == Run(0, '{"status":204}\n', "")
            await cli("webhook", "send", server.base_url, "--header", "X-Two=other")
        first, second = server.requests
        assert first.startswith(b"POST / HTTP/1.1\r\n")
        assert f"\r\nX-One: {HUSH} = 1==\r\nX-Two: 2\r\n".encode() in first
        assert b"\r\nContent-Type: application/json\r\n" in first
        assert first.endswith(example())
        assert b"\r\nX-Two: other\r\n" in second
        assert b"X-One" not in second

    @pytest.mark.parametrize(("status", "told"), [("401 Hm", "HTTP 401 Unauthorized"), ("599 \x1b[31m", "HTTP 599")])
    async def test_another_answer_is_a_failure(self, cli: Enkash, status: str, told: str) -> None:
        """The message has the package's words, not the server's."""
        async with raw_server(answering(status)) as server:
            assert await cli("webhook", "send", server.base_url, "--header", HEADER) == Run(1, f"{told}\n", "")

    async def test_a_redirect_is_not_followed(self, cli: Enkash) -> None:
        """The header goes to no other server."""
        async with raw_server(answering("307 Away", "Location: /other")) as server:
            assert (await cli("webhook", "send", server.base_url, "--header", HEADER)).code == 1
        assert len(server.requests) == 1

    async def test_nobody_there_is_one_line(self, cli: Enkash) -> None:
        """The command exits with 1 and hides the URL's query and the header."""
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{closed.getsockname()[1]}/?key={HUSH}"
            run = await cli("webhook", "send", url, "--header", HEADER)
        assert (run.code, run.out) == (1, "")
        assert re.fullmatch(r"enkash: nothing was posted: no connection \(.*\)\n", run.err)
        assert "hush" not in run.err

    async def test_no_http_and_no_tls_are_one_line(self, cli: Enkash) -> None:
        """The command exits with one line for any other protocol."""

        async def nonsense(server: RawServer, reader: Reader, writer: Writer) -> None:
            await reader.read(1)
            writer.write(b"nonsense\r\n\r\n")
            await writer.drain()

        async with raw_server(nonsense) as server:
            plain = await cli("webhook", "send", server.base_url, "--header", HEADER)
            secure = await cli("webhook", "send", server.base_url.replace("http", "https"), "--header", HEADER)
        assert (plain.code, secure.code) == (1, 1)
        assert re.fullmatch(r"enkash: no answer: \w+\n", plain.err)
        assert secure.err.startswith("enkash: nothing was posted: there is no TLS with that URL")

    async def test_a_silent_receiver_is_given_up(self) -> None:
        """The command waits for the given time."""

        async def silence(server: RawServer, reader: Reader, writer: Writer) -> None:
            await reader.read()

        async with raw_server(silence) as server:
            with pytest.raises(click.ClickException, match=r"no answer within 0\.05 s"):
                await _post(HiddenStr(server.base_url), {"X-Key": HiddenStr("value")}, b"{}", patience=0.05)
