"""What `check` warns of: a configuration that can be read, and that hardly says what was meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from detectors import DETECTORS, METRICS
from stream_monitor.config import Config, Fields, Model, MonitorSpec, Retrain, WindowSpec
from stream_monitor.config.cautions import cautions
from stream_monitor.config.files import read_config
from stream_monitor.config.known import Known
from tests.shell.example import ENVIRON, EXAMPLE, read


def test_a_secret_in_the_file_earns_a_caution(tmp_path: Path) -> None:
    text = EXAMPLE.replace("${WEBHOOK_SECRET}", "whsec_b3Blbg==", 1).replace("redis://", "redis://:open@")
    found = [str(c) for c in read(tmp_path, text).cautions]
    assert [c.split(":")[1:3] for c in found] == [["7", " store"], ["42", " sinks[2].webhook.secret"]]
    assert "whsec" not in "".join(found)


@pytest.mark.parametrize(
    ("metric", "threshold", "warning", "message"),
    [
        ("accuracy", 90.0, None, "m.threshold: always crossed: accuracy lies between 0 and 1, and is always below 90"),
        ("ks", 1.5, None, "m.threshold: never crossed: ks lies between 0 and 1, and is never above 1.5"),
        ("missing_rate", 1.0, None, "m.threshold: never crossed: missing_rate lies between 0 and 1, and is never"),
        ("accuracy", {"below": 0.0}, None, "m.threshold: never crossed: accuracy lies between 0 and 1, and is never b"),
        ("psi", -1.0, None, "m.threshold: always crossed: psi lies between 0 and inf, and is always above -1"),
        ("psi", 0.2, 0.3, "m.warning: never said: a value that is above 0.3 is above the threshold 0.2 too"),
        ("accuracy", 0.9, 0.8, "m.warning: never said: a value that is below 0.8 is below the threshold 0.9 too"),
        ("accuracy", 0.9, 0.95, ""),
        ("psi", 0.0, None, ""),
        ("mean_shift", {"below": -1e9}, None, ""),
        ("accuracy", None, None, ""),
    ],
)
def test_a_bound_that_nothing_or_all_crosses_earns_a_caution(
    metric: str, threshold: Any, warning: float | None, message: str
) -> None:
    spec = MonitorSpec(metric=metric, threshold=threshold, warning=warning)
    config = Config(models={"x": Model(topic=("t",), monitors=(spec,))})
    said = cautions(config, Known(metrics=METRICS), ())
    found = [f"{path}: {text}".replace("models.x.monitors[0]", "m") for path, text in said]
    assert [f[: len(message)] for f in found] == ([message] if message else [])


def test_a_caution_has_its_line_and_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "monitor.yaml").write_text(EXAMPLE.replace("{below: 0.9}", "{below: 90}"))
    (tmp_path / "keys.txt").write_text("k1 admin\n")
    found = read_config(str(tmp_path / "monitor.yaml"), Known(metrics=METRICS, detectors=DETECTORS), ENVIRON)
    assert [str(c).partition("/monitor.yaml:")[2].partition(": accuracy")[0] for c in found.cautions] == [
        "34: models.fraud.monitors[1].threshold: always crossed"
    ]


def test_what_nothing_can_ever_come_of_earns_a_caution() -> None:
    watched = (MonitorSpec(metric="psi", threshold=0.2),)
    retrain = Retrain(on=("drift", "fairness"))
    models = {
        "x": Model(topic=("t",), monitors=watched, retrain=retrain, min_rows=1_000, window=WindowSpec(rows=100)),
        "y": Model(topic=("t",), retrain=retrain),
    }
    written = {f"models.{name}.retrain.on[{i}]" for name in models for i in (0, 1)}
    found = [f"{path}: {text}" for path, text in cautions(Config(models=models), Known(metrics=METRICS), written)]
    assert [f.partition(" is ")[0] for f in found] == [
        "models.x.retrain.on[1]: no monitor",
        "models.x.window.rows: windows are of 100 rows, and min_rows",
        "models.y.retrain.on[1]: no monitor",
    ]
    assert not list(cautions(Config(models={"y": models["y"]}), Known(metrics=METRICS), ()))


@pytest.mark.parametrize(
    ("on", "max_age", "found"),
    [
        (("quality",), 0, ["m.retrain.on: nothing but quality"]),
        (("quality",), 1, []),  # its age asks
        (("quality", "performance"), 0, []),
    ],
)
def test_what_blocks_a_retraining_and_is_all_that_asks_for_one_earns_a_caution(
    on: tuple[str, ...], max_age: int, found: list[str]
) -> None:
    model = Model(topic=("t",), task="regression", retrain=Retrain(on=on, max_age=max_age), fields=Fields(label="y"))
    said = cautions(Config(models={"m": model}), Known(metrics=METRICS), ())
    assert [f"{path}: {text}".partition(",")[0].removeprefix("models.") for path, text in said] == found
