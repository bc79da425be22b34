"""Payments: let the money go for bills that exist."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from logging import getLogger

from enkash_async import _checks as checks
from enkash_async._wire import Effect, Operation, Send, json_request, path
from enkash_async.bulk import BulkItem, BulkResult
from enkash_async.errors import (
    AuthenticationError,
    ConfigurationError,
    EnkashError,
    InvalidRequestError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RateLimitError,
    TokenError,
    TransportError,
)
from enkash_async.models import PaymentInitiation, PaymentType
from enkash_async.routes import Routes

__all__ = ["Payments"]

_log = getLogger("enkash_async")

# Failures before anything left, and failures that would meet every later call as well.
_UNSENT = (ConfigurationError, InvalidRequestError, TokenError, TransportError)
_LASTING = (AuthenticationError, ConfigurationError, PermissionDeniedError, RateLimitError, TokenError)
_LARGEST_CHUNK = 1000  # ids; EnKash's limit for one approval call
_APPROVED = "CHECKER_APPROVED"  # the only word that the page knows


class Payments:
    """The calls that move money, as `client.payments`."""

    def __init__(self, send: Send, routes: Routes) -> None:
        self._send = send
        self._routes = routes

    async def confirm_debit(
        self,
        ids: Iterable[str],
        *,
        remarks: str | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> BulkResult[None]:
        """Confirm the debit of bills from your EnKash account, 1,000 to a call.

        Not needed where the account is set to debit on creation. EnKash answers for a call as a whole, so the bills of
        one call share its fate; an id given twice is sent once.

        EnKash page: Confirm Debit for Bill Payment (api-10664802).

        Args:
            ids: `utility_enkash_id` of each bill, one or more.
            remarks: 1 to 255 letters, digits, spaces and a few signs; no full stop, no slash.
            on_progress: Called after each call with (bills dealt with, bills in all). What it raises is only logged.

        Returns:
            Every bill in one group. With more than 1,000 bills, a call that fails does not stop the rest: look at
            the groups or use `raise_for_failures()`.

        Raises:
            InvalidRequestError: No ids, an empty one, or remarks that EnKash refuses; nothing was sent.
            OutcomeUnknownError: 1,000 bills or fewer: they may or may not be confirmed. Look them up, never resend.
            EnkashError: 1,000 bills or fewer: the failure of that one call.
        """
        unique = checks.identifiers(ids, "ids")
        note = None if remarks is None else checks.remarks(remarks)
        chunks = [unique[start : start + _LARGEST_CHUNK] for start in range(0, len(unique), _LARGEST_CHUNK)]
        groups = _Groups()
        for chunk in chunks:
            failure = groups.stopped_by or await self._confirm(chunk, note)
            if failure is not None and len(chunks) == 1:
                raise failure
            groups.add(chunk, failure)
            if on_progress is not None:
                _tell(on_progress, groups.count, len(unique))
        return groups.result()

    async def _confirm(self, chunk: Sequence[str], remarks: str | None) -> EnkashError | None:
        body = checks.dropped_none({"utilityPaymentIds": list(chunk), "approvalStatus": _APPROVED, "remarks": remarks})
        operation = Operation(
            name="payments.confirm_debit",
            request=json_request("PUT", path(self._routes.confirm_debit), body),
            result=type(None),
            effect=Effect.CONFIRMS,
            utility_enkash_ids=tuple(chunk),
        )
        try:
            await self._send(operation)
        except EnkashError as failure:
            return failure
        return None

    async def initiate(
        self,
        ids: Iterable[str],
        *,
        amount: Decimal | int | None = None,
        remarks: str | None = None,
        payment_type: PaymentType | str = PaymentType.UTILITY,
        urn: str | None = None,
        account_no: str | None = None,
        seamless_banking: bool | None = None,
        frontend_version: bool | None = None,
        otp_reference_number: str | None = None,
        otp: str | None = None,
        partial_payment: bool | None = None,
    ) -> PaymentInitiation:
        """Start the payment of bills through EnKash's payment gateway.

        The page of this call is not public. Route and body are those of the *Payment Request* of EnKash's Accounts
        Payable product, which takes `UTILITY` and is probably the same; the route is unverified.

        EnKash page: Payment Request (api-18880652).

        Args:
            ids: `utility_enkash_id` of each bill, one or more.
            amount: Rupees, at least 1.
            remarks: Sent as `paymentRemarks`.
            payment_type: What is paid for.
            urn: EnKash's word, not explained on the page.
            account_no: Account to debit.
            seamless_banking: EnKash's word, not explained on the page.
            frontend_version: EnKash's word, not explained on the page.
            otp_reference_number: Reference of a one-time password.
            otp: The one-time password, six digits.
            partial_payment: Whether less than the whole may be paid.

        Raises:
            InvalidRequestError: The arguments are wrong; nothing was sent.
            OutcomeUnknownError: It may or may not have been started. Look the bills up, never resend.
            EnkashError: See the tree in `enkash_async.errors`.
        """
        unique = checks.identifiers(ids, "ids")
        if otp is not None and not (isinstance(otp, str) and len(otp) == 6 and otp.isascii() and otp.isdigit()):
            raise InvalidRequestError("otp must be six digits as a str: '012345'")
        body = checks.dropped_none(
            {
                "paymentIds": unique,
                "paymentType": str(checks.text(payment_type, "payment_type")),
                "amount": None if amount is None else checks.amount(amount, "amount"),
                "paymentRemarks": _text(remarks, "remarks"),
                "urn": _text(urn, "urn"),
                "accountNo": _text(account_no, "account_no"),
                "seamlessBanking": _flag(seamless_banking, "seamless_banking"),
                "frontendVersion": _flag(frontend_version, "frontend_version"),
                "otpReferenceNumber": _text(otp_reference_number, "otp_reference_number"),
                "otp": otp,
                "partialPayment": _flag(partial_payment, "partial_payment"),
            }
        )
        operation = Operation(
            name="payments.initiate",
            request=json_request("POST", path(self._routes.initiate_payment), body),
            result=PaymentInitiation,
            effect=Effect.CONFIRMS,
            utility_enkash_ids=tuple(unique),
            sensitive=tuple(word for word in (otp, account_no) if word is not None),
        )
        return await self._send(operation)


def _tell(on_progress: Callable[[int, int], None], done: int, total: int) -> None:
    try:
        on_progress(done, total)
    except Exception:  # noqa: BLE001 (the user's own)
        # Money has moved: an error in a progress display must not take away the account of it.
        _log.exception("on_progress failed; the job goes on")


def _text(value: str | None, where: str) -> str | None:
    return None if value is None else checks.text(value, where)


def _flag(value: bool | None, where: str) -> bool | None:
    return None if value is None else checks.flag(value, where)


class _Groups:
    """Sorts the chunks of a confirmation; every id ends up in one group."""

    def __init__(self) -> None:
        self.count = 0
        self.stopped_by: EnkashError | None = None
        self._succeeded: list[BulkItem[None]] = []
        self._failed: list[BulkItem[None]] = []
        self._unknown: list[BulkItem[None]] = []
        self._not_sent: list[BulkItem[None]] = []

    def add(self, chunk: Sequence[str], failure: EnkashError | None) -> None:
        """File a chunk; a failure that would meet every later chunk as well stops the job."""
        self.count += len(chunk)
        if failure is None:
            group = self._succeeded
        elif isinstance(failure, OutcomeUnknownError):
            group = self._unknown
        elif self.stopped_by is not None or isinstance(failure, _UNSENT):
            group = self._not_sent
        else:
            group = self._failed
        group.extend(BulkItem(key, error=failure) for key in chunk)
        if isinstance(failure, _LASTING):
            self.stopped_by = failure

    def result(self) -> BulkResult[None]:
        return BulkResult(
            succeeded=tuple(self._succeeded),
            failed=tuple(self._failed),
            unknown=tuple(self._unknown),
            not_sent=tuple(self._not_sent),
        )
