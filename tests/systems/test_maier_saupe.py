"""The Maier-Saupe model: exact finite-N results, both samplers, and the limit N → ∞."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import kolmogorov, roots_legendre
from scipy.stats import t as student

from mfvae.systems import Bingham, MaierSaupe, System, from_components, to_components
from mfvae.systems._maier_saupe_exact import TensorLaw

TEMPERATURES = np.array([0.200, 0.210, 0.215, 0.2202, 0.2228, 0.230, 0.250])
# 7 temperatures x 2 sizes x 5 comparisons, together wrong once in a million runs.
FALSE_ALARM = 1e-6 / 70
LOG_SPHERE = np.log(4 * np.pi)


def cube(system, x):
    q = system.tensor(x)
    return np.einsum("nij,njk,nki->n", q, q, q)


def batch_score(values, exact, exact_error=0.0, n_records=50):
    """Deviation of the mean from ``exact`` in units of the largest one tolerated.

    Standard error from the means of batches of 50 records (autocorrelation times are below
    3), Student's law for the number of batches.
    """
    means = np.asarray(values).reshape(-1, n_records).mean(axis=1)
    error = np.hypot(means.std(ddof=1) / np.sqrt(len(means)), exact_error)
    return abs(means.mean() - exact) / error / student.isf(FALSE_ALARM / 2, len(means) - 1)


@lru_cache(maxsize=2)
def direct_samples(n_sites):
    return MaierSaupe(n_sites).sample(TEMPERATURES, 6000, seed=101)


@lru_cache(maxsize=2)
def gibbs_samples(n_sites):
    system = MaierSaupe(n_sites)
    return system.sample_chains(TEMPERATURES, 8, 750, algorithm="gibbs", seed=202)


# -------------------------------------------------------------------- exact results


@pytest.mark.parametrize("temperature", [0.05, 0.2202, 1.0, 50.0])
def test_partition_function_of_one_and_two_directors(temperature):
    one = MaierSaupe(1)
    assert abs(one.log_partition(temperature) - LOG_SPHERE - 0.5 / temperature) < 1e-12
    assert abs(one.entropy(temperature) - LOG_SPHERE) < 1e-11
    assert abs(one.mean_cubed_tensor(temperature) - 2 / 9) < 1e-12

    def boltzmann(t):
        return np.exp(0.75 * (t * t - 1) / temperature)

    integral, _ = quad(boltzmann, 0, 1, epsabs=0, epsrel=1e-13)
    expected = 2 * LOG_SPHERE + np.log(integral) + 1 / temperature
    assert abs(MaierSaupe(2).log_partition(temperature) - expected) < 1e-11


@pytest.mark.parametrize("temperature", [0.1, 0.2202, 0.6])
def test_partition_function_of_three_directors(temperature):
    z, w_z = roots_legendre(60)
    phi = 2 * np.pi * np.arange(64) / 64
    t2, t3, angle = np.meshgrid(z, z, phi, indexing="ij")
    t23 = t2 * t3 + np.sqrt((1 - t2**2) * (1 - t3**2)) * np.cos(angle)
    p2 = sum(1.5 * t**2 - 0.5 for t in (t2, t3, t23))
    boltzmann = np.exp((1.5 + p2) / 3 / temperature)
    integral = np.einsum("i,j,ijk->", w_z / 2, w_z / 2, boltzmann) / 64
    expected = 3 * LOG_SPHERE + np.log(integral)
    assert abs(MaierSaupe(3).log_partition(temperature) - expected) < 1e-11


@pytest.mark.parametrize("n_sites", [5, 64, 256, 4096, 16_384])
@pytest.mark.parametrize("temperature", [0.12, 0.2202, 0.5])
def test_quadrature_has_converged(n_sites, temperature):
    law, finer = (TensorLaw(n_sites, temperature, refine=r) for r in (1.0, 1.7))
    assert abs(law.log_partition - finer.log_partition) < 1e-13 * n_sites + 1e-12
    assert abs(law.mean_square - finer.mean_square) < 1e-12
    assert abs(law.mean_cube - finer.mean_cube) < 1e-12


@pytest.mark.parametrize("temperature", [0.19, 0.2202, 0.4])
def test_thermodynamic_identities(temperature):
    system, step = MaierSaupe(64), 1e-4
    beta = 1 / temperature
    up, down = (system.log_partition(1 / (beta + s)) for s in (step, -step))
    assert abs(system.internal_energy(temperature) + (up - down) / (2 * step)) < 1e-5
    energy, entropy = system.internal_energy(temperature), system.entropy(temperature)
    assert abs(system.free_energy(temperature) - energy + temperature * entropy) < 1e-9
    assert abs(system.total_correlation(temperature) + entropy - 64 * LOG_SPHERE) < 1e-9
    assert system.entropy(temperature).exact
    assert np.allclose(system.entropy([temperature, 1.0])[0], entropy)


def test_law_of_the_tensor_is_not_that_of_the_order():
    """At N = 64, T = 0.28 the order parameter of A is 0.236, that of ΣQ/N 0.206."""
    system = MaierSaupe(64)
    s = system.order_parameter(system.sample(0.28, 20_000, seed=3))
    assert abs(s.mean() - 0.206) < 0.0005 + 5 * s.std() / np.sqrt(len(s))
    a = TensorLaw(64, 0.28).sample_eigenvalues(20_000, np.random.default_rng(1))
    assert abs(1.5 * a[:, 2].mean() - 0.236) < 0.0005 + 5 * 1.5 * a[:, 2].std() / np.sqrt(len(a))


def test_dual_total_correlation_of_two_directors_is_their_mutual_information():
    system = MaierSaupe(2)
    for temperature in (0.1, 0.3, 1.0):
        estimate = system.dual_total_correlation(temperature, n_samples=20_000, seed=4)
        exact = system.total_correlation(temperature)
        assert 0 < estimate.stderr < 0.01
        assert abs(estimate - exact) < 6 * estimate.stderr + 1e-9


# -------------------------------------------------------------------- samplers


@pytest.mark.parametrize("n_sites", [64, 256])
@pytest.mark.parametrize("algorithm", ["direct", "gibbs"])
def test_samplers_match_exact_energy_and_cube(n_sites, algorithm):
    system = MaierSaupe(n_sites)
    x = direct_samples(n_sites) if algorithm == "direct" else gibbs_samples(n_sites)
    for i, temperature in enumerate(TEMPERATURES):
        configurations = x[i].reshape(-1, n_sites, 3)
        energy = system.energy(configurations)
        assert batch_score(energy, system.internal_energy(temperature)) < 1
        exact = system.mean_cubed_tensor(temperature)
        assert batch_score(cube(system, configurations), exact) < 1


@pytest.mark.parametrize("n_sites", [64, 256])
def test_order_parameter_of_gibbs_matches_direct(n_sites):
    system = MaierSaupe(n_sites)
    for x, y in zip(direct_samples(n_sites), gibbs_samples(n_sites), strict=True):
        direct = system.order_parameter(x)
        gibbs = system.order_parameter(y.reshape(-1, n_sites, 3))
        error = direct.std() / np.sqrt(len(direct))
        assert batch_score(gibbs, direct.mean(), error) < 1


@pytest.mark.parametrize("algorithm", ["direct", "gibbs"])
def test_samples_at_a_temperature_two_percent_off_are_caught(algorithm):
    system = MaierSaupe(256)
    right = 0.2202
    reference = system.order_parameter(direct_samples(256)[3])
    wrong = system.sample(right * 1.02, 6000, algorithm=algorithm, seed=5)
    assert batch_score(system.energy(wrong), system.internal_energy(right)) > 1
    assert batch_score(cube(system, wrong), system.mean_cubed_tensor(right)) > 1
    error = reference.std() / np.sqrt(len(reference))
    assert batch_score(system.order_parameter(wrong), reference.mean(), error) > 1


def test_sites_of_a_too_narrow_tensor_are_caught():
    """Noise of the tensor forgotten: sites drawn given the mean-field tensor alone."""
    system, temperature = MaierSaupe(64), 0.2
    s = system.mean_field_order_parameter(temperature)
    matrix = 1.5 / temperature * s * np.diag([-1 / 3, -1 / 3, 2 / 3])
    x = Bingham(matrix).sample(6000 * 64, seed=1).reshape(6000, 64, 3)
    assert batch_score(system.energy(x), system.internal_energy(temperature)) > 1


def test_gibbs_forgets_its_start():
    """Even chains start isotropic, odd ones ordered, where each phase is metastable."""
    system = MaierSaupe(256)
    for i in (1, 3, 4):
        energies = np.array([system.energy(x) for x in gibbs_samples(256)[i]])
        even, odd = energies[0::2].reshape(-1, 50).mean(1), energies[1::2].reshape(-1, 50).mean(1)
        error = np.hypot(even.std(ddof=1), odd.std(ddof=1)) / np.sqrt(len(even))
        assert abs(even.mean() - odd.mean()) < error * student.isf(FALSE_ALARM / 2, len(even) - 1)


@pytest.mark.parametrize("algorithm", ["direct", "gibbs"])
def test_single_directors_are_uniform(algorithm):
    x = MaierSaupe(8).sample(0.15, 20_000, algorithm=algorithm, seed=8)
    np.testing.assert_allclose(np.linalg.norm(x, axis=-1), 1, atol=1e-6)
    for k in range(3):
        u = np.sort((x[:, 3, k].astype(np.float64) + 1) / 2)
        grid = np.arange(len(u) + 1) / len(u)
        distance = max(np.max(grid[1:] - u), np.max(u - grid[:-1]))
        assert kolmogorov(np.sqrt(len(u)) * distance) > 1e-8


def test_log_prob_is_minus_entropy_on_average():
    system = MaierSaupe(64)
    for i in (0, 3, 6):
        log_prob = system.log_prob(direct_samples(64)[i], TEMPERATURES[i])
        assert batch_score(-log_prob, system.entropy(TEMPERATURES[i])) < 1


def test_energy_is_the_pair_sum():
    x = MaierSaupe(6).sample(0.3, 4, seed=0).astype(np.float64)
    dots = np.einsum("nik,njk->nij", x, x)
    pair_sum = -(1.5 * dots**2 - 0.5).sum(axis=(1, 2)) / 12
    np.testing.assert_allclose(MaierSaupe(6).energy(x), pair_sum, atol=1e-6)


# -------------------------------------------------------------------- infinitely many directors


def test_transition_of_infinitely_many_directors():
    known = MaierSaupe.transition()
    assert abs(known["temperature"] - 0.22019355) < 5e-9
    assert abs(known["order_parameter"] - 0.429029) < 5e-7
    assert abs(known["superheating_temperature"] - 0.222833) < 5e-7
    assert abs(known["superheating_order_parameter"] - 0.3236) < 5e-5
    temperature, order, excess = MaierSaupe.self_consistent_curve(400)
    assert abs(temperature[0] - known["supercooling_temperature"]) < 1e-4
    assert temperature.max() < known["superheating_temperature"] + 1e-9
    for t, s in zip(temperature[::40], order[::40], strict=True):
        law = Bingham(np.diag([0, 0, 1.5 * s / t]))
        assert abs(1.5 * law.moment()[2, 2] - 0.5 - s) < 1e-10
    stable = excess < 0
    assert np.all(temperature[stable] < known["temperature"])


def test_mean_field_order_parameter():
    values = MaierSaupe.mean_field_order_parameter([0.1, 0.2201, 0.2203, 0.2228, 0.3])
    assert np.all(np.diff(values) <= 0)
    assert values[2] == values[3] == values[4] == 0
    assert values[1] > 0.42
    # Finite systems approach it: E/N → -S²/2.
    large = MaierSaupe(4096)
    assert abs(large.internal_energy(0.2) / 4096 + values_at(0.2) ** 2 / 2) < 0.001


def values_at(temperature):
    return MaierSaupe.mean_field_order_parameter(temperature)


# -------------------------------------------------------------------- the contract


def test_contract_shapes_and_seeds():
    system = MaierSaupe(5)
    assert isinstance(system, System)
    assert system.configuration() == {"class": "MaierSaupe", "n_sites": 5}
    single = system.sample(0.2, 7, seed=1)
    assert single.shape == (7, 5, 3)
    assert single.dtype == np.float32
    both = system.sample([0.2, 0.4], 7, seed=1)
    assert np.array_equal(both[0], single)
    assert np.array_equal(system.sample([0.2], 7, seed=1)[0], single)
    for algorithm in ("direct", "gibbs"):
        arguments = {"algorithm": algorithm, "burn_in": 3, "thinning": 2}
        chains = system.sample_chains([0.3, 0.2], 2, 4, seed=6, **arguments)
        assert chains.shape == (2, 2, 4, 5, 3)
        assert chains.dtype == np.float32
        assert np.array_equal(chains, system.sample_chains([0.3, 0.2], 2, 4, seed=6, **arguments))
        more = system.sample([0.3, 0.2], 3, seed=6, n_chains=2, **arguments)
        assert more.shape == (2, 3, 5, 3)


@settings(deadline=None, max_examples=30, derandomize=True)
@given(st.lists(st.floats(-10, 10), min_size=5, max_size=5))
def test_components_are_orthonormal(values):
    tensor = from_components(values)
    assert abs(np.trace(tensor)) < 1e-12
    np.testing.assert_allclose(tensor, tensor.T)
    np.testing.assert_allclose(to_components(tensor), values, atol=1e-12)
    assert abs(np.sum(tensor**2) - np.sum(np.square(values))) < 1e-10


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda s: s.sample(0.0, 5, seed=0), ValueError, "positive"),
        (lambda s: s.sample(np.nan, 5, seed=0), ValueError, "finite"),
        (lambda s: s.sample(0.2, 0, seed=0), ValueError, "at least 1"),
        (lambda s: s.sample(0.2, 5, seed=-1), ValueError, "negative"),
        (lambda s: s.sample(0.2, 5, algorithm="wolff", seed=0), ValueError, "algorithm"),
        (lambda s: s.sample(1e-9, 5, seed=0), ValueError, "at least n_sites"),
        (lambda s: s.energy(np.zeros((2, 4, 3))), ValueError, "unit vectors"),
        (lambda s: s.energy(np.ones((2, 3, 3)) / np.sqrt(3)), ValueError, "shape"),
        (lambda s: s.energy(np.ones((4, 3)) / np.sqrt(3)), ValueError, "3 axes"),
        (lambda s: s.log_prob(np.ones((1, 4, 3)) / np.sqrt(3), -1.0), ValueError, "positive"),
        (lambda s: s.sample_chains(0.2, 0, 1, seed=0), ValueError, "n_chains"),
        (lambda s: s.self_consistent_curve(1), ValueError, "n_points"),
        (lambda s: MaierSaupe(0), ValueError, "n_sites"),
        (lambda s: MaierSaupe(2.0), TypeError, "integer"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call(MaierSaupe(4))
