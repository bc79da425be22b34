"""What processes share of an account, and the document that a store keeps of it.

Instants are seconds on the store's clock and lie behind `Account.now`, the store's time of the last change; each stands
beside the duration that is counted from it. What a password and a client secret amount to is called a fingerprint.
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
KEPT = 32  # fingerprints, and charges: more than a fleet has wrong passwords


def left(since: float, lasts: float, now: float) -> float:
    """Return the seconds left of a duration; an age is never negative."""
    return lasts - max(0.0, now - since)


@attrs.frozen
class Attempt:
    """A login, charged from before it is sent until a later one works.

    Attributes:
        lease: Seconds from `at` for which nobody else begins; unheard of until then, it is unknown.
    """

    id: str
    fence: int
    fingerprint: str
    at: float
    lease: float
    state: Literal["open", "unknown", "refused"] = "open"


@attrs.frozen
class Fingerprint:
    """What EnKash said to one password and client secret.

    Attributes:
        fence: The newest attempt that EnKash answered with yes or no.
        worked: Which of the two.
        barred: The one worker that may not log in with it, `*` for all, or nothing.
        barred_for: Seconds from `barred_at` for which that one worker is held back; the bar of all has no end.
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
    """A token, sealed under its key id; only who has the key can open it.

    Attributes:
        mark: Equal for equal secrets, whatever the key.
        at: Just before its login was sent.
        life: Seconds from `at`.
        came_at: When the login brought it.
        repeats: Logins that brought the same living secret again: after one it is asked for from M on, after two at its
            end.
        refused: Whether EnKash answered 401 to it.
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
    """What belongs to one client id.

    Attributes:
        watermark: The highest fence of a refused token; only tokens above it answer.
        noted: The account's fence at that instant.
        pauses: Tokens in a row that were refused within seconds of their login.
        paused_for: Seconds from `paused_at` for which nobody logs in because of that.
    """

    id: str
    watermark: int = 0
    noted: int = 0
    tokens: tuple[StoredToken, ...] = ()
    pauses: int = 0
    paused_at: float = 0.0
    paused_for: float = 0.0

    def moved_back(self, back: float) -> Client:
        """Return the client with every instant so many seconds earlier."""
        tokens = tuple(attrs.evolve(token, at=token.at - back, came_at=token.came_at - back) for token in self.tokens)
        return attrs.evolve(self, tokens=tokens, paused_at=self.paused_at - back)


@attrs.frozen
class Grant:
    """One attempt beyond the budget.

    Attributes:
        attempt: The attempt under way that uses it.
    """

    fingerprint: str
    at: float
    lasts: float
    attempt: str = ""


@attrs.frozen
class Account:
    """The record of one user name at one host.

    Attributes:
        attempts: The charged ones, by fence.
        settled: Ids of the attempts and resets that were reported last.
        locked: The fence of the attempt that EnKash answered with «locked», or 0.
        answered: The highest fence that EnKash answered otherwise, with yes or no.
        worked: The highest fence that brought a token.
        failures: Logins in a row that ended in a cooldown.
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
        """The highest number that was given out, or refused."""
        return max([self.fence, *(client.watermark for client in self.clients)])

    def fingerprint(self, fingerprint: str) -> Fingerprint:
        """Return what is known of a fingerprint."""
        return next((known for known in self.fingerprints if known.id == fingerprint), None) or Fingerprint(fingerprint)

    def client(self, client: str) -> Client:
        """Return what belongs to a client id."""
        return next((known for known in self.clients if known.id == client), None) or Client(client)

    def with_fingerprint(self, fingerprint: Fingerprint) -> Account:
        """Return the account with a fingerprint as it is now; the proven ones are the last to be dropped."""
        others = [other for other in self.fingerprints if other.id != fingerprint.id]
        kept = sorted([*others, fingerprint], key=lambda each: (each.proven, each.fence))
        return attrs.evolve(self, fingerprints=tuple(kept[-KEPT:]))

    def with_client(self, client: Client) -> Account:
        """Return the account with a client as it is now."""
        return attrs.evolve(self, clients=(*(other for other in self.clients if other.id != client.id), client))

    def moved_back(self, now: float) -> Account:
        """Return the account for a store whose clock was set back: every instant keeps its age."""
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


#: How an account is written; a document of a later format is neither read nor overwritten.
CODEC = DocumentCodec(Account, format=FORMAT)


def encode(account: Account) -> bytes:
    """Return the document of an account; equal accounts give equal bytes."""
    return CODEC.encode(account)


def decode(value: bytes | None) -> Account:
    """Return the account of a document; an empty one where the store holds nothing.

    Raises:
        StoreError: The document is of a later version, or is none.
    """
    return Account() if value is None else CODEC.decode(value)
