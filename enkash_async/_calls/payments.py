"""The calls that move money as values: each function checks its arguments and returns an `Operation` to send."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from enkash_async._support import checks
from enkash_async._wire.operation import Effect, Operation, json_request, path
from enkash_async.config import Routes
from enkash_async.errors import InvalidRequestError
from enkash_async.models import PaymentInitiation, PaymentType

__all__ = ["LARGEST_CALL", "confirm_debit", "initiate"]

LARGEST_CALL = 1000  # ids; EnKash's limit for one confirmation
_APPROVED = "CHECKER_APPROVED"  # the only value that EnKash's page lists


def confirm_debit(routes: Routes, ids: Iterable[str], *, remarks: str | None) -> Operation[None]:
    """Return the operation *Confirm Debit for Bill Payment* (api-10664802).

    Raises:
        InvalidRequestError: No ids, more than 1,000, a malformed id, or remarks that EnKash refuses.
    """
    unique = checks.identifiers(ids, "ids")
    if len(unique) > LARGEST_CALL:
        raise InvalidRequestError(f"ids holds {len(unique)} bills: EnKash takes {LARGEST_CALL} to a call")
    body = {
        "utilityPaymentIds": unique,
        "approvalStatus": _APPROVED,
        "remarks": checks.optional(checks.remarks, remarks, "remarks"),
    }
    return Operation(
        name="payments.confirm_debit",
        request=json_request("PUT", path(routes.confirm_debit), checks.dropped_none(body)),
        result=type(None),
        effect=Effect.CONFIRMS,
        utility_enkash_ids=tuple(unique),
    )


def initiate(
    routes: Routes,
    ids: Iterable[str],
    *,
    amount: Decimal | int | None,
    remarks: str | None,
    payment_type: PaymentType | str,
    urn: str | None,
    account_no: str | None,
    seamless_banking: bool | None,
    frontend_version: bool | None,
    otp_reference_number: str | None,
    otp: str | None,
    partial_payment: bool | None,
) -> Operation[PaymentInitiation]:
    """Return the operation *Payment Request* (api-18880652), probably *Initiate Bill Payment via EnKash PG*.

    Raises:
        InvalidRequestError: The arguments are wrong.
    """
    unique = checks.identifiers(ids, "ids")
    password = checks.optional(_one_time_password, otp, "otp")
    account = checks.optional(checks.text, account_no, "account_no")
    body = {
        "paymentIds": unique,
        "paymentType": checks.text(payment_type, "payment_type"),
        "amount": checks.optional(checks.amount, amount, "amount"),
        "paymentRemarks": checks.optional(checks.text, remarks, "remarks"),
        "urn": checks.optional(checks.text, urn, "urn"),
        "accountNo": account,
        "seamlessBanking": checks.optional(checks.flag, seamless_banking, "seamless_banking"),
        "frontendVersion": checks.optional(checks.flag, frontend_version, "frontend_version"),
        "otpReferenceNumber": checks.optional(checks.text, otp_reference_number, "otp_reference_number"),
        "otp": password,
        "partialPayment": checks.optional(checks.flag, partial_payment, "partial_payment"),
    }
    return Operation(
        name="payments.initiate",
        request=json_request("POST", path(routes.initiate_payment), checks.dropped_none(body)),
        result=PaymentInitiation,
        effect=Effect.CONFIRMS,
        utility_enkash_ids=tuple(unique),
        sensitive=tuple(word for word in (password, account) if word is not None),
    )


def _one_time_password(value: object, where: str) -> str:
    if not (isinstance(value, str) and len(value) == 6 and value.isascii() and value.isdigit()):
        raise InvalidRequestError(f"{where} must be six digits as a str: '012345'")
    return value
