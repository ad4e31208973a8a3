"""What correlations are left given the latent: four systems, every temperature, exact brackets.

Trains one network after another over a range of temperatures, and writes what it finds on fresh
configurations to ``conditional_tc.json`` in the package: at each temperature the conditional
total correlation by density ratio, its lower limit, and the exact gap of the same rows, which is
its upper end; and the residual couplings. Rows that are there already are skipped, so that the
sweep can be interrupted and goes on where it was; ``--again`` computes them anew.

    python book/results/conditional_tc.py                              # all that is missing
    python book/results/conditional_tc.py --system ising --latents 1
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from _sweep import RESULTS, sweep_command

import mfvae
from mfvae.measure import SaturationWarning, total_correlation
from mfvae.systems import CurieWeiss, Hopfield, Ising2D, MaierSaupe

OUTPUT = RESULTS / "conditional_tc.json"
NAMES = ("system", "n_latents")
FILTERS = {"system": "system", "latents": "n_latents"}
FURTHER = range(1, 5)  # seeds: other patterns, data, networks and estimators
LENGTH, N_PATTERNS = 8, 3
N_TRAINING, N_TEST, N_IMPORTANCE, N_BLOCKS = 4_000, 4_000, 8, 64
N_EPOCHS = 10  # of the density ratio's network

MAGNET = {"n_layers": 1, "n_bins": 32, "bound": 8.0, "width": 128}
CNN = {"channels": [16, 32], "padding_mode": "circular"}
#: Temperatures in units of that of the transition, and the estimator's arguments.
SYSTEMS: dict[str, dict[str, Any]] = {
    "curie-weiss": {
        "reduced": [0.7, 0.85, 1.0, 1.1, 1.2, 1.5, 2.0],
        "options": {
            "encoder": "set",
            "decoder": "linear",
            "prior_options": MAGNET,
            "learning_rate": 1e-2,
            "batch_size": 512,
            "n_epochs": 8,
        },
    },
    "hopfield": {
        "reduced": [0.7, 0.85, 1.0, 1.1, 1.2, 1.5, 2.0],
        "options": {
            "encoder": "mlp",
            "decoder": "linear",
            "prior": "mixture",
            "prior_options": {"n_components": 32, "covariance": "full"},
            "learning_rate": 6e-3,
            "batch_size": 512,
            "n_epochs": 10,
        },
    },
    "maier-saupe": {
        "reduced": [0.8, 0.9, 0.95, 1.0, 1.05, 1.15, 1.3],
        "n_samples": 6_000,
        "options": {
            "encoder": "set",
            "decoder": "linear",
            "likelihood": "bingham",
            "prior": "mixture",
            "prior_options": {"n_components": 128, "covariance": "full", "width": 64},
            "learning_rate": 1e-2,
            "batch_size": 64,
            "n_epochs": 8,
        },
    },
    "ising": {
        "reduced": [0.7, 0.85, 1.0, 1.1, 1.2, 1.5, 2.0],
        "options": {
            "encoder": "cnn",
            "decoder": "cnn",
            "encoder_options": CNN,
            "decoder_options": CNN,
            "prior_options": MAGNET,
            "learning_rate": 1e-2,
            "batch_size": 512,
            "n_epochs": 8,
        },
    },
}
ROWS = [
    ("curie-weiss", 1),
    ("hopfield", 3),
    ("maier-saupe", 5),
    ("ising", 1),
    ("hopfield", 2),
    ("ising", 2),
    ("ising", 4),
    ("ising", 8),
]


def build_system(name: str, seed: int = 0) -> tuple[Any, float]:
    """Return a system of ``LENGTH**2`` sites and the temperature of its transition."""
    n_sites = LENGTH**2
    if name == "ising":
        return Ising2D(LENGTH), float(Ising2D.CRITICAL_TEMPERATURE)
    if name == "maier-saupe":
        return MaierSaupe(n_sites), 0.2202
    if name == "hopfield":
        return Hopfield.random(n_sites, N_PATTERNS, seed=seed), 1.0
    return CurieWeiss(n_sites), 1.0


def compute_row(
    name: str,
    n_latents: int,
    *,
    seed: int = 0,
    n_training: int | None = None,
    n_test: int | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Train and evaluate one row; the keyword arguments may shrink it."""
    (system, transition), apart = build_system(name, seed), 100 * seed
    settings = SYSTEMS[name]
    temperatures = np.round(np.array(settings["reduced"]) * transition, 4)
    n_training = n_training or settings.get("n_samples", N_TRAINING)
    n_test = n_test or settings.get("n_samples", N_TEST)
    given = {
        key: {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}
        if isinstance(value, dict)
        else value
        for key, value in settings["options"].items()
    }
    vae = mfvae.MeanFieldVAE(
        n_latents,
        **{"prior": "spline", "random_state": seed, **given, **options},
        device="cpu",
        progress=False,
    )
    x = system.sample(temperatures, n_training, seed=1 + apart)
    vae.fit(x.reshape(-1, *x.shape[2:]), conditions=np.repeat(temperatures, n_training))
    x = system.sample(temperatures, n_test, seed=2 + apart)
    rows, conditions = x.reshape(-1, *x.shape[2:]), np.repeat(temperatures, n_test)
    draws = {"n_importance": N_IMPORTANCE, "seed": 3 + apart}
    elbo = vae.score_samples(rows, conditions, method="elbo", **draws)
    gaps = []
    for temperature, part, bound in zip(
        temperatures, x, elbo.reshape(len(temperatures), -1), strict=True
    ):
        difference = system.log_prob(part, temperature) - bound
        blocks = np.array([b.mean() for b in np.array_split(difference, N_BLOCKS)])
        gaps.append([difference.mean(), blocks.std(ddof=1) / np.sqrt(N_BLOCKS)])
    with warnings.catch_warnings():  # what it says is in the row
        warnings.simplefilter("ignore", SaturationWarning)
        lattice = (LENGTH, LENGTH) if name == "ising" else None
        found = total_correlation(
            vae, rows, conditions, seed=4 + apart, lattice_shape=lattice, n_epochs=N_EPOCHS
        )
    each = found.by_condition.values()
    pairs = found.two_point[np.triu_indices(system.n_sites, 1)]
    return {
        "temperature": temperatures.tolist(),
        "nats": [[round(v.nats.value, 4), round(v.nats.stderr, 4)] for v in each],
        "lower": [round(v.lower, 4) for v in each],
        "saturated": [v.saturated for v in each],
        "gap": np.round(gaps, 4).tolist(),
        "one_point": np.round(np.abs(found.one_point).reshape(system.n_sites, -1).max(1), 4).max(),
        "two_point_thousandths": np.round(1000 * pairs).astype(int).tolist(),
        "training_seconds": round(vae.training_seconds_, 3),
    }


def configuration() -> dict[str, Any]:
    """Return what the rows share."""
    return {
        "length": LENGTH,
        "n_patterns": N_PATTERNS,
        "n_training": N_TRAINING,
        "n_test": N_TEST,
        "n_importance": N_IMPORTANCE,
        "n_epochs": N_EPOCHS,
        "systems": SYSTEMS,
    }


def main(arguments: list[str] | None = None) -> None:
    """Compute the rows asked for and write each as soon as it is there."""
    sweep_command(globals(), arguments)


if __name__ == "__main__":
    main()
