"""monitor.yaml: the contract's example becomes the right Config; every mistake is named with its line, all at once."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detectors import DETECTORS, METRICS
from stream_monitor.config import (
    Budget,
    Config,
    Fields,
    Format,
    LabelFields,
    Model,
    MonitorSpec,
    Target,
)
from stream_monitor.config.files import check_role, config_from_plain, config_id, plain_config, read_config
from stream_monitor.config.known import Known
from stream_monitor.config.monitor_checks import monitor_findings
from stream_monitor.errors import ConfigError
from tests.shell.example import ENVIRON, EXAMPLE, KNOWN, mistakes, read


def test_a_format_is_a_name_or_a_mapping(tmp_path: Path) -> None:
    assert read(tmp_path, EXAMPLE).config.models["fraud"].format == "json"
    header = ("request_id", "ts", "model.version", "features.amount", "prediction", "score", "latency_ms")
    text = EXAMPLE.replace("format: json", f"format: {{name: csv, header: [{', '.join(header)}], delimiter: ';'}}")
    config = read(tmp_path, text).config
    assert config.models["fraud"].format == Format(name="csv", header=header, delimiter=";")
    assert config_from_plain(plain_config(config)).models == config.models


@pytest.mark.parametrize(
    ("format", "message"),
    [
        ("cvs", "models.fraud.format: unknown format 'cvs'; did you mean 'csv'? known: csv, json"),
        ("{name: cvs}", "models.fraud.format.name: unknown format 'cvs'; did you mean 'csv'? known: csv, json"),
        ("{header: [a]}", "models.fraud.format.name: missing: name must be given"),
        ("{name: json, header: [a]}", "models.fraud.format.header: the format json takes no header"),
        ("{name: csv, headers: [a]}", "models.fraud.format.headers: unknown key 'headers'; did you mean 'header'?"),
        ("{name: csv, header: [a, a]}", "models.fraud.format.header: 'a' twice"),
        ("{name: csv, delimiter: ab}", "models.fraud.format.delimiter: expected one character, not 'ab'"),
        ("[csv]", "models.fraud.format: expected a mapping or a value"),
    ],
)
def test_a_wrong_format_is_named_at_its_line(tmp_path: Path, format: str, message: str) -> None:
    found, *others = mistakes(tmp_path, EXAMPLE.replace("format: json", f"format: {format}"))
    assert found.startswith(f"monitor.yaml:13: {message}")
    assert all("is not in format.header: a, a" in o for o in others)


CSV = """\
models:
  fraud:
    topic: fraud.predictions
    format: {name: csv, header: [id, ts, amount, f.x, prediction], delimiter: ";"}
    fields: {FIELDS}
