"""News of a bill wakes every caller who waits for that bill and nobody else, and no listener is kept."""

from __future__ import annotations

import asyncio

import pytest

from enkash_async import BillNotifier


async def test_news_wakes_who_waits_for_the_bill() -> None:
    """The waiting caller gets the bill's id once; a second read finds no news."""
    notifier = BillNotifier()
    with notifier.listen(["U-1", "U-2"]) as news:
        waiting = asyncio.ensure_future(news.wait())
        await asyncio.sleep(0)
        assert not waiting.done()
        notifier.notify("U-2")
        await asyncio.wait_for(waiting, 10)
        assert news.take() == ("U-2",)
        assert news.take() == ()


async def test_news_that_came_before_the_wait_counts() -> None:
    """A webhook may arrive before the wait begins, and the caller still hears of it."""
    notifier = BillNotifier()
    with notifier.listen(["U-1"]) as news:
        notifier.notify("U-1")
        await asyncio.wait_for(news.wait(), 10)
        assert news.take() == ("U-1",)


async def test_after_the_news_is_taken_the_wait_begins_anew() -> None:
    """News that was taken does not wake the caller a second time."""
    notifier = BillNotifier()
    with notifier.listen(["U-1"]) as news:
        notifier.notify("U-1")
        news.take()
        waiting = asyncio.ensure_future(news.wait())
        await asyncio.sleep(0)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])


def test_news_comes_once_for_each_bill_in_the_order_of_the_first() -> None:
    """The caller gets an id once, although EnKash posts again until it is answered."""
    notifier = BillNotifier()
    with notifier.listen(["U-1", "U-2", "U-3"]) as news:
        for one in ("U-3", "U-1", "U-3", "U-3", "U-1"):
            notifier.notify(one)
        assert news.take() == ("U-3", "U-1")


def test_everyone_who_waits_for_a_bill_hears_of_it() -> None:
    """Each waiting caller gets its own copy; a caller who waits for another bill gets nothing."""
    notifier = BillNotifier()
    with notifier.listen(["U-1"]) as one, notifier.listen(["U-2", "U-1"]) as both, notifier.listen(["U-2"]) as other:
        notifier.notify("U-1")
        assert (one.take(), both.take(), other.take()) == (("U-1",), ("U-1",), ())


def test_news_of_a_bill_that_nobody_waits_for_is_dropped() -> None:
    """The notifier keeps no news for later callers, because most webhooks are about other bills."""
    notifier = BillNotifier()
    notifier.notify("U-1")
    with notifier.listen(["U-1"]) as news:
        assert news.take() == ()
    notifier.notify("U-1")
    assert notifier._waiting == {}


@pytest.mark.parametrize("ids", [["U-1", "U-2"], ["U-1", "U-1"], [], iter(["U-1", "U-2"])])
def test_nothing_is_left_of_who_listened(ids: list[str]) -> None:
    """The notifier forgets the listener, whichever end the block comes to and for repeated ids too."""
    notifier = BillNotifier()
    with pytest.raises(ZeroDivisionError), notifier.listen(ids):
        raise ZeroDivisionError
    assert notifier._waiting == {}


def test_who_leaves_takes_away_nobody_else() -> None:
    """One of two listeners ends, and the other still gets the news."""
    notifier = BillNotifier()
    with notifier.listen(["U-1"]) as stays:
        with notifier.listen(["U-1"]) as leaver:
            assert stays is not leaver
        notifier.notify("U-1")
        assert (stays.take(), leaver.take()) == (("U-1",), ())
