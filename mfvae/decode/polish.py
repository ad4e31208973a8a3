"""Almost right patterns made right by the samples: every spin asks the overlaps of the others.

In a Hopfield model a spin follows ``P(s_i | others) = σ(2β s_i ξ_i·m)`` with m the overlaps of
all other spins. Given patterns of which most bits are right, m is known well, and the row ξ_i is
the vector of signs of a logistic regression on P overlaps: pseudo-likelihood (Besag 1975) with
P parameters a site in place of the N - 1 of free couplings.
"""

from __future__ import annotations

import numpy as np

from mfvae._validation import check_count, check_spins

__all__ = ["polish_patterns"]

_RIDGE = 1e-6  # of the Hessian's trace, against overlaps that never vary


def polish_patterns(patterns: np.ndarray, X: np.ndarray, *, n_sweeps: int = 5) -> np.ndarray:
    """Return patterns whose bits agree with the samples, site by site.

    Args:
        patterns (array_like, shape (n_sites, n_patterns), or PatternRecovery): Spins -1 and +1,
            mostly right.
        X (array_like, shape (n_samples, n_sites)): Spins -1 and +1 in equilibrium at one
            temperature.
        n_sweeps (int): Sweeps over all sites at most; ends when no bit changes.

    Returns:
        ndarray, int8 (n_sites, n_patterns): Spins -1 and +1, the columns in the order and with the
            signs of ``patterns``.

    Raises:
        TypeError, ValueError: If an argument does not hold spins, or the numbers of sites differ.

    >>> from mfvae.systems import Hopfield
    >>> system = Hopfield.random(128, 3, seed=0)
    >>> wrong = system.patterns.copy()
    >>> wrong[:5] *= -1
    >>> polished = polish_patterns(wrong, system.sample(1.0, 4000, seed=1))
    >>> bool((polished == system.patterns).all())
    True
    """
    current = check_spins(getattr(patterns, "patterns", patterns), name="patterns")
    spins = check_spins(X, len(current), name="X").astype(np.float32)
    n_sites, n_patterns = current.shape
    columns = np.ascontiguousarray(spins.T)
    weights = np.zeros((n_sites, n_patterns))
    for _ in range(check_count(n_sweeps, "n_sweeps")):
        xi = current.astype(np.float32)
        overlaps = spins @ xi / n_sites
        for i, (s, row) in enumerate(zip(columns, xi, strict=True)):
            others = overlaps - s[:, None] * (row / n_sites)
            weights[i] = _logistic(others, s, weights[i])
        following = np.where(weights >= 0, 1, -1).astype(np.int8)
        if np.array_equal(following, current):
            break
        current = following
    return current.copy()


def _logistic(features: np.ndarray, s: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Maximise the mean of ln σ(2 s F·w) over w by at most eight damped Newton steps."""
    for _ in range(8):
        mean = np.tanh(features @ weights.astype(np.float32))
        gradient = features.T @ (s - mean)
        hessian = (features * (1 - mean**2)[:, None]).T @ features
        hessian = hessian.astype(np.float64)
        hessian += np.eye(len(hessian)) * (_RIDGE * np.trace(hessian) + 1e-12)
        step = np.linalg.solve(hessian, gradient)
        step *= min(1.0, 2.0 / max(np.abs(features[::97] @ step).max(), 1e-12))
        weights = weights + step
        if np.abs(step).max() < 0.01 * max(np.abs(weights).max(), 1e-12):
            break
    return weights
