"""Where each call goes: one path with its own version for every operation."""

from __future__ import annotations

import re
from typing import Any

import attrs

from enkash_async.errors import ConfigurationError

__all__ = ["Routes"]

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


def _route(default: str, *, verified: bool = True) -> Any:
    expected = _PLACEHOLDER.findall(default)

    def check(_: Routes, attribute: attrs.Attribute[str], value: str) -> None:
        if (
            not isinstance(value, str)
            or not value.startswith("/")
            or value.startswith("//")
            or re.search(r"[?#\s]", value)
        ):
            raise ConfigurationError(f"Routes.{attribute.name} must be a path such as {default!r}, not {value!r}")
        if _PLACEHOLDER.findall(value) != expected:
            raise ConfigurationError(f"Routes.{attribute.name} must have the placeholders of {default!r}: {value!r}")

    return attrs.field(default=default, validator=check, metadata={"verified": verified})


@attrs.frozen(kw_only=True)
class Routes:
    """The path of every operation, each with the version that EnKash documents for it.

    EnKash versions its paths one by one, so there is no single version to set. Override what your account manager
    tells you differently: `Routes(billers="/api/v3/billers")`.

    Three routes are not publicly documented; `Routes.unverified()` names them. Their defaults are educated guesses:
    ask EnKash before you rely on them.

    Raises:
        ConfigurationError: A path does not begin with `/`, or lacks the placeholder of its default.
    """

    token: str = _route("/oauth/token")
    fetch_bill: str = _route("/api/v2/biller/fetchOrAddBill")
    billers: str = _route("/api/v2/biller", verified=False)
    biller_categories: str = _route("/api/v2/biller/billerTypes", verified=False)
    search_bills: str = _route("/api/v1/utilityPayment/search")
    bill_by_reference: str = _route("/api/v2/utilityPayment/referenceId/{referenceId}")
    bill: str = _route("/api/v2/utilityPayment/{utilityEnkashId}")
    confirm_debit: str = _route("/api/v0/utilityPayment/status")
    initiate_payment: str = _route("/api/v0/payment", verified=False)
    add_bill: str = _route("/api/v2/biller/addBill")
    create_bill: str = _route("/api/v2/utilityPayment")
    register_webhook: str = _route("/api/v0/webhook-data")

    @classmethod
    def unverified(cls) -> tuple[str, ...]:
        """Return the names of the routes whose default path no EnKash page documents."""
        return tuple(field.name for field in attrs.fields(cls) if not field.metadata["verified"])
