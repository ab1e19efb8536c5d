"""The configuration of the contract, with tables of its own for what can be chosen; and how a test reads a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectors.base import Metric
from stream_monitor.config.files import ConfigFile, Known, read_config
from stream_monitor.errors import ConfigError

EXAMPLE = """\
kafka:
  brokers: localhost:9092            # or embedded
  prefix: stream-monitor.            # of the service's own topics
  group: stream-monitor
  start: earliest
  options: {security.protocol: SASL_SSL, sasl.password: "${KAFKA_PASSWORD}"}
store: redis://localhost:6379/0      # or memory
api: {host: 127.0.0.1, port: 8000, keys: "${file:keys.txt}", insecure: false}
time: {out_of_orderness: 5s, idle_after: 30s, allowed_lateness: 10m, max_future: 1h}
models:
  fraud:
    topic: fraud.predictions         # one or a list
    format: json
    task: binary
    positive: 1
    fields:
      id: request_id
      time: ts
      version: model.version
      features: features
      prediction: prediction
      score: score
      latency_ms: latency_ms
    labels: {topic: fraud.labels, fields: {id: request_id, time: ts, label: is_fraud}, ttl: 7d}
    columns: {amount: numeric, country: categorical, note: text}
    segments: [country]
    reference: {file: train.parquet}
    pane: 10s
    window: {size: 5m, slide: 5m}
    min_rows: 100
    false_alarms: 1 per 30d
    monitors:
      - {metric: psi, columns: [amount, country], threshold: 0.2, severity: warning}
      - {metric: accuracy, threshold: {below: 0.9}}
      - {metric: error_rate, detector: page_hinkley, delta: 0.005}
      - {metric: missing_rate, columns: all}
    alerts: {for: 2, resolve_after: 3, labels: {team: risk}, runbook: "https://wiki/run"}
    retrain: {on: [drift, performance], cooldown: 24h, max_age: 30d, min_labels: 1000, approval: false}
sinks:
  - alertmanager: {url: "http://localhost:9093"}
  - slack: {url: "${SLACK_WEBHOOK}"}
  - webhook: {url: "https://example.org/hook", secret: "${WEBHOOK_SECRET}"}
triggers:
  - webhook: {url: "https://example.org/train", secret: "${WEBHOOK_SECRET}"}
"""
ENVIRON = {
    "KAFKA_PASSWORD": "hunter2",
    "SLACK_WEBHOOK": "https://hooks.example.org/T0/B1",
    "WEBHOOK_SECRET": "whsec_aGk=",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PageHinkley:
    delta: float = 0.005
    burn_in: int = 30

    def __post_init__(self) -> None:
        if self.burn_in < 0:
            raise ValueError("burn_in must not be negative")


def webhook(*, url: str, secret: str = "", timeout: float = 10.0) -> None:
    """Options of a sink are the parameters of what makes it."""
    if not url.startswith("http"):
        raise ValueError("url: must be http://HOST or https://HOST")


def _metric(name: str, needs: Any, worse: Any = "above", **more: Any) -> Metric:
    return Metric(
        name=name,
        group="performance" if needs == "outcome" else "drift",
        needs=needs,
        kinds=more.pop("kinds", ()),
        worse=worse,
        function=float,
        **more,
    )


KNOWN = Known(
    metrics={
        m.name: m
        for m in (
            _metric("psi", "column", kinds=("numeric", "categorical")),
            _metric("ks", "column", kinds=("numeric",)),
            _metric("missing_rate", "column", kinds=("numeric", "categorical")),
            _metric("accuracy", "outcome", "below", tasks=("binary", "multiclass")),
            _metric("error_rate", "outcome", tasks=("binary", "multiclass")),
            _metric("mae", "outcome", tasks=("regression",)),
            _metric("row_volume", "window", "both"),
            _metric("embedding_drift", "family", kinds=("embedding",)),
            _metric("text_drift", "family", kinds=("text",)),
        )
    },
    detectors={"page_hinkley": PageHinkley},
    formats={"json": (), "csv": ("header", "delimiter")},
    sinks={"alertmanager": webhook, "slack": webhook, "webhook": webhook},
    triggers={"webhook": webhook},
)


def read(folder: Path, text: str, environ: dict[str, str] = ENVIRON, keys: str = "k1 admin\n") -> ConfigFile:
    (folder / "keys.txt").write_text(keys)
    file = folder / "monitor.yaml"
    file.write_text(text)
    return read_config(str(file), KNOWN, environ)


def mistakes(folder: Path, text: str, environ: dict[str, str] = ENVIRON) -> list[str]:
    """The messages without the folder; [] when the file is right."""
    try:
        read(folder, text, environ)
    except ConfigError as error:
        return [str(m).removeprefix(f"{folder}/") for m in error.mistakes]
    return []
