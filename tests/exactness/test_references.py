"""References that trail, through crashes and frozen owners: what is withdrawn is needed by nobody who goes on."""

from __future__ import annotations

from detectors.layouts import Layout
from stream_monitor.config import MonitorSpec
from stream_monitor.config import Reference as Wanted
from stream_monitor.fold.fold import State
from stream_monitor.interfaces import Catalog
from stream_monitor.outputs import Output
from stream_monitor.worker.owners import Fold
from stream_monitor.worker.segments import Records
from tests.exactness.simulator import Partition, Steps, WorkerOf, World, WrongError, honest_worker
from tests.exactness.test_simulator import Windows
from tests.fold.makers import MODEL, SECOND, MemoryCatalog, steady

SCHEDULES = 12
STEPS = 900
TRAILER = steady(
    MODEL,
    min_rows=1,
    monitors=(MonitorSpec(metric="psi", threshold=2.0),),
    reference=Wanted(trailing=20 * SECOND, every=2 * SECOND, first=3),
)


class View:
    """The catalog of one process: what it made itself, and what stands in the topic."""

    def __init__(self, library: Library) -> None:
        self.made: dict[str, bytes] = {}
        self._library = library

    def layout(self, id: str) -> Layout:
        return self._library.matter.catalog.layout(id)

    def add_layout(self, layout: Layout) -> str:
        return self._library.matter.catalog.add_layout(layout)

    def blob(self, id: str) -> bytes:
        return self.made[id] if id in self.made else self._library.topic[id]

    def add_blob(self, data: bytes) -> str:
        id = MemoryCatalog().add_blob(data)
        self.made[id] = self._library.everything[id] = data
        return id

    def forget_blob(self, id: str) -> None:
        self.made.pop(id, None)


class Library(World):
    """A world with a topic of references, which is compacted without lag and read by all without lag."""

    def __init__(self, seed: int, worker: WorkerOf = honest_worker) -> None:
        self.topic: dict[str, bytes] = {}
        self.everything: dict[str, bytes] = {}
        self.views: list[View] = []
        self.missing: list[str] = []
        matter = Windows(TRAILER)
        matter.fold = Fold(empty=State.empty, step=matter.fold.step, restore=self._restore)
        super().__init__(seed, worker=_dying(worker), matter=matter)

    def _restore(self, head: bytes, records: Records, catalog: Catalog) -> State:
        try:
            return State.restore(head, records, catalog)
        except KeyError as error:
            self.missing.append(f"a checkpoint names {error}")
            raise

    def catalog(self) -> Catalog:
        self.views.append(View(self))
        return self.views[-1]

    def publish(self, partition: Partition, output: Output) -> None:
        super().publish(partition, output)
        if output.kind == "reference":
            self.topic[output.id] = self.everything[output.id]

    def withdraw(self, id: str) -> None:
        self.topic.pop(id, None)
        for view in self.views:
            view.forget_blob(id)

    def run(self, steps: int) -> None:
        super().run(steps)
        if self.missing:
            raise WrongError(self.missing[0])


def _dying(worker: WorkerOf) -> WorkerOf:
    """A frozen owner that wakes may find that what it knew is gone, and ends; one that is in force must not."""

    def process(world: World, partition: Partition, generation: int) -> Steps:
        try:
            yield from worker(world, partition, generation)
        except KeyError as error:
            if partition.generation == generation:
                raise WrongError(f"the owner misses {error}") from error

    return process


def test_what_is_withdrawn_is_needed_no_more() -> None:
    made = left = 0
    for seed in range(SCHEDULES):
        world = Library(seed)
        try:
            world.run(STEPS)
        except WrongError as wrong:
            raise AssertionError(f"schedule {seed}: {wrong}") from wrong
        states = [p.owner.state for p in world.partitions if p.owner is not None]
        named = {m.reference for s in states for m in s.models.values() if m.reference}
        waiting = {id for s in states for id in s.disused}
        assert named <= world.topic.keys()
        made += len(world.everything)
        left += len(world.topic.keys() - named - waiting)
    assert made > 5 * SCHEDULES
    assert left <= made / 20  # a frozen owner that wakes may publish one again, after it was withdrawn


def hasty_worker(world: World, partition: Partition, generation: int) -> Steps:
    """Withdraws what its state does not name, whatever its checkpoints do."""
    for _ in honest_worker(world, partition, generation):
        owner = partition.owner
        if owner is not None and partition.generation == generation:
            for id in owner.state.disused:
                world.withdraw(id)
            owner.state.withdrawn(owner.state.disused)
        yield


def test_a_hasty_worker_is_found_out() -> None:
    for seed in range(SCHEDULES):
        try:
            Library(seed, hasty_worker).run(STEPS)
        except WrongError:
            return
    raise AssertionError("nothing was noticed")
