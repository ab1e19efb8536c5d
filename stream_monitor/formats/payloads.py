"""What inference servers are asked and what they answer -> features, predictions and scores, one of each an event.

The protocols, told by their keys:

    asked:    instances | inputs, a list of tensors (v2) or plain | dataframe_split | dataframe_records
              | data: {names, ndarray or tensor} | text_input | an object or a list of them
    answered: predictions | outputs, a list of tensors (v2) | data: {names, ndarray or tensor} | text_output
              | an object, a list, or one value

Features without names are called as the format's `header` says, else f0, f1, ... (of a tensor: its name, _0, _1, ...).
In an answer a number or a text is the prediction; a list of numbers is a score, a probability a class, and the
prediction is the place of the greatest; of an object it is the value of one of PREDICTIONS, the score that of one of
SCORES.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, Final

from stream_monitor.errors import InvalidRecord

Names = Sequence[str]
Row = dict[str, Any]

PREDICTIONS: Final = (
    "prediction", "predict", "predicted_label", "predicted_class", "predicted_value", "label", "class", "output",
    "text_output", "y",
)  # fmt: skip
SCORES: Final = ("score", "predict_proba", "probability", "probabilities", "proba", "scores", "predicted_probability")
ASKED: Final = ("instances", "inputs", "dataframe_split", "dataframe_records", "text_input")
ANSWERED: Final = ("predictions", "outputs", "text_output")


def is_asked(payload: Any) -> bool:
    """Whether it is a request's payload by its keys."""
    return isinstance(payload, dict) and any(key in payload for key in ASKED)


def is_answered(payload: Any) -> bool:
    """Whether it is a response's payload by its keys."""
    return isinstance(payload, dict) and any(key in payload for key in ANSWERED)


def asked(payload: Any, names: Names = ()) -> list[Row]:
    """The features of each event in a request; InvalidRecord when they cannot be told.

    >>> asked({"instances": [[1, 2], [3, 4]]}, ["a", "b"])
    [{'a': 1, 'b': 2}, {'a': 3, 'b': 4}]
    >>> asked({"inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3, 4]}]})
    [{'x_0': 1, 'x_1': 2}, {'x_0': 3, 'x_1': 4}]
    >>> asked({"dataframe_split": {"columns": ["a", "b"], "data": [[1, "x"]]}})
    [{'a': 1, 'b': 'x'}]
    """
    if isinstance(payload, list):
        return _rows(payload, names)
    if not isinstance(payload, dict):
        return [_row(payload, names)]
    for key in ("instances", "dataframe_records"):
        if key in payload:
            return _rows(_list(payload[key], key), names)
    if "dataframe_split" in payload:
        return _split(payload["dataframe_split"], names)
    if "inputs" in payload:
        inputs = payload["inputs"]
        if _is_tensors(inputs):
            return _tensors(inputs, names)
        _with_data(inputs, "inputs")
        return _columns(inputs, names) if isinstance(inputs, dict) else _rows(_list(inputs, "inputs"), names)
    if "text_input" in payload:
        beside = {k: v for k, v in payload.items() if k not in ("text_input", "parameters", "id")}
        return [{"text_input": payload["text_input"], **beside, **_object(payload.get("parameters"))}]
    if isinstance(payload.get("data"), dict):
        columns, cells = _array(payload["data"])
        return _rows(cells, columns or names)
    return [payload]


def answered(payload: Any) -> list[Row]:
    """What each event in a response was answered: `outputs` by name, `prediction` and `score`.

    >>> answered({"predictions": [1, 0]})
    [{'outputs': {}, 'prediction': 1, 'score': None}, {'outputs': {}, 'prediction': 0, 'score': None}]
    >>> answered({"predictions": [[0.25, 0.75]]})
    [{'outputs': {}, 'prediction': 1, 'score': [0.25, 0.75]}]
    """
    if not isinstance(payload, dict):
        return [_answer(v) for v in payload] if isinstance(payload, list) else [_answer(payload)]
    if "predictions" in payload:
        found = payload["predictions"]
        return [_answer(v) for v in found] if isinstance(found, list) else [_answer(found)]
    if _is_tensors(payload.get("outputs")):
        return [_answer(row) for row in _tensors(payload["outputs"], (), whole=True)]
    _with_data(payload.get("outputs"), "outputs")
    if isinstance(payload.get("data"), dict):
        columns, cells = _array(payload["data"])
        return [_answer(dict(zip(columns, v, strict=False)), v) if columns and isinstance(v, list) else _answer(v)
                for v in cells]  # fmt: skip
    return [_answer(payload)]


def _answer(value: Any, cells: Any = None) -> Row:
    row: Row = {"outputs": {}, "prediction": None, "score": None}
    if isinstance(value, dict):
        row["outputs"] = value
        row["prediction"] = next((value[k] for k in PREDICTIONS if k in value), None)
        row["score"] = next((value[k] for k in SCORES if k in value), None)
        if row["prediction"] is None and row["score"] is None:
            value = cells if cells is not None else next(iter(value.values()), None) if len(value) == 1 else None
        elif row["prediction"] is None:
            row["prediction"] = _greatest(row["score"])
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, list):
        row["score"], row["prediction"] = value, _greatest(value)
    elif not isinstance(value, dict):
        row["prediction"] = value
    for key in ("prediction", "score"):
        if isinstance(row[key], list) and len(row[key]) == 1:
            row[key] = row[key][0]
    return row


