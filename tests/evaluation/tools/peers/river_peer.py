"""River: ADWIN, Page-Hinkley and KSWIN on every column, DDM and its family on the error, one event after the other.

They see the reference first, whose alarms are not counted. KSWIN sees the means of 100 events: on single events it
needs ten minutes a stream.
"""

import numpy as np
from protocol import merged, serve, singles
from river import drift

PANE = 100


def columns(make):
    def rule(reference, stream, thresholds):
        pairs = [
            (name, r[~np.isnan(r)].tolist(), s, np.flatnonzero(~np.isnan(s)))
            for name, r, s in singles(reference, stream)
        ]
        for threshold in thresholds:
            yield merged(
                (at, name) for name, r, s, some in pairs for at in fired(make(threshold), r, s[some].tolist(), some)
            )

    return rule


def panes(make):
    def rule(reference, stream, thresholds):
        pairs = [(name, means(r), means(s)) for name, r, s in singles(reference, stream)]
        for threshold in thresholds:
            ends = (np.arange(len(stream) // PANE) + 1) * PANE - 1
            yield merged((at, name) for name, r, s in pairs for at in fired(make(threshold), r, s, ends))

    return rule


def errors(make):
    def rule(reference, stream, thresholds):
        before, after = reference.error.tolist(), stream.error.tolist()
        for threshold in thresholds:
            yield merged((at, "label") for at in fired(make(threshold), before, after, range(len(after))))

    return rule


def means(values):
    whole = values[: len(values) // PANE * PANE].reshape(-1, PANE)
    return np.nan_to_num(np.nanmean(whole, axis=1)).tolist()


def fired(detector, before, after, at):
    """Events of the stream seen at each alarm."""
    for value in before:
        detector.update(value)
    found = []
    for value, event in zip(after, at, strict=True):
        detector.update(value)
        if detector.drift_detected:
            found.append(int(event) + 1)
    return found


serve(
    "river",
    {
        "adwin": columns(lambda t: drift.ADWIN(delta=t)),
        "page_hinkley": columns(lambda t: drift.PageHinkley(threshold=t)),
        "kswin": panes(lambda t: drift.KSWIN(alpha=t, seed=0)),
        "ddm": errors(lambda t: drift.binary.DDM(drift_threshold=t)),
        "eddm": errors(lambda t: drift.binary.EDDM(beta=t, alpha=max(0.95, t))),
        "hddm_a": errors(lambda t: drift.binary.HDDMA(drift_confidence=t, warning_confidence=max(0.005, t))),
        "hddm_w": errors(lambda t: drift.binary.HDDMW(drift_confidence=t, warning_confidence=max(0.005, t))),
    },
)
