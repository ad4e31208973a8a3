"""The gap against the number of latents as the range grows: from the Ising model to Curie-Weiss.

Trains a network for every size, reach, temperature, number of latents and seed, and writes gap and
rate, in nats, to ``crossover.json`` in the package. Entropies are exact at both ends of the range;
between them ln Z comes from the energy, integrated over temperatures, and its error is in that of
the gap. Rows that are there already are skipped, the most telling ones come first.

    python book/results/crossover.py --size 256 --seed 0      # a first picture
    python book/results/crossover.py                          # everything that is missing
"""

from __future__ import annotations

import time
from functools import cache
from typing import Any

import numpy as np
from _integration import estimate_log_partition
from _kac import KacIsing
from _sweep import RESULTS, sweep_command
from ising_gap import CNN, N_CHAINS, average

import mfvae
from mfvae.measure import rate_gap_bound
from mfvae.systems import Estimate, Ising2D
from mfvae.systems._special import binary_negentropy

OUTPUT = RESULTS / "crossover.json"
#: T_c(r), units of J/k_B: at reach 1 exact, else by `critical_temperature`, within 0.1 per cent: at
#: L = 128, with 32 records, it gives 0.7306, 0.8340 and 0.9176, each ± 0.0003.
CRITICAL = {1: float(Ising2D.CRITICAL_TEMPERATURE) / 4, 2: 0.731, 3: 0.8345, 5: 0.918}
RATIOS = (1.0, 1.2)
LATENTS = (1, 2, 4, 8, 16, 32)
N_TRAINING, N_VALIDATION, N_TEST = 40_000, 4_000, 8_192
N_SAMPLES, N_NODES = 4_096, 32  # of the thermodynamic integration
#: ⟨m²⟩²/⟨m⁴⟩ of Ising models on a large square torus at T_c (Kamieniarz & Blöte 1993).
UNIVERSAL_RATIO = 0.856216
NETWORKS: dict[str, dict[str, Any]] = {
    "linear": {
        "encoder": "mlp",
        "encoder_options": {"widths": []},
        "decoder": "linear",
        "n_epochs": 12,
        "learning_rate": 1e-2,
    },
    "cnn": {
        "encoder": "cnn",
        "encoder_options": CNN,
        "decoder": "cnn",
        "decoder_options": CNN,
        "prior": "spline",
        "n_epochs": 10,
    },
}
NAMES = ("n_sites", "reach", "ratio", "n_latents", "seed", "network")
FILTERS = {
    "size": "n_sites",
    "reach": "reach",
    "ratio": "ratio",
    "latents": "n_latents",
    "seed": "seed",
    "network": "network",
}


def reaches(n_sites: int) -> tuple[int, ...]:
    """Return the ranges at one size; the last is everyone's."""
    return (*CRITICAL, round(n_sites**0.5))


ROWS = [
    (n, reach, ratio, d, seed, network)
    for n, network in ((256, "linear"), (256, "cnn"), (1024, "linear"), (1024, "cnn"))
    for seed in range(5)
    for ratio in RATIOS
    for d in (LATENTS if network == "linear" else (1, 4, 16))
    for reach in reaches(n)
]


def system_and_temperature(n_sites: int, reach: int, ratio: float) -> tuple[KacIsing, float]:
    """Return the magnet and ``ratio`` T_c; all sites are as in Curie-Weiss, T_c = N/(N - 1)."""
    system = KacIsing(round(n_sites**0.5), reach)
    return system, ratio * CRITICAL.get(reach, n_sites / (n_sites - 1))


