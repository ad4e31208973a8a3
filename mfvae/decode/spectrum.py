"""How many patterns do samples hold, and which subspace: the spectrum of their correlations.

Above the edge of the noise, every pattern of a Hopfield model adds one eigenvalue to the
correlation matrix of the spins; to lowest order in α = P/N it is ``1/(1 - β(1 ± √α)²)`` at the
ends of the band, the patterns' Gram matrix having the Marchenko-Pastur eigenvalues
``(1 ± √α)²``. The rest lies below 1, since the trace is N: a spiked model whose bulk has an edge
where eigenvalues follow ``λ_j ≈ a - b (j - 1/4)^{2/3}`` (square-root edge; Johnstone 2001,
Ann. Stat. 29, 295).
"""

from __future__ import annotations

import numpy as np

from mfvae._validation import check_count, check_spins

__all__ = ["correlation_spectrum", "covariance_subspace", "estimate_n_patterns"]

_ABOVE_EDGE = 8.0  # in units of b: 4 to 5 standard deviations of the Tracy-Widom law


def correlation_spectrum(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return eigenvalues and eigenvectors of the correlation matrix of spins.

    Second moments are taken without subtracting means: the spins of the model have none.

    Args:
        X (array_like, shape (n_samples, n_sites)): Spins -1 and +1.

    Returns:
        - eigenvalues : ndarray, float64 (n_sites,): Largest first; their sum is ``n_sites``.
        - eigenvectors : ndarray, float64 (n_sites, n_sites): One a column, orthonormal.

    Raises:
        TypeError, ValueError: If ``X`` does not hold spins.
    """
    x = check_spins(X, name="X")
    moment = np.zeros((x.shape[1], x.shape[1]))
    for start in range(0, len(x), 2**16):  # sums of so many units are exact in float32
        block = x[start : start + 2**16].astype(np.float32)
        moment += block.T @ block
    values, vectors = np.linalg.eigh(moment / len(x))
    return values[::-1], vectors[:, ::-1]


def covariance_subspace(X: np.ndarray, n_patterns: int) -> np.ndarray:
    """Return the leading eigenvectors of the spins' correlations: the simple method's span.

    Args:
        X (array_like, shape (n_samples, n_sites)): Spins -1 and +1.
        n_patterns (int): Number of eigenvectors, at most ``n_sites``.

    Returns:
        ndarray, float64 (n_sites, n_patterns): Orthonormal columns, largest eigenvalue first; input
            for `unmix`.

    Raises:
        TypeError, ValueError: If ``X`` does not hold spins or there are fewer sites than patterns.
    """
    x = check_spins(X, name="X")
    n_patterns = check_count(n_patterns, "n_patterns", maximum=x.shape[1])
    return correlation_spectrum(x)[1][:, :n_patterns]


def estimate_n_patterns(X: np.ndarray) -> int:
    """Return the number of eigenvalues that stand above the edge of the bulk.

    For every k the edge law of this module is fitted to the eigenvalues after the k-th, a sixth
    of them; k counts as a signal where the k-th lies more than 8 b above what the law predicts,
    and the largest such k is returned. Fitting the edge instead of taking it from the number of
    samples allows for correlated samples and for a bulk that is not white. It needs a gap: deep
    in the condensed phase, where each sample shows one pattern only, there may be none.

    Args:
        X (array_like, shape (n_samples, n_sites)): Spins -1 and +1, at least 16 sites.

    Returns:
        int: Between 0 and ``n_sites // 2``.

    Raises:
        TypeError, ValueError: If ``X`` does not hold spins, or has fewer than 16 sites.

    >>> from mfvae.systems import Hopfield
    >>> estimate_n_patterns(Hopfield.random(64, 2, seed=0).sample(1.2, 4000, seed=1))
    2
    """
    x = check_spins(X, name="X")
    if x.shape[1] < 16:
        raise ValueError(f"X must have at least 16 sites, got {x.shape[1]}")
    statistic = edge_statistic(correlation_spectrum(x)[0])
    above = np.flatnonzero(statistic > _ABOVE_EDGE)
    return int(above[-1]) + 1 if len(above) else 0


def edge_statistic(eigenvalues: np.ndarray) -> np.ndarray:
    """Return by how many b each of the first half of the eigenvalues exceeds the edge law."""
    n = len(eigenvalues)
    statistic = np.zeros(n // 2)
    for k in range(n // 2):
        following = eigenvalues[k + 1 : k + 1 + max(8, (n - k) // 6)]
        # Zeros of the Airy function: where the j-th eigenvalue stands, in units of b.
        depth = (1.5 * np.pi * (np.arange(1, len(following) + 2) - 0.25)) ** (2 / 3)
        slope, edge = np.polyfit(-depth[1:], following, 1)
        statistic[k] = (eigenvalues[k] - (edge - slope * depth[0])) / max(slope, 1e-12)
    return statistic
