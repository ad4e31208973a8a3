"""Ising sampling against exact answers: means of independent chains, Student's t, family-wise.

Every chain gives one number (its mean), so that autocorrelation within chains is in the error.
The limit of each comparison is the two-sided quantile at 1e-6 divided by the number of comparisons
of this file; each planted error of a few percent must exceed it.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mfvae.measure import correlation_length, order_parameter_moments
from mfvae.systems import Ising2D
from mfvae.systems._ising_exact import Enumeration
from mfvae.systems.kernels import running, wolff
from mfvae.systems.kernels.random import draw_bits, scalar_states

N_COMPARISONS = 60
CRITICAL = Ising2D.CRITICAL_TEMPERATURE


def limit(n_chains: int) -> float:
    return float(stats.t.isf(1e-6 / N_COMPARISONS / 2, n_chains - 1))


def t_statistic(chain_means: np.ndarray, exact: float) -> float:
    """Distance of the mean of chains from an exact value, in standard errors."""
    error = chain_means.std(ddof=1) / np.sqrt(len(chain_means))
    return abs(float(chain_means.mean() - exact)) / error


def energy_statistics(system: Ising2D, chains: np.ndarray, temperature: float) -> dict[str, float]:
    """Energy and specific heat (about the exact mean, so unbiased) of chains, in errors."""
    exact = float(system.internal_energy(temperature))
    energy = np.array([system.energy(chain) for chain in chains])
    heat = ((energy - exact) ** 2).mean(axis=1) / temperature**2
    return {
        "energy": t_statistic(energy.mean(axis=1), exact),
        "specific heat": t_statistic(heat, float(system.specific_heat(temperature))),
    }


def magnetization_moment(small: Enumeration, order: int) -> float:
    """⟨|m|^order⟩ by enumeration."""
    return small.average(np.abs(small.spins.mean(axis=1)) ** order)


def moment_statistics(system: Ising2D, chains: np.ndarray, temperature: float) -> dict[str, float]:
    """Energy, |m| and m² of chains against enumeration, in standard errors."""
    small = Enumeration(system.length, system.coupling / temperature)
    energy = np.array([system.energy(chain) for chain in chains])
    m = np.abs([system.order_parameter(chain) for chain in chains])
    return {
        "energy": t_statistic(energy.mean(axis=1), small.average(-system.coupling * small.bonds)),
        "|m|": t_statistic(m.mean(axis=1), magnetization_moment(small, 1)),
        "m²": t_statistic((m**2).mean(axis=1), magnetization_moment(small, 2)),
    }


# ------------------------------------------------------------------ against exact answers


@pytest.mark.parametrize("temperature", [1.8, 2.269, 3.0])
@pytest.mark.parametrize(
    ("length", "coupling", "algorithm"),
    [(4, 1.0, "wolff"), (4, -1.0, "wolff"), (3, -1.0, "auto"), (4, 1.0, "metropolis")],
)
def test_small_tori_against_enumeration(
    length: int, coupling: float, algorithm: str, temperature: float
) -> None:
    system = Ising2D(length, coupling)
    chains = system.sample_chains(temperature, 1000, 100, seed=1, algorithm=algorithm)[0]
    for name, value in moment_statistics(system, chains, temperature).items():
        assert value < limit(1000), name


@pytest.mark.parametrize("temperature", [1.8, 2.269, 3.0])
@pytest.mark.parametrize("length", [16, 32])
def test_energy_and_specific_heat_against_kaufman(length: int, temperature: float) -> None:
    system = Ising2D(length)
    chains = system.sample_chains(temperature, 1000, 30, seed=2)[0]
    for name, value in energy_statistics(system, chains, temperature).items():
        assert value < limit(1000), name
    # The same statistic finds a temperature that is two percent off.
    wrong = system.sample_chains(temperature * 1.02, 1000, 30, seed=2)[0]
    found = energy_statistics(system, wrong, temperature)
    assert found["energy"] > limit(1000)
    assert max(found.values()) > 10


def test_planted_error_of_the_bond_probability_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = wolff.bond_threshold
    monkeypatch.setattr(wolff, "bond_threshold", lambda k: np.uint64(round(0.98 * int(honest(k)))))
    system = Ising2D(4)
    chains = system.sample_chains(2.269, 1000, 100, seed=1, burn_in=60, thinning=3)[0]
    found = moment_statistics(system, chains, 2.269)
    assert min(found.values()) > limit(1000)


def test_stopping_at_a_budget_of_flips_is_found() -> None:
    """Records taken when enough spins have flipped favour states that follow large clusters."""
    system, n_chains = Ising2D(4), 200
    table, threshold = wolff.neighbour_table(4), wolff.bond_threshold(1 / CRITICAL)
    chains = np.empty((n_chains, 100, 16), dtype=np.int8)
    for k in range(n_chains):
        spins, queue = np.ones(16, np.uint8), np.empty(17, np.uint32)
        state = scalar_states(np.random.SeedSequence((7, k)), 1)[0]
        wolff.wolff_clusters(spins, queue, state, table, threshold, 50)
        for record in range(100):
            flipped = 0
            while flipped < 16:
                flipped += int(wolff.wolff_clusters(spins, queue, state, table, threshold, 1))
            chains[k, record] = 2 * spins.astype(np.int8) - 1
    assert moment_statistics(system, chains, CRITICAL)["energy"] > limit(n_chains)


@pytest.mark.parametrize(
    ("coupling", "temperature", "planted"), [(1.0, 1.5, 1.03), (1.0, 3.0, 1.03), (-1.0, 2.0, 1.1)]
)
def test_whole_law_at_length_three(coupling: float, temperature: float, planted: float) -> None:
    """Chi-square over all 512 configurations, one record from each of many chains."""
    system, small = Ising2D(3, coupling), Enumeration(3, coupling / temperature)
    x = system.sample_chains(temperature, 40_000, 1, seed=3, burn_in=60, thinning=1)[0, :, 0]

    def p_value(probability: np.ndarray) -> float:
        counts = np.bincount((x > 0) @ (1 << np.arange(9)[::-1]), minlength=512)
        expected = probability * len(x)
        rare = expected < 20
        observed = np.append(counts[~rare], counts[rare].sum())
        wanted = np.append(expected[~rare], expected[rare].sum())
        observed, wanted = observed[wanted > 0], wanted[wanted > 0]
        return float(stats.chisquare(observed, wanted).pvalue)

    assert p_value(small.probability) > 1e-7
    # A law a few percent colder is told apart (ten where frustration hides the energy).
    assert p_value(Enumeration(3, planted * coupling / temperature).probability) < 1e-7


def test_binder_cumulant_and_correlation_length_against_enumeration() -> None:
    system, small = Ising2D(4), Enumeration(4, 1 / CRITICAL)
    x = system.sample(CRITICAL, 100_000, seed=4, n_chains=1000)
    lattice = small.spins.reshape(-1, 4, 4)
    wave = np.exp(2j * np.pi * np.arange(4) / 4)
    peak = small.average(np.abs(lattice.sum(axis=1) @ wave) ** 2)
    second, fourth = magnetization_moment(small, 2), magnetization_moment(small, 4)
    ratio = 16**2 * second / peak
    length = np.sqrt(ratio - 1) / (2 * np.sin(np.pi / 4))
    moments = order_parameter_moments(x.mean(axis=1), 16, CRITICAL)
    for found, exact in (
        (moments.binder_cumulant, 1 - fourth / (3 * second**2)),
        (correlation_length(x, 4), length),
    ):
        assert abs(found - exact) < limit(64) * found.stderr  # blocks of the jackknife
        assert found.stderr < 0.02 * exact


@pytest.mark.parametrize(
    ("length", "temperature", "reference", "error"),
    [
        (16, 2.269185, 12.561, 0.007),
        (32, 2.269185, 51.67, 0.02),
        (64, 2.269185, 211.42, 0.06),
        (16, 2.6, 20.48, 0.01),
        (32, 2.6, 83.09, 0.03),
        (64, 2.6, 332.1, 0.1),
    ],
)
def test_dual_total_correlation_reference_values(
    length: int, temperature: float, reference: float, error: float
) -> None:
    system = Ising2D(length)
    n_records = {16: 1000, 32: 400, 64: 100}[length]
    found = system.dual_total_correlation(temperature, n_records=n_records, seed=5)
    assert not found.exact
    assert abs(found - reference) < limit(64) * np.hypot(found.stderr, error)
    assert found.stderr < 0.003 * reference
    # The statistic tells apart a temperature three percent higher.
    other = system.dual_total_correlation(1.03 * temperature, n_records=n_records, seed=5)
    if temperature < 2.5:  # beyond T_c D passes its maximum and hardly depends on T
        assert abs(other - reference) > limit(64) * np.hypot(other.stderr, error)


def test_dual_total_correlation_estimate_has_an_honest_error() -> None:
    """The estimator (used above L = 4) against enumeration at L = 4, over independent seeds."""
    from mfvae.systems._ising_exact import mean_conditional_entropy

    system, temperature = Ising2D(4), 2.0
    exact = system.entropy(temperature) - system.dual_total_correlation(temperature)
    known = float(system.internal_energy(temperature))
    scores = []
    for seed in range(200):
        chains = system.sample_chains(temperature, 64, 20, seed=seed)[0]
        energies = np.array([system.energy(chain) for chain in chains])
        found = mean_conditional_entropy(chains, 1 / temperature, energies, known)
        scores.append((found - exact) / found.stderr)
    assert abs(np.mean(scores)) < 5.5 / np.sqrt(200)
    # Student's t with 62 degrees of freedom: variance 62/60; sample variance within 5.5 errors.
    assert abs(np.var(scores) - 62 / 60) < 5.5 * np.sqrt(2 / 200) * 62 / 60


def test_checkerboard_cut_is_the_dual_total_correlation() -> None:
    system = Ising2D(6, -1.0)
    options = {"n_chains": 16, "n_records": 20, "seed": 3}
    cut = system.mutual_information([2.0, 2.5], "checkerboard", **options)
    assert cut == system.dual_total_correlation([2.0, 2.5], **options)


# ------------------------------------------------------------------ kernels


def test_generator_is_xoshiro256_plus_plus() -> None:
    """The first outputs of the reference implementation from the state 1, 2, 3, 4."""
    state = np.arange(1, 5, dtype=np.uint64)
    outputs = [int(draw_bits(state)) for _ in range(5)]
    assert outputs == [41943041, 58720359, 3588806011781223, 3591011842654386, 9228616714210784205]


def test_bonds_decided_by_a_tie_have_their_probability() -> None:
    """A bond probability below 2^-16 is decided in the rare branch alone."""
    length, n_clusters = 16, 20_000_000
    spins = np.random.default_rng(0).integers(0, 2, length**2).astype(np.uint8)
    queue, state = (
        np.empty(length**2 + 1, np.uint32),
        scalar_states(np.random.SeedSequence(1), 1)[0],
    )
    threshold = np.uint64(2**15)  # 2^-17
    flipped = wolff.wolff_clusters(
        spins, queue, state, wolff.neighbour_table(length), threshold, n_clusters
    )
    joined = int(flipped) - n_clusters
    expected = n_clusters * 4 / 2 * 2.0**-17  # half of the neighbours are equal
    assert abs(joined - expected) < 5.5 * np.sqrt(expected)


def test_certain_bonds_flip_the_whole_lattice_and_impossible_ones_a_single_spin() -> None:
    for threshold, size in ((wolff.bond_threshold(50.0), 25), (np.uint64(0), 1)):
        spins, queue = np.zeros(25, np.uint8), np.empty(26, np.uint32)
        state = scalar_states(np.random.SeedSequence(0), 1)[0]
        flipped = wolff.wolff_clusters(spins, queue, state, wolff.neighbour_table(5), threshold, 1)
        assert flipped == size == spins.sum()


def test_mean_cluster_size_is_the_susceptibility() -> None:
    """⟨|C|⟩ = N⟨m²⟩ (Wolff 1989), cluster sizes averaged within chains."""
    n_chains, table, threshold = 400, wolff.neighbour_table(4), wolff.bond_threshold(1 / 2.5)
    sizes = np.empty(n_chains)
    for k in range(n_chains):
        spins, queue = np.ones(16, np.uint8), np.empty(17, np.uint32)
        state = scalar_states(np.random.SeedSequence((9, k)), 1)[0]
        wolff.wolff_clusters(spins, queue, state, table, threshold, 100)
        sizes[k] = wolff.wolff_clusters(spins, queue, state, table, threshold, 1000) / 1000
    exact = 16 * magnetization_moment(Enumeration(4, 1 / 2.5), 2)
    assert t_statistic(sizes, exact) < limit(n_chains)
    assert t_statistic(1.02 * sizes, exact) > limit(n_chains)


# ------------------------------------------------------------------ randomness and shapes


def test_same_bits_whatever_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    system, drawn = Ising2D(8), []
    for n_threads in (1, 4):
        monkeypatch.setattr(running, "thread_count", lambda n=n_threads: n)
        drawn.append(system.sample_chains([2.0, 2.5], 8, 5, seed=0))
    np.testing.assert_array_equal(*drawn)


def test_streams() -> None:
    system = Ising2D(5)
    seed = np.random.SeedSequence(11)
    both = system.sample([2.0, 3.0], 7, seed=seed)
    assert both.shape == (2, 7, 25)
    np.testing.assert_array_equal(system.sample([2.0], 7, seed=11)[0], both[0])
    np.testing.assert_array_equal(system.sample(2.0, 7, seed=11), both[0])
    # Chains do not depend on how many others there are, nor records on how many follow.
    few = system.sample_chains(2.0, 2, 3, seed=11)
    many = system.sample_chains(2.0, 4, 6, seed=11)
    np.testing.assert_array_equal(few, many[:, :2, :3])
    assert not np.array_equal(few[0, 0], few[0, 1])
    assert not np.array_equal(few, system.sample_chains(2.0, 2, 3, seed=12))


def test_sign_is_free_below_the_transition() -> None:
    """Every record is up or down with equal probability, independently of the one before."""
    x = Ising2D(8).sample_chains(0.5, 50, 100, seed=0)[0]
    up = x.mean(axis=2) > 0
    assert abs(up.sum() - 2500) < 5.5 * np.sqrt(1250)
    assert abs((up[:, 1:] == up[:, :-1]).sum() - 2475) < 5.5 * np.sqrt(4950 / 4)


def test_schedule_follows_the_cluster_size() -> None:
    system = Ising2D(16)
    burn_in, thinning = system.schedule(2.0)
    assert system.schedule(2.0) == (burn_in, thinning) == Ising2D(16, -1.0).schedule(2.0)
    assert 1 <= thinning < burn_in
    hot = system.schedule(1e6)[1]
    assert hot == pytest.approx(2 * 256, rel=0.01)  # clusters of one spin
    assert system.schedule(0.1)[1] == 2
    assert Ising2D(5, -1.0).schedule(2.0) == (2000, 10)


@given(
    n_chains=st.integers(1, 4),
    n_samples=st.integers(1, 9),
    coupling=st.sampled_from([1.0, -1.0]),
    length=st.integers(3, 6),
)
@settings(deadline=None, max_examples=25, derandomize=True)
def test_shapes(n_chains: int, n_samples: int, coupling: float, length: int) -> None:
    system = Ising2D(length, coupling)
    x = system.sample([1.0, 9.0], n_samples, seed=0, n_chains=n_chains, burn_in=0, thinning=1)
    assert x.shape == (2, n_samples, length**2)
    assert x.dtype == np.int8
    assert set(np.unique(x)) <= {-1, 1}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_chains", 0),
        ("n_records", -1),
        ("n_records", 2.0),
        ("burn_in", -1),
        ("thinning", 0),
        ("seed", -1),
        ("seed", None),
        ("algorithm", "gibbs"),
    ],
)
def test_bad_arguments_are_refused(name: str, value: object) -> None:
    arguments = {"temperatures": [2.0], "n_chains": 2, "n_records": 2, "seed": 0, name: value}
    with pytest.raises((TypeError, ValueError), match=name):
        Ising2D(4).sample_chains(**arguments)
