"""The sweep over directors on a lattice, and the system: a ring, exact by Legendre polynomials.

The lattice is compared with a series and a twin. Every chain gives one number (its mean), so that
autocorrelation within chains is in the error. The limit of each comparison is the two-sided
quantile of Student's t at 1e-6 divided by the number of comparisons of this file; each planted
error of a few percent must exceed it.
"""

from __future__ import annotations

import lebwohl_lasher
import numpy as np
import pytest
from _clusters import distance, plain_clusters
from _integration import estimate_log_partition
from _lebwohl_lasher import LebwohlLasher, run_chains
from _seeds import tolerance
from scipy import stats
from scipy.special import eval_legendre

import mfvae
from mfvae.systems import MaierSaupe
from mfvae.systems.kernels import running

SMALL = {"n_training": 200, "n_validation": 64, "n_test": 128, "n_samples": 64, "n_nodes": 4}
N_COMPARISONS = 40
NODES, WEIGHTS = np.polynomial.legendre.leggauss(200)


def limit(n_chains: int) -> float:
    return float(stats.t.isf(1e-6 / N_COMPARISONS / 2, n_chains - 1))


def t_statistic(chain_means: np.ndarray, exact: float) -> float:
    """Distance of the mean of chains from an exact value, in standard errors."""
    error = chain_means.std(ddof=1) / np.sqrt(len(chain_means))
    return abs(float(chain_means.mean() - exact)) / error


def legendre_integrals(degree: int, beta: float) -> tuple[float, float, float]:
    """½∫ P_l(x) P₂(x)^k exp(β P₂(x)) dx for k = 0, 1, 2: an eigenvalue and its derivatives."""
    p2 = eval_legendre(2, NODES)
    weight = WEIGHTS / 2 * eval_legendre(degree, NODES) * np.exp(beta * p2)
    return tuple(float(weight @ p2**k) for k in range(3))


# ------------------------------------------------------------------ the system


def test_energy_by_bonds() -> None:
    system = LebwohlLasher(3)
    x = np.random.default_rng(0).standard_normal((4, 27, 3))
    x = (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)
    energy = np.zeros(4)
    for i in range(27):
        here = np.unravel_index(i, (3, 3, 3))
        for axis in range(3):
            there = list(here)
            there[axis] = (there[axis] + 1) % 3
            j = np.ravel_multi_index(there, (3, 3, 3))
            dot = np.sum(x[:, i].astype(float) * x[:, j], axis=1)
            energy -= 1.5 * dot**2 - 0.5
    np.testing.assert_allclose(system.energy(x), energy, rtol=1e-12)
    np.testing.assert_allclose(system.energy(-x), energy, rtol=1e-12)
    parallel = np.broadcast_to(np.array([0.0, 0.6, 0.8]), (1, 27, 3))
    assert system.energy(parallel) == pytest.approx(-81)
    assert system.order_parameter(parallel) == pytest.approx(1)
    np.testing.assert_allclose(system.order_parameter(x), MaierSaupe(27).order_parameter(x))
    for call in (lambda: LebwohlLasher(2), lambda: system.energy(x[:, :-1])):
        with pytest.raises(ValueError, match=r"length|shape"):
            call()
    with pytest.raises(NotImplementedError, match="no partition function"):
        system.log_partition(1.0)


# ------------------------------------------------------------------ the sampler


def ring_chains(n_sites: int, beta: float, n_chains: int, n_records: int) -> np.ndarray:
    """Energies of the kernel's chains on a ring, (n_chains, n_records)."""
    sites = np.arange(n_sites, dtype=np.uint32)
    ring = np.stack([np.roll(sites, 1), np.roll(sites, -1)], axis=1)
    x = np.empty((n_chains, n_records, n_sites, 3), np.float32)
    seeds = np.random.SeedSequence(1).spawn(n_chains)
    chains = [(s, beta, k % 2 == 0, 40, 4, x[k]) for k, s in enumerate(seeds)]
    run_chains(ring, chains)
    x = x.astype(float)
    dots = np.einsum("...ik,...ik->...i", x, np.roll(x, 1, axis=-2))
    return -np.sum(1.5 * dots**2 - 0.5, axis=-1)


def ring_energy(n_sites: int, beta: float) -> tuple[float, float]:
    """⟨E⟩ and ⟨E²⟩ from ``Z = Σ_l (2l + 1) λ_l^N``."""
    z = np.zeros(3)
    for degree in range(0, 60, 2):
        value, first, second = legendre_integrals(degree, beta)
        n, weight = n_sites, 2 * degree + 1
        z[0] += weight * value**n
        z[1] -= weight * n * value ** (n - 1) * first
        z[2] += weight * n * ((n - 1) * value ** (n - 2) * first**2 + value ** (n - 1) * second)
    return float(z[1] / z[0]), float(z[2] / z[0])


