"""Compares a reply from EnKash with its request, to see whether the reply shows the right bill. No I/O.

Each fact is hard, soft, or the amount. If a hard fact differs, the reply shows another bill: the reply belongs to
another call, or the reference belongs to another bill. A soft fact may change for the same bill, so a difference never
makes a reply wrong. A fact that the request or the reply omits, or that EnKash masks, is not compared.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from decimal import Decimal
from functools import partial

import attrs

from enkash_async._calls.bills import Wanted
from enkash_async._support.text import folded, look_up
from enkash_async.errors import DuplicateReferenceError, EnkashError, NotFoundError
from enkash_async.models import Bill, Circle, FetchedBill
from enkash_async.models.base import shown_short

__all__ = [
    "Amount",
    "Match",
    "compare",
    "compare_amounts",
    "contradicts_fetch",
    "contradicts_id",
    "contradicts_reference",
    "contradicts_wanted",
    "described",
    "net_amount",
    "refusal",
    "vouches",
]

_MASKED = re.compile(r"[*•]|[xX]{3}")
_RUPEE = Decimal(1)


class Amount(enum.Enum):
    """How an amount that EnKash states compares with the amount that was asked for."""

    SAME = "equal"
    ROUNDED = "stated in whole rupees, within one rupee: one of EnKash's pages prints integers"
    OTHER = "another amount"
    UNSTATED = "one side states none"


@attrs.frozen(kw_only=True)
class Match:
    """The result of comparing a found bill with the wanted one.

    Attributes:
        hard: Names of the hard facts that differ; any of them shows another bill.
        amount: How the amounts compare.
        soft: Names of the soft facts that differ: `circle`, `company_biller_id`, `bill_number`, `bill_date`.
        identified: Whether EnKash's answer has enough facts (consumer and amount) to recognise the bill.
    """

    hard: tuple[str, ...] = ()
    amount: Amount = Amount.SAME
    soft: tuple[str, ...] = ()
    identified: bool = True

    @property
    def different(self) -> tuple[str, ...]:
        """Names of the facts which show that the reference of a create was used for another bill before.

        A create names its circle and its company biller, so these two soft facts count as well.
        """
        amount = ("amount",) if self.amount is Amount.OTHER else ()
        named = () if self.hard else tuple(name for name in self.soft if name in {"circle", "company_biller_id"})
        return (*self.hard, *amount, *named)  # `named` needs equal consumers: another one has another biller account

    @property
    def is_another_month(self) -> bool:
        """Whether bill number and bill date both differ, which shows the bill of another month."""
        return {"bill_number", "bill_date"} <= set(self.soft)


def compare(wanted: Wanted, bill: Bill) -> Match:
    """Compare every fact that both the request and the bill state."""
    company = bill.company_biller
    biller = None if company is None or company.biller is None else company.biller.biller_id or None
    same_consumer = _same(_folded(wanted.consumer_number), _folded(_consumer(bill)))
    same_company = _same(wanted.company_biller_id, None if company is None else company.company_biller_id)
    amount = compare_amounts(wanted.amount, net_amount(bill))
    hard = {
        "reference_id": _same(_folded(wanted.reference_id), _folded(bill.reference_id)),
        "biller_id": _same(wanted.biller_id, biller),
        "consumer_number": same_consumer,
        **{key: _same(_folded(value), _folded(_input(bill, key))) for key, value in sorted(wanted.inputs.items())},
    }
    soft = {
        "circle": _same(_circle(wanted.circle), _circle(None if company is None else company.circle_enum)),
        "company_biller_id": same_company,
        "bill_number": _same(_folded(wanted.bill_number), _folded(bill.bill_number)),
        "bill_date": _same(wanted.bill_date, bill.bill_date),
    }
    return Match(
        hard=_differing(hard),
        amount=amount,
        soft=_differing(soft),
        identified=(same_consumer is not None or same_company is True)
        and (amount is not Amount.UNSTATED or wanted.amount is None),
    )


def compare_amounts(asked: Decimal | None, stated: Decimal | None) -> Amount:
    """Compare an amount that EnKash states with the amount that was asked for."""
    if asked is None or stated is None:
        return Amount.UNSTATED
    if asked == stated:
        return Amount.SAME
    is_whole = stated == stated.to_integral_value() and asked != asked.to_integral_value()
    return Amount.ROUNDED if is_whole and abs(asked - stated) < _RUPEE else Amount.OTHER


def net_amount(bill: Bill) -> Decimal | None:
    """Return the rupees to pay for a bill: the net amount, or else the amount of the whole bill.

    None if EnKash states neither. No bill costs less than a rupee, so a smaller amount, such as the 0 of a member that
    EnKash has not filled, states nothing; believed, it would be below every ceiling.
    """
    stated = (amount for amount in (bill.amount, bill.bill_amount) if amount is not None)
    return next((amount for amount in stated if amount >= _RUPEE), None)


def vouches(wanted: Wanted, bill: Bill) -> bool:
    """Whether the reply to a create has a bill's id, and the reference or the consumer that was asked for."""
    facts = (
        _same(_folded(wanted.reference_id), _folded(bill.reference_id)),
        _same(_folded(wanted.consumer_number), _folded(_consumer(bill))),
    )
    return bool(bill.utility_enkash_id.strip()) and True in facts


