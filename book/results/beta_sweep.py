"""The beta-VAE on three phases of Ising at several beta, and the beta^2-VAE on one phase alone.

Every row is one training at course scale, of the chapter's dense networks or of the paper's, with
batch normalisation; the seeds of a value of beta differ in initial weights, order of
the batches and noise, not in the data.
What is found goes to ``beta_sweep.json`` in the package. Rows that are there already are
skipped; ``--again`` computes them anew.

    python book/results/beta_sweep.py                        # everything that is missing
    python book/results/beta_sweep.py --data three-phases --beta 100 --seed 0
"""

from __future__ import annotations

import base64
import functools
import zlib
from types import SimpleNamespace
from typing import Any

import _normalized_cnn  # noqa: F401 - registers the paper's networks
import numpy as np
from _sweep import RESULTS, from_chapter, sweep_command

import mfvae
from mfvae.systems import Ising2D

three_phase_ising, axis_alignment, isometry = from_chapter(
    "beta-vae", "three_phase_ising", "axis_alignment", "isometry"
)

OUTPUT = RESULTS / "beta_sweep.json"
#: Those of the chapter: ordered and disordered phases, units of |J|/k_B.
ORDERED_TEMPERATURES, DISORDERED_TEMPERATURES = np.linspace(1.5, 2.1, 7), np.linspace(3.0, 6.0, 7)
LENGTH, N_TRAINING, N_TEST, N_GENERATED = 32, 12_000, 3_000, 2_000
N_SHOWN, N_PICTURES, N_GREYS = 300, 16, 16
ONE_PHASE_EPOCHS = 16
#: What a generated mean configuration counts as: |m| or |m_s| above, or its rms below.
ORDERED, DISORDERED = 0.5, 0.25
REGIONS = ("FM+", "FM-", "AFM+", "AFM-", "PM", "between")

#: The networks of the paper, with its Normal prior, Adam and batches of 128. They are smaller than
#: there (channels 64 and 128, width 1024, 50 epochs); the lattice is not, since the window of beta
#: scales with it. With their batch normalisation one of two latents often stays unused; dense
#: networks without it are reliable.
_NETWORK = {"channels": (16, 32), "width": 128}
_PAPER = {
    "encoder": "normalized-cnn",
    "decoder": "normalized-cnn",
    "encoder_options": _NETWORK,
    "decoder_options": _NETWORK,
    "prior": "normal",
    "learning_rate": 1e-3,
    "momentum": 0.5,
    "weight_decay": 0.0,
    "schedule": "one-cycle",
    "batch_size": 128,
    "n_epochs": 6,
}
_STEPS = ("learning_rate", "momentum", "weight_decay", "schedule", "n_epochs")
#: The arguments of each way to train; "constant" is the paper's schedule. The last three
#: change one thing at a time: the plain networks with the paper's steps, the paper's networks with
#: those of the plain ones, and the paper's networks without their normalisation.
VARIANTS: dict[str, dict[str, Any]] = {
    "dense": {
        "encoder": "mlp",
        "decoder": "mlp",
        "prior": "normal",
        "batch_size": 128,
        "n_epochs": 8,
    },
    "paper": _PAPER,
    "constant": {**_PAPER, "schedule": "constant"},
    "dense, paper's steps": {
        **{"encoder": "mlp", "decoder": "mlp", "prior": "normal", "batch_size": 128},
        **{name: _PAPER[name] for name in _STEPS},
    },
    "paper, plain steps": {
        **{name: value for name, value in _PAPER.items() if name not in _STEPS},
        "n_epochs": 8,
    },
    "paper, not normalized": {
        **_PAPER,
        "encoder_options": {**_NETWORK, "normalize": False},
        "decoder_options": {**_NETWORK, "normalize": False},
    },
}
BETAS = (1, 10, 30, 100, 150, 200, 300, 2000)
#: Number of seeds of the paper's networks, which take five times as long.
PAPER_SEEDS = {1: 3, 10: 3, 30: 1, 100: 5, 150: 5, 200: 1, 300: 1, 2000: 1}
#: The others of five, in a file of their own.
FURTHER = [
    ("three-phases", "paper", "bernoulli", beta, s)
    for s in range(1, 5)
    for beta, n in PAPER_SEEDS.items()
    if s >= n
]
FURTHER += [("three-phases", "constant", "bernoulli", 100, s) for s in (3, 4)]
NAMES = ("data", "variant", "likelihood", "beta", "seed")
FILTERS = {"data": "data", "variant": "variant", "beta": "beta", "seed": "seed"}
ROWS = [("three-phases", "dense", "bernoulli", beta, s) for beta in BETAS for s in range(5)]
ROWS += [
    ("three-phases", "paper", "bernoulli", beta, s)
    for beta, n in PAPER_SEEDS.items()
    for s in range(n)
]
ROWS += [("three-phases", "constant", "bernoulli", 100, s) for s in range(3)]
#: Where the paper's networks fail most often.
ONE_AT_A_TIME = list(VARIANTS)[3:]
ROWS += [("three-phases", name, "bernoulli", 150, s) for name in ONE_AT_A_TIME for s in range(5)]
ROWS += [
    (phase, "dense", likelihood, 100, s)
    for phase in ("FM", "PM")
    for likelihood in ("tempered", "bernoulli")
    for s in range(5)
]


