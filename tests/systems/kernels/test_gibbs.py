"""Gibbs sweeps of pairwise models against enumeration."""

from __future__ import annotations

import itertools

import numpy as np
from scipy.special import logsumexp

from mfvae.systems.kernels import running
from mfvae.systems.kernels.gibbs import gibbs_sweeps
from mfvae.systems.kernels.random import scalar_states

ALL = np.array(list(itertools.product([0, 1], repeat=8)), dtype=np.uint8)


def planted_pairwise(n, seed=0):
    """Field and couplings of a frustrated, sparse-firing model."""
    rng = np.random.default_rng(seed)
    couplings = np.triu(0.7 * rng.standard_normal((n, n)), 1)
    couplings += couplings.T
    return rng.normal(-1.2, 0.4, n), couplings


def test_gibbs_chains_follow_the_enumerated_law():
    field, couplings = planted_pairwise(8)
    x = ALL.astype(float)
    potential = np.array([0.0, 0.3, -0.2, 0.5, 0.1, 0.4, 0.0, 1.0, 0.5])
    weight = x @ field + 0.5 * np.einsum("ni,ni->n", x @ couplings, x)
    weight += potential[ALL.sum(axis=1)]
    probability = np.exp(weight - logsumexp(weight))

    def chi_square(field, potential=potential):
        n_chains = 40_000
        chains = np.zeros((n_chains, 8), dtype=np.uint8)
        state = scalar_states(np.random.SeedSequence(3), n_chains)
        gibbs_sweeps(chains, field, couplings, state, 60, potential)
        observed = np.bincount(chains @ (1 << np.arange(8)[::-1]), minlength=256)
        expected = n_chains * probability
        large = expected > 5
        return ((observed - expected)[large] ** 2 / expected[large]).sum(), large.sum()

    value, n = chi_square(field)
    assert value < n + 5.5 * np.sqrt(2 * n) + 15
    for wrong in ((field + 0.1,), (field, 0.5 * potential)):  # negative controls
        value, n = chi_square(*wrong)
        assert value > n + 5.5 * np.sqrt(2 * n) + 15


def test_gibbs_chains_do_not_depend_on_the_number_of_threads(monkeypatch):
    field, couplings = planted_pairwise(8)
    results = []
    for n_threads in (1, 2, 3):
        monkeypatch.setattr(running, "thread_count", lambda n=n_threads: n)
        chains = np.zeros((40, 8), dtype=np.uint8)
        gibbs_sweeps(chains, field, couplings, scalar_states(np.random.SeedSequence(3), 40), 20)
        results.append(chains)
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])
    assert results[0].any()
