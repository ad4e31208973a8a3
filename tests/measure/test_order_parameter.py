"""Moments of an order parameter, and the place of a peak, against what is known of both."""

from __future__ import annotations

import numpy as np
import pytest

from mfvae.measure import (
    binder_cumulant,
    magnetization,
    order_parameter_moments,
    peak_location,
    susceptibility,
)
from mfvae.systems import CurieWeiss, Estimate


def test_moments_are_those_of_spins():
    x = CurieWeiss(32).sample(0.8, 3000, seed=0)
    m = np.abs(x.mean(axis=1))
    moments = order_parameter_moments(m, 32, 0.8)
    for found, known in (
        (moments.mean, magnetization(x)),
        (moments.susceptibility, susceptibility(x, 0.8)),
        (moments.binder_cumulant, binder_cumulant(x)),
    ):
        assert float(found) == pytest.approx(float(known), rel=1e-9)
        assert found.stderr == pytest.approx(known.stderr, rel=1e-6)


def test_standard_errors_are_the_spread_over_repetitions():
    draws = 0.3 + 0.1 * np.random.default_rng(1).standard_normal((400, 640))
    all_moments = [order_parameter_moments(row, 10, 1.0) for row in draws]
    for name, true in (("mean", 0.3), ("susceptibility", 0.1)):
        values = np.array([float(getattr(m, name)) for m in all_moments])
        claimed = np.mean([getattr(m, name).stderr for m in all_moments])
        # The spread of 400 repetitions is known to 3.5 %.
        assert claimed == pytest.approx(values.std(), rel=0.2)
        assert abs(values.mean() - true) < 5.5 * claimed / 20 + 1 / 640


@pytest.mark.parametrize("degree", [2, 3])
def test_peak_and_its_error(degree):
    x = np.linspace(0.21, 0.23, 9)
    rng = np.random.default_rng(2)
    error = 0.1 * (1 + np.arange(9) % 2)
    curve = 15 - ((x - 0.2213) / 0.006) ** 2
    found = [
        peak_location(
            x,
            [Estimate(v, stderr=e) for v, e in zip(curve + error * noise, error, strict=True)],
            degree=degree,
        )
        for noise in rng.standard_normal((400, 9))
    ]
    z = np.array([(p - 0.2213) / p.stderr for p in found])
    assert abs(z.mean()) < 5.5 / 20
    assert z.std() == pytest.approx(1.0, abs=0.2)
    # The control: a peak two standard errors away is told from this one by the average.
    wrong = np.array([(p - 0.2213 - 2 * p.stderr) / p.stderr for p in found])
    assert abs(wrong.mean()) > 5.5 / 20


def test_refuses_bad_input():
    line = [Estimate(v, stderr=0.1) for v in (1.0, 2.0, 3.0)]
    with pytest.raises(ValueError, match="no maximum"):
        peak_location([0.0, 1.0, 2.0], line)
    with pytest.raises(ValueError, match="at least 3"):
        peak_location([0.0, 1.0, 1.0], line)
    with pytest.raises(ValueError, match="positive standard error"):
        peak_location([0.0, 1.0, 2.0], [Estimate(v) for v in (1.0, 2.0, 1.0)])
    with pytest.raises(ValueError, match="at least 2"):
        peak_location([0.0, 1.0, 2.0], line, degree=1)
    with pytest.raises(ValueError, match="rows"):
        order_parameter_moments([0.3], 10, 1.0)
    with pytest.raises(ValueError, match="n_sites"):
        order_parameter_moments([0.3, 0.2], 0, 1.0)
    assert np.isnan(order_parameter_moments([0.0, 0.0], 10, 1.0).binder_cumulant)
