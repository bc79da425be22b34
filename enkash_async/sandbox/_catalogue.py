"""The billers of the sandbox: made up, a few for the usual case and one for each thing that can go wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import attrs

__all__ = ["BILLERS", "CIRCLES", "Biller", "Input", "categories"]

# The last word may be three in EnKash's unseparated list; it is kept whole, as the towns form one supply area.
# fmt: off
CIRCLES = frozenset((
    "AP", "ASM", "BIH", "CHE", "DEL", "GUJ", "HAR", "HP", "JK", "KK", "KER", "KOL", "MAH", "MP", "MUM", "NE",
    "ORI", "PUN", "RAJ", "TN", "UPE", "UPW", "WB", "ALL", "AGRA", "AHM", "BHIWANDI", "SURAT", "SHILMUMBRAKALWA",
))
# fmt: on


@attrs.frozen
class Input:
    """One thing that a biller asks for to find the bill.

    Args:
        key: `cn`, `ad1` or `ad2`, the key in `billParams`.
        name: What a form would show beside it.
        required: Whether the biller refuses to go on without it.

    EnKash page: Setup Webhook Endpoint (api-12515630), `billerParams`.
    """

    key: str
    name: str
    required: bool = True


_CONSUMER = (Input("cn", "Consumer Number"),)


@attrs.frozen(kw_only=True)
class Biller:
    """A company that sends bills, and how it behaves here.

    Args:
        biller_id: EnKash's number for it (int32).
        name: Its name.
        biller_type: Its category, such as `ELECTRICITY`.
        inputs: What it asks for.
        active: False answers every request for it with 422.
        circles: The circles it serves, one of which a request has to name; empty for a biller without circles.
        fetch_failure: The `statusMessage` that a fetch gives in place of a bill; None shows the bill.
        rejects_payments: Whether its payments end as FAILED and are refunded.

    EnKash page: Fetch Biller List; its reply is not publicly documented, the names come from api-12515630.
    """

    biller_id: int
    name: str
    biller_type: str
    inputs: tuple[Input, ...] = _CONSUMER
    active: bool = True
    circles: frozenset[str] = frozenset()
    fetch_failure: str | None = None
    rejects_payments: bool = False


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
    Biller(biller_id=2302, name="Returning Gas Company", biller_type="GAS", rejects_payments=True),
    Biller(
        biller_id=2401,
        name="Banyan Mobile Postpaid",
        biller_type="MOBILE_POSTPAID",
        inputs=(Input("cn", "Mobile Number"), Input("ad1", "Relationship Number", required=False)),
    ),
)


def categories(billers: Iterable[Biller]) -> dict[str, int]:
    """Return the categories of billers with the number of billers in each, in the order of their first biller."""
    return dict(Counter(biller.biller_type for biller in billers))
