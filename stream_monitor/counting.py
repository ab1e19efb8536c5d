"""Counts a block as its intent says: with that configuration and those layouts, whatever they are today."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from detectors.layouts import RAW_ID, Layout
from stream_monitor.batches import DeadLetter, Records
from stream_monitor.blocks import Counted, is_idle
from stream_monitor.brokers import Message, Partition
from stream_monitor.config import Config
from stream_monitor.config_plain import config_id
from stream_monitor.entries import PaneRecord, Source
from stream_monitor.errors import StateError
from stream_monitor.fields import LabelPlan, Plan, event_plan, label_plan
from stream_monitor.formats import decode, decode_labels
from stream_monitor.intents import Intent
from stream_monitor.interfaces import Catalog, LabelStore
from stream_monitor.labels import join, remember
from stream_monitor.panes import count_block
from stream_monitor.publications import config_of

Role = tuple[str, Literal["events", "labels"]]  # model, what of it a topic holds


def roles(config: Config) -> dict[str, list[Role]]:
    """What each source topic holds: in the order of the models' names, events first.

    >>> from stream_monitor.config import Model
    >>> roles(Config(models={"b": Model(topic=("t", "u")), "a": Model(topic=("t",))}))
    {'t': [('a', 'events'), ('b', 'events')], 'u': [('b', 'events')]}
    """
    out: dict[str, list[Role]] = {}
    for name, model in sorted(config.models.items()):
        for topic in model.topic:
            out.setdefault(topic, []).append((name, "events"))
        if model.labels is not None:
            out.setdefault(model.labels.topic, []).append((name, "labels"))
    return out


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
        flat: bool = False,
    ) -> None:
        self._config_id = config_id(config)
        self._under = {self._config_id: _Under(config, flat)}
        self._catalog, self._label_store, self._flat = catalog, label_store, flat
        self._learnt: dict[str, str] = {}
        self._layouts = layouts or dict

    def learnt(self, model: str, layout: str) -> None:
        """The model's layout from the next block on."""
        self._learnt[model] = layout

    def config_id(self) -> str:
        return self._config_id

    def layouts(self, topic: str) -> dict[str, str]:
        now = {**self._layouts(), **self._learnt}
        models = {model for model, _ in self._under[self._config_id].roles.get(topic, ())}
        return {model: now[model] for model in sorted(models & now.keys())}

    def count(self, intent: Intent, partition: Partition, messages: Sequence[Message]) -> Counted:
        under = self._find(intent.config)
        its_roles = under.roles.get(partition[0], [])
        made = _Made(source=intent.source(*partition), intent=intent, records=_records(messages))
        for name, holds in its_roles:
            layout = self._layout(intent.layouts.get(name, RAW_ID))
            if holds == "events":
                self._count_events(made, under, name, layout)
            else:
                self._count_labels(made, under, name, layout)
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
            details=made.answers,
        )

    def _count_events(self, made: _Made, under: _Under, name: str, layout: Layout | None) -> None:
        model, time, intent = under.config.models[name], under.config.time, made.intent
        batch, dead = decode(made.records, under.plans[name], layout, intent.at_ms)
        block = count_block(batch, layout, name, model, time, intent.max_event_ms)
        made.panes += block.panes
        made.panes += remember(self._label_store, batch, made.source, layout, name, model)
        made.add(name, len(batch), block.late, block.max_time_ms, dead)

    def _count_labels(self, made: _Made, under: _Under, name: str, layout: Layout | None) -> None:
        model, time, intent = under.config.models[name], under.config.time, made.intent
        batch, dead = decode_labels(made.records, under.label_plans[name], intent.at_ms)
        found = join(self._label_store, batch, made.source, layout, name, model, time, intent.max_event_ms)
        made.panes += found.panes
        made.answers.update(found.answers)
        made.add(name, len(batch), found.late, found.max_time_ms, dead)

    def _find(self, id: str) -> _Under:
        if id not in self._under:
            try:
                config = config_of(self._catalog.blob(id))
            except KeyError:
                raise StateError(
                    f"configuration {id}, which an intent names, is not in the topic of configurations"
                ) from None
            self._under[id] = _Under(config, self._flat)
        return self._under[id]

    def _layout(self, id: str) -> Layout | None:
        if id == RAW_ID:
            return None
        try:
            return self._catalog.layout(id)
        except KeyError:
            raise StateError(f"layout {id}, which an intent names, is not in the topic of layouts") from None


class _Under:
    """A configuration, compiled for decoding."""

    def __init__(self, config: Config, flat: bool) -> None:
        self.config = config
        self.roles = roles(config)
        self.plans: dict[str, Plan] = {name: event_plan(name, config, flat=flat) for name in config.models}
        self.label_plans: dict[str, LabelPlan] = {
            name: label_plan(name, config, flat=flat) for name, model in config.models.items() if model.labels
        }


@dataclass(slots=True, kw_only=True)
class _Made:
    """What the roles of a topic add up to. A record is a dead letter once, for the first role that refuses it."""

    source: Source
    intent: Intent
    records: Records
    max_event_ms: int | None = None
    panes: list[PaneRecord] = field(default_factory=list)
    dead: dict[int, DeadLetter] = field(default_factory=dict)
    late: dict[str, int] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)  # of the label store

    def __post_init__(self) -> None:
        self.max_event_ms = self.intent.max_event_ms

    def add(self, model: str, events: int, late: int, max_ms: int | None, dead: Sequence[DeadLetter]) -> None:
        for letter in dead:
            self.dead.setdefault(letter.index, letter)
        if events:
            self.events[model] = self.events.get(model, 0) + events
        if late:
            self.late[model] = self.late.get(model, 0) + late
        if max_ms is not None:
            self.max_event_ms = max_ms if self.max_event_ms is None else max(self.max_event_ms, max_ms)


def _records(messages: Sequence[Message]) -> Records:
    stamps = [m.timestamp() for m in messages]
    return Records(
        values=[m.value() for m in messages],
        timestamps_ms=np.array([ms if kind else -1 for kind, ms in stamps], np.int64),
        offsets=np.array([m.offset() for m in messages], np.int64),
    )
