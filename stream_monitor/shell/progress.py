"""How far a long job is: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

EVERY_SECONDS: Final = 5.0


class Steps(Protocol):
    """Takes note of work done."""

    def advance(self, count: int, note: str = "") -> None:
        """`count` more are done; `note` says in a few words where the job is."""


@contextmanager
def progress(what: str, total: int, stream: TextIO | None = None) -> Iterator[Steps]:
    """Show the progress of `total` steps of a job on `stream` (stderr) while inside."""
    stream = stream or sys.stderr
    if stream.isatty():
        with _bar(stream) as bar:
            yield _Bar(bar, what, total)
        return
    lines = Lines(what, total, stream.write)
    yield lines
    lines.end()


def _bar(stream: TextIO) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, TextColumn("{task.fields[note]}"), console=Console(file=stream), transient=True)


class _Bar:
    def __init__(self, bar: Progress, what: str, total: int) -> None:
        self._bar = bar
        self._task = bar.add_task(what, total=total, note="")

    def advance(self, count: int, note: str = "") -> None:
        self._bar.update(self._task, advance=count)
        if note:
            self._bar.update(self._task, note=note)


class Lines:
    """A line every EVERY_SECONDS, and one at the end.

    >>> out = []
    >>> lines = Lines("reading", 10, out.append, clock=iter([0.0, 1.0, 6.0, 7.0]).__next__)
    >>> lines.advance(3); lines.advance(4, "week 2"); lines.end(); out
    ['reading: 7 of 10 (70 %), week 2\\n', 'reading: 7 done in 7.0 s\\n']
    """

    def __init__(
        self, what: str, total: int, write: Callable[[str], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._what = what
        self._total = total
        self._write = write
        self._clock = clock
        self._begin = self._last = clock()
        self._done = 0

    def advance(self, count: int, note: str = "") -> None:
        self._done += count
        now = self._clock()
        if now - self._last >= EVERY_SECONDS:
            self._last = now
            share = f" ({100 * self._done // self._total} %)" if self._total else ""
            self._write(f"{self._what}: {self._done} of {self._total}{share}{', ' + note if note else ''}\n")

    def end(self) -> None:
        """The last line."""
        self._write(f"{self._what}: {self._done} done in {self._clock() - self._begin:.1f} s\n")
