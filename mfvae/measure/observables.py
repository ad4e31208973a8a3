"""Observables of configurations; errors by the jackknife over blocks of consecutive rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mfvae._validation import check_count, check_finite_array, check_spins, check_temperature
from mfvae.measure._jackknife import jackknife_of_means
from mfvae.systems.base import Estimate

__all__ = ["OrderParameterMoments", "correlation_length", "order_parameter_moments"]


class OrderParameterMoments(NamedTuple):
    """What one temperature says of an order parameter; fields as in `order_parameter_moments`."""

    mean: Estimate
    susceptibility: Estimate
    binder_cumulant: Estimate


def order_parameter_moments(
    values: np.ndarray, n_sites: int, temperature: float, *, n_blocks: int = 64
) -> OrderParameterMoments:
    """Return ``mean``, ``susceptibility`` and ``binder_cumulant`` of an order parameter S.

    They are ⟨|S|⟩, χ = N (⟨S²⟩ - ⟨|S|⟩²)/T, units of 1/J, and U = 1 - ⟨S⁴⟩/(3⟨S²⟩²): 0 for
    Gaussian S, 2/3 for S = ±constant (Binder, K. (1981), Z. Phys. B 43, 119), NaN if S is always 0.

    Args:
        values: S of each configuration, (n_samples >= 2,), per site, all at one temperature: what
            ``system.order_parameter(x)`` returns, for spins the mean spin.
        n_sites: Number N of sites.
        temperature: Units of J/k_B.
        n_blocks: Number of blocks, at least 2.

    >>> moments = order_parameter_moments([0.2, -0.4], 10, 0.5)
    >>> round(float(moments.mean), 3), round(float(moments.susceptibility), 3)
    (0.3, 0.2)
    """
    s = np.abs(check_finite_array(values, "values", ndim=1))
    scale = check_count(n_sites, "n_sites") / check_temperature(temperature)
    # The variance does not depend on where S is measured from; near its mean it rounds less.
    centred = s - s.mean()

    def estimate(function: Callable, *features: np.ndarray) -> Estimate:
        return jackknife_of_means(np.stack(features, axis=1), function, n_blocks)

    with np.errstate(invalid="ignore"):  # S is always 0
        return OrderParameterMoments(
            mean=estimate(lambda m: m[..., 0], s),
            susceptibility=estimate(
                lambda m: scale * (m[..., 1] - m[..., 0] ** 2), centred, centred**2
            ),
            binder_cumulant=estimate(lambda m: 1 - m[..., 1] / (3 * m[..., 0] ** 2), s**2, s**4),
        )


def correlation_length(x: np.ndarray, length: int, *, n_blocks: int = 64) -> Estimate:
    """Return the second-moment correlation length on an L × L torus, units of its spacing.

    ``ξ = √(S(0)/S(k₁) - 1) / (2 sin(k₁/2))`` with k₁ = 2π/L along either axis and
    ``S(k) = ⟨|Σ_r s_r exp(ik·r)|²⟩/N`` (Cooper, F., Freedman, B. & Preston, D. (1982), Nucl. Phys.
    B 210, 210); 0 where S(0) ≤ S(k₁), infinite where S(k₁) = 0.

    Args:
        x: Spins -1 and +1, (n_samples >= 2, length * length), sites numbered row by row.
        length: Linear size L, at least 2.
        n_blocks: Number of blocks, at least 2.
    """
    length = check_count(length, "length", minimum=2)
    lattice = check_spins(x, length * length).reshape(-1, length, length)
    k = 2 * np.pi / length
    wave = np.exp(1j * k * np.arange(length))
    along = [np.abs(lattice.sum(axis=axis, dtype=np.float64) @ wave) ** 2 for axis in (1, 2)]
    zero = lattice.sum(axis=(1, 2), dtype=np.float64) ** 2
    first = (along[0] + along[1]) / 2
    first[first < 1e-24 * length**4] = 0.0  # rounding of a sum that vanishes

    def length_of(mean: np.ndarray) -> np.ndarray:
        ratio = np.where(mean[..., 0] > 0, np.inf, 1.0)
        np.divide(mean[..., 0], mean[..., 1], out=ratio, where=mean[..., 1] > 0)
        return np.sqrt(np.maximum(ratio - 1, 0)) / (2 * np.sin(k / 2))

    return jackknife_of_means(np.stack([zero, first], axis=1), length_of, n_blocks)
