"""`replay`: windows are what was in the file, whatever its format, and the end of the files closes them."""

from __future__ import annotations

import csv
import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stream_monitor import app
from stream_monitor.__main__ import main
from stream_monitor.errors import ConfigError
from stream_monitor.shell import logs

START = 1_760_000_040  # a multiple of 60
COUNTRIES = ("de", "fr")
CONFIG = """\
models:
  m:
    topic: [t, elsewhere]
    task: binary
    fields: {id: id, time: ts, features: [amount, country], prediction: prediction, score: score}
    columns: {amount: numeric, country: categorical}
    labels: {topic: t.labels, fields: {id: id, time: ts, label: label}}
    segments: [country]
    REFERENCE
    pane: 10s
    window: {size: 1m}
    min_rows: 20
    alerts: {for: 1}
    retrain: {on: [drift], cooldown: 10m}
"""
Row = dict[str, Any]


def stream(n: int, seed: int, *, shift_from: int | None = None) -> list[Row]:
    """Ten minutes of events, a little out of order; from `shift_from` on the amounts are larger."""
    rng = random.Random(seed)
    rows = []
    for i in range(n):
        amount = rng.gauss(100, 10) + (60 if shift_from is not None and i >= shift_from else 0)
        score = rng.random()
        rows.append(
            {
                "id": f"r{i}",
                "ts": START + 600 * i / n + rng.uniform(-2, 2),
                "amount": None if rng.random() < 0.05 else round(amount, 3),
                "country": rng.choice(COUNTRIES),
                "prediction": int(score > 0.5),
                "score": round(score, 4),
            }
        )
    return rows


