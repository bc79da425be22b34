"""Words of the command line as values: money, days, a biller's inputs; a wrong one says what to write."""

from __future__ import annotations

import re
from decimal import Decimal

import click

from enkash_async import _checks as checks
from enkash_async.errors import InvalidRequestError

__all__ = ["BILLER_ID", "DAY", "as_params", "as_reference", "as_rupees"]

# Plain ASCII digits: Decimal would take `1_000`, `1e9`, `NaN` and the digits of other scripts as well.
_RUPEES = re.compile(r"[0-9]{1,15}(\.[0-9]{1,2})?")

BILLER_ID = click.IntRange(1, 2**31 - 1)
DAY = click.DateTime(formats=["%Y-%m-%d"])


def as_rupees(ctx: click.Context, parameter: click.Parameter, value: str | None) -> Decimal | None:
    """Return an amount exactly as it was written."""
    if value is None:
        return None
    if not _RUPEES.fullmatch(value) or Decimal(value) < 1:
        raise click.BadParameter(f"write rupees, at least 1, such as 2450.75, not {value!r}", ctx, parameter)
    return Decimal(value)


def as_reference(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Return a reference that can be sent and looked up."""
    try:
        return None if value is None else checks.identifier(value, "the reference")
    except InvalidRequestError as problem:
        raise click.BadParameter(str(problem), ctx, parameter) from None


def as_params(ctx: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> dict[str, str]:
    """Return a biller's inputs from words such as `cn=123456789`."""
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
