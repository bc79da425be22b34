"""Strings that `repr` does not show, such as passwords."""

from __future__ import annotations

import hmac
from typing import NoReturn, final

__all__ = ["HiddenStr", "Secret"]


@final
class Secret:
    """Holds one secret string; only `reveal()` returns it.

    `repr`, `str`, `format`, `attrs.asdict` and the locals in a rendered traceback show `***`; pickling is refused.

    Args:
        value: The secret, such as a password.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret itself; keep it out of local variables that a traceback could show."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled; load it again where it is needed")


class HiddenStr(str):
    """A string with `***` as its `repr`, such as a URL that may hold a password; otherwise like any string.

    Keeps the text out of rendered tracebacks, which show the `repr` of the locals of every frame.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"
