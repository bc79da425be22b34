"""The invented billers of the sandbox: a few ordinary ones, and one for each failure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import attrs

__all__ = ["BILLERS", "CIRCLES", "Biller", "Input", "categories"]

# EnKash's list has no separators. The last word may be three towns; they form one supply area, so here it is a circle.
# fmt: off
CIRCLES = frozenset((
    "AP", "ASM", "BIH", "CHE", "DEL", "GUJ", "HAR", "HP", "JK", "KK", "KER", "KOL", "MAH", "MP", "MUM", "NE",
    "ORI", "PUN", "RAJ", "TN", "UPE", "UPW", "WB", "ALL", "AGRA", "AHM", "BHIWANDI", "SURAT", "SHILMUMBRAKALWA",
))
# fmt: on


@attrs.frozen
class Input:
    """An input that a biller needs to find the bill.

    Args:
        key: Key in `billParams`: `cn`, `ad1` or `ad2`.
        name: Label to show in a form.
        required: Whether the biller refuses a request without it.

    EnKash page: Setup Webhook Endpoint (api-12515630), `billerParams`.
    """

    key: str
    name: str
    required: bool = True


_CONSUMER = (Input("cn", "Consumer Number"),)


@attrs.frozen(kw_only=True)
class Biller:
    """A company that sends bills, and how the company behaves in the sandbox.

    Args:
        biller_id: EnKash's id of the biller (int32).
        name: Name to show.
        biller_type: Category, such as `ELECTRICITY`.
        inputs: Inputs that the biller needs to find a bill.
        active: False answers every request for the biller with 422.
        circles: Circles of the biller, one of which a request must name; empty for a biller without circles.
        fetch_failure: The `statusMessage` that a fetch returns instead of a bill; None returns the bill.
        rejections: Times that the biller rejects each payment. A rejected payment is FAILED; after the last try it is
            refunded.
        reinitiations: Times that EnKash tries a rejected payment again.
        confirmable: False refuses to confirm the debits of the biller's bills.

    EnKash page: Fetch Biller List; its reply is not publicly documented, the names come from api-12515630.
    """

    biller_id: int
    name: str
    biller_type: str
    inputs: tuple[Input, ...] = _CONSUMER
    active: bool = True
    circles: frozenset[str] = frozenset()
    fetch_failure: str | None = None
    rejections: int = 0
    reinitiations: int = 0
    confirmable: bool = True


BILLERS = (
    Biller(biller_id=2001, name="Sahyadri Electricity", biller_type="ELECTRICITY"),
    Biller(
        biller_id=2002,
        name="Deccan Power Distribution",
        biller_type="ELECTRICITY",
        inputs=(*_CONSUMER, Input("ad1", "Billing Unit"), Input("ad2", "Processing Cycle", required=False)),
    ),
    Biller(
        biller_id=2003,
        name="Twin Towns Power",
        biller_type="ELECTRICITY",
        circles=frozenset({"AGRA", "AHM", "BHIWANDI", "SURAT"}),
    ),
    Biller(biller_id=2101, name="Godavari Water Board", biller_type="WATER"),
    Biller(biller_id=2102, name="Old Wells Water Supply", biller_type="WATER", active=False),
    Biller(biller_id=2201, name="Monsoon Broadband", biller_type="BROADBAND", inputs=(Input("cn", "Account Number"),)),
    Biller(
        biller_id=2202,
        name="Silent Fibre",
        biller_type="BROADBAND",
        fetch_failure="Unable to fetch the bill: the biller did not answer",
    ),
    Biller(biller_id=2301, name="Konkan Piped Gas", biller_type="GAS", inputs=(Input("cn", "BP Number"),)),
    Biller(biller_id=2302, name="Returning Gas Company", biller_type="GAS", rejections=1),
    Biller(biller_id=2303, name="Second Try Gas", biller_type="GAS", rejections=1, reinitiations=1),
    Biller(biller_id=2304, name="Two Tries Gas", biller_type="GAS", rejections=2, reinitiations=1),
    Biller(biller_id=2305, name="Unapproved Gas", biller_type="GAS", confirmable=False),
    Biller(
        biller_id=2401,
        name="Banyan Mobile Postpaid",
        biller_type="MOBILE_POSTPAID",
        inputs=(Input("cn", "Mobile Number"), Input("ad1", "Relationship Number", required=False)),
    ),
)


def categories(billers: Iterable[Biller]) -> dict[str, int]:
    """Return the number of billers in each category, in the order in which the categories first appear."""
    return dict(Counter(biller.biller_type for biller in billers))
