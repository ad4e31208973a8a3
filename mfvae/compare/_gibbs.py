"""Gibbs sweeps of pairwise models of words, compiled."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
from numba import njit

from mfvae._threads import thread_count

__all__ = ["gibbs_sweeps", "random_states"]


def random_states(n_chains: int, seed: np.random.SeedSequence) -> np.ndarray:
    """Return the state of one splitmix64 generator a chain, uint64 (n_chains,)."""
    return seed.generate_state(n_chains, np.uint64)


@njit(inline="always")
def _uniform(state, chain):
    """Return a uniform on [0, 1) from splitmix64 (Steele, Lea & Flood 2014)."""
    state[chain] += np.uint64(0x9E3779B97F4A7C15)
    z = state[chain]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)) * (1.0 / 9007199254740992.0)


def gibbs_sweeps(
    x: np.ndarray, field: np.ndarray, couplings: np.ndarray, state: np.ndarray, n_sweeps: int
) -> None:
    """Sweep every chain through its cells ``n_sweeps`` times, in place.

    Chains are shared out over plain threads: Numba's own pool would contend with torch's.

    Args:
        x (ndarray, uint8 (n_chains, n_cells)): Words.
        field (ndarray, float64 (n_cells,)): h.
        couplings (ndarray, float64 (n_cells, n_cells)): J, symmetric with zero diagonal: p(x) ∝
            exp(h·x + x·J·x/2).
        state (ndarray, uint64 (n_chains,)): One generator a chain; the result does not depend on
            the number of threads.
        n_sweeps (int): Passes in the order of the cells.
    """
    n_threads = min(thread_count(), len(x))
    if n_threads == 1:
        _sweep_chains(x, field, couplings, state, n_sweeps)
        return
    with ThreadPoolExecutor(n_threads) as pool:
        ends = np.linspace(0, len(x), n_threads + 1).astype(int)
        parts = [slice(*pair) for pair in pairwise(ends)]
        list(pool.map(lambda p: _sweep_chains(x[p], field, couplings, state[p], n_sweeps), parts))


@njit(nogil=True, cache=True)
def _sweep_chains(x, field, couplings, state, n_sweeps):
    n_chains, n_cells = x.shape
    for chain in range(n_chains):
        local = field.copy()
        for i in range(n_cells):
            if x[chain, i]:
                for j in range(n_cells):
                    local[j] += couplings[i, j]
        for _ in range(n_sweeps):
            for i in range(n_cells):
                on = _uniform(state, chain) * (1.0 + math.exp(-local[i])) < 1.0
                if on != (x[chain, i] == 1):
                    sign = 1.0 if on else -1.0
                    x[chain, i] = 1 if on else 0
                    for j in range(n_cells):
                        local[j] += sign * couplings[i, j]
