"""Authlib's asynchronous client, as its page «OAuth for HTTPX» shows it.

Before each request its `request()` calls `ensure_active_token`, which is public and is what `get_token` is to us, and
then `token_auth` puts the token into the header. Only that is done here. The copy that Authlib makes of the request to
set its header, by far the dearer part, is left out.

It has no guard against wrong passwords and no renewal beside the work. A token that came for a password is renewed with
a refresh token or not at all, and processes share nothing.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import AsyncIterator

import attrs
import authlib.deprecate  # noqa: F401 (it asks for its warnings to be shown, so it comes before they are hidden)

from benchmarks._samples import BILL_PATH, TOKEN_PATH
from benchmarks._server import CREDENTIALS

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # Authlib would like httpx2 better
    from authlib.integrations.httpx_client import AsyncOAuth2Client

__all__ = ["Authlib", "opened"]


@attrs.frozen
class Authlib:
    """A client with a token in hand.

    Attributes:
        client: The client.
        url: What would be asked for.
    """

    client: AsyncOAuth2Client
    url: str

    async def ask(self, times: int) -> None:
        """Make sure so many times that the token is fresh."""
        client = self.client
        for _ in range(times):
            await client.ensure_active_token(client.token)

    async def sign(self, times: int) -> None:
        """Do so, and put the token into a header."""
        client, url, headers = self.client, self.url, dict[str, str]()
        for _ in range(times):
            await client.ensure_active_token(client.token)
            client.token_auth.prepare(url, headers, "")


@contextlib.asynccontextmanager
async def opened(base_url: str) -> AsyncIterator[Authlib]:
    """Log in, and close the client at the end."""
    async with AsyncOAuth2Client(CREDENTIALS.client_id, CREDENTIALS.client_secret) as client:
        await client.fetch_token(base_url + TOKEN_PATH, username=CREDENTIALS.username, password=CREDENTIALS.password)
        yield Authlib(client, f"{base_url}{BILL_PATH}UTIL-00000001")
