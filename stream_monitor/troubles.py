"""What does not work now, and why: each trouble is logged when it begins and when it ends, however often it is met."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any, Final

log = logging.getLogger(__name__)

_WHO: Final = re.compile(r"(?<=://)[^\s/@]*@")  # user and password of an address


def said(error: BaseException) -> str:
    """An error in words: the address that it names stands in it, a password of that address does not.

    >>> said(ConnectionError("redis://me:secret@db:6379: refused")), said(TimeoutError())
    ('redis://db:6379: refused', 'TimeoutError')
    """
    return _WHO.sub("", str(error)) or type(error).__name__


class Troubles:
    """By what it is that does not work.

    >>> troubles = Troubles()
    >>> troubles.fails("outbox", "refused"); troubles.fails("broker", "gone"); troubles.reason
    'broker: gone; outbox: refused'
    >>> troubles.works("outbox"); troubles.works("broker"); troubles.reason
    ''
    """

    def __init__(self, now: Mapping[str, str] | None = None) -> None:
        """`now`: what does not work from the beginning, which is not logged."""
        self._now = dict(now or {})

    def works(self, what: str) -> None:
        """It works, again or still."""
        if self._now.pop(what, None) is not None:
            log.info("%s: works", what)

    def fails(self, what: str, why: object) -> None:
        """It does not work now."""
        if what not in self._now:
            log.warning("%s: %s", what, why)
        self._now[what] = str(why)

    @property
    def reason(self) -> str:
        """All of it in one line; "" if everything works."""
        return "; ".join(f"{what}: {why}" for what, why in sorted(self._now.items()))

    def into(self, status: Mapping[str, Any]) -> dict[str, Any]:
        """A role's status with what this adds to its `reason`.

        >>> troubles = Troubles(); troubles.fails("outbox", "refused")
        >>> troubles.into({"healthy": True, "reason": "", "lag": 0})
        {'healthy': False, 'reason': 'outbox: refused', 'lag': 0}
        """
        reason = "; ".join(r for r in (status["reason"], self.reason) if r)
        return {**status, "healthy": not reason, "reason": reason}