@pytest.mark.parametrize(
    "beta", [2.0, *(pytest.param(b, marks=pytest.mark.slow) for b in (0.5, 8.0))]
)
def test_ring_against_the_transfer_operator(beta: float) -> None:
    energy = ring_chains(6, beta, 400, 200)
    mean, square = ring_energy(6, beta)
    assert t_statistic(energy.mean(axis=1), mean) < limit(400)
    assert t_statistic((energy**2).mean(axis=1), square) < limit(400)
    # Planted errors: a temperature five percent off, and the open chain's energy.
    assert t_statistic(energy.mean(axis=1), ring_energy(6, 1.05 * beta)[0]) > limit(400)
    value, first, _ = legendre_integrals(0, beta)
    if beta < 8:  # deep in the cold the two differ by little
        assert t_statistic(energy.mean(axis=1), -6 * first / value) > limit(400) or beta < 1


def series_log_z(length: int, beta: float, *, loops: bool = True) -> float:
    """ln Z of a site at high temperature less ln 4π: tree, plaquettes, loops of six bonds.

    Relative to independent bonds a loop of n bonds adds 5 tⁿ to Z, t = λ₂/λ₀. There are 3 and 22 a
    site, and 3/L that go straight round the torus; what is left out is of order t⁷.
    """
    zero, two = (legendre_integrals(degree, beta)[0] for degree in (0, 2))
    t = two / zero
    straight = 3 / length * t**length
    return float(3 * np.log(zero) + loops * 5 * (3 * t**4 + 22 * t**6 + straight))


def series_energy(length: int, beta: float, **options: bool) -> float:
    """⟨E⟩ of a site at high temperature."""
    step = 1e-4
    higher, lower = (series_log_z(length, beta + by, **options) for by in (step, -step))
    return (lower - higher) / (2 * step)


@pytest.mark.slow
def test_lattice_against_the_high_temperature_series() -> None:
    system, beta = LebwohlLasher(6), 0.4
    chains = system.sample_chains(1 / beta, 200, 60, seed=2, burn_in=40, thinning=4)[0]
    means = np.array([system.energy(chain).mean() for chain in chains]) / system.n_sites
    assert t_statistic(means, series_energy(6, beta)) < limit(200)
    assert t_statistic(means, series_energy(6, beta, loops=False)) > limit(200)
    assert t_statistic(means, series_energy(6, 1.03 * beta)) > limit(200)


@pytest.mark.slow
def test_integrated_log_partition_against_the_series() -> None:
    system, beta = LebwohlLasher(6), 0.4
    found = estimate_log_partition(system, 1 / beta, 8_000, n_nodes=12, seed=5)
    own, tree, warmer = (
        216 * (np.log(4 * np.pi) + series_log_z(6, at, loops=loops))
        for at, loops in ((beta, True), (beta, False), (0.97 * beta, True))
    )
    assert abs(found - own) < limit(32) * found.stderr
    assert abs(found - tree) > limit(32) * found.stderr
    assert abs(found - warmer) > limit(32) * found.stderr


@pytest.mark.slow
def test_cold_directors_have_half_a_temperature_for_each_way_to_turn() -> None:
    """E = -3N + (N - 1) T as T → 0: two small angles a site, less one common turn."""
    system, n = LebwohlLasher(4), 63
    for temperature in (0.02, 0.04):
        x = system.sample_chains(temperature, 64, 200, seed=7, thinning=40)[0]
        ordered = x[1::2]  # that cold, chains from random directors keep their defects
        energy = np.array([system.energy(chain).mean() for chain in ordered])
        found = energy / temperature + 3 * 64 / temperature
        error = found.std(ddof=1) / 32**0.5
        assert abs(found.mean() - n) < limit(32) * error + n * temperature / 4  # the next order
        assert abs(found.mean() - 1.05 * n) > limit(32) * error


@pytest.mark.slow
def test_both_starts_come_to_the_same_equilibrium() -> None:
    """Ordered and independent starts, in both phases and between: energy and order."""
    system = LebwohlLasher(6)
    temperatures = [1.0, 1.13, 1.25]
    x = system.sample_chains(temperatures, 64, 40, seed=3)
    short = system.sample_chains(temperatures, 64, 1, seed=3, burn_in=3)
    for at, chains in enumerate(x):
        for quantity in (system.energy, system.order_parameter):
            means = np.array([quantity(chain).mean() for chain in chains])
            first, second = means[::2], means[1::2]
            error = np.hypot(first.std(ddof=1), second.std(ddof=1)) / 32**0.5
            assert abs(first.mean() - second.mean()) < limit(32) * error
            # Three sweeps do not forget the start.
            means = np.array([quantity(chain).mean() for chain in short[at]])
            assert abs(means[::2].mean() - means[1::2].mean()) > 5 * error


