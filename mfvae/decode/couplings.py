"""Couplings of a Hopfield model: from recovered patterns, and by pseudo-likelihood.

Hebb's rule ``J_ij = Σ_μ ξ_i^μ ξ_j^μ / N`` turns patterns into couplings. The rival needs no
patterns: pairwise logistic regression of every spin on all others (Besag 1975; Ravikumar,
Wainwright & Lafferty 2010, Ann. Stat. 38, 1287; Aurell & Ekeberg 2012, PRL 108, 090201).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from mfvae._validation import check_count, check_finite_array, check_number, check_spins

__all__ = [
    "CouplingComparison",
    "compare_couplings",
    "couplings_from_patterns",
    "pseudo_likelihood_couplings",
]

_BLOCK = 8192


def couplings_from_patterns(patterns: np.ndarray) -> np.ndarray:
    """Return Hebb's couplings ``Σ_μ ξ_i^μ ξ_j^μ / N`` with a zero diagonal.

    Signs and order of the patterns do not matter.

    Args:
        patterns (array_like, shape (n_sites, n_patterns), or PatternRecovery): Spins -1 and +1.

    Returns:
        ndarray, float64 (n_sites, n_sites): Symmetric, in units of J: ``E = -½ Σ_ij J_ij s_i s_j``
            up to a constant.

    Raises:
        TypeError, ValueError: If ``patterns`` does not hold spins.

    >>> couplings_from_patterns([[1], [-1]]).tolist()
    [[0.0, -0.5], [-0.5, 0.0]]
    """
    xi = check_spins(getattr(patterns, "patterns", patterns), name="patterns").astype(float)
    couplings = xi @ xi.T / len(xi)
    np.fill_diagonal(couplings, 0.0)
    return couplings


def pseudo_likelihood_couplings(
    X: np.ndarray, *, ridge: float = 1e-4, max_iterations: int = 200, tolerance: float = 1e-4
) -> np.ndarray:
    """Return β times the couplings of the pairwise model, by maximum pseudo-likelihood.

    Maximises the mean over samples of ``Σ_i ln σ(2 s_i Σ_j K_ij s_j)`` less ``ridge Σ_{i<j} K_ij²``
    over symmetric K with a zero diagonal, by L-BFGS: concave, so the maximum is the only one.

    Args:
        X (array_like, shape (n_samples, n_sites)): Spins -1 and +1 of one temperature.
        ridge (float): Weight of the penalty, at least 0.
        max_iterations (int): Iterations at most.
        tolerance (float): Largest element of the gradient, per sample and in units of the spread of
            the principal axes, at which to stop.

    Returns:
        ndarray, float64 (n_sites, n_sites): K = βJ, symmetric.

    Raises:
        TypeError, ValueError: For bad arguments.
        RuntimeError: If the iterations do not suffice.
    """
    spins = check_spins(X, name="X")
    n_samples, n_sites = spins.shape
    ridge = check_number(ridge, "ridge", minimum=0.0)
    check_count(max_iterations, "max_iterations")
    tolerance = check_number(tolerance, "tolerance", positive=True)
    s = spins.astype(np.float32)
    moment = np.zeros((n_sites, n_sites))
    for start in range(0, n_samples, _BLOCK):
        moment += s[start : start + _BLOCK].T @ s[start : start + _BLOCK]
    values, axes = np.linalg.eigh(moment / n_samples)
    # Couplings between the principal axes in units of their spread: without these units the
    # iterations are as slow as the ordered phase is anisotropic.
    units = (axes / np.sqrt(np.maximum(values, 1e-3))) @ axes.T

    def couplings_of(packed: np.ndarray) -> np.ndarray:
        theta = packed.reshape(n_sites, n_sites)
        couplings = units @ (theta + theta.T) @ units / 2
        np.fill_diagonal(couplings, 0.0)
        return couplings

    def loss(packed: np.ndarray) -> tuple[float, np.ndarray]:
        exact = couplings_of(packed)
        couplings = exact.astype(np.float32)
        value, gradient = 0.0, np.zeros((n_sites, n_sites))
        for start in range(0, n_samples, _BLOCK):
            block = s[start : start + _BLOCK]
            argument = 2 * block * (block @ couplings)
            value += float(np.logaddexp(np.float32(0), -argument).sum(dtype=np.float64))
            gradient -= 2 * ((block * expit(-argument)).T @ block)
        value = value / n_samples + ridge * np.sum(exact**2) / 2
        gradient = (gradient + gradient.T) / (2 * n_samples) + ridge * exact
        np.fill_diagonal(gradient, 0.0)
        return value, (units @ gradient @ units).ravel()

    options = {"maxiter": max_iterations, "gtol": tolerance, "ftol": 1e-10, "maxcor": 20}
    start = np.zeros(n_sites**2)
    result = minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
    # Float32 sums end the line search first where the tolerance is below their rounding.
    if not result.success and np.abs(result.jac).max() > max(10 * tolerance, 1e-3):
        raise RuntimeError(f"pseudo-likelihood not maximised: {result.message}")
    return couplings_of(result.x)


@dataclass(frozen=True)
class CouplingComparison:
    """How well couplings agree with a reference, the scale left free.

    Attributes:
        correlation (float): Pearson's coefficient over the pairs i < j.
        scale (float): Least-squares factor from reference to estimate; β if the estimate is βJ.
        relative_error (float): Root mean square of ``estimate/scale - reference`` over that of the
            reference.
    """

    correlation: float
    scale: float
    relative_error: float


def compare_couplings(estimated: np.ndarray, reference: np.ndarray) -> CouplingComparison:
    """Compare two symmetric matrices of couplings over the pairs i < j.

    Only β times the couplings can be known from one temperature, so the scale is left free.

    Args:
        estimated, reference (array_like, shape (n_sites, n_sites)): Couplings; diagonals are
            ignored. Three sites at least.

    Returns:
        CouplingComparison

    Raises:
        TypeError, ValueError: For matrices that are not square, not of one size, or a constant
            reference.

    >>> reference = couplings_from_patterns([[1, 1], [-1, 1], [1, -1], [1, 1]])
    >>> compare_couplings(2 * reference, reference)
    CouplingComparison(correlation=1.0, scale=2.0, relative_error=0.0)
    """
    estimated = check_finite_array(estimated, "estimated", ndim=2)
    reference = check_finite_array(reference, "reference", ndim=2)
    n_sites = len(reference)
    if n_sites < 3 or estimated.shape != reference.shape or reference.shape[1] != n_sites:
        raise ValueError(
            f"need two square matrices of one size >= 3, got {estimated.shape}, {reference.shape}"
        )
    upper = np.triu_indices(n_sites, 1)
    a, b = estimated[upper], reference[upper]
    if np.ptp(b) == 0:
        raise ValueError("the reference couplings are all equal")
    scale = float(a @ b / (b @ b))
    correlation = float(np.corrcoef(a, b)[0, 1]) if np.ptp(a) > 0 else 0.0
    error = np.linalg.norm(a / scale - b) / np.linalg.norm(b) if scale != 0 else np.inf
    return CouplingComparison(round(correlation, 12), scale, float(error))
