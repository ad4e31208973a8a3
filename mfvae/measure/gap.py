"""The distance in nats from the exact law: a yardstick that needs no neural estimator."""

from __future__ import annotations

import numpy as np

from mfvae._validation import check_count, check_seed, check_temperatures, check_trained
from mfvae.systems.base import Estimate, System
from mfvae.vae.estimator import MeanFieldVAE

__all__ = ["exact_gap"]

_N_CHAINS = 64


def exact_gap(
    vae: MeanFieldVAE,
    system: System,
    temperatures: float | np.ndarray,
    n_samples: int,
    *,
    seed: int | np.random.SeedSequence,
    method: str = "elbo",
    n_importance: int = 64,
) -> list[Estimate]:
    """Return ``E_p[ln p(x) - ELBO(x)]`` at each temperature, nats per configuration.

    With the ELBO the gap is ``KL(p(x) q(z|x) || p_θ(z) p_θ(x|z))``, which is at least the total
    correlation that is left given the latent; with "iwae" or "quadrature" it is (an upper estimate
    of) ``KL(p || p_θ)``. Both terms are averaged over the same configurations, so that the
    fluctuations of ln p cancel; standard errors come from the spread over independent chains.

    Args:
        vae: Trained model; if it has a condition, that is taken to be the temperature.
        system: With an exact ``log_prob``; NotImplementedError if it has none.
        temperatures: One, or (n_temperatures,), units of J/k_B.
        n_samples: Fresh configurations drawn at each temperature.
        seed: Source of the configurations and of the latents.
        method: "elbo", "iwae" or "quadrature", as in ``MeanFieldVAE.score_samples``.
        n_importance: Latents drawn for each configuration.

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
        score = vae.score_samples(
            x, conditions, method=method, n_importance=n_importance, seed=scores
        )
        difference = system.log_prob(x, temperature) - score
        means = difference.reshape(n_chains, -1).mean(axis=1)
        gaps.append(Estimate(means.mean(), stderr=means.std(ddof=1) / np.sqrt(n_chains)))
    return gaps
