"""alibi-detect: TabularDrift (Kolmogorov-Smirnov and chi-square, Bonferroni) on windows of 1,000 and of 250 events
against 5,000 of the reference; MMDDrift and LSDDDrift, which look at all columns together, on windows of 1,000 against
1,000; their online forms on each event and the 49 before it, at an expected run of 1,000 events. Computed by PyTorch.

What is re-thresholded: p-values of tables, the distance of offline forms (their p-values come from 100 permutations,
and know nothing below 0.01) and the online forms' statistic in multiples of their own threshold.
"""

import numpy as np
import torch
from alibi_detect.cd import LSDDDrift, LSDDDriftOnline, MMDDrift, MMDDriftOnline, TabularDrift
from protocol import beyond, merged, serve, windows

REFERENCE = 5000
JOINT = 1000  # of the reference for what compares every event with every other
WINDOW = 50  # of online forms
RUN = 1000  # events, the expected run that online forms are made for
ALL = "all columns"


def tabular(size):
    def rule(reference, stream, thresholds):
        scores = []
        names = [*reference.numeric, "score", "label", *reference.categories]
        first = len(reference.numeric) + 1
        seen = {first + 1 + j: np.unique(reference.cat[:, j]).tolist() for j in range(len(reference.categories))}
        before = matrix(reference.sample(REFERENCE))
        detector = TabularDrift(before, categories_per_feature={first: [0, 1], **seen})
        for at, window in windows(stream, size):
            p = detector.predict(matrix(window), drift_type="feature")["data"]["p_val"]
            scores += [(at, names[j], float(v) * len(names)) for j, v in enumerate(p)]
        for threshold in thresholds:
            yield beyond(scores, threshold, above=False)

    return rule


def joint(make):
    """A threshold of 0 stands for alibi-detect's own: p below 0.05."""

    def rule(reference, stream, thresholds):
        draw()
        before, of = scaled(reference.sample(JOINT), reference)
        permutations = 100 if 0 in thresholds else 1
        detector = make(before, backend="pytorch", p_val=0.05, n_permutations=permutations)
        found = []
        for at, window in windows(stream, 1000):
            said = detector.predict(of(window))["data"]
            found.append((at, float(said["distance"]), bool(said["is_drift"])))
        for threshold in thresholds:
            yield merged((at, ALL) for at, far, drift in found if (drift if threshold == 0 else far >= threshold))

    return rule


def online(make):
    def rule(reference, stream, thresholds):
        draw()
        before, of = scaled(reference.sample(JOINT), reference)
        detector = make(before, RUN, WINDOW, backend="pytorch", n_bootstraps=2 * RUN, verbose=False)
        scores = np.zeros(len(stream))
        for i, row in enumerate(of(stream)):
            said = detector.predict(row)["data"]
            scores[i] = said["test_stat"] / said["threshold"]
        for threshold in thresholds:
            yield merged((at, ALL) for at in crossed(scores, threshold))

    return rule


def crossed(scores, threshold):
    """Events at which it alarms, where it forgets all at an alarm and needs a window until it can alarm again."""
    at = WINDOW
    while at <= len(scores):
        beyond = np.flatnonzero(scores[at - 1 :] > threshold)
        if not len(beyond):
            return
        at += int(beyond[0])
        yield at
        at += WINDOW


def scaled(some, reference):
    """Some events as a matrix in standard deviations of the reference, and how others become one."""
    whole = matrix(reference)
    mean, spread = whole.mean(0), np.maximum(whole.std(0), 1e-12)

    def of(table):
        return ((matrix(table) - mean) / spread).astype(np.float32)

    return of(some), of


def matrix(table):
    x = np.column_stack([table.x, table.score, table.label, table.cat]).astype(np.float64)
    return np.where(np.isnan(x), 0.0, x)  # it takes no missing values


def draw():
    np.random.seed(0)
    torch.manual_seed(0)


serve(
    "alibi-detect",
    {
        "tabular": tabular(1000),
        "tabular_250": tabular(250),
        "mmd": joint(MMDDrift),
        "lsdd": joint(LSDDDrift),
        "mmd_online": online(MMDDriftOnline),
        "lsdd_online": online(LSDDDriftOnline),
    },
)
