"""How the width of the encoder scales with the number of spins: Curie-Weiss, N = 64 … 4096.

Trains one latent variable with an encoder that averages over sites and a small decoder, at one
temperature at a time, below, at and above the transition, and writes the mean variance of the
encoder over the variance of the prior to ``latent_scaling.json`` in the package, with the exact
value Var(m|s)/Var(m) of the Hubbard-Stratonovich field, and both sides of ``gap ≥ I(A;B) - R``.
Both variances are those of the decoder's mean field, a function of the latent, so that the latent's
own scale does not enter. Rows that are there are skipped.

    python book/results/latent_scaling.py                     # all that is missing
    python book/results/latent_scaling.py --temperature 1.0
"""

from __future__ import annotations

from typing import Any

import numpy as np
from _sweep import RESULTS, sweep_command

import mfvae
from mfvae.systems import CurieWeiss

OUTPUT = RESULTS / "latent_scaling.json"
TEMPERATURES = (0.6, 1.0, 1.5)
SIZES = (64, 256, 1024, 4096)
NAMES = ("temperature", "n_sites")
FILTERS = {"temperature": "temperature"}
FURTHER = range(1, 2)  # a fifth seed beside the four of a row
ROWS = [(temperature, n_sites) for n_sites in SIZES for temperature in TEMPERATURES]
#: Every epoch draws new configurations.
N_TRAINING, N_TEST, N_SEEDS = 8_000, 4_096, 4
MIXTURE = {"prior": "mixture", "prior_options": {"n_components": 8}}
BENT = {"decoder": "mlp", "decoder_options": {"widths": (8,)}}
#: Bricks by temperature. Above the transition the prior is one peak; components of a mixture that
#: no configuration needs would be left far away and blow up its variance.
BRICKS: dict[str, dict[str, Any]] = {
    "0.6": {"decoder": "linear", **MIXTURE},
    "1.0": {**BENT, **MIXTURE},
    "1.5": {**BENT, "prior": "normal"},
}
#: Epochs, batch size and learning rate by number of spins, below the transition and not; small
#: systems learn little from each configuration.
ORDERED_PASSES = {
    "64": (80, 64, 1e-1),
    "256": (80, 64, 1e-1),
    "1024": (24, 64, 5e-2),
    "4096": (24, 64, 5e-2),
}
PASSES = {
    "64": (24, 64, 3e-2),
    "256": (24, 64, 3e-2),
    "1024": (24, 256, 3e-2),
    "4096": (32, 256, 3e-2),
}


def exact_ratio(temperature: float, n_sites: int) -> float:
    """Return Var(m | s)/Var(m), with Var(m|s) = T/N and Var(m) = Var(M/N) + T/N."""
    noise = temperature / n_sites
    return float(noise / (CurieWeiss(n_sites).magnetization_moments(temperature, 2)[2] + noise))


def relative_variance(vae: mfvae.MeanFieldVAE, x: np.ndarray) -> float:
    """Return the variance of the mean field under q(z|x), averaged, over that under p(z)."""
    mean, deviation = (part[:, 0].astype(float) for part in vae.encode(x))
    noise = np.random.default_rng(0).standard_normal((64, len(x)))
    encoded, prior = mean + deviation * noise, vae.sample_prior(100_000, seed=998)[:, 0]
    ends = [min(encoded.min(), prior.min()), max(encoded.max(), prior.max())]
    grid = np.linspace(*ends, 2001)
    field = vae.decode(grid[:, None]).mean(axis=(1, 2)) / 2
    inner = np.interp(encoded, grid, field).var(axis=0, ddof=1).mean()
    return float(inner / np.interp(prior, grid, field).var())


def compute_row(
    temperature: float,
    n_sites: int,
    *,
    seed: int = 0,
    n_training: int = N_TRAINING,
    n_test: int = N_TEST,
    n_seeds: int = N_SEEDS,
    **options: Any,
) -> dict[str, Any]:
    """Train and measure one row; the keyword arguments may shrink it.

    Row 0 has the first ``n_seeds`` seeds, row 1 the next one, and so on.
    """
    system = CurieWeiss(n_sites)
    seeds = range(n_seeds) if seed == 0 else range(n_seeds + seed - 1, n_seeds + seed)
    ratios, sides = [], {"gap": [], "rate": [], "best_cut": []}
    for seed in seeds:

        def draw(epoch: int, seed: int = seed) -> tuple[np.ndarray, None]:
            return system.sample(temperature, n_training, seed=1000 * seed + epoch), None

        passes = (ORDERED_PASSES if temperature < 1 else PASSES).get(str(n_sites), (8, 64, 3e-2))
        settings = {"encoder": "set", **BRICKS[str(temperature)]}
        settings |= dict(zip(("n_epochs", "batch_size", "learning_rate"), passes, strict=True))
        settings |= options
        vae = mfvae.MeanFieldVAE(1, **settings, random_state=seed, device="cpu", progress=False)
        vae.fit(draw(0)[0], redraw=draw, validation=draw(999))
        x = system.sample(temperature, n_test, seed=999)
        ratios.append(relative_variance(vae, x))
        report = mfvae.measure.capacity(vae, x, temperature, system)
        for name, values in sides.items():
            estimate = getattr(report, name)
            values.append([round(estimate.value, 4), round(estimate.stderr, 4)])
    return {
        "ratio": [round(ratio, 6) for ratio in ratios],
        "exact_ratio": round(exact_ratio(temperature, n_sites), 6),
        **sides,
    }


def configuration() -> dict[str, Any]:
    """Return what the rows share."""
    sizes = {"n_training": N_TRAINING, "n_test": N_TEST, "n_seeds": N_SEEDS}
    return {**sizes, "bricks": BRICKS, "passes": PASSES, "ordered_passes": ORDERED_PASSES}


def main(arguments: list[str] | None = None) -> None:
    """Compute the rows asked for and write each as soon as it is there."""
    sweep_command(globals(), arguments)


if __name__ == "__main__":
    main()
