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

A partition that is taken away meanwhile is heard of in a poll, and what was counted of it is dropped. A block that
cannot be counted now, as a schema or a store of labels does not answer, waits alone: its partition is read no further.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from stream_monitor.brokers import Group, Logs, Message, Partition, Polled, Publisher
from stream_monitor.config import Config
from stream_monitor.config.roles import matches, patterns, roles
from stream_monitor.errors import CommitUnknown, Fenced, Unreachable
from stream_monitor.failpoints import reach
from stream_monitor.intents import BEYOND_END, Intent, Look, Opening, came_later, from_metadata, take_up, to_metadata
from stream_monitor.runs import Runs
from stream_monitor.tap.blocks import Assigned, Counted, Counting, Terms
from stream_monitor.tap.bundles import PART_BYTES, bundles, packed
from stream_monitor.tap.reports import Report

log = logging.getLogger(__name__)

POLL_RECORDS: Final = 10_000
SETTLE_SECONDS: Final = 30.0
REFUSED_SECONDS: Final = 15.0  # commits refused for so long without a rebalance: join the group anew
COUNTING_SECONDS: Final = 0.02  # a poll's patience while blocks are counted
HELD_SECONDS: Final = 1.0  # without a poll, at most, while there is no room for what it would bring
KEPT_OF_TOO_LARGE: Final = 64 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a tap holds and how often it flushes."""

    events: int = 80_000  # buffered over all partitions: half of it while the other half is counted
    bytes: int = 64 << 20
    flush_seconds: tuple[float, float] = (1.0, 5.0)  # the interval grows within these with what a flush costs
    backoff_seconds: float = 0.5  # before what failed is tried again
    patience_seconds: float = 5.0  # before a log that ends too early is believed
    silence_seconds: float = 2.0  # how often a silent partition sends an empty block
    discovery_seconds: float = 10.0  # how often new topics are looked for that a pattern stands for
    short_seconds: float = 0.005  # a block that is counted so soon is published before the next poll
    part_bytes: int = PART_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a tap is told by the configuration."""

    topics: tuple[str, ...]
    patterns: tuple[str, ...] = ()  # of further topics, as far as there are any
    prefix: str = "stream-monitor."
    start: str = "earliest"  # earliest | latest | RFC 3339 time: where a group without commits begins
    idle_after_ms: int = 30_000

    @classmethod
    def of(cls, config: Config) -> Rules:
        """As configured: all topics of all models."""
        return cls(
            topics=tuple(sorted(roles(config))),
            patterns=tuple(patterns(config)),
            prefix=config.kafka.prefix,
            start=config.kafka.start,
            idle_after_ms=config.time.idle_after,
        )


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
        self._group, self._logs, self._publisher, self._counting = group, logs, publisher, counting
        self._workers = worker_partitions
        self._executor = executor or Inline()
        self._round: list[_Block] = []  # announced and being counted
        self._now_ms, self._clock = now_ms, clock
        self._stop = threading.Event()
        self._assigned: dict[Partition, Assigned] = {}
        self._ids: dict[str, str] = {}  # topic -> the id it has had
        self._joined = False
        self._topics = tuple(self._rules.topics)
        self._newer: set[str] = set()  # topics that were not there yet when the group was joined
        self._discover_at = clock()
        self._flushed = clock()
        self._interval = self._limits.flush_seconds[0]
        self._overhead = 0.0  # seconds that the last flush took beside counting
        self._held: frozenset[Partition] = frozenset()
        self._refused_since: float | None = None
        self._retry_at = self._polled = self._flushed
        self._turn: tuple[Rules, Callable[[], None]] | None = None
        self._report = Report(trouble={"group": "not joined yet"})
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
        if topics == tuple(sorted(self._topics)):
            return
        for gone in set(self._topics) - set(topics):
            self._report.works(f"topic {gone}")
        self._topics = topics
        if self._joined:
            self._group.follow(topics)

    def step(self, seconds: float) -> None:
        """One round: poll, publish what is counted, cut new blocks when it is time."""
        try:
            if not self._round:
                self._take_turn()
            if not self._waits(seconds):
                self._poll(min(seconds, COUNTING_SECONDS) if self._round else seconds)
            self._report.works("broker")
        except _Stopping:
            return
        except Unreachable as error:
            self._report.fails("broker", error)
            self._stop.wait(min(seconds, self._limits.backoff_seconds))
        if self._clock() >= self._retry_at:
            try:
                self._finish_announced()
                if not self._round and self._due():
                    self._flush()
                    self._report.works("flush")
            except Unreachable as error:
                self._round = []
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
        wait([block.future for block in self._round], seconds)
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
        polled = self._group.poll(POLL_RECORDS, seconds)
        self._polled = self._clock()
        why = self._take(polled)
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
        for gone in set(self._topics) - set(topics):
            self._report.works(f"topic {gone}")
        if self._joined:
            self._newer |= set(topics) - set(self._topics)
            log.info("reading %s", ", ".join(topics))
            self._group.follow(topics)
        self._topics = topics

    def _take(self, polled: Polled) -> str:
        """Keep what was read; why the group must be joined anew, or ""."""
        for partition, messages in polled.records.items():
            a = self._assigned.get(partition)
            if a is not None and not a.take(messages):
                return f"{partition[0]}/{partition[1]} went back to offset {messages[0].offset()}"
        for partition, end in polled.ends.items():
            if partition in self._assigned:
                self._assigned[partition].position = max(self._assigned[partition].position, end)
        for topic, number in sorted(polled.lost & self._assigned.keys()):
            return f"{topic}/{number} has no offset {self._assigned[topic, number].position} any more"
        return ""

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
        patience = self._clock() + self._limits.patience_seconds
        while True:
            try:
                looks = self._logs.look(partitions)
                for topic, number in partitions:
                    if (topic, number) not in looks:
                        raise Unreachable(f"{topic}/{number} does not exist")
                opened = [self._open(p, looks[p]) for p in partitions]
                if self._clock() < patience and any(a.alarm == BEYOND_END and not a.intent for a in opened):
                    raise Unreachable("a log ends before what was read from it; its leader may not know its end yet")
                break
            except Unreachable as error:
                self._report.fails("assignment", error)
                self._note()
                if self._stop.wait(self._limits.backoff_seconds):
                    raise _Stopping from None
        self._report.works("assignment")
        self._report.works("group")
        self._assigned.update((a.partition, a) for a in opened)
        self._ids.update((a.partition[0], a.topic_id) for a in opened)
        return {a.partition: a.position for a in opened}

    def _open(self, partition: Partition, look: Look) -> Assigned:
        now = self._now_ms()
        how = take_up(look, now, self._ids.get(partition[0]))
        if not isinstance(how, Opening):
            return Assigned.resumed(partition, how)
        offset = how.offset if how.offset is not None else self._first_offset(partition, look)
        if how.alarm:
            log.warning("%s/%d: %s; going on at offset %d", *partition, how.alarm, offset)
        return Assigned.opened(partition, how, look, offset, now)

    def _first_offset(self, partition: Partition, look: Look) -> int:
        topic, number = partition
        siblings = self._logs.look([(topic, p) for p in range(look.partitions) if p != number])
        later = any(came_later(number, look.topic_id, from_metadata(s.metadata)) for s in siblings.values())
        if later or topic in self._newer or self._rules.start == "earliest":
            return look.low
        if self._rules.start == "latest":
            return look.high if topic in self._rules.topics else self._since_the_group_began(partition, look)
        found = self._logs.at(partition, int(datetime.fromisoformat(self._rules.start).timestamp() * 1000))
        return look.high if found is None else found

    def _since_the_group_began(self, partition: Partition, look: Look) -> int:
        """Where to begin with a topic that a pattern stands for and that may have come up while no tap was there.

        The oldest epoch is the clock of when the group began.
        """
        looks = self._logs.look([(topic, 0) for topic in self._topics])
        epochs = [i.epoch for of in looks.values() if (i := from_metadata(of.metadata)) is not None]
        found = self._logs.at(partition, min(epochs)) if epochs else None
        return look.high if found is None else found

    def _on_revoked(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            self._assigned.pop(partition, None)
        self._held = frozenset()

    def _rejoin(self, why: str) -> None:
        log.warning("joining the group anew: %s", why)
        self._on_revoked(list(self._assigned))
        self._refused_since, self._round = None, []
        self._group.rejoin()

    # -- blocks

    def _due(self) -> bool:
        opening = any(a.opening() for a in self._assigned.values())
        return opening or self._full(0.5) or self._clock() - self._flushed >= self._interval

    def _flush(self) -> None:
        """Cut a block of every partition that has something to say, announce all in one commit, begin to count them."""
        self._flushed = self._clock()
        now = self._now_ms()
        idle_ms, silence_ms = self._rules.idle_after_ms, int(self._limits.silence_seconds * 1000)
        ready = [a for a in self._assigned.values() if a.wants_block(now, idle_after_ms=idle_ms, silence_ms=silence_ms)]
        if self._announce(ready, now):
            self._overhead = self._clock() - self._flushed
            self._finish_announced()

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

    def _finish_announced(self) -> None:
        """Count and publish every announced block that has been read whole, then wait for all acknowledgements."""
        if not self._round:
            now = self._clock()
            some = self._assigned.values()
            self._round = [self._begin(a) for a in some if a.complete() and not (a.waiting and now < a.again_at)]
            if not self._round:
                return
            wait([block.future for block in self._round], self._limits.short_seconds)
        for block in list(self._round):
            if block.counted is None and block.future.done():
                try:
                    block.counted, messages, seconds = block.future.result()
                except Unreachable as error:
                    self._round.remove(block)
                    self._wait(block, error)
                    continue
                block.of.waiting = ""
                self._report.counting_seconds += seconds
                reach("tap.counted")
                if self._owns(block):
                    self._send(block, block.counted, messages)
                    reach("tap.sent")
        if any(block.counted is None for block in self._round):
            return
        began, done, self._round = self._clock(), self._round, []
        self._publisher.settle(SETTLE_SECONDS, self._stop)
        reach("tap.acknowledged")
        for block in done:
            if self._owns(block) and block.counted is not None:
                block.of.applied(block.counted)
                self._report.add(block.of.partition[0], block.counted)
        low, high = self._limits.flush_seconds
        self._interval = min(max(low, 10 * (self._overhead + self._clock() - began)), high)

    def _begin(self, a: Assigned) -> _Block:
        """Have the announced block counted."""
        intent, partition, messages = a.intent, a.partition, a.block()
        assert intent is not None
        began = self._clock()
        return _Block(a, intent, messages, began, self._executor.submit(self._count, intent, partition, messages))

    def _wait(self, block: _Block, why: Unreachable) -> None:
        """Count it again after a while; at most half of the time goes into such trials."""
        a, now = block.of, self._clock()
        a.waiting, a.again_at = str(why), now + max(self._limits.backoff_seconds, now - block.began)
        try:
            found = self._logs.look([a.partition]).get(a.partition)  # a client hears nothing of a log that is not read
        except Unreachable:
            return  # polls tell
        a.end = found.high if found is not None else a.end

    def _owns(self, block: _Block) -> bool:
        """Whether its partition was not taken away since, not even to come back."""
        return self._assigned.get(block.of.partition) is block.of

    def _count(
        self, intent: Intent, partition: Partition, messages: Runs
    ) -> tuple[Counted, list[tuple[int, bytes]], float]:
        """By the executor: the counts, the messages to the workers, and how long it took."""
        began = self._clock()
        counted = self._counting.count(intent, partition, messages)
        made = bundles(
            intent.source(*partition),
            intent,
            panes=counted.panes,
            dead=Counter(reason for _, reason, _ in counted.dead),
            late=counted.late,
            told=counted.told,
            holes=intent.to - intent.from_ - len(messages),
            watermark_ms=counted.watermark_ms,
            idle=counted.idle,
            home=counted.home,
            partitions=self._workers,
        )
        return counted, packed(made), self._clock() - began

    def _send(self, block: _Block, counted: Counted, bundles: Sequence[tuple[int, bytes]]) -> None:
        for partition, data in bundles:
            self._publisher.send(f"{self._rules.prefix}panes", partition, data)
        for index, reason, detail in counted.dead:
            self._send_dead(block.of.partition, block.messages[index], reason, detail)

    def _send_dead(self, partition: Partition, message: Message, reason: str, detail: str) -> None:
        value = message.value()
        if reason == "too_large" and value is not None:
            value = value[:KEPT_OF_TOO_LARGE]
        ours = {"reason": reason, "detail": detail, "topic": partition[0]}
        ours |= {"partition": str(partition[1]), "offset": str(message.offset())}
        headers = [*(message.headers() or ()), *((name, text.encode()) for name, text in ours.items())]
        self._publisher.send(f"{self._rules.prefix}dead-letters", None, value, message.key(), headers)

    def _note(self) -> None:
        self._report.waits(self._assigned.values())
        self._status = self._report.status(self._assigned.values(), self._logs.high)


@dataclass(slots=True)
class _Block:
    """An announced block on its way through the executor."""

    of: Assigned
    intent: Intent
    messages: Runs
    began: float
    future: Future[tuple[Counted, list[tuple[int, bytes]], float]]
    counted: Counted | None = None  # taken from the future, and its messages sent


class Inline(Executor):
    """Does what it is given at once, in the caller's thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class _Stopping(Exception):
    """The tap was told to stop while it waited in a callback."""
