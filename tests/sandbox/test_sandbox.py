"""The sandbox as users start it: in a test, and from a shell."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import signal
import socket
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator

import aiohttp
import attrs
import pytest

from enkash_async.sandbox import FaultKind, Sandbox
from enkash_async.sandbox.__main__ import main
from enkash_async.sandbox._serve import serve
from enkash_async.tokens._credentials import Credentials


def _basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


async def log_in(sandbox: Sandbox, session: aiohttp.ClientSession) -> str:
    ours = sandbox.environ()
    form = {
        "grant_type": "password",
        "username": ours["ENKASH_USERNAME"],
        "password": ours["ENKASH_PASSWORD"],
        "clientId": ours["ENKASH_FORM_CLIENT_ID"],
    }
    headers = {"Authorization": _basic(ours["ENKASH_CLIENT_ID"], ours["ENKASH_CLIENT_SECRET"])}
    async with session.post(f"{ours['ENKASH_BASE_URL']}/oauth/token", data=form, headers=headers) as reply:
        assert reply.status == 200
        return str((await reply.json())["accessToken"])


async def status_of(sandbox: Sandbox, session: aiohttp.ClientSession, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    async with session.get(f"{sandbox.base_url}/api/v2/biller", headers=headers) as reply:
        return reply.status


async def create_late(sandbox: Sandbox, session: aiohttp.ClientSession, token: str, delay: float) -> None:
    sandbox.faults.add("add_bill", FaultKind.LATE, delay=delay)
    headers, body = {"Authorization": f"Bearer {token}"}, {"billerId": 2001, "billParams": {"cn": "CN123456789"}}
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await session.post(f"{sandbox.base_url}/api/v2/biller/addBill", json=body, headers=headers)


class StopWhenAnnounced(io.StringIO):
    """Standard output that ends the program once it has said where it listens."""

    def flush(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield int(taken.getsockname()[1])


class TestSandbox:
    async def test_its_environment_leads_to_it(self) -> None:
        """A program that reads the variables can log in and make calls."""
        async with Sandbox() as sandbox, aiohttp.ClientSession() as session:
            assert sandbox.base_url.startswith("http://127.0.0.1:")
            assert await status_of(sandbox, session, await log_in(sandbox, session)) == 200
            assert sandbox.counts == {"token": 1, "billers": 1}

    async def test_revoked_tokens_are_refused(self) -> None:
        """The sandbox answers 401 to a revoked token and 200 to the token of a new login."""
        async with Sandbox() as sandbox, aiohttp.ClientSession() as session:
            token = await log_in(sandbox, session)
            sandbox.revoke_tokens()
            assert await status_of(sandbox, session, token) == 401
            assert await status_of(sandbox, session, await log_in(sandbox, session)) == 200

    async def test_own_credentials_are_used(self) -> None:
        """The environment repeats the client id where no other one is set for the form."""
        ours = Credentials("another-demo-client", "s", "clerk@example.com", "p")
        async with Sandbox(credentials=ours) as sandbox, aiohttp.ClientSession() as session:
            assert sandbox.credentials == ours
            assert sandbox.environ()["ENKASH_FORM_CLIENT_ID"] == "another-demo-client"
            await log_in(sandbox, session)

    async def test_its_clock_can_be_passed_in(self) -> None:
        """A token expires when the given clock says so, without a wait."""
        now = [0.0]
        async with (
            Sandbox(token_lifetime=300.0, clock=lambda: now[0]) as sandbox,
            aiohttp.ClientSession() as session,
        ):
            token = await log_in(sandbox, session)
            now[0] = 300.0
            assert await status_of(sandbox, session, token) == 401

    async def test_late_work_follows_its_clock(self) -> None:
        """The bill is created when the given clock says so, without a wait."""
        now = [0.0]
        async with Sandbox(clock=lambda: now[0]) as sandbox, aiohttp.ClientSession() as session:
            await create_late(sandbox, session, await log_in(sandbox, session), delay=150.0)
            now[0] = 149.0
            await asyncio.sleep(0.05)
            assert sandbox.ledger.search() == []
            now[0] = 150.0
            await sandbox.late_work()
            assert len(sandbox.ledger.search()) == 1

    async def test_it_listens_on_another_address(self) -> None:
        """The URL has an IPv6 address in brackets."""
        try:
            async with Sandbox(host="::1") as sandbox, aiohttp.ClientSession() as session:
                assert sandbox.base_url.startswith("http://[::1]:")
                await log_in(sandbox, session)
        except OSError:
            pytest.skip("this computer has no IPv6")

    async def test_it_has_no_address_before_it_is_started(self) -> None:
        """The message says how to start it."""
        with pytest.raises(RuntimeError, match="async with"):
            _ = Sandbox().base_url

    async def test_it_is_used_once(self) -> None:
        """The sandbox refuses a second start, which would keep the first one's bills."""
        sandbox = Sandbox()
        async with sandbox:
            pass
        with pytest.raises(RuntimeError, match="make a new one"):
            async with sandbox:
                pass

    async def test_a_taken_port_is_an_os_error(self, taken_port: int) -> None:
        """The sandbox raises it and leaves nothing open."""
        with pytest.raises(OSError, match=str(taken_port)):
            async with Sandbox(port=taken_port):
                pass

    async def test_a_slow_request_does_not_hold_up_the_end(self) -> None:
        """The sandbox closes at once and cuts off a request that would take an hour."""
        async with aiohttp.ClientSession() as session:
            async with Sandbox() as sandbox:
                sandbox.faults.add("token", FaultKind.SLOW, delay=3600.0)
                slow = asyncio.create_task(log_in(sandbox, session))
                while not sandbox.counts["token"]:
                    await asyncio.sleep(0)
                begun = time.monotonic()
            assert time.monotonic() - begun < 30  # of an hour
            with pytest.raises(aiohttp.ClientError):
                await slow

    async def test_dropped_connections_leave_nothing_behind(self) -> None:
        """The sandbox leaves no open socket, whose warning would fail this suite."""
        async with Sandbox() as sandbox, aiohttp.ClientSession() as session:
            for kind in (FaultKind.DROP_BEFORE, FaultKind.DROP_AFTER, FaultKind.TRUNCATED):
                sandbox.faults.add("token", kind)
                with pytest.raises(aiohttp.ClientError):
                    await log_in(sandbox, session)

    async def test_late_work_can_be_waited_for(self) -> None:
        """The wait ends at once where no work is late."""
        async with Sandbox() as sandbox, aiohttp.ClientSession() as session:
            await sandbox.late_work()
            token = await log_in(sandbox, session)
            for delay in (0.0, 0.05):
                await create_late(sandbox, session, token, delay)
            await sandbox.late_work()
            assert len(sandbox.ledger.search()) == 2

    async def test_the_end_drops_late_work(self) -> None:
        """The sandbox closes without waiting and leaves no task."""
        async with aiohttp.ClientSession() as session:
            async with Sandbox() as sandbox:
                token = await log_in(sandbox, session)
                await create_late(sandbox, session, token, delay=3600.0)
            assert asyncio.all_tasks() == {asyncio.current_task()}
            await sandbox.late_work()
        assert sandbox.ledger.search() == []

    @pytest.mark.parametrize(("sandbox", "debits"), [(Sandbox(), 1), (Sandbox(repeat_debits=True), 2)])
    def test_a_second_confirmation_can_be_made_to_cost(self, sandbox: Sandbox, debits: int) -> None:
        """The sandbox ignores it by default and debits again when told to."""
        consumer = sandbox.ledger.enrol(2001, {"cn": "CN1"})
        key = sandbox.ledger.create(consumer, sandbox.ledger.due(consumer)).utility_enkash_id
        for _ in range(2):
            sandbox.ledger.confirm([key])
        assert len(sandbox.ledger.debits) == debits

    def test_made_up_credentials_look_like_enkash_ones(self) -> None:
        """Every part has a value, and the repr hides the secrets."""
        ours = Sandbox().credentials
        assert all(attrs.astuple(ours))
        assert ours.password not in repr(ours)


