"""Observables of spin configurations, each with its standard error.

Errors come from the jackknife over blocks of consecutive rows, so that they stay honest for
nonlinear quantities and for rows in the order of a Markov chain, as long as a block is much
longer than the correlation time. The laws P(q) and P(K) are in `mfvae.measure.laws`.
"""

from __future__ import annotations

import numpy as np

from mfvae._validation import check_count, check_spins, check_temperature
from mfvae.measure._jackknife import jackknife_of_means
from mfvae.measure.laws import EmpiricalLaw, jensen_shannon, overlap_law, spike_count_law
from mfvae.systems.base import Estimate

__all__ = [
    "EmpiricalLaw",
    "binder_cumulant",
    "correlation_length",
    "jensen_shannon",
    "magnetization",
    "overlap_law",
    "spike_count_law",
    "susceptibility",
]


def magnetization(x: np.ndarray, *, n_blocks: int = 64) -> Estimate:
    """Return ⟨|m|⟩, m the mean spin of a configuration.

    Args:
        x (array_like, shape (n_samples, n_sites)): Spins -1 and +1.
        n_blocks (int): Number of blocks for the jackknife, at least 2 (fewer if there are fewer
            rows).

    Returns:
        Estimate: Between 0 and 1.

    Raises:
        TypeError, ValueError: If ``x`` does not hold at least two rows of spins, or ``n_blocks`` is
            below 2.

    >>> magnetization([[1, 1, 1, -1], [-1, -1, -1, -1]])
    Estimate(0.75, stderr=0.25, exact=False)
    """
    m = check_spins(x).mean(axis=1, dtype=np.float64)
    return jackknife_of_means(np.abs(m)[:, None], lambda mean: mean[..., 0], n_blocks)


def susceptibility(x: np.ndarray, temperature: float, *, n_blocks: int = 64) -> Estimate:
    """Return χ = N (⟨m²⟩ - ⟨|m|⟩²)/T, m the mean spin of a configuration.

    Args:
        x (array_like, shape (n_samples, n_sites)): Spins -1 and +1, all at the same temperature.
        temperature (float): Temperature, units of J/k_B.
        n_blocks (int): Number of blocks for the jackknife, at least 2 (fewer if there are fewer
            rows).

    Returns:
        Estimate: Susceptibility, units of 1/J.

    Raises:
        TypeError, ValueError: If ``x`` does not hold at least two rows of spins, for a bad
            temperature, or if ``n_blocks`` is below 2.
    """
    m = check_spins(x).mean(axis=1, dtype=np.float64)
    scale = np.shape(x)[1] / check_temperature(temperature)
    features = np.stack([np.abs(m), m**2], axis=1)
    return jackknife_of_means(
        features, lambda mean: scale * (mean[..., 1] - mean[..., 0] ** 2), n_blocks
    )


def binder_cumulant(x: np.ndarray, *, n_blocks: int = 64) -> Estimate:
    """Return U = 1 - ⟨m⁴⟩/(3⟨m²⟩²), m the mean spin (Binder, K. (1981), Z. Phys. B 43, 119).

    Args:
        x (array_like, shape (n_samples, n_sites)): Spins -1 and +1.
        n_blocks (int): Number of blocks for the jackknife, at least 2 (fewer if there are fewer
            rows).

    Returns:
        Estimate: 0 for Gaussian m, 2/3 for m = ±constant; NaN if m is 0 in every row.

    Raises:
        TypeError, ValueError: If ``x`` does not hold at least two rows of spins, or ``n_blocks`` is
            below 2.
    """
    m = check_spins(x).mean(axis=1, dtype=np.float64)
    if not m.any():
        return Estimate(np.nan, exact=False)
    features = np.stack([m**2, m**4], axis=1)
    return jackknife_of_means(
        features, lambda mean: 1 - mean[..., 1] / (3 * mean[..., 0] ** 2), n_blocks
    )


def correlation_length(x: np.ndarray, length: int, *, n_blocks: int = 64) -> Estimate:
    """Return the second-moment correlation length on an L × L torus.

    ``ξ = √(S(0)/S(k₁) - 1) / (2 sin(k₁/2))`` with k₁ = 2π/L along either axis and
    ``S(k) = ⟨|Σ_r s_r exp(ik·r)|²⟩/N`` (Cooper, F., Freedman, B. & Preston, D. (1982), Nucl. Phys.
    B 210, 210).

    Args:
        x (array_like, shape (n_samples, length * length)): Spins -1 and +1, sites numbered row by
            row.
        length (int): Linear size L, at least 2.
        n_blocks (int): Number of blocks for the jackknife, at least 2 (fewer if there are fewer
            rows).

    Returns:
        Estimate: Correlation length, units of the lattice spacing; 0 where S(0) ≤ S(k₁), infinite
            where S(k₁) = 0.

    Raises:
        TypeError, ValueError: If ``x`` does not hold at least two rows of ``length**2`` spins, or
            ``n_blocks`` is below 2.
    """
    length = check_count(length, "length", minimum=2)
    lattice = check_spins(x, length * length).reshape(-1, length, length)
    k = 2 * np.pi / length
    wave = np.exp(1j * k * np.arange(length))
    along = [np.abs(lattice.sum(axis=axis, dtype=np.float64) @ wave) ** 2 for axis in (1, 2)]
    zero = lattice.sum(axis=(1, 2), dtype=np.float64) ** 2
    first = (along[0] + along[1]) / 2
    first[first < 1e-24 * length**4] = 0.0  # rounding of a sum that vanishes
    features = np.stack([zero, first], axis=1)

    def length_of(mean: np.ndarray) -> np.ndarray:
        ratio = np.where(mean[..., 0] > 0, np.inf, 1.0)
        np.divide(mean[..., 0], mean[..., 1], out=ratio, where=mean[..., 1] > 0)
        return np.sqrt(np.maximum(ratio - 1, 0)) / (2 * np.sin(k / 2))

    return jackknife_of_means(features, length_of, n_blocks)
