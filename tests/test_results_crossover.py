"""The sweep over the range, and the magnet it rests on: both solved ends, enumeration, a twin.

Every chain gives one number (its mean), so that autocorrelation within chains is in the error. The
limit of each comparison is the two-sided quantile of Student's t at 1e-6 divided by the number of
comparisons of this file; each planted error of a few percent must exceed it.
"""

from __future__ import annotations

import itertools
from functools import lru_cache

import crossover
import numpy as np
import pytest
from _clusters import distance, plain_clusters
from _integration import estimate_log_partition
from _kac import KacIsing
from _seeds import tolerance
from scipy import stats

import mfvae
from mfvae.systems import CurieWeiss, Ising2D
from mfvae.systems.kernels import running

SMALL = {"n_training": 200, "n_validation": 64, "n_test": 128, "n_samples": 64, "n_nodes": 4}
N_COMPARISONS = 80
CRITICAL = float(Ising2D.CRITICAL_TEMPERATURE) / 4


def limit(n_chains: int) -> float:
    return float(stats.t.isf(1e-6 / N_COMPARISONS / 2, n_chains - 1))


def t_statistic(chain_means: np.ndarray, exact: float) -> float:
    """Distance of the mean of chains from an exact value, in standard errors."""
    error = chain_means.std(ddof=1) / np.sqrt(len(chain_means))
    return abs(float(chain_means.mean() - exact)) / error


def pairs_within(length: int, reach: float) -> list[tuple[int, int]]:
    """All pairs of sites at a distance of at most ``reach``, site by site."""
    found = []
    for i, j in itertools.combinations(range(length**2), 2):
        apart = [abs(a - b) for a, b in zip(divmod(i, length), divmod(j, length), strict=True)]
        if sum(min(d, length - d) ** 2 for d in apart) <= reach**2 + 1e-9:
            found.append((i, j))
    return found


