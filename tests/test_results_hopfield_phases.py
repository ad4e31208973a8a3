"""The sweep over numbers of samples, `book/results/hopfield_phases.py`, at small sizes."""

from __future__ import annotations

import hopfield_phases
import numpy as np
import pytest

from mfvae.systems import Hopfield

SPANS = ("covariance", "pseudo-likelihood", "linear decoder")


def test_points_are_as_many_as_promised() -> None:
    points = {row[:4] for row in hopfield_phases.ROWS}
    of_size = {n: sum(point[0] == n for point in points) for n in (256, 1024)}
    assert of_size[256] >= 60
    assert of_size[1024] >= 8
    assert len(hopfield_phases.ROWS) == 10 * sum(of_size.values())
    draws = [row[4] for row in hopfield_phases.ROWS if row[0] == 256]
    assert draws == sorted(draws)  # a stopped sweep has some draws of every point
    assert hopfield_phases.doubled(125, 2_000) == [125, 250, 500, 1_000, 2_000]


@pytest.mark.slow
def test_bits_come_out_with_many_samples_and_not_with_few() -> None:
    few, many = (
        hopfield_phases.compute_row(64, 3, 1.2, n_samples, 0) for n_samples in (100, 4_000)
    )
    for span in SPANS:
        assert many[span]["polished"] == [1.0, 3]
        assert many[span]["is_reliable"]
        assert few[span]["unmixed"][0] < 0.9
    assert many["estimated_n_patterns"] == 3
    assert many["eigenvalues"][0] > 1.5 * many["eigenvalues"][1]


@pytest.mark.slow
def test_a_row_is_repeatable_and_its_patterns_are_its_own(monkeypatch) -> None:
    key = 64, 2, 1.2, 500, 1
    first, second = (hopfield_phases.compute_row(*key, n_steps=50) for _ in range(2))
    other = Hopfield.random(64, 2, seed=99).patterns
    patterns, x, _ = hopfield_phases.draw_samples("hopfield", *key)
    assert not np.array_equal(patterns, other)
    # negative control: bits are right because they agree with the patterns of this very draw
    monkeypatch.setattr(hopfield_phases, "draw_samples", lambda *a: (other, x, 0.0))
    wrong = hopfield_phases.compute_row(*key, n_steps=50)
    for span in SPANS:
        for row in (first, second, wrong):
            del row[span]["cpu_seconds"]
        assert first[span]["polished"][0] > wrong[span]["polished"][0] + 0.2
    assert first == second
