"""What people write by hand: a token, when it ends, and a lock around both.

It has no guard against wrong passwords and no early renewal, whoever is cancelled while it logs in takes the login
along, and other processes log in for themselves.
"""

from __future__ import annotations

import asyncio
import time

import aiohttp

from benchmarks._samples import TOKEN_PATH
from benchmarks._server import CREDENTIALS

__all__ = ["LockedCache"]

_EARLY = 60.0  # seconds before its end at which a token is not used any more


class LockedCache:
    """Keeps a token, and fetches the next one under a lock.

    Args:
        base_url: Where to log in.
    """

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._lock = asyncio.Lock()
        self._token: str | None = None
        self._ends = 0.0

    async def get_token(self) -> str:
        """Return a token that is good for a while."""
        async with self._lock:
            if self._token is None or time.monotonic() >= self._ends - _EARLY:
                self._token, self._ends = await self._fetch()
            return self._token

    async def ask(self, times: int) -> None:
        """Ask for the token so many times."""
        for _ in range(times):
            await self.get_token()

    async def _fetch(self) -> tuple[str, float]:
        begun = time.monotonic()
        form = {"grant_type": "password", "username": CREDENTIALS.username, "password": CREDENTIALS.password}
        basic = aiohttp.encode_basic_auth(CREDENTIALS.client_id, CREDENTIALS.client_secret)
        async with (
            aiohttp.ClientSession(raise_for_status=True) as session,
            session.post(self._base_url + TOKEN_PATH, data=form, headers={"Authorization": basic}) as reply,
        ):
            got = await reply.json()
        return got["access_token"], begun + got["expires_in"]
