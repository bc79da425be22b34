"""Credentials for EnKash, and hashes that identify them without revealing them."""

from __future__ import annotations

import hmac
import os
from collections.abc import Mapping, Sequence
from typing import ClassVar, NoReturn, Self, TypeVar

import attrs

from enkash_async._support import checks
from enkash_async._support.text import control_flaw, hidden_flaw, hidden_place, outer_flaw
from enkash_async.errors import ConfigurationError
from enkash_async.tokens._keys import account_name, client_name, joined

__all__ = ["NEEDED", "Credentials", "Identity", "missing", "seal_key"]

C = TypeVar("C", bound="Credentials")

#: The variables that `Credentials.from_env` needs, in the order of the arguments.
NEEDED = ("ENKASH_CLIENT_ID", "ENKASH_CLIENT_SECRET", "ENKASH_USERNAME", "ENKASH_PASSWORD")


@attrs.frozen(init=False)
class Credentials:
    """The credentials that EnKash gave you.

    Args:
        client_id: User part of the HTTP Basic header.
        client_secret: Password part of the HTTP Basic header; never shown in `repr`.
        username: The registered e-mail address.
        password: Password of this user; never shown in `repr`.
        form_client_id: Value of the form field `clientId`, such as `CEK…`; None sends `client_id`, as some products do.

    Raises:
        ConfigurationError: A value is empty, not a string, or holds a control character such as a line break; a value
            other than the password holds an invisible character; or the client id holds a colon.

    EnKash page: Generate Authentication Token (api-12704314).
    """

    _holds_secrets: ClassVar[bool] = True  # makes `to_dict` and `to_json` refuse credentials

    client_id: str
    client_secret: str = attrs.field(repr=False)
    username: str
    password: str = attrs.field(repr=False)
    form_client_id: str | None = None

    def __init__(
        self, client_id: str, client_secret: str, username: str, password: str, form_client_id: str | None = None
    ) -> None:
        self.__attrs_init__(client_id, client_secret, username, password, form_client_id)
        del client_secret, password  # keeps secrets out of rendered tracebacks, which show the locals of this frame
        if (problem := self._problem()) is not None:
            raise ConfigurationError(f"Credentials.{problem}")

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Return the credentials in the environment variables that `EnkashClient.from_env` reads.

        Needed: `ENKASH_CLIENT_ID`, `ENKASH_CLIENT_SECRET`, `ENKASH_USERNAME`, `ENKASH_PASSWORD`. Optional:
        `ENKASH_FORM_CLIENT_ID`, if the form's `clientId` differs from the client id.

        Args:
            environ: The variables; None takes `os.environ`.

        Raises:
            ConfigurationError: A value is unusable, or variables are missing; the message names every missing one.
        """
        found = _from_env(cls, os.environ if environ is None else environ)
        del environ  # keeps secrets out of rendered tracebacks, which show the locals of this frame
        if isinstance(found, ConfigurationError):
            raise found
        return found

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("Credentials are not pickled; read them again where they are needed")

    def doubts(self) -> str:
        """Return text about the values that begin or end oddly or hold an invisible character; empty if none does."""
        found = [
            f"{field.name} {flaw}"
            for field in attrs.fields(Credentials)
            if (flaw := _doubt(getattr(self, field.name) or "")) is not None
        ]
        return f". Most likely the cause: {', '.join(found)}" if found else ""

    def _problem(self) -> str | None:
        for field in attrs.fields(Credentials):
            value = getattr(self, field.name)
            if value is None and field.name == "form_client_id":
                continue
            if (flaw := _flaw(value, may_be_hidden=field.name == "password")) is not None:
                return f"{field.name} {flaw}"
        # RFC 7617: a server takes everything after the first colon for the secret.
        return "client_id must not contain ':'" if ":" in self.client_id else None


def missing(environ: Mapping[str, str], names: Sequence[str]) -> ConfigurationError | None:
    """Return the error that names the variables that are unset or blank; None if every variable has a value."""
    absent = [name for name in names if not environ.get(name, "").strip()]
    if not absent:
        return None
    return ConfigurationError(f"set the environment variable{'s' * (len(absent) > 1)} {', '.join(absent)}")


def _from_env(cls: type[C], environ: Mapping[str, str]) -> C | ConfigurationError:
    """Return the credentials or the error. Raises nothing, since the traceback would show the variables."""
    if (error := missing(environ, NEEDED)) is not None:
        return error
    try:
        first, second, third, fourth = (environ[name] for name in NEEDED)
        return cls(first, second, third, fourth, environ.get("ENKASH_FORM_CLIENT_ID") or None)
    except ConfigurationError as problem:
        return problem.with_traceback(None)


def _flaw(value: object, *, may_be_hidden: bool) -> str | None:
    """Return what is wrong with a value, without showing the value; None if nothing is wrong.

    Args:
        value: The value.
        may_be_hidden: Whether an invisible character is allowed. Users choose a password, and may have typed a no-break
            space on purpose; EnKash made the other values.
    """
    if not isinstance(value, str) or not value:
        return f"must be a non-empty str, not {type(value).__name__}"
    if not checks.is_encodable(value):
        return "holds half of a surrogate pair: it was decoded wrongly"
    return control_flaw(value) if may_be_hidden else hidden_flaw(value)


def _doubt(value: str) -> str | None:
    """Return what looks wrong with a value that EnKash has refused, without showing the value; otherwise None."""
    if (flaw := outer_flaw(value)) is not None:
        return flaw
    where = hidden_place(value)
    return None if where is None else f"holds an invisible character ({where})"


@attrs.frozen
class Identity:
    """Identifies an account and its credentials by hashes, which reveal neither.

    Attributes:
        account: Hash of the user name and the host: EnKash locks one user at one host. The hash names the record that
            processes share.
        fingerprint: Hash of the password and the client secret. It changes with them, so that a corrected password is
            tried at once while the wrong password stays barred.
        client: Hash of the client id. Tokens are kept per client id, since a token is valid for one client id only.
    """

    account: str
    fingerprint: str
    client: str = ""

    @classmethod
    def of(cls, base_url: str, credentials: Credentials) -> Identity:
        """Return the identity of credentials at a base URL. Nobody can recover a secret from it.

        `account` does not depend on a secret, so that workers with different wrong passwords share one guard.
        `fingerprint` is an HMAC with the client secret as its key, so nobody can guess the password from it alone.
        """
        account = account_name(base_url, credentials.username)
        client = client_name(base_url, credentials.username, credentials.client_id, credentials.form_client_id)
        key = joined("fingerprint", credentials.client_secret)
        fingerprint = hmac.new(key, account.encode() + joined(credentials.password), "sha256").hexdigest()[:32]
        return cls(account, fingerprint, client)


def seal_key(credentials: Credentials, account: str) -> bytes:
    """Derive the key that seals the tokens of these credentials in a store.

    Every process with the credentials derives the same key: HKDF-SHA256 (RFC 5869) of the client secret and the
    password, for one account.
    """
    secret = joined(credentials.client_secret, credentials.password)
    pseudorandom = hmac.new(joined("enkash-async seal", account), secret, "sha256").digest()
    del secret  # keeps secrets out of rendered tracebacks, which show the locals of this frame
    return hmac.new(pseudorandom, b"enkash-async token\x01", "sha256").digest()
