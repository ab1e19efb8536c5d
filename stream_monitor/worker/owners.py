"""An owner: one worker's hold on one partition of the panes topic, from its assignment to the next one.

It restores the state, feeds the fold strictly consecutive entries, and says what to write for a checkpoint. Nothing
here waits or talks to anything: workers.py moves the bytes, and the simulator in the tests moves them through crashes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import msgspec

from stream_monitor.entries import Bundle, Entry, unpack
from stream_monitor.errors import StateError
from stream_monitor.interfaces import Catalog
from stream_monitor.outputs import Output
from stream_monitor.worker import checkpoints
from stream_monitor.worker.segments import Changes, Records

log = logging.getLogger(__name__)

RAW_LAYOUT = "0"


class State(Protocol):
    """What the fold keeps of one partition, as checkpoints see it."""

    @property
    def stopped(self) -> str:
        """Why this partition can go no further, or ""."""

    def head(self) -> bytes:
        """What has been applied: small, written with every checkpoint."""

    def all_records(self) -> Changes:
        """Everything else, by key; good until the next entry is folded."""

    def changed(self) -> Changes:
        """The records changed since `mark`; None for one that is gone."""

    def mark(self) -> None:
        """All changes so far are kept elsewhere."""

    @property
    def disused(self) -> Sequence[str]:
        """References that the state named once and names no more."""

    def withdrawn(self, ids: Sequence[str]) -> None:
        """They have been taken back."""


S = TypeVar("S", bound=State)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold(Generic[S]):
    """The pure functions of a fold: `empty(partition, partitions)`, `step`, and `restore(head, records, catalog)`."""

    empty: Callable[[int, int], S]
    step: Callable[[S, Entry, Catalog], tuple[S, Sequence[Output]]]
    restore: Callable[[bytes, Records, Catalog], S]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Offsets of a partition's log: the first one kept, the next one to be written, the group's (None: none yet)."""

    begin: int
    end: int
    committed: int | None


class Owner(Generic[S]):
    """`at` is the offset of the next entry to fold; `alarm` says why the state is not the one that was, or is ""."""

    def __init__(
        self,
        fold: Fold[S],
        catalog: Catalog,
        *,
        partition: int,
        partitions: int,
        topic_id: str,
        messages: Mapping[bytes, bytes],
        span: Span,
        every: int = checkpoints.EVERY,
    ) -> None:
        self.partition = partition
        self.at = span.begin
        self.alarm = ""
        self._fold = fold
        self._catalog = catalog
        self._chain = checkpoints.Chain(partition, topic_id, messages, every=every)
        self.checkpoint_at: int | None = None
        self.state = self._restored(messages, topic_id, span) or fold.empty(partition, partitions)

    def _restored(self, messages: Mapping[bytes, bytes], topic_id: str, span: Span) -> S | None:
        # A segment without any head is of an owner who died before its first checkpoint was whole: nothing is lost.
        begun = bool(checkpoints.heads(messages))
        reason = "no checkpoint of this log is whole" if begun else "the checkpoints are gone"
        if not begun and span.committed is None:
            reason = "there is no checkpoint, and the log has lost its beginning"
        if (older := checkpoints.older_format(messages)) is not None:
            reason = f"its checkpoints are of format {older}, this release reads {checkpoints.FORMAT} and none before"
        for candidate in checkpoints.found(messages, topic_id):
            if not span.begin <= candidate.at <= span.end:
                reason = f"the checkpoint is at {candidate.at}, the log holds [{span.begin}, {span.end})"
                continue
            try:
                state = self._fold.restore(candidate.state, candidate.records, self._catalog)
            except OSError:  # of the file it lies in here: it may well be whole
                raise
            except Exception as error:  # of whatever kind: the log can rebuild what cannot be read
                log.exception("partition %d: the checkpoint at %d cannot be read", self.partition, candidate.at)
                reason = f"the checkpoint at {candidate.at} cannot be read: {error!r}"
                continue
            self.at = self.checkpoint_at = candidate.at
            return state
        if begun or span.committed is not None or span.begin > 0:
            self.alarm = f"partition {self.partition} is rebuilt from offset {span.begin} on: {reason}"
        return None

    def read(self, data: bytes) -> Entry | None:
        """The entry in a message; None if it is none, which every owner will agree on."""
        try:
            return unpack(data, f"the panes topic, partition {self.partition} offset {self.at},")
        except msgspec.DecodeError as error:
            log.error("partition %d offset %d is no entry: %s", self.partition, self.at, error)
            return None

    def step(self, offset: int, entry: Entry | None) -> Sequence[Output]:
        """Fold the entry at `offset`, which must be `at`."""
        if offset != self.at:
            raise StateError(f"partition {self.partition}: entry {offset} came where {self.at} was due")
        outputs: Sequence[Output] = ()
        if entry is not None:
            self.state, outputs = self._fold.step(self.state, entry, self._catalog)
        self.at += 1
        return outputs

    def checkpoint(self) -> checkpoints.Checkpoint:
        """What to write now; the state must not go on before `written`."""
        changes = self.state.all_records() if self._chain.full_is_due else self.state.changed()
        return self._chain.next(self.at, self.state.head(), changes)

    def written(self, checkpoint: checkpoints.Checkpoint) -> None:
        """The checkpoint is acknowledged, head and all."""
        self._chain.written(checkpoint)
        self.state.mark()
        self.checkpoint_at = checkpoint.at

    def superseded(self) -> list[bytes]:
        """Keys to tombstone once the commit of a full checkpoint is confirmed."""
        return self._chain.superseded()


def needs(entry: Entry | None) -> tuple[frozenset[str], frozenset[str]]:
    """Ids of the layouts and of the blobs that the catalog must know before the entry is folded."""
    if entry is None:
        return frozenset(), frozenset()
    if isinstance(entry, Bundle):
        return frozenset(p.layout for p in entry.panes) - {RAW_LAYOUT}, frozenset()
    body = entry.body
    layouts = [*_values(body.get("layouts")), *_texts(body.get("layout"))]
    blobs = [*_values(body.get("references")), *_texts(body.get("reference"))]
    return frozenset(layouts) - {RAW_LAYOUT, ""}, frozenset(blobs) - {""}


def _values(value: object) -> Iterable[str]:
    return _texts(*value.values()) if isinstance(value, Mapping) else ()


def _texts(*values: object) -> Iterable[str]:
    return (v for v in values if isinstance(v, str))
