"""From the bytes of a reply to a value or an error: the one converter, and what EnKash's envelope means."""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Container, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import attrs
from cattrs import Converter

from enkash_async._checks import IST
from enkash_async.models import BillerCategory, BillPayStatus, OpenEnum, PaymentInitiation, PaymentStatus, Reply
from enkash_async.models._base import camel

__all__ = ["UnreadableError", "integer", "structure"]

T = TypeVar("T")
Hook = Callable[[Any, Any], Any]

_NUMBER = re.compile(r"[+-]?\d{1,60}(\.\d{1,60})?([eE][+-]?\d{1,3})?", re.ASCII)
_MAX_DIGITS = 30

#: Words that say where the money is: reading one that is unreadable as «still pending» would be a guess.
_DECISIVE = frozenset({BillPayStatus, PaymentStatus})

#: Names under which a list has been seen inside a payload; the page of the search does not show its reply.
_LIST_NAMES = ("list", "records", "content", "data", "items", "results", "utilityPayments", "bills", "billers")


class UnreadableError(Exception):
    """A member is not of its documented kind; carries where, and what was expected, never the value."""

    def __init__(self, expected: str, where: str = "") -> None:
        super().__init__(expected)
        self.expected = expected
        self.where = where

    def under(self, name: str) -> UnreadableError:
        """Return the same finding one level further out."""
        joint = "" if not self.where or self.where.startswith("[") else "."
        return UnreadableError(self.expected, f"{name}{joint}{self.where}")


class _UnconventionalError(Exception):
    """A member whose loss endangers no money has a form that is not documented; it is kept as it is in `extra`."""


def structure(payload: Any, result: type[T]) -> T:
    """Return a payload as a value of the given type; `object` returns it as it is.

    Raises:
        UnreadableError: It cannot be read as that.
    """
    if result is object:
        return payload  # type: ignore[no-any-return]  # T is object here
    if result is type(None):
        return None  # the caller asked for no data, whatever EnKash sends beside it
    return _converter.structure(payload, result)


# --- leaves -----------------------------------------------------------------------------------------------------------


def _decimal(raw: Any, _: Any = None) -> Decimal:
    """Money and numbers: an integer, a decimal, or a string of one; exact."""
    if isinstance(raw, str) and _NUMBER.fullmatch(raw.strip()):
        raw = Decimal(raw.strip())
    if isinstance(raw, bool) or not isinstance(raw, (int, Decimal)):
        raise UnreadableError("a number")
    number = Decimal(raw)
    exponent = number.as_tuple().exponent
    # `1e999999999` is a legal JSON number; nobody downstream should have to fear formatting it.
    if number.adjusted() > _MAX_DIGITS or not isinstance(exponent, int) or exponent < -2 * _MAX_DIGITS:
        raise UnreadableError("a number of a sane size")
    return number


def integer(raw: Any, _: Any = None) -> int:
    """Read a whole number, or a string of one; 2.9 is none."""
    number = _decimal(raw)
    if number != number.to_integral_value():
        raise UnreadableError("a whole number")
    return int(number)


def _string(raw: Any, _: Any = None) -> str:
    if isinstance(raw, str):
        return raw
    if isinstance(raw, (int, Decimal)) and not isinstance(raw, bool):
        return str(raw)  # the digits as EnKash sent them
    raise _UnconventionalError


def _moment(raw: Any, _: Any = None) -> datetime:
    """Date-time: with a zone as it says, without one in India time; a plain date is its midnight in India."""
    try:
        moment = datetime.fromisoformat(raw.strip())
        zoned = moment.replace(tzinfo=IST) if moment.utcoffset() is None else moment
        # Years 1 and 9999 can leave the calendar here rather than in the user's hands.
        zoned.astimezone(UTC).astimezone(IST)
    except (AttributeError, ValueError, OverflowError):
        raise _UnconventionalError from None
    return zoned


def _date(raw: Any, _: Any = None) -> date:
    """Date: of a date-time, the date that it has in India."""
    return _moment(raw).astimezone(IST).date()


def _word(kind: type[OpenEnum]) -> Hook:
    def hook(raw: Any, _: Any) -> OpenEnum:
        if isinstance(raw, str):
            return kind(raw)
        if kind in _DECISIVE:
            raise UnreadableError("a word")
        raise _UnconventionalError

    return hook


# --- branches ---------------------------------------------------------------------------------------------------------


@attrs.frozen
class _Member:
    attribute: str
    kind: Any
    hook: Hook
    blank: bool  # does "" mean that there is no value? Not for strings, which can be empty


def _fold(name: str) -> str:
    return name.replace("_", "").lower()


def _bare(hint: Any) -> Any:
    """Return the type without its `| None`."""
    if get_origin(hint) in (Union, types.UnionType):
        return next(part for part in get_args(hint) if part is not type(None))
    return hint


def _members(cls: type[Reply]) -> dict[str, _Member]:
    """Return the members of a reply class by EnKash's name, exact and folded.

    The pages contradict each other in the casing of names (`billdate`, `billPayStatus`), so case and underscores are
    not told apart.
    """
    hints = get_type_hints(cls)
    found: dict[str, _Member] = {}
    for field in attrs.fields(cls):
        if field.name == "extra" or "local" in field.metadata:
            continue
        kind = _bare(hints[field.name])
        member = _Member(field.name, kind, _converter.get_structure_hook(kind), kind is not str)
        for name in (camel(field.name), *field.metadata["wire"]):
            found[name] = found[_fold(name)] = member
    return found


