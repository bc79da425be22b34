"""EnKash's documented example of a webhook post, with made-up values."""

from __future__ import annotations

from enkash_async._support import exact_json

__all__ = ["EXAMPLE", "example"]

#: Names, types and status words as on the page Bill Payment Webhook (api-12515630); some words are on no other page.
EXAMPLE = """\
{
  "utilityEnkashId": "UTIL-12345678",
  "amount": 2450.75,
  "consumerNumber": "CN987654321",
  "consumerName": "Ravi Example",
  "billDate": "2025-05-10",
  "billDueDate": "2025-05-25",
  "createdDate": "2025-05-12T14:30:25",
  "billNumber": "BN-2025-05-0042",
  "billerBillNumber": "BBN-778899",
  "numberOfUnits": 215,
  "approvalStatus": "APPROVED",
  "approvalRemarks": "Checked against the meter",
  "paymentStatus": "COMPLETED",
  "billpayStatus": "COMPLETED",
  "failureReason": null,
  "failureCode": null,
  "paymentDate": "2025-05-20T10:15:30",
  "billpayDate": "2025-05-20T10:16:05",
  "approvedDate": "2025-05-19T17:45:00",
  "billReferenceId": "BR-20250520-0001",
  "billStartDate": "2025-04-01",
  "billEndDate": "2025-04-30",
  "remarks": "April electricity",
  "refundDate": null,
  "companyBiller": {
    "companyBillerId": "CB-54321",
    "companyName": "Example Traders",
    "biller": {"billerId": 2001, "name": "Example Power", "billerType": "ELECTRICITY"},
    "circleEnum": "MUMBAI",
    "billInputParams": "consumer_number=CN987654321",
    "billerParams": [
      {"key": "cn", "name": "Consumer Number", "value": "CN987654321"},
      {"key": "ad1", "name": "Billing Unit", "value": "0417"}
    ],
    "consumerNumber": "CN987654321",
    "consumerName": "Ravi Example"
  },
  "billAmount": 2450.75,
  "earlyPaymentDate": "2025-05-18",
  "earlyPaymentAmount": 2400.00,
  "latePaymentAmount": 2525.50,
  "actualDueDate": "2025-05-25",
  "companyId": "COMP-123456",
  "bankTransactionId": "BTX-555001",
  "referenceId": "REF-XYZABC123456"
}
"""


def example(
    *, utility_enkash_id: str | None = None, reference_id: str | None = None, status: str | None = None
) -> bytes:
    """Return the body of a post.

    Args:
        utility_enkash_id: EnKash's id of the bill; None keeps the example's id.
        reference_id: Your id of the bill; None keeps the example's id.
        status: The word for `billpayStatus` and `paymentStatus`; None keeps the example's words.
    """
    replaced = {
        "utilityEnkashId": utility_enkash_id,
        "referenceId": reference_id,
        "paymentStatus": status,
        "billpayStatus": status,
    }
    document = exact_json.loads(EXAMPLE.encode())
    return exact_json.dumps(document | {name: word for name, word in replaced.items() if word is not None}).encode()
