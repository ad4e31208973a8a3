"""Observables against exact curves; error bars by their calibration; planted errors are seen."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mfvae import measure
from mfvae.measure import order_parameter_moments
from mfvae.measure.observables import EmpiricalLaw
from mfvae.systems import CurieWeiss, Estimate

#: Largest |estimate - exact| in standard errors for a right estimator: 4e-8 false alarms each
#: (Gaussian), below 1e-6 for everything in this file.
SIGMAS = 5.5


def deviation(estimate: Estimate, exact: float) -> float:
    assert not estimate.exact
    assert estimate.stderr > 0
    return abs(estimate - exact) / estimate.stderr


# ------------------------------------------------------------------ moments of the magnetisation


@pytest.mark.parametrize("temperature", [0.6, 1.0, 1.4])
def test_curie_weiss_curves(temperature: float) -> None:
    system = CurieWeiss(128)
    for drawn_at, passes in [(temperature, True), (1.02 * temperature, False)]:
        m = system.order_parameter(system.sample(drawn_at, 300_000, seed=21))
        found = order_parameter_moments(m, 128, temperature)
        deviations = [
            deviation(found.mean, system.magnetization(temperature)),
            deviation(found.susceptibility, system.susceptibility(temperature)),
            deviation(found.binder_cumulant, system.binder_cumulant(temperature)),
        ]
        # Negative control: samples whose temperature is off by 2 % are seen by all three where
        # all three depend on it, and by the magnetisation everywhere.
        controls = deviations if passes or temperature == 1.0 else deviations[:1]
        assert all((d < SIGMAS) == passes for d in controls), deviations


def test_error_bars_are_calibrated() -> None:
    """Over 300 repetitions the deviation in standard errors has variance 1 (chi-square, 1e-6)."""
    system, temperature, n_repeats = CurieWeiss(32), 1.0, 300
    m = system.order_parameter(system.sample(temperature, 1000 * n_repeats, seed=4))
    moments = [order_parameter_moments(part, 32, 1.0) for part in m.reshape(n_repeats, 1000)]
    for estimates, exact in zip(
        zip(*moments, strict=True),
        (
            system.magnetization(temperature),
            system.susceptibility(temperature),
            system.binder_cumulant(temperature),
        ),
        strict=True,
    ):
        z = np.array([(e - exact) / e.stderr for e in estimates])
        # 64 blocks make z Student-like: the variance is 63/61 larger than 1, left to the tolerance.
        low, high = stats.chi2.ppf([5e-7, 1 - 5e-7], n_repeats) / n_repeats
        assert low < np.mean(z**2) < 63 / 61 * high
        # Negative control: error bars 40 % too small are seen.
        assert np.mean((z / 0.6) ** 2) > 63 / 61 * high


def test_blocks_see_the_correlation_of_a_chain() -> None:
    """Rows repeated 20 times in a row carry no more information than the rows."""
    m = CurieWeiss(20).sample(1.0, 2000, seed=9).mean(axis=1)
    shuffled = np.random.default_rng(0).permutation(np.repeat(m, 20))
    once, repeated, mixed = (
        order_parameter_moments(values, 20, 1.0).mean for values in (m, np.repeat(m, 20), shuffled)
    )
    assert repeated == pytest.approx(float(once), abs=1e-12)
    assert 0.5 < repeated.stderr / once.stderr < 2
    assert mixed.stderr < 0.5 * once.stderr


# ------------------------------------------------------------------ correlation length


@pytest.fixture(scope="module")
def small_torus() -> tuple[np.ndarray, np.ndarray]:
    """All configurations of the 4 × 4 Ising torus, and their bond sums."""
    bits = np.arange(2**16)[:, None] >> np.arange(16) & 1
    states = (2 * bits - 1).astype(np.int8)
    lattice = states.reshape(-1, 4, 4).astype(float)
    bonds = sum(np.sum(lattice * np.roll(lattice, 1, axis), axis=(1, 2)) for axis in (1, 2))
    return states, bonds


def test_correlation_length_of_an_enumerated_torus(small_torus: tuple) -> None:
    states, bonds = small_torus
    temperature = 2.5

    def law(temperature: float) -> np.ndarray:
        p = np.exp((bonds - bonds.max()) / temperature)
        return p / p.sum()

    p = law(temperature)
    pairs = (states * p[:, None]).T @ states.astype(float)  # ⟨s_i s_j⟩
    rows, columns = np.divmod(np.arange(16), 4)
    structure = [
        np.sum(pairs * np.cos(k * (columns[:, None] - columns) * np.pi / 2)) / 16 for k in (0, 1)
    ]
    exact = np.sqrt(structure[0] / structure[1] - 1) / (2 * np.sin(np.pi / 4))
    assert np.allclose(pairs, pairs.T)
    rng = np.random.default_rng(5)
    for drawn_at, passes in [(temperature, True), (1.03 * temperature, False)]:
        x = states[rng.choice(2**16, 200_000, p=law(drawn_at))]
        assert (deviation(measure.correlation_length(x, 4), exact) < SIGMAS) == passes
    assert rows.max() == 3


def test_correlation_length_of_free_and_of_frozen_spins() -> None:
    rng = np.random.default_rng(2)
    free = rng.choice([-1, 1], size=(20_000, 64))
    assert measure.correlation_length(free, 8) < 0.3
    antiferromagnet = np.tile([[1, -1] * 2, [-1, 1] * 2], (2, 1)).reshape(1, 16)
    assert measure.correlation_length(np.repeat(antiferromagnet, 4, 0), 4) == 0
    # Stripes along one axis: |M_k|² is the same whichever axis they run along.
    stripes = np.repeat(np.where(np.arange(8) < 4, 1, -1), 8).reshape(8, 8)
    x = np.array([np.ones((8, 8)), stripes]).reshape(2, 64)
    turned = np.array([np.ones((8, 8)), stripes.T]).reshape(2, 64)
    assert measure.correlation_length(x, 8) == pytest.approx(measure.correlation_length(turned, 8))
    assert measure.correlation_length(x, 8).stderr == np.inf  # without the stripes it is infinite


# ------------------------------------------------------------------ laws


def exact_overlap_law(system: CurieWeiss, temperature: float) -> np.ndarray:
    """Two exchangeable configurations with k and l up-spins agree by a hypergeometric law."""
    n = system.n_sites
    p = np.exp(system.magnetization_law(temperature)[1])
    law = np.zeros(n + 1)
    for k, l in itertools.product(range(n + 1), repeat=2):  # noqa: E741
        both = np.arange(max(0, k + l - n), min(k, l) + 1)
        law[n - k - l + 2 * both] += p[k] * p[l] * stats.hypergeom.pmf(both, n, k, l)
    return law


def test_overlap_law_of_curie_weiss() -> None:
    system, temperature = CurieWeiss(20), 0.9
    exact = exact_overlap_law(system, temperature)
    assert exact.sum() == pytest.approx(1)
    for drawn_at, passes in [(temperature, True), (1.03 * temperature, False)]:
        x = system.sample(drawn_at, 200_000, seed=13)
        law = measure.overlap_law(x, seed=1)
        worst = np.max(np.abs(law.probabilities - exact) / law.stderr)
        assert (worst < SIGMAS) == passes
    words = measure.overlap_law((x > 0).astype(np.uint8), seed=1)
    np.testing.assert_array_equal(words.probabilities, law.probabilities)


def test_overlap_error_bars_are_calibrated() -> None:
    """Each row meets several others: the error bars know it (chi-square, 1e-6)."""
    system, n_repeats = CurieWeiss(12), 200
    exact = exact_overlap_law(system, 0.9)
    x = system.sample(0.9, 1000 * n_repeats, seed=17).reshape(n_repeats, 1000, 12)
    laws = [measure.overlap_law(part, seed=3) for part in x]
    # 32 independent pairs of blocks: Student with 31 degrees of freedom, variance 31/29.
    low, high = stats.chi2.ppf([5e-7, 1 - 5e-7], n_repeats) / n_repeats
    for value in (6, 9, 12):
        z = [(law.probabilities[value] - exact[value]) / law.stderr[value] for law in laws]
        assert low < np.mean(np.square(z)) < 31 / 29 * high


def test_overlap_does_not_pair_neighbours_in_time() -> None:
    """Rows repeated in a row do not pile up at q = 1."""
    x = CurieWeiss(40).sample(3.0, 400, seed=8)  # pairs of random rows would give 1/400
    law = measure.overlap_law(np.repeat(x, 20, 0))
    assert law.probabilities[-1] == 0
    assert law.probabilities.sum() == pytest.approx(1)


def test_spike_count_law_is_the_law_of_the_magnetisation() -> None:
    system = CurieWeiss(30)
    exact = np.exp(system.magnetization_law(1.0)[1])
    for drawn_at, passes in [(1.0, True), (1.02, False)]:
        law = measure.spike_count_law(system.sample(drawn_at, 400_000, seed=6))
        assert (np.max(np.abs(law.probabilities - exact) / law.stderr) < SIGMAS) == passes
    assert law.probabilities.sum() == pytest.approx(1)


# ------------------------------------------------------------------ Jensen–Shannon


def test_jensen_shannon_of_known_laws() -> None:
    assert measure.jensen_shannon([0.5, 0.5], [0.5, 0.5]) == 0
    disjoint = measure.jensen_shannon([1, 0], [0, 1])
    assert disjoint == pytest.approx(np.log(2))
    assert disjoint.exact
    p, q = np.array([0.2, 0.5, 0.3]), np.array([0.4, 0.4, 0.2])
    middle = (p + q) / 2
    by_entropies = stats.entropy(middle) - stats.entropy(p) / 2 - stats.entropy(q) / 2
    assert measure.jensen_shannon(p, q) == pytest.approx(by_entropies)
    assert measure.jensen_shannon(p, q) == pytest.approx(measure.jensen_shannon(q, p))


def test_jensen_shannon_of_samples() -> None:
    system = CurieWeiss(30)
    cold, warm = (np.exp(system.magnetization_law(t)[1]) for t in (0.9, 1.1))
    exact = measure.jensen_shannon(cold, warm)
    laws = [
        measure.spike_count_law(system.sample(t, 200_000, seed=seed))
        for t, seed in ((0.9, 1), (1.1, 2), (0.93, 1))
    ]
    assert deviation(measure.jensen_shannon(laws[0], laws[1]), exact) < SIGMAS
    assert deviation(measure.jensen_shannon(laws[0], warm), exact) < SIGMAS
    assert deviation(measure.jensen_shannon(laws[2], warm), exact) > SIGMAS


def test_jensen_shannon_of_two_samples_of_one_law_has_the_stated_bias() -> None:
    p = np.full(8, 1 / 8)
    rng = np.random.default_rng(3)
    divergences = []
    for _ in range(300):
        laws = []
        for n in (500, 1000):
            counts = rng.multinomial(n // 4, p, size=4)
            laws.append(EmpiricalLaw(np.arange(8.0), counts))
        divergences.append(measure.jensen_shannon(*laws))
    stated = 7 * (1 / 500 + 1 / 1000) / 8
    stderr = np.std(divergences) / np.sqrt(300)
    assert abs(np.mean(divergences) - stated) < SIGMAS * stderr
    assert abs(np.mean(divergences) - stated / 2) > SIGMAS * stderr


# ------------------------------------------------------------------ what is handed in

bad_spins = st.sampled_from(
    [
        None,
        "spins",
        [],
        [[]],
        [1, -1, 1],
        [[1, 2], [1, 1]],
        [[1, np.nan], [1, 1]],
        [[1.5, 1.0], [1.0, 1.0]],
        [["a", "b"]],
        [[1, -1], [1]],
        np.ones((2, 2, 2)),
        [[1, -1, 1, 1]],
    ]
)


@settings(deadline=None, max_examples=40, derandomize=True)
@given(bad_spins)
def test_bad_configurations_are_refused(x: object) -> None:
    for call in (
        lambda x: measure.correlation_length(x, 2),
        measure.overlap_law,
        measure.spike_count_law,
    ):
        with pytest.raises((TypeError, ValueError), match=r"(x|words) must"):
            call(x)


def test_other_bad_input_is_refused() -> None:
    x = CurieWeiss(4).sample(1.0, 10, seed=0)
    for arguments, options, match in (
        (([0.3, 0.2], 4, 0.0), {}, "temperature"),
        (([0.3, 0.2], 0, 1.0), {}, "n_sites"),
        (([0.3], 4, 1.0), {}, "rows"),
        (([0.3, np.nan], 4, 1.0), {}, "finite"),
        ((x, 4, 1.0), {}, "values"),
    ):
        with pytest.raises(ValueError, match=match):
            order_parameter_moments(*arguments, **options)
    with pytest.raises(TypeError, match="length"):
        measure.correlation_length(x, 2.0)
    with pytest.raises(ValueError, match="shape"):
        measure.correlation_length(x, 3)
    with pytest.raises(TypeError, match="seed"):
        measure.overlap_law(x, seed="0")
    for p in ([0.5, 0.6], [-0.5, 1.5], [], "p", None, [[1.0]]):
        with pytest.raises((TypeError, ValueError), match="p must"):
            measure.jensen_shannon(p, [0.5, 0.5])
    with pytest.raises(ValueError, match="same values"):
        measure.jensen_shannon([1.0], [0.5, 0.5])
    with pytest.raises(ValueError, match="same values"):
        measure.jensen_shannon(measure.spike_count_law(x), measure.overlap_law(x))


def test_extreme_samples() -> None:
    up = np.ones((5, 6), dtype=np.int8)
    moments = order_parameter_moments(np.ones(5), 6, 1.0)
    assert moments.mean == 1
    assert moments.mean.stderr == 0
    assert not moments.mean.exact
    assert moments.susceptibility == 0
    assert moments.binder_cumulant == pytest.approx(2 / 3)
    assert measure.correlation_length(up[:, :4], 2) == np.inf
    assert np.isnan(order_parameter_moments(np.zeros(4), 6, 1.0).binder_cumulant)
