"""google-auth's asynchronous credentials, whose pages show one thing to do with a token: `before_request`.

There are two kinds. `google.oauth2._credentials_async`, documented in spite of its name, looks whether its token is
still good and could refresh it. `google.auth.aio`, which is newer, has credentials that hold a token for good and never
look.

Neither makes callers share a refresh, guards an account against wrong passwords or shares tokens between processes.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import attrs
from google.auth.aio.credentials import StaticCredentials
from google.oauth2._credentials_async import Credentials

__all__ = ["Google"]

_TOKEN = "bench-token"  # noqa: S105 (made up)


def _expiring() -> Credentials:
    return Credentials(
        _TOKEN,
        refresh_token="bench-refresh",  # noqa: S106 (made up)
        token_uri="http://127.0.0.1:9/",  # noqa: S106 (nobody listens there)
        client_id="bench-client",
        client_secret="bench-secret",  # noqa: S106 (made up)
        expiry=datetime.now(UTC).replace(tzinfo=None) + timedelta(hours=10),  # without a zone, as it wants it
    )


@attrs.frozen
class Google:
    """Credentials with a token in hand.

    Attributes:
        expiring: They look whether it is still good.
        static: They do not.
    """

    expiring: Credentials = attrs.field(factory=_expiring)
    static: StaticCredentials = attrs.field(factory=lambda: StaticCredentials(_TOKEN))

    async def sign(self, times: int) -> None:
        """Put the token into a header so many times, if it is still good."""
        credentials, headers = self.expiring, dict[str, str]()
        for _ in range(times):
            await credentials.before_request(None, "GET", "https://localhost/", headers)

    async def sign_static(self, times: int) -> None:
        """Put the token into a header so many times, good or not."""
        credentials, headers = self.static, dict[str, str]()
        for _ in range(times):
            await credentials.before_request(None, "GET", "https://localhost/", headers)
