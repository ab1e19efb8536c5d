"""`init`: what it makes of messages in different shapes, and that `check` accepts whatever it writes."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_monitor.config import Config, LabelFields, Model
from stream_monitor.config.files import Known, read_config
from stream_monitor.shell.init import Sample, Seen, look, render
from tests.counting.writers import WRITERS

KNOWN = Known(formats=dict.fromkeys(("json", "msgpack", "arrow", "csv", "auto"), ()))
START_MS = 1_767_225_600_000


def nested(i: int, rng: random.Random) -> dict[str, Any]:
    fraud = rng.random() < 0.1
    return {
        "request_id": f"r-{i:06d}",
        "ts": f"2026-01-01T00:{i // 60 % 60:02d}:{i % 60:02d}Z",
        "model": {"name": "fraud", "version": "3"},
        "features": {
            "amount": rng.random() * 100,
            "country": rng.choice(["de", "fr"]),
            "n": rng.randrange(9),
            "z": None,
        },
        "prediction": int(fraud),
        "score": rng.random(),
        "latency_ms": 12.5,
    }


def flat(i: int, rng: random.Random) -> dict[str, Any]:
    return {
        "id": i,
        "event_time": START_MS + 100 * i,
        "rooms": rng.randrange(1, 6),
        "city": rng.choice(["Rome", "Oslo"]),
        "y_pred": rng.random() * 1000,
        "y_true": rng.random() * 1000,
        "session_id": f"{rng.random()}",
    }


def classes(i: int, rng: random.Random) -> dict[str, Any]:
    a = rng.random()
    return {
        "uuid": f"u{i}",
        "timestamp": (START_MS + i * 86_400_000) // 1000,
        "inputs": {"pixel": {"mean": rng.random()}},
        "predicted_class": rng.choice(["cat", "dog", "bird"]),
        "probabilities": {"cat": a, "dog": (1 - a) / 2, "bird": (1 - a) / 2},
    }


def words(i: int, rng: random.Random) -> dict[str, Any]:
    good = rng.random() < 0.5
    return {
        "date": "2026-01-01T10:00:00",  # no offset
        "decision": "approve" if good else "reject",
        "probability": 0.8 if good else 0.2,
        "comment": " ".join(rng.choices(["late", "payment", "again", "customer", "unhappy"], k=12)),
        "flag": rng.random() < 0.5,
    }


def sample(make: Callable[[int, random.Random], Mapping[str, Any]], n: int = 200) -> Sample:
    rng = random.Random(1)
    return Sample(
        values=[json.dumps(make(i, rng)).encode() for i in range(n)], timestamps_ms=[START_MS + i for i in range(n)]
    )


def written(folder: Path, seen: Seen) -> Config:
    """What `check` reads from what `init` writes."""
    file = folder / "monitor.yaml"
    file.write_text(render(seen))
    return read_config(str(file), KNOWN, {}).config


def model_of(folder: Path, topic: str, found: Sample, **more: Any) -> tuple[str, Model]:
    config = written(folder, look(topic, "localhost:9092", found, **more))
    return next(iter(config.models.items()))


def test_nested_binary(tmp_path: Path) -> None:
    labels = Sample(values=[b'{"request_id": "r-1", "ts": "2026-01-02T00:00:00Z", "is_fraud": 1}'])
    name, model = model_of(tmp_path, "fraud.predictions", sample(nested), labels=("fraud.labels", labels))
    fields = model.fields
    assert name == "fraud"
    assert (fields.id, fields.time, fields.version) == ("request_id", "ts", "model.version")
    assert (fields.features, fields.prediction, fields.score) == ("features", "prediction", "score")
    assert (fields.latency_ms, fields.label) == ("latency_ms", "")
    assert (model.task, model.positive) == ("binary", 1)
    assert model.columns == {"amount": "numeric", "country": "categorical", "n": "numeric"}
    assert model.labels is not None
    assert model.labels.topic == "fraud.labels"
    assert model.labels.fields == LabelFields(id="request_id", time="ts", label="is_fraud")
    assert model.window.size == 3_600_000  # one event a second
    assert model.reference.first == 10_000


def test_flat_regression_with_the_label_inside(tmp_path: Path) -> None:
    name, model = model_of(tmp_path, "house-price-scores", sample(flat))
    assert name == "house-price"
    assert (model.fields.id, model.fields.time, model.fields.prediction) == ("id", "event_time", "y_pred")
    assert (model.fields.label, model.fields.features) == ("y_true", ("rooms", "city"))
    assert model.task == "regression"
    assert model.labels is None
    assert model.window.size == 300_000  # ten events a second


def test_multiclass_with_a_probability_per_class(tmp_path: Path) -> None:
    _, model = model_of(tmp_path, "animals", sample(classes))
    assert (model.task, model.fields.score, model.fields.features) == ("multiclass", "probabilities", "inputs")
    assert model.columns == {"pixel.mean": "numeric"}
    assert model.fields.time == "timestamp"
    assert model.window.size == 7 * 86_400_000


def test_words_for_classes_and_times_without_an_offset(tmp_path: Path) -> None:
    seen = look("loans", "k:9092", sample(words))
    model = written(tmp_path, seen).models["loans"]
    assert (model.task, model.positive) == ("binary", "approve")  # the class whose scores are high
    assert model.fields.time == ""
    assert model.columns == {"comment": "text", "flag": "boolean"}
    assert "date has no offset" in render(seen)


def test_an_empty_topic_and_a_reference_file(tmp_path: Path) -> None:
    rows = [flat(i, random.Random(i)) for i in range(50)]
    name, model = model_of(tmp_path, "t", Sample(values=[]), reference=("train.csv", rows))
    assert name == "t"
    assert model.reference.file == str(tmp_path / "train.csv")
    assert model.fields.features == ("rooms", "city")


def test_a_topic_with_nothing_readable(tmp_path: Path) -> None:
    _, model = model_of(tmp_path, "t", Sample(values=[b"\xff", b"[1]", None]))
    assert (model.task, model.fields.prediction, model.columns) == ("none", "", {})


def test_options_are_written_as_given(tmp_path: Path) -> None:
    seen = look("t", "a:1,b:2", Sample(values=[]), options={"security.protocol": "SSL", "sasl.password": "${PW}"})
    (tmp_path / "m.yaml").write_text(render(seen))
    config = read_config(str(tmp_path / "m.yaml"), KNOWN, {"PW": "x"}).config
    assert config.kafka.brokers == "a:1,b:2"
    assert config.kafka.options == {"security.protocol": "SSL", "sasl.password": "x"}


@pytest.mark.parametrize("name", WRITERS)
def test_the_format_is_recognised(tmp_path: Path, name: str) -> None:
    format, write = WRITERS[name]
    events = [nested(i, random.Random(i)) for i in range(60)]
    model = written(tmp_path, look("t", "k:9092", Sample(values=write(events)))).models["t"]
    assert model.format == format
    assert (model.fields.id, model.fields.version, model.fields.prediction) == (
        "request_id",
        "model.version",
        "prediction",
    )
    assert model.columns["amount" if model.fields.features == "features" else "features.amount"] == "numeric"


_NAMES = st.one_of(
    st.sampled_from(
        ["id", "ts", "score", "prediction", "label", "features", "yes", "null", "a b", "#x", "1", "é", "k: v"]
    ),
    st.text(st.characters(exclude_characters="$.", codec="utf-8"), min_size=1, max_size=6),
)
_LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.integers()))
_ROWS = st.dictionaries(_NAMES, st.recursive(_LEAVES, lambda v: st.dictionaries(_NAMES, v, max_size=3), max_leaves=6))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(_ROWS, max_size=4), repeat=st.integers(1, 30))
def test_check_accepts_whatever_is_written(tmp_path: Path, rows: list[dict[str, Any]], repeat: int) -> None:
    found = Sample(values=[json.dumps(r).encode() for r in rows * repeat])
    config = written(tmp_path, look("some.topic", "localhost:9092", found, labels=("some.labels", found)))
    assert list(config.models) == ["some.topic"]


@pytest.mark.parametrize("place", ["features", "inputs"])
def test_columns_are_named_as_below_the_features(tmp_path: Path, place: str) -> None:
    _, model = model_of(tmp_path, "t", Sample(values=[json.dumps({place: {"a": 1.0, "yes": "b"}}).encode()]))
    assert model.columns == {"a": "numeric", "yes": "categorical"}
