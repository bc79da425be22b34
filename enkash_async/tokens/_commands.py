"""The commands that a process sends to an account, and the answers that it gets."""

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
    """The result of a login attempt."""

    WORKED = "worked"
    INVALID = "invalid"  # 400 or 401 with an error word `invalid_*`
    UNCLEAR = "unclear"  # any other answer that may be a refusal, such as 403
    LOCKED = "locked"  # EnKash says that the account is locked
    NOT_COUNTED = "not counted"  # the login was provably never sent
    PASSING = "passing"  # 429: too many requests
    UNREADABLE = "unreadable"  # 200 without a readable token
    UNKNOWN = "unknown"  # every other ending, such as a time-out


@attrs.frozen
class Who:
    """The caller of a command.

    Attributes:
        client: Hash of the caller's client id.
        fingerprint: Hash of the caller's password and client secret.
        worker: Random id of the caller's provider object; a forked process gets a new id.
        keys: Ids of the keys with which the caller can open sealed tokens.
    """

    client: str
    fingerprint: str
    worker: str
    keys: tuple[str, ...]


@attrs.frozen
class Claim:
    """Asks for a token, and begins a login attempt if the account holds no usable token.

    Attributes:
        id: Unique id of the attempt. A claim that is repeated after a lost reply has the same id.
        lease: Seconds in which the attempt must be reported, from `lease_for`; until then no other caller logs in.
        share: Random number in [0, 1), which spreads the cooldowns of several callers.
        above: The token must have a higher fence than this; 0 accepts any token.
        rejected: Mark of a secret that EnKash refused; the token must have another secret. Empty if there is none.
        seen: Highest fence that the caller has seen; the attempt gets a higher fence.
        begins: Whether an attempt may begin; False only asks for a token.
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
    """A new token from a login.

    Attributes:
        key_id: Id of the key that sealed the token; `_vault.py` has special ids for plain and absent tokens.
        sealed: The token as it is stored: sealed, in plain text, or empty.
        mark: Hash of the secret; equal secrets have equal marks, whatever the key.
        life: Lifetime in seconds, counted from just before the login was sent.
        age: Seconds from just before the login was sent until this report, on the process's own clock.
    """

    key_id: str
    sealed: bytes = attrs.field(repr=False)
    mark: str
    life: float
    age: float


@attrs.frozen
class Settle:
    """Reports the result of an attempt, however late. The login may have been made while the store was unavailable.

    Attributes:
        fence: Fence of the attempt; 0 if the attempt never got a fence.
        share: Random number in [0, 1), which spreads the cooldowns of several callers.
        retry_after: Seconds that EnKash asked the caller to wait; 0 if it did not ask.
        token: The new token; None if there is none, or if it must not be shared.
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
    """Grants the caller's credentials one more login attempt.

    Attributes:
        id: Unique id; a reset that is repeated after a lost reply has no second effect.
    """

    id: str
    who: Who


@attrs.frozen
class Found:
    """The account holds a usable token."""

    token: StoredToken


@attrs.frozen
class Lead:
    """The attempt has begun: the caller now logs in, and the token gets `fence` as its generation.

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
    """The caller must wait `seconds` before it tries again.

    Attributes:
        is_renewal: True if the reason is that EnKash refused a new token at once, or gave out the same token again.
    """

    seconds: float
    is_renewal: bool = False


@attrs.frozen
class Closed:
    """The caller must not log in; `reason` means the same as `LoginGuardError.reason`."""

    reason: Literal["locked", "rejected", "budget"]


@attrs.frozen
class Free:
    """A login is allowed now; the answer to a claim that may not begin an attempt."""


@attrs.frozen
class TooLate:
    """The caller must not send the login: the attempt's lease has expired, or the attempt is already reported."""


@attrs.frozen
class Noted:
    """The report is recorded.

    Attributes:
        stored: Whether the account holds the reported token for other callers. If a login worked and this is False, the
            caller claims again.
    """

    stored: bool = False


@attrs.frozen
class View:
    """What a process remembers of an account, for use while the store is unavailable.

    Attributes:
        seen: Highest fence in the account.
        proven: Whether the caller's credentials are known to work.
        charged: Number of charged attempts.
        alone: Whether the process may log in without the store: its credentials are proven and not barred, no attempt
            is charged, and the account is not locked.
        cut_off: Whether a login of these credentials ended without an answer; callers then wait for the next refresh.
        closed: Whether the guard forbids the caller to log in.
    """

    seen: int
    proven: bool
    charged: int
    alone: bool
    cut_off: bool = False
    closed: bool = False


Command: TypeAlias = Claim | Settle | Reject | Reset
Answer: TypeAlias = Found | Lead | Wait | Cooling | Closed | Free | TooLate | Noted
