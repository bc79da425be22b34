"""What a process tells the account, and what it is told."""

from __future__ import annotations

import enum
from typing import Literal, TypeAlias

import attrs

from enkash_async.tokens._record import StoredToken

__all__ = [
    "Answer",
    "Claim",
    "Closed",
    "Command",
    "Cooling",
    "Found",
    "Free",
    "FreshToken",
    "Lead",
    "Noted",
    "Outcome",
    "Reject",
    "Reset",
    "Settle",
    "TooLate",
    "View",
    "Wait",
    "Who",
]


class Outcome(enum.Enum):
    """What a login attempt came to."""

    WORKED = "worked"
    INVALID = "invalid"  # 400 or 401 with `invalid_*`
    UNCLEAR = "unclear"  # 403, or 401 or 423 without such a body
    LOCKED = "locked"  # EnKash says that the account is locked
    NOT_COUNTED = "not counted"  # provably never sent
    PASSING = "passing"  # 429
    UNREADABLE = "unreadable"  # 200 without a token that can be read
    UNKNOWN = "unknown"  # everything else


@attrs.frozen
class Who:
    """A caller.

    Attributes:
        client: Its client id, hashed.
        fingerprint: Changes with its password or client secret.
        worker: Its provider object; new in each process, and after a fork.
        keys: Ids of the keys that it can open tokens with.
    """

    client: str
    fingerprint: str
    worker: str
    keys: tuple[str, ...]


@attrs.frozen
class Claim:
    """Asks for a token; where none will do, begins a login attempt.

    Attributes:
        id: Of the attempt; new for each, and the same when a lost reply makes the claim be repeated.
        lease: Seconds, of `lease_for`.
        share: Random, in [0, 1).
        above: Only a token of a higher fence will do.
        rejected: The mark of a secret that will not do.
        seen: The highest fence that the caller has seen.
        begins: False only asks.
    """

    id: str
    who: Who
    lease: float
    share: float
    above: int = 0
    rejected: str = ""
    seen: int = 0
    begins: bool = True


@attrs.frozen
class FreshToken:
    """A token that a login brought.

    Attributes:
        sealed: Its bytes, sealed under the key id and the attempt's fence.
        mark: Equal for equal secrets, whatever the key.
        life: Seconds from just before the login was sent.
        age: Seconds from then until this report, on the process's own clock.
    """

    key_id: str
    sealed: bytes = attrs.field(repr=False)
    mark: str
    life: float
    age: float


@attrs.frozen
class Settle:
    """Reports what an attempt came to, however late; also an attempt that was made while the store was away.

    Attributes:
        fence: The attempt's; 0 if it never got one.
        share: Random, in [0, 1).
        retry_after: Seconds that EnKash asked to wait.
        token: What the login brought, unless it may not be shared.
    """

    id: str
    who: Who
    fence: int
    outcome: Outcome
    share: float
    retry_after: float = 0.0
    token: FreshToken | None = None


@attrs.frozen
class Reject:
    """Reports a token that EnKash refused with 401."""

    client: str
    fence: int
    mark: str


@attrs.frozen
class Reset:
    """Opens the guard for the caller's fingerprint.

    Attributes:
        id: Makes a repetition harmless.
    """

    id: str
    who: Who


@attrs.frozen
class Found:
    """There is a token that will do."""

    token: StoredToken


@attrs.frozen
class Lead:
    """The attempt has begun: log in under this fence.

    Attributes:
        cut_off: Whether an earlier login of these credentials ended without an answer.
    """

    fence: int
    cut_off: bool


@attrs.frozen
class Wait:
    """Another caller's login is under way; its lease ends in `seconds`."""

    seconds: float


@attrs.frozen
class Cooling:
    """The caller may try again in `seconds`, not before.

    Attributes:
        is_renewal: Whether EnKash refused the newest token at once, or gives out the same one again and again.
    """

    seconds: float
    is_renewal: bool = False


@attrs.frozen
class Closed:
    """The caller makes no login; the reason as in `LoginGuardError.reason`."""

    reason: Literal["locked", "rejected", "budget"]


@attrs.frozen
class Free:
    """Nothing stands in the way of a login; the answer to a claim that only asks."""


@attrs.frozen
class TooLate:
    """The attempt's lease has run out, or it is settled: do not send it."""


@attrs.frozen
class Noted:
    """The report is taken in.

    Attributes:
        stored: Whether its token answers other callers from now on; if not, claim again.
    """

    stored: bool = False


@attrs.frozen
class View:
    """What a process keeps of an account for the time that the store is away.

    Attributes:
        seen: The highest fence.
        charged: Attempts that are charged.
        alone: Whether the process may log in without the store: proven, nothing charged, no lease held.
        cut_off: Whether a login of these credentials ended without an answer, so that the next refresh is waited for.
        closed: Whether the guard is closed for the caller.
    """

    seen: int
    proven: bool
    charged: int
    alone: bool
    cut_off: bool = False
    closed: bool = False


Command: TypeAlias = Claim | Settle | Reject | Reset
Answer: TypeAlias = Found | Lead | Wait | Cooling | Closed | Free | TooLate | Noted
