"""Turns command-line arguments into values: money, days, a biller's inputs; an error says what to write instead."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import click

from enkash_async._support import checks
from enkash_async._support.text import exact_rupees
from enkash_async.errors import InvalidRequestError

__all__ = ["BILLER_ID", "DAY", "SECONDS", "as_params", "as_reference", "as_rupees", "settle_option"]

BILLER_ID = click.IntRange(1, 2**31 - 1)


class _Seconds(click.FloatRange):
    """Seconds, 0 or more; refuses `nan`, which click accepts in every range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        seconds = float(super().convert(value, param, ctx))
        if math.isnan(seconds):
            self.fail("write a number of seconds, such as 300", param, ctx)
        return seconds


SECONDS = _Seconds(min=0)
DAY = click.DateTime(formats=["%Y-%m-%d"])


def as_rupees(ctx: click.Context, parameter: click.Parameter, value: str | None) -> Decimal | None:
    """Return an amount of rupees exactly as it was written."""
    amount = None if value is None else exact_rupees(value)
    if value is not None and amount is None:
        raise click.BadParameter(f"write rupees, at least 1, such as 2450.75, not {value!r}", ctx, parameter)
    return amount


def as_reference(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Return a reference after checking that it can be sent and looked up."""
    try:
        return None if value is None else checks.identifier(value, "the reference")
    except InvalidRequestError as problem:
        raise click.BadParameter(str(problem), ctx, parameter) from None


def as_params(ctx: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> dict[str, str]:
    """Return a biller's inputs from arguments such as `cn=123456789`; `cn` is always needed."""
    found: dict[str, str] = {}
    for word in value:
        name, equals, text = word.partition("=")
        if not (name.strip() and equals and text.strip()):
            raise click.BadParameter(f"write -p cn=123456789, not {word!r}", ctx, parameter)
        if name in found:
            raise click.BadParameter(f"{name!r} is given twice", ctx, parameter)
        found[name] = text
    if "cn" not in found:
        raise click.BadParameter("the consumer number is always needed: write -p cn=123456789", ctx, parameter)
    try:
        return checks.bill_params(found)
    except InvalidRequestError as problem:
        raise click.BadParameter(str(problem), ctx, parameter) from None


settle_option = click.option(
    "--settle",
    type=SECONDS,
    default=120.0,  # EnKash advises to enquire after two to three minutes
    show_default=True,
    metavar="SECONDS",
    help="How long to look up the effect of a call that ended unclearly.",
)
