"""Where the heat capacity of directors on a lattice is largest, and their order there.

The published figures are the temperature of the transition of large lattices and the order at it.
A row is one draw of chains of one size near that temperature, reweighted to the neighbouring ones;
errors are those of the jackknife over chains. Rows go to ``lebwohl_transition.json`` in the
package; those that are there already are skipped.

    python book/results/lebwohl_transition.py --length 6    # seconds
    python book/results/lebwohl_transition.py               # some minutes
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from _lebwohl_lasher import LebwohlLasher
from _sweep import RESULTS, sweep_command

from mfvae.measure.observables import spread

OUTPUT = RESULTS / "lebwohl_transition.json"
NAMES = ("length", "seed")
FILTERS = {"length": "length", "seed": "seed"}
ROWS = [(length, seed) for seed in range(5) for length in (6, 8, 10, 12)]
TEMPERATURE = 1.128  # of the chains; peaks lie between 1.123 and 1.135
GRID = np.linspace(1.11, 1.15, 401)
N_CHAINS, N_RECORDS = 64, 400


def at_the_peak(energy: np.ndarray, order: np.ndarray, n_sites: int) -> np.ndarray:
    """Return temperature and height of the peak of the heat capacity, energy and order there.

    Samples at ``TEMPERATURE`` count with the weight ``e^{-(β - β₀) E}`` (Ferrenberg & Swendsen
    1988); heat capacity and energy are per site.
    """
    shift = 1 / GRID - 1 / TEMPERATURE
    weights = np.exp(-shift[:, None] * (energy - energy.mean()))
    weights /= weights.sum(axis=1, keepdims=True)
    mean, square = weights @ energy, weights @ energy**2
    heat = (square - mean**2) / GRID**2 / n_sites
    top = int(heat.argmax())
    return np.array([GRID[top], heat[top], mean[top] / n_sites, weights[top] @ order])


def compute_row(
    length: int, seed: int, *, n_chains: int = N_CHAINS, n_records: int = N_RECORDS
) -> dict[str, Any]:
    """Sample one lattice and find the peak."""
    started = time.process_time()
    system = LebwohlLasher(length)
    energy, order = np.empty((2, n_chains, n_records))
    x = system.sample_chains(TEMPERATURE, n_chains, n_records, seed=100 + seed)[0]
    for k, chain in enumerate(x):
        energy[k], order[k] = system.energy(chain), system.order_parameter(chain)
    found = at_the_peak(energy.ravel(), order.ravel(), system.n_sites)
    left_out = [
        at_the_peak(*(np.delete(a, k, axis=0).ravel() for a in (energy, order)), system.n_sites)
        for k in range(n_chains)
    ]
    errors = spread(np.array(left_out))
    names = "peak_temperature", "heat_capacity", "energy", "order"
    return {
        **{
            n: [round(float(v), 5), round(float(e), 5)]
            for n, v, e in zip(names, found, errors, strict=True)
        },
        "processor_seconds": round(time.process_time() - started, 1),
    }


def configuration() -> dict[str, Any]:
    """Return what the rows share."""
    return {"temperature": TEMPERATURE, "n_chains": N_CHAINS, "n_records": N_RECORDS}


def main(arguments: list[str] | None = None) -> None:
    """Compute the rows asked for and write each as soon as it is there."""
    sweep_command(globals(), arguments)


if __name__ == "__main__":
    main()
