"""Hopfield: exact results by enumeration and quadrature, the sampler against exact laws."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import gammaln, logsumexp

from mfvae.systems import CurieWeiss, Estimate, Hopfield, System
from mfvae.systems.hopfield import replica_temperatures
from mfvae.systems.kernels import hopfield as kernel

#: Chance that a correct sampler fails any of the tests of this file.
FAMILY = 1e-6
#: Number of p-values compared with it.
N_TESTS = 100
TEMPERATURES = np.array([0.6, 0.9, 1.2])


def enumerate_states(patterns: np.ndarray, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """All configurations and their ln of unnormalised probability, from the couplings."""
    n_sites = len(patterns)
    states = np.array(list(itertools.product([-1, 1], repeat=n_sites)), dtype=np.int8)
    couplings = patterns.astype(float) @ patterns.T / n_sites
    return states, np.einsum("ai,ij,aj->a", states, couplings, states) / (2 * temperature)


def marginal_entropy(states: np.ndarray, p: np.ndarray, sites: list[int]) -> float:
    _, label = np.unique(states[:, sites], axis=0, return_inverse=True)
    q = np.bincount(label.ravel(), weights=p)
    return float(-q @ np.log(q))


def chi_square(counts: np.ndarray, probabilities: np.ndarray) -> float:
    """p-value of the chi-square statistic; cells with fewer than 20 expected are pooled."""
    counts, expected = counts.ravel().astype(float), counts.sum() * probabilities.ravel()
    keep = expected >= 20
    observed, wanted = counts[keep], expected[keep]
    if expected[~keep].sum() > 20:
        observed = np.append(observed, counts[~keep].sum())
        wanted = np.append(wanted, expected[~keep].sum())
    wanted *= observed.sum() / wanted.sum()
    return float(stats.chi2.sf(np.sum((observed - wanted) ** 2 / wanted), len(wanted) - 1))


def z_test(difference: float, standard_error: float) -> float:
    return float(2 * stats.norm.sf(abs(difference) / standard_error))


def coarse(law: np.ndarray, width: int = 16) -> np.ndarray:
    """A joint law of two sums, in cells of ``width`` values a side."""
    edges = np.arange(0, len(law), width)
    return np.add.reduceat(np.add.reduceat(law, edges, axis=0), edges, axis=1)


def smallest_p(system: Hopfield, x: np.ndarray, temperature: float) -> float:
    """Smallest p-value of independent configurations: energy, overlaps, pairs of overlaps."""
    n_sites, n_patterns = system.patterns.shape
    energy = system.energy(x)
    p_values = [
        z_test(energy.mean() - system.internal_energy(temperature), energy.std() / np.sqrt(len(x)))
    ]
    index = (x.astype(int) @ system.patterns.astype(int) + n_sites) // 2
    for mu in range(n_patterns):
        law = system.overlap_law(temperature, mu)[1]
        p_values.append(chi_square(np.bincount(index[:, mu], minlength=n_sites + 1), law))
    for mu, nu in itertools.combinations(range(n_patterns), 2):
        counts = np.zeros((n_sites + 1, n_sites + 1))
        np.add.at(counts, (index[:, mu], index[:, nu]), 1)
        law = system.overlap_law(temperature, (mu, nu))[1]
        p_values.append(chi_square(coarse(counts), coarse(law)))
    return min(p_values)


# ------------------------------------------------------------------ exact results


@pytest.mark.parametrize("n_patterns", [1, 2, 3])
@pytest.mark.parametrize("n_sites", [2, 7, 10])
@pytest.mark.parametrize("temperature", [0.3, 0.8, 1.5])
def test_everything_agrees_with_enumeration(n_patterns, n_sites, temperature) -> None:
    system = Hopfield.random(n_sites, n_patterns, seed=5 * n_patterns + n_sites)
    states, log_weights = enumerate_states(system.patterns, temperature)
    log_partition = logsumexp(log_weights)
    p = np.exp(log_weights - log_partition)
    entropy = -p @ np.log(p)
    close = {"rel": 1e-10, "abs": 1e-12}
    assert system.log_partition(temperature) == pytest.approx(log_partition, **close)
    np.testing.assert_allclose(system.energy(states), -temperature * log_weights, atol=1e-12)
    np.testing.assert_allclose(
        system.log_prob(states, temperature), log_weights - log_partition, atol=1e-11
    )
    assert system.internal_energy(temperature) == pytest.approx(p @ system.energy(states), **close)
    assert system.entropy(temperature) == pytest.approx(entropy, **close)
    assert system.free_energy(temperature) == pytest.approx(-temperature * log_partition, **close)
    total = n_sites * np.log(2) - entropy
    assert system.total_correlation(temperature) == pytest.approx(total, rel=1e-10, abs=1e-12)
    others = [
        marginal_entropy(states, p, [j for j in range(n_sites) if j != i]) for i in range(n_sites)
    ]
    dual = entropy - sum(entropy - h for h in others)
    assert system.dual_total_correlation(temperature) == pytest.approx(dual, abs=1e-11)
    sites = list(range(n_sites))
    half = sum(
        marginal_entropy(states, p, part) for part in (sites[: n_sites // 2], sites[n_sites // 2 :])
    )
    assert system.mutual_information(temperature) == pytest.approx(half - entropy, abs=1e-11)
    index = (states @ system.patterns.astype(int) + n_sites) // 2
    for mu in range(n_patterns):
        law = np.bincount(index[:, mu], weights=p, minlength=n_sites + 1)
        values, exact = system.overlap_law(temperature, mu)
        np.testing.assert_allclose(exact, law, atol=1e-13)
        np.testing.assert_array_equal(values, np.arange(-n_sites, n_sites + 1, 2))
        for nu in set(range(n_patterns)) - {mu}:
            joint = np.zeros((n_sites + 1, n_sites + 1))
            np.add.at(joint, (index[:, mu], index[:, nu]), p)
            np.testing.assert_allclose(
                system.overlap_law(temperature, (mu, nu))[1], joint, atol=1e-13
            )


@pytest.mark.parametrize("temperature", [0.6, 1.0, 1.4])
def test_log_partition_of_1024_sites_by_quadrature_over_the_field(temperature: float) -> None:
    system, beta = Hopfield.random(1024, 3, seed=3), 1 / temperature
    step = 0.5 / np.sqrt(beta * 1024)
    m = step * np.arange(-int(1.4 / step), int(1.4 / step) + 1)
    grid = np.stack(np.meshgrid(m, m, m, indexing="ij", sparse=False)).reshape(3, -1)
    rows, sizes = np.unique(system.patterns, axis=0, return_counts=True)
    log_density = -1024 * beta * np.sum(grid**2, axis=0) / 2
    for row, size in zip(rows, sizes, strict=True):
        log_density += size * np.log(2 * np.cosh(beta * (row @ grid)))
    quadrature = logsumexp(log_density) + 3 * np.log(step) + 1.5 * np.log(1024 * beta / (2 * np.pi))
    assert system.log_partition(temperature) == pytest.approx(quadrature, rel=1e-10)


def test_log_partition_by_the_naive_sum_over_class_magnetisations() -> None:
    system = Hopfield.random(64, 3, seed=4)
    signs = system.patterns * system.patterns[:, :1]
    rows, sizes = np.unique(signs, axis=0, return_counts=True)
    up = [np.arange(size + 1) for size in sizes]
    grid = np.meshgrid(*up, indexing="ij")
    log_weights = sum(
        gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
        for n, k in zip(sizes, grid, strict=True)
    )
    for mu in range(3):
        overlap = sum(r[mu] * (2 * k - n) for r, n, k in zip(rows, sizes, grid, strict=True))
        log_weights = log_weights + overlap**2 / (2 * 64 * 0.8)
    assert system.log_partition(0.8) == pytest.approx(logsumexp(log_weights), rel=1e-12)


@pytest.mark.parametrize("temperature", [0.6, 1.0, 1.5])
def test_one_pattern_is_curie_weiss(temperature: float) -> None:
    system, reference = Hopfield.random(256, 1, seed=0), CurieWeiss(256)
    for name in (
        "free_energy",
        "internal_energy",
        "entropy",
        "dual_total_correlation",
        "mutual_information",
        "field_information",
    ):
        exact = getattr(reference, name)(temperature)
        assert getattr(system, name)(temperature) == pytest.approx(exact, rel=1e-10, abs=1e-11)


@pytest.mark.parametrize("n_patterns", [2, 3])
def test_informations_are_ordered_and_the_cold_limit_is_the_degeneracy(n_patterns: int) -> None:
    system = Hopfield.random(64, n_patterns, seed=1)
    temperatures = np.array([0.3, 0.6, 1.0, 1.4])
    field = system.field_information(temperatures)
    dual = system.dual_total_correlation(temperatures)
    half = system.mutual_information(temperatures)
    assert np.all(field >= dual)
    assert np.all(dual >= half)
    assert np.all(half > 0)
    _, log_weights = enumerate_states(system.patterns[:10], 1.0)
    degeneracy = np.log(np.sum(log_weights > log_weights.max() - 1e-9))
    cold = Hopfield(system.patterns[:10])
    assert cold.entropy(0.005) == pytest.approx(degeneracy, abs=1e-9)


def test_scalars_give_estimates_and_vectors_give_arrays() -> None:
    system = Hopfield.random(32, 2, seed=0)
    value = system.entropy(0.7)
    assert isinstance(value, Estimate)
    assert value.exact
    np.testing.assert_array_equal(system.entropy([0.7, 0.9])[0], float(value))
    assert isinstance(system, System)


# ------------------------------------------------------------------ the sampler


@pytest.mark.parametrize("n_patterns", [1, 2, 3])
def test_sampler_follows_the_exact_law(n_patterns: int) -> None:
    system = Hopfield.random(256, n_patterns, seed=n_patterns)
    # One record a chain: the configurations of one temperature are independent.
    x = system.sample_chains(TEMPERATURES, 6000, 1, burn_in=500, seed=11)[:, :, 0]
    for temperature, configurations in zip(TEMPERATURES, x, strict=True):
        assert smallest_p(system, configurations, temperature) > FAMILY / N_TESTS
        # Negative control: three per cent in temperature.
        assert smallest_p(system, configurations, 1.03 * temperature) < FAMILY / N_TESTS


def test_wells_with_wrong_weights_are_noticed() -> None:
    system = Hopfield.random(256, 3, seed=3)
    lone = system.sample_chains(0.6, 3000, 1, burn_in=12, seed=1, start="patterns")[0, :, 0]
    assert (
        abs(system.energy(lone).mean() / system.internal_energy(0.6) - 1) < 0.02
    )  # inside the wells
    assert smallest_p(system, lone, 0.6) < FAMILY / N_TESTS


@pytest.mark.parametrize(("n_sites", "n_patterns"), [(11, 4), (10, 5), (12, 9), (9, 14)])
def test_sampler_with_many_patterns_against_enumeration(n_sites: int, n_patterns: int) -> None:
    system = Hopfield.random(n_sites, n_patterns, seed=2)
    x = system.sample_chains(0.9, 40_000, 1, burn_in=60, seed=5)[0, :, 0]
    code = (x > 0) @ (1 << np.arange(n_sites))[::-1]
    counts = np.bincount(code, minlength=2**n_sites)
    p_values = []
    for temperature in (0.9, 0.9 * 1.05):
        _, log_weights = enumerate_states(system.patterns, temperature)
        p_values.append(chi_square(counts, np.exp(log_weights - logsumexp(log_weights))))
    assert p_values[0] > FAMILY / N_TESTS
    assert p_values[1] < FAMILY / N_TESTS


def test_sites_that_do_not_fill_a_word_and_a_single_temperature() -> None:
    system = Hopfield.random(45, 3, seed=0)
    x = system.sample_chains(0.7, 6000, 1, burn_in=300, seed=2)[0, :, 0]
    assert smallest_p(system, x, 0.7) > FAMILY / N_TESTS
    assert smallest_p(system, x, 0.7 * 1.06) < FAMILY / N_TESTS


def compare_starts(system: Hopfield, burn_in: int, n_chains: int = 512) -> float:
    """Smallest p-value for equal energies and overlaps of the two kinds of start."""
    x = [
        system.sample_chains(TEMPERATURES, n_chains, 1, burn_in=burn_in, seed=seed, start=start)[
            :, :, 0
        ]
        for seed, start in enumerate(("patterns", "random"))
    ]
    p_values = []
    for i in range(len(TEMPERATURES)):
        observed = []
        for configurations in (x[0][i], x[1][i]):
            overlap = np.abs(system.order_parameter(configurations))
            observed.append(
                np.column_stack([system.energy(configurations), overlap.max(axis=1), overlap])
            )
        left, right = observed
        error = np.sqrt((left.var(axis=0) + right.var(axis=0)) / n_chains)
        p_values += [
            z_test(d, e) for d, e in zip(left.mean(axis=0) - right.mean(axis=0), error, strict=True)
        ]
    return min(p_values)


@pytest.mark.parametrize("n_patterns", [8, pytest.param(48, marks=pytest.mark.slow)])
def test_chains_started_in_patterns_and_at_random_agree(n_patterns: int) -> None:
    system = Hopfield.random(256, n_patterns, seed=n_patterns)
    assert compare_starts(system, burn_in=1000) > FAMILY / (10 * N_TESTS)
    assert compare_starts(system, burn_in=4) < FAMILY / (10 * N_TESTS)


# ------------------------------------------------------------------ streams


def test_bits_depend_on_the_seed_alone() -> None:
    system = Hopfield.random(40, 5, seed=0)
    kwargs = {"burn_in": 20, "thinning": 3}
    x = system.sample_chains([0.9, 0.5], 37, 4, seed=7, **kwargs)
    assert x.shape == (2, 37, 4, 40)
    assert x.dtype == np.int8
    assert set(np.unique(x)) == {-1, 1}
    threaded = system.sample_chains([0.9, 0.5], 37, 4, seed=7, n_threads=2, **kwargs)
    np.testing.assert_array_equal(threaded, x)
    fewer = system.sample_chains([0.9, 0.5], 5, 4, seed=np.random.SeedSequence(7), **kwargs)
    np.testing.assert_array_equal(fewer, x[:, :5])
    assert np.any(system.sample_chains([0.9, 0.5], 37, 4, seed=8, **kwargs) != x)
    assert np.any(x[0] != x[1])
    one = system.sample(0.7, 300, seed=3, **kwargs)
    assert one.shape == (300, 40)
    np.testing.assert_array_equal(system.sample([0.7], 300, seed=3, **kwargs)[0], one)
    assert len(np.unique(one[:256], axis=0)) > 200


DISORDERED = 1.15 * (1 + np.sqrt(16 / 256))


def test_ladder_holds_the_given_temperatures_and_reaches_the_disordered_phase() -> None:
    given_ones = np.array([0.9, 0.4, 0.9, 2.5])
    levels = replica_temperatures(given_ones, 256, 16)
    assert set(given_ones) <= set(levels)
    assert np.sum(levels == 0.9) == 2
    assert np.all(np.diff(levels) >= 0)
    below = levels[levels <= DISORDERED]
    assert np.diff(np.log(below)).max() < 1.51 / 16
    assert replica_temperatures(np.array([0.5]), 256, 16)[-1] == DISORDERED
    np.testing.assert_array_equal(replica_temperatures(np.array([3.0]), 256, 16), [3.0])


def test_neighbouring_temperatures_exchange_often_enough() -> None:
    for n_sites, n_patterns in ((256, 2), (1024, 3), (256, 32)):
        system = Hopfield.random(n_sites, n_patterns, seed=1)
        seed = np.random.SeedSequence(0)
        levels = replica_temperatures(np.array([0.6]), n_sites, n_patterns)
        _, rates = kernel.run(system.patterns, levels, np.array([0]), (16, 1), (200, 1), seed)
        assert 0.1 < rates.min() <= rates.max() <= 1


# ------------------------------------------------------------------ the interface


@settings(deadline=None, max_examples=25, derandomize=True)
@given(st.integers(2, 40), st.integers(1, 9), st.integers(0, 10**6))
def test_configuration_survives_json(n_sites: int, n_patterns: int, seed: int) -> None:
    system = Hopfield.random(n_sites, n_patterns, seed=seed)
    text = json.dumps(system.configuration())
    again = Hopfield.from_configuration(json.loads(text))
    np.testing.assert_array_equal(again.patterns, system.patterns)
    assert again.patterns.dtype == np.int8


def test_bad_input_is_named() -> None:
    good = Hopfield.random(8, 2, seed=0)
    for patterns, error in (
        ([[1, 0], [1, -1]], ValueError),
        ([1, -1, 1], ValueError),
        ([[1.0, np.nan]], ValueError),
        (np.empty((4, 0)), ValueError),
        ([[1, -1]], ValueError),
        ("patterns", TypeError),
        (None, TypeError),
    ):
        with pytest.raises(error, match="patterns"):
            Hopfield(patterns)
    with pytest.raises(ValueError, match="2\\*\\*33"):
        Hopfield(np.ones((2**16, 2), dtype=np.int8))
    with pytest.raises(ValueError, match="n_sites"):
        Hopfield.random(1, 2, seed=0)
    with pytest.raises(TypeError, match="seed"):
        Hopfield.random(4, 2, seed="0")
    with pytest.raises(ValueError, match="bytes"):
        Hopfield.from_configuration({"n_sites": 8, "n_patterns": 2, "patterns": "ff"})
    for temperature in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="temperature"):
            good.sample(temperature, 3, seed=0)
        with pytest.raises(ValueError, match="temperature"):
            good.entropy(temperature)
    with pytest.raises(ValueError, match="n_samples"):
        good.sample(1.0, 0, seed=0)
    with pytest.raises(TypeError, match="seed"):
        good.sample(1.0, 3, seed=1.5)
    with pytest.raises(ValueError, match="start"):
        good.sample(1.0, 3, seed=0, start="up")
    with pytest.raises(ValueError, match="thinning"):
        good.sample_chains(1.0, 3, 2, seed=0, thinning=0)
    with pytest.raises(ValueError, match="x must"):
        good.energy(np.ones((3, 7), dtype=np.int8))
    with pytest.raises(ValueError, match="cut"):
        good.mutual_information(1.0, cut="checkerboard")
    for pattern in (2, -1, (0, 0), (0, 1, 0)):
        with pytest.raises(ValueError, match="pattern"):
            good.overlap_law(1.0, pattern)
    with pytest.raises(ValueError, match="read-only"):
        good.patterns[0, 0] = 1


def test_more_than_three_patterns_have_no_exact_results() -> None:
    system = Hopfield.random(16, 4, seed=0)
    x = system.sample(1.0, 4, seed=0, burn_in=5)
    assert system.order_parameter(x).shape == (4, 4)
    for name in (
        "log_partition",
        "entropy",
        "free_energy",
        "internal_energy",
        "total_correlation",
        "dual_total_correlation",
        "mutual_information",
        "field_information",
        "overlap_law",
    ):
        with pytest.raises(NotImplementedError, match="at most 3 patterns"):
            getattr(system, name)(1.0)
    with pytest.raises(NotImplementedError, match="at most 3 patterns"):
        system.log_prob(x, 1.0)
    with pytest.raises(NotImplementedError, match="nodes"):
        Hopfield.random(1024, 3, seed=0).field_information(0.01)
