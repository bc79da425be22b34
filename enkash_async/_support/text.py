"""Turns values into text for people; prints nothing."""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from enkash_async._support.values import plain

__all__ = [
    "JOINERS", "RUPEE", "clean", "control_flaw", "exact_rupees", "folded", "hidden_flaw", "hidden_place", "look_up",
    "members", "outer_flaw", "plain", "rupees", "shown", "url_flaw",
]  # fmt: skip

RUPEE = "₹"

#: Invisible characters that scripts of India need.
JOINERS = "\u200c\u200d"
# Only plain ASCII digits: `Decimal` would also accept `1_000`, `1e9`, `NaN` and the digits of other scripts.
_RUPEES = re.compile(r"[0-9]{1,15}(\.[0-9]{1,2})?")

_CONTROLS = {"\n": "a line break", "\r": "a line break", "\t": "a tab", "\0": "a NUL"}

_ALIASES = {"\ufeff": "byte order mark"}  # a name that more people know than «zero width no-break space»
_QUOTES = "\"'`\u2018\u2019\u201c\u201d"

_LONGEST = 40  # largest exponent of an amount that is written in full; a server may send a larger one


def clean(value: object) -> str:
    """Return a value as one line of text that cannot steer a terminal.

    White space becomes a space. A character that cannot be printed becomes its Python escape; examples are an escape
    code, half a surrogate pair and a change of the writing direction.
    """
    return "".join(map(_visible, str(value)))


def _visible(character: str) -> str:
    if character.isprintable() or character in JOINERS:
        return character
    return " " if character.isspace() else character.encode("unicode_escape").decode("ascii")


def folded(text: str) -> str:
    """Return a text as it is compared: without blanks around it, in one case, and in Unicode form NFC."""
    return unicodedata.normalize("NFC", text.strip().casefold())


def control_flaw(text: str) -> str | None:
    """Return what is wrong if a setting holds a control character, without showing the setting; otherwise None."""
    flaws = [at for at, one in enumerate(text) if unicodedata.category(one) == "Cc"]
    if not flaws:
        return None
    at = flaws[0]
    name = _CONTROLS.get(text[at], "a control character")
    is_last = all(one.isspace() or unicodedata.category(one) == "Cc" for one in text[at:])
    place = " at its end" if is_last else " at its start" if at == 0 else ""
    return f"holds {name} (U+{ord(text[at]):04X}){place}: remove it"


def hidden_flaw(text: str) -> str | None:
    """Return what is wrong if a setting holds a control character or an invisible one, without showing the setting.

    Invisible are blanks other than the space, and format characters such as the zero width space or the marks of the
    writing direction. Users copy them from web pages and mails together with a value.
    """
    if (flaw := control_flaw(text)) is not None:
        return flaw
    where = hidden_place(text)
    return None if where is None else f"holds an invisible character: {where}; remove it"


def hidden_place(text: str) -> str | None:
    """Return place and name of the first invisible character, as in `character 9 is U+200B, zero width space`."""
    if text.isascii():
        return None
    for at, one in enumerate(text, 1):
        if one != " " and unicodedata.category(one) in {"Cf", "Zs", "Zl", "Zp"}:
            return (
                f"character {at} is U+{ord(one):04X}, {_ALIASES.get(one) or unicodedata.name(one, 'no name').lower()}"
            )
    return None


def outer_flaw(text: str) -> str | None:
    """Return text about a blank or quotation mark at an end of a setting, without showing the setting; None if fine."""
    for what, characters in (("a quotation mark", _QUOTES), ("a blank", None)):
        begins, ends = text.lstrip(characters) != text, text.rstrip(characters) != text
        if begins or ends:
            return f"{' and '.join(['begins'] * begins + ['ends'] * ends)} with {what}"
    return None


def url_flaw(text: str) -> str | None:
    """Return what is wrong if a URL holds what nobody sees, or stands in quotation marks or blanks; otherwise None."""
    if (flaw := hidden_flaw(text)) is not None:
        return flaw
    outer = outer_flaw(text)
    return None if outer is None else f"{outer}: remove it"


def rupees(amount: Decimal | None) -> str:
    """Return money with all its digits, at least two after the point, grouped as in India: `₹ 1,23,456.50`."""
    if amount is None:
        return "no amount"
    if abs(amount.adjusted()) > _LONGEST:
        return f"{RUPEE} {amount}"
    whole, _, paise = format(abs(amount), "f").partition(".")
    sign = "-" if amount < 0 else ""
    return f"{RUPEE} {sign}{_grouped(whole)}.{paise.ljust(2, '0')}"


def exact_rupees(text: str) -> Decimal | None:
    """Return the exact amount that a text states; None if the text is not an amount of at least one rupee."""
    amount = Decimal(text) if _RUPEES.fullmatch(text) else None
    return None if amount is None or amount < 1 else amount


def _grouped(digits: str) -> str:
    thousands, last = digits[:-3], digits[-3:]
    first = len(thousands) % 2
    pairs = [thousands[:first], *(thousands[at : at + 2] for at in range(first, len(thousands), 2)), last]
    return ",".join(filter(None, pairs))


def shown(value: object, name: str = "") -> str:
    """Return one value as text for people.

    Args:
        value: A single value, neither an object nor a list.
        name: Name of the value; a number with `amount` in its name is shown in rupees.
    """
    if isinstance(value, Decimal) and "amount" in name.lower():
        return rupees(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else clean(value)


def look_up(reference_id: str) -> str:
    """Return the command that shows the bill of a reference."""
    return f"enkash bill get --reference {shlex.quote(reference_id)}"


def members(value: object) -> Iterator[tuple[str, str]]:
    """Yield the name and text of every member that is set; a nested name looks like `company_biller.biller.name`."""
    return _flat(plain(value), "")


def _flat(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, (dict, list)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value, 1):
            yield from _flat(item, f"{name}.{clean(key)}" if name else clean(key))
    elif value is not None and value != "":
        yield name, shown(value, name.rpartition(".")[2])
