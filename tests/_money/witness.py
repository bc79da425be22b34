"""What a client sent and what it was answered: the record that every result is checked against."""

from __future__ import annotations

import contextvars
import enum
import json
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

import attrs

from enkash_async._http.transport import Transport
from enkash_async._support.secret import Secret
from enkash_async._wire.operation import Departure, Request, Response
from enkash_async.config import Timeouts
from enkash_async.errors import EnkashError, TransportError

__all__ = ["ABSENT", "CALL", "End", "Exchange", "Shown", "Witness"]

#: Which call of the user an exchange belongs to.
CALL: contextvars.ContextVar[int] = contextvars.ContextVar("CALL", default=0)
#: What a look shows where EnKash says that there is no such bill.
ABSENT: Mapping[str, Any] = {}

#: What a look shows of a bill: its members, `ABSENT`, or None where it failed.
Shown = Mapping[str, Any] | None

_CONFIRM = "/api/v0/utilityPayment/status"
_SEARCH = "/api/v1/utilityPayment/search"
_BY_REFERENCE = "/api/v2/utilityPayment/referenceId/"
_CREATES = {"/api/v2/biller/addBill", "/api/v2/utilityPayment"}
_REFUSED = {400, 422}


class End(enum.Enum):
    """How a request that changes something ended, as far as its sender can know; judged apart from the package."""

    DONE = "done"
    REFUSED = "refused"
    SHUT_OUT = "shut out"  # 401: nothing but the token was looked at
    UNSENT = "unsent"
    UNNAMED = "a yes to a create that names no bill"
    UNCLEAR = "unclear"


@attrs.frozen(kw_only=True)
class Exchange:
    """A request with its end: a reply, a failure, or None for one that was cancelled; times are monotonic seconds."""

    call: int
    method: str
    path: str
    sent: Any = None
    answer: Response | EnkashError | None = None
    began_at: float = 0.0
    ended_at: float = 0.0

    @property
    def created(self) -> str | None:
        """The reference under which it was to create a bill."""
        return self.sent["referenceId"] if self.method == "POST" and self.path in _CREATES else None

    @property
    def confirmed(self) -> Sequence[str]:
        """The ids whose debit it was to confirm."""
        return self.sent["utilityPaymentIds"] if self.path == _CONFIRM else ()

    @property
    def looked_up(self) -> str | None:
        """The reference that it looked up."""
        return unquote(self.path.removeprefix(_BY_REFERENCE)) if self.path.startswith(_BY_REFERENCE) else None

    @property
    def status(self) -> int | None:
        """HTTP status, where a whole reply came."""
        return self.answer.status if isinstance(self.answer, Response) else None

    @property
    def document(self) -> Mapping[str, Any]:
        """The JSON of the reply; empty where there is none."""
        if not isinstance(self.answer, Response):
            return {}
        try:
            found = json.loads(self.answer.body, parse_float=Decimal)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def code(self) -> int | None:
        """`response_code` of the reply."""
        return self.document.get("response_code")

    @property
    def end(self) -> End:
        """How it ended, for a request that changes something."""
        if isinstance(self.answer, TransportError) and not self.answer.sent:
            return End.UNSENT
        if self.status == 401:
            return End.SHUT_OUT
        if self.status == 200 and self.code == 0:
            return End.DONE if self.created is None else self._creating()
        # A call with many ids may be refused for one of them after some of the others were debited.
        refused = _REFUSED | {429} if self.created is not None else _REFUSED
        return (
            End.REFUSED if self.status in refused and self.code is not None and len(self.confirmed) < 2 else End.UNCLEAR
        )

    def _creating(self) -> End:
        """How a create ended that was answered with a yes, which may name no bill, or belong to another call."""
        payload = self.document.get("payload")
        if not isinstance(payload, dict):
            return End.UNNAMED
        return End.DONE if payload.get("referenceId") == self.created else End.UNCLEAR

    @property
    def shown(self) -> Shown:
        """What a look at one bill shows; None for a reply to a look at another one, or without a bill."""
        if self.status == 200 and self.code == 0:
            payload = self.document.get("payload")
            return payload if isinstance(payload, dict) and self._is_asked(payload) else None
        return ABSENT if self.document.get("payload") == "No utility payment found" else None

    def _is_asked(self, payload: Mapping[str, Any]) -> bool:
        if self.looked_up is not None:
            return bool(payload.get("referenceId") == self.looked_up)
        return self.path.endswith(f"/{payload.get('utilityEnkashId')}")

    def shows(self, utility_enkash_id: str) -> Shown:
        """What a look by EnKash's id, or a search, shows of a bill."""
        if self.path == _SEARCH and self.code == 0 and self.status == 200:
            rows = self.document.get("payload")
            listed: list[Mapping[str, Any]] = rows if isinstance(rows, list) else []
            return next((row for row in listed if row["utilityEnkashId"] == utility_enkash_id), None)
        return self.shown if self.method == "GET" and self.path.endswith(f"/{utility_enkash_id}") else None


class Witness(Transport):
    """A transport that keeps every exchange, in the order in which they ended.

    Args:
        base_url: As for `Transport`.
        timeout: As for `Transport`.
        exchanges: Those that have ended; it is added to.

    Attributes:
        begun: Exchanges that were begun.
    """

    def __init__(self, base_url: str, *, timeout: Timeouts, exchanges: list[Exchange]) -> None:
        super().__init__(base_url, timeout=timeout)
        self.begun = 0
        self._exchanges = exchanges

    async def send(
        self,
        request: Request,
        authorization: Secret | None = None,
        departure: Departure | None = None,
        *,
        alone: bool = False,
        call_id: str = "",
    ) -> Response:
        """Send a request; as in `Transport.send`."""
        self.begun += 1
        began_at = time.monotonic()
        answer: Response | EnkashError | None = None
        try:
            answer = await super().send(request, authorization, departure, alone=alone, call_id=call_id)
        except EnkashError as failure:
            answer = failure
            raise
        finally:
            self._exchanges.append(
                Exchange(
                    call=CALL.get(),
                    method=request.method,
                    path=request.path,
                    sent=None if request.body is None else json.loads(request.body, parse_float=Decimal),
                    answer=answer,
                    began_at=began_at,
                    ended_at=time.monotonic(),
                )
            )
        return answer
