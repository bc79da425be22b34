"""Bills that are handed out again and again to workers, over PostgreSQL."""

from __future__ import annotations

from _money.test_pay_fleet import Queue

from enkash_async.sandbox import Sandbox

from servers import Postgres


async def test_postgres_keeps_the_records_of_debits(postgres: Postgres) -> None:
    """30 bills, three times each; workers are killed and paused, and each bill is debited once."""
    async with Sandbox(repeat_debits=True, settle_after=0.1, read_lag=0.1, search_lag=0.2) as sandbox:
        queue = Queue(sandbox, postgres.dsn, 30, kills=4)
        await queue.run()
        assert queue.told == []
        assert set(sandbox.debits.values()) == {1}
