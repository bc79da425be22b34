"""aiobotocore's credentials that refresh themselves: `get_frozen_credentials()`, which its clients ask per request.

They are made as botocore's own providers make them, with `create_from_metadata`. Callers share a refresh, and one that
is due but not urgent holds up only the caller who began it. There is no guard against wrong passwords, and processes
share nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
from aiobotocore.credentials import AioRefreshableCredentials

__all__ = ["Botocore"]


async def _refresh() -> dict[str, Any]:
    raise RuntimeError("fresh credentials were refreshed")


def _fresh() -> AioRefreshableCredentials:
    ends = datetime.now(UTC) + timedelta(hours=10)
    metadata = {
        "access_key": "bench-key",
        "secret_key": "bench-secret",
        "token": "bench-token",
        "expiry_time": ends.isoformat(),
    }
    made: AioRefreshableCredentials = AioRefreshableCredentials.create_from_metadata(
        metadata, refresh_using=_refresh, method="bench"
    )
    return made


@attrs.frozen
class Botocore:
    """Credentials that are good for hours.

    Attributes:
        credentials: The credentials.
    """

    credentials: AioRefreshableCredentials = attrs.field(factory=_fresh)

    async def ask(self, times: int) -> None:
        """Ask for them so many times."""
        credentials = self.credentials
        for _ in range(times):
            await credentials.get_frozen_credentials()
