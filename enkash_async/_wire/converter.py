"""Turns the decoded JSON of a reply's payload into typed values, with one cattrs converter."""

from __future__ import annotations

import types
from collections.abc import Container, Generator, Mapping
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import attrs
from cattrs import Converter

from enkash_async._support.names import fold
from enkash_async._wire.compiled import compiled_reader
from enkash_async._wire.page import Page
from enkash_async._wire.readers import Member, careful_reader, members
from enkash_async._wire.scalars import Hook, UnreadableError, day, decimal, integer, moment, string, word
from enkash_async.models import BillerCategory, OpenEnum, PaymentInitiation, Reply

__all__ = ["UnreadableError", "integer", "structure", "structure_in_slices"]

T = TypeVar("T")

#: Items read between two pauses. Reading them takes about 2 ms, short enough for the other tasks of the event loop.
_SLICE = 100

#: Members that may hold the list of a payload. EnKash does not document the reply of the search.
_LIST_NAMES = ("list", "records", "content", "data", "items", "results", "utilityPayments", "bills", "billers")

#: Names, in lower case without underscores, of the member that states the number of rows of the whole list. The member
#: stands in an object around the list. `count` and `size` are left out, since they often mean the rows of one page.
_TOTAL_NAMES = frozenset(
    ("total", "totalcount", "totalrecords", "totalelements", "totalitems", "totalresults", "totalrows", "totalsize")
)


def structure(payload: Any, result: type[T]) -> T:
    """Return a payload as a value of a type.

    Args:
        payload: Decoded JSON.
        result: The type; `object` returns the payload unchanged, `NoneType` accepts only an empty payload, and a `Page`
            gets the total that the payload states beside its list.

    Raises:
        UnreadableError: The payload does not fit the type; or the payload is a single value, and a strict member of it
            cannot be read. An item of a list is never refused: its `unreadable` names what cannot be read.
    """
    if result is object:
        return payload  # type: ignore[no-any-return]  # T is object here
    if result is type(None):
        if not _says_nothing(payload):  # the payload may be a list of the bills that failed
            raise UnreadableError("empty")
        return None
    if not isinstance(result, type) and get_origin(result) is Page:
        rows = structure(payload, _list_of(result))
        return Page(rows, _stated_total(payload))
    found = _converter.structure(payload, result)
    if isinstance(found, Reply) and found.unreadable:
        _refuse_strictly(found, payload)
    return found


def _refuse_strictly(found: Reply, payload: Any) -> None:
    """Raise if a strict member of a value cannot be read; a member that only shows a debit may be unreadable."""
    kind = type(found)
    careful_reader(kind, _members(kind), strict=True)(payload, kind)


def structure_in_slices(payload: Any, result: type[T]) -> Generator[None, None, T]:
    """Do what `structure` does, pausing after each 100 items of a list; replaces each item of that list by None.

    Raises:
        UnreadableError: The payload does not fit the type.
    """
    if get_origin(result) is Page:
        rows = yield from structure_in_slices(payload, _list_of(result))
        return Page(rows, _stated_total(payload))  # type: ignore[return-value]  # T is a page here
    if get_origin(result) is not list:
        return structure(payload, result)
    (kind,) = get_args(result)
    items, hook = _list_in(payload, _own_names(kind)), _converter.get_structure_hook(kind)
    built: list[Any] = []
    for start in range(0, len(items), _SLICE):
        part = items[start : start + _SLICE]
        _read_items(built, part, hook, kind)
        # Frees the items slice by slice: freeing megabytes of items at once would also stall the event loop.
        items[start : start + _SLICE] = [None] * len(part)
        yield
    return built  # type: ignore[return-value]  # T is a list here


def _says_nothing(payload: Any) -> bool:
    return payload in (None, "", {}, []) or (isinstance(payload, str) and payload.strip().lower() == "success")


def _list_of(result: Any) -> Any:
    """Return the type of a page's items: `list[Bill]` for `Page[Bill]`."""
    return types.GenericAlias(list, get_args(result))


def _stated_total(payload: Any) -> int | None:
    """Return the number of rows that an object around a list states for the whole list, or None.

    EnKash does not document such replies, so a total that cannot be read counts as missing.
    """
    if not isinstance(payload, dict):
        return None
    inner = [item for item in payload.values() if isinstance(item, dict)]  # such as {"page": {"totalElements": 2}}
    for place in (payload, *inner):
        for name, item in place.items():
            if fold(name) in _TOTAL_NAMES:
                try:
                    total = integer(item)
                except UnreadableError:
                    continue
                return total if total >= 0 else None
    return None


# --- branches ---------------------------------------------------------------------------------------------------------


def _bare(hint: Any) -> Any:
    """Return a type hint without its `| None`."""
    if get_origin(hint) in (Union, types.UnionType):
        return next(part for part in get_args(hint) if part is not type(None))
    return hint


