"""Rotation and eigenvalues, or five natural numbers: what a decoder of directors should emit.

Trains the same encoder and prior on Maier-Saupe configurations with three decoders and writes gaps,
R² of the order tensor and processor time to ``nematic_parameters.json`` in the package. Rows
that are there already are skipped.

    python book/results/nematic_parameters.py
    python book/results/nematic_parameters.py --likelihood bingham-rotation --again
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from _sweep import RESULTS, sweep_command
from sklearn.metrics import r2_score

import mfvae
from mfvae.systems import MaierSaupe, to_components

OUTPUT = RESULTS / "nematic_parameters.json"
NAMES = ("likelihood", "decoder")
FILTERS = {"likelihood": "likelihood"}
FURTHER = range(1, 5)  # seeds: other data and networks
ROWS = [("bingham", "linear"), ("bingham", "mlp"), ("bingham-rotation", "mlp")]
CONFIGURATION: dict[str, Any] = {
    "n_sites": 64,
    "temperatures": [0.18, 0.2, 0.21, 0.217, 0.223, 0.23, 0.25],
    "n_training": 1_500,
    "n_test": 256,
    "options": {
        "n_latents": 5,
        "encoder": "set",
        "prior": "mixture",
        "prior_options": {"n_components": 128, "covariance": "full", "width": 64},
        "n_epochs": 6,
        "batch_size": 64,
        "learning_rate": 6e-3,
    },
}


def compute_row(likelihood: str, decoder: str, *, seed: int = 0, **smaller: Any) -> dict[str, Any]:
    """Train and evaluate one row; the keyword arguments replace entries of the configuration."""
    setting = {**CONFIGURATION, **smaller}
    system, temperatures = MaierSaupe(setting["n_sites"]), np.array(setting["temperatures"])

    def draw(n_samples: int, part: int) -> tuple[np.ndarray, np.ndarray]:
        x = system.sample(temperatures, n_samples, seed=part + 100 * seed)
        return x.reshape(-1, *x.shape[2:]), np.repeat(temperatures, n_samples)

    x, t = draw(setting["n_training"], 1)
    vae = mfvae.MeanFieldVAE(
        likelihood=likelihood,
        decoder=decoder,
        progress=False,
        device="cpu",
        random_state=seed,
        **setting["options"],
    )
    started = time.process_time()
    vae.fit(x, conditions=t)
    seconds = time.process_time() - started
    gaps = mfvae.measure.exact_gap(
        vae, system, temperatures, setting["n_test"], seed=2 + 100 * seed, n_importance=8
    )
    x_test, t_test = draw(setting["n_test"], 3)
    train, test = t >= 0.2, t_test >= 0.2
    tensor = mfvae.decode.regress_order_tensor(
        vae, x[train][::2], t[train][::2], test=(x_test[test], t_test[test])
    )
    target = to_components(system.tensor(x_test[test]))
    return {
        "gap": [[round(g.value, 4), round(g.stderr, 4)] for g in gaps],
        "r2": [round(float(r), 5) for r in r2_score(target, tensor, multioutput="raw_values")],
        "validation_loss": [round(v, 3) for v in vae.history_["validation_loss"]],
        "training_cpu_seconds": round(seconds, 3),
    }


def configuration() -> dict[str, Any]:
    """Return what the rows share."""
    return CONFIGURATION


def main(arguments: list[str] | None = None) -> None:
    """Compute the rows asked for and write each as soon as it is there."""
    sweep_command(globals(), arguments)


if __name__ == "__main__":
    main()
