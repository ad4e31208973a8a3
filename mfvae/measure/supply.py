"""How much a latent variable carries: before training by a formula, after it by ELBO surgery."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp
from sklearn.utils.validation import check_is_fitted

from mfvae._validation import check_count, check_finite_array, check_number, check_seed
from mfvae.measure._jackknife import spread
from mfvae.systems.base import Estimate
from mfvae.vae.estimator import MeanFieldVAE

__all__ = ["CapacitySupply", "ElboSurgery", "capacity_supply", "elbo_surgery", "gaussian_rate"]

_N_BLOCKS, _MIN_ROWS, _CHUNK = 32, 64, 4_000_000


@dataclass(frozen=True)
class CapacitySupply:
    """What ``n_latents`` latents of ``n_sites`` sites deliver, nats; a guide, not a bound.

    Attributes:
        regular (float): Of a smooth decoder: ``(d/2) ln(N F)``.
        hubbard_stratonovich (float): ``(d/2) ln N``, the most that the field of a mean-field model
            with d components grows like.
    """

    regular: float
    hubbard_stratonovich: float


def capacity_supply(
    n_sites: int, n_latents: int, *, fisher_information: float = 1.0
) -> CapacitySupply:
    """Return what a smooth decoder with a fixed prior can make of its latents, before training.

    ``I(x;z) = (d/2) ln(N/2πe) + h(z) + E ½ ln det F(z) + o(1)``, F(z) the Fisher information about
    z in one site, averaged over sites (Clarke & Barron 1990, IEEE Trans. Inf. Theory 36, 453).
    With a prior Normal(0, 1) and ``F`` the geometric mean of the eigenvalues of F(z) this is
    ``(d/2) ln(N F)``. ``F = 1`` is generous: spins whose fields are the latents themselves have
    E ½ ln F = -0.375, and for large N no prior gets one common field of N spins above
    ``½ ln(πN/2e)``, 0.27 nats less. It is a heuristic all the same: a decoder that is not
    smooth may have any F.

    Args:
        n_sites, n_latents (int): N and d.
        fisher_information (float): F, per site and latent, in units in which the latents have
            variance 1.

    Returns:
        CapacitySupply: Nats for the whole system; never below 0.

    Raises:
        TypeError, ValueError: If an argument is not as described.

    >>> round(capacity_supply(256, 4).regular, 2)
    11.09
    """
    n_sites = check_count(n_sites, "n_sites")
    n_latents = check_count(n_latents, "n_latents")
    fisher = check_number(fisher_information, "fisher_information", positive=True)
    plain = n_latents / 2 * math.log(n_sites)
    return CapacitySupply(max(plain + n_latents / 2 * math.log(fisher), 0.0), plain)


def gaussian_rate(mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Return ``Σ_k ½(μ² + σ² - 1 - ln σ²)``, KL(Normal(μ, σ²) ‖ Normal(0, 1)), of each row.

    Args:
        mean, deviation (array_like, shape (n_samples, n_latents)): Of the encoder, as given by
            ``MeanFieldVAE.encode``; deviations above 0.

    Returns:
        ndarray of float64, shape (n_samples,): Nats.

    Raises:
        TypeError, ValueError: If the shapes differ, or a deviation is not positive.

    >>> gaussian_rate([[0.0, 1.0]], [[1.0, 1.0]])
    array([0.5])
    """
    mean = check_finite_array(mean, "mean", ndim=2)
    deviation = check_finite_array(deviation, "deviation", ndim=2)
    if mean.shape != deviation.shape or np.any(deviation <= 0):
        raise ValueError("deviation must be positive and of the shape of mean")
    return 0.5 * np.sum(mean**2 + deviation**2 - 1 - 2 * np.log(deviation), axis=1)


