"""Names are one however they are spelt."""

from __future__ import annotations

import pytest

from enkash_async._support.names import fold


@pytest.mark.parametrize("name", ["billDate", "bill_date", "billdate", "BILL_DATE", "_billDate_", "BillDate"])
def test_a_name_is_one_in_every_spelling_of_enkashs_pages(name: str) -> None:
    """Upper and lower case count as little as underscores."""
    assert fold(name) == "billdate"


@pytest.mark.parametrize("name", ["bill date", "bill-date", "bill.date", "bill1date"])
def test_other_signs_tell_names_apart(name: str) -> None:
    """A header of a file may have them; its reader decides what they mean there."""
    assert fold(name) == name
