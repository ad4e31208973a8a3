"""How much a latent variable carries: before training by a formula, after it by ELBO surgery."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from mfvae._validation import check_conditions, check_count, check_number, check_seed, check_trained
from mfvae.measure._jackknife import spread, weighted_sum
from mfvae.systems.base import Estimate
from mfvae.vae.estimator import MeanFieldVAE

__all__ = ["ElboSurgery", "capacity_supply", "condition_groups", "elbo_surgery"]

_N_BLOCKS, _MIN_ROWS, _CHUNK = 32, 64, 4_000_000


def capacity_supply(n_sites: int, n_latents: int, *, fisher_information: float = 1.0) -> float:
    """Return what a smooth decoder can make of its latents, nats, as known before training.

    ``I(x;z) = (d/2) ln(N/2πe) + h(z) + E ½ ln det F(z) + o(1)``, F(z) the Fisher information about
    z in one site, averaged over sites (Clarke & Barron 1990, IEEE Trans. Inf. Theory 36, 453).
    With a prior Normal(0, 1) and ``F`` the geometric mean of the eigenvalues of F(z) this is
    ``(d/2) ln(N F)``. ``F = 1`` is generous: spins whose fields are the latents themselves have
    E ½ ln F = -0.375, and for large N no prior gets one common field of N spins above
    ``½ ln(πN/2e)``, 0.27 nats less. It is a heuristic all the same, no bound: a decoder that is
    not smooth may have any F.

    Args:
        n_sites: N.
        n_latents: d.
        fisher_information: F, per site and latent, in units in which the latents have variance 1.

    >>> round(capacity_supply(256, 4), 2)
    11.09
    """
    n_sites = check_count(n_sites, "n_sites")
    n_latents = check_count(n_latents, "n_latents")
    fisher = check_number(fisher_information, "fisher_information", positive=True)
    return max(n_latents / 2 * math.log(n_sites) + n_latents / 2 * math.log(fisher), 0.0)


@dataclass(frozen=True)
class ElboSurgery:
    """The rate of a trained model and its parts, nats per configuration.

    Attributes:
        rate: ``R = E KL(q(z|x) ‖ p(z))``.
        mutual_information: ``I_q(x; z)``, the middle of an interval, half of it part of the error.
        mutual_information_bounds: Ends of the interval: each errs outward on average.
        prior_mismatch: ``KL(q̄(z) ‖ p(z)) = R - I_q``.
        sphere_packing: ``h(p) - E h(q(z|x))``, for a Normal(0, 1) prior ``d ln 1/σ̄``.
    """

    rate: Estimate
    mutual_information: Estimate
    mutual_information_bounds: tuple[Estimate, Estimate]
    prior_mismatch: Estimate
    sphere_packing: Estimate


def elbo_surgery(
    vae: MeanFieldVAE,
    X: np.ndarray,
    conditions: np.ndarray | None = None,
    *,
    seed: int | np.random.SeedSequence = 0,
) -> ElboSurgery:
    """Split the rate into ``I_q(x;z) + KL(q̄ ‖ p)`` (Hoffman & Johnson 2016).

    The aggregated posterior ``q̄(z)`` is replaced by the mixture of the encoder's Gaussians over
    the rows of ``X``. With a row's own Gaussian in the mixture the information errs downward (and
    never exceeds ln n_samples), without it upward (Poole et al. 2019, ICML, section 2); the rate
    is a further upper end. Rows of different conditions are treated apart and averaged. Standard
    errors by the jackknife over blocks of consecutive rows, which leaves rows out of both the
    average and the mixture.

    Args:
        vae: Trained model.
        X: Configurations (n_samples, n_sites, …), as in ``fit``; at least 64 for each value of the
            conditions, else ValueError.
        conditions: (n_samples,) or (n_samples, n_conditions), as in ``fit``.
        seed: Source of the latents.
    """
    mean, deviation = (part.astype(float) for part in check_trained(vae).encode(X, conditions))
    groups = condition_groups(conditions, len(mean))
    parts = []
    for child, (value, rows) in zip(check_seed(seed).spawn(len(groups)), groups, strict=True):
        if len(rows) < _MIN_ROWS:
            raise ValueError(f"need {_MIN_ROWS} rows for each condition, got {len(rows)}")
        noise_seed, prior_seed = child.spawn(2)
        noise = np.random.default_rng(noise_seed).standard_normal((len(rows), mean.shape[1]))
        z = mean[rows] + deviation[rows] * noise
        condition = None if conditions is None else value
        prior = vae.sample_prior(max(len(rows), 4096), condition, seed=prior_seed)
        fresh, log_prior = vae.log_prior(prior, condition), vae.log_prior(z, condition)
        values, errors = _split(z, mean[rows], deviation[rows], noise, log_prior)
        values[1] -= fresh.mean()
        errors[1] = np.hypot(errors[1], fresh.std() / len(fresh) ** 0.5)
        parts.append([Estimate(*pair, exact=False) for pair in zip(values, errors, strict=True)])
    shares = [len(rows) / len(mean) for _, rows in groups]
    rate, packed, *bounds = (weighted_sum(shares, column) for column in zip(*parts, strict=True))
    middles = []
    for low, high in (bounds[:2], bounds[2:]):
        error = np.hypot(max(low.stderr, high.stderr), max(high - low, 0.0) / 2)
        middles.append(Estimate((low + high) / 2, stderr=float(error), exact=False))
    return ElboSurgery(rate, middles[0], tuple(bounds[:2]), middles[1], packed)


def condition_groups(
    conditions: np.ndarray | None, n_samples: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return each distinct row of conditions with the indices of its samples, in order."""
    table = check_conditions(conditions, n_samples)
    values, which = np.unique(table, axis=0, return_inverse=True)
    return [(value, np.flatnonzero(which.ravel() == k)) for k, value in enumerate(values)]


