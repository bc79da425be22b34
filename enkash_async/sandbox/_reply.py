"""The replies of the sandbox: exact JSON, the envelope, and EnKash's names for the values of the ledger."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Literal, TypeAlias

import attrs

from enkash_async.sandbox._catalogue import Biller
from enkash_async.sandbox._payment import IST, Bill, CompanyBiller, UtilityPayment

__all__ = [
    "FetchStyle",
    "Reply",
    "added_bill",
    "biller",
    "dumps",
    "enveloped",
    "fetched_bill",
    "json_reply",
    "utility_payment",
    "webhook",
]

FetchStyle: TypeAlias = Literal["odd", "regular"]

_HTML = "<html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>"

# Members of the fetch reply whose names differ from those in the create request that follows it.
_REGULAR_NAMES = {
    "billdate": "billDate",
    "dueDate": "billDueDate",
    "billnetamount": "billNetAmount",
    "billEnddate": "billEndDate",
}

# fmt: off
# The members of a post to a webhook, in the order of EnKash's page; the reply to a look-up has two more members.
_POSTED = (
    "utilityEnkashId", "amount", "consumerNumber", "consumerName", "billDate", "billDueDate", "createdDate",
    "billNumber", "billerBillNumber", "numberOfUnits", "approvalStatus", "approvalRemarks", "paymentStatus",
    "billpayStatus", "failureReason", "failureCode", "paymentDate", "billpayDate", "approvedDate", "billReferenceId",
    "billStartDate", "billEndDate", "remarks", "refundDate", "companyBiller", "billAmount", "earlyPaymentDate",
    "earlyPaymentAmount", "latePaymentAmount", "actualDueDate", "companyId", "bankTransactionId", "referenceId",
)
# fmt: on

_plain = json.JSONEncoder().encode


@attrs.frozen
class Reply:
    """An HTTP reply as a value.

    Args:
        status: HTTP status.
        text: The body.
        content_type: Media type of the body.
        headers: Headers besides `Content-Type`.
    """

    status: int
    text: str
    content_type: str = "application/json"
    headers: Mapping[str, str] = attrs.field(factory=dict)

    @classmethod
    def html(cls, status: int, title: str) -> Reply:
        """Return an HTML page such as a gateway would send."""
        return cls(status, _HTML.format(title), "text/html")


def dumps(value: object) -> str:
    """Return JSON that writes a `Decimal` as a number with exactly its digits, which `json` cannot do."""
    # Tests the most frequent types first, for speed: writing the reply is most of the work of a request.
    match value:
        case str():
            return _plain(value)
        case None:
            return "null"
        case int() if not isinstance(value, bool):
            return str(value)
        case Decimal():
            return format(value, "f")
        case Mapping():
            return "{" + ",".join([f"{_plain(name)}:{dumps(member)}" for name, member in value.items()]) + "}"
        case list() | tuple():
            return "[" + ",".join([dumps(item) for item in value]) + "]"
        case _:
            return _plain(value)


def json_reply(status: int, value: object) -> Reply:
    """Return a reply with a JSON body."""
    return Reply(status, dumps(value))


def enveloped(payload: object, *, status: int = 200, code: int = 0, message: str = "Success") -> Reply:
    """Return a reply in EnKash's envelope.

    Args:
        payload: An object, a list, a text that explains a failure, or None.
        status: HTTP status.
        code: `response_code`; 0 for success.
        message: `response_message`.
    """
    return json_reply(status, {"response_code": code, "response_message": message, "payload": payload})


def _utc(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _ist(instant: datetime | None) -> str | None:
    return None if instant is None else instant.astimezone(IST).replace(tzinfo=None).isoformat(timespec="seconds")


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def biller(entry: Biller) -> dict[str, object]:
    """Return an item of the biller list.

    EnKash page: Fetch Biller List; its reply is not publicly documented, the names come from api-12515630.
    """
    return {
        "billerId": entry.biller_id,
        "name": entry.name,
        "billerType": entry.biller_type,
        "billerParams": [{"key": wanted.key, "name": wanted.name} for wanted in entry.inputs],
    }


def fetched_bill(company_biller: CompanyBiller, bill: Bill, style: FetchStyle) -> dict[str, object]:
    """Return the payload of Fetch Current Bill (api-10664798), with names in the given style."""
    payload: dict[str, object] = {
        "companyBillerId": company_biller.company_biller_id,
        "billNumber": bill.bill_number,
        "userName": company_biller.consumer_name,
        "billAmount": bill.bill_amount,
        "billdate": _day(bill.bill_date),
        "dueDate": _day(bill.due_date),
        "billPeriod": "MONTHLY",
        "billnetamount": bill.net_amount,
        "earlyPaymentAmount": bill.early_amount,
        "earlyPaymentDate": _day(bill.early_date),
        "latePaymentAmount": bill.late_amount,
        "actualDueDate": _day(bill.actual_due_date),
        "statusMessage": None,
        "billId": bill.bill_id,
        "validationId": bill.validation_id,
        "billStartDate": _day(bill.start_date),
        "billEnddate": _day(bill.end_date),
    }
    if style == "odd":
        return payload
    return {_REGULAR_NAMES.get(name, name): member for name, member in payload.items()}


def added_bill(payment: UtilityPayment) -> dict[str, object]:
    """Return the payload of both create calls, with the documented members only (api-10664800)."""
    return {
        "utilityEnkashId": payment.utility_enkash_id,
        "amount": payment.amount,
        "consumerNumber": payment.company_biller.consumer_number,
        "billdate": _day(payment.bill.bill_date),
        "billDueDate": _day(payment.bill.due_date),
        "createdDate": _utc(payment.created_at),
        "referenceId": payment.reference_id,
        "paymentStatus": payment.stage.payment_status,
    }


def utility_payment(payment: UtilityPayment, company_name: str, company_id: str) -> dict[str, object]:
    """Return the payload of Get Utility Bill Status (api-10664797), which look-up by reference and search share."""
    return {
        "companyName": company_name,
        "companyId": company_id,
        "utilityEnkashId": payment.utility_enkash_id,
        "referenceId": payment.reference_id,
        "amount": payment.amount,
        "consumerNumber": payment.company_biller.consumer_number,
        "consumerName": payment.company_biller.consumer_name,
        "createdDate": _utc(payment.created_at),
        "remarks": payment.remarks,
        "companyBiller": _company_biller(payment.company_biller, company_name),
        **_bill(payment.bill),
        **_progress(payment),
    }


def webhook(payment: UtilityPayment, company_name: str, company_id: str) -> dict[str, object]:
    """Return the body of a post to a webhook (api-12515630); its `createdDate` has no zone, unlike in other replies."""
    shown = utility_payment(payment, company_name, company_id) | {"createdDate": _ist(payment.created_at)}
    return {name: shown[name] for name in _POSTED}


def _bill(bill: Bill) -> dict[str, object]:
    return {
        "billNumber": bill.bill_number,
        "billerBillNumber": bill.bill_number,
        "numberOfUnits": bill.units,
        "billAmount": bill.bill_amount,
        "billDate": _day(bill.bill_date),
        "billDueDate": _day(bill.due_date),
        "actualDueDate": _day(bill.actual_due_date),
        "billStartDate": _day(bill.start_date),
        "billEndDate": _day(bill.end_date),
        "earlyPaymentDate": _day(bill.early_date),
        "earlyPaymentAmount": bill.early_amount,
        "latePaymentAmount": bill.late_amount,
    }


def _progress(payment: UtilityPayment) -> dict[str, object]:
    confirmed = payment.confirmed_at is not None
    return {
        "approvalStatus": payment.stage.approval_status,
        "approvalRemarks": payment.approval_remarks,
        "approvedDate": _ist(payment.confirmed_at),
        "paymentStatus": payment.stage.payment_status,
        "paymentMode": "ACCOUNT_TRANSFER" if confirmed else None,
        "bankTransactionId": f"BANK-{payment.utility_enkash_id}" if confirmed else None,
        "paymentDate": _ist(payment.paid_at),
        "billpayStatus": payment.stage.billpay_status,
        "billpayDate": _ist(payment.paid_at),
        "billReferenceId": payment.bill_reference_id,
        "failureReason": "The biller rejected the payment" if payment.failed else None,
        "failureCode": "BPR001" if payment.failed else None,
        "refundDate": _ist(payment.refunded_at),
    }


def _company_biller(enrolled: CompanyBiller, company_name: str) -> dict[str, object]:
    names = {wanted.key: wanted.name for wanted in enrolled.biller.inputs}
    params = [{"key": key, "name": names.get(key, key), "value": value} for key, value in enrolled.params.items()]
    return {
        "companyBillerId": enrolled.company_biller_id,
        "companyName": company_name,
        "biller": {
            "billerId": enrolled.biller.biller_id,
            "name": enrolled.biller.name,
            "billerType": enrolled.biller.biller_type,
        },
        "circleEnum": enrolled.circle,
        "billInputParams": "&".join(f"{param['name'].lower().replace(' ', '_')}={param['value']}" for param in params),
        "billerParams": params,
        "consumerNumber": enrolled.consumer_number,
        "consumerName": enrolled.consumer_name,
    }