"""
NOT_IN = "is not in format.header: id, ts, amount, f.x, prediction"


@pytest.mark.parametrize(
    ("fields", "more", "found"),
    [
        ("id: request_id, prediction: prediction", "", [f"5: models.fraud.fields.id: request_id {NOT_IN}"]),
        ("id: id, time: ts, prediction: prediction", "", []),
        ("id: id, score: p", "", [f"5: models.fraud.fields.score: p {NOT_IN}"]),  # it may be empty, but has no column
        ("prediction: f.x, features: [amount, f.y]", "", [f"5: models.fraud.fields.features: f.y {NOT_IN}"]),
        ("prediction: f.x, features: [amount, f.x]", "", []),
        ("prediction: prediction, features: f", "", []),  # an object is the columns with its name before a dot
        ("prediction: f, features: g", "", [f"5: models.fraud.fields.features: g.NAME {NOT_IN}",
                                            f"5: models.fraud.fields.prediction: f {NOT_IN}"]),
        ("id: id, prediction: prediction", "    select: {field: model}\n",
         [f"6: models.fraud.select.field: model {NOT_IN}"]),
        ("id: id, prediction: prediction", "    labels: {topic: l, fields: {id: request_id, label: y}}\n", []),  # JSON
        ("id: id, prediction: prediction",
         "    labels: {topic: l, format: {name: csv, header: [id, y]}, fields: {id: id, label: label}}\n",
         ["6: models.fraud.labels.fields.label: label is not in format.header: id, y"]),
        ("id: id, prediction: prediction",
         "    features: {topic: f, format: {name: csv, header: [id, x]}, fields: {features: [x, z]}}\n",
         ["6: models.fraud.features.fields.features: z is not in format.header: id, x"]),
        ("id: id, prediction: prediction",
         "    features: {topic: f, format: csv, fields: {features: [x, z]}}\n", []),  # each record has its own
    ],
)  # fmt: skip
def test_a_mapped_path_that_a_stated_header_lacks_is_a_mistake(
    tmp_path: Path, fields: str, more: str, found: list[str]
) -> None:
    text = CSV.replace("FIELDS", fields) + more
    if found:
        assert mistakes(tmp_path, text) == [f"monitor.yaml:{f}" for f in found]
    else:
        read(tmp_path, text)


def test_the_example_of_the_contract(tmp_path: Path) -> None:
    found = read(tmp_path, EXAMPLE)
    config, model = found.config, found.config.models["fraud"]
    assert config.kafka.options == {"security.protocol": "SASL_SSL", "sasl.password": "hunter2"}
    assert config.api.keys == "k1 admin"
    assert config.time.allowed_lateness == 600_000
    assert (model.topic, model.positive, model.pane, model.slide_ms) == (("fraud.predictions",), 1, 10_000, 300_000)
    assert model.labels is not None
    assert model.labels.fields == LabelFields(id="request_id", label="is_fraud", time="ts")
    assert model.labels.ttl == 7 * 86_400_000
    assert model.reference.file == str(tmp_path / "train.parquet")
    assert model.false_alarms == Budget(alarms=1.0, per_ms=30 * 86_400_000)
    assert [(m.metric, m.threshold, m.columns, m.parameters) for m in model.monitors] == [
        ("psi", 0.2, ("amount", "country"), {}),
        ("accuracy", {"below": 0.9}, "all", {}),
        ("error_rate", None, "all", {"delta": 0.005}),
        ("missing_rate", None, "all", {}),
    ]
    assert (model.alerts.for_, model.alerts.labels) == (2, {"team": "risk"})
    assert model.retrain is not None
    assert (model.retrain.on, model.retrain.cooldown) == (("drift", "performance"), 86_400_000)
    assert [s.kind for s in config.sinks] == ["alertmanager", "slack", "webhook"]
    assert config.triggers == (
        Target(kind="webhook", options={"url": "https://example.org/train", "secret": "whsec_aGk="}),
    )
    assert found.cautions == ()
    assert found.lines["models.fraud.monitors[1].threshold"] == 34
    assert found.secrets == {"hunter2", "k1", "/T0/B1", "whsec_aGk="}


def test_plain_and_back_without_secrets(tmp_path: Path) -> None:
    config = read(tmp_path, EXAMPLE).config
    plain = plain_config(config)
    text = str(plain)
    for secret in (*ENVIRON.values(), "k1 admin", "6379"):
        assert secret not in text
    back = config_from_plain(plain)
    assert back.models == config.models
    assert plain_config(back) == plain
    assert config_id(back) == config_id(config)


@pytest.mark.parametrize("name", [name for name, kind in DETECTORS.items() if dataclasses.is_dataclass(kind)])
def test_whatever_a_detector_can_be_told_comes_through_the_log(name: str) -> None:
    """A worker reads what `check` called right."""
    told = {
        f.name: f.default for f in dataclasses.fields(DETECTORS[name]) if f.default not in (dataclasses.MISSING, None)
    }
    spec = MonitorSpec(metric="error_rate", detector=name, parameters=told)
    config = Config(models={"m": Model(topic=("t",), task="binary", fields=Fields(label="label"), monitors=(spec,))})
    assert config_from_plain(json.loads(json.dumps(plain_config(config)))).models == config.models


# Each line: what is replaced in the example, by what, and the one message it must give.
WRONG = [
    ("metric: psi,", "metric: pis,", "33: models.fraud.monitors[0].metric: unknown metric 'pis'; did you mean 'psi'?"
     " known: accuracy, embedding_drift, error_rate, ks, mae,"),
    ("group: stream", "groop: stream", "4: kafka.groop: unknown key 'groop'; did you mean 'group'? known: brokers, "),
    ("  start: earliest", "  start: sometimes", "5: kafka.start: expected earliest, latest or an RFC 3339"),
    ("localhost:9092", "localhost", "2: kafka.brokers: expected HOST:PORT"),
    ("redis://localhost:6379/0", "mysql://x:pw@y", "7: store: expected redis://HOST:PORT/DB"),
    ("host: 127.0.0.1, port: 8000", "host: 0.0.0.0, port: 99999", "8: api.port: must be from 0"),
    ("127.0.0.1, port: 8000, keys: \"${file:keys.txt}\", insecure: false", "0.0.0.0, insecure: true",
     "8: api.insecure: only on loopback"),
    ("${file:keys.txt}", "${file:nokeys.txt}", "8: api.keys: ${file:nokeys.txt}: No such file or directory"),
    ("${SLACK_WEBHOOK}", "${SLACK}", "41: sinks[1].slack.url: ${SLACK}: the environment variable SLACK is not set"),
    ("idle_after: 30s", "idle_after: 30", "9: time.idle_after: expected a duration like 10s, 5m, 1h or 7d, not '30'"),
    ("task: binary", "task: binnary", "14: models.fraud.task: unknown value 'binnary'; did you mean 'binary'?"),
    ("task: binary", "task: regression", "15: models.fraud.positive: only a binary model has a positive class"),
    ("      id: request_id\n", "", "16: models.fraud.fields.id: missing: labels in a topic of their own"),
    ("features: features\n", "features: features\n      featurez: x\n",
     "21: models.fraud.fields.featurez: unknown key 'featurez'; did you mean 'features'?"),
    ("time: ts, label: is_fraud", "time: ts", "24: models.fraud.labels.fields.label: missing: label must be given"),
    ("metric: psi, columns: [amount, country]", "metric: embedding_drift",
     "33: models.fraud.monitors[0].metric: embedding_drift is about columns of the kind embedding"),
    ("metric: psi, columns: [amount, country]", "metric: text_drift, columns: [note, amount]",
     "33: models.fraud.monitors[0].columns[1]: 'amount' is no column of the kind text; known: note"),
    ("note: text", "note: txt", "25: models.fraud.columns.note: unknown value 'txt'; did you mean 'text'?"),
    ("segments: [country]", "segments: [contry]", "26: models.fraud.segments[0]: unknown column 'contry'; did you"),
    ("segments: [country]", "segments: [amount]", "26: models.fraud.segments[0]: 'amount' is numeric; a segment"),
    ("{file: train.parquet}", "{file: t.csv, first: 5}", "27: models.fraud.reference: exactly one of file, first,"),
    ("{file: train.parquet}", "{from: 2026-01-02T00:00:00Z}", "27: models.fraud.reference.to: missing"),
    ("{file: train.parquet}", "{from: 2026-01-02T00:00:00Z, to: 2026-01-01T00:00:00Z}",
     "27: models.fraud.reference.to: must be later than from"),
    ("{file: train.parquet}", "{file: t.csv, trailing: 7d}", "27: models.fraud.reference: exactly one of file, first,"),
    ("{file: train.parquet}", "{trailing: 9m}", "27: models.fraud.reference.trailing: must be at least two windows"),
    ("{file: train.parquet}", "{trailing: 7d, every: 8d}", "27: models.fraud.reference.every: must be at most as long"),
    ("{file: train.parquet}", "{file: train.parquet, every: 1d}", "27: models.fraud.reference.every: is for a"),
    ("{file: train.parquet}", "{trailing: 7d, exclude: [{from: 2026-01-02T00:00:00Z}]}",
     "27: models.fraud.reference.exclude[0].to: missing"),
    ("pane: 10s", "pane: 7s", "29: models.fraud.window.size: must be a multiple of the pane (7 s)"),
    ("slide: 5m", "slide: 15s", "29: models.fraud.window.slide: must be a multiple of the pane (10 s)"),
    ("slide: 5m", "slide: 10m", "29: models.fraud.window.slide: must be above 0 and at most the size"),
    ("min_rows: 100", "min_rows: many", "30: models.fraud.min_rows: expected a whole number, not 'many'"),
    ("1 per 30d", "1 in 30d", "31: models.fraud.false_alarms: expected a budget like 1 per 30d, not '1 in 30d'"),
    ("1 per 30d", "0 per 30d", "31: models.fraud.false_alarms: expected a budget"),
    ("[amount, country], threshold", "[amont], threshold", "33: models.fraud.monitors[0].columns[0]: unknown column"),
    ("metric: psi, columns: [amount, country]", "metric: ks, columns: [country]",
     "33: models.fraud.monitors[0].columns[0]: 'country' is categorical; ks reads numeric"),
    ("note: text", "note: txt", "25: models.fraud.columns.note: unknown value 'txt'; did you mean 'text'? known: att"),
    ("country: categorical, note: text", "country: timestamp, note: text",
     "26: models.fraud.segments[0]: unknown column 'country'; did you mean 'country.age'?"),
    ("note: text", "note: text, note.tokens: numeric",
     "25: models.fraud.columns.note: 'note.tokens', which is derived of it, is a column, too"),
    ("segments: [country]", "segments: [note.script]",
     "26: models.fraud.segments[0]: 'note.script' is derived of 'note'; a segment is a column of the event"),
    ("[amount, country], threshold", "[note.skript], threshold",
     "33: models.fraud.monitors[0].columns[0]: unknown column 'note.skript'; did you mean 'note.script'?"),
    ("severity: warning", "severity: bad", "33: models.fraud.monitors[0].severity: unknown value 'bad'"),
    ("{below: 0.9}", "{under: 0.9}", "34: models.fraud.monitors[1].threshold.under: unknown key 'under'"),
    ("{below: 0.9}", "{above: 1, below: 0.9}", "34: models.fraud.monitors[1].threshold: expected one of above and"),
    ("{below: 0.9}", ".nan", "34: models.fraud.monitors[1].threshold: expected a number, not '.nan'"),
    ("{metric: accuracy", "{metric: mae", "34: models.fraud.monitors[1].metric: mae is for the tasks regression"),
    ("{metric: accuracy, threshold: {below: 0.9}}", "{metric: row_volume, threshold: 5}",
     "34: models.fraud.monitors[1].threshold: row_volume can be too high or too low"),
    ("{metric: accuracy", "{columns: [amount], metric: accuracy",
     "34: models.fraud.monitors[1].columns: accuracy is about the whole model"),
    ("page_hinkley", "page_hinkly", "35: models.fraud.monitors[2].detector: unknown detector 'page_hinkly'; did you"),
    ("delta: 0.005", "dleta: 0.005", "35: models.fraud.monitors[2].dleta: unknown key 'dleta'; did you mean 'delta'?"),
    ("delta: 0.005", "burn_in: -1", "35: models.fraud.monitors[2]: detector page_hinkley: burn_in must not be"),
    ("delta: 0.005", "threshold: 1", "35: models.fraud.monitors[2].threshold: the detector page_hinkley takes no"),
    ("threshold: {below: 0.9}", "every: pane", "34: models.fraud.monitors[1].every: a threshold judges windows; a"),
    ("delta: 0.005", "every: day", "35: models.fraud.monitors[2].every: unknown value 'day'"),
    ("threshold: {below: 0.9}", "below: 0.9", "34: models.fraud.monitors[1].below: unknown key 'below'; known: "),
    ("for: 2", "for: 0", "37: models.fraud.alerts.for: must be at least 1"),
    ("{team: risk}", "{model: risk}", "37: models.fraud.alerts.labels.model: is set by the service itself"),
    ("[drift, performance]", "[drift, perf]", "38: models.fraud.retrain.on[1]: unknown monitor group 'perf'; did you"),
    ("- alertmanager:", "- alertmanger:", "40: sinks[0].alertmanger: unknown sink 'alertmanger'; did you mean"),
    ("http://localhost:9093", "localhost:9093", "40: sinks[0].alertmanager.url: must be http://HOST"),
    ('{url: "http://localhost:9093"}', "", "40: sinks[0].alertmanager.url: missing: url must be given"),
    ('{url: "http://localhost:9093"}', "{uri: 'http://x'}", "40: sinks[0].alertmanager.uri: unknown key 'uri'; did"),
    ("topic: fraud.predictions", "topic: stream-monitor.alerts", "12: models.fraud.topic: 'stream-monitor.alerts' is"),
    ("    topic: fraud.predictions ", "    # ", "11: models.fraud.topic: missing: topic must be given"),
    ("min_rows: 100", "pane: 20s", "30: models.fraud.pane: written twice; first on line 28"),
    ("topic: fraud.labels", "topic: fraud.predictions", "24: models.fraud.labels.topic: is the model's own topic"),
]  # fmt: skip


UNREADABLE: list[tuple[str, str, dict[str, Any], str]] = [
    ("f1", "ddm", {}, "the detector ddm reads single errors, and f1 counts none; those that do: accuracy, error_rate"),
    ("psi", "river.EDDM", {}, "the detector river.EDDM reads single errors, and psi counts none"),
    ("log_loss", "hddm_w", {}, "the detector hddm_w reads rates between 0 and 1, and log_loss can be others"),
    ("log_loss", "e_cusum", {"updates_between_false_alarms": 9},
     "missing: the detector e_cusum reads values from low to high, 0 to 1 unless they are stated"),
    ("f1", "hddm_a", {}, ""),
    ("log_loss", "e_cusum", {}, ""),  # it learns its range
    ("log_loss", "e_cusum", {"updates_between_false_alarms": 9, "high": 5.0}, ""),
]  # fmt: skip


@pytest.mark.parametrize(("metric", "detector", "parameters", "message"), UNREADABLE)
def test_a_detector_that_can_make_nothing_of_a_metric_is_refused(
    metric: str, detector: str, parameters: dict[str, Any], message: str
) -> None:
    spec = MonitorSpec(metric=metric, detector=detector, parameters=parameters)
    model = Model(topic=("t",), task="binary", fields=Fields(label="label", score="score"))
    found = [m for _, m in monitor_findings("m", spec, model, Known(metrics=METRICS, detectors=DETECTORS))]
    assert [m[: len(message)] for m in found] == ([message] if message else [])


@pytest.mark.parametrize(("old", "new", "message"), WRONG, ids=[w[2].split(": ")[1] + "=" + w[1][:20] for w in WRONG])
def test_each_mistake_is_named_with_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in EXAMPLE
    found = mistakes(tmp_path, EXAMPLE.replace(old, new, 1))
    assert any(m.startswith(f"monitor.yaml:{message}") for m in found), found


@pytest.mark.parametrize(("old", "new", "message"), WRONG[:3])
def test_a_mistake_is_named_once(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert len(mistakes(tmp_path, EXAMPLE.replace(old, new, 1))) == 1


def test_all_mistakes_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = EXAMPLE
    for old, new in (("metric: psi", "metric: pis"), ("group:", "groop:"), ("idle_after: 30s", "idle_after: x")):
        text = text.replace(old, new, 1)
    text = text.replace("{file: train.parquet}", "{file: t.csv, first: 5}").replace("for: 2", "for: two")
    found = mistakes(tmp_path, text)
    assert [m.split(":")[1] for m in found] == ["4", "9", "27", "33", "37"]


def test_what_is_written_twice_hides_no_mistake_in_it(tmp_path: Path) -> None:
    found = mistakes(tmp_path, "models:\n  m: {topic: t, alerts: {for: 0}}\n  m: {topic: other}\n")
    assert [m.split(";")[0] for m in found][1:] == ["monitor.yaml:3: models.m: written twice"]
    assert found[0].startswith("monitor.yaml:2: models.m.alerts.for: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "monitor.yaml: the file is empty"),
        ("- a\n- b\n", "monitor.yaml:1: expected a mapping"),
        ("kafka: {brokers: [\n", "monitor.yaml:2: not YAML"),
        ("a: b: c\n", "monitor.yaml:1: not YAML"),
        ("kafka: 5\n", "monitor.yaml:1: kafka: expected a mapping"),
        ("models: {}\n", "monitor.yaml:1: models: no model is configured"),
        ("models: &a {m: *a}\n", "monitor.yaml:1: models.m: aliases lead back"),
        ("[" * 3000, "monitor.yaml"),
        ("\x00", "monitor.yaml: not YAML"),
    ],
)
def test_files_that_are_no_configuration(tmp_path: Path, text: str, message: str) -> None:
    found = mistakes(tmp_path, text)
    assert any(m.startswith(message) for m in found), found


def test_a_missing_file_is_named_as_given() -> None:
    with pytest.raises(ConfigError, match=r"^no/such\.yaml: No such file or directory$"):
        read_config("no/such.yaml", KNOWN)


def test_short_forms_and_anchors(tmp_path: Path) -> None:
    text = """\
