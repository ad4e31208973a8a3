"""Importance sampling of the tilted latent law of a linear decoder."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

__all__ = ["importance_draws", "log_mean", "log_two_cosh"]

_DEGREES = 5  # of freedom of the Student-t proposal: heavier tails than the target's
_NEWTON_STEPS = 25


def log_two_cosh(h: torch.Tensor) -> torch.Tensor:
    """Return ln(2 cosh h), stable for large |h|."""
    return h.abs() + torch.log1p(torch.exp(-2 * h.abs()))


def log_mean(log_weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ln of the mean over the first axis, and its standard error (delta method)."""
    n = len(log_weights)
    value = torch.logsumexp(log_weights, dim=0) - math.log(n)
    relative = torch.exp(log_weights - value)
    return value, relative.std(dim=0) / math.sqrt(n)


def importance_draws(
    u: torch.Tensor,
    W: torch.Tensor,
    b: torch.Tensor,
    log_prior: Callable[[torch.Tensor], torch.Tensor],
    bank: torch.Tensor,
    fresh: torch.Tensor,
    n: int,
    rng: np.random.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw latents for ln ∫ dz p(z) e^{u·z} Π_i (2cosh h_i(z))⁻¹, one integral a row of u.

    Seven eighths of the draws come from a Student-t law around the integrand's mode, with
    the curvature there, one eighth from the prior; the weights are those of the mixture
    (balance heuristic: Veach & Guibas 1995), so that they are bounded.

    Args:
        u (torch.Tensor): ``(n_rows, n_latents)`` float64.
        W, b (torch.Tensor): ``(n_sites, n_latents)`` and ``(n_sites,)``: h = W z + b.
        log_prior (callable): ln p(z) of rows of latents.
        bank (torch.Tensor): Draws from the prior, ``(n_bank, n_latents)``, from which the search
            for the mode starts and whose covariance stands for the prior's curvature.
        fresh (torch.Tensor): Other draws from the prior, ``(n_rows * (n // 8), n_latents)``.
        n (int): Draws a row, at least 8.
        rng (numpy.random.Generator): Source of the Student-t draws.

    Returns:
        (torch.Tensor, torch.Tensor): Latents ``(n, n_rows, n_latents)`` and log weights ``(n,
            n_rows)``, whose mean of exponentials is the integral.
    """
    n_rows, d = u.shape
    precision = torch.linalg.inv(torch.cov(bank.T) + 1e-9 * torch.eye(d, dtype=u.dtype))

    def target(z: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        flat = z.reshape(-1, d)
        tilt = log_prior(flat) - log_two_cosh(flat @ W.T + b).sum(dim=-1)
        return tilt.reshape(z.shape[:-1]) + (z * u).sum(dim=-1)

    with torch.no_grad():
        start = u @ bank.T + target(bank, torch.zeros_like(bank))
        mode = bank[start.argmax(dim=1)].clone()
    mode, curvature = _find_mode(mode, u, W, b, target, log_prior, precision)
    with torch.no_grad():
        factor = torch.linalg.cholesky(curvature)
        n_prior = n // 8
        n_student = n - n_prior
        normal = torch.from_numpy(rng.standard_normal((n_student, n_rows, d)))
        chi = torch.from_numpy(rng.chisquare(_DEGREES, (n_student, n_rows, 1)))
        # scale matrix = inverse curvature: L^{-T} turns white noise into that covariance
        white = (normal * torch.sqrt(_DEGREES / chi)).permute(1, 2, 0)
        step = torch.linalg.solve_triangular(factor.mT, white, upper=True).permute(2, 0, 1)
        z = torch.cat([mode + step, fresh.reshape(n_prior, n_rows, d)])
        whitened = (factor.mT @ (z - mode).permute(1, 2, 0)).permute(2, 0, 1)
        log_scale = torch.log(torch.diagonal(factor, dim1=-2, dim2=-1)).sum(dim=-1)
        log_student = (
            math.lgamma((_DEGREES + d) / 2)
            - math.lgamma(_DEGREES / 2)
            - d / 2 * math.log(_DEGREES * math.pi)
            + log_scale
            - (_DEGREES + d) / 2 * torch.log1p((whitened**2).sum(dim=-1) / _DEGREES)
        )
        log_p = log_prior(z.reshape(-1, d)).reshape(z.shape[:-1])
        proposal = torch.logaddexp(
            log_student + math.log(n_student / n), log_p + math.log(max(n_prior, 1e-300) / n)
        )
        return z, target(z, u) - proposal


def _find_mode(
    z: torch.Tensor,
    u: torch.Tensor,
    W: torch.Tensor,
    b: torch.Tensor,
    target: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    log_prior: Callable[[torch.Tensor], torch.Tensor],
    precision: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Climb to a mode of each row's integrand by damped Newton steps."""
    with torch.no_grad():
        best = target(z, u)
    damping = torch.ones(len(z), 1, dtype=z.dtype)
    for _ in range(_NEWTON_STEPS):
        z.requires_grad_(True)
        (slope,) = torch.autograd.grad(target(z, u).sum(), z)
        z = z.detach()
        with torch.no_grad():
            step = torch.linalg.solve(_curvature(z, W, b, precision), slope)
            trial = z + damping * step
            value = target(trial, u)
            better = value > best
            z = torch.where(better[:, None], trial, z)
            best = torch.where(better, value, best)
            damping = torch.where(better[:, None], damping.mul(2).clamp(max=1.0), damping / 4)
    return z, _curvature(z, W, b, precision)


def _curvature(
    z: torch.Tensor, W: torch.Tensor, b: torch.Tensor, precision: torch.Tensor
) -> torch.Tensor:
    """Return Wᵀ diag(1 - tanh² h) W plus the prior's inverse covariance, ``(n, d, d)``."""
    stiffness = 1 - torch.tanh(z @ W.T + b) ** 2
    return torch.einsum("si,ns,sj->nij", W, stiffness, W) + precision
