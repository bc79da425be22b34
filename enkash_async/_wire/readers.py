"""The careful reader of a reply class: it decides what an odd reply means, after the quick reader has given up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from enkash_async._support.names import fold
from enkash_async._wire.scalars import Hook, UnreadableError
from enkash_async.models import Reply
from enkash_async.models.base import camel

__all__ = ["Member", "careful_reader", "members"]


@attrs.frozen
class Member:
    """How a member of a reply becomes a field of a value.

    Attributes:
        attribute: Name of the field, such as `bill_due_date`.
        kind: Type of the field, without `| None`.
        hook: Reads a value other than null.
        default: Value of the field if EnKash leaves the member out or sends null.
        is_strict: Whether a payment depends on the member. If it cannot be read in a reply with a single value, the
            reply is an error.
        is_told: Whether `unreadable` names the member if it cannot be read.
    """

    attribute: str
    kind: Any
    hook: Hook
    default: Any
    is_strict: bool = False
    is_told: bool = False

    @property
    def blank(self) -> bool:
        """Whether the value "" means «no value»; True for every type except `str`."""
        return self.kind is not str

    @property
    def is_nested(self) -> bool:
        """Whether the value is an object or a list."""
        return not isinstance(self.kind, type) or issubclass(self.kind, Reply)

    def flaw(self, problem: UnreadableError) -> tuple[str, ...]:
        """Return the entry of the member in `unreadable`: EnKash's name and the expected kind, never the value."""
        return (f"{camel(self.attribute)} is not {problem.expected}",) if self.is_told else ()


def members(cls: type[Reply], kinds: dict[str, Any], hook: Callable[[Any], Hook]) -> dict[str, Member]:
    """Return the members of a reply class by EnKash's names, both as EnKash writes them and folded (see `fold`).

    Args:
        cls: The reply class, whose fields become the members.
        kinds: Type of each field by its name, without `| None`.
        hook: Returns the function that reads values of a type.
    """
    found: dict[str, Member] = {}
    for field in attrs.fields(cls):
        if field.name == "extra" or "local" in field.metadata:
            continue
        kind = kinds[field.name]
        strict = field.metadata.get("strict", False)
        told = strict or field.metadata.get("shows_debit", False)
        known = Member(field.name, kind, hook(kind), field.default, is_strict=strict, is_told=told)
        for name in (camel(field.name), *field.metadata["aliases"]):
            found[name] = found[fold(name)] = known
    return found


def careful_reader(cls: type[Reply], known: dict[str, Member], *, strict: bool = False) -> Hook:
    """Return the careful reader: accepts every spelling of a name and every form of a value.

    A member that cannot be read goes into `extra`. If a payment depends on the member, `unreadable` names it too.

    Args:
        cls: The reply class.
        known: Its members.
        strict: Whether to raise an error, which names the member's place, if a strict member cannot be read.
    """

    def read(raw: Any, _: Any) -> Reply:
        if not isinstance(raw, dict):
            raise UnreadableError("an object")
        values: dict[str, Any] = {}
        extra: dict[str, Any] = {}
        flaws: list[str] = []
        for name, item in raw.items():
            member = known.get(name) or known.get(fold(name))
            if member is None or (member.attribute in values and item is not None):
                extra[name] = item
            elif item is not None and not (item == "" and member.blank):
                try:
                    values[member.attribute] = member.hook(item, member.kind)
                except UnreadableError as problem:
                    if strict and member.is_strict:
                        raise problem.under(name) from None
                    extra[name] = item
                    flaws += member.flaw(problem)
        return cls(**values, extra=extra, unreadable=tuple(flaws))

    return read
