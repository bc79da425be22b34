"""What most tests need: a sandbox, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, settings

from enkash_async import EnkashClient
from enkash_async.sandbox import Sandbox

from support import EAGER

# Machines are noisy: how long an example takes says nothing about the code.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(settle_after=0.0) as running:
        yield running


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[EnkashClient]:
    async with EnkashClient.from_credentials(sandbox.base_url, sandbox.credentials, retry=EAGER) as made:
        yield made