def _reply(cls: type[Reply]) -> Hook:
    members = _members(cls)

    def hook(raw: Any, _: Any) -> Reply:
        if not isinstance(raw, dict):
            raise UnreadableError("an object")
        values: dict[str, Any] = {}
        extra: dict[str, Any] = {}
        for name, item in raw.items():
            member = members.get(name) or members.get(_fold(name))
            if member is None or (member.attribute in values and item is not None):
                extra[name] = item
            elif item is not None and not (item == "" and member.blank):
                try:
                    values[member.attribute] = member.hook(item, member.kind)
                except _UnconventionalError:
                    extra[name] = item
                except UnreadableError as problem:
                    raise problem.under(name) from None
        return cls(**values, extra=extra)

    return hook


def _category(raw: Any, _: Any) -> BillerCategory:
    """Read a category; since the reply is not documented, a bare word counts as its name."""
    if isinstance(raw, str):
        return BillerCategory(name=raw)
    known: BillerCategory = _plain_category(raw, BillerCategory)
    return known


def _initiation(raw: Any, _: Any) -> PaymentInitiation:
    """Read the undocumented reply of a payment; whatever it is, it is kept whole."""
    try:
        known: PaymentInitiation = _plain_initiation(raw if isinstance(raw, dict) else {}, PaymentInitiation)
    except UnreadableError:
        known = PaymentInitiation()
    return attrs.evolve(known, payload=raw)


def _list_in(payload: Any, own: Container[str] = (), *, nested: bool = False) -> list[Any]:
    """Return the list that a payload is, or that it holds: neither search nor biller list show their reply."""
    if isinstance(payload, list):
        return payload
    if payload is None:
        return []
    if isinstance(payload, dict):
        found = _held_list(payload)
        inner = [item for item in payload.values() if isinstance(item, dict)]
        if found is not None:
            return found
        # An object with members of an item is an item; the list within it is another one.
        if len(inner) == 1 and not nested and not any(_fold(name) in own for name in payload):
            return _list_in(inner[0], nested=True)
        if _is_empty_page(payload):
            return []
    raise UnreadableError("a list, or an object that holds one")


def _held_list(payload: dict[str, Any]) -> list[Any] | None:
    """Return the one list that an object can mean: by its name, as the only one, as the only one that holds objects."""
    lists = {_fold(name): item for name, item in payload.items() if isinstance(item, list)}
    named = [lists[_fold(name)] for name in _LIST_NAMES if _fold(name) in lists]
    if named:
        return next((item for item in named if item), named[0])
    of_objects = [item for item in lists.values() if any(isinstance(entry, dict) for entry in item)]
    candidates = list(lists.values()) if len(lists) == 1 else of_objects
    return candidates[0] if len(candidates) == 1 else None


def _is_empty_page(payload: Mapping[str, Any]) -> bool:
    """Whether an object without a list says that there is nothing: a list that is null, or a total of 0."""
    names = {_fold(name) for name in _LIST_NAMES}
    return any(
        item is None if _fold(name) in names else _fold(name).startswith("total") and str(item) == "0"
        for name, item in payload.items()
    )


def _sequence(kind: Any) -> Hook:
    (item_kind, *_rest) = get_args(kind)
    build = get_origin(kind)
    item_hook = _converter.get_structure_hook(item_kind)
    own = _members(item_kind) if _is_reply(item_kind) else {}

    def hook(raw: Any, _: Any) -> Any:
        items = _list_in(raw, own)
        built = []
        for index, item in enumerate(items):
            try:
                # A hole stays one: a pager takes a page that is too short for the last one.
                built.append(item_hook({} if item is None else item, item_kind))
            except UnreadableError as problem:
                raise problem.under(f"[{index}]") from None
        return build(built)

    return hook


def _is_reply(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Reply)


def _is_sequence(kind: Any) -> bool:
    return get_origin(kind) in (list, tuple)


def _build() -> Converter:
    """Return the converter; every hook here is strict, where cattrs' own turn None into 'None' and 2.9 into 2."""
    converter = Converter(detailed_validation=False)
    converter.register_structure_hook(Decimal, _decimal)
    converter.register_structure_hook(int, integer)
    converter.register_structure_hook(str, _string)
    converter.register_structure_hook(datetime, _moment)
    converter.register_structure_hook(date, _date)
    # One by one, since these classes are strings as well: the hook of `str` would win over a rule for all of them.
    for kind in OpenEnum.__subclasses__():
        converter.register_structure_hook(kind, _word(kind))
    converter.register_structure_hook_factory(_is_reply, _reply)
    converter.register_structure_hook_factory(_is_sequence, _sequence)
    return converter


_converter = _build()
_plain_category = _converter.get_structure_hook(BillerCategory)
_plain_initiation = _converter.get_structure_hook(PaymentInitiation)
_converter.register_structure_hook(BillerCategory, _category)
_converter.register_structure_hook(PaymentInitiation, _initiation)
