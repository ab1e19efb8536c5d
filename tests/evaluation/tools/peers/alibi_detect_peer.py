"""alibi-detect: TabularDrift (Kolmogorov-Smirnov and chi-square, Bonferroni) on windows of 1,000 and of 250 events,
against 5,000 of the reference.

Its other multivariate and online detectors (MMD, LSDD, their online forms) need PyTorch or TensorFlow: not run.
"""

import numpy as np
from alibi_detect.cd import TabularDrift
from protocol import beyond, serve, windows

REFERENCE = 5000


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


def matrix(table):
    x = np.column_stack([table.x, table.score, table.label, table.cat]).astype(np.float64)
    return np.where(np.isnan(x), 0.0, x)  # it takes no missing values


serve("alibi-detect", {"tabular": tabular(1000), "tabular_250": tabular(250)})
