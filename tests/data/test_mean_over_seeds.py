"""Means over the rows of a sweep."""

from __future__ import annotations

import numpy as np
import pytest

from mfvae.data import mean_over_seeds


def rows(values: np.ndarray, error: float) -> list[dict]:
    return [{"seed": k, "d": 2, "gap": [float(v), error]} for k, v in enumerate(values)]


def test_error_is_that_of_the_mean_and_of_what_rows_have_in_common() -> None:
    """Scatter 0.3 between seeds, and an error 0.2 of the test set that all seeds share."""
    rng = np.random.default_rng(0)
    scores = {0.2: [], 0.0: []}  # by the error that the rows state; nothing is the control
    for _ in range(2_000):
        values = 0.2 * rng.standard_normal() + 0.3 * rng.standard_normal(8)
        for error, found in scores.items():
            mean = mean_over_seeds(rows(values, error), "gap")
            found.append(float(mean) / mean.stderr)
    assert abs(np.std(scores[0.2]) - 1) < 0.1  # 5 standard errors are 0.08
    assert np.std(scores[0.0]) > 2  # negative control: what the rows share was left out


def test_only_rows_that_agree_count() -> None:
    kept = rows(np.array([1.0, 2.0]), 0.0)
    other = [{"seed": 0, "d": 3, "gap": [99.0, 0.0]}]
    found = mean_over_seeds(kept + other, "gap", d=2)
    assert float(found) == 1.5
    assert found.stderr == pytest.approx(0.5)
    assert mean_over_seeds(other, "gap").stderr == np.inf
    with pytest.raises(ValueError, match="some with"):
        mean_over_seeds(kept, "gap", d=4)
    with pytest.raises(ValueError, match="each with 'rate'"):
        mean_over_seeds(kept, "rate")
    with pytest.raises(TypeError, match="dicts"):
        mean_over_seeds([1.0], "gap")
