"""Counts a block as its intent says: with that configuration and those layouts, whatever they are today."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.layouts import RAW_ID, Layout
from stream_monitor.brokers import Message, Partition
from stream_monitor.config import Config, Format
from stream_monitor.config.monitors import counted_for
from stream_monitor.config.plain import config_id
from stream_monitor.config.roles import Role, roles, roles_of
from stream_monitor.counting.arrivals import arrivals_of
from stream_monitor.counting.batches import Batch, DeadLetter, LabelBatch, Records
from stream_monitor.counting.labels import join, remember
from stream_monitor.counting.panes import count_block
from stream_monitor.counting.plans import LabelPlan, Plan, event_plan, feature_plan, label_plan
from stream_monitor.entries import PaneRecord, Source
from stream_monitor.errors import StateError
from stream_monitor.formats import FORMATS, decode, decode_labels
from stream_monitor.formats.selections import Selection, source_of
from stream_monitor.intents import Intent
from stream_monitor.interfaces import Catalog, LabelStore, Schemas
from stream_monitor.publications import config_of
from stream_monitor.runs import Runs
from stream_monitor.tap.blocks import Counted, is_idle

Integers = NDArray[np.int64]
KEPT: Final = 8  # configurations of before, for blocks that were announced under them


LIST: Final = "*"  # stands for all models of a topic: its layout id is that of a list of layouts
LISTED_BYTES: Final = 1_500  # of layouts in an intent; with more a list is published, as the intent's text is limited


class BlockCounting:
    """Counting (see blocks.py) with the decoders, the pane counts and the label store.

    `layouts` gives model -> layout id as of now; a model that is not there is counted raw until `learnt` tells of one.
    The configuration and the layouts must be published before a block names them: another tap may have to count it.
    """

    def __init__(
        self,
        config: Config,
        *,
        catalog: Catalog,
        label_store: LabelStore,
        layouts: Callable[[], Mapping[str, str]] | None = None,
        publish: Callable[[bytes], str] | None = None,
        flat: bool = False,
        schemas: Schemas | None = None,
    ) -> None:
        self._config_id = config_id(config)
        self._schemas = schemas
        self._under = {self._config_id: _Under(config, flat, schemas)}
        self._catalog, self._label_store, self._flat = catalog, label_store, flat
        self._learnt: dict[str, str] = {}
        self._layouts = layouts or dict
        self._publish = publish or catalog.add_blob
        self._listed: dict[str, str] = {}  # id of a list of layouts, by its text

    def use(self, config: Config) -> None:
        """Count new blocks as this configuration says. To be called between two blocks; it must be published."""
        self._config_id = config_id(config)
        kept = [id for id in self._under if id != self._config_id][-KEPT:]
        self._under = {id: self._under[id] for id in kept} | {
            self._config_id: _Under(config, self._flat, self._schemas)
        }

    def learnt(self, model: str, layout: str) -> None:
        """The model's layout from the next block on."""
        self._learnt[model] = layout

    def config_id(self) -> str:
        return self._config_id

    def layouts(self, topic: str) -> dict[str, str]:
        now = {**self._layouts(), **self._learnt}
        models = {model for model, _ in self._under[self._config_id].roles(topic)}
        named = {model: now[model] for model in sorted(models & now.keys())}
        text = json.dumps(named, separators=(",", ":"))
        if len(text) <= LISTED_BYTES:
            return named
        if text not in self._listed:
            self._listed = {text: self._publish(text.encode())}
        return {LIST: self._listed[text]}

    def events_a_record(self, topic: str) -> float:
        under = self._under[self._config_id]
        sources = (source_of(under.config.models[role[0]], role) for role in under.roles(topic))
        return max((FORMATS[Format.of(of.format).name].events for of in sources), default=1.0)

    def count(self, intent: Intent, partition: Partition, messages: Sequence[Message]) -> Counted:
        under = self._find(intent.config)
        its_roles = under.roles(partition[0])
        layouts = self._named(intent)
        made = _Made(source=intent.source(*partition), intent=intent)
        messages = Runs.of(messages)
        records = _records(messages, headers=under.reads_headers(partition[0]))
        split = under.selection(partition[0]).split(records, messages, intent.at_ms)
        made.refuse(split.dead)
        parts = []
        for role, places in split.whose:
            its_records = records if places is None else records.take(places)
            part = self._decode(under, role, its_records, intent, layouts)
            made.refuse(part.dead, places)
            parts.append(part)
        others = _others(parts)
        for part, before in zip(parts, others, strict=True):
            if isinstance(part.batch, LabelBatch):
                self._count_labels(made, under, part, part.batch, before)
            else:
                self._count_events(made, under, part, part.batch, before, records, messages)
        time, greatest = under.config.time, made.max_event_ms
        return Counted(
            panes=made.panes,
            dead=[(i, letter.reason, letter.detail) for i, letter in sorted(made.dead.items())],
            late=made.late,
            events=made.events,
            max_event_ms=greatest,
            watermark_ms=None if greatest is None else greatest - time.out_of_orderness,
            idle=is_idle(intent, sum(made.events.values()), time.idle_after),
            home=its_roles[0][0] if its_roles else "",
            told=made.told,
            hole=_hole(intent, records),
            details=made.answers,
        )

    def _decode(self, under: _Under, role: Role, records: Records, intent: Intent, layouts: Mapping[str, str]) -> _Part:
        name, holds = role
        layout = self._layout(layouts.get(name, RAW_ID))
        if holds == "labels":
            labels, dead = decode_labels(records, under.label_plan(name), intent.at_ms)
            return _Part(role, layout, labels, dead)
        batch, dead = decode(records, under.plan(role), layout, intent.at_ms)
        return _Part(role, layout, batch, dead)

    def _count_events(
        self,
        made: _Made,
        under: _Under,
        part: _Part,
        batch: Batch,
        others: Integers | None,
        records: Records,
        messages: Sequence[Message],
    ) -> None:
        (name, holds), time, layout, intent = part.role, under.config.time, part.layout, made.intent
        model, apart = under.config.models[name], holds == "features"
        came = None
        if not apart:
            before, timed = intent.from_ - intent.hole - 1, bool(model.fields.time)
            came = arrivals_of(batch, records, messages, counted_for(model), before=before, timed=timed)
        block = count_block(
            batch, layout, name, model, time, intent.max_event_ms, others, came=came, feature_stream=apart
        )  # fmt: skip
        made.panes += block.panes
        if apart:
            made.tell(name, {"features": block.rows, "features_late": block.late})
        else:
            panes, pairs = remember(self._label_store, batch, made.source, layout, name, model)
            made.panes += panes
            made.tell(name, {"labels_waiting_joined": pairs})
        made.add(name, len(batch), block.late, block.max_time_ms)

    def _count_labels(
        self, made: _Made, under: _Under, part: _Part, batch: LabelBatch, others: Integers | None
    ) -> None:
        name, time, layout = part.role[0], under.config.time, part.layout
        model, before = under.config.models[name], made.intent.max_event_ms
        found = join(self._label_store, batch, made.source, layout, name, model, time, before, others)
        made.panes += found.panes
        made.answers.update(found.answers)
        made.tell(name, {f"labels_{answer}": n for answer, n in found.answers.items()} | {"labels_late": found.late})
        made.add(name, len(batch), found.late, found.max_time_ms)

    def _find(self, id: str) -> _Under:
        if id not in self._under:
            try:
                config = config_of(self._catalog.blob(id))
            except KeyError:
                raise StateError(
                    f"configuration {id}, which an intent names, is not in the topic of configurations"
                ) from None
            self._under[id] = _Under(config, self._flat, self._schemas)
        return self._under[id]

    def _named(self, intent: Intent) -> Mapping[str, str]:
        """The layouts of the intent: its own, or those of the list that it names."""
        if LIST not in intent.layouts:
            return intent.layouts
        id = intent.layouts[LIST]
        try:
            listed: dict[str, str] = json.loads(self._catalog.blob(id))
        except KeyError:
            raise StateError(f"list {id} of layouts, which an intent names, is not among the configurations") from None
        return listed

    def _layout(self, id: str) -> Layout | None:
        if id == RAW_ID:
            return None
        try:
            return self._catalog.layout(id)
        except KeyError:
            raise StateError(f"layout {id}, which an intent names, is not in the topic of layouts") from None


