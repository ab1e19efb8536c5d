"""`stream-monitor init`: a first monitor.yaml, with comments, from what is seen on a topic or in a file.

What cannot be seen is said in a comment at its place, never made up.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from stream_monitor.config import Config, Kafka, Model
from stream_monitor.config.values import UNITS_MS
from stream_monitor.counting.plans import event_plan
from stream_monitor.errors import InvalidRecord
from stream_monitor.formats.auto import messages
from stream_monitor.formats.files import File
from stream_monitor.formats.framed import AnyFramed, is_framed
from stream_monitor.formats.presets import PRESETS, recognise
from stream_monitor.formats.tables import TableRows, cell_value
from stream_monitor.interfaces import Schemas
from stream_monitor.shell.guesses import Guess, guess, guess_labels

_UNPRINTABLE = re.compile(
    "[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)  # in YAML
MEANINGS = {
    "id": "joins labels to predictions",
    "time": "event time: RFC 3339 with an offset, or epoch in s, ms or us; absent: the Kafka timestamp",
    "version": "versions are watched side by side",
    "features": "an object, or a list of paths",
    "prediction": "",
    "score": "binary: P(positive); multiclass: an object or a list, one per class",
    "label": "the truth, when it comes in the same event",
    "latency_ms": "how long the prediction took",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Some records of a topic: values as they are, Kafka timestamps beside them (negative: none)."""

    values: Sequence[bytes | None]
    timestamps_ms: Sequence[int] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """A schema registry as it is to be written, and what it says. `options` are as written, too."""

    url: str
    schemas: Schemas
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What `init` writes from. `labels` are a label topic's name, its field paths and its format."""

    topic: str
    brokers: str
    guess: Guess
    rows: int
    format: str = "json"
    unreadable: int = 0
    reference: str = ""
    labels: tuple[str, Mapping[str, str], str] | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    registry: Registry | None = None
    framed: int = 0  # of the unreadable, those that name a schema


class Rows(NamedTuple):
    """The events in records, and how most of these are written: auto when there is more than one way."""

    rows: list[Mapping[str, Any]]
    format: str
    unreadable: int


def rows_of(values: Sequence[bytes | None], schemas: Schemas | None = None) -> Rows:
    """The records that some format reads; those that name a schema only with a registry. May raise Unreachable.

    >>> rows_of([b'{"a": 1}', b"[]", b"x", None])
    Rows(rows=[{'a': 1}], format='json', unreadable=3)
    """
    rows: list[Mapping[str, Any]] = []
    formats: set[str] = set()
    preset = recognise([v for v in values if v is not None])
    unreadable = 0
    framed = AnyFramed(schemas) if schemas is not None else None
    for value in values:
        try:
            if framed is not None and value is not None and is_framed(value):
                name, found = framed.messages(value)
            else:
                name, found = messages(value, Kafka().max_event)
            if preset:
                read = PRESETS[preset][0](value or b"", (), ())
                name, found = preset, [{k: v for k, v in e.items() if k not in ("attributes", "model")} for e in read]
            json.dumps(found, ensure_ascii=False).encode()  # half a surrogate pair cannot be written to a file
        except (InvalidRecord, ValueError, TypeError, RecursionError):
            unreadable += 1
            continue
        formats.add(name)
        rows += found
    return Rows(rows, "auto" if len(formats) > 1 else next(iter(formats), "json"), unreadable)


def look(
    topic: str,
    brokers: str,
    sample: Sample,
    *,
    labels: tuple[str, Sample] | None = None,
    reference: tuple[str, Sequence[Mapping[str, Any]]] | None = None,
    options: Mapping[str, str] | None = None,
    registry: Registry | None = None,
) -> Seen:
    """What the messages (and a reference file's first rows) say. `labels`: a topic that may hold labels.

    Without readable messages the reference's rows stand for them.
    """
    schemas = registry.schemas if registry else None
    rows, format, unreadable = rows_of(sample.values, schemas)
    found = guess(rows or list(reference[1] if reference else ()), sample.timestamps_ms if rows else ())
    joined = None
    if labels and "id" in found.fields and "label" not in found.fields:
        truth = rows_of(labels[1].values, schemas)
        paths = guess_labels(truth.rows, str(found.fields["id"]))
        joined = (labels[0], paths, truth.format) if paths else None
    return Seen(
        topic=topic,
        brokers=brokers,
        guess=found,
        rows=len(rows),
        format=format,
        unreadable=unreadable,
        reference=reference[0] if reference else "",
        labels=joined,
        options=options or {},
        registry=registry,
        framed=0 if registry else sum(map(is_framed, sample.values)),
    )


