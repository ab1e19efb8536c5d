"""A model in production, as the service sees it: predictions in one topic, labels some time later in another."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import threadpoolctl

from deploy.demo.models import DemoModel, Predictions


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One event on its way to Kafka."""

    topic: str
    key: str
    value: bytes


def _one_core() -> threadpoolctl.threadpool_limits:
    """Training leaves the other cores to the service. OpenMP keeps this limit for the thread that sets it alone."""
    return threadpoolctl.threadpool_limits(1)


class Traffic:
    """The events of one model in time order; a new version takes over from the next prediction on."""

    def __init__(self, model: DemoModel) -> None:
        self.model = model
        self.reference, self.played = model.load()
        self.version = 1
        self._lock = threading.Lock()
        with _one_core():
            past, future = model.first(self.reference, self.played)
        self.reference_predictions = past
        self._columns = self._plain(future)
        self._versions = [1] * len(self.played)
        self._ids = self.played["id"].tolist()
        self._features = self.played[list(model.features)].to_dict("records")
        self._times = self.played["ts"].tolist()
        self._actual = [int(a) for a in self.played["actual"]]
        self._said = 0  # predictions published so far
        self._told = 0  # labels published so far
        self.start: pd.Timestamp = self._times[0].floor("1D")
        self.end: pd.Timestamp = self._times[-1] + model.label_delay

    @staticmethod
    def _plain(predictions: Predictions) -> tuple[list[Any], list[float] | None]:
        score = None if predictions.score is None else predictions.score.tolist()
        return predictions.prediction.tolist(), score

    def until(self, now: pd.Timestamp) -> list[Message]:
        """Every event that is due and has not been published yet."""
        with self._lock:
            return self._predictions(now) + self._labels(now)

    def _predictions(self, now: pd.Timestamp) -> list[Message]:
        out = []
        prediction, score = self._columns
        while self._said < len(self._times) and self._times[self._said] <= now:
            i = self._said
            event: dict[str, Any] = {
                "request_id": self._ids[i],
                "ts": self._times[i].isoformat().replace("+00:00", "Z"),
                "model": {"name": self.model.name, "version": str(self._versions[i])},
                "features": self._features[i],
                "prediction": prediction[i],
            }
            if score is not None:
                event["score"] = score[i]
            topic = f"demo.{self.model.name}.predictions"
            out.append(Message(topic=topic, key=self._ids[i], value=json.dumps(event).encode()))
            self._said += 1
        return out

    def _labels(self, now: pd.Timestamp) -> list[Message]:
        out = []
        while self._told < self._said and self._times[self._told] + self.model.label_delay <= now:
            i = self._told
            told = self._times[i] + self.model.label_delay
            event = {
                "request_id": self._ids[i],
                "ts": told.isoformat().replace("+00:00", "Z"),
                "actual": self._actual[i],
            }
            topic = f"demo.{self.model.name}.labels"
            out.append(Message(topic=topic, key=self._ids[i], value=json.dumps(event).encode()))
            self._told += 1
        return out

    @property
    def published(self) -> int:
        return self._said

    def train(self, start: pd.Timestamp, end: pd.Timestamp, reference_file: Path) -> str:
        """Train a new version on the labelled events of [start, end); write its reference; returns its name.

        Only labels that have been published are used: a pipeline knows no more than that.
        """
        known = self.played.iloc[: self._told]
        rows = known[(known["ts"] >= start) & (known["ts"] < end)]
        if len(rows) < 500:
            raise ValueError(f"{len(rows)} labelled events between {start} and {end}: too few to train on")
        with _one_core():
            inside, future = self.model.retrain(rows, self.played)
        self.write_reference(rows, inside, reference_file)
        with self._lock:
            self.version += 1
            now = self._said
            prediction, score = self._plain(future)
            self._columns[0][now:] = prediction[now:]
            if score is not None and self._columns[1] is not None:
                self._columns[1][now:] = score[now:]
            self._versions[now:] = [self.version] * (len(self._versions) - now)
            return str(self.version)

    def write_reference(self, rows: pd.DataFrame, predictions: Predictions, file: Path) -> None:
        """A flat file of the rows with what the model says of them and what came true."""
        table = rows[["ts", *self.model.features]].assign(
            prediction=predictions.prediction, actual=rows["actual"].to_numpy()
        )
        if predictions.score is not None:
            table = table.assign(score=predictions.score)
        table.to_parquet(file, index=False)
