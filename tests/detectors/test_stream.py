"""How events came: the sketch of repeated ids, durations in logarithmic buckets, counts that add up."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.arrivals import StreamCounts, together_streams, without
from detectors.ids import alone, hash_texts, id_cells
from detectors.layouts import ID_CELLS, ID_LEVELS, LATENCIES, LOG_BUCKETS
from detectors.log_buckets import bucket_edges, log_bucket, log_quantile, quantile_noise
from detectors.stream.duplicate_rate import SAMPLE, duplicate_rate, duplicate_rate_noise
from detectors.stream.event_rate import event_rate_noise
from tests.detectors.build import arrived


def sketch(ids: np.ndarray[tuple[int], np.dtype[np.int64]], seed: int = 0) -> tuple[int, int]:
    """(ids, events) seen alone, of ids given by number."""
    hashes = hash_texts([f"{seed}-{i}" for i in np.unique(ids).tolist()])[np.unique(ids, return_inverse=True)[1]]
    counts, sums = np.zeros((2, ID_LEVELS * ID_CELLS), np.int64)
    cells, marks = id_cells(hashes)
    np.add.at(counts, cells, 1)
    np.add.at(sums, cells, marks)
    return alone(counts, sums)


@pytest.mark.parametrize("rows", [10, 100, 1_000, 10_000, 100_000])
def test_ids_that_never_repeat_are_never_taken_for_duplicates(rows: int) -> None:
    for seed in range(3):
        ids, events = sketch(np.arange(rows), seed)
        assert ids == events
        assert ids >= min(rows * 0.6, SAMPLE * 0.7)


def test_the_share_of_duplicates_is_estimated_without_bias_and_with_the_error_that_is_said() -> None:
    """Each of n ids comes 1 + Poisson(0.1) times: the true share of duplicates is known of each draw."""
    r, errors, share = np.random.default_rng(4), [], 0.1 / 1.1
    for seed in range(60):
        times = 1 + r.poisson(0.1, 4_000)
        ids, events = sketch(np.repeat(np.arange(4_000), times), seed)
        errors.append((1 - ids / events) - (1 - 4_000 / times.sum()))
    said = math.sqrt(share * (1 - share) / SAMPLE)
    assert abs(np.mean(errors)) < 3 * said / math.sqrt(60)
    assert 0.6 * said < np.std(errors) < 1.5 * said


def test_one_id_for_nearly_all_is_seen() -> None:
    assert sketch(np.zeros(1 << 20, np.int64)) == (1, 1 << 20)
    ids, events = sketch(np.concatenate([np.arange(60), np.zeros(700_000, np.int64)]))
    assert events - ids == 700_000


def test_few_ids_are_counted_exactly() -> None:
    window = arrived(20)
    assert duplicate_rate(window, window) == pytest.approx(2 / 20)
    low, high = duplicate_rate_noise(arrived(20_000), 300, 1e-4)
    assert low < 0.1 < high < 0.3


@settings(max_examples=200)
@given(st.floats(0, 1e12))
def test_a_duration_is_in_its_bucket(milliseconds: float) -> None:
    edges = bucket_edges()
    i = int(log_bucket(np.array([milliseconds]))[0])
    assert edges[i] <= milliseconds < edges[i + 1] or i == LOG_BUCKETS - 1 or milliseconds < 0.001
    assert i == 0 or edges[i + 1] <= 1.25 * edges[i]


@given(st.lists(st.floats(0.01, 1e6), min_size=1, max_size=60), st.sampled_from([0.1, 0.5, 0.95, 0.99]))
def test_a_quantile_is_right_within_a_quarter(values: list[float], q: float) -> None:
    counts = np.bincount(log_bucket(np.array(values)), minlength=LOG_BUCKETS)
    true = float(np.quantile(values, q, method="inverted_cdf"))
    assert true / 1.25 <= log_quantile(counts, q) <= true * 1.25


def test_the_noise_of_a_quantile_is_left_as_rarely_as_said() -> None:
    r, p, rows = np.random.default_rng(5), 0.05, 400

    def drawn(n: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.bincount(log_bucket(r.lognormal(3, 1, n)), minlength=LOG_BUCKETS)

    reference = drawn(20_000)
    low, high = quantile_noise(reference, 0.95, rows, p)
    outside = np.mean([not low <= log_quantile(drawn(rows), 0.95) <= high for _ in range(300)])
    assert outside <= 2 * p


def test_windows_add_up_and_come_off_again() -> None:
    parts = [arrived(40), arrived(60), arrived(80)]
    total = together_streams(parts)
    assert (total.rows, total.late) == (180, 5 + 8 + 11)
    rest = without(total, parts[2])
    first = together_streams(parts[:2])
    assert (rest.rows, rest.late, rest.counts) == (first.rows, first.late, first.counts)
    assert total.part(LATENCIES, LOG_BUCKETS).sum() == 180


def test_the_rate_of_events_has_the_noise_of_a_poisson_count() -> None:
    reference = StreamCounts(rows=1_000_000, seconds=1_000.0)
    low, high = event_rate_noise(reference, 10_000, 0.025)
    assert (low / 1_000, high / 1_000) == pytest.approx((0.9803, 1.0197), abs=2e-4)