def critical_temperature(
    reach: float, length: int, guess: float, n_records: int = 64, seed: int = 0
) -> Estimate:
    """Return where ⟨m²⟩²/⟨m⁴⟩ has its universal value, by a straight line from a near ``guess``.

    As L → ∞ that is T_c (Binder 1981). The slope comes from the same sample: ``d⟨f⟩/dβ = -⟨fE⟩ +
    ⟨f⟩⟨E⟩``; the error from a jackknife over chains.
    """
    system = KacIsing(length, reach)
    chains = system.sample_chains(guess, N_CHAINS, n_records, seed=seed, thinning=3)[0]
    energy = np.array([system.energy(chain) for chain in chains])
    m2 = np.array([system.order_parameter(chain) for chain in chains]) ** 2
    values = np.stack([energy, m2, m2**2, m2 * energy, m2**2 * energy]).mean(axis=2)
    total = values.sum(axis=1, keepdims=True)
    means = np.concatenate([total / N_CHAINS, (total - values) / (N_CHAINS - 1)], axis=1)
    e, second, fourth, second_e, fourth_e = means
    ratio = second**2 / fourth
    slope = ratio * (2 * (e - second_e / second) - (e - fourth_e / fourth))  # by β
    found, *left_out = 1 / (1 / guess + (UNIVERSAL_RATIO - ratio) / slope)
    return Estimate(found, stderr=float(np.std(left_out) * (N_CHAINS - 1) ** 0.5))