class _Under:
    """A configuration, compiled for decoding as far as its topics have come."""

    def __init__(self, config: Config, flat: bool, schemas: Schemas | None) -> None:
        self.config = config
        self._flat, self._schemas = flat, schemas
        self._roles = roles(config)
        self._selections: dict[str, Selection] = {}
        self._headers: dict[str, bool] = {}
        self._plans: dict[Role, Plan] = {}
        self._label_plans: dict[str, LabelPlan] = {}

    def roles(self, topic: str) -> list[Role]:
        """What the topic holds."""
        if topic not in self._roles:  # no name in the configuration: a pattern's
            self._roles[topic] = roles_of(self.config, topic)
        return self._roles[topic]

    def selection(self, topic: str) -> Selection:
        """How its records are split."""
        if topic not in self._selections:
            self._selections[topic] = Selection(self.config, self.roles(topic), self._schemas)
        return self._selections[topic]

    def reads_headers(self, topic: str) -> bool:
        """Whether a format of the topic reads the headers of Kafka."""
        if topic not in self._headers:
            self._headers[topic] = any(
                FORMATS[Format.of(source_of(self.config.models[role[0]], role).format).name].headers
                for role in self.roles(topic)
            )
        return self._headers[topic]

    def plan(self, role: Role) -> Plan:
        """Of a model's predictions or of its feature stream."""
        if role not in self._plans:
            made = feature_plan if role[1] == "features" else event_plan
            self._plans[role] = made(role[0], self.config, flat=self._flat, schemas=self._schemas)
        return self._plans[role]

    def label_plan(self, name: str) -> LabelPlan:
        """Of a model's labels."""
        if name not in self._label_plans:
            self._label_plans[name] = label_plan(name, self.config, flat=self._flat, schemas=self._schemas)
        return self._label_plans[name]


