"""`stream-monitor replay`: the pipeline of the service over files, without Kafka.

    file -> pieces -> blocks -> the tap's counting -> bundles -> the worker's fold -> outputs

Events and labels are two sources of one partition each; a row's place in its file is its offset. Blocks of both are
folded in the order of event time, so that windows close as they would in the service, and the end of the files closes
every window. A block's clock is the greatest event time so far, but never ahead of the real one: cooldowns pass as they
would have, and events of the future are dead letters, as they would have been.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow.parquet
from numpy.typing import NDArray

from detectors.layouts import Layout
from stream_monitor.config import Config, Select
from stream_monitor.config.plain import config_id
from stream_monitor.config.roles import is_pattern
from stream_monitor.counting.batches import Batch, DeadLetter
from stream_monitor.counting.fields import assemble, assemble_labels
from stream_monitor.counting.labels import join, remember
from stream_monitor.counting.panes import count_block
from stream_monitor.counting.plans import LabelPlan, Plan, event_plan, feature_plan, label_plan
from stream_monitor.counting.times import parse_times
from stream_monitor.entries import Bundle, Command, Entry, PaneRecord, Source
from stream_monitor.errors import StateError
from stream_monitor.fold.fold import State, finish, step
from stream_monitor.formats.files import AnyPiece, File, Piece, pieces, unreadable
from stream_monitor.formats.lines import Lines, Tapped
from stream_monitor.formats.selections import selected
from stream_monitor.interfaces import Catalog, LabelStore
from stream_monitor.outputs import Output
from stream_monitor.shell.progress import Steps

BLOCK_ROWS: Final = 10_000
UNCOUNTED_ROWS: Final = 500  # of a block as long as columns are not counted: it does not know what it teaches
TOPIC_ID: Final = "file"
NEVER: Final = int(np.iinfo(np.int64).min)

Integers = NDArray[np.int64]
Put = Callable[[Sequence[Output]], None]


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of a file that are counted together: offsets [from_, to). `reached_ms`: the greatest time up to its end."""

    piece: AnyPiece
    from_: int
    to: int
    reached_ms: int

    @property
    def numbers(self) -> Integers:
        """Places of the rows in the file; some in between may be no rows."""
        return self.piece.numbers


class Feed:
    """A file as a source, its blocks in its order."""

    def __init__(self, source: Source, parts: Iterator[AnyPiece], time_path: str, now_ms: int) -> None:
        self.source = source
        self.n = 0
        self.at = 0
        self.max_time_ms: int | None = None  # of events counted so far
        self._parts = parts
        self._time_path = time_path
        self._now_ms = now_ms
        self._reached = NEVER
        self._piece: AnyPiece | None = None
        self._times: Integers = np.zeros(0, np.int64)  # running maximum, per row of the piece
        self._row = 0  # the first row of the piece that no block has

    def block(self, until_ms: int | None = None, most: int = BLOCK_ROWS) -> Block | None:
        """The next block of at most so many rows; of those reached by `until_ms`, if given. None: there is none."""
        if self._piece is None and not self._read():
            return None
        assert self._piece is not None
        piece, first = self._piece, self._row
        last = len(piece.numbers) if until_ms is None else int(np.searchsorted(self._times, until_ms, side="right"))
        if until_ms is not None and last <= first < len(piece.numbers):
            return None
        last = min(last, first + most)
        whole = last == len(piece.numbers)
        end = max([self.at, *(piece.numbers[-1:] + 1).tolist(), *(d.index + 1 for d in piece.dead)])
        to = end if whole else int(piece.numbers[last])
        rows = np.zeros(len(piece.numbers), np.bool_)
        rows[first:last] = True
        dead = [d for d in piece.dead if self.at <= d.index < to]
        cut = Piece(piece.rows if rows.all() else piece.rows.take(rows), piece.numbers[first:last], dead)
        block = Block(cut, self.at, to, int(self._times[last - 1]) if last > first else self._reached)
        self.at, self._row = to, last
        if whole:
            self._piece = None
        return block

    @property
    def ended(self) -> bool:
        """Whether every row is in a block."""
        return self._piece is None and not self._read()

    def _read(self) -> bool:
        piece = next(self._parts, None)
        if piece is None:
            return False
        rows = piece.rows
        times, good = rows.times() if isinstance(rows, Lines) else parse_times(rows.values(self._time_path))
        good &= times <= self._now_ms  # what is of the future must not move the clock
        self._times = np.maximum(np.maximum.accumulate(np.where(good, times, NEVER)), self._reached)
        self._reached = int(self._times[-1]) if len(self._times) else self._reached
        self._piece, self._row = piece, 0
        return True


