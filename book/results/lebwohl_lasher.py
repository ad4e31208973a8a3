"""What five latents miss of directors on a lattice, beside Maier-Saupe at equal order.

Trains the same five-latent Bingham network on Lebwohl-Lasher configurations at temperatures on both
sides of the transition, and on Maier-Saupe ones of as many sites at the temperature where E‖q‖² is
the same, and writes gaps in nats to ``lebwohl_lasher.json`` in the package. ln Z is exact for
Maier-Saupe; for the lattice it comes from the energy, integrated over temperatures, and its error
is in that of the gap. Rows that are there already are skipped.

    python book/results/lebwohl_lasher.py --length 6 --seed 0     # a first picture
    python book/results/lebwohl_lasher.py                         # everything that is missing
"""

from __future__ import annotations

import time
from functools import cache
from typing import Any

import numpy as np
from _integration import estimate_log_partition
from _lebwohl_lasher import LebwohlLasher
from _sweep import RESULTS, sweep_command
from ising_gap import N_CHAINS, average
from scipy.optimize import brentq

import mfvae
from mfvae.systems import Estimate, MaierSaupe, System

OUTPUT = RESULTS / "lebwohl_lasher.json"
#: Of the lattice; with 216 or 512 sites the heat capacity is largest near 1.13.
TEMPERATURES = (1.05, 1.2, 1.0, 1.3)
N_TRAINING, N_VALIDATION, N_TEST = 20_000, 1_000, 4_096
N_SAMPLES, N_NODES = 1_536, 48  # of the thermodynamic integration
OPTIONS: dict[str, Any] = {
    "n_latents": 5,
    "likelihood": "bingham",
    "encoder": "set",
    "decoder": "linear",
    "prior": "mixture",
    "prior_options": {"n_components": 128, "covariance": "full", "width": 64},
    "n_epochs": 8,
    "batch_size": 64,
    "learning_rate": 1e-2,
}
NAMES = ("length", "system", "temperature", "seed")
FILTERS = {"length": "length", "system": "system", "temperature": "temperature", "seed": "seed"}
ROWS = [
    (length, system, temperature, seed)
    for length in (6, 8)
    for seed in range(5)
    for temperature in TEMPERATURES
    for system in ("lebwohl-lasher", "maier-saupe")
]


@cache
def lattice_sample(length: int, temperature: float, n_test: int) -> np.ndarray:
    """Return lattice configurations that no training has seen, (N_CHAINS, n, n_sites, 3)."""
    system = LebwohlLasher(length)
    return system.sample_chains(temperature, N_CHAINS, n_test // N_CHAINS, seed=3)[0]


@cache
def system_and_temperature(
    length: int, name: str, temperature: float, n_test: int
) -> tuple[System, float]:
    """Return the lattice, or Maier-Saupe where its E‖q‖² is that of the lattice."""
    lattice = LebwohlLasher(length)
    if name == "lebwohl-lasher":
        return lattice, temperature
    x = lattice_sample(length, temperature, n_test)
    square = np.mean([np.sum(lattice.tensor(chain) ** 2, axis=(1, 2)) for chain in x])
    partner = MaierSaupe(lattice.n_sites)
    return partner, float(brentq(lambda t: partner.mean_square_tensor(t) - square, 0.02, 2.0))


@cache
def log_partition(length: int, temperature: float, n_samples: int, n_nodes: int) -> Estimate:
    """Return ln Z of the lattice."""
    system = LebwohlLasher(length)
    return estimate_log_partition(system, temperature, n_samples, n_nodes=n_nodes, seed=6)


def compute_row(
    length: int,
    name: str,
    temperature: float,
    seed: int,
    *,
    n_training: int = N_TRAINING,
    n_validation: int = N_VALIDATION,
    n_test: int = N_TEST,
    n_samples: int = N_SAMPLES,
    n_nodes: int = N_NODES,
    **options: Any,
) -> dict[str, Any]:
    """Train and measure one row; the keyword arguments may shrink it."""
    started = time.process_time()
    system, at = system_and_temperature(length, name, temperature, n_test)
    if name == "lebwohl-lasher":
        log_z = log_partition(length, temperature, n_samples, n_nodes)
        chains = lattice_sample(length, temperature, n_test)
    else:
        log_z = system.log_partition(at)
        chains = system.sample_chains(at, N_CHAINS, n_test // N_CHAINS, seed=3)[0]
    vae = mfvae.MeanFieldVAE(**OPTIONS | options, device="cpu", progress=False, random_state=seed)
    held_out = system.sample(at, n_validation, seed=2)
    vae.fit(system.sample(at, n_training, seed=10 + seed), validation=(held_out, None))
    x = chains.reshape(-1, *chains.shape[2:])
    energy, order = system.energy(x), system.order_parameter(x)
    difference = average(-energy / at - vae.score_samples(x, method="elbo", n_importance=4, seed=4))
    entropy = average(energy / at)
    found = {
        "gap": Estimate(difference - log_z, float(np.hypot(difference.stderr, log_z.stderr))),
        "total_correlation": Estimate(
            system.n_sites * np.log(4 * np.pi) - log_z - entropy,
            float(np.hypot(entropy.stderr, log_z.stderr)),
        ),
        "log_partition": log_z,
        "order": average(order),
        "energy": average(energy / system.n_sites),
    }
    return {
        "own_temperature": round(at, 6),
        **{key: [round(float(e), 5), round(e.stderr, 5)] for key, e in found.items()},
        "validation_loss": [round(v, 3) for v in vae.history_["validation_loss"]],
        "training_seconds": round(vae.training_seconds_, 1),
        "processor_seconds": round(time.process_time() - started, 1),
    }


def configuration() -> dict[str, Any]:
    """Return what the rows share."""
    return {
        "n_training": N_TRAINING,
        "n_validation": N_VALIDATION,
        "n_test": N_TEST,
        "integration": {"n_samples": N_SAMPLES, "n_nodes": N_NODES},
        "options": OPTIONS,
    }


def main(arguments: list[str] | None = None) -> None:
    """Compute the rows asked for and write each as soon as it is there."""
    import torch

    torch.set_num_threads(1)  # the network is small, and the bits do not depend on the cores
    sweep_command(globals(), arguments)


if __name__ == "__main__":
    main()
