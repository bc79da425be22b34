"""Readers of reply classes: one that is careful, and a quick one that is compiled for each class.

A reply is read twice over only where it is odd. The quick reader takes EnKash's own names and conventional values,
which is what nearly every reply consists of; at the first thing that is neither, the careful one begins again. It
alone decides what an odd reply means.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import attrs

from enkash_async._wire.scalars import Hook, UnconventionalError, UnreadableError, remembered_day
from enkash_async.models import OpenEnum, Reply
from enkash_async.models.base import camel

__all__ = ["Member", "fold", "members", "reader"]

# Numbers that the careful reader would take as they are, and its checks take long to say so.
_SANE = "-30 <= value.adjusted() <= 30 and len(str(value)) <= 30 and value.is_finite()"
_SMALL = "-10**18 < value < 10**18"
# How many names that mean no member are remembered, and how long ones: hostile replies must not fill the memory.
_MOST_STRANGE, _LONGEST_STRANGE = 1_000, 64


@attrs.frozen
class Member:
    """How a member of a reply becomes a field.

    Attributes:
        attribute: Name of the field.
        kind: Its type, without `| None`.
        hook: Reads a value that is there.
        default: The field's value where EnKash sends nothing.
    """

    attribute: str
    kind: Any
    hook: Hook
    default: Any

    @property
    def blank(self) -> bool:
        """Whether "" means that there is no value; not for strings, which can be empty."""
        return self.kind is not str

    @property
    def is_nested(self) -> bool:
        """Whether its value is an object or a list."""
        return not isinstance(self.kind, type) or issubclass(self.kind, Reply)


class _OddError(Exception):
    """The quick reader gives up."""


def fold(name: str) -> str:
    """Return a name without case and underscores, which the pages contradict each other in (`billdate`)."""
    return name.replace("_", "").lower()


def members(cls: type[Reply], kinds: dict[str, Any], hook: Callable[[Any], Hook]) -> dict[str, Member]:
    """Return the members of a reply class by EnKash's names, exact and folded.

    Args:
        cls: The class.
        kinds: The type of each field, without `| None`.
        hook: Returns the reader of a type.
    """
    found: dict[str, Member] = {}
    for field in attrs.fields(cls):
        if field.name == "extra" or "local" in field.metadata:
            continue
        kind = kinds[field.name]
        known = Member(field.name, kind, hook(kind), field.default)
        for name in (camel(field.name), *field.metadata["wire"]):
            found[name] = found[fold(name)] = known
    return found


def reader(cls: type[Reply], known: dict[str, Member]) -> Hook:
    """Return the reader of a reply class, quick where it can be."""
    careful = _careful(cls, known)
    return _compiled(cls, known, careful) if _is_plain(cls) else careful


def _is_plain(cls: type[Reply]) -> bool:
    """Whether `__init__` does no more than set fields; a draft would skip whatever else it does."""
    fields = [field for field in attrs.fields(cls) if field.name != "extra"]
    does_more = any(field.converter or field.validator or isinstance(field.default, attrs.Factory) for field in fields)  # type: ignore[arg-type]
    return not does_more and not hasattr(cls, "__attrs_post_init__")


def _careful(cls: type[Reply], known: dict[str, Member]) -> Hook:
    """Return the reader that decides: every spelling of a name, every form of a value, and errors that say where."""

    def read(raw: Any, _: Any) -> Reply:
        if not isinstance(raw, dict):
            raise UnreadableError("an object")
        values: dict[str, Any] = {}
        extra: dict[str, Any] = {}
        for name, item in raw.items():
            member = known.get(name) or known.get(fold(name))
            if member is None or (member.attribute in values and item is not None):
                extra[name] = item
            elif item is not None and not (item == "" and member.blank):
                try:
                    values[member.attribute] = member.hook(item, member.kind)
                except UnconventionalError:
                    extra[name] = item
                except UnreadableError as problem:
                    raise problem.under(name) from None
        return cls(**values, extra=extra)

    return read


def _compiled(cls: type[Reply], known: dict[str, Member], careful: Hook) -> Hook:
    """Return the quick reader, compiled from source as attrs compiles `__init__` and cattrs its hooks.

    For a class with nothing but an amount and a biller, and without the checks, the source would be:

        rest = raw.copy()
        draft = Draft()
        draft.amount = rest.pop("amount", None)
        held_biller = rest.pop("biller", None)
        draft.extra = further(rest) if rest else {}
        draft.biller = read_biller(held_biller)
        draft.__class__ = Bill

    A frozen class pays for each field that its `__init__` sets, and forty of them cost more than all the rest. So the
    fields are set on a draft, a twin of the class that is not frozen, and the whole draft becomes the value at the
    end: CPython allows that between classes with the same slots.
    """
    # One entry a member: `known` has several names for each, and all but EnKash's own are left to the careful reader.
    exact = {camel(member.attribute): member for member in known.values()}
    strange: dict[str, str] = {}  # names of which it is known that they mean no member

    def further(rest: dict[str, Any]) -> dict[str, Any]:
        for name in rest:
            if name not in strange:
                if fold(name) in known:
                    raise _OddError  # another name of a member
                if len(strange) < _MOST_STRANGE and len(name) <= _LONGEST_STRANGE:
                    strange[name] = name
        # Anew, since `rest` keeps the room that it had for all members; and all values share the strings of the names.
        return {strange.get(name, name): item for name, item in rest.items()}

    thawed = {"__slots__": cls.__slots__, "__setattr__": object.__setattr__, "__delattr__": object.__delattr__}  # type: ignore[attr-defined]
    scope: dict[str, Any] = {
        "Decimal": Decimal,
        "Draft": type(f"_{cls.__name__}Draft", cls.__bases__, {**thawed, "__init__": object.__init__}),
        "Value": cls,
        # What is no string where a word or a date is expected is a TypeError of a dictionary, or of `len`.
        "Odd": (UnconventionalError, UnreadableError, _OddError, TypeError),
        "careful": careful,
        "further": further,
    }
    lines: list[str] = []
    nested: list[str] = []
    for name, member in exact.items():
        taken, setting = f"take({name!r}, None)", f"draft.{member.attribute} = {_expression(member, scope)}"
        if member.is_nested:
            lines.append(f"held_{member.attribute} = {taken}")
            nested += [f"value = held_{member.attribute}", setting]
        else:
            lines += [f"value = {taken}", setting]
    for field in attrs.fields(cls):
        if "local" in field.metadata:
            scope[f"default_{field.name}"] = field.default
            lines.append(f"draft.{field.name} = default_{field.name}")
    # What is odd about this object shows before those within it are read, which would be for nothing, level by level.
    body = "\n            ".join([*lines, "draft.extra = further(rest) if rest else {}", *nested])
    source = f"""
