"""Which answers of EnKash leave open whether it has done something: the page about money says what the code does."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from enkash_async import BillRequest
from enkash_async._calls import payments, requested
from enkash_async._flow.verdicts import Next, decide
from enkash_async._money.debit_commands import Outcome
from enkash_async._money.sendings import outcome_of
from enkash_async._wire.envelope import read
from enkash_async._wire.operation import Operation, Response
from enkash_async.config import Routes
from enkash_async.errors import ApiError, EnkashError, ResponseDecodeError

PAGE = (Path(__file__).parents[2] / "docs" / "money.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (.*HTTP.*) \| (clear|unclear) \| (clear|unclear) \|$", re.MULTILINE)

CREATE = requested.create(Routes(), BillRequest(2001, {"cn": "CN1"}, bill_amount=10), "inv-1").operation
CONFIRMATION = payments.confirm_debit(Routes(), ["U-1"], remarks=None)
UNDOCUMENTED = (2, 35, 39, 200, 202, 300, 408, 409, 500, 503, 999)


def _answer(operation: Operation[Any], status: int, code: int | None) -> ApiError:
    body = json.dumps({"response_code": code, "response_message": "no", "payload": None}).encode()
    error = read(operation, Response(status=status, headers={"content-type": "application/json"}, body=body))
    assert isinstance(error, ApiError)
    return error


def _create(status: int, code: int | None) -> str:
    answer = _answer(CREATE, status, code)
    return "unclear" if decide(CREATE.effect, answer) is Next.RECONCILE else "clear"


def _confirmation(status: int, code: int | None, count: int = 1) -> str:
    answer = _answer(CONFIRMATION, status, code)
    is_raised = decide(CONFIRMATION.effect, answer) is Next.RAISE  # otherwise the pipeline raises OutcomeUnknownError
    return "clear" if is_raised and outcome_of(answer, count, begun=True) is Outcome.REFUSED else "unclear"


def _rows() -> Iterator[tuple[list[tuple[int, int | None]], str, str]]:
    """Yield the answers that each row of the page means, and what they are to a create and to a confirmation."""
    seen: set[int] = set()
    for which, create, confirmation in ROW.findall(PAGE):
        if "response_code" in which:
            codes = UNDOCUMENTED if "other" in which else [int(word) for word in re.findall(r"\b\d{1,2}\b", which)]
            yield [(200, code) for code in codes], create, confirmation
        else:
            named = {int(word) for word in re.findall(r"\b[34]\d\d\b", which)}
            statuses = set(range(300, 600)) - seen if "any other" in which else named
            statuses |= set(range(500, 600)) if "5xx" in which else set()
            seen |= statuses
            yield [(status, None) for status in sorted(statuses)], create, confirmation


def test_the_page_has_every_status() -> None:
    """Each of them once."""
    statuses = [status for answers, _, _ in _rows() for status, code in answers if code is None]
    assert sorted(statuses) == list(range(300, 600))
    assert len(list(_rows())) == 7


@pytest.mark.parametrize(("judge", "column"), [(_create, 1), (_confirmation, 2)])
def test_the_page_tells_what_each_answer_means(judge: Callable[[int, int | None], str], column: int) -> None:
    """To a create, and to a confirmation of one bill."""
    rows = [(answers, row[column - 1]) for answers, *row in _rows()]
    wrong = [answer for answers, told in rows for answer in answers if judge(*answer) != told]
    assert wrong == []


@pytest.mark.parametrize("code", [1, 36, 37, 38])
def test_a_documented_code_is_a_refusal_whatever_stands_beside_it(code: int) -> None:
    """With the exceptions that the page names."""
    for status in (200, *range(300, 600)):
        unclear = status in {408, 409, 425, 429} or status >= 500
        assert _confirmation(status, code) == ("unclear" if unclear else "clear")
        if code != 1:
            assert _create(status, code) == "clear"


@pytest.mark.parametrize("operation", [CREATE, CONFIRMATION], ids=["create", "confirmation"])
@pytest.mark.parametrize("code", [0, None])
def test_a_success_that_holds_an_error_is_unclear(operation: Operation[Any], code: int | None) -> None:
    """EnKash's sister product explains failures in `errorResponse`, so the reply contradicts itself."""
    document = {"response_code": code, "response_message": "Success", "errorResponse": {"errorMessage": "no balance"}}
    answer = read(operation, Response(status=200, headers={}, body=json.dumps(document).encode()))
    assert isinstance(answer, ResponseDecodeError)
    assert answer.where == "errorResponse"
    assert decide(operation.effect, answer) is Next.RECONCILE


@pytest.mark.parametrize("inner", [{"payload": {"message": "made"}}, {"errorResponse": {}}, {"errorResponse": None}])
def test_a_success_with_words_beside_it_is_a_success(inner: dict[str, Any]) -> None:
    """Only an `errorResponse` with words in it contradicts the code."""
    document = {"response_code": 0, "response_message": "Success", **inner}
    answer = read(CREATE, Response(status=200, headers={}, body=json.dumps(document).encode()))
    assert not isinstance(answer, EnkashError)


@pytest.mark.parametrize("status", [400, 403, 412, 422])
def test_the_status_of_a_refusal_counts_whatever_code_stands_beside_it(status: int) -> None:
    """EnKash documents the status, and shows no body of a refusal."""
    assert _confirmation(status, 0) == "clear"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 409, 422, 429, 500, 503])
def test_a_code_that_is_a_status_counts_as_that_status(status: int) -> None:
    """EnKash's sister product answers HTTP 200 with an HTTP status as code."""
    assert _create(200, status) == _create(status, None)


@pytest.mark.parametrize("status", [400, 403, 412, 422])
def test_a_refusal_of_several_bills_is_unclear(status: int) -> None:
    """EnKash may have worked through them up to a bad one."""
    assert _confirmation(status, None, count=2) == "unclear"
