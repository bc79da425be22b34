"""Strings that do not show themselves."""

from __future__ import annotations

import hmac
from typing import NoReturn, final

__all__ = ["HiddenStr", "Secret"]


@final
class Secret:
    """Holds one secret string; only `reveal()` gives it back.

    `repr`, `str`, `format`, `attrs.asdict`, pickling and rendered traceback locals show `***` or refuse.

    Args:
        value: The secret.
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
    """A text that works like any other and does not show itself in `repr`, such as a URL that may hold a password.

    A rendered traceback shows the locals of every frame by their `repr`.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"
