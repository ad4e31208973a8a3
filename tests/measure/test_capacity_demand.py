"""Demand: the hierarchy of informations on enumerated laws, the theory's values, and data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp, xlogy

from mfvae.measure import all_configurations, capacity_demand
from mfvae.systems import CurieWeiss, Hopfield, Ising2D, MaierSaupe

SIGMAS = 5.5
CRITICAL = float(Ising2D.CRITICAL_TEMPERATURE)
few = settings(max_examples=25, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)


def entropy(p: np.ndarray) -> float:
    return float(-xlogy(p, p).sum())


def marginal(law: np.ndarray, sites: np.ndarray) -> np.ndarray:
    return law.sum(axis=tuple(np.flatnonzero(~np.asarray(sites, dtype=bool))))


def cut(law: np.ndarray, first: np.ndarray) -> float:
    return entropy(marginal(law, first)) + entropy(marginal(law, ~first)) - entropy(law)


def dual_total_correlation(law: np.ndarray) -> float:
    """From the definition: Σ_i H(all but i) - (n - 1) H."""
    n = law.ndim
    rest = [entropy(law.sum(axis=i)) for i in range(n)]
    return sum(rest) - (n - 1) * entropy(law)


def all_cuts(n: int) -> list[np.ndarray]:
    return [np.arange(2**n)[k] >> np.arange(n) & 1 == 1 for k in range(1, 2**n - 1)]


def law_of(system, temperature: float) -> np.ndarray:
    n = system.n_sites
    p = np.exp(system.log_prob(all_configurations(n), temperature))
    return p.reshape((2,) * n).transpose()  # site 0 is the lowest bit: last axis before transposing


def latent_models() -> st.SearchStrategy:
    curie_weiss = st.builds(CurieWeiss, st.integers(2, 9))
    hopfield = st.builds(
        lambda n, p, seed: Hopfield.random(n, p, seed=seed),
        st.integers(2, 9),
        st.integers(1, 2),
        seeds,
    )
    return st.one_of(curie_weiss, hopfield)


@few
@given(system=latent_models(), temperature=st.floats(0.3, 3.0))
def test_field_at_least_dual_total_correlation_at_least_every_cut(system, temperature) -> None:
    law = law_of(system, temperature)
    demand = capacity_demand(system, temperature)
    total = dual_total_correlation(law)
    cuts = [cut(law, first) for first in all_cuts(system.n_sites)] or [
        cut(law, np.array([1, 0]) > 0)
    ]
    assert demand.dual_total_correlation == pytest.approx(total, abs=1e-9)
    assert float(system.field_information(temperature)) >= total - 1e-9
    assert total >= max(cuts) - 1e-9
    assert max(cuts) >= demand.half_cut - 1e-9
    each = [cut(law, np.arange(system.n_sites) == site) for site in range(system.n_sites)]
    assert demand.best_cut >= np.mean(each) - 1e-9
    if isinstance(system, CurieWeiss):
        assert demand.best_cut == pytest.approx(max(cuts), abs=1e-9)
    else:
        best = max(float(demand.half_cut), np.mean(each))
        assert demand.best_cut == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("n_sites", [16, 64, 256, 1024])
@pytest.mark.parametrize("temperature", [0.4, 0.6, 0.9, 1.0, 1.1, 1.5, 3.0])
def test_the_hierarchy_on_a_grid_of_sizes(n_sites: int, temperature: float) -> None:
    for system in (
        CurieWeiss(n_sites),
        Hopfield.random(n_sites, 1, seed=1),
        Hopfield.random(min(n_sites, 256), 2, seed=2),
    ):
        demand = capacity_demand(system, temperature)
        information = float(system.field_information(temperature))
        assert information >= demand.dual_total_correlation >= demand.best_cut > 0


@few
@given(columns=st.sampled_from([2, 4]), seed=seeds, strength=st.floats(0.1, 2.0))
def test_checkerboard_attains_the_dual_total_correlation(columns, seed, strength) -> None:
    """Random couplings between the neighbours of a ladder that is closed to a ring."""
    x, bonds, black = ladder(columns)
    couplings = strength * np.random.default_rng(seed).standard_normal(len(bonds))
    law = ladder_law(x, bonds, couplings)
    attained = cut(law, black)
    assert attained == pytest.approx(dual_total_correlation(law), abs=1e-9)
    assert max(cut(law, first) for first in all_cuts(2 * columns)) <= attained + 1e-9


def test_a_bond_within_a_sublattice_makes_the_checkerboard_fall_short() -> None:
    """Negative control of the test above."""
    x, bonds, black = ladder(4)
    law = ladder_law(x, [*bonds, (0, 5)], np.full(len(bonds) + 1, 0.3))
    assert cut(law, black) < dual_total_correlation(law) - 0.01


def ladder(columns: int) -> tuple[np.ndarray, list[tuple[int, int]], np.ndarray]:
    n = 2 * columns
    sites = np.arange(n).reshape(2, columns)
    bonds = [*zip(sites[0], sites[1], strict=True)]
    bonds += [(row[k], row[(k + 1) % columns]) for row in sites for k in range(columns)]
    row, column = np.divmod(np.arange(n), columns)
    return all_configurations(n), bonds, (row + column) % 2 == 0


def ladder_law(x, bonds, couplings) -> np.ndarray:
    energy = sum(j * x[:, a] * x[:, b] for j, (a, b) in zip(couplings, bonds, strict=True))
    p = np.exp(energy - logsumexp(energy))
    return p.reshape((2,) * x.shape[1]).transpose()


@pytest.mark.parametrize(
    ("temperature", "half", "total"),
    [(1.5, 0.7016, 0.7276), (2.0, 0.7330, 0.9274), (2.269, 0.7287, 1.0844),
     (2.6, 0.6675, 1.2026), (4.0, 0.2955, 0.8491)],
)  # fmt: skip
def test_ising_torus_of_sixteen_spins(temperature: float, half: float, total: float) -> None:
    demand = capacity_demand(Ising2D(4), temperature)
    assert demand.half_cut == pytest.approx(half, abs=6e-5)
    assert demand.dual_total_correlation == pytest.approx(total, abs=6e-5)
    checkerboard = Ising2D(4).mutual_information(temperature, cut="checkerboard")
    assert demand.best_cut == pytest.approx(checkerboard, abs=1e-9)
    assert demand.best_cut == demand.dual_total_correlation


@pytest.mark.parametrize(
    ("temperature", "half", "total"),
    [(0.6, 0.7151, 0.7618), (1.0, 0.3279, 0.4287), (1.5, 0.1078, 0.1608)],
)
def test_curie_weiss_of_sixteen_spins(temperature: float, half: float, total: float) -> None:
    demand = capacity_demand(CurieWeiss(16), temperature)
    assert demand.half_cut == pytest.approx(half, abs=6e-5)
    assert demand.dual_total_correlation == pytest.approx(total, abs=6e-5)
    assert demand.best_cut == demand.half_cut


def test_the_frustrated_torus_of_odd_length_has_no_cut_that_attains_it() -> None:
    system, temperature = Ising2D(3), 2.269
    demand = capacity_demand(system, temperature)
    assert demand.dual_total_correlation == pytest.approx(0.8191, abs=6e-5)
    law = law_of(system, temperature)
    best = max(cut(law, first) for first in all_cuts(9))
    assert best == pytest.approx(0.7500, abs=6e-5)
    assert demand.best_cut < best + 1e-9


@pytest.mark.parametrize(
    ("temperature", "value", "stated"), [(CRITICAL, 12.561, 0.007), (2.6, 20.48, 0.01)]
)
def test_ising_torus_of_length_sixteen(temperature: float, value: float, stated: float) -> None:
    total = capacity_demand(Ising2D(16), temperature).dual_total_correlation
    assert not total.exact
    noise = SIGMAS * np.hypot(total.stderr, stated)
    assert abs(total - value) < noise
    assert abs(total - 1.02 * value) > noise  # negative control: two percent would be seen


@pytest.mark.slow
@pytest.mark.parametrize(
    ("length", "temperature", "value", "stated"),
    [
        (32, CRITICAL, 51.67, 0.02),
        (64, CRITICAL, 211.42, 0.06),
        (32, 2.6, 83.09, 0.03),
        (64, 2.6, 332.1, 0.1),
    ],
)
def test_larger_tori(length: int, temperature: float, value: float, stated: float) -> None:
    total = capacity_demand(Ising2D(length), temperature).dual_total_correlation
    assert abs(total - value) < SIGMAS * np.hypot(total.stderr, stated)


def test_maier_saupe_is_cut_into_one_director_and_the_others() -> None:
    demand = capacity_demand(MaierSaupe(32), 0.2, seed=3)
    assert demand.half_cut is None
    assert 0 < demand.best_cut < demand.dual_total_correlation < 20
    assert demand.dual_total_correlation.stderr > 32 * demand.best_cut.stderr / 2 > 0


def test_one_of_two_directors_against_the_other() -> None:
    """Two directors: the cut is the total correlation, which is exact."""
    system = MaierSaupe(2)
    cut = capacity_demand(system, 0.2, seed=3).best_cut
    assert cut.stderr > 0
    assert abs(cut - float(system.total_correlation(0.2))) < SIGMAS * cut.stderr


# ------------------------------------------------------------------------------- data


@pytest.mark.parametrize(
    ("system", "temperature"), [(CurieWeiss(12), 0.8), (CurieWeiss(12), 1.5), (Ising2D(4), 2.6)]
)
def test_data_err_downward_and_not_by_much(system, temperature: float) -> None:
    x = system.sample(temperature, 20_000, seed=4)
    found = capacity_demand(x, log_prob=system.log_prob(x, temperature))
    exact = capacity_demand(system, temperature)
    total, half = exact.dual_total_correlation, exact.half_cut
    low, cut_low = found.dual_total_correlation, found.half_cut
    assert low < total + SIGMAS * low.stderr
    assert low > 0.93 * total - SIGMAS * low.stderr
    assert cut_low < half + SIGMAS * cut_low.stderr
    assert cut_low > 0.5 * half
    assert cut_low.stderr < 0.1 * half  # the tests above can fail


def test_a_law_from_a_model_raises_the_estimate_by_its_divergence() -> None:
    system = CurieWeiss(12)
    x = system.sample(0.8, 20_000, seed=4)
    exact, wrong = (system.log_prob(x, t) for t in (0.8, 1.0))
    one, two = (capacity_demand(x, log_prob=p).dual_total_correlation for p in (exact, wrong))
    assert two - one == pytest.approx(np.mean(exact - wrong), abs=1e-9)
    assert two > one


def test_independent_spins_share_nothing() -> None:
    x = np.where(np.random.default_rng(5).random((20_000, 12)) < 0.3, 1, -1)
    log_prob = np.where(x > 0, np.log(0.3), np.log(0.7)).sum(axis=1)
    found = capacity_demand(x, log_prob=log_prob)
    assert abs(found.half_cut) < SIGMAS * found.half_cut.stderr
    total = found.dual_total_correlation
    assert -0.01 < total < SIGMAS * total.stderr  # 132 couplings cost 66/16000 nats
    # Negative control: a copied column is seen.
    x[:, 11] = x[:, 0]
    assert capacity_demand(x).half_cut > 0.3


def test_a_silent_site_is_no_obstacle() -> None:
    x = np.where(np.random.default_rng(6).random((500, 4)) < 0.5, 1, 0)
    x[:, 2] = 0
    found = capacity_demand(x, log_prob=np.full(500, -3 * np.log(2)))
    assert abs(found.dual_total_correlation) < 0.1


def test_bad_input() -> None:
    x = CurieWeiss(8).sample(1.0, 200, seed=0)
    with pytest.raises(TypeError, match="temperature"):
        capacity_demand(CurieWeiss(8))
    with pytest.raises(TypeError, match="log_prob belongs to data"):
        capacity_demand(CurieWeiss(8), 1.0, log_prob=np.zeros(3))
    with pytest.raises(TypeError, match="one ensemble"):
        capacity_demand(x, 1.0)
    with pytest.raises(ValueError, match="log_prob must have shape"):
        capacity_demand(x, log_prob=np.zeros(3))
    with pytest.raises(ValueError, match="at least 100 rows"):
        capacity_demand(x[:50])
    with pytest.raises(ValueError, match="spins -1 and"):
        capacity_demand(2 * x)
    with pytest.raises(NotImplementedError, match="patterns"):
        capacity_demand(Hopfield.random(16, 4, seed=0), 1.0)