def _split(
    z: np.ndarray, mean: np.ndarray, deviation: np.ndarray, noise: np.ndarray, log_prior: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rate, minus entropy of the spheres, ends of the information and of the mismatch; errors."""
    n = len(z)
    block = np.arange(n) * _N_BLOCKS // n
    others = np.full((n, _N_BLOCKS), -np.inf)  # ln Σ_{j in block, j ≠ i} q(z_i | x_j)
    precision = deviation**-2.0
    constant = -0.5 * (mean**2 * precision + np.log(2 * np.pi * deviation**2)).sum(axis=1)
    starts = np.searchsorted(block, np.arange(_N_BLOCKS))
    for rows in np.array_split(np.arange(n), 1 + n * n // _CHUNK):
        log_q = z[rows] @ (mean * precision).T - 0.5 * z[rows] ** 2 @ precision.T + constant
        log_q[np.arange(len(rows)), rows] = -np.inf
        top = log_q.max(axis=1, keepdims=True)
        with np.errstate(divide="ignore"):
            sums = np.log(np.add.reduceat(np.exp(log_q - top), starts, axis=1))
        others[rows] = sums + top
    log_own = -(noise**2 + np.log(2 * np.pi * deviation**2)).sum(axis=1) / 2
    spheres = np.log(2 * np.pi * np.e * deviation**2).sum(axis=1) / 2
    pairs = np.stack([log_own - log_prior, -spheres], axis=1)

    def estimate(kept: np.ndarray) -> np.ndarray:
        rows = kept[block]
        total = logsumexp(others[rows][:, kept], axis=1)
        count = rows.sum()
        rate, packed = pairs[rows].mean(axis=0)
        low = np.mean(log_own[rows] - np.logaddexp(total, log_own[rows])) + np.log(count)
        high = min(np.mean(log_own[rows] - total) + np.log(count - 1), rate)
        return np.array([rate, packed, low, high, rate - high, rate - low])

    every = np.ones(_N_BLOCKS, dtype=bool)
    left_out = np.array([estimate(every & (np.arange(_N_BLOCKS) != b)) for b in range(_N_BLOCKS)])
    return estimate(every), spread(left_out)