def _members(cls: type[Reply]) -> dict[str, Member]:
    kinds = {name: _bare(hint) for name, hint in get_type_hints(cls).items()}
    return members(cls, kinds, _converter.get_structure_hook)


def _reply(cls: type[Reply]) -> Hook:
    known = _members(cls)
    careful = careful_reader(cls, known)
    return compiled_reader(cls, known, careful)  # `return careful` would give the same values, without compiled code


def _category(raw: Any, _: Any) -> BillerCategory:
    """Read a category. EnKash does not document the reply, so a bare string counts as the category's name."""
    if isinstance(raw, str):
        return BillerCategory(name=string(raw))
    known: BillerCategory = _plain_category(raw, BillerCategory)
    return known


def _initiation(raw: Any, _: Any) -> PaymentInitiation:
    """Read the undocumented reply of a payment, and keep all of it as `payload`."""
    known: PaymentInitiation = _plain_initiation(raw if isinstance(raw, dict) else {}, PaymentInitiation)
    return attrs.evolve(known, payload=raw)


def _list_in(payload: Any, own: Container[str] = (), *, nested: bool = False) -> list[Any]:
    """Return the payload if it is a list, otherwise the list inside it; EnKash does not document replies with lists."""
    if isinstance(payload, list):
        return payload
    if payload is None:
        return []
    if isinstance(payload, dict):
        found = _held_list(payload)
        inner = [item for item in payload.values() if isinstance(item, dict)]
        if found is not None:
            return found
        # An object that has a member of the item's class is itself an item; a list inside the object is part of it.
        if len(inner) == 1 and not nested and not any(fold(name) in own for name in payload):
            return _list_in(inner[0], nested=True)
        if _is_empty_page(payload):
            return []
    raise UnreadableError("a list, or an object that holds one")


def _held_list(payload: dict[str, Any]) -> list[Any] | None:
    """Return the list in an object: the list with a known name, else the only list, else the only list of objects."""
    lists = {fold(name): item for name, item in payload.items() if isinstance(item, list)}
    named = [lists[fold(name)] for name in _LIST_NAMES if fold(name) in lists]
    if named:
        return next((item for item in named if item), named[0])
    of_objects = [item for item in lists.values() if any(isinstance(entry, dict) for entry in item)]
    candidates = list(lists.values()) if len(lists) == 1 else of_objects
    return candidates[0] if len(candidates) == 1 else None


def _is_empty_page(payload: Mapping[str, Any]) -> bool:
    """Whether an object without a list reports no items: its list is null, or its total is 0."""
    names = {fold(name) for name in _LIST_NAMES}
    return any(
        item is None if fold(name) in names else fold(name).startswith("total") and str(item) == "0"
        for name, item in payload.items()
    )


def _sequence(kind: Any) -> Hook:
    (item_kind, *_rest) = get_args(kind)
    build = get_origin(kind)
    item_hook, own = _converter.get_structure_hook(item_kind), _own_names(item_kind)

    def hook(raw: Any, _: Any) -> Any:
        items = raw if type(raw) is list else _list_in(raw, own)
        built: list[Any] = []
        _read_items(built, items, item_hook, item_kind)
        return built if build is list else build(built)

    return hook


@cache
def _own_names(kind: Any) -> Container[str]:
    return frozenset(_members(kind)) if _is_reply(kind) else ()


def _read_items(built: list[Any], items: list[Any], hook: Hook, kind: Any) -> None:
    """Read the items and append one value for each to `built`, even for a null or an unreadable item.

    Without a value for such an item, the page would look short, and the pager would stop.
    """
    for item in items:
        try:
            built.append(hook(item, kind))
        except UnreadableError as problem:
            built.append(kind(extra={"": item}, unreadable=(f"the item is not {problem.expected}",)))


def _is_reply(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Reply)


def _is_sequence(kind: Any) -> bool:
    return get_origin(kind) in (list, tuple)


def _build() -> Converter:
    """Return the converter with hooks of our own; those of cattrs would turn None into 'None' and 2.9 into 2."""
    converter = Converter(detailed_validation=False)
    converter.register_structure_hook(Decimal, decimal)
    converter.register_structure_hook(int, integer)
    converter.register_structure_hook(str, string)
    converter.register_structure_hook(datetime, moment)
    converter.register_structure_hook(date, day)
    # Each enum gets its own hook. One rule for all enums would have no effect: they are subclasses of `str`, and the
    # hook of `str` would be used first.
    for kind in OpenEnum.__subclasses__():
        converter.register_structure_hook(kind, word(kind))
    converter.register_structure_hook_factory(_is_reply, _reply)
    converter.register_structure_hook_factory(_is_sequence, _sequence)
    return converter


_converter = _build()
_plain_category = _converter.get_structure_hook(BillerCategory)
_plain_initiation = _converter.get_structure_hook(PaymentInitiation)
_converter.register_structure_hook(BillerCategory, _category)
_converter.register_structure_hook(PaymentInitiation, _initiation)
