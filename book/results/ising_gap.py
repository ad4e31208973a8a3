"""The gap against the number of latents: 2D Ising at its critical temperature, L = 16.

Trains one network after another, always at the critical temperature alone, and writes what it
finds to ``ising_gap.json`` in the package: for each the gap in nats (ELBO and IWAE-256), the
rate, and the validation loss of every epoch. Rows that are there already are skipped, so that the
sweep can be interrupted and goes on where it was; ``--again`` computes them anew.

    python book/results/ising_gap.py                       # everything that is missing
    python book/results/ising_gap.py --latents 4 --variant base
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from _sweep import RESULTS, sweep_command

import mfvae
from mfvae.systems import CurieWeiss, Estimate, Ising2D

OUTPUT = RESULTS / "ising_gap.json"
LENGTH = 16
N_TRAINING, N_VALIDATION, N_TEST, N_GENERATED = 40_000, 4_000, 16_384, 20_000
#: Importance-weighted bounds are dear: so many latents for each of the first so many.
N_IMPORTANCE, N_IMPORTANCE_TEST = 256, 256
N_CHAINS = 64
CNN = {"channels": [16, 32], "padding_mode": "circular"}
WIDE = {"channels": [32, 64], "padding_mode": "circular"}
MLP = {"widths": [512, 512]}

#: What differs from one way of training to another; "fresh" draws new samples for every epoch.
VARIANTS: dict[str, dict[str, Any]] = {
    "base": {"network": "cnn", "options": CNN, "n_epochs": 10},
    "other seed": {"network": "cnn", "options": CNN, "n_epochs": 10, "random_state": 1},
    "dense": {"network": "mlp", "options": MLP, "n_epochs": 20, "fresh": True},
    "long": {"network": "cnn", "options": CNN, "n_epochs": 30, "fresh": True},
    "wide": {"network": "cnn", "options": WIDE, "n_epochs": 15, "fresh": True},
    "mixture prior": {"network": "cnn", "options": CNN, "n_epochs": 10, "prior": "mixture"},
    "slow": {"network": "cnn", "options": CNN, "n_epochs": 10, "learning_rate": 1e-3},
}
#: The rows of the sweep, by what names them.
NAMES = ("system", "n_latents", "variant")
FILTERS = {"system": "system", "latents": "n_latents", "variant": "variant"}
FURTHER = range(1, 5)  # seeds: other data and networks
ROWS = sorted(
    [("ising", d, "base") for d in (1, 64, 4, 16)]
    + [("curie-weiss", 1, "base")]
    + [("ising", 16, "mixture prior"), ("ising", 16, "long"), ("ising", 1, "long")]
    + [("ising", d, "base") for d in (8, 2, 32)]
    + [("ising", 4, "mixture prior"), ("ising", 16, "wide"), ("ising", 1, "wide")]
    + [("ising", d, "dense") for d in (16, 1)]
    + [("ising", d, "long") for d in (32, 64)]
    + [("ising", d, variant) for variant in ("other seed", "slow") for d in (1, 16)]
)
#: What is repeated with further seeds.
REPEATED = [row for row in ROWS if row[2] != "other seed"]


def system_and_temperature(name: str, length: int = LENGTH) -> tuple[Any, float]:
    """Return one of the two systems, of ``length**2`` spins, and its critical temperature."""
    if name == "ising":
        return Ising2D(length), float(Ising2D.CRITICAL_TEMPERATURE)
    return CurieWeiss(length**2), 1.0


def average(values: np.ndarray) -> Estimate:
    """Return the mean of ``values (N_CHAINS, n)`` with the error from the chains' spread."""
    means = values.reshape(N_CHAINS, -1).mean(axis=1)
    return Estimate(means.mean(), stderr=means.std(ddof=1) / np.sqrt(N_CHAINS))


