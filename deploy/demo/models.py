"""The two models of the demo: what they predict from, how they are trained, what they say.

`car-loan` is a binary classifier whose first version is the one recorded in the data; `bike` is a Poisson regression of
hourly hires. A table has the columns `ts` (UTC), `id`, the features, and `actual`, sorted by `ts`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import PoissonRegressor
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, SplineTransformer

DATA = Path(__file__).with_name("data")
WEEK = pd.Timedelta("7D")
FOLDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """What a version says of some rows: `score` is P(positive), None for a regression."""

    prediction: NDArray[Any]
    score: NDArray[np.float64] | None


class DemoModel(Protocol):
    """One model of the demo."""

    @property
    def name(self) -> str:
        """As in the configuration."""

    @property
    def features(self) -> tuple[str, ...]:
        """Columns it predicts from."""

    @property
    def label_delay(self) -> pd.Timedelta:
        """From a prediction to its label."""

    def load(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """(reference rows, rows to play)."""

    def first(self, reference: pd.DataFrame, played: pd.DataFrame) -> tuple[Predictions, Predictions]:
        """What version 1 says of both; of the reference out of fold, as a model is judged on rows it has not seen."""

    def retrain(self, rows: pd.DataFrame, rest: pd.DataFrame) -> tuple[Predictions, Predictions]:
        """Train on `rows`; what the new version says of them out of fold, and of the `rest`."""


def _weeks(table: pd.DataFrame) -> NDArray[Any]:
    """Folds are whole weeks: neighbouring hours are too alike to be told apart by chance."""
    weeks: NDArray[Any] = ((table["ts"] - pd.Timestamp("1970-01-01", tz="UTC")) // WEEK).to_numpy()
    return weeks


class CarLoan:
    """Will the loan be repaid? Something happens to `car_value` in the 22nd week that is played."""

    name = "car-loan"
    features = (
        "car_value",
        "salary_range",
        "debt_to_income_ratio",
        "loan_length",
        "repaid_loan_on_prev_car",
        "size_of_downpayment",
        "driver_tenure",
    )
    label_delay = pd.Timedelta("3D")

    def load(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        table = pd.read_parquet(DATA / "car_loan.parquet")
        table["ts"] = pd.to_datetime(table["timestamp"], utc=True)
        table["actual"] = table["repaid"].astype(int)
        table["id"] = "loan-" + table["id"].astype(str)
        return table[:50_000], table[50_000:]

    def first(self, reference: pd.DataFrame, played: pd.DataFrame) -> tuple[Predictions, Predictions]:
        def recorded(rows: pd.DataFrame) -> Predictions:
            return Predictions(
                prediction=rows["y_pred"].to_numpy(int), score=rows["y_pred_proba"].to_numpy(float).round(6)
            )

        return recorded(reference), recorded(played)

    def retrain(self, rows: pd.DataFrame, rest: pd.DataFrame) -> tuple[Predictions, Predictions]:
        def inputs(table: pd.DataFrame) -> pd.DataFrame:
            x = table[list(self.features)].copy()
            for name in ("salary_range", "size_of_downpayment"):
                x[name] = pd.Categorical(x[name], categories=sorted(rows[name].unique()))
            return x

        model = HistGradientBoostingClassifier(
            categorical_features="from_dtype", max_iter=60, learning_rate=0.08, min_samples_leaf=40, random_state=0
        )
        x, y = inputs(rows), rows["actual"]
        inside = cross_val_predict(model, x, y, groups=_weeks(rows), cv=GroupKFold(FOLDS), method="predict_proba")
        outside = model.fit(x, y).predict_proba(inputs(rest))

        def said(p: NDArray[np.float64]) -> Predictions:
            return Predictions(prediction=(p[:, 1] > 0.5).astype(int), score=p[:, 1].round(6))

        return said(inside), said(outside)


class Bike:
    """How many bicycles will be hired this hour? The whole of 2011 is normal; in 2012 the service grows."""

    name = "bike"
    features = ("hr", "weekday", "workingday", "holiday", "weathersit", "temp", "hum", "windspeed")
    label_delay = pd.Timedelta("1h")

    def load(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        table = pd.read_parquet(DATA / "bike.parquet")
        table["ts"] = pd.to_datetime(table["dteday"], utc=True) + pd.to_timedelta(table["hr"], unit="h")
        table["actual"] = table["cnt"].astype(int)
        table["id"] = "hour-" + table["ts"].dt.strftime("%Y%m%d%H")
        for name in ("temp", "hum", "windspeed"):
            table[name] = table[name].astype(float).round(4)
        return table[table["yr"] == 0], table[table["yr"] == 1]

    def first(self, reference: pd.DataFrame, played: pd.DataFrame) -> tuple[Predictions, Predictions]:
        return self.retrain(reference, played)

    def retrain(self, rows: pd.DataFrame, rest: pd.DataFrame) -> tuple[Predictions, Predictions]:
        def inputs(table: pd.DataFrame) -> pd.DataFrame:
            return table.assign(hour_of=table["hr"] + 24 * table["workingday"])

        model = make_pipeline(
            make_column_transformer(
                (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["hour_of", "weathersit"]),
                (SplineTransformer(n_knots=5, include_bias=False), ["temp", "hum", "windspeed"]),
            ),
            PoissonRegressor(alpha=1e-3, solver="newton-cholesky"),
        )
        x, y = inputs(rows), rows["actual"]
        inside = cross_val_predict(model, x, y, groups=_weeks(rows), cv=GroupKFold(FOLDS))
        outside = model.fit(x, y).predict(inputs(rest)) if len(rest) else np.zeros(0)
        return (
            Predictions(prediction=inside.round(2), score=None),
            Predictions(prediction=outside.round(2), score=None),
        )


MODELS: tuple[DemoModel, ...] = (CarLoan(), Bike())
