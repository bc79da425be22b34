"""The bills of the benchmarks: each has forty members and nested objects, and no two are equal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

__all__ = ["BILL_PATH", "SEARCH_PATH", "TOKEN_PATH", "bill", "bill_reply", "page"]

TOKEN_PATH = "/oauth/token"  # noqa: S105 (a path)
BILL_PATH = "/api/v2/utilityPayment/"  # the bill's id follows
SEARCH_PATH = "/api/v1/utilityPayment/search"

_STATES = ("SUCCESS", "PENDING", "IN_PROGRESS", "FAILED")


def bill(number: int) -> dict[str, Any]:
    """Return a bill like the example on EnKash's pages: forty members, and three nested objects."""
    day = f"2026-{number % 12 + 1:02d}-{number % 28 + 1:02d}"
    clock = f"{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}"
    state = _STATES[number % 7 % 4]
    due = 2000 + number % 9000
    return {
        "utilityEnkashId": f"UTIL-{number:08d}",
        "referenceId": f"inv-2026-{number:08d}",
        "companyName": "Example Traders Private Limited",
        "amount": due + 0.75,
        "consumerNumber": f"CN{number:09d}",
        "consumerName": "A Consumer",
        "billDate": day,
        "billDueDate": "2026-12-21",
        "createdDate": f"{day}T{clock}",
        "billNumber": f"B-{number:09d}",
        "billerBillNumber": f"BB-{number:09d}",
        "numberOfUnits": 311.5,
        "approvalStatus": "CHECKER_APPROVED",
        "approvalRemarks": "approved",
        "paymentStatus": state if state != "IN_PROGRESS" else "IN_PROCESS",
        "billpayStatus": state,
        "failureReason": "Biller is down" if state == "FAILED" else None,
        "failureCode": "E100" if state == "FAILED" else None,
        "paymentDate": f"{day}T{clock}",
        "billpayDate": f"{day}T{clock}",
        "paymentMode": "UPI",
        "approvedDate": f"{day}T{clock}",
        "refundDate": None,
        "billReferenceId": f"BR-{number:09d}",
        "billStartDate": "2026-09-01",
        "billEndDate": "2026-09-30",
        "remarks": "Electricity of the head office",
        "billAmount": due + 0.75,
        "earlyPaymentDate": "2026-12-10",
        "earlyPaymentAmount": due - 10 + 0.25,
        "latePaymentAmount": due + 100 + 0.5,
        "actualDueDate": "2026-12-21",
        "companyId": "COM0000001",
        "bankTransactionId": f"TXN{number:010d}",
        "validationId": f"V-{number:09d}",
        "billCopyStatus": "SUCCESS",
        "billCopyPdfUrl": None,
        "makerUser": "maker@example.com",  # this member and the next are unknown to the SDK
        "retries": number % 3,
        "companyBiller": {
            "companyBillerId": f"CB-{number:09d}",
            "companyName": "Example Traders Private Limited",
            "biller": {"billerId": 2001, "name": "State Power", "billerType": "ELECTRICITY"},
            "circleEnum": "MUM",
            "billerParams": [{"key": "cn", "name": "Consumer Number", "value": f"CN{number:09d}"}],
            "consumerNumber": f"CN{number:09d}",
            "consumerName": "A Consumer",
        },
    }


def _reply(payload: Any) -> bytes:
    return json.dumps({"response_code": 0, "response_message": "Success", "payload": payload}).encode()


def bill_reply(number: int) -> bytes:
    """Return the body of the reply about one bill."""
    return _reply(bill(number))


def page(numbers: Sequence[int]) -> bytes:
    """Return the body of a search's reply."""
    return _reply([bill(number) for number in numbers])