def read(raw, kind=None):
    if type(raw) is dict:
        try:
            rest = raw.copy()
            take = rest.pop
            draft = Draft()
            {body}
        except Odd:
            pass
        else:
            draft.__class__ = Value
            return draft
    return careful(raw, kind)
"""
    place = f"<enkash_async reader of {cls.__name__}>"
    linecache.cache[place] = (len(source), None, source.splitlines(keepends=True), place)  # for debuggers
    exec(compile(source, place, "exec"), scope)  # noqa: S102 (nothing but names of our own classes is in it)
    quick: Hook = scope["read"]
    return quick


def _expression(member: Member, scope: dict[str, Any]) -> str:
    """Return the source that makes a field of the variable `value`, the most likely case first."""
    attribute, kind = member.attribute, member.kind
    default = "None" if member.default is None else f"default_{attribute}"
    scope |= {f"default_{attribute}": member.default, f"read_{attribute}": member.hook, f"kind_{attribute}": kind}
    read = f"read_{attribute}(value, kind_{attribute})"
    absent = f"{default} if value is None or value == '' else {read}"
    if kind is str:
        return f"value if type(value) is str else {default} if value is None else {read}"
    if kind is Decimal:
        whole = f"Decimal(value) if type(value) is int and {_SMALL} else {absent}"
        return f"value if type(value) is Decimal and {_SANE} else {whole}"
    if kind is int:
        return f"value if type(value) is int and {_SMALL} else {absent}"
    if kind is date:
        scope["day"] = remembered_day
        return f"day(value) if value and len(value) == 10 else {absent}"
    if isinstance(kind, type) and issubclass(kind, OpenEnum):
        scope[f"words_{attribute}"] = {member.value: member for member in kind}
        return f"(words_{attribute}.get(value) or {read}) if value else {absent}"
    return f"{read} if value else {absent}"
