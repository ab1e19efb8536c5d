"""Blocks of Avro and Protobuf events by chance, and how many of their events the compiled walk reads."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Final, Protocol

from connectors.memory_schemas import MemorySchemas
from detectors.layouts import Layout
from stream_monitor.config import Config
from stream_monitor.counting.batches import Batch, DeadLetter, Records
from stream_monitor.counting.plans import Plan, event_plan
from stream_monitor.formats import avro as avro_format
from stream_monitor.formats import protobuf as protobuf_format
from stream_monitor.formats.framing import plainly, readers_of
from stream_monitor.formats.quick import Quick
from tests.fuzz import avro, plain, protobuf
from tests.fuzz.events import CASES, DERIVED_PLAINLY
from tests.fuzz.plain import NOW, records
from tests.registry.makers import REGISTRY

_FORMATS: Final[Mapping[str, ModuleType]] = {"avro": avro_format, "protobuf": protobuf_format}


class Writer(Protocol):
    """A schema by chance, and events of it."""

    def value(self) -> bytes:
        """An event behind its schema's id."""


def writer(format: str, r: random.Random, schemas: MemorySchemas, task: str) -> Writer:
    """One schema in twenty is anything at all, the others could be those of events."""
    usual = r.random() < 0.95
    return avro.Avro(r, schemas, task, usual) if format == "avro" else protobuf.Protobuf(r, schemas, task, usual)


@dataclass(slots=True)
class Count:
    """What blocks were made of, and what became of it."""

    blocks: int = 0
    records: int = 0
    sound: int = 0  # written as their schema says, and not damaged afterwards
    walked: int = 0  # events that the compiled walk read, and read as events

    def share(self) -> float:
        """Of the sound records, those that the walk read."""
        return self.walked / max(1, self.sound)


def differences(format: str, r: random.Random, count: Count, most: int = 30) -> list[str]:
    """In what the quick way through two blocks of `most` records differs from the plain one; `count` counts them.

    The blocks are of one plan: what one of them taught must not show in another's result.
    """
    case = (
        r.choice(DERIVED_PLAINLY)
        if r.random() < 0.05
        else r.choice([i for i in range(len(CASES)) if i not in DERIVED_PLAINLY])
    )
    schemas = MemorySchemas()
    plan, layout = plan_of(format, case, schemas, labels=r.random() < 0.7)
    writers = [writer(format, r, schemas, plan.model.task) for _ in range(2)]
    for _ in range(2):
        values: list[bytes | None] = []
        for _ in range(r.randrange(1, most)):
            value = r.choice(writers).value()
            sound = r.random() < 0.85
            count.sound += sound
            values.append(value if sound else noisy(value, r) if r.random() < 0.9 else None)
        some = records(values)
        count.blocks += 1
        count.records += len(values)
        if found := differing(format, some, plan, layout):
            return [f"case {case}, {values!r}", *found]
        count.walked += walked(some, plan, layout)
    return []


def plan_of(format: str, case: int, schemas: MemorySchemas, labels: bool = True) -> tuple[Plan, Layout | None]:
    """The plan of a case, in another format."""
    model, layout = CASES[case]
    model = dataclasses.replace(model, format=format, labels=model.labels if labels else None)
    config = Config(models={"m": model}, kafka=dataclasses.replace(REGISTRY, max_event=2000))
    return event_plan("m", config, schemas=schemas), layout


def differing(format: str, some: Records, plan: Plan, layout: Layout | None) -> list[str]:
    """In what the quick way through records differs from the plain one."""
    return plain.differences(some, plan, layout, lambda *of: plainly_of(format, *of))


def plainly_of(format: str, some: Records, plan: Plan, layout: Layout | None) -> tuple[Batch, list[DeadLetter]]:
    """What the plain way makes of records."""
    return plainly(some, plan, layout, NOW, readers_of(plan, format, _FORMATS[format].compile_schema))


def walked(some: Records, plan: Plan, layout: Layout | None) -> int:
    """How many events of a block, once decoded, the walk reads."""
    quick: Quick | None = plan.cache.get(("quick", layout.id if layout is not None else ""))
    found = quick.walk(some) if quick is not None else None
    return int(found.events(NOW).sum()) if found is not None else 0


def noisy(value: bytes, r: random.Random, begins: int = 5) -> bytes:
    """The value with some of its bytes changed, cut off or added."""
    made = bytearray(value)
    for _ in range(r.randrange(3)):
        if len(made) > begins:
            made[r.randrange(begins, len(made))] = r.choice([0, 1, 2, 127, 128, 255, r.randrange(256)])
    kind = r.randrange(4)
    return bytes(made[: r.randrange(len(made) + 1)] if kind == 0 else made + b"\0" if kind == 1 else made)