def _greatest(scores: Any) -> int | None:
    """The place of the greatest of some numbers, the first of equal ones."""
    if not isinstance(scores, list) or not scores or any(type(v) not in (int, float) for v in scores):
        return None
    return max(range(len(scores)), key=scores.__getitem__)


def _rows(values: Sequence[Any], names: Names) -> list[Row]:
    return [_row(v, names) for v in values]


def _row(value: Any, names: Names) -> Row:
    """One event's features: an object as it is, or one that holds them as a list, or values in their order."""
    if isinstance(value, dict):
        inner = value.get("features")
        return _row(inner, names) if len(value) == 1 and isinstance(inner, list) else value
    cells = value if isinstance(value, list) else [value]
    return dict(zip(_names(len(cells), names, "f"), cells, strict=True))


def _names(count: int, names: Names, prefix: str) -> list[str]:
    if names and len(names) != count:
        raise InvalidRecord("wrong_type", f"{count} features, and {len(names)} names")
    return list(names) or [f"{prefix}{i}" for i in range(count)]


def _split(of: Any, names: Names) -> list[Row]:
    data = _list(_object(of).get("data"), "data")
    if _object(of).get("columns") is None:
        return _rows(data, names)
    columns = _list(of["columns"], "columns")
    if any(not isinstance(row, list) or len(row) != len(columns) for row in data):
        raise InvalidRecord("wrong_type", f"dataframe_split: not every row has {len(columns)} cells")
    return [dict(zip(map(str, columns), row, strict=True)) for row in data]


def _columns(of: dict[str, Any], names: Names) -> list[Row]:
    """An object of lists, a list a feature; or of single values, one event."""
    lists = {k: v for k, v in of.items() if isinstance(v, list)}
    if not lists:
        return [of]
    sizes = {len(v) for v in lists.values()}
    if len(lists) < len(of) or len(sizes) > 1:
        raise InvalidRecord("wrong_type", f"inputs: lists of {sorted(sizes)} values")
    cells = {k: [v[0] if isinstance(v, list) and len(v) == 1 else v for v in of] for k, of in lists.items()}
    return [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]


def _array(data: dict[str, Any]) -> tuple[list[str], list[Any]]:
    """The names and rows of an array as Seldon writes it."""
    names = [str(n) for n in _list(data.get("names") or [], "names")]
    if "ndarray" in data:
        rows = _list(data["ndarray"], "ndarray")
        if all(isinstance(v, list | dict) for v in rows):
            return names, rows
        return names, [rows] if len(rows) == len(names) > 1 else [[v] for v in rows]  # one event, or one feature
    tensor = _object(data.get("tensor"))
    values = _parts({"name": "tensor", "shape": tensor.get("shape"), "data": tensor.get("values")})
    return names, [v if isinstance(v, list) else [v] for v in values]


def _is_tensors(of: Any) -> bool:
    return (
        isinstance(of, list)
        and bool(of)
        and all(isinstance(t, dict) and {"name", "shape", "data"} <= set(t) for t in of)
    )


def _with_data(of: Any, what: str) -> None:
    """InvalidRecord for tensors whose values went beside the message: as bytes behind it, or in shared memory."""
    for tensor in of if isinstance(of, list) else ():
        if isinstance(tensor, dict) and {"name", "shape", "datatype"} <= set(tensor) and "data" not in tensor:
            raise InvalidRecord("wrong_type", f"{what}: tensor {tensor['name']} has no data in the message")


def _tensors(tensors: Sequence[dict[str, Any]], names: Names, *, whole: bool = False) -> list[Row]:
    """Tensors whose first dimension is the event. `whole`: what an event has of one stays a list."""
    parts = {str(t["name"]): _parts(t) for t in tensors}
    sizes = {len(p) for p in parts.values()}
    if len(sizes) != 1:
        raise InvalidRecord("wrong_type", f"tensors of {sorted(sizes)} events")
    events: list[Row] = []
    for i in range(sizes.pop()):
        event: Row = {}
        for name, part in parts.items():
            if whole or not isinstance(part[i], list):
                event[name] = part[i]
            else:
                called = names if len(tensors) == 1 else ()
                event |= zip(_names(len(part[i]), called, f"{name}_"), part[i], strict=True)
        events.append(event)
    return events


def _parts(tensor: dict[str, Any]) -> list[Any]:
    """What each event has of a tensor: one value, or a list."""
    shape, data = _list(tensor["shape"], "shape"), _list(tensor["data"], "data")
    if any(type(n) is not int or n < 0 for n in shape):
        raise InvalidRecord("wrong_type", f"{tensor['name']}: shape {str(shape)[:60]}")
    while data and isinstance(data[0], list):
        if any(not isinstance(v, list) for v in data):
            break
        data = [v for row in data for v in row]
    events = shape[0] if shape else 1
    if prod(shape) != len(data):
        raise InvalidRecord("wrong_type", f"{tensor['name']}: {len(data)} values of shape {str(shape)[:60]}")
    each = len(data) // events if events else 0
    return list(data) if each == 1 else [data[i * each : (i + 1) * each] for i in range(events if each else 0)]


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidRecord("wrong_type", f"{what}: not a list")
    return value


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
