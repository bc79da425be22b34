"""Recognises cells that a spreadsheet or an export has damaged, and reads amounts as people write them."""

from __future__ import annotations

import re
from decimal import Decimal

from enkash_async._support.text import RUPEE, clean, exact_rupees
from enkash_async.cli.batch.problems import shown

__all__ = ["altered", "odd", "rupees_of", "shown_amount", "stray"]

# Errors that spreadsheets show in place of a value: `#N/A`, `#REF!`, `#NAME?`, `#WERT!`, `Err:502`.
_FAILED = re.compile(r"#(N/A|NA|NV|[A-Z][A-Z0-9_/]*[!?]|GETTING_DATA|SPILL|CALC)|Err:[0-9]+", re.IGNORECASE)
_TOO_NARROW = re.compile(r"#{2,}")
# Words that programs write for a missing value, a truth value or an infinite number.
_WORDS = frozenset({
    "nan", "null", "none", "true", "false", "nat", "undefined", "inf", "+inf", "-inf", "infinity", "<na>", "(null)",
    "#null", "[null]", "\\n", "wahr", "falsch",
})  # fmt: skip
_WORDS_FOR_NO_ID = frozenset({"na", "n/a", "n.a.", "nil", "-", "--", "?", "tbd", "missing"})
_FORMULA = re.compile(r"=.+|[+@-][A-Za-z$].*[(:!+*/].*", re.DOTALL)

_SHORTENED = re.compile(r"[+-]?[0-9]+([.,][0-9]+)?\s?[eE][+-]?[0-9]{1,3}")  # a rounded number, such as 1.23E+11
_DECIMALS = re.compile(r"[0-9]+[.,]0+")  # the number of a cell with fixed decimals, such as 123.00
_GROUPED = re.compile(r"[0-9]{1,3}(,[0-9]{2,3})*,[0-9]{3}")  # a number in groups of digits, such as 123,456,789
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)"
)
_DATE = re.compile(
    r"(0?[1-9]|[12][0-9]|3[01])(?P<one>[/.-])(0?[1-9]|[12][0-9]|3[01])(?P=one)(19|20)[0-9]{2}"  # such as 05-12-2026
    r"|[0-9]{1,2}/[0-9]{1,2}/[0-9]{2}"  # such as 5/12/26
    r"|(19|20)[0-9]{2}(?P<two>[/-])(0?[1-9]|1[0-2])(?P=two)(0?[1-9]|[12][0-9]|3[01])"  # such as 2026-12-05
)
_DATE_IN_WORDS = re.compile(
    rf"[0-9]{{1,2}}[ -]{_MONTH}([ ,-]+(20|19)?[0-9]{{2}})?"  # such as 5-Dec or 05 December 2026
    rf"|{_MONTH}[ -]([0-9]{{1,2}}|(19|20)[0-9]{{2}})(,? (19|20)[0-9]{{2}})?",  # such as Dec-26 or December 5, 2026
    re.IGNORECASE,
)
_TIME = re.compile(r"[T ][0-9]{1,2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?( ?[AP]M)?(Z|[+-][0-9:]+)?$", re.IGNORECASE)
_CHANGED = "format the column as text, and write the number again"

_CURRENCY = rf"(?:{RUPEE}|INR|Rs\.?|Re\.?|Rupees)"
# Accepts groups of two digits as in India, or of three. Any other group is ambiguous: its comma may be a decimal mark.
_NUMBER = r"((?:[0-9]{1,15}|[0-9]{1,2}(?:,[0-9]{2})*,[0-9]{3}|[0-9]{1,3}(?:,[0-9]{3})+)(?:\.[0-9]{1,2})?)"
_AMOUNT = re.compile(rf"(?:{_CURRENCY}\s*)?{_NUMBER}\s*(?:/[-=]|{_CURRENCY})?(?:\s*only)?", re.IGNORECASE)
_LIKE_AMOUNT = re.compile(rf"(?=.*[^0-9])(?:{_CURRENCY})?[0-9.,'/()=+\s-]{{1,30}}(?:{_CURRENCY})?", re.IGNORECASE)


def stray(text: str, *, is_id: bool) -> str | None:
    """Return what is wrong if a cell holds a placeholder or an error instead of a value; otherwise None.

    Args:
        text: The cell, stripped.
        is_id: Whether the cell must hold a number or an id. In other cells, `NA` may be what the biller wants.
    """
    if _TOO_NARROW.fullmatch(text):
        return "the column was too narrow, so the number is not in the file: widen it, and export again"
    if _FAILED.fullmatch(text):
        return f"a formula has failed here ({clean(text)[:20]}): write the value itself"
    if text.lower() in _WORDS or (is_id and text.lower() in _WORDS_FOR_NO_ID):
        return f"{text[:20]!r} stands for no value: write the value, or leave out the row"
    if _FORMULA.fullmatch(text):
        return "there is a formula in it: export the values (in a spreadsheet: paste as values)"
    return None


def altered(text: str, *, is_id: bool, is_number: bool) -> str | None:
    """Return what is wrong if a spreadsheet has changed what the user typed into a cell; otherwise None.

    Args:
        text: The cell, stripped.
        is_id: Whether the cell must hold an id. A biller's other inputs may be dates or amounts.
        is_number: Whether the cell must hold a consumer number. A reference may look like a date: `nov-1`.
    """
    if _SHORTENED.fullmatch(text) or _DECIMALS.fullmatch(text) or (is_id and _GROUPED.fullmatch(text)):
        return f"a spreadsheet has changed the number: {_CHANGED}"
    day = _TIME.sub("", text)
    if (is_id and _DATE.fullmatch(day)) or (is_number and _DATE_IN_WORDS.fullmatch(day)):
        return f"a spreadsheet has made a date of it: {_CHANGED}"
    return None


def odd(number: str) -> str | None:
    """Return what is wrong with the characters of a consumer number, or None."""
    hidden_one = next((one for one in number if not one.isprintable()), None)
    if hidden_one is not None:
        return f"there is an invisible character in it (U+{ord(hidden_one):04X}): type the cell again"
    if {"'", '"'} & set(number):  # users write '00123 to keep the zeros in a spreadsheet
        return "there is a quotation mark in it: write the number alone"
    return None


def rupees_of(text: str) -> Decimal | None:
    """Return the amount in a cell; accepts what people write: `₹1,25,000.00`, `12,000`, `Rs. 500`, `500/-`.

    None if the cell is ambiguous (`1.250,00`, `12,50`), is not an amount, or is less than a rupee.
    """
    found = _AMOUNT.fullmatch(text)
    return None if found is None else exact_rupees(found[1].replace(",", ""))


def shown_amount(text: str) -> str:
    """Return a cell for a message: in full if it looks like an amount, otherwise short, since it may be personal."""
    return repr(clean(text)) if _LIKE_AMOUNT.fullmatch(text) else shown(text)
