"""What EnKash gave you to log in with, and what names it without saying it."""

from __future__ import annotations

import hashlib
import hmac

import attrs

from enkash_async._support import checks
from enkash_async.errors import ConfigurationError

__all__ = ["Credentials", "Identity"]


@attrs.frozen(init=False)
class Credentials:
    """What EnKash gave you to log in with.

    Args:
        client_id: User part of the HTTP Basic header.
        client_secret: Password part of the HTTP Basic header; never shown in `repr`.
        username: The registered e-mail address.
        password: That user's password; never shown in `repr`.
        form_client_id: The form's `clientId`, such as `CEK…`; None sends `client_id`, which is what some products do.

    Raises:
        ConfigurationError: A value is empty or not a string, or the client id holds a colon.

    EnKash page: Generate Authentication Token (api-12704314).
    """

    client_id: str
    client_secret: str = attrs.field(repr=False)
    username: str
    password: str = attrs.field(repr=False)
    form_client_id: str | None = None

    def __init__(
        self, client_id: str, client_secret: str, username: str, password: str, form_client_id: str | None = None
    ) -> None:
        self.__attrs_init__(client_id, client_secret, username, password, form_client_id)
        del client_secret, password  # a rendered traceback shows the locals of this frame
        if (problem := self._problem()) is not None:
            raise ConfigurationError(f"Credentials.{problem}")

    def _problem(self) -> str | None:
        for field in attrs.fields(Credentials):
            value = getattr(self, field.name)
            if value is None and field.name == "form_client_id":
                continue
            if (flaw := _flaw(value)) is not None:
                return f"{field.name} {flaw}"
        # By RFC 7617 everything after the first colon would be read as the secret.
        return "client_id must not contain ':'" if ":" in self.client_id else None


def _flaw(value: object) -> str | None:
    """Return what is wrong with a value, without repeating it."""
    if not isinstance(value, str) or not value:
        return f"must be a non-empty str, not {type(value).__name__}"
    if not checks.is_encodable(value):
        return "holds half of a surrogate pair: it was decoded wrongly"
    return None


@attrs.frozen
class Identity:
    """Who logs in, without saying who.

    Attributes:
        account: Names the account at one EnKash; what a store keys its entries by.
        fingerprint: Changes with the password or the client secret, so that a corrected password is tried at once
            while the wrong one stays barred.
    """

    account: str
    fingerprint: str

    @classmethod
    def of(cls, base_url: str, credentials: Credentials) -> Identity:
        """Return the identity of credentials at a base URL; neither part can be turned back into a secret.

        The account part must not depend on a secret: workers with different wrong passwords have to share one guard.
        The fingerprint is keyed with the client secret, so that the password cannot be guessed from it alone.
        """
        form_client_id = credentials.form_client_id or credentials.client_id  # the same login, however it is spelt
        who = _joined(base_url, credentials.client_id, form_client_id, credentials.username)
        account = hashlib.blake2b(who, digest_size=16, person=b"enkash-account").hexdigest()
        key = _joined("fingerprint", credentials.client_secret)
        fingerprint = hmac.new(key, account.encode() + _joined(credentials.password), "sha256").hexdigest()[:32]
        return cls(account, fingerprint)


def _joined(*parts: str) -> bytes:
    """Join parts so that no two different lists give the same bytes."""
    return b"".join(len(raw).to_bytes(4, "big") + raw for raw in (part.encode() for part in parts))
