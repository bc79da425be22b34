"""The id of a call: sent to EnKash with each attempt as `X-Request-Id`, and shown in log lines and errors."""

from __future__ import annotations

import os
import random
import re

__all__ = ["HEADER", "about", "new_call_id", "without_ids"]

HEADER = "X-Request-Id"

_IDS = re.compile(r" \[(call [0-9a-f]{16}(, )?)?(EnKash's request id [^\]]*)?\]")

# Not the generator of the module `random`, which a program may seed: two runs would then send the same ids.
_chance = random.Random()  # noqa: S311 (an id is no secret)

if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_chance.seed)  # or all children would draw the same ids


def new_call_id() -> str:
    """Return 16 hexadecimal digits that no other call has; takes well below a microsecond."""
    return f"{_chance.getrandbits(64):016x}"


def without_ids(text: str) -> str:
    """Return the text of an error without the ids behind it, by which two equal failures differ."""
    return _IDS.sub("", text)


def about(call_id: str | None) -> dict[str, str | None]:
    """Return what a log line about a call passes as `extra`: its record gets the attribute `call_id`."""
    return {"call_id": call_id}
