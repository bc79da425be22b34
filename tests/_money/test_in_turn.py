"""Which bills a look reads singly, beside its searches."""

from __future__ import annotations

from collections.abc import Sequence

from enkash_async._money.in_turn import InTurn

BILLS = ["A", "B", "C", "D", "E"]


def _look(in_turn: InTurn, ids: Sequence[str], searches: int) -> list[str]:
    in_turn.begin()
    return list(in_turn.choose(ids, searches=searches))


def test_every_third_look_reads_as_many_bills_singly_as_it_made_searches() -> None:
    """The first one is the third: a search is given time to show a change."""
    in_turn = InTurn()
    assert [len(_look(in_turn, BILLS, 2)) for _ in range(9)] == [0, 0, 2, 0, 0, 2, 0, 0, 2]
    assert [len(_look(in_turn, BILLS, 0)) for _ in range(3)] == [0, 0, 0]


def test_the_bills_take_turns() -> None:
    """The bill whose single read is longest ago comes first, also after other bills have left."""
    in_turn = InTurn()
    assert [_look(in_turn, BILLS, 2) for _ in range(9)][2::3] == [["A", "B"], ["C", "D"], ["E", "A"]]
    assert [_look(in_turn, ["A", "D", "E"], 1) for _ in range(9)][2::3] == [["D"], ["A"], ["E"]]


def test_a_look_chooses_for_several_searches_of_different_bills() -> None:
    """The number of the look changes only where a look begins."""
    in_turn = InTurn()
    for _ in range(3):
        in_turn.begin()
    assert [list(in_turn.choose(ids, searches=1)) for ids in (["A", "B"], ["C", "D"], ["A", "B"])] == [
        ["A"],
        ["C"],
        ["B"],
    ]
