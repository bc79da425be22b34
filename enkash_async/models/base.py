"""The base class of all values read from replies, with a `repr` that hides personal data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

__all__ = ["Reply", "Travels", "camel", "hidden", "member", "shown_names", "shown_short"]

_SHOWN = 4  # last characters of a consumer number that may appear in a log


def camel(attribute: str) -> str:
    """Return EnKash's name of a field: `bill_due_date` is `billDueDate`."""
    first, *rest = attribute.split("_")
    return first + "".join(word.capitalize() for word in rest)


def shown_short(value: str) -> str:
    """Return a personal number for `repr`: its last four characters behind an ellipsis."""
    return repr("…" + value[-_SHOWN:] if len(value) > _SHOWN else "…")


def hidden(_: object) -> str:
    """Return the placeholder that `repr` shows instead of personal data."""
    return "…"


def shown_names(extra: Mapping[str, Any]) -> str:
    """Return the names of unknown members for `repr`, without their values."""
    return "{" + ", ".join(f"{name!r}: …" for name in extra) + "}"


def member(
    default: Any = None,
    *,
    aliases: tuple[str, ...] = (),
    repr: Any = True,  # noqa: A002 (as in attrs)
    strict: bool = False,
    shows_debit: bool = False,
) -> Any:
    """Return an attrs field for a member that EnKash may leave out or send as null.

    Args:
        default: Value of the field if EnKash leaves the member out or sends null.
        aliases: EnKash's other names of the member, in addition to the field's name in camelCase.
        repr: As in `attrs.field`.
        strict: Whether a payment depends on the member, so that an unreadable value makes the reply an error.
        shows_debit: Whether the member may show a debit, so that an unreadable value makes `debit_confirmed` None.
    """
    metadata = {"aliases": aliases, "strict": strict, "shows_debit": shows_debit}
    return attrs.field(default=default, repr=repr, metadata=metadata)


class Travels:
    """Lets pydantic, and thereby FastAPI, read and write a value; has no effect if pydantic is not installed."""

    __slots__ = ()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return how pydantic reads and writes the value."""
        from enkash_async.models._pydantic import value_schema  # noqa: PLC0415 (pydantic is no dependency)

        return value_schema(cls, source, handler)


@attrs.frozen(kw_only=True, repr=False)
class Reply(Travels):
    """The base of every value that is read from a reply.

    Attributes:
        extra: Unknown members and members with an unreadable value, as EnKash sent them, by EnKash's names. A list item
            that is not an object is stored under the name "".
        unreadable: Problems with members that a payment depends on, such as `amount is not a number`; nearly always
            empty. In a reply about a single bill, an unreadable amount, id, reference or payment status raises
            `ResponseDecodeError` instead. So problems appear here for items of lists, and for signs of a debit.
    """

    # Left out of the hash, since a dict cannot be hashed; still compared by `==`.
    extra: Mapping[str, Any] = attrs.field(factory=dict, repr=shown_names, hash=False, metadata={"aliases": ()})
    unreadable: tuple[str, ...] = attrs.field(default=(), metadata={"local": True})

    def __repr__(self) -> str:
        """Show the members that are set; each field decides how much of its value to show."""
        shown = []
        for field in attrs.fields(type(self)):
            value = getattr(self, field.name)
            if value is not None and value not in ((), {}, ""):
                shown.append(f"{field.name}={field.repr(value) if callable(field.repr) else repr(value)}")
        return f"{type(self).__name__}({', '.join(shown)})"
