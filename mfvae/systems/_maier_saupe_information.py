"""Dual total correlation of the Maier-Saupe model, from independent configurations."""

from __future__ import annotations

import numpy as np

from mfvae.systems._bingham_quadrature import integrate_bingham
from mfvae.systems._maier_saupe_tensor import TensorLaw
from mfvae.systems.base import Estimate

__all__ = ["dual_total_correlation"]

_BLOCK = 200_000  # directors treated at a time


def dual_total_correlation(x: np.ndarray, law: TensorLaw) -> Estimate:
    """Return the mean of ``-ln p(x) - Σ_i h_i(x)``, h_i the entropy of site i given the others.

    Args:
        x (ndarray): Independent configurations, float32 ``(n_samples, n_sites, 3)``.
        law (TensorLaw): Exact law at the size and temperature of ``x``.

    Returns:
        Estimate: Nats; regressed on the energy and on tr q³, whose means are exact.
    """
    n_samples, n_sites, _ = x.shape
    values, controls = [], []
    for start in range(0, n_samples, max(1, _BLOCK // n_sites)):
        block = x[start : start + max(1, _BLOCK // n_sites)].astype(np.float64)
        q = np.matmul(block.swapaxes(1, 2), block) / n_sites - np.eye(3) / 3.0
        own = np.einsum("nsi,nsj->nsij", block, block) / n_sites
        eigenvalues = np.linalg.eigvalsh(law.a * (q[:, None] - own))
        log_z, squares = integrate_bingham(eigenvalues)
        entropy = log_z - np.sum(eigenvalues * squares, axis=-1)
        square, cube = np.sum(q**2, axis=(1, 2)), np.einsum("nij,njk,nki->n", q, q, q)
        log_prob = 0.5 * law.a * n_sites * square - law.log_partition
        values.append(-log_prob - entropy.sum(axis=1))
        controls.append(np.stack([square, cube], axis=1))
    value, control = np.concatenate(values), np.concatenate(controls)
    exact = np.array([law.mean_square - 5.0 / (law.a * n_sites), law.mean_cube])
    design = np.column_stack([np.ones(n_samples), control - exact])
    solution, *_ = np.linalg.lstsq(design, value, rcond=None)
    rest = value - design @ solution
    return Estimate(solution[0], float(np.sqrt(rest @ rest / (n_samples - 3) / n_samples)))