store: memory
models:
  a: &base {topic: [t1, t2], window: {rows: 1000}, fields: {features: [x, "y.z"]}}
  b: {<<: *base, topic: t3, segments: [y.z], false_alarms: 2 per 7d, labels: , min_rows: "${N}"}
"""
    models = read(tmp_path, text, {"N": "7"}).config.models
    assert models["a"].topic == ("t1", "t2")
    assert models["b"].topic == ("t3",)
    assert models["b"].fields.features == ("x", "y.z")
    assert (models["b"].window.rows, models["b"].min_rows, models["b"].labels) == (1000, 7, None)


def test_secrets_are_in_no_message(tmp_path: Path) -> None:
    environ = {**ENVIRON, "STORE": "mysql://u:topsecret@h", "PORT": "topsecret", "URL": "topsecret"}
    text = EXAMPLE.replace("redis://localhost:6379/0", "${STORE}").replace("8000", '"${PORT}"')
    text = text.replace("${SLACK_WEBHOOK}", "${URL}").replace("30s", '"${URL}"')
    found = mistakes(tmp_path, text, environ)
    assert len(found) == 4
    assert "topsecret" not in "".join(found)


def test_keys_are_checked_and_not_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        read(tmp_path, EXAMPLE, keys="hush read\nhush2 king\n")
    assert str(error.value).endswith("monitor.yaml:8: api.keys: line 2: unknown scope; known: read, operate, admin")


@pytest.mark.parametrize(("role", "wrong"), [("run", 0), ("tap", 2), ("worker", 2), ("api", 2)])
def test_memory_and_embedded_are_for_one_process(tmp_path: Path, role: str, wrong: int) -> None:
    text = "kafka: {brokers: embedded}\nstore: memory\nmodels: {m: {topic: t}}\n"
    found = read(tmp_path, text)
    if not wrong:
        check_role(found, role)
        return
    with pytest.raises(ConfigError) as error:
        check_role(found, role)
    assert [m.line for m in error.value.mistakes] == [2, 1] or [m.line for m in error.value.mistakes] == [1, 2]


_KEYS = st.sampled_from(sorted({*re.findall(r"[a-z_]{2,}", EXAMPLE), "<<", "from", "to", "first", "x", "m"}))
_LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
    st.sampled_from(["psi", "binary", "5m", "1 per 30d", "${X}", "${file:x}", "${", "memory", "t", "page_hinkley"]),
)  # fmt: skip
_TREES = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_KEYS, inner, max_size=5)),
    max_leaves=30,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=st.dictionaries(_KEYS, _TREES, max_size=5))
def test_any_tree_is_a_config_or_a_config_error(tmp_path: Path, tree: dict[str, Any]) -> None:
    found = _attempt(tmp_path, yaml.safe_dump(tree))
    assert isinstance(found, Config) or all(m.message for m in found.mistakes)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_to_a_right_file_is_survived(tmp_path: Path, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(EXAMPLE)))
    cut = data.draw(st.integers(0, 40))
    put = data.draw(st.text(alphabet=st.characters(codec="utf-8"), max_size=6))
    found = _attempt(tmp_path, EXAMPLE[:at] + put + EXAMPLE[at + cut :])
    assert isinstance(found, Config) or all(m.message and m.line >= 0 for m in found.mistakes)


def _attempt(folder: Path, text: str) -> Config | ConfigError:
    try:
        return read(folder, text).config
    except ConfigError as error:
        return error
