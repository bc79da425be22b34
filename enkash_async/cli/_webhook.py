"""`enkash webhook listen` shows posts as they arrive; `enkash webhook send` posts an example to a receiver."""

from __future__ import annotations

import http
import re
import secrets
import shlex
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias, TypeVar

import aiohttp
import click
from click.types import StringParamType
from yarl import URL

from enkash_async._support.headers import checked_headers
from enkash_async._support.secret import HiddenStr
from enkash_async._support.urls import checked_url, is_loopback
from enkash_async.cli._errors import Exit
from enkash_async.cli._output import json_option, note, print_json, print_line
from enkash_async.cli._run import finish, with_client
from enkash_async.cli._webhook_example import example
from enkash_async.cli._webhook_listen import Place, as_document, as_line, listen
from enkash_async.client import EnkashClient
from enkash_async.errors import InvalidRequestError
from enkash_async.webhooks import BillEvent, WebhookVerifier

__all__ = ["webhook"]

Accepted: TypeAlias = Mapping[str, Sequence[HiddenStr]]
F = TypeVar("F", bound=Callable[..., Any])

_VARIABLE = "ENKASH_WEBHOOK_HEADERS"
_MADE_UP = "X-Webhook-Key"
_MALFORMED = (
    f"write NAME=VALUE, such as {_MADE_UP}=…, in ASCII, with no space at either end of the value: is a variable that "
    "it is made of not set?"
)
_PATH = re.compile(r"/[A-Za-z0-9._~/-]*")  # characters that need no escape in a URL and mean nothing to a router
_PATIENCE = 10.0  # seconds for a receiver to answer


class _Words(StringParamType):
    """Words in an environment variable, one on each line; click itself would split at every space."""

    def split_envvar_value(self, rv: str) -> Sequence[str]:
        """Return the lines that are not empty."""
        return [line.strip() for line in rv.split("\n") if line.strip()]


def _as_headers(ctx: click.Context, parameter: click.Parameter, value: Sequence[str]) -> Accepted:
    """Return header values by name, ignoring case; error messages repeat no argument, since it may be a secret."""
    found: dict[str, list[HiddenStr]] = {}
    for word in value:
        name, _, text = word.partition("=")
        try:
            checked_headers({name: text})
        except InvalidRequestError:
            text = ""
        # Prevents a message that shows a secret: a user may give a base64 key without a name. The `=` at the end of the
        # key would then make the key look like a name, and messages show names.
        if not text.strip("="):
            raise click.BadParameter(_MALFORMED, ctx, parameter)
        known = next((other for other in found if other.lower() == name.lower()), name)
        found.setdefault(known, []).append(HiddenStr(text))
    return found


class _Discreet(click.Command):
    """Refuses extra arguments without showing them: one may be a secret whose `--header` was forgotten."""

    allow_extra_args = True

    def invoke(self, ctx: click.Context) -> Any:
        if ctx.args:
            ctx.fail(f"there are words too many ({len(ctx.args)}); a header is given as --header NAME=VALUE")
        return super().invoke(ctx)


def _as_url(ctx: click.Context, parameter: click.Parameter, value: str) -> HiddenStr:
    try:
        return HiddenStr(checked_url(value))
    except InvalidRequestError as problem:
        raise click.BadParameter(str(problem), ctx, parameter) from None