@functools.cache
def draw(data: str, length: int, n_samples: int, seed: int) -> SimpleNamespace:
    """Return three phases, or the ferromagnet or paramagnet of J = 1 alone."""
    if data == "three-phases":
        return three_phase_ising(length, n_samples, seed=seed)
    temperatures = ORDERED_TEMPERATURES if data == "FM" else DISORDERED_TEMPERATURES
    each = -(-n_samples // len(temperatures))
    x = Ising2D(length).sample(temperatures, each, seed=seed, n_chains=each)
    x = x.swapaxes(0, 1).reshape(-1, length**2)[:n_samples]
    temperature = np.tile(temperatures, each)[:n_samples]
    label = np.zeros(n_samples, dtype=np.int64)
    return SimpleNamespace(x=x, label=label, temperature=temperature)


def rounded(values: Any, digits: int = 4) -> Any:
    """Return numbers as JSON holds them, to so many decimals."""
    return np.round(np.asarray(values, dtype=float), digits).tolist()


def regions_of(means: np.ndarray, system: Ising2D) -> np.ndarray:
    """Return the index into ``REGIONS`` of mean configurations (n_samples, n_sites)."""
    m = means.mean(axis=1)
    staggered = means @ system._chessboard / system.n_sites
    rms = np.sqrt((means**2).mean(axis=1))
    conditions = [m > ORDERED, m < -ORDERED, staggered > ORDERED, staggered < -ORDERED]
    return np.select([*conditions, rms < DISORDERED], range(5), default=5)


def pack(means: np.ndarray) -> str:
    """Return mean configurations in [-1, 1] as text: 16 grey levels, compressed."""
    greys = np.clip(np.round((means + 1) / 2 * (N_GREYS - 1)), 0, N_GREYS - 1).astype(np.uint8)
    return base64.b64encode(zlib.compress(greys.tobytes(), 9)).decode()


def unpack(text: str, n_sites: int) -> np.ndarray:
    """Return the mean configurations of ``pack``, (n_pictures, n_sites)."""
    greys = np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=np.uint8)
    return greys.reshape(-1, n_sites) / (N_GREYS - 1) * 2 - 1


def signed_phases(label: np.ndarray, m: np.ndarray, staggered: np.ndarray) -> np.ndarray:
    """Return the phase of each row with its sign: 0 … 3 as in ``REGIONS``, 4 for PM."""
    return np.where(label == 0, m < 0, np.where(label == 1, 2 + (staggered < 0), 4))


def in_latent_space(vae: mfvae.MeanFieldVAE, test: SimpleNamespace) -> dict[str, Any]:
    """Return how phases and order parameters lie in the latent space."""
    system = Ising2D(round(test.x.shape[1] ** 0.5))
    z, deviation = vae.encode(test.x)
    orders = (system.order_parameter(test.x), system.staggered_order_parameter(test.x))
    axes, found = [], {}
    for label, (name, order) in enumerate(zip(("FM", "AFM"), orders, strict=True)):
        rows = test.label == label
        correlations, r_squared, gap = axis_alignment(z[rows].astype(float), order[rows])
        up, down = (z[rows & (sign * order > 0)].mean(axis=0, dtype=float) for sign in (1, -1))
        axes.append((up - down) / 2)
        found[name] = {
            "axis": rounded(axes[-1]),
            "correlations": rounded(correlations),
            "r_squared": round(float(r_squared), 4),
            "gap": round(float(gap), 4),
        }
    lengths = np.linalg.norm(axes, axis=1)
    pm = z[test.label == 2]
    ratios = isometry(test.x, z, signed_phases(test.label, *orders))
    spread = ratios.std() / ratios.mean() if ratios.any() else np.nan
    rate = (z.astype(float) ** 2 + deviation.astype(float) ** 2 - 1).sum(axis=1) / 2
    rate -= np.log(deviation.astype(float)).sum(axis=1)  # to Normal(0, 1)
    return {
        **found,
        "cosine": round(float(axes[0] @ axes[1] / lengths.prod()), 4),
        "PM": {"mean": rounded(pm.mean(axis=0)), "deviation": rounded(pm.std(axis=0))},
        "isometry": {"ratios": rounded(ratios), "spread": round(float(spread), 4)},
        "rate": round(float(rate.mean()), 4),
        "elbo": round(float(vae.score_samples(test.x, method="elbo", n_importance=8).mean()), 3),
        "deviation_of_means": rounded(z.std(axis=0)),
        "shown": {"latents": rounded(z[:N_SHOWN], 2), "label": test.label[:N_SHOWN].tolist()},
    }


