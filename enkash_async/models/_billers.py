"""Billers and their categories."""

from __future__ import annotations

import attrs

from enkash_async.models._enums import BillerType
from enkash_async.models.base import Reply, hidden, member

__all__ = ["Biller", "BillerCategory", "BillerParam"]


@attrs.frozen(kw_only=True, repr=False)
class BillerParam(Reply):
    """One input that a biller asks for, or one that a bill was paid with.

    EnKash page: Bill Payment Webhook (api-12515630), `billerParams`.

    Attributes:
        key: What to write in `params`: `cn`, `ad1`, `ad2`, `ad3`.
        name: What the biller calls it, such as `Consumer Number`.
        value: The value of a bill; None in a biller's own list.
    """

    key: str | None = member()
    name: str | None = member()
    value: str | None = member(repr=hidden)


@attrs.frozen(kw_only=True, repr=False)
class Biller(Reply):
    """A company whose bills can be paid.

    EnKash page: Bill Payment Webhook (api-12515630), `biller`; the page of the biller list itself is not public.

    Attributes:
        biller_id: What `bills.fetch_current` takes; 0 if EnKash left it out, which every call refuses.
        name: Name to show.
        biller_type: Category, such as `ELECTRICITY`.
        biller_params: The inputs to ask the payer for.
    """

    biller_id: int = member(0)
    name: str | None = member(wire=("billerName",))
    biller_type: BillerType | None = member(wire=("category", "billerCategory"))
    biller_params: tuple[BillerParam, ...] = member(())


@attrs.frozen(kw_only=True, repr=False)
class BillerCategory(Reply):
    """A kind of biller; the shape of EnKash's reply is not documented, so a bare word is understood as well.

    Attributes:
        name: What `billers.list(category=…)` takes; empty if EnKash left it out.
    """

    name: str = member("", wire=("billerType", "category", "categoryName", "billerCategory"))
