"""A worker: owners of some partitions, and what moves between them, the broker and the status store.

Order, so that nothing is lost and what is repeated is the same: outputs are acknowledged, then the documents stored,
then a segment written, then its head, then the entries acknowledged, in offset order and without holes. Only once the
group has confirmed the commit of a full checkpoint are older ones tombstoned, and of any one the references that it
names no more: whoever has the partition after us begins at that checkpoint or at a later one.

The broker is behind `Bus` (clients.py has Faust's), and it is not trusted with more than bytes: an owner takes only the
entry that is due; one that comes again is passed over, and a hole makes it read again from where it was.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, Generic, TypeVar

from stream_monitor.entries import Entry
from stream_monitor.errors import StateError
from stream_monitor.failpoints import reach
from stream_monitor.interfaces import StatusStore
from stream_monitor.outputs import Output
from stream_monitor.worker import checkpoints
from stream_monitor.worker.buses import Announcing, Arrival, Bus, Outgoing, Pace, Unwatched, Watching
from stream_monitor.worker.owners import Fold, Owner, S, Span, needs
from stream_monitor.worker.publishing import Publishing

log = logging.getLogger(__name__)
T = TypeVar("T")

HELD_ENTRIES: Final = 20_000  # entries waiting to be acknowledged, at most, while the store is away
HELD_DOCUMENTS: Final = 20_000
STEP_SECONDS: Final = 900.0  # how long the fold of one entry, of weeks perhaps, or reading a checkpoint may take
AT_ONCE: Final = 16  # messages of a segment, of up to 900 kB, on their way to the broker
INTERRUPTED: Final = "interrupted between a fold and its outputs"
SEEK_SECONDS: Final = 2.0  # between two attempts to read a partition again
WAIT_SECONDS: Final = 5.0  # for an entry that is in the log, before the partition is read again


@dataclass(slots=True, kw_only=True)
class Hold(Generic[S]):
    """An owner, the generation that gave us its partition, and the entries folded since the last checkpoint."""

    owner: Owner[S]
    generation: int
    end: int  # of the partition's log, as last asked
    arrivals: deque[Arrival] = field(default_factory=deque)
    stopped: str = ""
    checkpointed: float = field(default_factory=time.monotonic)
    sought: float = 0.0
    stepped: float = field(default_factory=time.monotonic)
    behind: float = field(default_factory=time.monotonic)  # since when it is known that there is more

    @property
    def lag(self) -> int:
        return max(0, self.end - self.owner.at)

    def reaches(self, end: int) -> None:
        """The log ends here now."""
        if not self.lag:
            self.behind = time.monotonic()
        self.end = end


class Worker(Generic[S]):
    """Folds the partitions it is given."""

    def __init__(
        self,
        *,
        fold: Fold[S],
        catalog: Announcing,
        store: StatusStore,
        bus: Bus,
        checkpoints_topic: str,
        prefix: str,
        watching: Watching | None = None,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.holds: dict[int, Hold[S]] = {}
        self.totals = dict.fromkeys(
            ("entries", "repeated_entries", "outputs", "checkpoints", "checkpoint_bytes", "rebuilds", "unreadable"), 0
        )
        self.alarms: deque[str] = deque(maxlen=20)
        self._fold = fold
        self._catalog = catalog
        self._bus = bus
        self._checkpoints = checkpoints_topic
        self._pace = pace or Pace()
        self._out = Publishing(
            bus=bus, store=store, catalog=catalog, watching=watching or Unwatched(), prefix=prefix, clock=clock
        )
        self._busy = asyncio.Lock()

    @property
    def progress(self) -> float:
        """When (monotonic seconds) something last went forward."""
        return self._out.progress

    def went_on(self) -> None:
        """Something went forward, or nothing has to."""
        self._out.progress = time.monotonic()

    @property
    def store_error(self) -> str:
        """Why documents wait for the status store, or ""."""
        return self._out.store_error

    # -- assignment

    async def assigned(
        self,
        generation: int,
        topic_id: str,
        partitions: int,
        messages: Mapping[bytes, bytes],
        spans: Mapping[int, Span],
    ) -> bool:
        """These partitions are ours now (and no others): derive their states from the checkpoints topic's messages.

        False, and nothing is changed, if another generation has come meanwhile.
        """
        await self._out.until_reached(self._catalog.catch_up)
        apart = checkpoints.by_partition(messages)
        holds: dict[int, Hold[S]] = {}
        for partition, span in sorted(spans.items()):
            derive = partial(
                Owner,
                self._fold,
                self._catalog,
                partition=partition,
                partitions=partitions,
                topic_id=topic_id,
                messages=apart.get(partition, {}),
                span=span,
                every=self._pace.full_every,
            )
            owner = await self._in_thread(derive)
            holds[partition] = Hold(owner=owner, generation=generation, end=span.end)
            if generation != self._bus.generation:
                break
        if generation != self._bus.generation:
            return False
        for alarm in [h.owner.alarm for h in holds.values() if h.owner.alarm]:
            self.totals["rebuilds"] += 1
            self.alarms.append(alarm)
            log.error("%s", alarm)
        self.holds = holds
        self.went_on()
        log.info("generation %d: partitions %s", generation, {p: h.owner.at for p, h in holds.items()})
        return True

    # -- entries

    async def at_rest(self, look: Callable[[S], T], seconds: float) -> list[T] | None:
        """What `look` finds in each state while nothing is folded; None if the fold takes longer than so many seconds.

        Nobody else may read a state: it changes in a thread of its own.
        """
        try:
            async with asyncio.timeout(seconds), self._busy:
                return [look(hold.owner.state) for hold in self.holds.values() if hold.stopped != INTERRUPTED]
        except TimeoutError:
            return None

    async def take(self, arrivals: Sequence[Arrival]) -> None:
        """Fold what is due, publish what comes of it, make the checkpoints that are due."""
        async with self._busy:
            holds = [hold for arrival in arrivals if (hold := self._hold(arrival)) is not None]
            try:
                outputs = await self._folded(arrivals)
                await self._out.publish(outputs)
            except BaseException:  # cancelled, too: these states are ahead of what is published
                for hold in holds:
                    hold.stopped = hold.stopped or INTERRUPTED
                raise
            self.totals["outputs"] += len(outputs)
            reach("worker.published")
            await self._checkpoint_due()
            while self._overfull():
                await self._out.store_documents()
                if self._out.store_error:
                    await asyncio.sleep(1)
                await self._checkpoint_due()

    async def _folded(self, arrivals: Sequence[Arrival]) -> list[tuple[Output, Entry | None]]:
        outputs: list[tuple[Output, Entry | None]] = []
        for arrival in arrivals:
            if (hold := self._hold(arrival)) is not None:
                outputs += await self._take_one(hold, arrival)
                reach("worker.stepped")
                await asyncio.sleep(0)  # others live in this event loop too
        return outputs

    def _hold(self, arrival: Arrival) -> Hold[S] | None:
        """The hold that the arrival is for; None if it came under another generation: whoever has it now folds it."""
        hold = self.holds.get(arrival.partition)
        if hold is None or hold.stopped:
            return None
        return hold if arrival.generation == hold.generation == self._bus.generation else None

    async def _take_one(self, hold: Hold[S], arrival: Arrival) -> list[tuple[Output, Entry | None]]:
        owner = hold.owner
        if arrival.offset > owner.at:
            await self._seek(hold)
            return []
        hold.arrivals.append(replace(arrival, value=None))
        if arrival.offset < owner.at:
            self.totals["repeated_entries"] += 1
            return []
        entry = owner.read(arrival.value or b"")
        self.totals["unreadable"] += entry is None
        await self._known(entry)
        outputs = await self._in_thread(partial(owner.step, arrival.offset, entry))
        self.totals["entries"] += 1
        hold.stepped = time.monotonic()
        self.went_on()
        if owner.state.stopped:
            hold.stopped = owner.state.stopped
            self.alarms.append(f"partition {owner.partition} stopped at {owner.at - 1}: {hold.stopped}")
            log.critical("%s", self.alarms[-1])
        return [(output, entry) for output in outputs]

    async def _in_thread(self, long: Callable[[], T]) -> T:
        """What a long computation gives; meanwhile nobody says that nothing goes forward.

        Why: a block of weeks closes thousands of windows, and a state may be of a thousand models; who keeps the group,
        the api and the log of this process alive is in this event loop. The thread goes on if this is cancelled.
        """
        task = asyncio.ensure_future(asyncio.to_thread(long))
        end = time.monotonic() + STEP_SECONDS
        while not (await asyncio.wait([task], timeout=1.0))[0]:
            if time.monotonic() < end:
                self.went_on()
        return task.result()

    async def _seek(self, hold: Hold[S]) -> None:
        if time.monotonic() - hold.sought >= SEEK_SECONDS:
            hold.sought = time.monotonic()
            log.warning("partition %d: reading again from %d", hold.owner.partition, hold.owner.at)
            await self._bus.seek(hold.owner.partition, hold.owner.at)

    async def _known(self, entry: Entry | None) -> None:
        """Until the catalog knows all that the entry names: it was published before the entry was."""
        layouts, blobs = needs(entry)
        end = time.monotonic() + self._pace.stall_seconds
        while True:
            missing = [id for id in layouts if not _knows(self._catalog.layout, id)]
            missing += [id for id in blobs if not _knows(self._catalog.blob, id)]
            if not missing:
                return
            if time.monotonic() > end:
                raise StateError(f"not in the catalog: {', '.join(missing)}")
            await self._out.until_reached(self._catalog.catch_up)
            await asyncio.sleep(0.05)

    # -- checkpoints

    def _overfull(self) -> bool:
        held = max((len(h.arrivals) for h in self.holds.values()), default=0)
        return bool(self._out.waiting) and (self._out.waiting > HELD_DOCUMENTS or held > HELD_ENTRIES)

    async def tick(self) -> None:
        """Once a second: what is due by time alone."""
        if self._busy.locked():
            return
        async with self._busy:
            await self._out.store_documents()
            await self._checkpoint_due()
            for hold in self.holds.values():
                waited = time.monotonic() - max(hold.stepped, hold.sought, hold.behind)
                if hold.lag and not hold.stopped and self._ours(hold) and waited >= WAIT_SECONDS:
                    await self._seek(hold)  # as when the group's offset is beyond what the checkpoints hold

    async def finish(self) -> None:
        """A last checkpoint of everything, so that the next owner need not fold it again."""
        async with self._busy:
            await self._out.store_documents()
            for hold in list(self.holds.values()):
                if hold.arrivals and not hold.stopped and not self._out.waiting:
                    await self._checkpoint(hold)

    @property
    def saved(self) -> bool:
        """Whether every document is in the store, and no entry of a partition that is ours waits for its checkpoint.

        What the group has given to others by now they fold.
        """
        return not self._out.waiting and not any(h.arrivals for h in self.holds.values() if self._ours(h))

    async def _checkpoint_due(self) -> None:
        if self._out.waiting:
            return  # they are outputs too: an acknowledged entry must not take them along
        for hold in list(self.holds.values()):
            late = time.monotonic() - hold.checkpointed >= self._pace.checkpoint_seconds
            if hold.arrivals and not hold.stopped and (late or len(hold.arrivals) >= self._pace.checkpoint_entries):
                await self._checkpoint(hold)

    async def _checkpoint(self, hold: Hold[S]) -> None:
        owner = hold.owner
        if not self._ours(hold):
            return
        checkpoint = await self._in_thread(owner.checkpoint)

        def record(key: bytes, value: bytes | None) -> Outgoing:
            return Outgoing(topic=self._checkpoints, partition=owner.partition, key=key, value=value)

        for i in range(0, len(checkpoint.segment), AT_ONCE):  # the next ones are read from their shelf
            await self._out.send([record(*pair) for pair in checkpoint.segment[i : i + AT_ONCE]])
        reach("worker.segment")
        await self._out.send([record(*checkpoint.head)])
        reach("worker.head")
        owner.written(checkpoint)
        self.totals["checkpoints"] += 1
        self.totals["checkpoint_bytes"] += checkpoint.size_bytes
        hold.checkpointed = time.monotonic()
        if not self._ours(hold):
            return
        while hold.arrivals and hold.arrivals[0].offset < checkpoint.at:
            self._bus.ack(hold.arrivals.popleft())
        reach("worker.acknowledged")
        disused = owner.state.disused
        if (checkpoint.full or disused) and await self._bus.commit(owner.partition, checkpoint.at):
            reach("worker.committed")
            if checkpoint.full:
                old = owner.superseded()
                await self._out.send([record(key, None) for key in old])
                if self._ours(hold):  # else the table may be being read for the next owner
                    self._bus.forget(old)
            if disused:
                await self._out.until_reached(partial(self._catalog.withdraw, disused))
                owner.state.withdrawn(disused)

    def _ours(self, hold: Hold[S]) -> bool:
        return self.holds.get(hold.owner.partition) is hold and hold.generation == self._bus.generation


def _knows(find: Callable[[str], object], id: str) -> bool:
    try:
        find(id)
    except KeyError:
        return False
    return True
