"""What a factorised prior costs: Hopfield and Maier-Saupe, three priors, every temperature.

Trains the same encoder, decoder and likelihood with a factorised and with two priors that do not
factorise, and writes the gaps in nats to ``prior_cost.json`` in the package. Rows that are there
already are skipped, so that the sweep can be interrupted and goes on where it was; ``--again``
computes them anew.

    python book/results/prior_cost.py                                  # all that is missing
    python book/results/prior_cost.py --system hopfield --prior mixture
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from _sweep import RESULTS, sweep_command

import mfvae
from mfvae.systems import Hopfield, MaierSaupe

OUTPUT = RESULTS / "prior_cost.json"
NAMES = ("system", "prior")
FILTERS = {"system": "system", "prior": "prior"}
FURTHER = range(1, 5)  # seeds: other patterns, data and networks
N_SITES, N_PATTERNS = 256, 3
N_TRAINING, N_TEST, N_IMPORTANCE = 4_000, 2_048, 64

#: Temperatures, and the estimator's arguments that all priors share; both decoders are exact.
SYSTEMS: dict[str, dict[str, Any]] = {
    "hopfield": {
        "temperatures": [0.6, 0.8, 0.9, 1.0, 1.1, 1.2, 1.4],
        "options": {
            "n_latents": N_PATTERNS,
            "encoder": "mlp",
            "decoder": "linear",
            "n_epochs": 20,
            "learning_rate": 6e-3,
        },
    },
    "maier-saupe": {
        "temperatures": [0.18, 0.20, 0.21, 0.22, 0.23, 0.25, 0.28],
        "options": {
            "n_latents": 5,
            "encoder": "set",
            "decoder": "linear",
            "likelihood": "bingham",
            "n_epochs": 8,
            "batch_size": 64,
            "learning_rate": 3e-3,
        },
    },
}
PRIORS: dict[str, dict[str, Any]] = {
    "spline": {},
    "coupling": {},
    "mixture": {"n_components": 128, "covariance": "full"},
}
ROWS = [(system, prior) for system in SYSTEMS for prior in PRIORS]


def build_system(name: str, n_sites: int = N_SITES, seed: int = 0) -> Hopfield | MaierSaupe:
    """Return one of the two systems."""
    if name == "hopfield":
        return Hopfield.random(n_sites, N_PATTERNS, seed=seed)
    return MaierSaupe(n_sites)


def compute_row(
    name: str,
    prior: str,
    *,
    seed: int = 0,
    n_sites: int = N_SITES,
    n_training: int = N_TRAINING,
    n_test: int = N_TEST,
    **options: Any,
) -> dict[str, Any]:
    """Train and evaluate one row; the keyword arguments may shrink it."""
    system, apart = build_system(name, n_sites, seed), 100 * seed
    temperatures = SYSTEMS[name]["temperatures"]
    x = system.sample(temperatures, n_training, seed=1 + apart)
    vae = mfvae.MeanFieldVAE(
        **{
            **SYSTEMS[name]["options"],
            "prior": prior,
            "prior_options": PRIORS[prior],
            "device": "cpu",
            "progress": False,
            "random_state": seed,
            **options,
        }
    )
    cpu_started = time.process_time()  # what training costs on a machine that does other things
    vae.fit(x.reshape(-1, *x.shape[2:]), conditions=np.repeat(temperatures, n_training))
    cpu_seconds = time.process_time() - cpu_started
    gaps = {
        method: mfvae.measure.exact_gap(
            vae, system, temperatures, n_test, seed=2 + apart, method=method, n_importance=k
        )
        for method, k in (("elbo", 16), ("iwae", N_IMPORTANCE))
    }
    return {
        **{
            f"{method}_gap": [[round(g.value, 4), round(g.stderr, 4)] for g in gap]
            for method, gap in gaps.items()
        },
        "validation_loss": [round(v, 4) for v in vae.history_["validation_loss"]],
        "n_prior_parameters": sum(p.numel() for p in vae.module_.prior.parameters()),
        "training_seconds": round(vae.training_seconds_, 3),
        "training_cpu_seconds": round(cpu_seconds, 3),
    }


def configuration() -> dict[str, Any]:
    """Return what the rows share."""
    return {
        "n_sites": N_SITES,
        "n_patterns": N_PATTERNS,
        "n_training": N_TRAINING,
        "n_test": N_TEST,
        "n_importance": N_IMPORTANCE,
        "systems": SYSTEMS,
        "priors": PRIORS,
    }


def main(arguments: list[str] | None = None) -> None:
    """Compute the rows asked for and write each as soon as it is there."""
    sweep_command(globals(), arguments)


if __name__ == "__main__":
    main()
