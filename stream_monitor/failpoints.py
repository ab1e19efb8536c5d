"""Places where a process can be made to die or to freeze, to prove that nothing is lost there.

    STREAM_MONITOR_FAILPOINT=tap.announced:3:kill     at the third pass through `tap.announced`, as kill -9 would
    STREAM_MONITOR_FAILPOINT=worker.head:1:freeze     stopped there until somebody sends SIGCONT

Without the variable `reach` does nothing. Why in the service itself: the moments that matter (between an intent and
its block, between a checkpoint's segment and its head) last milliseconds: a kill from outside hardly ever hits one.
"""

from __future__ import annotations

import os
import signal
from typing import Final

from stream_monitor.errors import ConfigError, Mistake

VARIABLE: Final = "STREAM_MONITOR_FAILPOINT"
TAP: Final = ("tap.announced", "tap.counted", "tap.sent", "tap.acknowledged")
WORKER: Final = (
    "worker.stepped",
    "worker.published",
    "worker.segment",
    "worker.head",
    "worker.acknowledged",
    "worker.committed",
)
SIGNALS: Final = {"kill": signal.SIGKILL, "freeze": signal.SIGSTOP}

_left: dict[str, tuple[int, signal.Signals]] = {}


def arm(text: str) -> None:
    """Take the failpoint in `text`, which is NAME:PASS:ACTION or empty; ConfigError for another text.

    >>> arm("tap.sent:1:kill"), arm("")
    (None, None)
    """
    _left.clear()
    if not text:
        return
    name, _, rest = text.partition(":")
    passes, _, action = rest.partition(":")
    if name not in (*TAP, *WORKER) or not passes.isdecimal() or action not in SIGNALS:
        known = f"names: {', '.join((*TAP, *WORKER))}; actions: {', '.join(SIGNALS)}"
        what = f"{text!r} is not NAME:PASS:ACTION; {known}"
        raise ConfigError([Mistake(file="environment", line=0, path=VARIABLE, message=what)])
    _left[name] = (int(passes), SIGNALS[action])


def reach(name: str) -> None:
    """The process passes here."""
    if _left and name in _left:
        passes, how = _left.pop(name)
        if passes > 1:
            _left[name] = (passes - 1, how)
        else:
            os.kill(os.getpid(), how)
