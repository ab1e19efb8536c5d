"""NannyML on chunks of 1,000 events: univariate distances, reconstruction error, realised performance, data quality.

Its threshold is a number of standard deviations of the reference's chunks (3 by default), here of each metric.
"""

import warnings

import nannyml as nml
import numpy as np
from protocol import beyond, serve

CHUNK = 1000


def calculated(make):
    def rule(reference, stream, thresholds):
        calculator = make(reference)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            calculator.fit(reference.frame())
            result = calculator.calculate(stream.frame())
        before, after = (result.filter(period=p).to_df() for p in ("reference", "analysis"))
        ends = after[next(c for c in after.columns if c[-1] == "end_index")]
        values = [c for c in after.columns if c[-1] == "value"]
        scores = []
        for column in values:
            own = before[column].to_numpy(float)
            spread = max(float(own.std()), 1e-12)
            off = np.abs(after[column].to_numpy(float) - own.mean()) / spread
            scores += [(int(e) + 1, column[0], float(s)) for e, s in zip(ends, off, strict=True)]
        for threshold in thresholds:
            yield beyond(scores, threshold, above=True)

    return rule


def features(reference):
    return [*reference.numeric, *reference.categories]


def univariate(reference):
    columns = [*features(reference), "score", "prediction"]
    return nml.UnivariateDriftCalculator(
        column_names=columns, treat_as_categorical=["prediction"], chunk_size=CHUNK,
        continuous_methods=["jensen_shannon"], categorical_methods=["jensen_shannon"],
    )  # fmt: skip


def reconstruction(reference):
    return nml.DataReconstructionDriftCalculator(column_names=features(reference), chunk_size=CHUNK)


def performance(reference):
    return nml.PerformanceCalculator(
        metrics=["roc_auc", "accuracy"], y_true="label", y_pred="prediction", y_pred_proba="score",
        problem_type="classification_binary", chunk_size=CHUNK,
    )  # fmt: skip


def quality(reference):
    return nml.MissingValuesCalculator(column_names=features(reference), chunk_size=CHUNK)


serve(
    "nannyml",
    {
        "univariate": calculated(univariate),
        "reconstruction": calculated(reconstruction),
        "performance": calculated(performance),
        "quality": calculated(quality),
    },
)
