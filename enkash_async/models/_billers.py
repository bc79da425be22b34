"""Billers and their categories."""

from __future__ import annotations

import attrs

from enkash_async.models._enums import BillerType
from enkash_async.models.base import Reply, hidden, member

__all__ = ["Biller", "BillerCategory", "BillerParam"]


@attrs.frozen(kw_only=True, repr=False)
class BillerParam(Reply):
    """An input that a biller asks for, such as the consumer number; in a bill, `value` holds what the payer gave.

    EnKash page: Bill Payment Webhook (api-12515630), `billerParams`.

    Attributes:
        key: Key of the input in `params`: `cn`, `ad1`, `ad2` or `ad3`.
        name: The biller's name for the input, such as `Consumer Number`.
        value: The value given for a bill; None in the list of inputs that a biller asks for.
    """

    key: str | None = member()
    name: str | None = member()
    value: str | None = member(repr=hidden)


@attrs.frozen(kw_only=True, repr=False)
class Biller(Reply):
    """A company whose bills can be paid.

    EnKash page: Bill Payment Webhook (api-12515630), `biller`; the page of the biller list itself is not public.

    Attributes:
        biller_id: The id to pass to `bills.fetch_current`; 0 if EnKash left the id out. Every call refuses 0.
        name: Name to show to the payer.
        biller_type: Category, such as `ELECTRICITY`.
        biller_params: Inputs to ask the payer for.
    """

    biller_id: int = member(0, strict=True)
    name: str | None = member(aliases=("billerName",))
    biller_type: BillerType | None = member(aliases=("category", "billerCategory"))
    biller_params: tuple[BillerParam, ...] = member(())


@attrs.frozen(kw_only=True, repr=False)
class BillerCategory(Reply):
    """A category of billers; EnKash does not document the reply, so a bare string is read as a name.

    Attributes:
        name: The word to pass to `billers.list(category=…)`, such as `ELECTRICITY`; empty if EnKash left it out.
    """

    name: str = member("", aliases=("billerType", "category", "categoryName", "billerCategory"))
