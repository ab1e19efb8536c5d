"""Recorded tables: what is taken of them, and that nothing changes in a shuffled one but what is put in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import deploy.demo
from tests.evaluation.recorded import AS_IT_CAME, TABLES, draw, tables

DEMO = Path(deploy.demo.__file__).parent / "data"


def test_a_table_as_it_came_has_its_own_rows_scores_and_labels() -> None:
    reference, stream = draw(DEMO, "car_loan", AS_IT_CAME, 0, "medium")
    frame = pd.read_parquet(DEMO / "car_loan.parquet")
    assert (len(reference), len(stream), stream.truth["change"]) == (50_000, 50_000, 25_000)
    score = np.concatenate([reference.score, stream.score])
    assert score == pytest.approx(frame["y_pred_proba"].to_numpy(float))
    assert np.array_equal(stream.label, frame["repaid"].to_numpy()[50_000:].astype(int))
    assert stream.x[:, stream.numeric.index("car_value")] == pytest.approx(frame["car_value"].to_numpy()[50_000:])
    assert {"id", "timestamp", "y_pred", "y_pred_proba", "repaid"}.isdisjoint([*stream.numeric, *stream.cat])
    assert sorted(stream.names["size_of_downpayment"]) == sorted(frame["size_of_downpayment"].unique())


def test_a_score_is_fitted_to_the_reference_where_there_is_none(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, known = rng.normal(size=20_000), np.arange(20_000) < 5_000
    label = np.where(known, x > 0, x < 0).astype(float)  # what is learnt is wrong afterwards
    name = "lobo_sine_0123_abrupto"
    pd.DataFrame({"X1": x, "X2": rng.choice(["a", "b"], 20_000), "class": label}).to_parquet(
        tmp_path / f"{name}.parquet"
    )
    reference, stream = draw(tmp_path, name, AS_IT_CAME, 0, "medium")
    right = [float(np.mean(s.prediction == s.label)) for s in (reference, stream)]
    assert right[0] > 0.9
    assert right[1] < 0.1
    assert (len(reference), len(stream), stream.truth["change"]) == (5_000, 15_000, 5_000)


def test_what_is_put_in_a_shuffled_table_is_all_that_changes() -> None:
    quiet, moved = (draw(DEMO, "bike", scenario, 3, "medium") for scenario in ("none", "missing"))
    change = moved[1].truth["change"]
    for part in range(2):
        assert np.array_equal(quiet[part].label, moved[part].label)
        assert set(np.unique(quiet[part].label)) == {0, 1}
        before = slice(0, change) if part else slice(None)
        assert np.array_equal(quiet[part].x[before], moved[part].x[before], equal_nan=True)
    assert not np.isnan(quiet[1].x).any()
    holes = np.isnan(moved[1].x[change:]).mean(axis=0)
    assert {moved[1].numeric[j] for j in np.flatnonzero(holes)} == set(moved[1].truth["features"])
    assert holes.max() == pytest.approx(0.08, abs=0.02)


def test_a_folder_says_what_it_has(tmp_path: Path) -> None:
    assert tables(DEMO, AS_IT_CAME) == ["car_loan"]
    assert tables(DEMO, "abrupt") == ["car_loan", "bike"]
    with pytest.raises(ValueError, match=f"{tmp_path} has none of the tables {next(iter(TABLES))}.parquet"):
        tables(tmp_path, "abrupt")
