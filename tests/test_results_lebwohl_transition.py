"""Where the heat capacity of directors is largest: a law of two levels, and what was published."""

from __future__ import annotations

import lebwohl_transition
import numpy as np
import pytest

import mfvae


def peak_of_two_levels(step: float, log_degeneracy: float) -> tuple[float, float]:
    """Temperature and height of the peak of the heat capacity of one site."""
    t = np.linspace(1.1, 1.16, 6001)
    upper = 1 / (1 + np.exp(step / t - log_degeneracy))
    heat = step**2 * upper * (1 - upper) / t**2
    return float(t[heat.argmax()]), float(heat.max())


def drawn(step: float, log_degeneracy: float, at: float) -> np.ndarray:
    """Energies in the proportions of the law at one temperature."""
    n = 200_000
    upper = round(n / (1 + np.exp(step / at - log_degeneracy)))
    return step * (np.arange(n) < upper)


def test_reweighted_peak_of_two_levels() -> None:
    step, log_degeneracy = 20.0, 20 / 1.132
    exact = peak_of_two_levels(step, log_degeneracy)
    for at, right in ((lebwohl_transition.TEMPERATURE, True), (1.139, False)):
        energy = drawn(step, log_degeneracy, at)
        found = lebwohl_transition.at_the_peak(energy, energy / step, 1)
        close = abs(found[0] - exact[0]) < 2e-4 and abs(found[1] / exact[1] - 1) < 1e-3
        assert close == right  # samples of a temperature one percent off are seen
        assert found[2] == pytest.approx(step * found[3])


def test_a_small_row_is_repeatable() -> None:
    first, second = (lebwohl_transition.compute_row(3, 0, n_chains=4, n_records=8) for _ in "ab")
    for row in (first, second):
        assert row.pop("processor_seconds") >= 0
    assert first == second
    assert -3 < first["energy"][0] < 0 < first["order"][0] < 1


def test_kept_peaks_move_to_the_published_transition() -> None:
    rows = mfvae.load_results("lebwohl_transition")["rows"]
    peaks = {
        length: np.array([r["peak_temperature"] for r in rows if r["length"] == length])
        for length in (6, 8, 10, 12)
    }
    for found in peaks.values():  # errors of the rows are those between rows
        scatter = found[:, 0].std(ddof=1) / np.sqrt(np.mean(found[:, 1] ** 2))
        assert len(found) == 5
        assert 0.02 < scatter < 2.9  # both tails of chi on four degrees of freedom, 1e-6
    means = [found[:, 0].mean() for found in peaks.values()]
    assert np.all(np.diff(means) < 0)
    assert 1.1225 < means[-1] < 1.1232 + 0.006