def _as_path(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
    if not _PATH.fullmatch(value):
        raise click.BadParameter("write a path such as /enkash, of letters, digits and . _ ~ / -", ctx, parameter)
    return value


def _header_option(purpose: str) -> Callable[[F], F]:
    return click.option(
        "--header",
        "headers",
        type=_Words(),
        multiple=True,
        callback=_as_headers,
        metavar="NAME=VALUE",
        envvar=_VARIABLE,
        show_envvar=True,
        help=purpose,
    )


@click.group()
def webhook() -> None:
    """Show EnKash's posts as they arrive, or post its example to a receiver.

    Other users of this machine can see the values of options in the list of processes. To hide headers from them, put
    the headers into ENKASH_WEBHOOK_HEADERS, one NAME=VALUE a line. The variable is read if there is no --header.
    """


@webhook.command("listen", cls=_Discreet)
@click.option("--port", type=click.IntRange(0, 65535), default=0, metavar="N", help="TCP port; 0 takes a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="NAME", help="Address to listen at.")
@click.option("--path", default="/", show_default=True, metavar="/PATH", callback=_as_path, help="Path of the URL.")
@_header_option(
    "Header that a post must carry; repeatable, also for several values of one name. Made up if you give none."
)
@click.option("--confirm", is_flag=True, help="Read every bill from EnKash before it is shown.")
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after N events.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document a line, with exact numbers.")
def listen_command(
    port: int,
    host: str,
    path: str,
    headers: Accepted,
    confirm: bool,
    count: int | None,
    as_json: bool,
) -> None:
    """Show posts about bills as they arrive, until Ctrl-C.

    A post without the right headers is refused; a post that repeats an earlier post is not shown again. Only the last
    four characters of a consumer number are shown. A line marked `posted` shows what the post says; anybody who knows
    the header may have written it. With --confirm, lines are marked `confirmed` and show what EnKash's API says; this
    needs the ENKASH_ variables of `enkash token`.

    You can put the headers into ENKASH_WEBHOOK_HEADERS, one NAME=VALUE a line, to keep them out of the list of
    processes.

    The command speaks plain HTTP, by default on 127.0.0.1 only. To receive EnKash's posts, put an https proxy or tunnel
    in front of it.
    """
    if not headers and not is_loopback(host):
        raise click.UsageError(
            f"with --host, other machines can post: give --header NAME=VALUE, or set {_VARIABLE} to such lines"
        )
    made_up = HiddenStr(secrets.token_urlsafe(24))
    verifier = WebhookVerifier(headers or {_MADE_UP: made_up})

    def announce(url: str) -> None:
        until = "Ctrl-C" if count is None else f"Ctrl-C or {count} event{'s' * (count > 1)}"
        note(f"Listening on {url} until {until}.")
        if headers:
            note(f"A post has to carry: {', '.join(headers)}")
        else:
            note(f"In another shell: enkash webhook send {shlex.quote(url)} --header {_MADE_UP}={shlex.quote(made_up)}")

    async def work(client: EnkashClient | None) -> bool:
        show = _print_document if as_json else _print_line
        return await listen(Place(host, port, path), verifier, client=client, show=show, most=count, announce=announce)

    if not (with_client(work) if confirm else finish(work(None))):
        raise click.Abort


def _print_line(event: BillEvent) -> None:
    print_line(as_line(event, datetime.now(UTC).astimezone()))


def _print_document(event: BillEvent) -> None:
    print_json(as_document(event, datetime.now(UTC).astimezone()))


@webhook.command(cls=_Discreet)
@click.argument("url", callback=_as_url)
@_header_option("Header of the post; repeatable.")
@click.option("--id", "utility_enkash_id", metavar="TEXT", help="EnKash's id of the bill.")
@click.option("--reference", metavar="TEXT", help="Your id of the bill.")
@click.option("--status", metavar="WORD", help="Of the bill and of its payment, such as SUCCESS.")
@json_option
def send(
    url: HiddenStr,
    headers: Accepted,
    utility_enkash_id: str | None,
    reference: str | None,
    status: str | None,
    as_json: bool,
) -> Exit:
    """Post EnKash's documented example, with made-up values, to URL, and print the HTTP status of the answer.

    URL must be https, or on this machine. A receiver handles equal posts once: change --id or --status for a new event.

    You can put the headers into ENKASH_WEBHOOK_HEADERS, one NAME=VALUE a line, to keep them out of the list of
    processes.

    The exit code is 0 for 2xx, and 1 for any other answer or no answer; redirects are not followed.
    """
    if not headers:
        raise click.UsageError(f"write --header {_MADE_UP}=…, or set {_VARIABLE} to such lines")
    if twice := [name for name, values in headers.items() if len(values) > 1]:
        raise click.UsageError(f"the header {twice[0]} is given twice")
    body = example(utility_enkash_id=utility_enkash_id, reference_id=reference, status=status)
    answered = finish(_post(url, {name: values[0] for name, values in headers.items()}, body))
    if as_json:
        print_json({"status": answered})
    else:
        print_line(f"HTTP {answered} {_PHRASES.get(answered, '')}".rstrip())
    return Exit.DONE if 200 <= answered < 300 else Exit.FAILED


_PHRASES = {status.value: status.phrase for status in http.HTTPStatus}


async def _post(url: HiddenStr, headers: Mapping[str, HiddenStr], body: bytes, *, patience: float = _PATIENCE) -> int:
    """Post once and return the HTTP status.

    Raises:
        click.ClickException: No answer came; the message repeats neither the URL nor a header.
    """
    try:
        async with (
            aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=patience)
            ) as session,
            session.post(
                URL(url), data=body, headers={"Content-Type": "application/json", **headers}, allow_redirects=False
            ) as reply,
        ):
            return reply.status
    except (aiohttp.ClientError, OSError, ValueError) as problem:  # ValueError: no resolver accepts the host name
        raise click.ClickException(_no_answer(problem, patience)) from None


def _no_answer(problem: Exception, patience: float) -> str:
    match problem:
        case TimeoutError():
            return f"no answer within {patience:g} s"
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
            return "nothing was posted: there is no TLS with that URL, or its certificate is not valid"
        case aiohttp.ClientConnectorError():
            return f"nothing was posted: no connection ({problem.os_error.strerror or type(problem.os_error).__name__})"
        case _:
            return f"no answer: {type(problem).__name__}"