# --- replies compared with their calls --------------------------------------------------------------------------------


def contradicts_id(utility_enkash_id: str) -> Callable[[Bill | EnkashError], str | None]:
    """Return a function that finds a contradiction in the reply to a look-up by id."""
    return partial(_of_another, "utility_enkash_id", utility_enkash_id)


def contradicts_reference(reference_id: str) -> Callable[[Bill | EnkashError], str | None]:
    """Return a function that finds a contradiction in the reply to a look-up by reference."""
    return partial(_of_another, "reference_id", reference_id)


def contradicts_wanted(wanted: Wanted) -> Callable[[Bill | EnkashError], str | None]:
    """Return a function that finds a contradiction in the reply to a create."""

    def contradiction(answer: Bill | EnkashError) -> str | None:
        if isinstance(answer, EnkashError):
            return _of_look_up(answer)
        match = compare(wanted, answer)
        return described(wanted, answer, match.hard) if match.hard else None

    return contradiction


def contradicts_fetch(consumer_number: str) -> Callable[[FetchedBill | EnkashError], str | None]:
    """Return a function that finds a contradiction in the reply to a fetch.

    EnKash documents no member that names the consumer. A `consumerNumber` in the reply is compared nevertheless.
    """

    def contradiction(answer: FetchedBill | EnkashError) -> str | None:
        if isinstance(answer, EnkashError):
            return _of_look_up(answer)
        stated = answer.extra.get("consumerNumber")
        return _another("consumer_number", consumer_number, stated if isinstance(stated, str) else None)

    return contradiction


def _of_another(name: str, asked: str, answer: Bill | EnkashError) -> str | None:
    if isinstance(answer, EnkashError):
        return None
    stated = getattr(answer, name)
    return None if stated == asked else _another(name, asked, stated)


def _of_look_up(answer: EnkashError) -> str | None:
    """Return a contradiction if EnKash answered with «no such bill», an error that only a look-up can get."""
    is_one = isinstance(answer, NotFoundError) and answer.bill_absent
    return "it says that no bill was found, and none was looked for" if is_one else None


def _another(name: str, asked: str, stated: str | None) -> str | None:
    is_another = _same(_folded(asked), _folded(stated)) is False
    return f"it has another {name}" if is_another else None


# --- words ------------------------------------------------------------------------------------------------------------


def described(wanted: Wanted, bill: Bill, different: tuple[str, ...]) -> str:
    """Return a phrase that names the differences, without a full consumer number."""
    if not different:
        return "does not say whose it is"
    there, asked = _short(_consumer(bill)), _short(wanted.consumer_number)
    shown = {"consumer_number": f"consumer_number ({there} there, {asked} asked)"}
    return "differs in " + " and ".join(shown.get(name, name) for name in different)


def refusal(wanted: Wanted, bill: Bill, different: tuple[str, ...]) -> DuplicateReferenceError:
    """Return the error for a reference that belongs to another bill, or to a bill that cannot be recognised."""
    error = DuplicateReferenceError(
        f"the reference {wanted.reference_id!r} was used before, and its bill {described(wanted, bill, different)}; "
        "this call created nothing: look at that bill with bills.get_by_reference() or "
        f"`{look_up(wanted.reference_id)}` before you give this one another reference"
    )
    error.response_code = 38
    error.differences = different
    return error


# --- facts ------------------------------------------------------------------------------------------------------------


def _same(wanted: object, found: object) -> bool | None:
    return None if wanted is None or found is None else wanted == found


def _differing(verdicts: dict[str, bool | None]) -> tuple[str, ...]:
    return tuple(name for name, same in verdicts.items() if same is False)


def _consumer(bill: Bill) -> str | None:
    if bill.consumer_number is not None:
        return bill.consumer_number
    company = bill.company_biller
    if company is not None and company.consumer_number is not None:
        return company.consumer_number
    return _input(bill, "cn")


def _input(bill: Bill, key: str) -> str | None:
    """Return the value of a biller's input as the bill shows it."""
    params = () if bill.company_biller is None else bill.company_biller.biller_params
    return next((one.value for one in params if (one.key or "").strip().casefold() == key.strip().casefold()), None)


def _circle(word: str | None) -> str | None:
    """Return a circle for comparison, or None for «all» and for words that EnKash's list lacks, such as `MUMBAI`."""
    circle = None if word is None else Circle(word.strip().upper())
    return None if circle is None or not circle.is_known or circle is Circle.ALL else circle.value


def _folded(text: str | None) -> str | None:
    """Return a text for comparison, leading zeros kept, or None when it is empty or EnKash has masked it."""
    if text is None or not text.strip() or _MASKED.search(text):
        return None
    return folded(text)


def _short(number: str | None) -> str:
    return "…" if number is None else shown_short(number)[1:-1]