def first_rows(file: str, rows: int = 2_000) -> list[Mapping[str, Any]]:
    """The first rows of a reference file as messages. ConfigError when it cannot be read."""
    found = File(Path(file))
    if found.kind == "jsonl":
        return rows_of(next(found.lines(rows), [])).rows
    table = next(found.tables(rows))[0]
    plan = event_plan("", Config(models={"": Model(topic=("",))}), flat=True)
    read = TableRows(table, plan, texts=found.kind == "csv")
    columns = {name: read.values(name) for name in table.column_names}
    if found.kind == "csv":
        columns = {n: [cell_value(v) if isinstance(v, str) else v for v in values] for n, values in columns.items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def relative_to(file: str, output: str) -> str:
    """The path of a file as it must be written in `output`, in whose folder it is looked for.

    >>> relative_to("data/train.csv", "conf/monitor.yaml"), relative_to("/data/train.csv", "conf/monitor.yaml")
    ('../data/train.csv', '/data/train.csv')
    """
    return file if Path(file).is_absolute() else os.path.relpath(file, Path(output).parent)


def label_topic(topic: str, topics: Sequence[str]) -> str | None:
    """Of all topics the one that is likely to hold the labels of `topic`.

    >>> label_topic("fraud.predictions", ["fraud.labels", "churn.labels", "fraud.predictions"])
    'fraud.labels'
    """
    stem = model_name(topic)
    words = ("label", "truth", "outcome", "feedback", "actual")
    near = [t for t in topics if t != topic and t.startswith(stem) and any(w in t[len(stem) :].lower() for w in words)]
    return min(near, key=len, default=None)


def model_name(topic: str) -> str:
    """A model's name from its topic's.

    >>> model_name("fraud.predictions"), model_name("ml-churn-prediction-log"), model_name("scores")
    ('fraud', 'ml-churn', 'scores')
    """
    stem = re.sub(
        r"([._-]?(predictions?|inferences?|scores?|events?|logs?|requests?|responses?))+$", "", topic, flags=re.I
    )
    return stem or topic


def render(seen: Seen) -> str:
    """The text of monitor.yaml."""
    g = seen.guess
    name = model_name(seen.topic)
    lines = [
        f"# Written by `stream-monitor init` from {_what_was_seen(seen)}.",
        "# Read it, then: stream-monitor check monitor.yaml --connect; stream-monitor run monitor.yaml",
        "kafka:",
        f"  brokers: {_text(seen.brokers)}",
    ]
    if seen.options:
        lines.append(f"  options: {_flow(seen.options)}  # secrets only as ${{NAME}} or ${{file:PATH}}")
    if seen.registry is not None:
        more = f", options: {_flow(seen.registry.options)}" if seen.registry.options else ""
        lines.append(f"  schema_registry: {{url: {_text(seen.registry.url, flow=True)}{more}}}")
    lines += [
        "store: memory  # gone with the process; redis://HOST:6379/0 keeps it, and lets tap, worker and api run apart",
        'api: {host: 127.0.0.1, port: 8000}  # to acknowledge alerts etc. add a key: keys: "${API_KEY}"',
        "models:",
        f"  {_text(name)}:",
        f"    topic: {_text(seen.topic)}",
        f"    format: {seen.format}{_format(seen.format)}",
        *_task(g),
        *_fields(g),
        *_labels(seen),
        *_columns(g),
        *_segments(g),
        f"    reference: {_reference(seen)}",
        f"    window: {{size: {duration(g.window_ms)}}}{_rate(g)}",
        "    false_alarms: 1 per 30d  # how many alerts without cause you can live with",
        "    # monitors:  # absent: the usual ones for the task; see `stream-monitor list metrics`",
        "    #   - {metric: psi, columns: all, threshold: 0.2}",
        "    alerts: {for: 2, resolve_after: 3}  # windows in a row",
        "    # retrain: {on: [drift, performance], cooldown: 24h}",
        "# sinks:  # see `stream-monitor list sinks`",
        '#   - alertmanager: {url: "http://localhost:9093"}',
    ]
    return "".join(_UNPRINTABLE.sub(" ", line) + "\n" for line in lines)


def duration(ms: int) -> str:
    """The shortest way to write it.

    >>> duration(300_000), duration(86_400_000), duration(90_000)
    ('5m', '1d', '90s')
    """
    for unit in ("d", "h", "m", "s"):
        if ms % UNITS_MS[unit] == 0:
            return f"{ms // UNITS_MS[unit]}{unit}"
    return f"{ms}ms"


def _what_was_seen(seen: Seen) -> str:
    what = f"{seen.rows} events of the topic" if seen.rows else "no event of the topic (it has none yet)"
    if seen.unreadable:
        what += f" ({seen.unreadable} more records could not be read"
        what += f"; {seen.framed} begin like those of a schema registry: --schema-registry URL)" if seen.framed else ")"
    return what + (" and a reference file" if seen.reference else "")


def _format(name: str) -> str:
    return "" if name == "json" else "  # of each record, by its first bytes" if name == "auto" else "  # as it looks"


def _task(g: Guess) -> list[str]:
    lines = [f"    task: {g.task}  # binary | multiclass | regression | ranking | none{_note(g, 'task')}"]
    if g.positive is not None:
        lines.append(f"    positive: {_value(g.positive)}  # the class that the score is the probability of")
    return lines


def _fields(g: Guess) -> list[str]:
    lines = ["    fields:  # paths into the message, dots for nesting"]
    for what, meaning in MEANINGS.items():
        path = g.fields.get(what)
        note = g.notes.get(what) or meaning
        end = f"  # {note}" if note else ""
        if path is None:
            lines.append(f"      # {what}: not seen{end}")
        elif isinstance(path, tuple):
            lines += [f"      {what}:{end}", *(f"        - {_text(p)}" for p in path)]
        else:
            lines.append(f"      {what}: {_text(path)}{end}")
    return lines if g.fields else ["    fields: {}", *lines[1:]]


def _labels(seen: Seen) -> list[str]:
    if seen.labels:
        topic, paths, format = seen.labels
        how = "" if format == "json" else f"format: {format}, "
        return [
            f"    labels: {{topic: {_text(topic, flow=True)}, {how}fields: {_flow(paths)}, ttl: 7d}}  # joined by id"
        ]
    if "label" in seen.guess.fields:
        return []
    return [
        "    # labels: {topic: NAME, fields: {id: ID, time: TIME, label: LABEL}, ttl: 7d}  # the truth, when it comes"
    ]


def _columns(g: Guess) -> list[str]:
    note = g.notes.get("columns", "")
    if not g.columns:
        return [f"    # columns: {{NAME: numeric}}  # {note or 'no features were seen'}"]
    lines = ["    columns:  # numeric | categorical | boolean | text | timestamp | embedding | list | attribution"]
    lines += [f"      {_text(name)}: {kind}" for name, kind in g.columns.items()]
    return lines + ([f"      # {_comment(note)}"] if note else [])


def _segments(g: Guess) -> list[str]:
    categorical = [n for n, kind in g.columns.items() if kind == "categorical"]
    return (
        [f"    # segments: [{_comment(_text(categorical[0], flow=True))}]  # watched one by one"] if categorical else []
    )


def _reference(seen: Seen) -> str:
    if seen.reference:
        return f"{{file: {_text(seen.reference, flow=True)}}}  # what normal is"
    return "{first: 10000}  # what normal is: the first events; or {file: train.parquet}"


def _rate(g: Guess) -> str:
    return f"  # about {g.per_second * g.window_ms / 1000:,.0f} events" if g.per_second else ""


def _note(g: Guess, what: str) -> str:
    return f"; {g.notes[what]}" if what in g.notes else ""


def _flow(pairs: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{_text(k, flow=True)}: {_text(v, flow=True)}" for k, v in pairs.items()) + "}"


def _comment(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def _text(text: str, flow: bool = False) -> str:
    """The text as a YAML scalar, quoted where YAML or `${` would make something else of it."""
    plain = re.fullmatch(r"[A-Za-z_/.][A-Za-z0-9_./ -]*(:[0-9]+)?", text) and text == text.strip() and " #" not in text
    if plain and yaml.safe_load(text) == text and (not flow or ":" not in text):
        return text
    return yaml.safe_dump(text, default_style='"', width=1 << 20).strip()


def _value(value: str | int | float | bool) -> str:
    return _text(value) if isinstance(value, str) else json.dumps(value)
