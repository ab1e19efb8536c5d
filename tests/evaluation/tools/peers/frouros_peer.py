"""Frouros: the Kolmogorov-Smirnov test and PSI of every number on windows of 1,000 events
against 5,000 of the reference, ECDD-WT and STEPD on single errors.

Its tests give p-values and leave the threshold to the user: 0.001 as in its examples, 0.2 for PSI as is usual.
"""

import numpy as np
from frouros.detectors.concept_drift import ECDDWT, STEPD, ECDDWTConfig, STEPDConfig
from frouros.detectors.data_drift import PSI, KSTest
from protocol import beyond, merged, serve, windows

REFERENCE = 5000


def samples(make, size, above):
    def rule(reference, stream, thresholds):
        scores = []
        fitted = {}
        for name, values in columns(reference.sample(REFERENCE)):
            fitted[name] = make()
            fitted[name].fit(X=values)
        for at, window in windows(stream, size):
            for name, values in columns(window):
                found, _ = fitted[name].compare(X=values)
                scores.append((at, name, float(found.distance if above else found.p_value)))
        for threshold in thresholds:
            yield beyond(scores, threshold, above)

    return rule


def columns(table):
    for j, name in enumerate(table.numeric):
        yield name, table.x[~np.isnan(table.x[:, j]), j]
    yield "score", table.score


def errors(make):
    def rule(reference, stream, thresholds):
        for threshold in thresholds:
            detector = make(threshold)
            found = []
            for i, value in enumerate(np.concatenate([reference.error, stream.error]).tolist()):
                detector.update(value=value)
                if detector.drift:
                    if i >= len(reference):
                        found.append((i - len(reference) + 1, "label"))
                    detector.reset()
            yield merged(found)

    return rule


def ecdd(run):
    return ECDDWT(config=ECDDWTConfig(average_run_length=int(run)))


def stepd(alpha):
    config = STEPDConfig()
    config.alpha_d = alpha
    config.alpha_w = max(alpha, config.alpha_w)
    return STEPD(config=config)


serve(
    "frouros",
    {
        "ks": samples(KSTest, 1000, above=False),
        "psi": samples(PSI, 1000, above=True),
        "ecdd": errors(ecdd),
        "stepd": errors(stepd),
    },
)