def evaluate(
    vae: mfvae.MeanFieldVAE, system: Any, temperature: float, n_test: int = N_TEST, apart: int = 0
) -> dict[str, Estimate]:
    """Return ELBO gap, IWAE gap and rate on configurations the training has not seen, nats.

    The importance-weighted gap is the ELBO's less the mean difference of the two bounds, which
    fluctuates little and is averaged over fewer configurations.
    """
    n_records = n_test // N_CHAINS
    chains = system.sample_chains([temperature], N_CHAINS, n_records, seed=3 + apart)[0]
    x = chains.reshape(-1, system.n_sites)
    elbo = vae.score_samples(x, method="elbo", n_importance=2, seed=4)
    gap = average(system.log_prob(x, temperature) - elbo)
    n_few = -(-min(n_test, N_IMPORTANCE_TEST) // N_CHAINS)
    few = chains[:, :n_few].reshape(-1, system.n_sites)
    bounds = [
        vae.score_samples(few, method=method, n_importance=n, seed=4)
        for method, n in (("iwae", N_IMPORTANCE), ("elbo", 32))
    ]
    tighter = average(bounds[0] - bounds[1])
    iwae = Estimate(gap - tighter, stderr=float(np.hypot(gap.stderr, tighter.stderr)))
    mean, deviation = vae.encode(x)
    noise = np.random.default_rng(5).standard_normal(mean.shape)
    log_q = -(noise**2 + np.log(2 * np.pi * deviation**2)).sum(axis=1) / 2
    rate = average(log_q - vae.log_prior(mean + deviation * noise))
    return {"elbo_gap": gap, "iwae_gap": iwae, "rate": rate}


def observables(vae: mfvae.MeanFieldVAE, system: Any, n_generated: int) -> dict[str, Estimate]:
    """Return magnetisation, energy a site and correlation length of the model's own samples."""
    x = vae.sample(n_generated, seed=6)
    length = round(system.n_sites**0.5)
    energy = system.energy(x) / system.n_sites
    m = x.mean(axis=1)  # whose mean modulus does not depend on the temperature, here 1
    return {
        "magnetization": mfvae.measure.order_parameter_moments(m, system.n_sites, 1.0).mean,
        "energy": Estimate(energy.mean(), stderr=energy.std(ddof=1) / np.sqrt(n_generated)),
        "correlation_length": mfvae.measure.correlation_length(x, length),
    }


def train(
    system: Any,
    temperature: float,
    n_latents: int,
    variant: dict[str, Any],
    n_training: int = N_TRAINING,
    n_validation: int = N_VALIDATION,
    seed: int = 0,
) -> mfvae.MeanFieldVAE:
    """Train one network on equilibrium samples of one temperature."""
    variant, apart = {"random_state": seed} | variant, 100_000 * seed
    network, options = variant.pop("network"), variant.pop("options")
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    redraw = None
    if variant.pop("fresh", False):

        def redraw(epoch: int) -> tuple[np.ndarray, None]:
            return system.sample(temperature, n_training, seed=1000 + epoch + apart), None

    vae = mfvae.MeanFieldVAE(
        n_latents,
        encoder=network,
        decoder=network,
        encoder_options=options,
        decoder_options=options,
        device="cpu",
        progress=False,
        **{"prior": "spline", **variant},
    )
    held_out = system.sample(temperature, n_validation, seed=2 + apart)
    x = system.sample(temperature, n_training, seed=1 + apart)
    return vae.fit(x, validation=(held_out, None), redraw=redraw)


def compute_row(
    name: str, n_latents: int, variant: str, length: int = LENGTH, *, seed: int = 0, **counts: int
) -> dict[str, Any]:
    """Train and evaluate one row; ``counts`` may shrink ``n_training``, ``n_test``, …"""
    n_test = counts.pop("n_test", N_TEST)
    n_generated = counts.pop("n_generated", N_GENERATED)
    system, temperature = system_and_temperature(name, length)
    processor_started = time.process_time()
    vae = train(system, temperature, n_latents, VARIANTS[variant], seed=seed, **counts)
    found = evaluate(vae, system, temperature, n_test, apart=100_000 * seed)
    found |= observables(vae, system, n_generated)
    return {
        **{key: [round(e.value, 4), round(e.stderr, 4)] for key, e in found.items()},
        "n_importance_test": min(n_test, N_IMPORTANCE_TEST),
        "loss": [round(v, 4) for v in vae.history_["loss"]],
        "validation_loss": [round(v, 4) for v in vae.history_["validation_loss"]],
        "n_parameters": sum(p.numel() for p in vae.module_.parameters()),
        "training_seconds": round(vae.training_seconds_, 3),
        "processor_seconds": round(time.process_time() - processor_started, 1),
    }


def configuration() -> dict[str, Any]:
    """Return what all rows share, with the exact numbers they are held against."""
    system, temperature = system_and_temperature("ising")
    demand = system.dual_total_correlation(temperature)
    return {
        "length": LENGTH,
        "n_training": N_TRAINING,
        "n_validation": N_VALIDATION,
        "n_test": N_TEST,
        "n_generated": N_GENERATED,
        "n_importance": N_IMPORTANCE,
        "temperature": {n: system_and_temperature(n)[1] for n in ("ising", "curie-weiss")},
        "entropy": round(float(system.entropy(temperature)), 4),
        "energy": round(float(system.internal_energy(temperature)) / system.n_sites, 6),
        "dual_total_correlation": [round(demand.value, 4), round(demand.stderr, 4)],
        "variants": VARIANTS,
    }


def main(arguments: list[str] | None = None) -> None:
    """Compute the rows asked for and write each as soon as it is there."""
    import torch

    torch.set_num_threads(1)  # the networks are small, and the bits do not depend on the cores
    sweep_command(globals(), arguments)


if __name__ == "__main__":
    main()