@cache
def unseen(n_sites: int, reach: int, ratio: float, n_test: int) -> np.ndarray:
    """Return configurations that no training has seen, (N_CHAINS, n, n_sites)."""
    system, temperature = system_and_temperature(n_sites, reach, ratio)
    return system.sample_chains(temperature, N_CHAINS, n_test // N_CHAINS, seed=3)[0]


@cache
def log_partition(
    n_sites: int, reach: int, ratio: float, n_samples: int = N_SAMPLES, n_nodes: int = N_NODES
) -> Estimate:
    """Return ln Z: exact at the ends, else by integration."""
    system, temperature = system_and_temperature(n_sites, reach, ratio)
    try:
        return system.log_partition(temperature)
    except NotImplementedError:
        return estimate_log_partition(system, temperature, n_samples, n_nodes=n_nodes, seed=6)


@cache
def demands(n_sites: int, reach: int, ratio: float, n_test: int, **integration: int) -> dict:
    """Return what independent sites miss, and the dual total correlation."""
    system, temperature = system_and_temperature(n_sites, reach, ratio)
    chains = unseen(n_sites, reach, ratio, n_test)
    x = chains.reshape(-1, n_sites)
    log_z = log_partition(n_sites, reach, ratio, **integration)
    energy = average(system.energy(x))
    means = np.tanh(system.local_field(x) / temperature)
    # N ln 2 - Σ H(s_i | others), less N ln 2 - H: the energy is in both.
    conditional = average(binary_negentropy(means).sum(axis=1) + system.energy(x) / temperature)
    entropy_error = float(np.hypot(log_z.stderr, energy.stderr / temperature))
    free = n_sites * np.log(2)
    return {
        "log_partition": log_z,
        "total_correlation": Estimate(free - log_z - energy / temperature, entropy_error),
        "dual_total_correlation": Estimate(
            log_z + conditional - free, float(np.hypot(log_z.stderr, conditional.stderr))
        ),
    }


@cache
def power_spectra(n_sites: int, reach: int, ratio: float, n_test: int) -> np.ndarray:
    """Return the mean squares of the waves in every chain, (N_CHAINS, n_sites), of mean one."""
    length = round(n_sites**0.5)
    x = unseen(n_sites, reach, ratio, n_test).reshape(N_CHAINS, -1, length, length)
    return np.mean(np.abs(np.fft.fft2(x)) ** 2, axis=1).reshape(N_CHAINS, -1) / n_sites


def gaussian_gap(n_sites: int, reach: int, ratio: float, n_latents: int, n_test: int) -> Estimate:
    """Return what probabilistic PCA would miss if the spins were Gaussian, nats.

    With ``S_k`` the mean squares of the waves, the largest first, it keeps d of them and takes the
    others for equal: ``½ Σ_{k > d} (ln mean S - ln S_k)`` (Tipping & Bishop 1999). Jackknife error.
    """
    spectra = power_spectra(n_sites, reach, ratio, n_test)
    left_out = (spectra.sum(axis=0) - spectra) / (N_CHAINS - 1)
    rest = np.sort([spectra.mean(axis=0), *left_out], axis=1)[:, : n_sites - n_latents]
    value, *others = (np.log(rest.mean(axis=1)) - np.log(rest).mean(axis=1)) * rest.shape[1] / 2
    return Estimate(value, stderr=float(np.std(others) * (N_CHAINS - 1) ** 0.5))


@cache
def floor_curve(n_sites: int, reach: int, ratio: float) -> Any:
    """Return the floor under the gap at one of the two ends."""
    system, temperature = system_and_temperature(n_sites, reach, ratio)
    return rate_gap_bound(*system.same_law(temperature))


def compute_row(
    n_sites: int,
    reach: int,
    ratio: float,
    n_latents: int,
    seed: int,
    network: str,
    *,
    n_training: int = N_TRAINING,
    n_validation: int = N_VALIDATION,
    n_test: int = N_TEST,
    n_epochs: int | None = None,
    **integration: int,
) -> dict[str, Any]:
    """Train and measure one row; the keyword arguments may shrink it."""
    started = time.process_time()
    system, temperature = system_and_temperature(n_sites, reach, ratio)
    known = demands(n_sites, reach, ratio, n_test, **integration)
    settings = dict(NETWORKS[network])
    for key in ("encoder_options", "decoder_options"):
        given = settings.pop(key, {})
        settings[key] = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
    if n_epochs is not None:
        settings["n_epochs"] = n_epochs
    vae = mfvae.MeanFieldVAE(n_latents, **settings, device="cpu", progress=False, random_state=seed)
    held_out = system.sample(temperature, n_validation, seed=2)
    vae.fit(system.sample(temperature, n_training, seed=10 + seed), validation=(held_out, None))
    x = unseen(n_sites, reach, ratio, n_test).reshape(-1, n_sites)
    elbo = vae.score_samples(x, method="elbo", n_importance=4, seed=4)
    gap = average(-system.energy(x) / temperature - elbo)
    gap = Estimate(
        gap - known["log_partition"], np.hypot(gap.stderr, known["log_partition"].stderr)
    )
    mean, deviation = vae.encode(x)
    noise = np.random.default_rng(5).standard_normal(mean.shape)
    log_q = -(noise**2 + np.log(2 * np.pi * deviation**2)).sum(axis=1) / 2
    rate = average(log_q - vae.log_prior(mean + deviation * noise))
    gaussian = gaussian_gap(n_sites, reach, ratio, n_latents, n_test)
    found = {"gap": gap, "rate": rate, "gaussian_gap": gaussian, **known}
    if reach in (1, reaches(n_sites)[-1]):
        found["floor"] = floor_curve(n_sites, reach, ratio).gap(rate).nats
    return {
        "temperature": round(temperature, 6),
        "n_neighbours": system.n_neighbours,
        **{key: [round(float(e), 4), round(e.stderr, 4)] for key, e in found.items()},
        "validation_loss": [round(v, 3) for v in vae.history_["validation_loss"]],
        "training_seconds": round(vae.training_seconds_, 1),
        "processor_seconds": round(time.process_time() - started, 1),
    }


def configuration() -> dict[str, Any]:
    """Return what the rows share."""
    return {
        "critical_temperatures": list(CRITICAL.items()),
        "n_training": N_TRAINING,
        "n_validation": N_VALIDATION,
        "n_test": N_TEST,
        "integration": {"n_samples": N_SAMPLES, "n_nodes": N_NODES},
        "networks": NETWORKS,
    }


def main(arguments: list[str] | None = None) -> None:
    """Compute the rows asked for and write each as soon as it is there."""
    import torch

    torch.set_num_threads(1)  # the networks are small, and the bits do not depend on the cores
    sweep_command(globals(), arguments)


if __name__ == "__main__":
    main()
