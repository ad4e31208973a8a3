"""The first paper's own recipe beside the book's settings, once for every system: nats and seconds.

The recipe of Biroli, Welling & Vitelli (2026), as far as their methods say: two convolutions as
encoder, their mirror as decoder (a rotation and two eigenvalues for directors, one linear layer for
neurons), a factorised spline prior, AdamW whose rate decays exponentially, the weights of the best
validation loss. Widths and rates are not in the text that we have. Widths are those of the book's
magnet of long range, rates the package's defaults. For directors, to which these teach next to
nothing in ten epochs (57 nats missed in the nematic phase), rate and batches are the book's. A row
is one training, at the temperatures around the transition, with a gap for each; for the recording,
where no gap is known, the nats gained over independent cells on words that no training has seen.
Rows go to ``papers_recipe.json`` in the package; those that are there already are skipped.

    python book/results/papers_recipe.py --system curie-weiss --sites 256    # minutes
    python book/results/papers_recipe.py                                     # hours
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from _sweep import RESULTS, sweep_command
from conditional_tc import CNN, MAGNET
from conditional_tc import SYSTEMS as WITH_CONDITIONS

import mfvae
from mfvae.compare import IndependentModel
from mfvae.data import load_retina
from mfvae.measure import exact_gap
from mfvae.systems import CurieWeiss, Hopfield, Ising2D, MaierSaupe, System

OUTPUT = RESULTS / "papers_recipe.json"
NAMES = ("system", "n_sites", "settings", "seed")
FILTERS = {"system": "system", "sites": "n_sites", "settings": "settings", "seed": "seed"}
RATIOS = (0.8, 0.9, 1.0, 1.1, 1.25)  # of the transition temperature
N_TRAINING, N_VALIDATION, N_TEST = 4_000, 400, 512  # at each temperature
N_EPOCHS = 10
N_WORDS = 40_000  # of the recording
#: Sites, smallest first, of the course and of the paper's size.
SIZES = {
    "curie-weiss": (256, 1024),
    "ising": (256, 1024),
    "hopfield": (256, 1024),
    "maier-saupe": (64, 256),
    "retina": (160,),
}
ROWS = [
    (system, n_sites, settings, seed)
    for place in range(2)
    for seed in range(5)
    for system, sizes in SIZES.items()
    for n_sites in sizes[place : place + 1]
    for settings in ("book", "recipe")
]
CONVOLUTIONS: dict[str, Any] = {
    "encoder": "cnn",
    "encoder_options": {"channels": (16, 32)},
    "decoder": "cnn",
    "decoder_options": {"channels": (16, 32)},
    "prior": "spline",
}
MIXTURE: dict[str, Any] = {"prior": "mixture", "prior_options": {"n_components": 32}}
BOOK: dict[str, dict[str, Any]] = {
    "curie-weiss": {**CONVOLUTIONS, "prior_options": MAGNET, "learning_rate": 5e-3},
    "ising": {
        **CONVOLUTIONS,
        **dict.fromkeys(("encoder_options", "decoder_options"), CNN),
        "prior_options": MAGNET,
        "learning_rate": 1e-2,
    },
    "hopfield": {"encoder": "mlp", "decoder": "linear", **MIXTURE, "learning_rate": 6e-3},
    "maier-saupe": WITH_CONDITIONS["maier-saupe"]["options"] | {"n_epochs": N_EPOCHS},
    "retina": {"decoder": "linear"},
}
RECIPE: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("curie-weiss", "ising", "hopfield"), CONVOLUTIONS),
    "maier-saupe": CONVOLUTIONS
    | {"likelihood": "bingham-rotation", "batch_size": 64, "learning_rate": 1e-2},
    "retina": CONVOLUTIONS
    | {"decoder": "linear", "decoder_options": None, "lattice_shape": (8, 20)},
}
N_LATENTS = {"curie-weiss": 1, "ising": 16, "hopfield": 2, "maier-saupe": 5, "retina": 2}


def system_and_transition(name: str, n_sites: int) -> tuple[System, float]:
    """Return the system, and the temperature of its transition."""
    if name == "ising":
        return Ising2D(round(n_sites**0.5)), Ising2D.CRITICAL_TEMPERATURE
    if name == "hopfield":  # two patterns: its law is known
        return Hopfield.random(n_sites, 2, seed=1), 1.0
    if name == "maier-saupe":
        return MaierSaupe(n_sites), 0.2202
    return CurieWeiss(n_sites), 1.0


def options_of(name: str, settings: str) -> dict[str, Any]:
    """Return the arguments of the estimator."""
    schedule = {"schedule": "exponential"} if settings == "recipe" else {}
    of_system = (BOOK if settings == "book" else RECIPE)[name]
    return {"batch_size": 256, "n_epochs": N_EPOCHS} | of_system | schedule


def compute_row(
    name: str, n_sites: int, settings: str, seed: int, *, share: float = 1.0
) -> dict[str, Any]:
    """Train and measure one network; a ``share`` of all numbers of samples makes it small."""
    started = time.process_time()
    options = options_of(name, settings)
    vae = mfvae.MeanFieldVAE(
        N_LATENTS[name], **options, device="cpu", progress=False, random_state=seed
    )
    if name == "retina":
        train, test = load_retina().split("bins", seed=0)
        vae.fit(train[: int(N_WORDS * share)])
        gain = vae.score_samples(test, n_importance=64, seed=4)
        gain = gain - IndependentModel().fit(train).score_samples(test)
        found = {"gain": [float(gain.mean()), float(gain.std() / len(gain) ** 0.5)]}
    else:
        system, transition = system_and_transition(name, n_sites)
        temperatures = transition * np.array(RATIOS)

        def rows(n_samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
            x = system.sample(temperatures, max(1, int(n_samples * share)), seed=seed)
            return x.reshape(-1, *x.shape[2:]), np.repeat(temperatures, x.shape[1])

        x, conditions = rows(N_TRAINING, 10 + seed)
        vae.fit(x, conditions=conditions, validation=rows(N_VALIDATION, 2))
        n_test = max(8, int(N_TEST * share))
        gaps = exact_gap(vae, system, temperatures, n_test, seed=4, n_importance=8)
        found = {"gaps": [[float(gap), gap.stderr] for gap in gaps]}
    return {
        **{key: np.round(value, 4).tolist() for key, value in found.items()},
        "n_parameters": sum(p.numel() for p in vae.module_.parameters()),
        "validation_loss": [round(v, 3) for v in vae.history_["validation_loss"]],
        "training_seconds": round(vae.training_seconds_, 1),
        "processor_seconds": round(time.process_time() - started, 1),
    }


def configuration() -> dict[str, Any]:
    """Return what the rows share."""
    return {
        "ratios": RATIOS,
        "n_samples": [N_TRAINING, N_VALIDATION, N_TEST],
        "n_words": N_WORDS,
        "n_epochs": N_EPOCHS,
        "n_latents": N_LATENTS,
        "book": BOOK,
        "recipe": RECIPE,
    }


def main(arguments: list[str] | None = None) -> None:
    """Compute the rows asked for and write each as soon as it is there."""
    import torch

    torch.set_num_threads(1)  # the networks are small, and the bits do not depend on the cores
    sweep_command(globals(), arguments)


if __name__ == "__main__":
    main()
