"""The sweeps over the range and over directors on a lattice: small rows, and what they rest on."""

from __future__ import annotations

import crossover
import lebwohl_lasher
import numpy as np
import pytest

from mfvae.systems import CurieWeiss, LebwohlLasher

SMALL = {"n_training": 200, "n_validation": 64, "n_test": 128, "n_samples": 64, "n_nodes": 4}


def test_temperatures_of_the_two_ends() -> None:
    system, temperature = crossover.system_and_temperature(256, 16, 1.2)
    same, at = system.same_law(temperature)
    assert isinstance(same, CurieWeiss)
    assert at == pytest.approx(1.2)
    assert crossover.system_and_temperature(256, 1, 1.0)[1] == pytest.approx(0.567296, abs=1e-6)
    # The mean field is approached from below.
    assert np.all(np.diff([*crossover.CRITICAL.values(), 1.0]) > 0)


def test_universal_ratio_finds_the_critical_temperature() -> None:
    """At reach 1, known; with z = 8 it is 1/8K, K = 0.19019268 (Nightingale & Blöte 1982)."""
    for reach, known in ((1, crossover.CRITICAL[1]), (2**0.5, 1 / (8 * 0.19019268))):
        found = crossover.critical_temperature(reach, 24, 1.005 * known, 30)
        tolerance = 6 * found.stderr + 0.002 * known  # what 24 rows are from infinitely many
        assert abs(found - known) < tolerance
        assert abs(found - 1.03 * known) > tolerance


def test_a_small_row_of_the_range_is_repeatable() -> None:
    for reach in (2, 4):
        first, second = (
            crossover.compute_row(16, reach, 1.0, 2, 0, "linear", n_epochs=1, **SMALL)
            for _ in range(2)
        )
        for row in (first, second):
            for key in ("training_seconds", "processor_seconds"):
                del row[key]
        assert first == second
        assert first["gap"][0] > 0
        assert ("floor" in first) == (reach == 4)
        assert first["total_correlation"][0] > first["dual_total_correlation"][0] > 0
    system, temperature = crossover.system_and_temperature(16, 4, 1.0)
    same, at = system.same_law(temperature)
    for key in ("total_correlation", "dual_total_correlation"):
        value, error = first[key]
        assert abs(value - getattr(same, key)(at)) < 6 * error
        assert abs(1.5 * value - getattr(same, key)(at)) > error


def test_a_small_row_of_directors_has_a_partner_of_equal_order() -> None:
    rows = {
        name: lebwohl_lasher.compute_row(3, name, 1.0, 0, n_epochs=1, **SMALL)
        for name in ("lebwohl-lasher", "maier-saupe")
    }
    partner, at = lebwohl_lasher.system_and_temperature(3, "maier-saupe", 1.0, 128)
    x = lebwohl_lasher.lattice_sample(3, 1.0, 128).reshape(-1, 27, 3)
    square = np.mean(np.sum(LebwohlLasher(3).tensor(x) ** 2, axis=(1, 2)))
    assert partner.mean_square_tensor(at) == pytest.approx(square, abs=1e-8)
    for row in rows.values():
        assert row["total_correlation"][0] > 0
        assert row["gap"][0] > 0
    assert rows["maier-saupe"]["own_temperature"] == pytest.approx(at, abs=1e-6)
    assert rows["lebwohl-lasher"]["own_temperature"] == 1.0