@lru_cache
def enumeration(length: int, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """All configurations and their energies, from the list of pairs alone."""
    states = np.array(list(itertools.product([-1, 1], repeat=length**2)), dtype=np.int8)
    pairs = pairs_within(length, reach)
    aligned = np.zeros(len(states))
    for i, j in pairs:
        aligned += states[:, i] * states[:, j]
    return states, -aligned * length**2 / (2 * len(pairs))


def law(energy: np.ndarray, temperature: float) -> tuple[np.ndarray, float]:
    """Probabilities of all configurations, and ln Z."""
    weights = np.exp(-(energy - energy.min()) / temperature)
    return weights / weights.sum(), np.log(weights.sum()) - energy.min() / temperature


# ------------------------------------------------------------------ the system


@pytest.mark.parametrize(
    ("length", "reach", "n_neighbours"),
    [(3, 1, 4), (3, 2, 8), (4, 1.5, 8), (4, 2, 10), (4, 3, 15), (16, 2**0.5, 8), (16, 3, 28)],
)
def test_energy_and_fields_by_pairs(length: int, reach: float, n_neighbours: int) -> None:
    system = KacIsing(length, reach)
    assert system.n_neighbours == n_neighbours
    x = np.random.default_rng(0).choice(np.array([-1, 1], np.int8), (5, length**2))
    coupling = np.zeros((length**2, length**2))
    for i, j in pairs_within(length, reach):
        coupling[i, j] = coupling[j, i] = 1 / n_neighbours
    np.testing.assert_allclose(system.local_field(x), x @ coupling, atol=1e-12)
    np.testing.assert_allclose(system.energy(x), -((x @ coupling) * x).sum(axis=1) / 2, atol=1e-10)
    np.testing.assert_allclose(system.order_parameter(x), x.mean(axis=1))
    assert system.energy(np.ones((1, length**2))) == pytest.approx(-(length**2) / 2)


@pytest.mark.parametrize("length", [3, 4])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_both_ends_are_solved(length: int, temperature: float) -> None:
    for reach, kind in ((1, Ising2D), (length, CurieWeiss)):
        states, energy = enumeration(length, reach)
        p, log_z = law(energy, temperature)
        system = KacIsing(length, reach)
        assert system.log_partition(temperature) == pytest.approx(log_z, abs=1e-10)
        assert system.internal_energy(temperature) == pytest.approx(p @ energy, abs=1e-10)
        entropy = -np.sum(p * np.log(p))
        assert system.entropy(temperature) == pytest.approx(entropy, abs=1e-9)
        same, at = system.same_law(temperature)
        assert isinstance(same, kind)
        np.testing.assert_allclose(same.log_prob(states[:9], at), np.log(p[:9]), atol=1e-10)


def test_between_the_ends_nothing_is_claimed() -> None:
    system = KacIsing(8, 2)
    for call in (system.log_partition, system.internal_energy, system.same_law):
        with pytest.raises(NotImplementedError, match="reach 2"):
            call(1.0)
    for arguments, error in (((2,), ValueError), ((8, 0.5), ValueError), ((8, "1"), TypeError)):
        with pytest.raises(error):
            KacIsing(*arguments)


# ------------------------------------------------------------------ the sampler


def moments(system: KacIsing, chains: np.ndarray) -> dict[str, np.ndarray]:
    """Means of each chain."""
    energy = np.array([system.energy(chain) for chain in chains])
    m = np.abs([system.order_parameter(chain) for chain in chains])
    return {
        "energy": energy.mean(axis=1),
        "energy²": (energy**2).mean(axis=1),
        "|m|": m.mean(axis=1),
        "m²": (m**2).mean(axis=1),
    }


def exact_moments(length: int, reach: float, temperature: float) -> dict[str, float]:
    states, energy = enumeration(length, reach)
    p, _ = law(energy, temperature)
    m = np.abs(states.mean(axis=1))
    return {"energy": p @ energy, "energy²": p @ energy**2, "|m|": p @ m, "m²": p @ m**2}


@pytest.mark.parametrize("temperature", [0.6, 1.1])
@pytest.mark.parametrize(
    ("length", "reach"),
    [(3, 1), *(pytest.param(4, r, marks=pytest.mark.slow) for r in (1, 1.5, 2, 3))],
)
def test_small_tori_against_enumeration(length: int, reach: float, temperature: float) -> None:
    system, exact = KacIsing(length, reach), exact_moments(length, reach, temperature)
    chains = system.sample_chains(temperature, 400, 100, seed=1, burn_in=30, thinning=2)[0]
    for name, means in moments(system, chains).items():
        assert t_statistic(means, exact[name]) < limit(400), name


@pytest.mark.slow
def test_planted_errors_are_found() -> None:
    system, exact = KacIsing(4, 2), exact_moments(4, 2, 0.8)
    options = {"n_chains": 400, "n_records": 100, "seed": 1, "burn_in": 30, "thinning": 2}
    assert system.n_neighbours == 10
    honest = moments(system, system.sample_chains(0.8, **options)[0])
    assert max(t_statistic(honest[k], exact[k]) for k in exact) < limit(400)
    # A bond probability that is three percent off, as from a temperature that is.
    wrong = moments(system, system.sample_chains(0.8 * 1.03, **options)[0])
    assert min(t_statistic(wrong[k], exact[k]) for k in exact) > limit(400)
    # A skip over the last neighbour, at the same bond probability.
    broken = KacIsing(4, 2)
    broken._shifts = system._shifts[:-1]
    wrong = moments(system, broken.sample_chains(0.8 * 10 / 9, **options)[0])
    assert min(t_statistic(wrong[k], exact[k]) for k in exact) > limit(400)


@pytest.mark.slow
def test_every_state_has_its_probability() -> None:
    """Chi-square over all 512 states, of independent chains; rare states count as one."""
    system, temperature, n_chains = KacIsing(3, 1), 0.7, 20_000
    x = system.sample_chains(temperature, n_chains, 1, seed=2, burn_in=15)[0, :, 0]
    _, energy = enumeration(3, 1)

    def surprise(temperature: float) -> float:
        expected = n_chains * law(energy, temperature)[0]
        observed = np.bincount((x > 0) @ (1 << np.arange(9)[::-1]), minlength=512)
        rare = expected < 20
        observed, expected = (
            np.append(counts[~rare], counts[rare].sum()) for counts in (observed, expected)
        )
        statistic = ((observed - expected) ** 2 / expected).sum()
        return float(stats.chi2.sf(statistic, len(expected) - 1))

    assert surprise(temperature) > 1e-6 / N_COMPARISONS
    assert surprise(1.05 * temperature) < 1e-6 / N_COMPARISONS


@pytest.mark.slow
def test_nearest_neighbours_are_the_ising_model() -> None:
    system, plain = KacIsing(16, 1), Ising2D(16)
    for temperature in (CRITICAL, 1.2 * CRITICAL):
        exact = plain.internal_energy(4 * temperature) / 4
        variance = float(plain.specific_heat(4 * temperature)) * temperature**2
        chains = system.sample_chains(temperature, 200, 30, seed=3, burn_in=60)[0]
        found = moments(system, chains)
        assert t_statistic(found["energy"], exact) < limit(200)
        assert t_statistic(found["energy²"], variance + exact**2) < limit(200)
        wrong = plain.internal_energy(4 * temperature * 1.02) / 4
        assert t_statistic(found["energy"], wrong) > limit(200)


@pytest.mark.slow
def test_everyone_a_neighbour_is_curie_weiss() -> None:
    system = KacIsing(12, 12)
    for temperature in (0.8, 1.0, 1.3):
        chains = system.sample_chains(temperature, 200, 50, seed=4, burn_in=50, thinning=4)[0]
        found = moments(system, chains)
        magnet, same = system.same_law(temperature)
        _, first, second = magnet.magnetization_moments(same, 2)
        assert t_statistic(found["energy"], system.internal_energy(temperature)) < limit(200)
        assert t_statistic(found["|m|"], first) < limit(200)
        assert t_statistic(found["m²"], second) < limit(200)
        wrong = magnet.magnetization_moments(same * 1.05, 2)[2]
        assert t_statistic(found["m²"], wrong) > limit(200)


@pytest.mark.slow
def test_kac_sweep_has_the_law_of_its_twin() -> None:
    system, n_chains = KacIsing(5, 2), 2000
    grid = np.indices((5, 5)).reshape(2, -1)
    apart = np.abs(grid[:, :, None] - grid[:, None, :])
    squares = (np.minimum(apart, 5 - apart) ** 2).sum(axis=0)
    pairs = np.argwhere(np.triu(squares <= 4, 1))
    assert len(pairs) == 25 * system.n_neighbours / 2

    def plain(temperature: float) -> np.ndarray:
        rng, spins = np.random.default_rng(3), np.ones((n_chains, 25), int)
        bond = -np.expm1(-2 / (system.n_neighbours * temperature))
        for _ in range(3):
            for x in spins:
                equal = x[pairs[:, 0]] == x[pairs[:, 1]]
                x[plain_clusters(pairs, bond * equal, rng)] *= -1
        return spins

    def found(x: np.ndarray) -> np.ndarray:
        return np.stack([system.energy(x), x.sum(axis=1, dtype=float) ** 2], axis=1)

    kernel = system.sample_chains(0.8, n_chains, 1, seed=4, burn_in=3)[0, :, 0]
    assert distance(found(kernel), found(plain(0.8))) < limit(n_chains)
    assert distance(found(kernel), found(plain(0.9))) > limit(n_chains)


# ------------------------------------------------------------------ ln Z from samples


@pytest.mark.slow
def test_estimated_partition_function() -> None:
    """Thermodynamic integration against both ends and, between them, enumeration."""
    for length, reach, temperature in ((8, 1, CRITICAL), (8, 8, 1.0), (4, 1.5, 0.6)):
        system = KacIsing(length, reach)
        if length == 4:
            exact = law(enumeration(length, reach)[1], temperature)[1]
        else:
            exact = float(system.log_partition(temperature))
        found = estimate_log_partition(system, temperature, 2000, seed=5, n_nodes=16)
        assert not found.exact
        assert abs(found - exact) < limit(32) * found.stderr
        assert found.stderr < 0.002 * exact
        # Energies that are four percent off are seen where there is enough of them.
        free = system.n_sites * np.log(2)
        if exact > free + 3:
            assert abs(free + 1.04 * (found - free) - exact) > limit(32) * found.stderr
        else:
            assert reach == 8


# ------------------------------------------------------------------ randomness and shapes


def test_same_bits_whatever_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    system, drawn = KacIsing(8, 2), []
    for n_threads in (1, 4):
        monkeypatch.setattr(running, "thread_count", lambda n=n_threads: n)
        drawn.append(system.sample_chains([0.8, 1.2], 8, 5, seed=0))
    np.testing.assert_array_equal(*drawn)


def test_streams() -> None:
    system = KacIsing(5, 2)
    both = system.sample([0.8, 1.2], 7, seed=np.random.SeedSequence(11))
    assert both.shape == (2, 7, 25)
    assert both.dtype == np.int8
    assert set(np.unique(both)) == {-1, 1}
    np.testing.assert_array_equal(system.sample(0.8, 7, seed=11), both[0])
    few = system.sample_chains(0.8, 2, 3, seed=11)
    many = system.sample_chains(0.8, 4, 6, seed=11)
    np.testing.assert_array_equal(few, many[:, :2, :3])
    assert not np.array_equal(few[0, 0], few[0, 1])
    assert system.sample_chains(0.8, 2, 3, seed=11, burn_in=0)[0, :, 0].min() == 1


def test_sign_is_free_below_the_transition() -> None:
    x = KacIsing(8, 2).sample_chains(0.2, 50, 100, seed=0)[0]
    up = x.mean(axis=2) > 0
    assert abs(up.sum() - 2500) < 5.5 * np.sqrt(1250)
    assert abs((up[:, 1:] == up[:, :-1]).sum() - 2475) < 5.5 * np.sqrt(4950 / 4)


# ------------------------------------------------------------------ the sweep


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


@pytest.mark.slow
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


def test_gaussian_gap_is_the_best_divergence_of_a_low_rank_model(monkeypatch) -> None:
    """Of waves with known mean squares: by direct search over what d latents can say."""
    spectrum = np.array([6.0, 3.0, 2.5, 1.5, 1.2, 0.9, 0.5, 0.4])
    planted = np.tile(spectrum, (crossover.N_CHAINS, 1))
    monkeypatch.setattr(crossover, "power_spectra", lambda *a: planted)
    found = crossover.gaussian_gap(8, 1, 1.0, 3, 0)
    assert found.stderr == pytest.approx(0, abs=1e-12)

    def divergence(noise: float, kept: np.ndarray) -> float:
        model = np.where(kept, np.maximum(spectrum, noise), noise)
        return float(0.5 * (spectrum / model - 1 - np.log(spectrum / model)).sum())

    strongest = np.arange(8) < 3
    best = min(divergence(noise, strongest) for noise in np.linspace(0.3, 3, 2701))
    assert float(found) == pytest.approx(best, abs=1e-6)
    assert divergence(spectrum[3:].mean() * 1.05, strongest) > best + 1e-3
    others = np.arange(8) > 4
    assert min(divergence(noise, others) for noise in np.linspace(0.3, 3, 271)) > best + 0.1


def test_every_range_and_number_of_latents_has_three_seeds_at_the_transition() -> None:
    rows = mfvae.load_results("crossover")["rows"]
    of_size = (r for r in rows if (r["n_sites"], r["ratio"]) == (256, 1.0))
    assert len({(r["reach"], r["n_latents"], r["seed"]) for r in of_size}) >= 5 * 6 * 3


@pytest.mark.slow
def test_a_stored_row_can_be_computed_again() -> None:
    key = 256, 5, 1.0, 2, 0, "linear"
    rows = mfvae.load_results("crossover")["rows"]
    (row,) = (r for r in rows if tuple(r[name] for name in crossover.NAMES) == key)
    again = crossover.compute_row(*key)
    for name in ("log_partition", "gaussian_gap", "total_correlation"):  # no training in these
        assert again[name] == pytest.approx(row[name], abs=2e-3)
    far = tolerance("crossover", "gap", **dict(zip(crossover.NAMES[:4], key[:4], strict=True)))
    assert abs(again["gap"][0] - row["gap"][0]) < far
    assert abs(again["gap"][0] - 0.5 * row["gap"][0]) > far
