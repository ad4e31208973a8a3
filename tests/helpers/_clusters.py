"""Plain twins of cluster moves: all bonds at once, with SciPy, and how far two samples differ."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

__all__ = ["distance", "plain_clusters"]


def distance(first: np.ndarray, second: np.ndarray) -> float:
    """Largest difference of column means of independent rows, in standard errors."""
    first, second = (np.asarray(part, float).reshape(len(part), -1) for part in (first, second))
    error = np.sqrt(first.var(axis=0, ddof=1) / len(first) + second.var(axis=0) / len(second))
    return float(np.max(np.abs(first.mean(axis=0) - second.mean(axis=0)) / error))


def plain_clusters(pairs: np.ndarray, probability: np.ndarray, rng: np.random.Generator):
    """Open all bonds at once, pairs (n, 2); say which sites are in a cluster that turns over."""
    i, j = pairs[rng.random(len(pairs)) < probability].T
    n_sites = pairs.max() + 1
    n, labels = connected_components(coo_array((np.ones(len(i)), (i, j)), (n_sites, n_sites)))
    return (rng.random(n) < 0.5)[labels]
