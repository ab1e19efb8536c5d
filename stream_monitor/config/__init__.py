"""The configuration: frozen dataclasses onto which YAML maps key by key.

A new option is a new field here and nothing else. Durations are integer milliseconds, marked by the field's metadata,
as the names of the file have no units. Reading, checking and line numbers: files.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

DURATION = {"kind": "duration"}  # 10s 5m 1h 7d -> integer ms
SECRET = {"kind": "secret"}  # never printed, never served, not part of the config id
INLINE = {"kind": "inline"}  # no key of its own in YAML: its keys stand beside the others

SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS = 1_000, 60_000, 3_600_000, 86_400_000

Kind = Literal[
    "numeric", "categorical", "boolean", "text", "timestamp", "embedding", "list", "attribution"
]  # see kinds.py
Task = Literal["binary", "multiclass", "regression", "ranking", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaRegistry:
    """Where the schemas of Avro, Protobuf and JSON Schema events are. `options` in confluent-kafka's names."""

    url: str = field(default="", metadata=SECRET)  # several with commas
    options: Mapping[str, Any] = field(default_factory=dict, metadata=SECRET)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kafka:
    """Brokers and the service's own topics. `brokers: embedded` means the mock cluster."""

    brokers: str = "localhost:9092"
    prefix: str = "stream-monitor."
    group: str = "stream-monitor"
    start: str = "earliest"  # earliest | latest | RFC 3339 time
    options: Mapping[str, Any] = field(default_factory=dict, metadata=SECRET)
    partitions: int = 8  # of the panes topic, fixed at its creation
    replication: int = 1  # of topics the service creates
    max_event: int = 1 << 20  # bytes
    schema_registry: SchemaRegistry = field(default_factory=SchemaRegistry)


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """Where the API listens and who may speak to it."""

    host: str = "127.0.0.1"
    port: int = 8000
    keys: str = field(default="", metadata=SECRET)  # text of the keys file: KEY or sha256:HEX, then optionally a scope
    insecure: bool = False
    read: Literal["key", "open"] = "key"
    metrics: Literal["key", "open"] = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Time:
    """Event-time rules, per source partition."""

    out_of_orderness: int = field(default=5 * SECOND_MS, metadata=DURATION)
    idle_after: int = field(default=30 * SECOND_MS, metadata=DURATION)
    allowed_lateness: int = field(default=10 * MINUTE_MS, metadata=DURATION)
    max_future: int = field(default=HOUR_MS, metadata=DURATION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """How messages are written, where a name alone does not say it: `format: {name: csv, header: [id, amount]}`."""

    name: str
    header: tuple[str, ...] = ()  # names of columns that come without: of CSV lines, of arrays of features
    delimiter: str = ","  # of CSV

    @classmethod
    def of(cls, stated: str | Format) -> Format:
        """What the configuration says, a name alone or a mapping, in one form."""
        return cls(name=stated) if isinstance(stated, str) else stated


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """Paths into a message, dots for nesting. "" means: not there."""

    id: str = ""
    time: str = ""
    version: str = ""
    features: str | tuple[str, ...] = ""
    prediction: str = ""
    score: str = ""
    label: str = ""
    latency_ms: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelFields:
    """Paths into a label message."""

    id: str
    label: str
    time: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Select:
    """Which records of a topic that several models share are a model's: by a field's or a header's value."""

    field: str = ""  # a path into the message
    header: str = ""  # or the name of a Kafka header
    value: tuple[str, ...] = ()  # (): the model's own name


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """Labels in a topic of their own, joined to predictions by id."""

    topic: str
    fields: LabelFields
    ttl: int = field(default=7 * DAY_MS, metadata=DURATION)
    format: str | Format = "json"
    select: Select | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureFields:
    """Paths into a feature message."""

    features: str | tuple[str, ...] = ""
    id: str = ""
    time: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """Features in a topic of their own, counted there without a join."""

    topic: str
    fields: FeatureFields = field(default_factory=FeatureFields)
    format: str | Format = "json"
    select: Select | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """[from, to) of event time."""

    from_: str = field(default="", metadata={"name": "from"})
    to: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Where normal is learnt from: exactly one of a file, the first N events, a span of event time, or the last days.

    A trailing reference begins as one of the first N events.
    """

    file: str = ""
    features_file: str = ""  # of features that come in a stream of their own; "": they are in `file`
    first: int = 0
    from_: str = field(default="", metadata={"name": "from"})
    to: str = ""
    trailing: int = field(default=0, metadata=DURATION)
    every: int = field(default=0, metadata=DURATION)  # between two trailing references; 0: an eighth of `trailing`
    exclude: tuple[Span, ...] = ()  # of what trails


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowSpec:
    """Event time per window; slide 0 means tumbling (slide = size)."""

    size: int = field(default=5 * MINUTE_MS, metadata=DURATION)
    slide: int = field(default=0, metadata=DURATION)
    rows: int = 0  # count windows; size and slide are then ignored


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """`1 per 30d`: how many alerts that fire without cause are tolerable."""

    alarms: float = 1.0
    per_ms: int = 30 * DAY_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorSpec:
    """Column(s) x metric x detector x window. `parameters` are the detector's own keys (delta, ...)."""

    metric: str
    columns: str | tuple[str, ...] = "all"
    detector: str = "threshold"
    threshold: float | Mapping[str, float] | None = None  # {above: x} or {below: x}; None: from the reference's windows
    warning: float | None = None
    severity: Literal["warning", "critical"] = "critical"
    segments: str | tuple[str, ...] = "all"
    every: Literal["window", "pane"] = "window"  # what a change detector sees a value of
    parameters: Mapping[str, str | int | float | bool | tuple[int, ...]] = field(default_factory=dict, metadata=INLINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alerts:
    """Hysteresis and identity of a model's alerts."""

    for_: int = field(default=2, metadata={"name": "for"})
    resolve_after: int = 3
    retire_after: int = 3
    labels: Mapping[str, str] = field(default_factory=dict)
    runbook: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrain:
    """When a model should be trained anew."""

    on: tuple[str, ...] = ("drift", "performance")
    cooldown: int = field(default=DAY_MS, metadata=DURATION)
    max_age: int = field(default=0, metadata=DURATION)  # 0: never by age alone
    min_labels: int = 0
    approval: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model: where its events are, how they are read, what is watched."""

    topic: tuple[str, ...]  # names; with a leading ^ a regular expression that names must begin with
    format: str | Format = "json"
    select: Select | None = None  # None: every record of the topic
    task: Task = "none"
    positive: str | int | float | bool = 1
    fields: Fields = field(default_factory=Fields)
    features: Features | None = None
    labels: Labels | None = None
    columns: Mapping[str, Kind] = field(default_factory=dict)
    segments: tuple[str, ...] = ()
    max_segments: int = 100  # values per dimension; the rest is counted together as `other`
    reference: Reference = field(default_factory=Reference)
    pane: int = field(default=0, metadata=DURATION)  # 0: chosen with the layout
    window: WindowSpec = field(default_factory=WindowSpec)
    min_rows: int = 100
    false_alarms: Budget = field(default_factory=Budget)
    monitors: tuple[MonitorSpec, ...] = ()  # (): the default suite for the task
    alerts: Alerts = field(default_factory=Alerts)
    retrain: Retrain | None = None

    @property
    def slide_ms(self) -> int:
        return self.window.slide or self.window.size

    @property
    def has_labels(self) -> bool:
        """Whether labels come at all, in the events or in a topic of their own."""
        return self.labels is not None or bool(self.fields.label)

    @property
    def feature_paths(self) -> str | tuple[str, ...]:
        """Where the features are in a message of theirs: the path of an object, or single paths; "": nowhere."""
        return self.fields.features if self.features is None else self.features.fields.features


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A sink or a trigger: its kind and its own options (url, secret, ...), which are never printed or served."""

    kind: str
    options: Mapping[str, Any] = field(default_factory=dict, metadata=SECRET)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole file."""

    kafka: Kafka = field(default_factory=Kafka)
    store: str = field(default="memory", metadata=SECRET)
    api: Api = field(default_factory=Api)
    time: Time = field(default_factory=Time)
    models: Mapping[str, Model] = field(default_factory=dict)
    sinks: tuple[Target, ...] = ()
    triggers: tuple[Target, ...] = ()
