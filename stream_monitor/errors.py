"""Errors, named by what the caller does.

StreamMonitorError
+-- ConfigError       stop at start-up; lists every mistake with file, line and path
+-- InvalidRecord     dead-letter the event and count it by reason
+-- DeliveryError     try again after `retry_after` seconds, or give up at once if `permanent`
+-- Unreachable       try again soon: broker or store does not answer, nothing is decided
|   +-- Refused       the same, but somebody must change a credential or a certificate first: do not start like this
|   +-- CommitUnknown rejoin the group and read back: the commit may have been made or not
+-- StateError        this process cannot go on: leave with exit code 1 and be started again
    +-- Newer         state of a newer release: start that one again, or throw the state away
    +-- Older         state of an older release: count anew under another prefix, or go on with that release
    +-- Fenced        the partition has another owner now: publish nothing, rejoin the group
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class StreamMonitorError(Exception):
    """Base of all errors of this package."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One mistake in a configuration. `line` is 1-based, 0 where the file has no such line."""

    file: str
    line: int
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.path}: {self.message}" if self.path else f"{where}: {self.message}"


Finding = tuple[str, str]  # path, message: what a rule finds wrong, before its line in the file is known


class ConfigError(StreamMonitorError):
    """The configuration is wrong; `mistakes` has all of them."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(str(m) for m in self.mistakes))


class InvalidRecord(StreamMonitorError):
    """An event that cannot be read, with one of the reasons of dead letters."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")


class DeliveryError(StreamMonitorError):
    """A sink or trigger did not take it. `permanent`: it never will."""

    def __init__(self, message: str, *, retry_after: float | None = None, permanent: bool = False) -> None:
        self.retry_after = retry_after
        self.permanent = permanent
        super().__init__(message)


class Unreachable(StreamMonitorError):
    """An outside system does not answer; the same call may succeed later."""


class Refused(Unreachable):
    """An outside system lets us not in; only a change of credentials, here or there, can help."""


class CommitUnknown(Unreachable):
    """A commit was sent and its outcome is not known."""


class StateError(StreamMonitorError):
    """This process cannot go on truthfully."""


class Newer(StateError):
    """What was kept is of a newer release: this one would misread it."""

    def __init__(self, what: str, found: object, known: object, way_out: str) -> None:
        super().__init__(f"{what} is of format {found}, this release knows up to {known}: {way_out}")


class Older(StateError):
    """What was kept is of an older release, whose numbers mean something else here."""

    def __init__(self, what: str, found: object, known: object, way_out: str) -> None:
        super().__init__(f"{what} is of format {found}, this release reads {known} and none before: {way_out}")


class Fenced(StateError):
    """The source partition was given to another process."""
