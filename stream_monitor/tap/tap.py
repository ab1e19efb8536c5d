"""From source topics to bundles, block by block, each block announced by an intent before it is counted.

    assigned -> look -+-> make the intent's block again -+-> collect -> cut -> commit intent -> count -> publish
                      +-> open a new epoch --------------+      ^                                          |
                                                                +------------ all acknowledged ------------+

A tap keeps nothing between blocks and may die at any instant: whoever is assigned the partition next reads the intent
back and makes the same block again, byte for byte; the fold drops what it has seen. Nothing is published before its
intent is committed, and the next intent is committed only after every message of this one is acknowledged.

Blocks are counted by an executor, one thread in the service, while this thread goes on reading for the next ones:

    this thread   | cut, commit 1 | poll poll poll | publish 1, acks, cut, commit 2 | poll poll poll | publish 2 ...
    executor      |               | decode, count 1                                 | decode, count 2

A partition that is taken away meanwhile is heard of in a poll, and what was counted of it is dropped. While a block
waits, as what it is counted with does not answer (rounds.py), its partition is read no further.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, Final

from stream_monitor.brokers import Group, Logs, Partition, Publisher
from stream_monitor.config.roles import matches
from stream_monitor.errors import CommitUnknown, Fenced, Unreachable
from stream_monitor.failpoints import reach
from stream_monitor.intents import Look, to_metadata
from stream_monitor.tap.announced import Inline
from stream_monitor.tap.beginnings import Stopping, Unanswered, all_begun, begun
from stream_monitor.tap.blocks import Assigned, Counting, Terms, take
from stream_monitor.tap.reports import Report
from stream_monitor.tap.rounds import Round
from stream_monitor.tap.rules import Limits, Rules
from stream_monitor.troubles import Troubles

log = logging.getLogger(__name__)

POLL_RECORDS: Final = 10_000
REFUSED_SECONDS: Final = 15.0  # commits refused for so long without a rebalance: join the group anew
COUNTING_SECONDS: Final = 0.02  # a poll's patience while blocks are counted
HELD_SECONDS: Final = 1.0  # without a poll, at most, while there is no room for what it would bring


class Tap:
    """Reads the source topics and publishes their blocks, exactly once each as far as the fold can tell.

    `run` blocks and belongs in a thread of its own; `status` may be called from any. StateError ends the process.
    """

    def __init__(
        self,
        *,
        rules: Rules,
        group: Group,
        logs: Logs,
        publisher: Publisher,
        counting: Counting,
        worker_partitions: int,
        limits: Limits | None = None,
        executor: Executor | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rules, self._limits = rules, limits or Limits()
        self._group, self._logs, self._counting = group, logs, counting
        self._executor = executor or Inline()
        self._now_ms, self._clock = now_ms, clock
        self._stop = threading.Event()
        self._assigned: dict[Partition, Assigned] = {}
        self._report = Report(trouble=Troubles({"group": "not joined yet"}))
        self._round = Round(
            self._assigned,
            prefix=rules.prefix,
            logs=logs,
            publisher=publisher,
            counting=counting,
            worker_partitions=worker_partitions,
            limits=self._limits,
            executor=self._executor,
            report=self._report,
            clock=clock,
        )
        self._ids: dict[str, str] = {}  # topic -> the id it has had
        self._joined = False
        self._topics = tuple(self._rules.topics)
        self._newer: set[str] = set()  # topics that were not there yet when the group was joined
        self._discover_at = clock()
        self._flushed = clock()
        self._interval = self._limits.flush_seconds[0]
        self._answer_seconds = self._limits.answer_seconds
        self._overhead = 0.0  # seconds that the last flush took beside counting
        self._held: frozenset[Partition] = frozenset()
        self._refused_since: float | None = None
        self._retry_at = self._polled = self._flushed
        self._turn: tuple[Rules, Callable[[], None]] | None = None
        self._status: dict[str, Any] = {}
        self._note()

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set. Leaves what it has buffered unread: whoever comes next reads it again."""
        self._stop = stop
        try:
            while not stop.is_set():
                self.step(0.1)
        finally:
            self._executor.shutdown(cancel_futures=True)

    def turn(self, rules: Rules, apply: Callable[[], None]) -> None:
        """Go by these rules from now on, and call `apply` between two blocks, in the tap's own thread. From any thread.

        Blocks announced before are finished as they were announced. Why the group only hears of other topics: a new
        subscription takes all partitions away for a moment.
        """
        self._turn = (rules, apply)

    def _take_turn(self) -> None:
        turn, self._turn = self._turn, None
        if turn is None:
            return
        self._rules, apply = turn
        apply()
        found = {topic for topic in self._topics if matches(self._rules.patterns, topic)}
        topics = tuple(sorted({*self._rules.topics, *found}))
        self._discover_at = self._clock()
        if topics != tuple(sorted(self._topics)):
            self._follow(topics)

    def _follow(self, topics: tuple[str, ...]) -> None:
        """Read these topics from now on; nothing more is told of those that are gone."""
        for gone in set(self._topics) - set(topics):
            self._report.works(f"topic {gone}")
        if self._joined:
            self._group.follow(topics)
        self._topics = topics

    def step(self, seconds: float) -> None:
        """One round: poll, publish what is counted, cut new blocks when it is time."""
        try:
            if not self._round:
                self._take_turn()
            if not self._waits(seconds):
                self._poll(min(seconds, COUNTING_SECONDS) if self._round else seconds)
            self._report.works("broker")
        except Stopping:
            return
        except Unreachable as error:
            self._report.fails("broker", error)
            self._stop.wait(min(seconds, self._limits.backoff_seconds))
        if self._clock() >= self._retry_at:
            try:
                self._go_on()
                if not self._round and self._due():
                    self._flush()
                    self._report.works("flush")
            except Unreachable as error:
                self._round.drop()
                self._report.fails("flush", error)
                self._retry_at = self._clock() + self._limits.backoff_seconds
        self._note()

    def status(self) -> dict[str, Any]:
        """What this tap does, as plain data. Counts are of this process alone."""
        return self._status

    # -- reading

    def _waits(self, seconds: float) -> bool:
        """Wait for the count instead of reading, as long as nothing more may be buffered.

        Why not poll with all partitions held: a client throws away what it has read ahead of a partition it holds.
        """
        if not self._round or not self._full() or self._clock() - self._polled > HELD_SECONDS:
            return False
        self._round.wait(seconds)
        return True

    def _poll(self, seconds: float) -> None:
        self._discover()
        if not self._joined:
            if not self._topics:
                self._report.fails("group", "no topic yet that a pattern stands for")
                self._stop.wait(seconds)
                return
            self._group.join(self._topics, self._on_assigned, self._on_revoked)
            self._joined = True
        self._hold()
        try:
            polled = self._group.poll(POLL_RECORDS, seconds)
        except Unanswered as error:
            self._answer_seconds *= 2  # where it is not this client's fault, the others need not rebalance for ever
            self._rejoin(str(error))
            return
        self._polled = self._clock()
        why = take(self._assigned, polled)
        if why:
            self._rejoin(why)

    def _discover(self) -> None:
        """Find the topics that the patterns stand for, now and again.

        Why from their very beginning, when they came up after this process: nobody could have read them before.
        """
        if not self._rules.patterns or self._clock() < self._discover_at:
            return
        self._discover_at = self._clock() + self._limits.discovery_seconds
        found = {t for t in self._logs.names() if matches(self._rules.patterns, t)}
        topics = tuple(sorted({*self._rules.topics, *found}))
        if topics == self._topics:
            return
        if self._joined:
            self._newer |= set(topics) - set(self._topics)
            log.info("reading %s", ", ".join(topics))
        self._follow(topics)

    def _hold(self) -> None:
        """Read no more while as much is buffered as may be, but for what announced blocks still lack."""
        full = self._full()
        held = frozenset(
            p for p, a in self._assigned.items() if a.waiting or (full and (a.intent is None or a.complete()))
        )
        if held != self._held:
            self._group.hold(held)
            self._held = held

    def _full(self, share: float = 1.0) -> bool:
        some = [a for a in self._assigned.values() if not a.waiting]
        events, size = sum(a.events for a in some), sum(a.bytes for a in some)
        return events >= share * self._limits.events or size >= share * self._limits.bytes

    # -- assignment

    def _on_assigned(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        began = self._clock()
        while True:
            asked = self._clock() - began
            try:
                patient = asked < self._limits.patience_seconds
                opened = all_begun(self._logs, partitions, self._open, believing=not patient)
                break
            except Unreachable as error:
                self._report.fails("assignment", error)
                self._note()
                if asked >= self._answer_seconds:
                    raise Unanswered(f"no answer for {asked:.0f} s since an assignment: {error}") from None
                if self._stop.wait(self._limits.backoff_seconds):
                    raise Stopping from None
        self._answer_seconds = self._limits.answer_seconds
        self._report.works("assignment")
        self._report.works("group")
        for a in opened:
            a.each = self._counting.events_a_record(a.partition[0])
        self._assigned.update((a.partition, a) for a in opened)
        self._ids.update((a.partition[0], a.topic_id) for a in opened)
        return {a.partition: a.position for a in opened}

    def _open(self, partition: Partition, look: Look) -> Assigned:
        topic = partition[0]
        newer, known_id, now = topic in self._newer, self._ids.get(topic), self._now_ms()
        return begun(self._logs, partition, look, self._rules, now, self._topics, known_id=known_id, newer=newer)

    def _on_revoked(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            self._assigned.pop(partition, None)
        self._held = frozenset()

    def _rejoin(self, why: str) -> None:
        log.warning("joining the group anew: %s", why)
        self._on_revoked(list(self._assigned))
        self._refused_since = None
        self._round.drop()
        self._group.rejoin()

    # -- blocks

    def _due(self) -> bool:
        opening = any(a.opening() for a in self._assigned.values())
        whole = any(a.events * a.each >= 0.5 * self._limits.events for a in self._assigned.values() if not a.waiting)
        return opening or whole or self._full(0.5) or self._clock() - self._flushed >= self._interval

    def _flush(self) -> None:
        """Cut a block of every partition that has something to say, announce all in one commit, begin to count them."""
        self._flushed = self._clock()
        now = self._now_ms()
        idle_ms, silence_ms = self._rules.idle_after_ms, int(self._limits.silence_seconds * 1000)
        ready = [a for a in self._assigned.values() if a.wants_block(now, idle_after_ms=idle_ms, silence_ms=silence_ms)]
        if self._announce(ready, now):
            self._overhead = self._clock() - self._flushed
            self._go_on()

    def _announce(self, ready: Sequence[Assigned], now_ms: int) -> bool:
        """Commit the intents of their next blocks; whether they are committed."""
        # Asked after reading: an id changes only once, so what was read so far is of the topic with this id.
        facts = self._logs.identify(self._topics)
        for topic in self._topics:
            if topic in facts:
                self._ids.setdefault(topic, facts[topic][0])
                self._report.works(f"topic {topic}")
            else:
                self._report.fails(f"topic {topic}", "does not exist")
        intents = []
        for a in ready:
            topic = a.partition[0]
            topic_id, partitions = facts.get(topic, ("", 0))
            if not partitions:
                continue
            if topic_id != a.topic_id:
                self._rejoin(f"topic {topic} was deleted and made again")
                return False
            terms = Terms(
                now_ms=now_ms,
                partitions=partitions,
                part_bytes=self._limits.part_bytes,
                config=self._counting.config_id(),
                layouts=self._counting.layouts(topic),
                events=self._limits.events,
            )
            behind = max(self._logs.high(a.partition) or 0, a.end) > a.position
            intents.append((a, a.cut(terms, behind=behind)))
        if not intents:
            return False
        try:
            self._group.commit({a.partition: (intent.from_, to_metadata(intent)) for a, intent in intents})
        except Fenced as error:
            # Nothing was committed and nothing is published. The new generation comes with a poll.
            self._report.fails("group", error)
            self._refused_since = began = self._refused_since or self._clock()
            if self._clock() - began > REFUSED_SECONDS:
                self._rejoin("commits are refused and there is no rebalance")
            return False
        except CommitUnknown as error:
            self._rejoin(str(error))
            raise
        self._report.works("group")
        self._refused_since = None
        for a, intent in intents:
            a.announced(intent)
        reach("tap.announced")
        return True

    def _go_on(self) -> None:
        """With the blocks that are announced; when all are acknowledged, say how soon the next ones may be cut."""
        seconds = self._round.advance(self._stop)
        if seconds is not None:
            low, high = self._limits.flush_seconds
            self._interval = min(max(low, 10 * (self._overhead + seconds)), high)

    def _note(self) -> None:
        self._report.waits(self._assigned.values())
        self._status = self._report.status(self._assigned.values(), self._logs.high)