@pytest.mark.slow
def test_transition_lies_where_it_was_published() -> None:
    """Heat capacity of 512 directors: the peak, some three percent wide, is at 1.123 (1986)."""
    system, at = LebwohlLasher(8), LebwohlLasher.TRANSITION_TEMPERATURE
    temperatures = np.array([at - 0.07, at, at + 0.07])
    x = system.sample_chains(temperatures, 64, 40, seed=4)
    energy = np.array([[system.energy(chain) for chain in chains] for chains in x])
    excess = energy - energy.mean(axis=(1, 2), keepdims=True)
    heat = (excess**2).mean(axis=2) / temperatures[:, None] ** 2 / system.n_sites
    below, peak, above = heat.mean(axis=1)
    errors = heat.std(axis=1, ddof=1) / 8
    assert peak - below > 6 * np.hypot(*errors[:2])
    assert peak - above > 6 * np.hypot(*errors[1:])
    order = [system.order_parameter(chains.reshape(-1, 512, 3)).mean() for chains in x]
    assert order[0] > 0.5
    assert order[2] < 0.25


def test_same_bits_whatever_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    system, drawn = LebwohlLasher(3), []
    for n_threads in (1, 4):
        monkeypatch.setattr(running, "thread_count", lambda n=n_threads: n)
        drawn.append(system.sample_chains([0.8, 1.2], 8, 5, seed=0))
    np.testing.assert_array_equal(*drawn)


def test_streams() -> None:
    system = LebwohlLasher(3)
    both = system.sample([0.8, 1.2], 7, seed=np.random.SeedSequence(11))
    assert both.shape == (2, 7, 27, 3)
    assert both.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(both, axis=-1), 1, atol=1e-6)
    np.testing.assert_array_equal(system.sample(0.8, 7, seed=11), both[0])
    few = system.sample_chains(0.8, 2, 3, seed=11)
    many = system.sample_chains(0.8, 4, 6, seed=11)
    np.testing.assert_array_equal(few, many[:, :2, :3])
    assert not np.array_equal(few[0, 0], few[0, 1])


# ------------------------------------------------------------------ its twin


@pytest.mark.slow
def test_reflections_have_the_law_of_their_twin() -> None:
    system, beta, n_chains = LebwohlLasher(3), 0.9, 2000
    grid = np.arange(27).reshape(3, 3, 3)
    steps = [np.stack([grid, np.roll(grid, 1, axis)]).reshape(2, -1).T for axis in range(3)]
    pairs = np.concatenate(steps)

    def plain(beta: float) -> np.ndarray:
        rng, x = np.random.default_rng(5), np.tile([0.0, 0.0, 1.0], (n_chains, 27, 1))
        for _ in range(6):
            for n in x:
                mirror = rng.standard_normal(3)
                mirror /= np.linalg.norm(mirror)
                turned = n - 2 * (n @ mirror)[:, None] * mirror
                i, j = pairs.T
                dots = np.stack([np.sum(m[i] * n[j], axis=1) for m in (n, turned)])
                cost = 1.5 * (dots[0] ** 2 - dots[1] ** 2)
                moves = plain_clusters(pairs, -np.expm1(-beta * np.maximum(cost, 0)), rng)
                n[moves] = turned[moves]
        return x

    def found(x: np.ndarray) -> np.ndarray:
        return np.stack([system.energy(x), system.order_parameter(x)], axis=1)

    kernel = np.empty((n_chains, 1, 27, 3), np.float32)
    table = np.array([pairs[pairs[:, ::-1] == i] for i in range(27)], dtype=np.uint32)
    seeds = np.random.SeedSequence(6).spawn(n_chains)
    runs = [(s, beta, True, 6, 1, x) for s, x in zip(seeds, kernel, strict=True)]
    run_chains(table, runs)
    assert distance(found(kernel[:, 0]), found(plain(beta))) < limit(n_chains)
    assert distance(found(kernel[:, 0]), found(plain(1.15 * beta))) > limit(n_chains)


# ------------------------------------------------------------------ the sweep


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


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_stored_row_can_be_computed_again() -> None:
    key = 6, "maier-saupe", 1.2, 0
    rows = mfvae.load_results("lebwohl_lasher")["rows"]
    (row,) = (r for r in rows if tuple(r[name] for name in lebwohl_lasher.NAMES) == key)
    again = lebwohl_lasher.compute_row(*key)
    assert again["own_temperature"] == pytest.approx(row["own_temperature"], abs=1e-6)
    assert again["order"] == pytest.approx(row["order"], abs=1e-4)
    cell = dict(zip(lebwohl_lasher.NAMES[:3], key[:3], strict=True))
    far = tolerance("lebwohl_lasher", "gap", **cell)
    assert abs(again["gap"][0] - row["gap"][0]) < far
    assert abs(again["gap"][0] - 2 * row["gap"][0]) > far
