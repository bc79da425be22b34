"""The steps before each confirmation is sent: write *sent*, and check that the store was not emptied."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from enkash_async._money.attempt import Attempt, Do
from enkash_async._money.debit import may_begin
from enkash_async._money.debit_commands import Command, MarkSent, Settle
from enkash_async._money.debit_records import DebitRecords
from enkash_async._support.clock import instant
from enkash_async.errors import EnkashError

__all__ = ["DebitDeparture", "NotTogetherError"]

_STEPS = 4  # try *sent*, renew a claim that is too old, write *sent* again, and one step to spare


class NotTogetherError(EnkashError):
    """Some bills of a call must not be sent any more. Nothing was sent, and the other bills make a new call."""


@attrs.define(eq=False)
class DebitDeparture:
    """The departure of one call; `note` may be called again after a 401, or if nothing was sent.

    Args:
        records: The records of debits.
        attempts: The attempts of all bills, by id. The departure replaces the attempts for the bills in `ids`.
        ids: EnKash's ids of the bills in this call.
        clock: Returns seconds on a clock that counts time in suspend.

    Attributes:
        begun: Whether part of the body may have been sent since *sent* was last written.
    """

    records: DebitRecords
    attempts: dict[str, Attempt]
    ids: Sequence[str]
    clock: Callable[[], float] = instant
    begun: bool = False
    _noted: int = 0
    _before: float = 0.0

    async def note(self) -> None:
        """Write *sent* for each bill of the call.

        Raises:
            NotTogetherError: Another process has one of the bills, or the store was emptied.
            StoreError: *Sent* cannot be written; nothing is sent.
        """
        self._noted += 1
        self.begun = False
        for one in self.ids:
            attempt = self.attempts[one]
            sending = attempt.sending + (self._noted > 1 or attempt.do is Do.SEND)
            mark = MarkSent(attempt.by, sending)
            self.attempts[one] = attrs.evolve(attempt, do=Do.ACT, command=mark, sending=sending)
        self._before = self.clock()
        for _ in range(_STEPS):
            await self._act()
            await self._check()
            if all(self.attempts[one].do is Do.SEND for one in self.ids):
                return
            if any(self.attempts[one].do is not Do.ACT or _is_over(self.attempts[one]) for one in self.ids):
                break
        raise NotTogetherError("the bills of this call are not all to be sent any more")

    def is_timely(self) -> bool:
        """Whether *sent* was written recently enough to send; if so, note that the call may have been sent."""
        timely = may_begin(self._before, self.clock(), self.records.durations)
        # Stays True after a False: an HTTP library may ask twice, and may have sent the call after the first True.
        self.begun = self.begun or timely
        return timely

    async def _act(self) -> None:
        commands: dict[str, Command] = {
            one: self.attempts[one].command  # type: ignore[misc]  # an attempt that acts has a command
            for one in self.ids
            if self.attempts[one].do is Do.ACT and not _is_over(self.attempts[one])
        }
        for one, answer in (await self.records.act(commands) if commands else {}).items():
            self.attempts[one] = self.attempts[one].answered(answer)

    async def _check(self) -> None:
        checked = [one for one in self.ids if self.attempts[one].do is Do.CHECK]
        for one, birth in (await self.records.births_of(checked) if checked else {}).items():
            self.attempts[one] = self.attempts[one].checked(birth)


def _is_over(attempt: Attempt) -> bool:
    """Whether the attempt has nothing left to do but to report how it ended."""
    return attempt.end is not None or isinstance(attempt.command, Settle)
