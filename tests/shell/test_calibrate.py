"""`stream-monitor calibrate`: what it says, for people and for machines, and of what it cannot do."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from stream_monitor.__main__ import main

CONFIG = """\
kafka: {brokers: embedded}
store: memory
models:
  fraud:
    topic: t
    fields: {time: ts, features: [amount, country]}
    reference: {file: reference.csv}
    pane: 1s
    window: {size: 1m}
    false_alarms: 1 per 7d
    monitors: [{metric: scan}, {metric: missing_rate}, {metric: psi, columns: [amount], threshold: 0.2}]
  plain:
    topic: v
    fields: {time: ts, features: [amount, country]}
    reference: {file: reference.csv}
    pane: 1s
    window: {size: 30s}
    false_alarms: 1 per 7d
    monitors: [{metric: jensen_shannon}, {metric: mean_shift, columns: [amount], detector: page_hinkley}]
  new: {topic: u, fields: {features: [amount]}}
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    rng = np.random.default_rng(0)
    amounts, countries = rng.normal(size=6000), rng.choice(["de", "fr"], 6000)
    rows = [f"{1_700_000_000 + i / 50},{amounts[i]:.4f},{countries[i]}" for i in range(6000)]
    (tmp_path / "reference.csv").write_text("\n".join(["ts,amount,country", *rows]) + "\n")
    (tmp_path / "monitor.yaml").write_text(CONFIG)
    return str(tmp_path / "monitor.yaml")


def test_what_it_says_adds_up(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", config, "--json", "--shifts", "0.5,2", "--model", "fraud"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    groups = [line for line in lines if "group" in line]
    assert {line["group"] for line in groups} >= {"location", "shape", "bins", "tails", "categories", "quality"}
    assert {line["panes"] for line in groups} == {4, 8, 16}  # 120 panes: at most a quarter
    assert sum(line["false_alarms_per_30d"] for line in groups) <= 30 / 7
    by_size = {line["panes"]: line["smallest"] for line in groups if line["group"] == "location"}
    assert by_size[4] > by_size[8] > by_size[16]
    delays = next(line["expected_delay_seconds"] for line in lines if "expected_delay_seconds" in line)
    assert delays["2.0"] <= 4
    others = [(line["metric"], line["column"]) for line in lines if "metric" in line]
    assert others == [("missing_rate", "amount"), ("missing_rate", "country"), ("psi", "amount")]
    assert lines[-1]["above"] == 0.2
    assert lines[-1]["why"] == "as configured"


def test_without_a_scan_it_says_what_thresholds_were_learnt(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", config, "--json", "--model", "plain"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    said = {(line["monitor"], line["column"]): line for line in lines}
    assert set(said) == {("jensen_shannon", c) for c in ("amount", "country")} | {("mean_shift:page_hinkley", "amount")}
    learnt = [line for line in lines if line["metric"] == "jensen_shannon"]
    assert {line["segment"] for line in learnt} == {"all"}
    assert all(0 < line["above"] < 1 and line["below"] is None for line in learnt)
    assert all("learnt from" in line["why"] for line in learnt)
    # Of 30 / 7 a third is the detector's.
    assert sum(line["false_alarms_per_30d"] for line in learnt) == pytest.approx(20 / 7)
    assert said["mean_shift:page_hinkley", "amount"]["why"].startswith("judged by page_hinkley; one false alarm in ")


def test_for_people_it_is_a_table(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", config, "--model", "fraud"]) == 0
    out = capsys.readouterr().out
    assert "fraud\tall\tlocation" in out
    assert "a shift of one column's mean is seen: 0.1 sd" in out
    assert "fraud\tall\tpsi\tamount\tabove 0.2\tas configured" in out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model", "frau"], "models: unknown model 'frau'; known: fraud new plain"),
        (["--model", "new"], "models.new.reference: no reference file to calibrate with"),
    ],
)
def test_what_it_cannot_calibrate_is_said(
    config: str, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert main(["calibrate", config, *options]) == 2
    assert said in capsys.readouterr().err
