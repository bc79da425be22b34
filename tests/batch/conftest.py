"""A sandbox in which a second confirmation costs money, and a batch to pay in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from batch.batches import Batch, WatchedSandbox


@pytest.fixture
async def sandbox() -> AsyncIterator[WatchedSandbox]:
    async with WatchedSandbox(settle_after=0.0) as running:
        yield running


@pytest.fixture
def batch(sandbox: WatchedSandbox, tmp_path: Path) -> Batch:
    return Batch(sandbox, tmp_path / "november.journal")
