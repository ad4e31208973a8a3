"""What a latent variable carries and what a model misses: supply, rate and gap, in nats."""

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from mfvae._validation import (
    check_conditions,
    check_count,
    check_seed,
    check_temperatures,
    check_trained,
)
from mfvae.measure.observables import spread, weighted_sum
from mfvae.systems.base import Estimate, Seed, System
from mfvae.vae.estimator import MeanFieldVAE

__all__ = ["ElboSurgery", "capacity_supply", "condition_groups", "elbo_surgery", "exact_gap"]

_N_BLOCKS, _MIN_ROWS, _CHUNK, _N_CHAINS = 32, 64, 4_000_000, 64


def capacity_supply(n_sites: int, n_latents: int) -> float:
    """Return what a smooth decoder of N sites can make of d latents, nats: ``(d/2) ln N``.

    ``I(x;z) = (d/2) ln(N/2πe) + h(z) + E ½ ln det F(z) + o(1)``, F(z) the Fisher information about
    z in one site, averaged over sites (Clarke & Barron 1990, IEEE Trans. Inf. Theory 36, 453),
    here with a prior Normal(0, 1) and F = 1: a generous heuristic (spins whose fields are the
    latents have E ½ ln F = -0.375), but no bound: a decoder that is not smooth may have any F.

    >>> round(capacity_supply(256, 4), 2)
    11.09
    """
    return check_count(n_latents, "n_latents") / 2 * float(np.log(check_count(n_sites, "n_sites")))


@dataclass(frozen=True)
class ElboSurgery:
    """The rate of a trained model and its parts, nats per configuration."""

    rate: Estimate  #: ``R = E KL(q(z|x) ‖ p(z))``.
    mutual_information: Estimate  #: ``I_q(x; z)``, half the interval that is known in its error.
    mutual_information_bounds: tuple[Estimate, Estimate]  #: Its ends, each outward on average.
    prior_mismatch: Estimate  #: ``KL(q̄(z) ‖ p(z)) = R - I_q``.
    sphere_packing: Estimate  #: ``h(p) - E h(q(z|x))``, for a Normal(0, 1) prior ``d ln 1/σ̄``.


def elbo_surgery(
    vae: MeanFieldVAE, X: np.ndarray, conditions: np.ndarray | None = None, *, seed: Seed = 0
) -> ElboSurgery:
    """Split the rate into ``I_q(x;z) + KL(q̄ ‖ p)`` (Hoffman & Johnson 2016).

    The aggregated posterior ``q̄(z)`` is replaced by the mixture of the encoder's Gaussians over
    the rows of ``X``. With a row's own Gaussian in the mixture the information errs downward (and
    never exceeds ln n_samples), without it upward (Poole et al. 2019, ICML, section 2); the rate
    is a further upper end. Rows of different conditions are treated apart and averaged. The
    jackknife leaves blocks of consecutive rows out of both the average and the mixture. ``X`` and
    ``conditions`` are as in ``fit``, at least 64 rows of each condition (else ValueError).
    """
    mean, deviation = (part.astype(float) for part in check_trained(vae).encode(X, conditions))
    groups = condition_groups(conditions, len(mean))
    parts = []
    for child, (value, rows) in zip(check_seed(seed).spawn(len(groups)), groups, strict=True):
        if len(rows) < _MIN_ROWS:
            raise ValueError(f"X: need {_MIN_ROWS} rows for each condition, got {len(rows)}")
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
    rate, packed, *ends = (weighted_sum(shares, column) for column in zip(*parts, strict=True))
    information, mismatch = (
        Estimate((low + high) / 2, np.hypot(max(low.stderr, high.stderr), max(high - low, 0) / 2))
        for low, high in (ends[:2], ends[2:])
    )
    return ElboSurgery(rate, information, tuple(ends[:2]), mismatch, packed)


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
            others[rows] = np.log(np.add.reduceat(np.exp(log_q - top), starts, axis=1)) + top
    own = -(noise**2 + np.log(2 * np.pi * deviation**2)).sum(axis=1) / 2
    pairs = np.stack([own - log_prior, -0.5 * np.log(2 * np.pi * np.e * deviation**2).sum(1)], 1)

    def estimate(kept: np.ndarray) -> np.ndarray:
        rows = kept[block]
        total = logsumexp(others[rows][:, kept], axis=1)
        rate, packed = pairs[rows].mean(axis=0)
        low = np.mean(own[rows] - np.logaddexp(total, own[rows])) + np.log(rows.sum())
        high = min(np.mean(own[rows] - total) + np.log(rows.sum() - 1), rate)
        return np.array([rate, packed, low, high, rate - high, rate - low])

    left_out = np.array([estimate(np.arange(_N_BLOCKS) != b) for b in range(_N_BLOCKS)])
    return estimate(np.ones(_N_BLOCKS, dtype=bool)), spread(left_out)


def exact_gap(
    vae: MeanFieldVAE,
    system: System,
    temperatures: float | np.ndarray,
    n_samples: int,
    *,
    seed: Seed,
    method: str = "elbo",
    n_importance: int = 64,
) -> list[Estimate]:
    """Return ``E_p[ln p(x) - ELBO(x)]`` at each temperature, nats per configuration.

    With the ELBO the gap is ``KL(p(x) q(z|x) || p_θ(z) p_θ(x|z))``, at least the total correlation
    that is left given the latent; with "iwae" or "quadrature" (an upper estimate of) ``KL(p ||
    p_θ)``. Both terms are averaged over the same configurations, so that fluctuations of ln p
    cancel; standard errors come from the spread over independent chains.

    Args:
        vae: Trained model; if it has a condition, that is taken to be the temperature.
        system: With an exact ``log_prob``; NotImplementedError if it has none.
        temperatures: One, or (n_temperatures,), units of J/k_B.
        n_samples: Fresh configurations drawn at each temperature.
        method, n_importance: As in ``MeanFieldVAE.score_samples``.

    >>> from mfvae.systems import CurieWeiss
    >>> system = CurieWeiss(16)
    >>> vae = MeanFieldVAE(1, n_epochs=1, progress=False).fit(system.sample(2.0, 500, seed=0))
    >>> gap, = exact_gap(vae, system, 2.0, 200, seed=1)
    >>> bool(gap > 0)
    True
    """
    check_trained(vae)
    if not isinstance(system, System):
        raise TypeError(f"system must be one of mfvae.systems, got {type(system).__name__}")
    temperatures, _ = check_temperatures(temperatures, "temperatures")
    check_count(n_samples, "n_samples", minimum=2)
    draws, scores = check_seed(seed).spawn(2)
    n_chains = min(_N_CHAINS, n_samples)
    chains = system.sample_chains(temperatures, n_chains, -(-n_samples // n_chains), seed=draws)
    gaps = []
    for temperature, x in zip(temperatures, chains, strict=True):
        x = x.reshape(-1, *x.shape[2:])
        conditions = np.full(len(x), temperature) if vae.n_conditions_ else None
        options = {"method": method, "n_importance": n_importance, "seed": scores}
        difference = system.log_prob(x, temperature) - vae.score_samples(x, conditions, **options)
        means = difference.reshape(n_chains, -1).mean(axis=1)
        gaps.append(Estimate(means.mean(), stderr=means.std(ddof=1) / np.sqrt(n_chains)))
    return gaps
