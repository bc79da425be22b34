"""The models of the client in `generated_client`, in the form that openapi-generator gives to pydantic models.

`number` is a float there, whatever it counts; `from_dict` hands over member by member what it knows, and drops the
rest.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, StrictStr

from benchmarks.peers.words import (
    ApprovalStatus,
    BillCopyStatus,
    BillerType,
    BillPayStatus,
    Circle,
    PaymentMode,
    PaymentStatus,
)

__all__ = ["Bill", "BillReply", "Biller", "BillerParam", "CompanyBiller"]

_CONFIG = ConfigDict(populate_by_name=True, validate_assignment=True, protected_namespaces=())


class BillerParam(BaseModel):
    """One input that a bill was paid with."""

    key: StrictStr | None = Field(default=None)
    name: StrictStr | None = Field(default=None)
    value: StrictStr | None = Field(default=None)

    model_config = _CONFIG

    @classmethod
    def from_dict(cls, obj: dict[str, Any] | None) -> Self | None:
        """Return the model of a decoded object."""
        if obj is None:
            return None
        if not isinstance(obj, dict):
            return cls.model_validate(obj)
        return cls.model_validate(
            {
                "key": obj.get("key"),
                "name": obj.get("name"),
                "value": obj.get("value"),
            }
        )


class Biller(BaseModel):
    """A company whose bills can be paid."""

    biller_id: StrictInt | None = Field(default=None, alias="billerId")
    name: StrictStr | None = Field(default=None)
    biller_type: BillerType | None = Field(default=None, alias="billerType")

    model_config = _CONFIG

    @classmethod
    def from_dict(cls, obj: dict[str, Any] | None) -> Self | None:
        """Return the model of a decoded object."""
        if obj is None:
            return None
        if not isinstance(obj, dict):
            return cls.model_validate(obj)
        return cls.model_validate(
            {
                "billerId": obj.get("billerId"),
                "name": obj.get("name"),
                "billerType": obj.get("billerType"),
            }
        )


class CompanyBiller(BaseModel):
    """An account with a biller."""

    company_biller_id: StrictStr | None = Field(default=None, alias="companyBillerId")
    company_name: StrictStr | None = Field(default=None, alias="companyName")
    biller: Biller | None = Field(default=None)
    circle_enum: Circle | None = Field(default=None, alias="circleEnum")
    bill_input_params: StrictStr | None = Field(default=None, alias="billInputParams")
    biller_params: list[BillerParam] | None = Field(default=None, alias="billerParams")
    consumer_number: StrictStr | None = Field(default=None, alias="consumerNumber")
    consumer_name: StrictStr | None = Field(default=None, alias="consumerName")

    model_config = _CONFIG

    @classmethod
    def from_dict(cls, obj: dict[str, Any] | None) -> Self | None:
        """Return the model of a decoded object."""
        if obj is None:
            return None
        if not isinstance(obj, dict):
            return cls.model_validate(obj)
        return cls.model_validate(
            {
                "companyBillerId": obj.get("companyBillerId"),
                "companyName": obj.get("companyName"),
                "biller": Biller.from_dict(obj["biller"]) if obj.get("biller") is not None else None,
                "circleEnum": obj.get("circleEnum"),
                "billInputParams": obj.get("billInputParams"),
                "billerParams": [BillerParam.from_dict(item) for item in obj["billerParams"]]
                if obj.get("billerParams") is not None
                else None,
                "consumerNumber": obj.get("consumerNumber"),
                "consumerName": obj.get("consumerName"),
            }
        )


class Bill(BaseModel):
    """A bill, forty members and three objects below."""

    utility_enkash_id: StrictStr | None = Field(default=None, alias="utilityEnkashId")
    reference_id: StrictStr | None = Field(default=None, alias="referenceId")
    company_name: StrictStr | None = Field(default=None, alias="companyName")
    amount: StrictFloat | StrictInt | None = Field(default=None)
    consumer_number: StrictStr | None = Field(default=None, alias="consumerNumber")
    consumer_name: StrictStr | None = Field(default=None, alias="consumerName")
    bill_date: date | None = Field(default=None, alias="billDate")
    bill_due_date: date | None = Field(default=None, alias="billDueDate")
    created_date: datetime | None = Field(default=None, alias="createdDate")
    bill_number: StrictStr | None = Field(default=None, alias="billNumber")
    biller_bill_number: StrictStr | None = Field(default=None, alias="billerBillNumber")
    number_of_units: StrictFloat | StrictInt | None = Field(default=None, alias="numberOfUnits")
    approval_status: ApprovalStatus | None = Field(default=None, alias="approvalStatus")
    approval_remarks: StrictStr | None = Field(default=None, alias="approvalRemarks")
    payment_status: PaymentStatus | None = Field(default=None, alias="paymentStatus")
    billpay_status: BillPayStatus | None = Field(default=None, alias="billpayStatus")
    failure_reason: StrictStr | None = Field(default=None, alias="failureReason")
    failure_code: StrictStr | None = Field(default=None, alias="failureCode")
    payment_date: datetime | None = Field(default=None, alias="paymentDate")
    billpay_date: datetime | None = Field(default=None, alias="billpayDate")
    payment_mode: PaymentMode | None = Field(default=None, alias="paymentMode")
    approved_date: datetime | None = Field(default=None, alias="approvedDate")
    refund_date: datetime | None = Field(default=None, alias="refundDate")
    bill_reference_id: StrictStr | None = Field(default=None, alias="billReferenceId")
    bill_start_date: date | None = Field(default=None, alias="billStartDate")
    bill_end_date: date | None = Field(default=None, alias="billEndDate")
    remarks: StrictStr | None = Field(default=None)
    bill_amount: StrictFloat | StrictInt | None = Field(default=None, alias="billAmount")
    early_payment_date: date | None = Field(default=None, alias="earlyPaymentDate")
    early_payment_amount: StrictFloat | StrictInt | None = Field(default=None, alias="earlyPaymentAmount")
    late_payment_amount: StrictFloat | StrictInt | None = Field(default=None, alias="latePaymentAmount")
    actual_due_date: date | None = Field(default=None, alias="actualDueDate")
    company_id: StrictStr | None = Field(default=None, alias="companyId")
    bank_transaction_id: StrictStr | None = Field(default=None, alias="bankTransactionId")
    validation_id: StrictStr | None = Field(default=None, alias="validationId")
    bill_copy_status: BillCopyStatus | None = Field(default=None, alias="billCopyStatus")
    bill_copy_pdf_url: StrictStr | None = Field(default=None, alias="billCopyPdfUrl")
    maker_user: StrictStr | None = Field(default=None, alias="makerUser")
    retries: StrictInt | None = Field(default=None)
    company_biller: CompanyBiller | None = Field(default=None, alias="companyBiller")

    model_config = _CONFIG

    @classmethod
    def from_dict(cls, obj: dict[str, Any] | None) -> Self | None:
        """Return the model of a decoded object."""
        if obj is None:
            return None
        if not isinstance(obj, dict):
            return cls.model_validate(obj)
        return cls.model_validate(
            {
                "utilityEnkashId": obj.get("utilityEnkashId"),
                "referenceId": obj.get("referenceId"),
                "companyName": obj.get("companyName"),
                "amount": obj.get("amount"),
                "consumerNumber": obj.get("consumerNumber"),
                "consumerName": obj.get("consumerName"),
                "billDate": obj.get("billDate"),
                "billDueDate": obj.get("billDueDate"),
                "createdDate": obj.get("createdDate"),
                "billNumber": obj.get("billNumber"),
                "billerBillNumber": obj.get("billerBillNumber"),
                "numberOfUnits": obj.get("numberOfUnits"),
                "approvalStatus": obj.get("approvalStatus"),
                "approvalRemarks": obj.get("approvalRemarks"),
                "paymentStatus": obj.get("paymentStatus"),
                "billpayStatus": obj.get("billpayStatus"),
                "failureReason": obj.get("failureReason"),
                "failureCode": obj.get("failureCode"),
                "paymentDate": obj.get("paymentDate"),
                "billpayDate": obj.get("billpayDate"),
                "paymentMode": obj.get("paymentMode"),
                "approvedDate": obj.get("approvedDate"),
                "refundDate": obj.get("refundDate"),
                "billReferenceId": obj.get("billReferenceId"),
                "billStartDate": obj.get("billStartDate"),
                "billEndDate": obj.get("billEndDate"),
                "remarks": obj.get("remarks"),
                "billAmount": obj.get("billAmount"),
                "earlyPaymentDate": obj.get("earlyPaymentDate"),
                "earlyPaymentAmount": obj.get("earlyPaymentAmount"),
                "latePaymentAmount": obj.get("latePaymentAmount"),
                "actualDueDate": obj.get("actualDueDate"),
                "companyId": obj.get("companyId"),
                "bankTransactionId": obj.get("bankTransactionId"),
                "validationId": obj.get("validationId"),
                "billCopyStatus": obj.get("billCopyStatus"),
                "billCopyPdfUrl": obj.get("billCopyPdfUrl"),
                "makerUser": obj.get("makerUser"),
                "retries": obj.get("retries"),
                "companyBiller": CompanyBiller.from_dict(obj["companyBiller"])
                if obj.get("companyBiller") is not None
                else None,
            }
        )


class BillReply(BaseModel):
    """The reply about one bill."""

    response_code: StrictInt | None = None
    response_message: StrictStr | None = None
    payload: Bill | None = None

    model_config = _CONFIG

    @classmethod
    def from_dict(cls, obj: dict[str, Any] | None) -> Self | None:
        """Return the model of a decoded object."""
        if obj is None:
            return None
        if not isinstance(obj, dict):
            return cls.model_validate(obj)
        return cls.model_validate(
            {
                "response_code": obj.get("response_code"),
                "response_message": obj.get("response_message"),
                "payload": Bill.from_dict(obj["payload"]) if obj.get("payload") is not None else None,
            }
        )
