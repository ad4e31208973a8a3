"""ln Z from samples, against what is exact; the sweeps' own systems are in their files of tests."""

from __future__ import annotations

import numpy as np
import pytest
from _integration import estimate_log_partition
from scipy import stats

from mfvae.systems import CurieWeiss, System


class Coin(System):
    """Free spins, of which nothing is left to integrate."""

    n_sites = 5

    def sample_chains(self, temperatures, n_chains, n_records, *, seed):
        return np.ones((1, n_chains, n_records, self.n_sites), np.int8)

    def energy(self, x):
        return np.zeros(len(x))


def test_integration_of_what_is_known() -> None:
    free = estimate_log_partition(Coin(), 1.0, 16, n_chains=8, n_nodes=2, seed=0)
    assert free == pytest.approx(5 * np.log(2))
    assert free.stderr == 0
    assert not free.exact
    magnet, limit = CurieWeiss(16), float(stats.t.isf(1e-7, 63))
    found = estimate_log_partition(magnet, 1.0, 16_000, n_nodes=8, n_chains=64, seed=0)
    error = found - magnet.log_partition(1.0)
    assert abs(error) < limit * found.stderr < 0.03
    # Energies that are a tenth off.
    assert abs(error + 0.1 * (found - 16 * np.log(2))) > limit * found.stderr