@dataclass(frozen=True, slots=True)
class _Part:
    """What a role has of a block, decoded."""

    role: Role
    layout: Layout | None
    batch: Batch | LabelBatch
    dead: list[DeadLetter]


@dataclass(slots=True, kw_only=True)
class _Made:
    """What the roles of a topic add up to. A record is a dead letter once, for the first role that refuses it."""

    source: Source
    intent: Intent
    max_event_ms: int | None = None
    panes: list[PaneRecord] = field(default_factory=list)
    dead: dict[int, DeadLetter] = field(default_factory=dict)
    late: dict[str, int] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)  # of the label store
    told: dict[str, Counter[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.max_event_ms = self.intent.max_event_ms

    def refuse(self, letters: Sequence[DeadLetter], places: Integers | None = None) -> None:
        """Note dead letters; `places` are those of their records in the block."""
        for letter in letters:
            self.dead.setdefault(letter.index if places is None else int(places[letter.index]), letter)

    def tell(self, model: str, counts: Mapping[str, int]) -> None:
        """Note what the panes do not say of a model."""
        if any(counts.values()):
            self.told.setdefault(model, Counter()).update({what: n for what, n in counts.items() if n})

    def add(self, model: str, events: int, late: int, max_ms: int | None) -> None:
        if events:
            self.events[model] = self.events.get(model, 0) + events
        if late:
            self.late[model] = self.late.get(model, 0) + late
        if max_ms is not None:
            self.max_event_ms = max_ms if self.max_event_ms is None else max(self.max_event_ms, max_ms)


def _hole(intent: Intent, records: Records) -> int:
    """Offsets without a record right before the end of the block."""
    if len(records):
        return intent.to - int(records.offsets[-1]) - 1
    return intent.hole + intent.to - intent.from_


def _others(parts: Sequence[_Part]) -> list[Integers | None]:
    """Per part, for each of its events the greatest time of all events that stand before it in the partition.

    Why of all roles: an event is late by what its partition has reached, whoever's events those were; else what is
    late would depend on where the block was cut.
    """
    if len(parts) < 2:
        return [None] * len(parts)
    offsets = np.concatenate([part.batch.offsets for part in parts])
    order = np.argsort(offsets, kind="stable")
    offsets = offsets[order]
    reached = np.maximum.accumulate(np.concatenate([part.batch.times_ms for part in parts])[order])
    reached = np.concatenate([[np.iinfo(np.int64).min // 2], reached])
    return [reached[np.searchsorted(offsets, part.batch.offsets)] for part in parts]


def _records(messages: Runs, *, headers: bool = False) -> Records:
    return Records(
        values=messages.values,
        timestamps_ms=messages.times_ms,
        offsets=messages.offsets,
        headers=[m.headers() or () for m in messages] if headers else None,
    )
