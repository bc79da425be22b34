"""The record of an account that processes share, and its document in a store.

Instants are seconds on the store's clock. No instant is later than `Account.now`, the time of the last change. The
field after an instant is the duration that begins at this instant. A fingerprint is a hash of a password and a client
secret.
"""

from __future__ import annotations

from typing import Literal

import attrs

from enkash_async.stores.documents import DocumentCodec

__all__ = [
    "CODEC",
    "KEPT",
    "Account",
    "Attempt",
    "Client",
    "Fingerprint",
    "Grant",
    "StoredToken",
    "decode",
    "encode",
    "left",
]

FORMAT = 2
KEPT = 32  # largest number of fingerprints, and of charged attempts; a fleet uses fewer different passwords


def left(since: float, lasts: float, now: float) -> float:
    """Return the seconds left of a duration; if the start is in the future, the duration begins now."""
    return lasts - max(0.0, now - since)


@attrs.frozen
class Attempt:
    """A login attempt. It is charged before its login is sent, and stays charged until a later login works.

    Attributes:
        fence: Number of the attempt; a later attempt has a higher number.
        lease: Seconds from `at` in which no other caller begins a login. Without a report until then, the attempt's
            state becomes unknown.
    """

    id: str
    fence: int
    fingerprint: str
    at: float
    lease: float
    state: Literal["open", "unknown", "refused"] = "open"


@attrs.frozen
class Fingerprint:
    """How EnKash answered the logins with one password and client secret.

    Attributes:
        proven: Whether the credentials are known to work.
        fence: Fence of the newest attempt that EnKash accepted or refused.
        worked: Whether EnKash accepted the attempt with this fence.
        barred: Id of the worker that may not log in with these credentials; `*` for all workers, empty for none.
        barred_for: Seconds from `barred_at` for which that worker is barred; a bar of all workers does not expire.
    """

    id: str
    proven: bool = False
    fence: int = 0
    worked: bool = False
    barred: str = ""
    barred_at: float = 0.0
    barred_for: float = 0.0


@attrs.frozen
class StoredToken:
    """A token as the record holds it; only callers with the key of `key_id` can open a sealed token.

    Attributes:
        mark: Hash of the secret; equal secrets have equal marks, whatever the key.
        at: Instant just before the login was sent.
        life: Lifetime in seconds, counted from `at`.
        came_at: Instant at which the login was reported.
        repeats: Number of logins that brought the same valid secret again. After one such login, the next renewal
            begins in the window `wait`; after two, in the window `hold`.
        refused: Whether EnKash refused the token with 401.
    """

    fence: int
    fingerprint: str
    key_id: str
    sealed: bytes = attrs.field(repr=False)
    mark: str
    at: float
    life: float
    came_at: float
    repeats: int = 0
    refused: bool = False


@attrs.frozen
class Client:
    """The tokens of one client id, and the refusals of its tokens.

    Attributes:
        watermark: Highest fence of a token that EnKash refused; only newer tokens are handed out.
        noted: Highest fence of the account when the last refusal was reported.
        pauses: Number of tokens in a row that EnKash refused within seconds of their login.
        paused_for: Seconds from `paused_at` in which no caller logs in because of such refusals.
    """

    id: str
    watermark: int = 0
    noted: int = 0
    tokens: tuple[StoredToken, ...] = ()
    pauses: int = 0
    paused_at: float = 0.0
    paused_for: float = 0.0

    def moved_back(self, back: float) -> Client:
        """Return the client with every instant moved `back` seconds into the past."""
        tokens = tuple(attrs.evolve(token, at=token.at - back, came_at=token.came_at - back) for token in self.tokens)
        return attrs.evolve(self, tokens=tokens, paused_at=self.paused_at - back)


@attrs.frozen
class Grant:
    """One login attempt beyond the budget, which an operator has granted.

    Attributes:
        fingerprint: The credentials that may make the attempt.
        lasts: Seconds from `at` within which the attempt may begin.
        attempt: Id of the attempt under way that uses the grant; empty for none.
    """

    fingerprint: str
    at: float
    lasts: float
    attempt: str = ""


@attrs.frozen
class Account:
    """The record of one user name at one host.

    Attributes:
        now: Time of the last change.
        revision: Number of changes.
        fence: Highest fence that an attempt has got.
        attempts: The charged attempts, in the order of their fences.
        settled: Ids of the latest reported attempts and resets.
        locked: Fence of the attempt to which EnKash answered that the account is locked; 0 if it is not locked.
        answered: Highest fence of an attempt that EnKash accepted, or refused because of its credentials.
        worked: Highest fence of an attempt that EnKash accepted.
        failures: Number of logins in a row that ended in a cooldown.
    """

    now: float = 0.0
    revision: int = 0
    fence: int = 0
    attempts: tuple[Attempt, ...] = ()
    fingerprints: tuple[Fingerprint, ...] = ()
    clients: tuple[Client, ...] = ()
    settled: tuple[str, ...] = ()
    grant: Grant | None = None
    locked: int = 0
    answered: int = 0
    worked: int = 0
    failures: int = 0
    cooling_at: float = 0.0
    cooling_for: float = 0.0

    @property
    def highest_fence(self) -> int:
        """The highest fence of an attempt, or of a refused token."""
        return max([self.fence, *(client.watermark for client in self.clients)])

    def fingerprint(self, fingerprint: str) -> Fingerprint:
        """Return what is known of a fingerprint; an empty entry if nothing is known."""
        return next((known for known in self.fingerprints if known.id == fingerprint), None) or Fingerprint(fingerprint)

    def client(self, client: str) -> Client:
        """Return the entry of a client id; an empty entry if there is none."""
        return next((known for known in self.clients if known.id == client), None) or Client(client)

    def with_fingerprint(self, fingerprint: Fingerprint) -> Account:
        """Return the account with a fingerprint added or replaced; if there are too many, drop unproven ones first."""
        others = [other for other in self.fingerprints if other.id != fingerprint.id]
        kept = sorted([*others, fingerprint], key=lambda each: (each.proven, each.fence))
        return attrs.evolve(self, fingerprints=tuple(kept[-KEPT:]))

    def with_client(self, client: Client) -> Account:
        """Return the account with a client added or replaced."""
        return attrs.evolve(self, clients=(*(other for other in self.clients if other.id != client.id), client))

    def moved_back(self, now: float) -> Account:
        """If the store's clock was set back, move all instants back too, so that every age stays the same."""
        back = self.now - now
        if back <= 0 or self.revision == 0:
            return self
        return attrs.evolve(
            self,
            now=now,
            attempts=tuple(attrs.evolve(attempt, at=attempt.at - back) for attempt in self.attempts),
            fingerprints=tuple(attrs.evolve(known, barred_at=known.barred_at - back) for known in self.fingerprints),
            clients=tuple(client.moved_back(back) for client in self.clients),
            grant=None if self.grant is None else attrs.evolve(self.grant, at=self.grant.at - back),
            cooling_at=self.cooling_at - back,
        )


#: Reads and writes accounts; a document in a later format is neither read nor overwritten.
CODEC = DocumentCodec(Account, format=FORMAT)


def encode(account: Account) -> bytes:
    """Return the document of an account; equal accounts give equal bytes."""
    return CODEC.encode(account)


def decode(value: bytes | None) -> Account:
    """Return the account in a document; an empty account if the store holds no document.

    Raises:
        StoreError: The document has a later format, or does not hold an account.
    """
    return Account() if value is None else CODEC.decode(value)
