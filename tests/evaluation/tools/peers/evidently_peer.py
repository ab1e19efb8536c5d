"""Evidently: the drift of every column in reports on windows of 1,000 events against 5,000 of the reference.

For samples of that size its defaults are normed Wasserstein and Jensen-Shannon distance, drift from 0.1 on; `column`
alarms on any column, `dataset`, its own summary, on half of them. The reference is sampled for speed.
"""

import numpy as np
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset
from protocol import beyond, serve, windows

REFERENCE = 5000
_kept = {}


def scored(reference, stream):
    key = (reference.x.tobytes()[:4096], stream.x.tobytes()[:4096], len(stream))
    if _kept.get("key") != key:
        _kept.update(key=key, scores=list(_scored(reference, stream)))
    return _kept["scores"]


def _scored(reference, stream):
    definition = DataDefinition(
        numerical_columns=[*reference.numeric, "score"],
        categorical_columns=[*reference.categories, "label", "prediction"],
    )
    before = Dataset.from_pandas(reference.sample(REFERENCE).frame(), data_definition=definition)
    for at, window in windows(stream, 1000):
        after = Dataset.from_pandas(window.frame(), data_definition=definition)
        for metric in Report([DataDriftPreset()]).run(after, before).dict()["metrics"]:
            if "column" in metric["config"]:
                yield at, metric["config"]["column"], float(metric["value"])


def column(reference, stream, thresholds):
    scores = scored(reference, stream)
    for threshold in thresholds:
        yield beyond(scores, threshold, above=True)


def dataset(reference, stream, thresholds):
    at = {}
    for event, name, score in scored(reference, stream):
        at.setdefault(event, []).append((name, score >= 0.1))
    shares = [(event, "all", float(np.mean([d for _, d in found]))) for event, found in at.items()]
    for threshold in thresholds:
        yield beyond(shares, threshold, above=True)


serve("evidently", {"column": column, "dataset": dataset})
