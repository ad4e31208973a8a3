"""Rate and gap of Ising networks at L = 16 as β varies, with the floor under every VAE.

Trains the networks of ``ising_gap.py`` at two temperatures with several weights β of the rate and
writes rate and gap to ``rate_gap.json`` in the package: does a network sit on the hull that β
traces? The configuration holds the entropies of the sublattices, from which every floor follows.
Rows that are there already are skipped.

    python book/results/rate_gap.py                    # everything that is missing
    python book/results/rate_gap.py --latents 4
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from _sweep import RESULTS, sweep_command
from ising_gap import CNN, LENGTH, N_CHAINS, average, train

from mfvae.measure import rate_gap_bound
from mfvae.systems import Ising2D

OUTPUT = RESULTS / "rate_gap.json"
CRITICAL = float(Ising2D.CRITICAL_TEMPERATURE)
TEMPERATURES = (CRITICAL, 2.6)
N_TEST = 16_384
NAMES = ("temperature", "n_latents", "beta")
FILTERS = {"latents": "n_latents", "beta": "beta"}
FURTHER = range(1, 5)  # seeds: other data and networks
LATENTS = (1, 2, 4, 8, 16, 32, 64)
ROWS = (
    [(2.6, d, 1.0) for d in LATENTS]
    + [(CRITICAL, d, 2.0) for d in (1, 4, 16, 64)]
    + [(2.6, d, 2.0) for d in (1, 2, 4, 8, 16)]
)


def compute_row(
    temperature: float,
    n_latents: int,
    beta: float,
    length: int = LENGTH,
    *,
    seed: int = 0,
    **counts: int,
) -> dict[str, Any]:
    """Train and evaluate one row; ``counts`` may shrink ``n_training`` and ``n_validation``."""
    n_test = counts.pop("n_test", N_TEST)
    system, started = Ising2D(length), time.process_time()
    variant = {"network": "cnn", "options": CNN, "n_epochs": 10, "beta": beta}
    vae = train(system, temperature, n_latents, variant, seed=seed, **counts)
    n_records, test = n_test // N_CHAINS, 3 + 100_000 * seed
    x = system.sample_chains([temperature], N_CHAINS, n_records, seed=test)[0]
    x = x.reshape(-1, system.n_sites)
    gap = system.log_prob(x, temperature) - vae.score_samples(
        x, method="elbo", n_importance=2, seed=4
    )
    mean, deviation = vae.encode(x)
    noise = np.random.default_rng(5).standard_normal(mean.shape)
    log_q = -(noise**2 + np.log(2 * np.pi * deviation**2)).sum(axis=1) / 2
    rate = log_q - vae.log_prior(mean + deviation * noise)
    numbers = {"rate": average(rate), "gap": average(gap)}
    return {
        **{name: [round(e.value, 4), round(e.stderr, 4)] for name, e in numbers.items()},
        "training_seconds": round(vae.training_seconds_, 1),
        "processor_seconds": round(time.process_time() - started, 1),
    }


def configuration() -> dict[str, Any]:
    """Return what the rows share, with entropies of parts: name, Σ w, excess and its error."""
    packings = {
        f"{t:.4f}": [
            [p.name, p.weight, round(p.excess.value, 4), round(p.excess.stderr, 4)]
            for p in rate_gap_bound(Ising2D(LENGTH), t).packings
        ]
        for t in TEMPERATURES
    }
    return {"length": LENGTH, "n_test": N_TEST, "options": CNN, "packings": packings}


def main(arguments: list[str] | None = None) -> None:
    """Compute the rows asked for and write each as soon as it is there."""
    import torch

    torch.set_num_threads(1)  # the networks are small, and the bits do not depend on the cores
    sweep_command(globals(), arguments)


if __name__ == "__main__":
    main()
