"""The entropy of some of the sites against enumeration of all configurations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import xlogy

from mfvae.measure import all_configurations
from mfvae.systems import CurieWeiss, Hopfield, Ising2D, MaierSaupe

SYSTEMS = [
    CurieWeiss(9),
    *(Hopfield.random(9, n, seed=3) for n in (1, 2, 3)),
    Ising2D(3, coupling=-1),
    Ising2D(3),
]


@pytest.mark.parametrize("system", SYSTEMS, ids=repr)
@pytest.mark.parametrize("temperature", [0.7, 2.0])
def test_subset_entropy_by_enumeration(system, temperature) -> None:
    x = all_configurations(9)
    p = np.exp(system.log_prob(x, temperature))
    rng = np.random.default_rng(0)
    for size in (1, 2, 4, 8, 9):
        sites = rng.choice(9, size, replace=False)
        code = (x[:, sites] > 0) @ 2 ** np.arange(size)
        marginal = np.bincount(code, weights=p)
        exact = -float(xlogy(marginal, marginal).sum())
        found = float(system.subset_entropy(temperature, sites))
        assert found == pytest.approx(exact, abs=1e-10)
        assert abs(found - 1.02 * exact) > 1e-3  # negative control
    for n, value in zip((1, 9), (np.log(2), system.entropy(temperature)), strict=True):
        assert system.subset_entropy(temperature, np.arange(n)) == pytest.approx(float(value))


def test_subset_entropy_refuses() -> None:
    with pytest.raises(NotImplementedError, match="entropy of a subset"):
        MaierSaupe(8).subset_entropy(0.2, [0, 1])
    with pytest.raises(NotImplementedError, match="enumeration to L = 4"):
        Ising2D(5).subset_entropy(2.0, [0])
    for sites in ([], [[0]], [0.5]):
        with pytest.raises(ValueError, match="sites must be a list"):
            CurieWeiss(8).subset_entropy(1.0, sites)
    for sites in ([0, 0], [8], [-1]):
        with pytest.raises(ValueError, match="sites must be distinct"):
            CurieWeiss(8).subset_entropy(1.0, sites)
