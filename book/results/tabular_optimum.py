"""The best tabular β-VAE on the 4 × 4 Ising torus, beside the floor under its loss.

Encoder, prior and decoder are tables, improved by turns until the loss stands still: ``q(z|x)
∝ p(z) p(x|z)^{1/β}``, ``p(z) = E q(z|x)``, ``p(x|z)`` the product of the sites' own laws given z.
Each step lowers ``D + βR``, so that the best of several starts is an upper bound of the minimum.
Writes ``tabular_optimum.json`` in the package; rows that are there already are skipped.

    python book/results/tabular_optimum.py                  # everything that is missing
    python book/results/tabular_optimum.py --beta 2
"""

from __future__ import annotations

from typing import Any

import numpy as np
from _sweep import RESULTS, sweep_command

from mfvae.measure import all_configurations, rate_gap_bound
from mfvae.systems import Ising2D

OUTPUT = RESULTS / "tabular_optimum.json"
LENGTH, N_STATES, N_STARTS, N_STEPS, TOLERANCE = 4, 32, 3, 400, 1e-5
CRITICAL = float(Ising2D.CRITICAL_TEMPERATURE)
NAMES = ("temperature", "beta")
FILTERS = {"beta": "beta"}
ROWS = [(CRITICAL, beta) for beta in (2.0, 16.0, 4.0, 8.0, 1.2, 1.5, 3.0, 12.0)] + [(2.6, 2.0)]


def optimum(
    log_p: np.ndarray, beta: float, seed: int, n_states: int = N_STATES, n_steps: int = N_STEPS
) -> tuple[float, float]:
    """Return distortion and rate of one start, nats; ``log_p`` is of `all_configurations`."""
    n_sites = int(np.log2(len(log_p)))
    spins = all_configurations(n_sites).astype(np.float32)
    p = np.exp(log_p).astype(np.float32)
    rng = np.random.default_rng(seed)
    # Prototypes drawn from the law itself, blurred by various amounts.
    drawn = spins[rng.choice(len(p), n_states, p=np.exp(log_p) / np.exp(log_p).sum())]
    field = drawn * rng.uniform(0.1, 1.5, (n_states, 1)).astype(np.float32)
    log_prior, last = np.full(n_states, -np.log(n_states), dtype=np.float32), np.inf
    for _ in range(n_steps):
        log_decoder = spins @ field.T - np.logaddexp(field, -field).sum(axis=1)
        q = log_prior + log_decoder / np.float32(beta)
        q -= q.max(axis=1, keepdims=True)
        q = np.exp(q)
        q /= q.sum(axis=1, keepdims=True)
        joint = p[:, None] * q
        prior = joint.sum(axis=0, dtype=np.float64) + 1e-30
        distortion = -float(np.sum(joint * log_decoder, dtype=np.float64))
        rate = float(np.sum(joint * np.log(np.maximum(q, 1e-30)), dtype=np.float64))
        rate -= float(prior @ np.log(prior))
        loss = distortion + beta * rate
        if last - loss < TOLERANCE:
            break
        last = loss
        mean = np.clip(joint.T @ spins / prior[:, None], -1 + 1e-7, 1 - 1e-7)
        field, log_prior = (a.astype(np.float32) for a in (np.arctanh(mean), np.log(prior)))
    return distortion, rate


def compute_row(
    temperature: float, beta: float, *, n_starts: int = N_STARTS, **options: int
) -> dict[str, Any]:
    """Return the best start with its floor; the options may shrink it."""
    system = Ising2D(LENGTH)
    log_p = system.log_prob(all_configurations(system.n_sites), temperature)
    found = [optimum(log_p, beta, seed, **options) for seed in range(n_starts)]
    distortion, rate = min(found, key=lambda pair: pair[0] + beta * pair[1])
    floor = rate_gap_bound(system, temperature, beta=beta)
    return {
        "loss": round(distortion + beta * rate, 4),
        "rate": round(rate, 4),
        "gap": round(distortion + rate - float(system.entropy(temperature)), 4),
        "floor": round(float(floor.nats), 4),
        "packing": floor.packing,
        "losses": sorted(round(d + beta * r, 4) for d, r in found),
    }


def configuration() -> dict[str, Any]:
    """Return what the rows share."""
    shared = {"length": LENGTH, "n_states": N_STATES, "n_starts": N_STARTS}
    return shared | {"n_steps": N_STEPS, "tolerance": TOLERANCE}


def main(arguments: list[str] | None = None) -> None:
    """Compute the rows asked for and write each as soon as it is there."""
    sweep_command(globals(), arguments)


if __name__ == "__main__":
    main()
