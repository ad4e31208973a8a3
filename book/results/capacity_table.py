"""Verdict before training beside the gap after it: systems, temperatures, sizes, latents.

Each row sets a verdict from the exact demand and the supply of a regular decoder, before any
training; then trains a network at that one temperature and measures rate, gap and the bound
``gap ≥ I(A;B) - R``. They go to ``capacity_table.json`` in the package; rows that are there are
skipped. The Ising model of 256 spins at its critical temperature is in ``ising_gap.json``.

    python book/results/capacity_table.py                  # all that is missing
    python book/results/capacity_table.py --system ising
"""

from __future__ import annotations

from typing import Any

from _sweep import RESULTS, sweep_command

import mfvae
from mfvae.measure import capacity, capacity_demand, capacity_supply, capacity_verdict
from mfvae.systems import CurieWeiss, Estimate, Hopfield, Ising2D, MaierSaupe

OUTPUT = RESULTS / "capacity_table.json"
CRITICAL = float(Ising2D.CRITICAL_TEMPERATURE)
N_TRAINING, N_TEST = 20_000, 4_096
NAMES = ("system", "temperature", "n_sites", "n_latents")
FILTERS = {"system": "system"}
FURTHER = range(1, 5)  # seeds: other patterns, data and networks

CNN = {"channels": [16, 32], "padding_mode": "circular"}
#: Arguments of the estimator, as in the chapters.
OPTIONS: dict[str, dict[str, Any]] = {
    "ising": {
        "encoder": "cnn",
        "decoder": "cnn",
        "encoder_options": CNN,
        "decoder_options": CNN,
        "n_epochs": 12,
    },
    "curie-weiss": {
        "encoder": "set",
        "decoder": "mlp",
        "decoder_options": {"widths": [8]},
        "prior": "mixture",
        "prior_options": {"n_components": 8},
        "n_epochs": 8,
        "batch_size": 128,
        "learning_rate": 3e-2,
    },
    "hopfield": {
        "encoder": "mlp",
        "decoder": "linear",
        "prior": "mixture",
        "prior_options": {"n_components": 32, "covariance": "full"},
        "n_epochs": 12,
        "learning_rate": 1.5e-2,
        "trainer_options": {"gradient_clip_val": 5.0},
    },
    "maier-saupe": {
        "encoder": "set",
        "decoder": "linear",
        "likelihood": "bingham",
        "prior": "coupling",
        "n_epochs": 5,
        "batch_size": 64,
        "learning_rate": 3e-3,
    },
}
ROWS = (
    [("ising", CRITICAL, 64, d) for d in (1, 2, 4, 8, 16)]
    + [("ising", 2.6, 64, d) for d in (1, 4, 8, 16)]
    + [("ising", 2.6, 256, d) for d in (1, 4, 8, 16)]
    + [("curie-weiss", t, n, 1) for t in (0.6, 1.0, 1.5) for n in (64, 256, 1024)]
    + [("hopfield", t, 256, d) for t in (0.6, 1.0) for d in (1, 2, 3)]
    + [("maier-saupe", t, 64, 5) for t in (0.18, 0.22, 0.25)]
    + [("maier-saupe", 0.18, 64, 2)]
    + [("ising", CRITICAL, 1024, 8)]
)


def build_system(name: str, n_sites: int, seed: int = 0) -> Any:
    """Return one of the four systems."""
    if name == "ising":
        return Ising2D(round(n_sites**0.5))
    if name == "hopfield":
        return Hopfield.random(n_sites, 3, seed=seed)
    return CurieWeiss(n_sites) if name == "curie-weiss" else MaierSaupe(n_sites)


def numbers(estimate: Estimate | None) -> list[float] | None:
    """Return value and standard error, rounded, for the file."""
    return None if estimate is None else [round(estimate.value, 4), round(estimate.stderr, 4)]


def compute_row(
    name: str,
    temperature: float,
    n_sites: int,
    n_latents: int,
    *,
    seed: int = 0,
    n_training: int = N_TRAINING,
    n_test: int = N_TEST,
    **options: Any,
) -> dict[str, Any]:
    """Judge, train and measure one row; the keyword arguments may shrink it."""
    system, apart = build_system(name, n_sites, seed), 100 * seed
    demand = capacity_demand(system, temperature)
    supply = capacity_supply(n_sites, n_latents)
    verdict = capacity_verdict(demand.dual_total_correlation, supply)
    settings = {"prior": "spline", **OPTIONS[name], **options}
    for key in ("encoder_options", "decoder_options"):
        given = settings.get(key, {})
        settings[key] = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
    shown = {"device": "cpu", "progress": False}
    vae = mfvae.MeanFieldVAE(n_latents, **{"random_state": seed, **settings}, **shown)
    vae.fit(system.sample(temperature, n_training, seed=1 + apart))
    x = system.sample(temperature, n_test, seed=2 + apart)
    report = capacity(vae, x, temperature, system)
    measured = ("rate", "mutual_information", "prior_mismatch", "sphere_packing", "gap_bound")
    return {
        "supply": round(supply, 4),
        "dual_total_correlation": numbers(demand.dual_total_correlation),
        "best_cut": numbers(demand.best_cut),
        "verdict": verdict,
        **{key: numbers(getattr(report, key)) for key in (*measured, "gap")},
        "verdict_after": report.verdict,
        "training_seconds": round(vae.training_seconds_, 1),
    }


def configuration() -> dict[str, Any]:
    """Return what the rows share."""
    return {"n_training": N_TRAINING, "n_test": N_TEST, "options": OPTIONS}


def main(arguments: list[str] | None = None) -> None:
    """Compute the rows asked for and write each as soon as it is there."""
    sweep_command(globals(), arguments)


if __name__ == "__main__":
    main()