def generated(vae: mfvae.MeanFieldVAE, n_generated: int) -> dict[str, Any]:
    """Return which phases the decoder makes of latents from the prior, and some pictures."""
    means = vae.reconstruct_mean(vae.sample_prior(n_generated, seed=2))
    regions = regions_of(means, Ising2D(round(means.shape[1] ** 0.5)))
    shares = np.bincount(regions, minlength=len(REGIONS)) / n_generated
    return {
        "generated": dict(zip(REGIONS, rounded(shares), strict=True)),
        "pictures": pack(means[:N_PICTURES]),
    }


def thermal(vae: mfvae.MeanFieldVAE, data: SimpleNamespace, n_generated: int) -> dict[str, Any]:
    """Return energy and |m| per site of samples and data, and the fields behind the samples."""
    system = Ising2D(round(data.x.shape[1] ** 0.5))
    emitted = vae.decode(vae.sample_prior(n_generated, seed=2))
    field, beta = emitted[..., 0], np.ones_like(emitted[..., 0])
    if vae.likelihood == "tempered":
        beta = 1 / (1 + np.exp(-emitted[..., 1]))
    x = vae.sample(n_generated, seed=2)  # made from the same latents
    exact = [float(system.internal_energy(t)) for t in np.unique(data.temperature)]

    def observables(x: np.ndarray) -> dict[str, list[float]]:
        energy = system.energy(x) / system.n_sites
        m = np.abs(system.order_parameter(x))
        return {
            name: rounded([v.mean(), v.std() / len(v) ** 0.5, v.std()], 5)
            for name, v in (("energy", energy), ("m", m))
        }

    return {
        "samples": observables(x),
        "data_observables": observables(data.x),
        "exact_energy": round(np.mean(exact) / system.n_sites, 5),
        "mean_beta": round(float(beta.mean()), 4),
        "deviation_of_beta": round(float(beta.std()), 4),
        "mean_abs_field": round(float(np.abs(field).mean()), 4),
        "mean_abs_product": round(float(np.abs(beta * field).mean()), 4),
        "rate": round(float(vae.history_["validation_rate"][-1]), 4),
    }


def compute_row(
    data: str,
    variant: str,
    likelihood: str,
    beta: float,
    seed: int,
    *,
    length: int = LENGTH,
    n_training: int = N_TRAINING,
    n_test: int = N_TEST,
    n_generated: int = N_GENERATED,
    **options: Any,
) -> dict[str, Any]:
    """Train one row and measure it; the keyword arguments may shrink it."""
    if data != "three-phases":
        n_training //= 3  # as many of this phase as among the three
        options = {"n_epochs": ONE_PHASE_EPOCHS} | options
    training = draw(data, length, n_training, 0)
    own = {"likelihood": likelihood, "beta": beta, "random_state": seed}
    arguments = VARIANTS[variant] | own | options
    vae = mfvae.MeanFieldVAE(2, device="cpu", progress=False, **arguments)
    vae.fit(training.x)
    row = {"validation_loss": rounded(vae.history_["validation_loss"], 3)}
    if data == "three-phases":
        row |= in_latent_space(vae, draw(data, length, n_test, 1)) | generated(vae, n_generated)
    else:
        row |= thermal(vae, training, n_generated)
    return row | {"training_seconds": round(vae.training_seconds_, 1)}


def configuration() -> dict[str, Any]:
    """Return what the rows share."""
    return {
        "length": LENGTH,
        "n_training": N_TRAINING,
        "n_test": N_TEST,
        "n_generated": N_GENERATED,
        "ordered_temperatures": rounded(ORDERED_TEMPERATURES),
        "disordered_temperatures": rounded(DISORDERED_TEMPERATURES),
        "thresholds": [ORDERED, DISORDERED],
        "variants": VARIANTS,
        "one_phase_epochs": ONE_PHASE_EPOCHS,
    }


def main(arguments: list[str] | None = None) -> None:
    """Compute the rows asked for and write each as soon as it is there."""
    sweep_command(globals(), arguments)


if __name__ == "__main__":
    main()
