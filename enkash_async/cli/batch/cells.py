"""Recognises cells that a spreadsheet or an export has damaged, and reads amounts as people write them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from decimal import Decimal

from enkash_async._support.text import JOINERS, RUPEE, clean, exact_rupees
from enkash_async.cli.batch.problems import shown

__all__ = ["altered", "hidden_in", "is_total", "odd", "rupees_of", "shown_amount", "stray"]

# Errors that spreadsheets show in place of a value: `#N/A`, `#REF!`, `#NAME?`, `#¡VALOR!`, `#ЗНАЧ!`, `Err:502`.
_FAILED = re.compile(
    r"#[¡¿]?[^\W\d_][\w/]*[!?]|#(N/?[^\W\d_]|GETTING_DATA|SPILL|CALC|ERR(OR)?)( .*)?|Err(or)?[: ]\s?[0-9]+",
    re.IGNORECASE,
)
_TOO_NARROW = re.compile(r"#{2,}")
# Words that programs write for a missing value, a truth value or an infinite number.
_WORDS = frozenset({
    "nan", "-nan", "null", "none", "true", "false", "nat", "undefined", "inf", "+inf", "-inf", "infinity", "#null",
    "\\n", "wahr", "falsch", "vrai", "faux", "verdadero", "falso", "loading...",
})  # fmt: skip
_WORDS_FOR_NO_ID = frozenset({
    "na", "n/a", "n\\a", "n.a.", "n.a", "n/a.", "nil", "tbd", "tba", "tbc", "missing", "blank", "empty", "unknown",
    "not available", "not applicable", "no value", "-", "--", "?",
})  # fmt: skip
_IN_BRACKETS = re.compile(r"[(\[<{]\s*([^()\[\]<>{}]+?)\s*[)\]>}]")  # such as `(blank)` of a pivot table, or `<null>`
_NO_NUMBER = re.compile(
    r"[+-]?[0-9]\.#(INF|IND|[QS]NAN)[0-9]*|[+-]?nan\([a-z]+\)", re.IGNORECASE
)  # as Windows prints it
_FORMULA = re.compile(r"\{?=.+|[+@-][A-Za-z$].*[(:!+*/].*", re.DOTALL)
_CELL = re.compile(r"[+-]\$?[A-Z]{1,3}\$?[0-9]{1,7}")  # a formula that names one cell, such as +A1

# A rounded number, such as 1.23E+11, 1,23E 11 or 1.23×10^11. `12 E 34` may be what the user typed: it has neither a
# decimal mark nor a plus sign.
_SHORTENED = re.compile(
    r"[+-]?([0-9]+([.,][0-9]+)?\s?E[+-]?[0-9]{1,3}"
    r"|[0-9]+[.,][0-9]+\s*(E|[x×*·]\s*10\s*(\^|\*\*)?)\s*[+-]?\s*[0-9]{1,3}"
    r"|[0-9]+\s*E\s*\+\s*[0-9]{1,3})",
    re.IGNORECASE,
)
_DECIMALS = re.compile(r"[0-9]+[.,]0+")  # the number of a cell with fixed decimals, such as 123.00
_GROUPED = re.compile(r"[0-9]{1,3}(,[0-9]{2,3})*,[0-9]{3}")  # a number in groups of digits, such as 123,456,789
# What a number becomes in a cell with another format: 0.5, 123., 123,5, (500), ₹ 500, 5%.
_FORMATTED = re.compile(r"0[.,][0-9]+|[0-9]+[.,]|[0-9]+,[0-9]+|\([0-9.,]+\)|[₹$€£]\s?[0-9.,]+|[0-9.,]+\s?%")
_MASKED = re.compile(r"(?=.*[0-9])[0-9A-Z -]*([*•]{2,}|X{4,})[0-9A-Z -]*", re.IGNORECASE)
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
_ONLY_TIME = re.compile(r"[0-9]{1,4}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?( ?[AP]M)?", re.IGNORECASE)
_CHANGED = "format the column as text, and write the number again"

_QUOTES = frozenset("'\"`\u00b4\u2018\u2019\u201a\u201c\u201d\u201e\u2032\u2033\u00ab\u00bb")
_LOST = "\ufffd"  # what a program writes for a character that it could not read
_TOTAL = re.compile(r"((grand|sub|net|page)[ -]?)?(totals?|sum)( amount)?\s*:?|subtotal|sum total", re.IGNORECASE)

_CURRENCY = rf"(?:{RUPEE}|INR|Rs\.?|Re\.?|Rupees)"
# Accepts groups of two digits as in India, or of three. Any other group is ambiguous: its comma may be a decimal mark.
_NUMBER = r"((?:[0-9]{1,15}|[0-9]{1,2}(?:,[0-9]{2})*,[0-9]{3}|[0-9]{1,3}(?:,[0-9]{3})+)(?:\.[0-9]{1,2})?)"
_AMOUNT = re.compile(rf"(?:{_CURRENCY}\s*)?{_NUMBER}\s*(?:/[-=]|{_CURRENCY})?(?:\s*only)?", re.IGNORECASE)
_UNIT = r"(?:[CD]r\.?|k|lakhs?|lacs?|crores?|million|mn|m)"
_LIKE_AMOUNT = re.compile(
    rf"(?=.*[^0-9])(?:-?{_CURRENCY})?[0-9.,'/()=+Ee\s\u2212-]{{1,30}}(?:{_CURRENCY}|{_UNIT})?", re.IGNORECASE
)


def stray(text: str, *, is_id: bool, is_needed: bool = False) -> str | None:
    """Return what is wrong if a cell holds a placeholder or an error instead of a value; otherwise None.

    Args:
        text: The cell, stripped.
        is_id: Whether the cell must hold an id or a circle. In other cells, `NA` may be what the biller wants.
        is_needed: Whether the cell must not be empty.
    """
    plain = _folded(text)
    if _TOO_NARROW.fullmatch(plain):
        return "the column was too narrow, so the number is not in the file: widen it, and export again"
    if _FAILED.fullmatch(plain):
        return f"a formula has failed here ({clean(text)[:20]}): write the value itself"
    if _is_no_value(plain.lower(), is_id=is_id):
        otherwise = "leave out the row" if is_needed else "empty the cell"
        return f"{text[:20]!r} stands for no value: write the value, or {otherwise}"
    if _FORMULA.fullmatch(plain) or (is_id and _CELL.fullmatch(plain)):
        return "there is a formula in it: export the values (in a spreadsheet: paste as values)"
    return None


def _is_no_value(text: str, *, is_id: bool) -> bool:
    if text in _WORDS or _NO_NUMBER.fullmatch(text):
        return True
    inner = _IN_BRACKETS.fullmatch(text)
    if inner is not None and inner[1] in _WORDS | _WORDS_FOR_NO_ID:
        return True
    return is_id and text in _WORDS_FOR_NO_ID


def altered(text: str, *, is_id: bool, is_number: bool) -> str | None:
    """Return what is wrong if a spreadsheet has changed what the user typed into a cell; otherwise None.

    Args:
        text: The cell, stripped.
        is_id: Whether the cell must hold an id. A biller's other inputs may be dates or amounts.
        is_number: Whether the cell must hold a consumer number. A reference may look like a date: `nov-1`.
    """
    plain = _folded(text)
    if (
        _SHORTENED.fullmatch(plain)
        or _DECIMALS.fullmatch(plain)
        or (is_id and _GROUPED.fullmatch(plain))
        or (is_number and _FORMATTED.fullmatch(plain))
    ):
        return f"a spreadsheet has changed the number: {_CHANGED}"
    day = _TIME.sub("", plain)
    if (is_id and _DATE.fullmatch(day)) or (is_number and _DATE_IN_WORDS.fullmatch(day)):
        return f"a spreadsheet has made a date of it: {_CHANGED}"
    if is_number and _ONLY_TIME.fullmatch(plain):
        return f"a spreadsheet has made a time of it: {_CHANGED}"
    if is_number and _MASKED.fullmatch(plain):
        return "a part of the number is masked: write the whole number"
    return None


def _folded(text: str) -> str:
    """Return a cell with full-width and superscript characters as plain ones, and with `-` for the minus sign."""
    return text if text.isascii() else unicodedata.normalize("NFKC", text).replace("\u2212", "-").strip()


def odd(number: str) -> str | None:
    """Return what is wrong with the characters of a consumer number, or None."""
    if (hidden := hidden_in(number)) is not None:
        return hidden
    if not any(one.isalnum() for one in number):
        return "there is neither a letter nor a digit in it: write the number, or leave out the row"
    if _QUOTES & set(number):  # users write '00123 to keep the zeros in a spreadsheet
        return "there is a quotation mark in it: write the number alone"
    if _LOST in number:
        return f"a character was lost in an earlier export (U+{ord(_LOST):04X}): type the cell again"
    foreign = next((one for one in number if not one.isascii()), None)
    if foreign is not None:
        name = unicodedata.name(foreign, "without a name").lower()
        return f"there is a character in it that is not ASCII (U+{ord(foreign):04X}, {name}): type the number again"
    return None


def hidden_in(text: str) -> str | None:
    """Return what is wrong if a cell holds an invisible character, which makes it differ from its like; otherwise None.

    Joiners are allowed in text that is not ASCII: scripts of India need them.
    """
    allowed = "" if text.replace(JOINERS[0], "").replace(JOINERS[1], "").isascii() else JOINERS
    found = next((one for one in text if not (one.isprintable() or one in allowed)), None)
    return None if found is None else f"there is an invisible character in it (U+{ord(found):04X}): type the cell again"


def is_total(cells: Iterable[str]) -> bool:
    """Whether a row is a total below the bills, such as `Grand Total,,,45000`."""
    return any(_TOTAL.fullmatch(cell.strip()) for cell in cells)


def rupees_of(text: str) -> Decimal | None:
    """Return the amount in a cell; accepts what people write: `₹1,25,000.00`, `12,000`, `Rs. 500`, `500/-`.

    None if the cell is ambiguous (`1.250,00`, `12,50`), is not an amount, or is less than a rupee.
    """
    found = _AMOUNT.fullmatch(text)
    return None if found is None else exact_rupees(found[1].replace(",", ""))


def shown_amount(text: str) -> str:
    """Return a cell for a message: in full if it looks like an amount, otherwise short, since it may be personal."""
    return repr(clean(text)) if _LIKE_AMOUNT.fullmatch(text) else shown(text)
