"""The sweep over beta: its data, measures and rows are right, and a row can be repeated.

Three phases, axis alignment and isometry are those of the chapter, from whose cells they come.
"""

from __future__ import annotations

import importlib
import json
from itertools import combinations
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from _seeds import tolerance

from mfvae.systems import Ising2D

TINY = {"length": 8, "n_training": 300, "n_test": 90, "n_generated": 50, "n_epochs": 2}


@pytest.fixture(scope="module")
def sweep() -> ModuleType:
    return importlib.import_module("beta_sweep")


#: Standard errors a right sampler may be off: false alarms below 1e-7 a comparison.
SIGMAS = 5.5


@pytest.fixture(scope="module")
def phases(sweep) -> SimpleNamespace:
    return sweep.three_phase_ising(8, 4200, seed=3)


def test_three_phases_in_equal_parts_and_random_order(sweep, phases) -> None:
    assert phases.x.dtype == np.int8
    assert set(np.unique(phases.x)) == {-1, 1}
    assert np.bincount(phases.label).tolist() == [1400] * 3
    assert np.ptp([np.mean(phases.label[:2100] == k) for k in range(3)]) < 0.1
    ordered, disordered = sweep.ORDERED_TEMPERATURES, sweep.DISORDERED_TEMPERATURES
    for label, temperatures in enumerate((ordered, ordered, disordered)):
        found = np.unique(phases.temperature[phases.label == label])
        np.testing.assert_array_equal(found, temperatures)


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


