"""Three-phase Ising, Z3 phases and digits: the laws they promise, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from mfvae.data import three_phase_ising
from mfvae.systems import Ising2D

#: Standard errors a right sampler may be off: false alarms below 1e-7 a comparison.
SIGMAS = 5.5


@pytest.fixture(scope="module")
def phases():
    return three_phase_ising(8, 4200, seed=3)


def test_three_phases_in_equal_parts_and_random_order(phases) -> None:
    assert phases.x.dtype == np.int8
    assert set(np.unique(phases.x)) == {-1, 1}
    assert np.bincount(phases.label).tolist() == [1400] * 3
    assert np.ptp([np.mean(phases.label[:2100] == k) for k in range(3)]) < 0.1
    for name, low, high in zip(phases.names, (1.5, 1.5, 3.0), (2.1, 2.1, 6.0), strict=True):
        temperature = phases.temperature[phases.label == phases.names.index(name)]
        assert (temperature.min(), temperature.max()) == (low, high)
        assert len(np.unique(temperature)) == 7


def _energy_deviation(phases, label: int, coupling: float, shift: float = 0.0) -> float:
    """Mean energy per phase minus the exact one at the same temperatures, in standard errors."""
    system = Ising2D(8, coupling)
    rows = phases.label == label
    exact = {t: system.internal_energy(t) for t in np.unique(phases.temperature[rows])}
    residual = system.energy(phases.x[rows]) - np.array(
        [float(exact[t]) * (1 + shift) for t in phases.temperature[rows]]
    )
    return abs(residual.mean()) / (residual.std() / np.sqrt(len(residual)))


@pytest.mark.parametrize(("label", "coupling"), [(0, 1.0), (1, -1.0)])
def test_ordered_phases_have_the_exact_energy(phases, label: int, coupling: float) -> None:
    assert _energy_deviation(phases, label, coupling) < SIGMAS
    assert _energy_deviation(phases, label, coupling, shift=0.03) > SIGMAS


def test_order_parameters_take_both_signs_and_ordered_phases_are_not_each_others_image(
    phases,
) -> None:
    system = Ising2D(8)
    m, staggered = system.order_parameter(phases.x), system.staggered_order_parameter(phases.x)
    for label, own, other in ((0, m, staggered), (1, staggered, m)):
        rows = phases.label == label
        up = np.mean(own[rows] > 0)
        assert abs(up - 0.5) < SIGMAS * 0.5 / np.sqrt(rows.sum())
        assert np.abs(own[rows]).mean() > 0.8
        assert np.abs(other[rows]).mean() < 0.1
    disordered = phases.label == 2
    # Half of the paramagnet has either coupling: neither order parameter is preferred.
    difference = m[disordered] ** 2 - staggered[disordered] ** 2
    assert abs(difference.mean()) < SIGMAS * difference.std() / np.sqrt(len(difference))
    chessboard = np.where(np.indices((8, 8)).sum(axis=0).ravel() % 2, -1, 1)
    images = {row.tobytes() for row in (phases.x[phases.label == 0] * chessboard).astype(np.int8)}
    found = [row.tobytes() in images for row in phases.x[(phases.label == 1) & (np.abs(m) > 0.02)]]
    assert np.mean(found) < 0.5


def test_three_phases_follow_their_seed() -> None:
    one, same, other = (three_phase_ising(4, 30, seed=seed).x for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    assert len(three_phase_ising(4, 3, seed=0).x) == 3


@pytest.mark.parametrize(
    ("length", "n_samples", "error"),
    [(7, 30, ValueError), (2, 30, ValueError), (8, 2, ValueError), (8.0, 30, TypeError)],
)
def test_bad_three_phases_are_refused(length, n_samples, error: type) -> None:
    with pytest.raises(error, match="must"):
        three_phase_ising(length, n_samples, seed=0)
