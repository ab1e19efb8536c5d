"""Models whose events are payload logs: their fields, what is recognised, replayed and joined without being told."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from connectors.memory import MemoryLabelStore
from detectors.counts import merge
from stream_monitor import app
from stream_monitor.config import Config
from stream_monitor.config.files import read_config
from stream_monitor.config.plain import config_id
from stream_monitor.formats.presets import FIELDS, PRESETS, recognise
from stream_monitor.packing import unpack_counts
from stream_monitor.publications import Publications
from stream_monitor.shell import logs
from stream_monitor.shell.init import Sample, look, render
from stream_monitor.shell.tables import known_tables
from stream_monitor.tap.counting import BlockCounting
from tests.counting.server_logs import CASES, ROWS_IN, SERVER, V2_IN, V2_OUT, WHEN, capture, captured, cloud, model_of
from tests.tap.test_counting import intent
from tests.tap.twin import Record

PRESET_FILE = """\
models:
  m:
    topic: t
    format: {{name: {name}, header: [a, b]}}
    task: {task}
    {more}
"""


def test_fields_need_not_be_written(tmp_path: Path) -> None:
    def fields(name: str, task: str, more: str = "") -> Any:
        (tmp_path / "m.yaml").write_text(PRESET_FILE.format(name=name, task=task, more=more))
        return read_config(str(tmp_path / "m.yaml"), known_tables()).config.models["m"].fields

    assert fields("kserve_v2", "binary") == FIELDS
    assert fields("kserve_v2", "regression") == dataclasses.replace(FIELDS, score="")
    assert fields("kserve_v2", "none") == dataclasses.replace(FIELDS, score="", prediction="")
    more = "fields: {score: outputs.p, id: attributes.x}"
    assert fields("kserve_v2", "binary", more) == dataclasses.replace(
        FIELDS, score="outputs.p", id="attributes.x", prediction=""
    )


REPLAY = """\
models:
  m:
    topic: t
    format: {name: sagemaker, header: [a, b]}
    task: regression
    columns: {a: numeric, b: categorical}
    reference: {file: log.jsonl}
    pane: 10s
    window: {size: 1m}
"""


def test_a_log_is_replayed_as_it_is(tmp_path: Path) -> None:
    """Three events a line, one line that is none; it is its own reference, too."""
    lines = []
    for i in range(300):
        inside = "".join(f"{i}.{k},x\n" for k in range(3))
        message = capture(captured(inside, "CSV", "text/csv"), captured("1\n2\n3", "CSV", "text/csv"))
        message["eventMetadata"] = {"eventId": f"r{i}", "inferenceTime": f"2026-01-01T00:{i // 60:02d}:{i % 60:02d}Z"}
        lines.append(json.dumps(message))
    lines[7] = "{}"
    (tmp_path / "log.jsonl").write_text("\n".join(lines))
    (tmp_path / "monitor.yaml").write_text(REPLAY)
    out, log = tmp_path / "out", str(tmp_path / "log.jsonl")
    app.replay(str(tmp_path / "monitor.yaml"), "m", log, None, str(out), logs.Formatter("text"))
    windows = [json.loads(line) for line in (out / "windows.jsonl").read_text().splitlines()]
    assert [w["rows"] for w in windows if w["segment"] == "all"] == [177, 180, 180, 180, 180]
    assert windows[0]["columns"]["a"]["missing"] == 0
    assert windows[0]["predictions"]["prediction"]["sum"] == 59 * 6


def test_headers_reach_the_decoder_where_they_are_wanted() -> None:
    model = model_of("kserve_v1", "none", fields=dataclasses.replace(FIELDS, prediction="", score=""), pane=10_000)
    config = Config(models={"m": model})
    counting = BlockCounting(config, catalog=Publications(), label_store=MemoryLabelStore())
    heads = (("ce_id", b"r1"), ("ce_time", WHEN.encode()), ("ce_type", f"{SERVER}.request".encode()))
    record = Record(0, json.dumps({"instances": ROWS_IN}).encode(), heads=heads)
    counted = counting.count(intent(config=config_id(config)), ("t", 0), [record])
    assert (counted.dead, sum(unpack_counts(p.counts).rows for p in counted.panes)) == ([], 2)


@pytest.mark.parametrize("format", ["kserve_v1", "kserve_v2", "seldon", "sagemaker", "databricks", "cloudevents"])
def test_init_recognises_it(tmp_path: Path, format: str) -> None:
    if format == "cloudevents":
        message: Any = cloud({"f": {"a": 1.5, "b": "x"}, "y": 1})
    else:
        message = next(
            m for f, _, m, _ in CASES if f == format and (f not in ("kserve_v1", "seldon") or "specversion" in m)
        )
        kind = {"seldon": "io.seldon.serving.inference.request", "kserve_v1": f"{SERVER}.request"}.get(format, "")
        if format == "kserve_v2":
            message = cloud(V2_IN, type=f"{SERVER}.request")
        elif kind:
            message = {**message, "type": kind}
    value = json.dumps(message).encode()
    assert recognise([value]) == format
    (tmp_path / "m.yaml").write_text(render(look("t", "k:9092", Sample(values=[value] * 30))))
    model = read_config(str(tmp_path / "m.yaml"), known_tables()).config.models["t"]
    assert model.format == format
    assert (model.fields.id, model.fields.time) == ("id", "time")


def test_a_preset_that_looks_alike_has_a_sample(tmp_path: Path) -> None:
    """Each is told of by `stream-monitor list formats`, with a message in its docstring."""
    for name, (reads, _) in PRESETS.items():
        assert ">>>" in (reads.__doc__ or ""), name


PAIR = """\
models:
  m:
    topic: kserve
    task: binary
    format: kserve_v2
    select: {header: ce_type, value: org.kubeflow.serving.inference.response}
    features:
      topic: kserve
      format: kserve_v2
      select: {header: ce_type, value: org.kubeflow.serving.inference.request}
    pane: 10s
"""


def test_requests_and_responses_of_one_topic_are_two_streams(tmp_path: Path) -> None:
    """As the manual says: features are counted from the ones, predictions from the others, and nothing is dead."""
    (tmp_path / "m.yaml").write_text(PAIR)
    config = read_config(str(tmp_path / "m.yaml"), known_tables()).config
    counting = BlockCounting(config, catalog=Publications(), label_store=MemoryLabelStore())

    def half(offset: int, kind: str, payload: Any) -> Record:
        heads = (("ce_id", b"r1"), ("ce_time", WHEN.encode()), ("ce_type", f"{SERVER}.{kind}".encode()))
        return Record(offset, json.dumps(payload).encode(), heads=heads)

    records = [half(0, "request", V2_IN), half(1, "response", V2_OUT)]
    counted = counting.count(intent(config=config_id(config)), ("kserve", 0), records)
    assert not counted.dead
    found = merge(unpack_counts(p.counts) for p in counted.panes if p.segment == "all")
    assert found.names == ("f:a", "f:b", "p:prediction", "p:score")
    assert {p.version for p in counted.panes} == {""}
