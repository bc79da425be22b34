"""The paths of the calls."""

from __future__ import annotations

import attrs
import pytest

from enkash_async.config import Routes
from enkash_async.errors import ConfigurationError

#: Method and path as EnKash documents them; each path has a version of its own.
DOCUMENTED = {
    "token": "/oauth/token",
    "fetch_bill": "/api/v2/biller/fetchOrAddBill",
    "search_bills": "/api/v1/utilityPayment/search",
    "bill_by_reference": "/api/v2/utilityPayment/referenceId/{referenceId}",
    "bill": "/api/v2/utilityPayment/{utilityEnkashId}",
    "confirm_debit": "/api/v0/utilityPayment/status",
    "add_bill": "/api/v2/biller/addBill",
    "create_bill": "/api/v2/utilityPayment",
    "register_webhook": "/api/v0/webhook-data",
}
UNVERIFIED = ("billers", "biller_categories", "initiate_payment")
NAMES = [field.name for field in attrs.fields(Routes)]


def test_the_documented_paths_are_those_of_the_pages() -> None:
    """The default routes equal EnKash's documented paths, letter by letter."""
    routes = Routes()
    assert {name: getattr(routes, name) for name in DOCUMENTED} == DOCUMENTED


def test_three_routes_are_marked_as_unverified() -> None:
    """Each route is either documented or one of the three."""
    assert Routes.unverified() == UNVERIFIED
    assert set(NAMES) == {*DOCUMENTED, *UNVERIFIED}


def test_the_default_of_the_payment_is_the_documented_sibling() -> None:
    """The default is `POST /api/v0/payment` of Accounts Payable, the only one on a page."""
    assert Routes().initiate_payment == "/api/v0/payment"


@pytest.mark.parametrize("name", NAMES)
def test_every_route_can_be_overridden_alone(name: str) -> None:
    """Each path has its own version, so the user sets one path at a time."""
    old = getattr(Routes(), name)
    new = f"/other{old}"
    assert attrs.asdict(Routes(**{name: new})) == {**attrs.asdict(Routes()), name: new}


def test_a_route_may_go_back_to_an_older_version() -> None:
    """The placeholder may stand where the older page has it."""
    assert Routes(bill="/api/v0/utilityPayment/{utilityEnkashId}/").bill == "/api/v0/utilityPayment/{utilityEnkashId}/"


@pytest.mark.parametrize("name", ["token", "bill"])
@pytest.mark.parametrize(
    "path",
    [
        "",
        "api/v2",
        "//evil.example/x",
        "https://evil.example/{utilityEnkashId}",
        "/x?y=1",
        "/x#y",
        "/x y",
        "/x\n",
        "/x\ty",
        " /x",
    ],
)
def test_what_is_not_a_path_is_refused(name: str, path: str) -> None:
    """`//host` would lead to another host; the message names the route and its default."""
    with pytest.raises(ConfigurationError, match=rf"Routes\.{name} must be a path such as '{DOCUMENTED[name][:6]}"):
        Routes(**{name: path})


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("bill", "/api/v2/utilityPayment"),
        ("bill", "/api/v2/utilityPayment/{id}"),
        ("bill", "/api/v2/{utilityEnkashId}/{utilityEnkashId}"),
        ("bill", "/api/v2/{utilityEnkashId}/{referenceId}"),
        ("bill_by_reference", "/api/v2/utilityPayment/{utilityEnkashId}"),
        ("token", "/oauth/{tenant}"),
    ],
)
def test_a_path_needs_the_placeholders_of_its_default(name: str, path: str) -> None:
    """Without its placeholder every bill would have one path; an unknown one would stay empty."""
    with pytest.raises(ConfigurationError, match=rf"Routes\.{name} must have the placeholders of '/"):
        Routes(**{name: path})


def test_routes_are_frozen_and_named() -> None:
    """A client's routes cannot change during its calls, and a path is given by name alone."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Routes().token = "/x"  # type: ignore[misc]
    with pytest.raises(TypeError):
        Routes("/x")  # type: ignore[call-arg]
