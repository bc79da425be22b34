"""The id of a call: sent to EnKash with each attempt as `X-Request-Id`, and shown in log lines and errors."""

from __future__ import annotations

import os
import random
import re

__all__ = ["HEADER", "about", "new_call_id", "without_ids"]

HEADER = "X-Request-Id"

_IDS = re.compile(r" \[(call [0-9a-f]{16}(, )?)?(EnKash's request id [^\]]*)?\]")

# A generator of its own: if a program seeds the module `random`, its runs must not send the same ids.
_chance = random.Random()  # noqa: S311 (an id is no secret)

_draw = _chance.getrandbits

if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_chance.seed)  # otherwise all children would draw the same ids


def new_call_id() -> str:
    """Return a random, unique id of 16 hexadecimal digits; this takes well under a microsecond."""
    return f"{_draw(64):016x}"


def without_ids(text: str) -> str:
    """Return the text of an error without the ids at its end, which differ between two equal failures."""
    return _IDS.sub("", text)


def about(call_id: str | None) -> dict[str, str | None]:
    """Return the `extra` of a log line about a call; it gives the log record the attribute `call_id`."""
    return {"call_id": call_id}
