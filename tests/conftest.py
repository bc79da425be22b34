"""What most tests need: a sandbox, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from enkash_async import EnkashClient
from enkash_async.sandbox import Sandbox

from support import EAGER


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(settle_after=0.0) as running:
        yield running


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[EnkashClient]:
    async with EnkashClient.from_credentials(sandbox.base_url, sandbox.credentials, retry=EAGER) as made:
        yield made
