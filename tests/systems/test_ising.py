"""2D Ising: every exact result by an independent route, from the Hamiltonian or from integrals."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from mfvae.systems import Estimate, Ising2D, System
from mfvae.systems._ising_exact import log_partition_derivatives

CRITICAL = Ising2D.CRITICAL_TEMPERATURE


def bonds_of(length: int) -> list[tuple[int, int]]:
    """The 2L² bonds of the torus, site by site."""
    site = np.arange(length**2).reshape(length, length)
    return [
        (int(site[r, c]), int(other))
        for r in range(length)
        for c in range(length)
        for other in (site[(r + 1) % length, c], site[r, (c + 1) % length])
    ]


def enumerate_states(length: int) -> tuple[np.ndarray, np.ndarray]:
    """All configurations and their Σ s_i s_j, from the list of bonds alone."""
    states = np.array(list(itertools.product([-1, 1], repeat=length**2)), dtype=np.int8)
    aligned = np.zeros(len(states))
    for i, j in bonds_of(length):
        aligned += states[:, i] * states[:, j]
    return states, aligned


def law_of(aligned: np.ndarray, kappa: float) -> tuple[np.ndarray, float]:
    shift = (kappa * aligned).max()
    weights = np.exp(kappa * aligned - shift)
    return weights / weights.sum(), shift + np.log(weights.sum())


def entropy_of(p: np.ndarray) -> float:
    p = p[p > 0]
    return float(-p @ np.log(p))


def marginal_entropy(p: np.ndarray, states: np.ndarray, sites: np.ndarray) -> float:
    code = (states[:, sites] > 0) @ (1 << np.arange(len(sites)))
    return entropy_of(np.bincount(code, weights=p))


@pytest.fixture(scope="module")
def small() -> dict[int, tuple[np.ndarray, np.ndarray]]:
    return {length: enumerate_states(length) for length in (3, 4)}


# ------------------------------------------------------------------ the torus


@pytest.mark.parametrize("length", [3, 4])
@pytest.mark.parametrize("coupling", [1.0, -1.0, 0.5])
@pytest.mark.parametrize("temperature", [0.2, 0.6, 1.5, 2.269185314213022, 4.0, 50.0])
def test_thermodynamics_agrees_with_enumeration(
    small: dict, length: int, coupling: float, temperature: float
) -> None:
    states, aligned = small[length]
    p, log_z = law_of(aligned, coupling / temperature)
    system = Ising2D(length, coupling)
    mean = p @ aligned
    assert abs(system.log_partition(temperature) - log_z) < 1e-10
    assert system.free_energy(temperature) == pytest.approx(-temperature * log_z, abs=1e-9)
    assert system.internal_energy(temperature) == pytest.approx(-coupling * mean, abs=1e-10)
    assert system.entropy(temperature) == pytest.approx(entropy_of(p), abs=1e-10)
    variance = p @ (aligned - mean) ** 2
    assert system.specific_heat(temperature) == pytest.approx(
        (coupling / temperature) ** 2 * variance, rel=1e-9
    )
    total_correlation = np.log(2) * length**2 - entropy_of(p)
    assert system.total_correlation(temperature) == pytest.approx(total_correlation, abs=1e-10)
    some = np.random.default_rng(0).choice(len(states), 50)
    np.testing.assert_allclose(system.energy(states[some]), -coupling * aligned[some])
    np.testing.assert_allclose(
        system.log_prob(states[some], temperature),
        coupling / temperature * aligned[some] - log_z,
        atol=1e-10,
    )


@pytest.mark.parametrize("temperature", [0.02, 0.3, 1.8, 2.0, 2.6, 7.0, 1e4, 1e9])
def test_large_torus_has_the_onsager_free_energy_away_from_the_transition(
    temperature: float,
) -> None:
    """Onsager (1944): corrections are exp(-L/ξ); below T_c the torus has ln 2 more (two phases)."""
    kappa = 1 / temperature
    k = 2 * np.tanh(2 * kappa) / np.cosh(min(2 * kappa, 300.0))
    integral = quad(
        lambda phi: np.log((1 + np.sqrt(max(1 - (k * np.sin(phi)) ** 2, 0.0))) / 2),
        0,
        np.pi / 2,
        epsabs=1e-13,
    )[0]
    per_site = np.log(2) + np.logaddexp(2 * kappa, -2 * kappa) - np.log(2) + integral / np.pi
    degeneracy = np.log(2) if temperature < CRITICAL else 0.0
    log_z = Ising2D(256).log_partition(temperature) - degeneracy
    assert log_z / 256**2 == pytest.approx(per_site, rel=1e-12)


def test_critical_values_of_the_infinite_lattice() -> None:
    """f = -2.109651, e = -√2, s = 0.306470; the torus at T_c corrects f by O(1/L²), e by O(1/L)."""
    lengths = np.array([128, 256])
    free = [Ising2D(int(n)).free_energy(CRITICAL) / n**2 for n in lengths]
    energy = [Ising2D(int(n)).internal_energy(CRITICAL) / n**2 for n in lengths]
    free, energy = (4 * free[1] - free[0]) / 3, 2 * energy[1] - energy[0]
    assert free == pytest.approx(-2.109651, abs=1e-6)
    assert energy == pytest.approx(-np.sqrt(2), abs=1e-6)
    assert (energy - free) / CRITICAL == pytest.approx(0.306470, abs=1e-6)


@pytest.mark.parametrize("length", [3, 8, 64, 255, 256])
def test_derivatives_are_those_of_log_z(length: int) -> None:
    """Integrals over κ of the derivatives give back the differences, through T_c and T = 1/4."""
    nodes, weights = np.polynomial.legendre.leggauss(24)
    for low, high in [
        (1e-3, 0.05),
        (0.05, 0.4),
        (0.4, 0.43),
        (0.43, 0.46),
        (0.46, 0.7),
        (3.9, 4.1),
    ]:
        # Narrow panels: the specific heat of L = 256 has a peak of width 1/L.
        edges = np.linspace(low, high, 13)
        integrals = np.zeros(2)
        for a, b in itertools.pairwise(edges):
            values = np.array(
                [
                    log_partition_derivatives(length, (a + b) / 2 + (b - a) / 2 * node)
                    for node in nodes
                ]
            )
            integrals += (b - a) / 2 * weights @ values[:, 1:]
        ends = [log_partition_derivatives(length, kappa) for kappa in (low, high)]
        assert integrals[0] == pytest.approx(ends[1][0] - ends[0][0], rel=1e-11)
        if high < 1:  # at κ = 4 the difference of the first derivatives is below rounding
            assert integrals[1] == pytest.approx(ends[1][1] - ends[0][1], rel=1e-8, abs=1e-9)


def test_smoothness_at_the_critical_point_and_at_the_series() -> None:
    for centre in (1 / CRITICAL, 4.0):
        for length in (3, 4, 5, 32, 256):
            below, at, above = (
                np.array(log_partition_derivatives(length, centre * (1 + step)))
                for step in (-1e-11, 0.0, 1e-11)
            )
            np.testing.assert_allclose(below, at, rtol=1e-6)
            np.testing.assert_allclose(above, at, rtol=1e-6)


def test_every_temperature_is_finite() -> None:
    temperatures = np.concatenate([np.geomspace(1e-3, 1e9, 60), [CRITICAL]])
    for system in (Ising2D(256), Ising2D(4, -2.0)):
        for name in ("log_partition", "internal_energy", "specific_heat", "entropy"):
            values = getattr(system, name)(temperatures)
            assert values.shape == temperatures.shape
            assert np.all(np.isfinite(values)), name
        assert np.all(system.specific_heat(temperatures) >= 0)
        assert np.all(np.diff(system.entropy(np.sort(temperatures))) > -1e-7)


# ------------------------------------------------------------------ information


@pytest.mark.parametrize("length", [3, 4])
@pytest.mark.parametrize("temperature", [0.8, 2.269, 5.0])
@pytest.mark.parametrize("coupling", [1.0, -1.0])
def test_information_agrees_with_marginal_entropies(
    small: dict, length: int, temperature: float, coupling: float
) -> None:
    states, aligned = small[length]
    p, _ = law_of(aligned, coupling / temperature)
    system, sites = Ising2D(length, coupling), np.arange(length**2)
    h = entropy_of(p)
    conditional = sum(h - marginal_entropy(p, states, np.delete(sites, i)) for i in sites)
    dual = system.dual_total_correlation(temperature)
    assert isinstance(dual, Estimate)
    assert dual.exact
    assert dual == pytest.approx(h - conditional, abs=1e-9)
    row, column = np.divmod(sites, length)
    for cut, first in (("half", row < length // 2), ("checkerboard", (row + column) % 2 == 0)):
        information = (
            marginal_entropy(p, states, sites[first])
            + marginal_entropy(p, states, sites[~first])
            - h
        )
        found = system.mutual_information(temperature, cut)
        assert found == pytest.approx(information, abs=1e-9)
        assert found <= dual + 1e-9
    if length == 4:
        checkerboard = system.mutual_information(temperature, "checkerboard")
        assert checkerboard == pytest.approx(dual, abs=1e-9)


@pytest.mark.parametrize(
    ("temperature", "half", "dual"),
    [
        (1.5, 0.7016, 0.7276),
        (2.0, 0.7330, 0.9274),
        (2.269, 0.7287, 1.0844),
        (2.6, 0.6675, 1.2026),
        (4.0, 0.2955, 0.8491),
    ],
)
def test_reference_values_at_length_four(temperature: float, half: float, dual: float) -> None:
    assert Ising2D(4).mutual_information(temperature) == pytest.approx(half, abs=5.1e-5)
    assert Ising2D(4).dual_total_correlation(temperature) == pytest.approx(dual, abs=5.1e-5)


@pytest.mark.parametrize("circumference", [3, 5, 7])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.3, 30.0])
def test_cylinder_agrees_with_dense_transfer_matrix(circumference: int, temperature: float) -> None:
    """The law of two neighbouring rows, from a dense matrix, and its mutual information."""
    rows = np.array(list(itertools.product([-1, 1], repeat=circumference)))
    within = (rows * np.roll(rows, 1, axis=1)).sum(axis=1) - circumference
    between = rows @ rows.T - circumference
    transfer = np.exp((within[:, None] / 2 + between + within / 2) / temperature)
    values, vectors = np.linalg.eigh(transfer)
    # Far below T_c the two largest eigenvalues agree to rounding: take the even combination.
    psi = np.abs(vectors[:, -1])
    psi = np.abs(psi + psi[::-1])
    psi /= np.linalg.norm(psi)
    joint = psi[:, None] * transfer * psi / values[-1]
    expected = 2 * entropy_of(joint.sum(axis=0)) - entropy_of(joint.ravel())
    found = Ising2D.cylinder_mutual_information(circumference, temperature)
    assert found == pytest.approx(expected, rel=1e-7, abs=1e-12)


def test_cylinder_reference_values_and_area_law() -> None:
    values = {n: Ising2D.cylinder_mutual_information(n, CRITICAL) for n in (4, 8, 12, 14)}
    for n, reference in {4: 0.457668, 8: 0.780493, 12: 1.075030, 14: 1.219524}.items():
        assert values[n] == pytest.approx(reference, abs=5.1e-7)
    assert (values[14] - values[12]) / 2 == pytest.approx(0.0721, abs=3e-4)


@pytest.mark.slow
def test_cylinder_of_circumference_twenty_continues_the_area_law() -> None:
    values = (
        Ising2D.cylinder_mutual_information(20, CRITICAL),
        (Ising2D.cylinder_mutual_information(18, CRITICAL)),
    )
    slope = (values[0] - values[1]) / 2
    assert slope == pytest.approx(0.0715, abs=5e-4)


# ------------------------------------------------------------------ contract and bad input


def test_contract() -> None:
    system = Ising2D(6, -1.5)
    assert isinstance(system, System)
    assert system.n_sites == 36
    assert json.loads(json.dumps(system.configuration())) == {
        "class": "Ising2D",
        "length": 6,
        "coupling": -1.5,
    }
    assert isinstance(system.entropy(2.0), Estimate)
    vector = system.entropy([2.0, 3.0])
    assert vector.shape == (2,)
    assert vector[0] == system.entropy(2.0)
    up = np.ones((1, 36), dtype=np.int8)
    assert system.energy(up) == pytest.approx([1.5 * 72])
    assert system.order_parameter(up) == pytest.approx([1.0])
    assert system.staggered_order_parameter(up) == pytest.approx([0.0])


def test_antiferromagnet_of_even_length_is_the_ferromagnet_on_a_flipped_sublattice() -> None:
    ferro, anti = Ising2D(6), Ising2D(6, -1.0)
    x = np.random.default_rng(0).choice(np.array([-1, 1], np.int8), (10, 36))
    row, column = np.divmod(np.arange(36), 6)
    flipped = x * np.where((row + column) % 2, -1, 1).astype(np.int8)
    np.testing.assert_allclose(anti.log_prob(x, 2.0), ferro.log_prob(flipped, 2.0))
    np.testing.assert_allclose(anti.staggered_order_parameter(x), ferro.order_parameter(flipped))


@given(
    length=st.sampled_from([2, 0, -3, 2.5, True, "4", None]),
    coupling=st.sampled_from([0, np.nan, np.inf, "1", None, True]),
)
@settings(deadline=None, max_examples=30, derandomize=True)
def test_bad_systems_are_refused(length: object, coupling: object) -> None:
    with pytest.raises((TypeError, ValueError), match="length"):
        Ising2D(length)  # type: ignore[arg-type]
    with pytest.raises((TypeError, ValueError), match="coupling"):
        Ising2D(4, coupling)  # type: ignore[arg-type]


@given(temperature=st.sampled_from([0, -1.0, np.nan, np.inf, "2", None, [], [1.0, -2.0], [[1.0]]]))
@settings(deadline=None, max_examples=30, derandomize=True)
def test_bad_temperatures_are_refused(temperature: object) -> None:
    system = Ising2D(4)
    for call in (
        system.entropy,
        system.log_partition,
        system.dual_total_correlation,
        system.mutual_information,
        lambda t: system.sample(t, 3, seed=0),
        lambda t: Ising2D.cylinder_mutual_information(4, t),
    ):
        with pytest.raises((TypeError, ValueError), match="temperature"):
            call(temperature)


def test_bad_configurations_are_refused() -> None:
    system = Ising2D(4)
    for x in (np.ones(16), np.ones((2, 9)), np.zeros((2, 16)), np.full((2, 16), np.nan), "spins"):
        for call in (system.energy, system.order_parameter, lambda x: system.log_prob(x, 1.0)):
            with pytest.raises((TypeError, ValueError)):
                call(x)


def test_what_is_not_known_says_so() -> None:
    with pytest.raises(NotImplementedError, match="cylinder_mutual_information"):
        Ising2D(6).mutual_information(2.0, "half")
    with pytest.raises(NotImplementedError, match="enumeration to L = 4"):
        Ising2D(5).mutual_information(2.0, "checkerboard")
    with pytest.raises(NotImplementedError, match="Ising2D has no field"):
        Ising2D(4).field_information(2.0)
    for call in ("entropy", "log_partition", "dual_total_correlation"):
        with pytest.raises(NotImplementedError, match="frustrated"):
            getattr(Ising2D(5, -1.0), call)(2.0)
    with pytest.raises(ValueError, match="cut"):
        Ising2D(4).mutual_information(2.0, "diagonal")
    with pytest.raises(ValueError, match="circumference"):
        Ising2D.cylinder_mutual_information(21, 2.0)
    with pytest.raises(ValueError, match="metropolis"):
        Ising2D(5, -1.0).sample(2.0, 3, seed=0, algorithm="wolff")
