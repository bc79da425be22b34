"""Delays what look-ups show: they see a bill as it was some seconds ago."""

from __future__ import annotations

from datetime import datetime

import attrs

from enkash_async.sandbox._payment import UtilityPayment

__all__ = ["Display"]


@attrs.frozen
class _Version:
    """A state of a payment, which look-ups show `lag` seconds after `since`; None stands for no payment."""

    payment: UtilityPayment | None
    since: datetime
    lag: float

    def is_shown(self, now: datetime) -> bool:
        return (now - self.since).total_seconds() >= self.lag


class Display:
    """Shows each payment late.

    Each change keeps the lag that was set when the change was made. So if the lag is set to `math.inf` after a bill was
    created, look-ups always show the bill as it was at that time.
    """

    def __init__(self) -> None:
        # Holds only payments with a change that may not show yet.
        self._versions: dict[str, list[_Version]] = {}

    def note(self, before: UtilityPayment | None, after: UtilityPayment, lag: float) -> None:
        """Note a change.

        Args:
            before: The payment before the change; None for a new one.
            after: The payment after the change.
            lag: Seconds until the change shows.
        """
        key = after.utility_enkash_id
        if lag or key in self._versions:
            versions = self._versions.setdefault(key, [_Version(before, after.since, 0.0)])
            versions.append(_Version(after, after.since, lag))

    def shown(self, payment: UtilityPayment, now: datetime) -> UtilityPayment | None:
        """Return a payment as a look-up shows it now; None if the look-up does not show the payment yet.

        Args:
            payment: The payment as it really is.
            now: The present instant.
        """
        versions = self._versions.get(payment.utility_enkash_id)
        if versions is None:
            return payment
        while len(versions) > 1 and any(version.is_shown(now) for version in versions[1:]):
            del versions[0]
        if len(versions) == 1:
            del self._versions[payment.utility_enkash_id]
        return versions[0].payment