@dataclass(slots=True)
class Tally:
    """What was read."""

    events: int = 0
    features: int = 0
    labels: int = 0
    others: int = 0  # rows of other models of the same topic
    late: int = 0
    dead: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)  # of the label join


class Run:
    """One replay of one model. `put` gets all outputs in the order in which the service would publish them."""

    def __init__(self, config: Config, name: str, *, catalog: Catalog, store: LabelStore, put: Put) -> None:
        self.tally = Tally()
        self.at_ms = 0
        self._config, self._name, self._model = config, name, config.models[name]
        self._id = config_id(config)
        self._catalog, self._store, self._put = catalog, store, put
        self._layout: Layout | None = None
        self._state = State.empty(0, 1)
        self._plan: Plan = event_plan(name, config, flat=True)
        self._feature_plan: Plan | None = feature_plan(name, config, flat=True) if self._model.features else None
        self._label_plan: LabelPlan | None = label_plan(name, config, flat=True) if self._model.labels else None

    @property
    def most_rows(self) -> int:
        """Of the next block."""
        return BLOCK_ROWS if self._layout is not None else UNCOUNTED_ROWS

    def configure(self, command: Command) -> None:
        """The first entry of the log."""
        layout = command.body["layouts"].get(self._name)
        self._layout = self._catalog.layout(layout) if layout else None
        self._step(command)

    def events(self, feed: Feed, block: Block) -> None:
        """Count a block of events and fold it."""
        piece = self._mine(block.piece, self._model.select)
        batch, refused = self._read(piece, self._plan)
        counts = count_block(
            batch, self._layout, self._name, self._model, self._config.time, feed.max_time_ms
        )  # fmt: skip
        panes, pairs = remember(self._store, batch, feed.source, self._layout, self._name, self._model)
        self.tally.answers.update({"waiting_joined": pairs} if pairs else {})
        feed.max_time_ms = counts.max_time_ms
        self.tally.events += len(piece.numbers) + len(piece.dead)
        self._fold(feed, block, counts.panes + panes, Counter(d.reason for d in [*piece.dead, *refused]), counts.late)

    def features(self, feed: Feed, block: Block) -> None:
        """Count a block of the feature stream and fold it."""
        assert self._feature_plan is not None
        assert self._model.features is not None
        piece = self._mine(block.piece, self._model.features.select)
        batch, refused = self._read(piece, self._feature_plan)
        counts = count_block(
            batch, self._layout, self._name, self._model, self._config.time, feed.max_time_ms, feature_stream=True
        )
        feed.max_time_ms = counts.max_time_ms
        self.tally.features += len(piece.numbers) + len(piece.dead)
        self._fold(feed, block, counts.panes, Counter(d.reason for d in [*piece.dead, *refused]), counts.late)

    def _read(self, piece: AnyPiece, plan: Plan) -> tuple[Batch, list[DeadLetter]]:
        """The events of a piece, and the others with reasons."""
        rows, numbers = piece.rows, piece.numbers
        if isinstance(rows, Lines):
            return rows.batch(self._layout, self.at_ms, numbers)
        return assemble(
            rows, plan, self._layout, self.at_ms,
            index=numbers.tolist(), timestamps_ms=np.full(len(numbers), -1), offsets=numbers,
        )  # fmt: skip

    def _mine(self, piece: AnyPiece, by: Select | None) -> AnyPiece:
        """The rows that the model selects."""
        mine, others = selected(piece, by, self._name)
        self.tally.others += others
        return mine

    def labels(self, feed: Feed, block: Block) -> None:
        """Join a block of labels, count the pairs and fold them."""
        assert self._label_plan is not None
        assert self._model.labels is not None
        rows, numbers, dead = self._mine(block.piece, self._model.labels.select)
        assert not isinstance(rows, Lines)  # of events only
        batch, refused = assemble_labels(
            rows, self._label_plan, self.at_ms,
            index=numbers.tolist(), timestamps_ms=np.full(len(numbers), -1), offsets=numbers,
        )  # fmt: skip
        counts = join(
            self._store, batch, feed.source, self._layout, self._name, self._model, self._config.time, feed.max_time_ms
        )
        feed.max_time_ms = counts.max_time_ms
        self.tally.labels += len(numbers) + len(dead)
        self.tally.answers.update(counts.answers)
        self._fold(feed, block, counts.panes, Counter(d.reason for d in [*dead, *refused]), counts.late)

    def silence(self, feed: Feed) -> None:
        """Nothing comes from this source any more: it must not hold up the windows."""
        self._fold(feed, None, [], Counter(), 0)

    def end(self) -> None:
        """No event will come any more: every window closes."""
        self._give(finish(self._state, self._catalog))

    def _fold(self, feed: Feed, block: Block | None, panes: list[PaneRecord], dead: Counter[str], late: int) -> None:
        feed.n += 1
        self.tally.dead.update(dead)
        self.tally.late += late
        self._step(
            Bundle(
                source=feed.source,
                n=feed.n,
                from_=block.from_ if block else feed.at,
                to=block.to if block else feed.at,
                part=0,
                parts=1,
                watermark_ms=None
                if feed.max_time_ms is None
                else feed.max_time_ms - self._config.time.out_of_orderness,
                idle=block is None,
                partitions=1,
                config=self._id,
                at_ms=self.at_ms,
                panes=tuple(panes),
                dead=dict(sorted(dead.items())),
                late=late,
            )
        )

    def _step(self, entry: Entry) -> None:
        self._state, outputs = step(self._state, entry, self._catalog)
        self._give(outputs)
        for id in self._state.disused:  # there is no state but this one
            self._catalog.forget_blob(id)
        self._state.withdrawn(self._state.disused)
        if self._state.stopped:
            raise StateError(self._state.stopped)

    def _give(self, outputs: Sequence[Output]) -> None:
        for output in outputs:
            if output.kind == "layout":  # a tap would take it up at its next block, too
                self._layout = self._catalog.layout(str(output.body["layout"]))
        self._put(outputs)


