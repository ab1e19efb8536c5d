"""The twin of every sink and trigger, for tests: keeps what it was given."""

from __future__ import annotations

from collections.abc import Sequence

from stream_monitor.errors import DeliveryError
from stream_monitor.interfaces import Notice


class Memory:
    """Keep the notices in `taken`. The next calls raise `failures`, one each, before it takes any more."""

    def __init__(self, failures: Sequence[DeliveryError] = (), resend_seconds: float = 0.0) -> None:
        self.resend_seconds = resend_seconds
        self.taken: list[Notice] = []
        self.failures = list(failures)
        self.closed = False

    async def deliver(self, notice: Notice) -> None:
        """Keep it, or raise the next failure."""
        if self.failures:
            raise self.failures.pop(0)
        self.taken.append(notice)

    async def ping(self) -> None:
        """It is always there."""

    async def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True
