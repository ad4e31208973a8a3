"""ln Z of a system for which it is not known exactly, from samples."""

from __future__ import annotations

import numpy as np

from mfvae._validation import check_count, check_seed, check_temperature
from mfvae.systems import Estimate, System
from mfvae.systems.base import Seed

__all__ = ["estimate_log_partition"]


def estimate_log_partition(
    system: System,
    temperature: float,
    n_samples: int = 4096,
    *,
    n_nodes: int = 32,
    n_chains: int = 32,
    seed: Seed,
) -> Estimate:
    """Return ln Z of a system at one temperature, nats.

    By thermodynamic integration, ``ln Z(β) = ln Z(0) - ∫₀^β ⟨E⟩ dβ'``, over Gauss-Legendre nodes,
    which are dense at both ends; each has ``n_samples`` configurations of ``n_chains`` independent
    chains, at least 8, whose spread is the error. It knows nothing of a transition between two
    nodes: repeat with more. Node number k uses child k of the seed.
    """
    beta = 1 / check_temperature(temperature)
    n_chains = check_count(n_chains, "n_chains", minimum=8)
    n_records = -(-check_count(n_samples, "n_samples") // n_chains)
    nodes, weights = np.polynomial.legendre.leggauss(check_count(n_nodes, "n_nodes"))
    areas = np.zeros(n_chains)
    for node, weight, child in zip(nodes, weights, check_seed(seed).spawn(n_nodes), strict=True):
        (x,) = system.sample_chains(2 / (beta * (1 + node)), n_chains, n_records, seed=child)
        energy = system.energy(x.reshape(-1, *x.shape[2:])).reshape(n_chains, -1)
        areas += beta / 2 * weight * energy.mean(axis=1)
    log_free = system.n_sites * system._site_entropy
    return Estimate(log_free - areas.mean(), areas.std(ddof=1) / n_chains**0.5, exact=False)