Count = Callable[[Feed, Block], None]


def alone(config: Config, name: str) -> Config:
    """The configuration of one model, whose events all come from one topic: the file."""
    model = config.models[name]
    topic = next((t for t in model.topic if not is_pattern(t)), "events")
    return replace(config, models={name: replace(model, topic=(topic,))})


@dataclass(frozen=True, slots=True)
class Feeds:
    """The sources of a model; those without a file are silent, None where the model has no such topic."""

    events: Feed
    features: Feed | None
    labels: Feed | None


def feeds(config: Config, name: str, events: str, labels: str | None, features: str | None = None) -> Feeds:
    """The sources of a model's events and, if it has topics for them, of its features and labels."""
    model, now = config.models[name], time.time_ns() // 1_000_000

    def feed(topic: str, file: str | None, plan: Plan | LabelPlan, path: str, select: Select | None) -> Feed:
        none: Iterator[AnyPiece] = iter(())
        tapped = Tapped.of(plan, select) if isinstance(plan, Plan) else None
        parts = pieces(File(Path(file)), plan, None, BLOCK_ROWS, tapped) if file else none
        return Feed(Source(topic, TOPIC_ID, 0, 0), parts, path, now + config.time.max_future)

    apart, told = model.features, model.labels
    return Feeds(
        feed(model.topic[0], events, event_plan(name, config, flat=True), model.fields.time, model.select),
        feed(apart.topic, features, feature_plan(name, config, flat=True), apart.fields.time, apart.select)
        if apart
        else None,
        feed(told.topic, labels, label_plan(name, config, flat=True), told.fields.time, told.select) if told else None,
    )


def play(run: Run, sources: Feeds, steps: Steps) -> None:
    """Fold all files to their ends, in the order of event time."""
    followers = [
        (feed, count)
        for feed, count in ((sources.features, run.features), (sources.labels, run.labels))
        if feed is not None
    ]
    while (block := sources.events.block(most=run.most_rows)) is not None:
        _count(run, sources.events, run.events, block, steps, _day(block.reached_ms))
        for feed, count in followers:
            _follow(run, feed, count, block.reached_ms, steps)
    for feed, count in followers:
        while (block := feed.block()) is not None:
            _count(run, feed, count, block, steps, _day(block.reached_ms))
    run.end()


def _count(run: Run, feed: Feed, count: Count, block: Block, steps: Steps, day: str) -> None:
    run.at_ms = max(run.at_ms, min(block.reached_ms, time.time_ns() // 1_000_000))
    count(feed, block)
    steps.advance(block.to - block.from_, day)


def _follow(run: Run, feed: Feed, count: Count, until_ms: int, steps: Steps) -> None:
    """What has come by now; of a file that is at its end, that nothing comes."""
    while (block := feed.block(until_ms)) is not None:
        count(feed, block)
        steps.advance(block.to - block.from_)
    if feed.ended:
        run.silence(feed)


def _day(at_ms: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(at_ms / 1000)) if 0 < at_ms < 1e14 else ""


def count_rows(file: str) -> int:
    """About how many rows a file has, for a progress bar; ConfigError when it cannot be read."""
    found = File(Path(file))
    try:
        if found.kind == "parquet":
            with pyarrow.parquet.ParquetFile(file) as parquet:
                return int(parquet.metadata.num_rows)
        with Path(file).open("rb") as lines:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: lines.read(1 << 20), b""))
    except (OSError, pyarrow.ArrowException) as error:
        raise unreadable(Path(file), error) from None
