"""What the reply values have in common: their fields, and how they show themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

__all__ = ["Reply", "camel", "hidden", "member", "shown_names", "shown_short"]

_SHOWN = 4  # characters of a consumer number that may appear in a log


def camel(attribute: str) -> str:
    """Return EnKash's name of a field: `bill_due_date` is `billDueDate`."""
    first, *rest = attribute.split("_")
    return first + "".join(word.capitalize() for word in rest)


def shown_short(value: str) -> str:
    """Return a personal number for `repr`: its last four characters behind an ellipsis."""
    return repr("…" + value[-_SHOWN:] if len(value) > _SHOWN else "…")


def hidden(_: object) -> str:
    """Return what `repr` shows of personal data: that there is some."""
    return "…"


def shown_names(extra: Mapping[str, Any]) -> str:
    """Return what `repr` shows of members that nobody knows: their names."""
    return "{" + ", ".join(f"{name!r}: …" for name in extra) + "}"


def member(default: Any = None, *, wire: tuple[str, ...] = (), repr: Any = True) -> Any:  # noqa: A002 (as in attrs)
    """Return a field that a reply may leave out or send as null.

    Args:
        default: Its value then.
        wire: Names by which EnKash may call it beside the camelCase of the field's own name.
        repr: As in `attrs.field`.
    """
    return attrs.field(default=default, repr=repr, metadata={"wire": wire})


@attrs.frozen(kw_only=True, repr=False)
class Reply:
    """The base of every value decoded from a reply.

    Attributes:
        extra: Members that this SDK does not know, and dates that it cannot read, under EnKash's own names.
    """

    # Not hashed, since a dict cannot be; equality does look at it.
    extra: Mapping[str, Any] = attrs.field(factory=dict, repr=shown_names, hash=False, metadata={"wire": ()})

    def __repr__(self) -> str:
        """Show the members that are set, each as its field says."""
        shown = []
        for field in attrs.fields(type(self)):
            value = getattr(self, field.name)
            if value is not None and value not in ((), {}, ""):
                shown.append(f"{field.name}={field.repr(value) if callable(field.repr) else repr(value)}")
        return f"{type(self).__name__}({', '.join(shown)})"
