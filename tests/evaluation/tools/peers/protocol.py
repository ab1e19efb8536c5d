"""The peers' side: streams from questions, answers a line each (see `__init__.py`). Runs in their environments."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass

import numpy as np


@dataclass
class Table:
    """Events as columns: numbers (events, columns), codes of categories, score, prediction, label."""

    x: np.ndarray
    cat: np.ndarray
    score: np.ndarray
    prediction: np.ndarray
    label: np.ndarray
    numeric: list
    categories: dict

    def __len__(self):
        return len(self.score)

    @property
    def error(self):
        return (self.prediction != self.label).astype(int)

    def part(self, begin, end):
        cut = (a[begin:end] for a in (self.x, self.cat, self.score, self.prediction, self.label))
        return Table(*cut, self.numeric, self.categories)

    def sample(self, count):
        """So many of its events, drawn by a fixed seed, in order."""
        some = np.sort(np.random.default_rng(0).choice(len(self), count, replace=False))
        columns = (a[some] for a in (self.x, self.cat, self.score, self.prediction, self.label))
        return Table(*columns, self.numeric, self.categories)

    def frame(self):
        import pandas as pd

        columns = {name: self.x[:, j] for j, name in enumerate(self.numeric)}
        for j, (name, words) in enumerate(self.categories.items()):
            columns[name] = np.array([*words, None], dtype=object)[self.cat[:, j]]
        columns |= {"score": self.score, "prediction": self.prediction.astype(int), "label": self.label.astype(int)}
        return pd.DataFrame(columns)


def singles(reference, stream):
    """(column, values of reference and stream in order, in standard deviations of the reference) of every number, the
    score, and the codes of categories; missing values are nan."""
    for j, name in enumerate(reference.numeric):
        yield name, *_standard(reference.x[:, j], stream.x[:, j])
    yield "score", *_standard(reference.score, stream.score)
    for j, name in enumerate(reference.categories):
        yield name, *_standard(reference.cat[:, j].astype(float), stream.cat[:, j].astype(float))


def _standard(reference, stream):
    mean, spread = np.nanmean(reference), np.nanstd(reference)
    return (reference - mean) / spread, (stream - mean) / spread


def windows(stream, size):
    """(events seen, window) one after the other."""
    for end in range(size, len(stream) + 1, size):
        yield end, stream.part(end - size, end)


def merged(found):
    """(event, column) in any order, as alarms: [event, columns] in order."""
    at = {}
    for event, column in found:
        at.setdefault(int(event), []).append(column)
    return [[event, sorted(set(columns))] for event, columns in sorted(at.items())]


def beyond(scores, threshold, above):
    """Alarms of windows: `scores` are (event, column, score), an alarm where it is beyond the threshold."""
    return merged((e, c) for e, c, s in scores if (s >= threshold if above else s <= threshold))


def serve(tool, rules):
    """Answer until stdin ends. `rules`: name -> (reference, stream, thresholds) -> alarms at each threshold."""
    out, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no answer
    for text in sys.stdin:
        asked = json.loads(text)
        try:
            with np.load(asked["stream"]) as of:
                names = json.loads(str(of["names"]))
                reference, stream = (
                    Table(*(of[f"{p}_{k}"] for k in ("x", "cat", "score", "prediction", "label")), names["numeric"],
                          names["categories"])
                    for p in "rs"
                )  # fmt: skip
            for rule, thresholds in asked["rules"].items():
                begin = time.process_time()
                for threshold, alarms in zip(thresholds, rules[rule](reference, stream, thresholds), strict=True):
                    seconds, begin = time.process_time() - begin, time.process_time()
                    answer = {"rule": rule, "threshold": threshold, "alarms": alarms, "seconds": round(seconds, 3)}
                    out.write(json.dumps(answer) + "\n")
            out.write('{"done": true}\n')
        except Exception as error:  # said to whoever asked, who stops
            out.write(json.dumps({"error": f"{tool}: {type(error).__name__}: {error}"}) + "\n")
        out.flush()
