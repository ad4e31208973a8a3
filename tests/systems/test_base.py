"""A number that remembers its error, and what all systems share."""

from __future__ import annotations

import copy
import inspect
import json
import pickle

import numpy as np
import pytest

from mfvae.systems import CurieWeiss, Estimate, Hopfield, Ising2D, MaierSaupe, System


def test_estimate_is_a_float() -> None:
    estimate = Estimate(2.5, stderr=0.1)
    assert isinstance(estimate, float)
    assert estimate.value == 2.5
    assert type(estimate.value) is float
    assert type(estimate + 1) is float
    assert np.mean([estimate, 3.5]) == 3.0
    assert round(estimate, 0) == 2
    assert np.asarray([estimate]).dtype == np.float64


@pytest.mark.parametrize(
    ("stderr", "exact", "expected"),
    [(0.0, None, True), (0.1, None, False), (0.0, False, False), (0.1, True, True)],
)
def test_exactness(stderr: float, exact: bool | None, expected: bool) -> None:
    assert Estimate(1.0, stderr, exact).exact is expected


def test_estimate_prints_its_error() -> None:
    assert str(Estimate(1.25)) == "1.25"
    assert str(Estimate(1.25, stderr=0.125)) == "1.25 ± 0.12"
    assert repr(Estimate(1.25, stderr=0.125)) == "Estimate(1.25, stderr=0.125, exact=False)"
    assert Estimate(1.0, stderr=np.inf).stderr == np.inf


@pytest.mark.parametrize("through", [copy.copy, copy.deepcopy, "pickle"])
def test_estimate_survives_copying(through: object) -> None:
    estimate = Estimate(1.0, stderr=0.5)
    other = pickle.loads(pickle.dumps(estimate)) if through == "pickle" else through(estimate)
    assert (other.value, other.stderr, other.exact) == (1.0, 0.5, False)


@pytest.mark.parametrize("stderr", [-0.1, np.nan, -np.inf])
def test_impossible_errors_are_refused(stderr: float) -> None:
    with pytest.raises(ValueError, match="stderr"):
        Estimate(1.0, stderr=stderr)


@pytest.mark.parametrize("stderr", ["0.1", None, True, [0.1]])
def test_errors_that_are_no_numbers_are_refused(stderr: object) -> None:
    with pytest.raises(TypeError, match="stderr"):
        Estimate(1.0, stderr=stderr)


SYSTEMS = [CurieWeiss(12), Ising2D(4, coupling=-1), Hopfield.random(20, 3, seed=2), MaierSaupe(8)]


class Coin(System):
    """Free spins: the smallest system that is possible."""

    def __init__(self, n_sites: int) -> None:
        self.n_sites = n_sites

    def sample_chains(self, temperatures, n_chains, n_records, *, seed):
        shape = (np.size(temperatures), n_chains, n_records, self.n_sites)
        return np.random.default_rng(seed).choice(np.array([-1, 1], np.int8), shape)

    def energy(self, x):
        return np.zeros(len(x))

    def log_partition(self, temperature):
        return self.n_sites * np.log(2)

    def internal_energy(self, temperature):
        return 0.0


def test_systems_are_told_from_other_things() -> None:
    assert all(isinstance(system, System) for system in SYSTEMS)
    assert not isinstance(object(), System)


def test_a_system_of_your_own_inherits_what_follows() -> None:
    coin = Coin(5)
    assert repr(coin) == "Coin(n_sites=5)"
    assert Coin.from_configuration(coin.configuration()).n_sites == 5
    assert coin.sample([1.0, 2.0], 7, seed=0, n_chains=2).shape == (2, 7, 5)
    assert coin.sample(1.0, 7, seed=0).shape == (7, 5)
    assert coin.free_energy(2.0) == pytest.approx(-10 * np.log(2))
    np.testing.assert_allclose(coin.entropy([1.0, 2.0]), 5 * np.log(2))
    assert coin.total_correlation(1.0) == 0
    np.testing.assert_allclose(coin.log_prob(np.ones((3, 5)), 1.0), -5 * np.log(2))


def test_what_a_system_does_not_know_it_says() -> None:
    for call in (
        lambda: MaierSaupe(4).mutual_information(1.0),
        lambda: Ising2D(4).field_information(1.0),
        lambda: Coin(3).dual_total_correlation(1.0),
        lambda: Coin(3).order_parameter(np.ones((1, 3))),
        lambda: System().log_partition(1.0),
        lambda: System().internal_energy(1.0),
        lambda: System().energy(np.ones((1, 3))),
        lambda: System().sample_chains(1.0, 2, 3, seed=0),
    ):
        with pytest.raises(NotImplementedError, match="has no"):
            call()


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: type(system).__name__)
def test_every_public_method_is_documented(system: System) -> None:
    for name, method in inspect.getmembers(type(system), callable):
        if not name.startswith("_"):
            assert inspect.getdoc(method), name


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: type(system).__name__)
def test_configuration_there_and_back(system: System) -> None:
    again = System.from_configuration(json.loads(json.dumps(system.configuration())))
    assert type(again) is type(system)
    assert again.configuration() == system.configuration()
    x, y = (s.sample(0.9, 3, seed=0) for s in (system, again))
    np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize(
    ("configuration", "error"),
    [
        ({"class": "Nothing"}, ValueError),
        ({"class": "System"}, ValueError),
        ({"class": "Estimate", "value": 1.0}, ValueError),
        ({"class": "to_components"}, ValueError),
        ({"n_sites": 3}, ValueError),
        ({"class": "CurieWeiss", "sites": 3}, ValueError),
        ({"class": "CurieWeiss", "n_sites": 0}, ValueError),
        ("CurieWeiss", TypeError),
        (None, TypeError),
    ],
)
def test_bad_configurations(configuration: object, error: type) -> None:
    with pytest.raises(error):
        System.from_configuration(configuration)
