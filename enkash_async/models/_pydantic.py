"""Core schemas with which pydantic reads and writes the SDK's values; imported when pydantic asks for a schema.

Pydantic writes the members that `to_dict` returns. Amounts are strings in its JSON, like every `Decimal` of pydantic.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

import attrs
from pydantic import AwareDatetime, BeforeValidator, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

__all__ = ["value_schema", "word_schema"]

_EXACT_DIGITS = 15  # decimal digits that every float keeps; a float with more digits may have lost digits of the text


def _exact(value: object) -> object:
    """Refuse a float that may have lost digits; return any other float as text, with the digits that were written."""
    if not isinstance(value, float):
        return value
    if len(Decimal(repr(value)).normalize().as_tuple().digits) > _EXACT_DIGITS:
        raise ValueError("a float has lost digits of this amount: send the amount as a string")
    return repr(value)


_LAST = {"unreadable": 1, "extra": 2}  # fields to write last, since they matter least
_HALF = re.compile("[\ud800-\udfff]")
_AS_SENT = frozenset(("extra", "payload"))  # fields that hold JSON as EnKash sent it

#: Replacements for types of fields that pydantic alone would read too leniently: floats as amounts, times without zone.
_STRICTER: Mapping[Any, Any] = {
    Decimal: Annotated[Decimal, BeforeValidator(_exact)],
    Decimal | None: Annotated[Decimal, BeforeValidator(_exact)] | None,
    Decimal | int | None: Annotated[Decimal, BeforeValidator(_exact)] | None,
    datetime: AwareDatetime,
    datetime | None: AwareDatetime | None,
}


def value_schema(cls: type[Any], source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
    """Return the schema of an attrs class, which accepts an instance or a mapping of the fields.

    Args:
        cls: The attrs class.
        source: The annotation: the class, or a generic class with its type arguments, such as `BulkResult[Bill]`.
        handler: Returns the schema for the type of a field.
    """
    parameters: tuple[TypeVar, ...] = getattr(cls, "__parameters__", ())
    chosen = get_args(source) or (Any,) * len(parameters)
    hints = get_type_hints(cls)
    fields = [field for field in attrs.fields(cls) if field.eq]  # the same fields as in `to_dict`
    fields.sort(key=lambda field: _LAST.get(field.name, 0))
    schemas = {field.name: _field_schema(_filled(hints[field.name], parameters, chosen), handler) for field in fields}

    def read(value: Any, inner: Callable[[Any], dict[str, Any]]) -> Any:
        return value if isinstance(value, cls) else cls(**inner(value))

    def written(value: Any) -> dict[str, Any]:
        found = {name: getattr(value, name) for name in members}
        for name in found.keys() & _AS_SENT:
            found[name] = _in_unicode(found[name])
        return found

    taken = {
        field.name: core_schema.typed_dict_field(schemas[field.name], required=field.default is attrs.NOTHING)
        for field in fields
    }
    members = dict(schemas)
    if isinstance(getattr(cls, "outcome", None), property):  # `to_dict` writes the property `outcome` too
        members["outcome"] = handler.generate_schema(str)
    given = {name: core_schema.typed_dict_field(schema) for name, schema in members.items()}
    config = core_schema.CoreConfig(title=cls.__name__)
    return core_schema.no_info_wrap_validator_function(
        read,
        core_schema.typed_dict_schema(taken, cls=cls, config=config),
        ref=f"{cls.__module__}.{cls.__qualname__}{list(chosen) if chosen else ''}:{id(cls)}",
        serialization=core_schema.plain_serializer_function_ser_schema(
            written, return_schema=core_schema.typed_dict_schema(given, cls=cls, config=config)
        ),
    )


def _in_unicode(value: Any) -> Any:
    """Return decoded JSON with U+FFFD for each half of a surrogate pair, which pydantic refuses to write."""
    match value:
        case str():
            return _HALF.sub("\ufffd", value)
        case Mapping():
            return {_in_unicode(name): _in_unicode(item) for name, item in value.items()}
        case list():
            return [_in_unicode(item) for item in value]
        case _:
            return value


def _filled(hint: Any, parameters: tuple[TypeVar, ...], chosen: tuple[Any, ...]) -> Any:
    """Return a type annotation in which the chosen types replace the type variables."""
    found = dict(zip(parameters, chosen, strict=True))
    inner = getattr(hint, "__parameters__", ())
    return hint[tuple(found[one] for one in inner)] if inner else hint


def _field_schema(hint: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
    errors = [one for one in get_args(hint) if isinstance(one, type) and issubclass(one, Exception)]
    if errors:
        return _error_schema(errors[0])
    return handler.generate_schema(_STRICTER.get(hint, hint))


def _error_schema(kind: type[Exception]) -> CoreSchema:
    """Return the schema for an optional error; the schema writes the error as `to_dict` does."""

    def written(value: Exception | None) -> dict[str, str] | None:
        return None if value is None else {"error": type(value).__name__, "message": str(value)}

    words = core_schema.nullable_schema(core_schema.dict_schema(core_schema.str_schema(), core_schema.str_schema()))
    return core_schema.nullable_schema(
        core_schema.is_instance_schema(kind),
        serialization=core_schema.plain_serializer_function_ser_schema(written, return_schema=words),
    )


def word_schema(cls: type[Any]) -> CoreSchema:
    """Return the schema of an open enum: any string, since a closed list would refuse EnKash's next word."""
    return core_schema.no_info_after_validator_function(
        cls, core_schema.str_schema(), serialization=core_schema.to_string_ser_schema()
    )