def write(path: Path, rows: Sequence[Row]) -> str:
    """The rows in the format that the name says."""
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(list(rows)), path)
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows({k: "" if v is None else v for k, v in row.items()} for row in rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


class Output:
    """What a replay wrote."""

    def __init__(self, folder: Path) -> None:
        def lines(name: str) -> list[Row]:
            return [json.loads(line) for line in (folder / name).read_text().splitlines()]

        self.windows, self.verdicts = lines("windows.jsonl"), lines("verdicts.jsonl")
        self.alerts, self.requests = lines("alerts.jsonl"), lines("retrain-requests.jsonl")


def replay(
    folder: Path, events: str, labels: str | None = None, *, reference: str | None = None, name: str = "out"
) -> Output:
    file = folder / "monitor.yaml"
    line = f"reference: {{file: {reference}}}" if reference else "reference: {first: 300}"
    file.write_text(CONFIG.replace("REFERENCE", line))
    app.replay(str(file), "m", events, labels, str(folder / name), logs.Formatter("text"))
    return Output(folder / name)


def test_columns_of_the_first_events_are_learnt_while_a_short_file_is_read(tmp_path: Path) -> None:
    """As a tap's are: a file of one block has columns, too, soon after the events that it takes to know them."""
    rows = stream(3000, 5)
    out = replay(tmp_path, write(tmp_path / "events.jsonl", rows))
    whole = [w for w in out.windows if w["segment"] == "all"]
    assert sum(w["rows"] for w in whole) == len(rows)
    assert [bool(w["columns"]) for w in whole][-6:] == [True] * 6
    assert any(v["metric"] == "missing_rate" and v["level"] == "ok" for v in out.verdicts)


def minute(ts: float) -> str:
    return datetime.fromtimestamp(ts // 60 * 60, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_windows_hold_what_was_in_the_file_whatever_its_format(tmp_path: Path) -> None:
    rows = stream(3_000, 1)
    write(tmp_path / "normal.parquet", stream(3_000, 2))
    outputs = [
        replay(tmp_path, write(tmp_path / f"events.{kind}", rows), reference="normal.parquet", name=kind)
        for kind in ("jsonl", "csv", "parquet")
    ]
    wanted = Counter((minute(r["ts"]), s) for r in rows for s in ("all", f"country={r['country']}"))
    missing = Counter((minute(r["ts"]), "all") for r in rows if r["amount"] is None)
    for output in outputs:
        got = {(w["start"], w["segment"]): w for w in output.windows}
        assert len(got) == len(output.windows)
        assert Counter({k: w["rows"] for k, w in got.items() if w["rows"]}) == wanted
        for key, n in missing.items():
            assert got[key]["columns"]["amount"]["missing"] == n
        for (start, segment), window in got.items():
            for column in window["columns"].values():
                inside = sum(column["counts"]) + column["other"] + column["missing"] + column["invalid"]
                assert inside == window["rows"], (start, segment)
    assert outputs[0].windows == outputs[1].windows == outputs[2].windows
    assert {v["id"] for v in outputs[0].verdicts} == {v["id"] for v in outputs[1].verdicts}


def test_a_shift_fires_an_alert_and_asks_for_retraining(tmp_path: Path) -> None:
    write(tmp_path / "normal.csv", stream(3_000, 2))
    output = replay(
        tmp_path, write(tmp_path / "events.csv", stream(3_000, 1, shift_from=1_500)), reference="normal.csv"
    )
    drifted = [
        v for v in output.verdicts if v["column"] == "amount" and v["group"] == "drift" and v["level"] == "drift"
    ]
    assert min(v["start"] for v in drifted if v["segment"] == "all") == minute(START + 300)
    fired = [a for a in output.alerts if a["state"] == "firing" and a["group"] == "drift" and a["segment"] == "all"]
    assert fired[0]["worst"][0]["column"] == "amount"
    assert len(output.requests) == 1  # the cooldown is event time, and has not passed within the file


def told(rows: Sequence[Row], seed: int = 5) -> list[Row]:
    """A label for nine of ten events, 30 s later; every third twice."""
    rng = random.Random(seed)
    labels = [{"id": r["id"], "ts": r["ts"] + 30, "label": int(rng.random() < 0.5)} for r in rows if rng.random() < 0.9]
    return sorted(labels + labels[::3], key=lambda label: label["ts"])


def test_labels_are_joined_once_each_in_the_window_of_their_own_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = stream(2_000, 3)
    labels = told(rows)
    strange = [{**labels[-1], "id": f"strange {i}"} for i in range(5)]
    write(tmp_path / "normal.csv", stream(2_000, 2))
    file = write(tmp_path / "l.parquet", labels + strange)
    output = replay(tmp_path, write(tmp_path / "e.jsonl", rows), file, reference="normal.csv")
    once: Mapping[str, Row] = {label["id"]: label for label in reversed(labels)}
    wanted = Counter(minute(label["ts"]) for label in once.values())
    assert Counter({w["start"]: w["labels"] for w in output.windows if w["segment"] == "all" and w["labels"]}) == wanted
    right = Counter(
        minute(once[r["id"]]["ts"]) for r in rows if r["id"] in once and once[r["id"]]["label"] == r["prediction"]
    )
    rates = {v["start"]: v["value"] for v in output.verdicts if v["metric"] == "error_rate" and v["segment"] == "all"}
    for start, n in wanted.items():
        if n >= 20:
            assert rates[start] == pytest.approx(1 - right[start] / n)
    said = " ".join(capsys.readouterr().err.split())
    assert f"labels: {len(once):,} joined, 5 without a prediction, {len(labels) - len(once)} told before, 0" in said


@pytest.mark.parametrize(
    ("last", "level", "reason"), [(565, "unknown", "the events end within this window"), (592, "ok", None)]
)
def test_a_last_window_that_the_file_cuts_short_tells_nothing_of_its_volume(
    tmp_path: Path, last: int, level: str, reason: str | None
) -> None:
    """A window in the middle that is half empty is low all the same. The last pane, 10 s, need not be whole."""
    write(tmp_path / "normal.parquet", stream(3_000, 2))
    rows = [r for r in stream(3_000, 1) if r["ts"] < START + last and not START + 330 <= r["ts"] < START + 360]
    found = replay(tmp_path, write(tmp_path / "events.parquet", rows), reference="normal.parquet")
    volumes = {v["start"]: v for v in found.verdicts if v["monitor"] == "row_volume" and v["segment"] == "all"}
    assert volumes[minute(START + 300)]["level"] == "drift"
    end = volumes[minute(START + 540)]
    assert end["level"] == level
    assert reason is None or reason in end["reason"]


def test_without_a_reference_one_is_learnt_from_the_file(tmp_path: Path) -> None:
    output = replay(tmp_path, write(tmp_path / "events.jsonl", stream(6_000, 1)))
    assert sum(w["rows"] for w in output.windows if w["segment"] == "all") == 6_000


def test_bad_rows_and_rows_of_the_future_are_counted_not_fatal(tmp_path: Path) -> None:
    rows = stream(500, 1)
    path = Path(write(tmp_path / "events.jsonl", rows))
    bad = ["nonsense", "[]", '{"id": "x"}', json.dumps({**rows[0], "ts": "2100-01-01T00:00:00Z"}), ""]
    path.write_text(path.read_text() + "\n".join(bad) + "\n")
    write(tmp_path / "normal.csv", stream(500, 2))
    output = replay(tmp_path, str(path), reference="normal.csv")
    assert sum(w["rows"] for w in output.windows if w["segment"] == "all") == 500


@pytest.mark.parametrize("nested", [True, False])
def test_a_line_without_its_features_is_no_event_unless_the_file_is_flat(tmp_path: Path, nested: bool) -> None:
    """In a file of the stream's own records a line is what the record would be there; a flat file has no objects."""
    (tmp_path / "monitor.yaml").write_text(
        "models: {m: {topic: t, task: none, fields: {time: ts, features: f.all}, columns: {x: numeric, y: numeric},\n"
        "  reference: {file: normal.jsonl}, pane: 10s, window: {size: 1m}}}\n"
    )
    events: list[Row] = [{"ts": START + i, "f": {"all": {"x": i, "y": 1}}} for i in range(50)]
    lacking: list[Row] = [{"ts": START}, {"ts": START, "f": None}, {"ts": START, "f": {"all": None}}]
    if not nested:
        events, lacking = [{"ts": START + i, "x": i, "y": 1} for i in range(50)], [{"ts": START, "y": None}]
    write(tmp_path / "events.jsonl", lacking + events)
    write(tmp_path / "normal.jsonl", events * 10)
    app.replay(
        str(tmp_path / "monitor.yaml"), "m", str(tmp_path / "events.jsonl"), None, str(tmp_path), logs.Formatter("text")
    )
    [window] = Output(tmp_path).windows
    assert (window["rows"], window["columns"]["x"]["missing"]) == ((50, 0) if nested else (51, 1))


@pytest.mark.parametrize(
    ("arguments", "config", "message"),
    [
        (["--model", "x", "--events", "e.csv"], CONFIG, "models: unknown model 'x'; known: m"),
        (["--model", "m", "--events", "gone.csv"], CONFIG, "gone.csv: "),
        (["--model", "m", "--events", "e.txt"], CONFIG, "e.txt: "),
        (["--model", "m", "--events", "e.csv"], CONFIG.replace("time: ts, feat", "feat"), "fields.time: missing"),
        (["--model", "m", "--events", "e.csv", "--labels", "e.csv"], CONFIG.replace("time: ts, label", "label"),
         "labels.fields.time: missing"),
    ],
)  # fmt: skip
def test_what_cannot_be_replayed_ends_with_2(
    arguments: list[str], config: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("monitor.yaml").write_text(config.replace("REFERENCE", "reference: {first: 10}"))
    write(Path("e.csv"), stream(10, 1))
    Path("e.txt").write_text("")
    assert main(["--log-level", "error", "replay", "monitor.yaml", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_reference_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"monitor\.yaml:9: models\.m\.reference\.file: cannot be read"):
        replay(tmp_path, write(tmp_path / "e.csv", stream(10, 1)), reference="gone.csv")


def test_features_in_a_file_of_their_own_and_events_of_other_models(tmp_path: Path) -> None:
    """A file of predictions of two models, one of features: columns have the rows of theirs."""
    start = 1_760_000_040
    events = [
        {"id": i, "ts": start + i, "model": {"name": ("m", "other")[i % 3 == 0]}, "score": i % 10 / 10, "y": i % 2}
        for i in range(300)
    ]
    features = [{"ts": start + i, "features": {"x": i % 7, "c": "ab"[i % 2]}} for i in range(0, 300, 2)]
    for name, rows in (("events", events), ("features", features)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "monitor.yaml").write_text(
        """
models:
  m:
    topic: predictions
    select: {field: model.name}
    task: binary
    fields: {id: id, time: ts, score: score, label: y}
    features: {topic: features, fields: {time: ts, features: features}}
    reference: {file: events.jsonl, features_file: features.jsonl}
    window: {size: 1m}
    min_rows: 5
"""
    )
    arguments = ["replay", str(tmp_path / "monitor.yaml"), "--model", "m", "--events", str(tmp_path / "events.jsonl")]
    arguments += ["--features", str(tmp_path / "features.jsonl"), "--output", str(tmp_path / "out")]
    assert main(arguments) == 0
    windows = [json.loads(line) for line in (tmp_path / "out" / "windows.jsonl").read_text().splitlines()]
    assert [(w["rows"], w["feature_rows"]) for w in windows if w["segment"] == "all"] == [(40, 30)] * 5
    for w in windows:
        for place, rows in (("columns", w["feature_rows"]), ("predictions", w["rows"])):
            assert set(w[place]) == ({"x", "c"} if place == "columns" else {"score"})
            for of in w[place].values():
                assert sum(of["counts"]) + of["missing"] + of["invalid"] + of["other"] == rows