def test_three_phases_follow_their_seed(sweep) -> None:
    one, same, other = (sweep.three_phase_ising(4, 31, seed=seed).x for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    assert one.shape == (31, 16)


def rotation(degrees: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def planted(degrees: float, n_samples: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """A magnet of either sign on one axis, noise of a hundredth on the other, then rotated."""
    generator = np.random.default_rng(0)
    m = generator.choice([-1, 1], n_samples) * generator.uniform(0.8, 1.0, n_samples)
    z = np.stack([2 * m, 0.02 * generator.standard_normal(n_samples)], axis=1)
    return z @ rotation(degrees).T, m


def test_an_aligned_order_parameter_is_found_alone_on_its_latent(sweep) -> None:
    correlations, r_squared, gap = sweep.axis_alignment(*planted(0))
    assert correlations[0] == pytest.approx(1, abs=1e-12)
    assert abs(correlations[1]) < 5.5 / np.sqrt(4000)
    assert r_squared == pytest.approx(1, abs=1e-12)
    assert gap > 0.9


def test_the_gap_sees_a_rotation_that_correlations_and_r_squared_do_not(sweep) -> None:
    correlations, r_squared, gap = sweep.axis_alignment(*planted(45))
    assert np.abs(correlations).min() > 0.99
    assert r_squared == pytest.approx(1, abs=1e-12)
    assert abs(gap) < 0.05
    # Whatever a shear does to the axes, a linear function still finds the order parameter.
    z, m = planted(20)
    _, r_squared, _ = sweep.axis_alignment(z @ [[1.0, 3.0], [0.5, -1.0]], m)
    assert r_squared == pytest.approx(1, abs=1e-9)


def test_the_gap_against_the_exact_information(sweep) -> None:
    # Correlated Gaussians: -ln(1 - rho^2)/2; sixteen bins lose some of it.
    generator, rho = np.random.default_rng(1), 0.9
    a, noise, unrelated = generator.standard_normal((3, 200_000))
    z = np.stack([unrelated, rho * a + np.sqrt(1 - rho**2) * noise], axis=1)
    exact = -np.log(1 - rho**2) / 2
    _, _, gap = sweep.axis_alignment(z, a)
    assert 0.9 * exact < gap * np.log(16) < exact
    # A constant latent carries nothing: no bias either.
    correlations, _, alone = sweep.axis_alignment(z * [0, 1] + [7, 0], a)
    assert correlations[0] == 0
    assert (alone - gap) * np.log(16) == pytest.approx(15**2 / 400_000, rel=0.5)


def test_what_finite_samples_add_to_a_distance_is_subtracted(sweep) -> None:
    generator = np.random.default_rng(2)
    label = np.repeat([0, 1, 2], [20, 30, 50])
    far = np.eye(3)[label] * 1e3  # distances in data space all √2 · 1000, without noise
    shift = np.array([0.0, 0.0, 0.3])[label, None]
    latents = 5.0 + generator.standard_normal((400, 100, 40)) + shift
    latents[:, label == 2] += 1.0  # so that no distance of class 2 is below its noise
    squared = np.array([(sweep.isometry(far, z, label) * 2**0.5 * 1e3) ** 2 for z in latents])
    mean, stderr = squared.mean(axis=0), squared.std(axis=0) / 20
    assert np.all(np.abs(mean - 40 * 1.3**2)[1:] < 5.5 * stderr[1:])
    naive_bias = 40 * (1 / 20 + 1 / 50)  # without the correction
    assert naive_bias > 5.5 * stderr[1]
    # Distances that are all noise count as zero half of the time.
    assert 0.3 < np.mean(squared[:, 0] == 0) < 0.7


def test_isometry_of_a_scaled_orthogonal_map_and_of_a_squeezed_one(sweep) -> None:
    generator = np.random.default_rng(3)
    corners = np.array([[3.0, 0, 0, 0], [-3, 0, 0, 0], [0, 3, 0, 0], [0, -3, 0, 0], [0, 0, 0, 0]])
    label = np.arange(500) % 5
    x = corners[label] + 0.1 * generator.standard_normal((500, 4))
    exact = sweep.isometry(x, 0.25 * x[:, [1, 0, 3, 2]] * [1, -1, 1, 1], label)
    assert exact.shape == (10,)
    np.testing.assert_allclose(exact, 0.25, rtol=1e-9)
    squeezed = sweep.isometry(x, x * [1, 0.8, 1, 1], label)
    ratios = dict(zip(combinations(range(5), 2), squeezed, strict=True))
    assert ratios[0, 1] == pytest.approx(1)
    assert ratios[2, 3] == pytest.approx(0.8)


def test_a_small_row_of_three_phases_is_complete(sweep) -> None:
    row = json.loads(
        json.dumps(sweep.compute_row("three-phases", "paper", "bernoulli", 2, 0, **TINY))
    )
    for phase in ("FM", "AFM"):
        assert len(row[phase]["correlations"]) == 2
        assert np.abs(row[phase]["correlations"]).max() <= 1
    assert abs(row["cosine"]) <= 1
    assert sum(row["generated"].values()) == pytest.approx(1)
    assert len(row["isometry"]["ratios"]) == 10
    assert row["rate"] > 0
    assert row["elbo"] < 0
    assert len(row["shown"]["latents"]) == len(row["shown"]["label"]) == 90
    assert sweep.unpack(row["pictures"], 64).shape == (16, 64)


@pytest.mark.parametrize("likelihood", ["tempered", "bernoulli"])
def test_a_small_row_of_one_phase_is_complete(sweep, likelihood: str) -> None:
    row = json.loads(json.dumps(sweep.compute_row("PM", "dense", likelihood, 2, 0, **TINY)))
    energy, stderr, deviation = row["samples"]["energy"]
    assert abs(energy) < 2
    assert deviation > stderr > 0
    assert (row["mean_beta"] == 1) == (likelihood == "bernoulli")
    exact = [float(Ising2D(8).internal_energy(t)) / 64 for t in np.linspace(3, 6, 7)]
    assert row["exact_energy"] == pytest.approx(np.mean(exact), abs=1e-5)


def test_regions_are_told_apart(sweep) -> None:
    system = Ising2D(4)
    chessboard = np.where(np.indices((4, 4)).sum(axis=0).ravel() % 2, -1.0, 1.0)
    halves = np.where(np.arange(16) < 8, 0.9, -0.9)  # a wall: neither ordered nor disordered
    means = np.stack([np.full(16, 0.9), np.full(16, -0.9), chessboard, -chessboard, np.zeros(16)])
    found = sweep.regions_of(np.vstack([0.95 * means, halves]), system)
    assert [sweep.REGIONS[k] for k in found] == list(sweep.REGIONS)
    signed = sweep.signed_phases(
        np.array([0, 0, 1, 1, 2]), np.array([1, -1, 0, 0, 0]), np.array([0, 0, 1, -1, 1])
    )
    assert signed.tolist() == [0, 1, 2, 3, 4]


def test_pictures_survive_packing(sweep) -> None:
    means = np.random.default_rng(0).uniform(-1, 1, (3, 64))
    np.testing.assert_allclose(sweep.unpack(sweep.pack(means), 64), means, atol=1 / 15 + 1e-12)


def test_stored_rows_belong_to_the_script(sweep) -> None:
    stored = json.loads(sweep.OUTPUT.read_text())
    assert stored["configuration"] == json.loads(json.dumps(sweep.configuration()))
    keys = [tuple(row[name] for name in sweep.NAMES) for row in stored["rows"]]
    assert keys == [key for key in sweep.ROWS if key in set(keys)]
    # What the chapters quote is there for five seeds.
    needed = [
        ("three-phases", "dense", "bernoulli", b, s) for b in (1, 10, 100, 2000) for s in range(5)
    ]
    assert set(needed) <= set(keys)


def _of_beta(rows: list[dict], beta: float) -> list[dict]:
    shared = {"data": "three-phases", "variant": "dense", "beta": beta}
    return [row for row in rows if shared.items() <= row.items()]


@pytest.mark.slow
def test_a_stored_row_can_be_computed_again(sweep) -> None:
    rows = json.loads(sweep.OUTPUT.read_text())["rows"]
    before = _of_beta(rows, 100)[0]
    again = sweep.compute_row("three-phases", "dense", "bernoulli", 100, 0)
    # The seeds of the same beta say how far two trainings may be apart; those of beta = 10 are
    # further away.
    cell = {"data": "three-phases", "variant": "dense", "beta": 100}
    for key, most in (("rate", 0.25), ("elbo", 12.0)):
        far = min(most, tolerance("beta_sweep", key, **cell))
        assert abs(again[key] - before[key]) < far
    for phase in ("FM", "AFM"):
        assert np.abs(again[phase]["correlations"]).max() > 0.98
    assert min(again["generated"][name] for name in sweep.REGIONS[:5]) > 0.02
    others = _of_beta(rows, 10)
    assert min(abs(row["rate"] - again["rate"]) for row in others) > 0.5