class TestProgram:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    async def test_it_runs_until_a_signal(self, number: signal.Signals) -> None:
        """The announcement gets the sandbox while it listens."""
        seen: list[Sandbox] = []

        def announce(sandbox: Sandbox) -> None:
            seen.append(sandbox)
            os.kill(os.getpid(), number)

        sandbox = Sandbox()
        await serve(sandbox, announce=announce)
        assert seen == [sandbox]
        assert sandbox.base_url

    def test_the_shell_gets_lines_to_paste(self) -> None:
        """The program prints address and variables and ends silently at a signal."""
        command = [sys.executable, "-m", "enkash_async.sandbox", "--settle-after", "2", "--token-lifetime", "60"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
            assert program.stdout is not None
            url = program.stdout.readline().strip()
            exports = [program.stdout.readline().strip() for _ in range(6)]
            program.send_signal(signal.SIGINT)
            _, errors = program.communicate(timeout=10)
        assert exports[0] == f"export ENKASH_BASE_URL={url}"
        assert all(line.startswith("export ENKASH_") for line in exports)
        assert (program.returncode, errors) == (0, "")

    def test_main_ends_with_zero(self) -> None:
        """`main` returns 0 in the caller's process as well."""
        with contextlib.redirect_stdout(StopWhenAnnounced()) as printed:
            assert main([]) == 0
        assert "export ENKASH_BASE_URL=http://127.0.0.1:" in printed.getvalue()

    def test_a_taken_port_is_told_in_one_line(self, taken_port: int, capsys: pytest.CaptureFixture[str]) -> None:
        """The program returns 1 and prints the reason without a traceback."""
        assert main(["--port", str(taken_port)]) == 1
        assert "the sandbox cannot start: " in capsys.readouterr().err

    @pytest.mark.parametrize("wrong", [["--port", "70000"], ["--token-lifetime", "0"], ["--settle-after", "-1"]])
    def test_a_number_out_of_range_is_told_in_one_line(
        self, wrong: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The program returns 1 and prints the reason without a traceback."""
        assert main(wrong) == 1
        assert "the sandbox cannot start: " in capsys.readouterr().err
