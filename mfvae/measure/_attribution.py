"""Which observables carry a log density ratio: ridge regression on one and two sites."""

from __future__ import annotations

import numpy as np
import torch

__all__ = ["attribute"]

_MAX_ROWS = 20_000
_MAX_ITERATIONS = 30


def attribute(
    residuals: torch.Tensor, log_ratio: torch.Tensor, *, tolerance: float = 1e-3
) -> tuple[np.ndarray, np.ndarray]:
    """Return the coefficients of ln(p/q) on residuals and on their products.

    ``ln(p/q) ≈ b + Σ_i a_i·u_i + Σ_{i<j} c_ij u_i·u_j`` by ridge regression with a penalty of
    the number of coefficients over the number of rows: none where there are plenty of rows,
    and where there are few the coefficients are shrunk rather than made up. Under the
    reference the features are orthonormal, or nearly so, and conjugate gradients need a few
    steps.

    Args:
        residuals (torch.Tensor): ``(n_samples, n_sites, n_values)``, of unit spread.
        log_ratio (torch.Tensor): ``(n_samples,)`` nats.
        tolerance (float): Relative residual at which the conjugate gradients stop.

    Returns:
        (numpy.ndarray, numpy.ndarray): ``a`` of shape ``(n_sites, n_values)`` and the symmetric
            ``c`` ``(n_sites, n_sites)`` with zero diagonal, float64 nats.
    """
    every = -(-len(residuals) // _MAX_ROWS)
    u, target = residuals[::every], log_ratio[::every].float()
    n_samples, n_sites, n_values = u.shape
    upper = torch.triu(torch.ones(n_sites, n_sites), diagonal=1)
    n_coefficients = n_sites * n_values + n_sites * (n_sites - 1) // 2
    penalty = n_coefficients / n_samples
    pair_mean = torch.einsum("nik,njk->ij", u, u) / n_samples * upper
    site_mean = u.mean(dim=0)
    target = target - target.mean()

    def predict(a: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        pairs = torch.einsum("nik,nik->n", torch.einsum("ij,njk->nik", c, u), u)
        return u.flatten(1) @ a.flatten() + pairs - (a * site_mean).sum() - (c * pair_mean).sum()

    def project(row: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        row = (row - row.mean()) / n_samples
        weighted = row[:, None, None] * u
        pairs = torch.einsum("nik,njk->ij", weighted, u)
        return weighted.sum(dim=0), pairs * upper

    a, c = torch.zeros(n_sites, n_values), torch.zeros(n_sites, n_sites)
    gradient = project(target)
    direction = gradient
    square = start = sum(float(part.square().sum()) for part in gradient)
    for _ in range(_MAX_ITERATIONS):
        if square <= tolerance**2 * start or start == 0.0:
            break
        fitted = predict(*direction)
        curvature = float(fitted.square().mean()) + penalty * sum(
            float(part.square().sum()) for part in direction
        )
        step = square / curvature
        a, c = a + step * direction[0], c + step * direction[1]
        applied = project(fitted)
        gradient = tuple(
            old - step * (new + penalty * along)
            for old, new, along in zip(gradient, applied, direction, strict=True)
        )
        previous, square = square, sum(float(part.square().sum()) for part in gradient)
        direction = tuple(
            new + square / previous * along for new, along in zip(gradient, direction, strict=True)
        )
    return a.double().numpy(), (c + c.T).double().numpy()