@dataclass(frozen=True)
class ElboSurgery:
    """The rate of a trained model and its parts, nats per configuration.

    Attributes:
        rate (Estimate): ``R = E KL(q(z|x) ‖ p(z))``.
        mutual_information (Estimate): ``I_q(x; z)``, the middle of the interval; half of it is part
            of the error.
        mutual_information_bounds (tuple of Estimate): Ends of the interval: each errs outward on
            average.
        prior_mismatch (Estimate): ``KL(q̄(z) ‖ p(z)) = R - I_q``.
        sphere_packing (Estimate): ``h(p) - E h(q(z|x))``, which for a Normal(0, 1) prior is ``d ln
            1/σ̄``.
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
        vae (MeanFieldVAE): Trained model.
        X (array_like, shape (n_samples, n_sites, …)): Configurations, as in ``fit``; at least 64
            for each value of the conditions.
        conditions (array_like, shape (n_samples,) or (n_samples, n_conditions), optional): As in
            ``fit``.
        seed (int or numpy.random.SeedSequence): Source of the latents.

    Returns:
        ElboSurgery: Nats.

    Raises:
        TypeError, ValueError: If an argument is not as described, or a condition has too few rows.
    """
    if not isinstance(vae, MeanFieldVAE):
        raise TypeError(f"vae must be a MeanFieldVAE, got {type(vae).__name__}")
    check_is_fitted(vae, "module_")
    mean, deviation = (part.astype(np.float64) for part in vae.encode(X, conditions))
    groups = condition_groups(conditions, len(mean))
    weighted = []
    for child, (value, rows) in zip(check_seed(seed).spawn(len(groups)), groups, strict=True):
        if len(rows) < _MIN_ROWS:
            raise ValueError(f"need {_MIN_ROWS} rows for each condition, got {len(rows)}")
        noise_seed, prior_seed = child.spawn(2)
        noise = np.random.default_rng(noise_seed).standard_normal((len(rows), mean.shape[1]))
        z = mean[rows] + deviation[rows] * noise
        log_own = -(noise**2 + np.log(2 * np.pi * deviation[rows] ** 2)).sum(axis=1) / 2
        log_prior = vae.log_prior(z, value)
        fresh = vae.log_prior(vae.sample_prior(max(len(rows), 4096), value, seed=prior_seed), value)
        spheres = np.log(2 * np.pi * np.e * deviation[rows] ** 2).sum(axis=1) / 2
        parts = _split(z, mean[rows], deviation[rows], log_own, log_prior, spheres)
        packed, error = parts[1]
        parts[1] = packed - fresh.mean(), np.hypot(error, fresh.std() / len(fresh) ** 0.5)
        weighted.append((len(rows) / len(mean), parts))
    values = sum(w * np.array([value for value, _ in parts]) for w, parts in weighted)
    errors = np.sqrt(sum((w * np.array([e for _, e in parts])) ** 2 for w, parts in weighted))
    rate, packed, low, high, mismatch_low, mismatch_high = (
        Estimate(v, stderr=e, exact=False) for v, e in zip(values, errors, strict=True)
    )
    return ElboSurgery(
        rate, _middle(low, high), (low, high), _middle(mismatch_low, mismatch_high), packed
    )


def _middle(low: Estimate, high: Estimate) -> Estimate:
    half = max(high - low, 0.0) / 2
    error = np.hypot(max(low.stderr, high.stderr), half)
    return Estimate((low + high) / 2, stderr=float(error), exact=False)


def condition_groups(
    conditions: np.ndarray | None, n_samples: int
) -> list[tuple[np.ndarray | None, np.ndarray]]:
    """Return each distinct row of conditions with the indices of its samples, in order."""
    if conditions is None:
        return [(None, np.arange(n_samples))]
    c = check_finite_array(conditions, "conditions")
    c = c[:, None] if c.ndim == 1 else c
    if c.ndim != 2 or len(c) != n_samples:
        raise ValueError(f"conditions must have {n_samples} rows, got shape {np.shape(conditions)}")
    values, which = np.unique(c, axis=0, return_inverse=True)
    return [(value, np.flatnonzero(which.ravel() == k)) for k, value in enumerate(values)]


def _split(
    z: np.ndarray,
    mean: np.ndarray,
    deviation: np.ndarray,
    log_own: np.ndarray,
    log_prior: np.ndarray,
    spheres: np.ndarray,
) -> list[tuple[float, float]]:
    """Rate, minus entropy of the spheres, ends of the information and of the mismatch."""
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
    return list(zip(estimate(every), spread(left_out), strict=True))
