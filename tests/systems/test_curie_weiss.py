"""Curie–Weiss: every exact result by an independent route, the sampler by chi-square tests."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import quad
from scipy.special import gammaln, logsumexp, xlogy

from mfvae.systems import CurieWeiss, Estimate, System

#: Chance that a correct sampler fails one chi-square test.
FALSE_ALARM = 1e-6


def enumerate_states(n_sites: int, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """All spin configurations and their probabilities, from the Hamiltonian alone."""
    states = np.array(list(itertools.product([-1, 1], repeat=n_sites)), dtype=np.int8)
    energy = np.array([-np.sum(np.outer(s, s)) / (2 * n_sites) for s in states.astype(float)])
    weights = np.exp(-(energy - energy.min()) / temperature)
    return states, weights / weights.sum()


def entropy_of(p: np.ndarray) -> float:
    p = p[p > 0]
    return float(-p @ np.log(p))


def marginal_entropy(states: np.ndarray, p: np.ndarray, sites: list[int]) -> float:
    _, label = np.unique(states[:, sites], axis=0, return_inverse=True)
    return entropy_of(np.bincount(label.ravel(), weights=p))


def pooled_chi_square(counts: np.ndarray, probabilities: np.ndarray) -> float:
    """Survival probability of the chi-square statistic; cells below 20 expected are pooled."""
    expected = counts.sum() * probabilities
    order = np.argsort(expected)
    small = order[np.cumsum(expected[order]) < 20]
    small = np.union1d(small, np.flatnonzero(expected < 20))
    keep = np.setdiff1d(np.arange(len(expected)), small)
    observed, wanted = counts[keep].astype(float), expected[keep]
    if small.size and expected[small].sum() > 5:
        observed = np.append(observed, counts[small].sum())
        wanted = np.append(wanted, expected[small].sum())
    statistic = np.sum((observed - wanted) ** 2 / wanted)
    return float(stats.chi2.sf(statistic, len(wanted) - 1))


# ------------------------------------------------------------------ exact results


@pytest.mark.parametrize("n_sites", [2, 5, 8])
@pytest.mark.parametrize("temperature", [0.4, 1.0, 1.7])
def test_everything_agrees_with_enumeration(n_sites: int, temperature: float) -> None:
    system = CurieWeiss(n_sites)
    states, p = enumerate_states(n_sites, temperature)
    m = states.mean(axis=1)
    np.testing.assert_allclose(system.log_prob(states, temperature), np.log(p), atol=1e-12)
    np.testing.assert_allclose(system.order_parameter(states), m, atol=1e-15)
    entropy = entropy_of(p)
    assert system.entropy(temperature) == pytest.approx(entropy, abs=1e-12)
    mean_energy = p @ system.energy(states)
    assert system.internal_energy(temperature) == pytest.approx(mean_energy, abs=1e-12)
    free_energy = mean_energy - temperature * entropy
    assert system.free_energy(temperature) == pytest.approx(free_energy, abs=1e-11)
    single = sum(marginal_entropy(states, p, [i]) for i in range(n_sites))
    assert system.total_correlation(temperature) == pytest.approx(single - entropy, abs=1e-11)
    others = [[j for j in range(n_sites) if j != i] for i in range(n_sites)]
    conditional = sum(entropy - marginal_entropy(states, p, rest) for rest in others)
    dual = system.dual_total_correlation(temperature)
    assert dual == pytest.approx(entropy - conditional, abs=1e-11)
    a, b = list(range(n_sites // 2)), list(range(n_sites // 2, n_sites))
    halves = marginal_entropy(states, p, a) + marginal_entropy(states, p, b) - entropy
    assert system.mutual_information(temperature) == pytest.approx(halves, abs=1e-11)
    for order, moment in enumerate(system.magnetization_moments(temperature)):
        assert moment == pytest.approx(p @ np.abs(m) ** order, abs=1e-13)
    m1, m2, m4 = (p @ np.abs(m) ** k for k in (1, 2, 4))
    assert system.magnetization(temperature) == pytest.approx(m1, abs=1e-13)
    chi = n_sites * (m2 - m1**2) / temperature
    assert system.susceptibility(temperature) == pytest.approx(chi, abs=1e-12)
    assert system.binder_cumulant(temperature) == pytest.approx(1 - m4 / (3 * m2**2), abs=1e-12)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_log_partition_of_sixteen_spins_by_enumeration(temperature: float) -> None:
    total = np.array([16 - 2 * bin(code).count("1") for code in range(2**16)])
    log_z = logsumexp(total**2 / (32 * temperature))
    system = CurieWeiss(16)
    assert abs(-system.free_energy(temperature) / temperature - log_z) < 1e-10
    aligned = np.ones((1, 16), dtype=np.int8)
    expected = 256 / (32 * temperature) - log_z
    assert abs(system.log_prob(aligned, temperature)[0] - expected) < 1e-10


def test_published_values() -> None:
    """Numbers computed elsewhere by two independent routes, to all printed digits."""
    system = CurieWeiss(256)
    for temperature, value in [(0.5, 0.107268), (1.0, 0.663710), (1.5, 0.691459)]:
        assert round(float(system.entropy(temperature)) / 256, 6) == value
    for n_sites, half, field in [(64, 0.553, 1.130), (256, 0.826, 1.455), (1024, 1.132, 1.791)]:
        system = CurieWeiss(n_sites)
        assert round(float(system.mutual_information(1.0)), 3) == half
        assert round(float(system.field_information(1.0)), 3) == field
    for temperature, small, large in [(0.6, 0.892, 0.869), (1.5, 0.523, 0.547)]:
        assert round(float(CurieWeiss(64).field_information(temperature)), 3) == small
        assert round(float(CurieWeiss(1024).field_information(temperature)), 3) == large
    system = CurieWeiss(16)
    for temperature, *values in [
        (0.6, 0.7151, 0.7618, 6.2995),
        (1.0, 0.3279, 0.4287, 1.1743),
        (1.5, 0.1078, 0.1608, 0.2786),
    ]:
        for method, value in zip(
            (system.mutual_information, system.dual_total_correlation, system.total_correlation),
            values,
            strict=True,
        ):
            assert round(float(method(temperature)), 4) == value


def test_binder_cumulant_at_the_transition_tends_to_its_limit() -> None:
    """P(M) → exp(-x⁴/12), M = N^{3/4} x, gives U = 1 - Γ(5/4)Γ(1/4)/(3Γ(3/4)²) = 0.270520."""
    limit = 1 - np.exp(gammaln(5 / 4) + gammaln(1 / 4) - 2 * gammaln(3 / 4)) / 3
    assert round(limit, 6) == 0.270520
    sizes = np.array([10**3, 10**4, 10**5])
    difference = [CurieWeiss(int(n)).binder_cumulant(1.0) - limit for n in sizes]
    # The leading correction falls as N^{-1/2}.
    scaled = np.array(difference) * np.sqrt(sizes)
    assert scaled[2] == pytest.approx(scaled[1], rel=0.02)
    assert difference[2] == pytest.approx(0, abs=2e-3)


def test_half_cut_agrees_with_the_joint_law_of_the_halves() -> None:
    """The O(N) quadrature against the full table of (M_A, M_B), for odd and even N."""
    for n_sites, temperature in itertools.product([33, 512], [0.3, 0.9, 1.0, 2.5]):
        size_a = n_sites // 2
        size_b = n_sites - size_a
        up_a, up_b = np.arange(size_a + 1.0)[:, None], np.arange(size_b + 1.0)
        total = 2 * (up_a + up_b) - n_sites
        joint = total**2 / (2 * n_sites * temperature)
        for size, up in ((size_a, up_a), (size_b, up_b)):
            joint = joint + gammaln(size + 1) - gammaln(up + 1) - gammaln(size - up + 1)
        p = np.exp(joint - logsumexp(joint))
        # M_A is a sufficient statistic of s_A, so this is also the information between spins.
        information = entropy_of(p.sum(axis=0)) + entropy_of(p.sum(axis=1)) - entropy_of(p.ravel())
        exact = CurieWeiss(n_sites).mutual_information(temperature)
        assert exact == pytest.approx(information, abs=1e-10)


def test_field_density_is_normalised_and_is_the_magnetisation_plus_noise() -> None:
    for n_sites, temperature in itertools.product([4, 64], [0.5, 1.0, 2.0]):
        system = CurieWeiss(n_sites)

        def density(m: float, system: CurieWeiss = system, t: float = temperature) -> float:
            return float(system.field_density(m, t))

        width = np.sqrt(temperature / n_sites)
        end = 1 + 9 * width
        total = quad(density, -end, end, epsabs=1e-12, limit=400)[0]
        assert total == pytest.approx(1, abs=1e-10)
        values, log_law = system.magnetization_law(temperature)
        m = np.linspace(-1.5, 1.5, 31)
        mixture = stats.norm.pdf(m[:, None], values / n_sites, width) @ np.exp(log_law)
        np.testing.assert_allclose(system.field_density(m, temperature), mixture, atol=1e-11)
        entropy = quad(lambda m, f=density: -xlogy(f(m), f(m)), -end, end, epsabs=1e-11, limit=400)
        information = entropy[0] - 0.5 * np.log(2 * np.pi * np.e * width**2)
        assert system.field_information(temperature) == pytest.approx(information, abs=1e-8)


def test_given_the_field_the_sites_are_independent() -> None:
    """∫ dm p(m) Π_i e^{β m s_i}/(2 cosh β m) is the law of the spins."""
    system, temperature = CurieWeiss(6), 0.8
    states, p = enumerate_states(6, temperature)
    m = np.linspace(-5, 5, 4001)
    density = system.field_density(m, temperature)
    logit = m / temperature
    sums = states.sum(axis=1)[:, None]
    mixture = np.sum(density * np.exp(sums * logit - 6 * np.log(2 * np.cosh(logit))), axis=1)
    np.testing.assert_allclose(mixture * (m[1] - m[0]), p, atol=1e-12)


@pytest.mark.parametrize("temperature", [0.1, 0.95, 1.0, 1.3, 50.0])
def test_the_ladder_of_informations(temperature: float) -> None:
    """I(s; m) ≥ D ≥ half-cut information, and total correlation ≥ half cut, up to N = 10⁵."""
    system = CurieWeiss(100_000)
    half = system.mutual_information(temperature)
    assert half <= system.dual_total_correlation(temperature) + 1e-9
    assert system.dual_total_correlation(temperature) <= system.field_information(temperature)
    assert half <= system.total_correlation(temperature) + 1e-9
    assert 0 <= half < np.inf


def test_low_and_high_temperature_limits() -> None:
    system = CurieWeiss(100_000)
    for method in (system.entropy, system.mutual_information, system.field_information):
        assert method(1e-3) == pytest.approx(np.log(2), abs=1e-8)
    assert system.entropy(1e6) == pytest.approx(100_000 * np.log(2), abs=1e-8)
    # Second order in β: TC = N(N-1)/2 pairs with correlation β/N each.
    assert system.total_correlation(100.0) == pytest.approx(0.25 * 1e-4, rel=0.05)


def test_exact_results_are_estimates_and_vectors() -> None:
    system, temperatures = CurieWeiss(20), np.array([0.7, 1.1])
    for name in (
        "entropy",
        "free_energy",
        "internal_energy",
        "total_correlation",
        "dual_total_correlation",
        "mutual_information",
        "field_information",
        "magnetization",
        "susceptibility",
        "binder_cumulant",
    ):
        method = getattr(system, name)
        single = method(0.7)
        assert isinstance(single, Estimate)
        assert single.exact
        np.testing.assert_array_equal(method(temperatures), [single, method(1.1)])


def test_entropy_is_the_temperature_derivative_of_the_free_energy() -> None:
    system, step = CurieWeiss(300), 1e-4
    for temperature in (0.6, 1.0, 1.4):
        slope = (
            system.free_energy(temperature + step) - system.free_energy(temperature - step)
        ) / (2 * step)
        assert system.entropy(temperature) == pytest.approx(-slope, rel=1e-5)


# ------------------------------------------------------------------ the sampler


def magnetisation_p_value(system: CurieWeiss, drawn_at: float, tested_at: float) -> float:
    x = system.sample(drawn_at, 150_000, seed=7)
    n_up = np.count_nonzero(x == 1, axis=1)
    counts = np.bincount(n_up, minlength=system.n_sites + 1)
    return pooled_chi_square(counts, np.exp(system.magnetization_law(tested_at)[1]))


@pytest.mark.parametrize("temperature", [0.6, 1.0, 1.4])
def test_sampled_magnetisation_follows_its_law_and_no_neighbouring_one(temperature: float) -> None:
    system = CurieWeiss(256)
    assert magnetisation_p_value(system, temperature, temperature) > FALSE_ALARM
    # Negative control: the same test sees a temperature that is wrong by 2 %.
    assert magnetisation_p_value(system, 1.02 * temperature, temperature) < FALSE_ALARM


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_sampled_configurations_follow_the_enumerated_law(temperature: float) -> None:
    system, n_sites = CurieWeiss(7), 7
    _, p = enumerate_states(n_sites, temperature)
    powers = 1 << np.arange(n_sites)[::-1]
    for drawn_at, passes in [(temperature, True), (1.02 * temperature, False)]:
        x = system.sample(drawn_at, 300_000, seed=3)
        counts = np.bincount((x > 0) @ powers, minlength=2**n_sites)
        assert (pooled_chi_square(counts, p) > FALSE_ALARM) == passes


def test_up_spins_are_a_uniform_subset() -> None:
    """No site is preferred: chi-square over sites of the up-spins, 1e-6 false alarms."""
    x = CurieWeiss(50).sample(1.2, 40_000, seed=11)
    # Conditioned on M each site is up with probability (1 + M/N)/2, sites negatively correlated.
    n_up = np.count_nonzero(x == 1, axis=1)
    fraction = n_up / 50
    deviation = (x == 1).sum(axis=0) - fraction.sum()
    variance = np.sum(fraction * (1 - fraction))
    assert stats.chi2.sf(49 / 50 * np.sum(deviation**2) / variance, 49) > FALSE_ALARM
    biased = x.copy()
    biased[:, 0] = np.where(np.arange(40_000) % 20 == 0, 1, biased[:, 0])  # one site up 5 % of time
    deviation = (biased == 1).sum(axis=0) - np.mean(biased == 1) * 40_000
    assert stats.chi2.sf(49 / 50 * np.sum(deviation**2) / variance, 49) < FALSE_ALARM


def test_sampler_shapes_streams_and_seeds() -> None:
    system = CurieWeiss(12)
    one = system.sample(1.0, 30, seed=5)
    assert one.shape == (30, 12)
    assert one.dtype == np.int8
    np.testing.assert_array_equal(one, system.sample([1.0], 30, seed=5)[0])
    np.testing.assert_array_equal(one, system.sample(1.0, 30, seed=np.random.SeedSequence(5)))
    both = system.sample([1.0, 0.7], 30, seed=5)
    np.testing.assert_array_equal(both[0], one)
    assert not np.array_equal(both[1], system.sample(0.7, 30, seed=5))
    assert not np.array_equal(one, system.sample(1.0, 30, seed=6))
    chains = system.sample_chains([1.0, 0.7], 3, 10, burn_in=4, thinning=2, seed=5)
    assert chains.shape == (2, 3, 10, 12)
    np.testing.assert_array_equal(chains.reshape(2, 30, 12), both)


def test_sampler_at_the_largest_size() -> None:
    system = CurieWeiss(100_000)
    m = system.order_parameter(system.sample(0.5, 3, seed=1))
    assert np.all(np.abs(np.abs(m) - 0.957504) < 0.01)


# ------------------------------------------------------------------ what is handed in

bad_temperature = st.one_of(
    st.floats(max_value=0.0),
    st.sampled_from([np.nan, np.inf, "1.0", None, True, [[1.0]], [], [1.0, -1.0], [np.nan], {}]),
)


@settings(deadline=None, max_examples=30, derandomize=True)
@given(bad_temperature)
def test_bad_temperatures_are_refused(temperature: object) -> None:
    system = CurieWeiss(4)
    x = np.ones((2, 4), dtype=np.int8)
    for call in (
        lambda: system.sample(temperature, 2, seed=0),
        lambda: system.sample_chains(temperature, 2, 2, seed=0),
        lambda: system.log_prob(x, temperature),
        lambda: system.entropy(temperature),
        lambda: system.mutual_information(temperature),
        lambda: system.magnetization_law(temperature),
        lambda: system.field_density(0.0, temperature),
    ):
        with pytest.raises((TypeError, ValueError), match="temperature"):
            call()


@settings(deadline=None, max_examples=30, derandomize=True)
@given(st.one_of(st.integers(max_value=0), st.floats(), st.sampled_from(["3", None, True, [3]])))
def test_bad_counts_are_refused(count: object) -> None:
    system = CurieWeiss(4)
    for name, call in (
        ("n_sites", lambda: CurieWeiss(count)),
        ("n_samples", lambda: system.sample(1.0, count, seed=0)),
        ("n_chains", lambda: system.sample_chains([1.0], count, 1, seed=0)),
        ("n_records", lambda: system.sample_chains([1.0], 1, count, seed=0)),
        ("thinning", lambda: system.sample_chains([1.0], 1, 1, thinning=count or 0, seed=0)),
    ):
        if name == "thinning" and count is None:
            continue
        with pytest.raises((TypeError, ValueError), match=name):
            call()


@pytest.mark.parametrize(
    "x",
    [
        np.ones(4, dtype=np.int8),
        np.ones((2, 5), dtype=np.int8),
        np.zeros((2, 4), dtype=np.int8),
        np.ones((0, 4), dtype=np.int8),
        np.full((2, 4), np.nan),
        np.full((2, 4), "a"),
        np.ones((2, 4), dtype=bool),
        None,
        "spins",
    ],
)
def test_bad_configurations_are_refused(x: object) -> None:
    system = CurieWeiss(4)
    for call in (system.energy, system.order_parameter, lambda x: system.log_prob(x, 1.0)):
        with pytest.raises((TypeError, ValueError), match="x must"):
            call(x)


def test_bad_seeds_cuts_orders_and_fields_are_refused() -> None:
    system = CurieWeiss(4)
    for seed in (-1, 0.5, None, "0", True, np.random.default_rng(0)):
        with pytest.raises((TypeError, ValueError), match="seed"):
            system.sample(1.0, 2, seed=seed)
    with pytest.raises(ValueError, match="cut"):
        system.mutual_information(1.0, cut="quarter")
    with pytest.raises(TypeError, match="cut"):
        system.mutual_information(1.0, cut=0.5)
    with pytest.raises(ValueError, match="order"):
        system.magnetization_moments(1.0, order=-1)
    with pytest.raises(ValueError, match="m must be finite"):
        system.field_density(np.nan, 1.0)
    with pytest.raises(ValueError, match="n_sites"):
        CurieWeiss(1)


def test_it_is_a_system() -> None:
    system = CurieWeiss(9)
    assert isinstance(system, System)
    assert system.configuration() == {"class": "CurieWeiss", "n_sites": 9}
    assert repr(system) == "CurieWeiss(n_sites=9)"
