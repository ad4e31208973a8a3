"""The nearest mixture of product laws to a law that can be written out state by state."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mfvae._validation import check_count, check_probabilities, check_seed, check_spins

__all__ = ["ProductMixture", "all_configurations", "fit_product_mixture"]


@dataclass(frozen=True)
class ProductMixture:
    """A law of spins ``Σ_k w_k Π_i (1 + s_i m_ki)/2``: independent sites given a hidden state.

    Attributes:
        weights (ndarray of float64, shape (n_components,)): Probabilities w_k of the hidden states.
        means (ndarray of float64, shape (n_components, n_sites)): Mean m_ki of spin i in state k.
        divergence (float): KL(p ‖ mixture) from the law it was fitted to, nats.
        rate (float): Mutual information of hidden state and spins, at most ln n_components, nats.
    """

    weights: np.ndarray
    means: np.ndarray
    divergence: float
    rate: float


def all_configurations(n_sites: int) -> np.ndarray:
    """Return all configurations of ``n_sites`` <= 20 spins: int8 (2**n_sites, n_sites).

    Raises TypeError or ValueError for another ``n_sites``.

    >>> all_configurations(2)
    array([[-1, -1],
           [ 1, -1],
           [-1,  1],
           [ 1,  1]], dtype=int8)
    """
    n_sites = check_count(n_sites, "n_sites", maximum=20)
    bits = np.arange(2**n_sites)[:, None] >> np.arange(n_sites) & 1
    return (2 * bits - 1).astype(np.int8)


def fit_product_mixture(
    x: np.ndarray,
    probabilities: np.ndarray,
    n_components: int,
    *,
    n_steps: int = 200,
    n_restarts: int = 3,
    seed: int | np.random.SeedSequence = 0,
) -> ProductMixture:
    """Fit a mixture of product laws to a law given state by state, by expectation–maximisation.

    No samples are involved: the divergence is a sum over all states. The best of several random
    starts is kept, so the divergence found is an upper bound of the smallest one
    (Dempster, A. P., Laird, N. M. & Rubin, D. B. (1977), J. R. Stat. Soc. B 39, 1).

    Args:
        x (array_like, shape (n_states, n_sites)): Spins -1 and +1, each configuration at most once.
        probabilities (array_like, shape (n_states,)): Their probabilities, of sum 1.
        n_components (int): Number of hidden states.
        n_steps, n_restarts (int): Steps of each run, and number of runs.
        seed (int or numpy.random.SeedSequence): Source of the random starts.

    Returns:
        ProductMixture: With its divergence from the law, nats.

    Raises:
        TypeError, ValueError: If ``x`` does not hold spins, or ``probabilities`` does not match it.

    >>> law = [0.5, 0.0, 0.0, 0.5]  # two spins that always agree
    >>> x = all_configurations(2)
    >>> round(fit_product_mixture(x, law, 1).divergence, 4), np.round(np.log(2), 4)
    (0.6931, np.float64(0.6931))
    >>> abs(fit_product_mixture(x, law, 2).divergence) < 1e-6
    True
    """
    x = check_spins(x).astype(np.float64)
    p = check_probabilities(probabilities, n_states=len(x))
    n_components = check_count(n_components, "n_components")
    n_steps = check_count(n_steps, "n_steps")
    seen = p > 0
    x, p = x[seen], p[seen]
    children = check_seed(seed).spawn(check_count(n_restarts, "n_restarts"))
    runs = [_run(x, p, n_components, n_steps, np.random.default_rng(child)) for child in children]
    return min(runs, key=lambda mixture: mixture.divergence)


def _run(
    x: np.ndarray, p: np.ndarray, n_components: int, n_steps: int, rng: np.random.Generator
) -> ProductMixture:
    weights = np.full(n_components, 1 / n_components)
    # Start from random configurations of the law, blurred: the components then lie where p does.
    means = 0.5 * x[rng.choice(len(p), n_components, p=p)]
    means += rng.uniform(-0.1, 0.1, means.shape)
    for _ in range(n_steps):
        share, _ = _posterior(x, weights, means)
        share *= p[:, None]
        weights = np.maximum(share.sum(axis=0), 1e-300)
        means = np.clip(share.T @ x / weights[:, None], -1 + 1e-12, 1 - 1e-12)
    share, log_mixture = _posterior(x, weights, means)
    rate = p @ np.sum(share * (np.log(np.maximum(share, 1e-300)) - np.log(weights)), axis=1)
    divergence = max(float(p @ (np.log(p) - log_mixture)), 0.0)
    return ProductMixture(weights, means, divergence, float(rate))


def _posterior(
    x: np.ndarray, weights: np.ndarray, means: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of the hidden states (n_states, K), and the log mixture (n_states,)."""
    constant = np.log(weights) + 0.5 * np.log1p(-(means**2)).sum(axis=1)
    log_joint = x @ np.arctanh(means).T
    log_joint += constant - x.shape[1] * np.log(2)
    top = log_joint.max(axis=1)
    log_joint -= top[:, None]
    joint = np.exp(log_joint, out=log_joint)
    total = joint.sum(axis=1)
    joint /= total[:, None]
    return joint, top + np.log(total)
