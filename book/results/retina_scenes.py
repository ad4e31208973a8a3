"""Rivals on scenes of the movie that no training saw: thirty, left out three at a time.

The bins of the movie are cut into thirty scenes of 0.6 s. Ten groups of three consecutive scenes
are left out in turn; a row fits one model to all other words, and keeps what it gains on
independent cells, fitted to the same words, in every bin that was left out, summed over the
showings that are scored. So any two rows of a group can be compared, paired, with errors over
scenes, which are the independent pieces: the 297 showings are not.

Negative controls change the recording before anything is left out. "shuffled" permutes the showings
of every cell in every bin: what the stimulus does stays, noise correlations go. "shifted" turns
every cell's part of the movie by another lag, the same in all showings: what is left is chance, and
the gain says what it costs to learn the accidents of 27 scenes. "scattered" turns it by another lag
in every showing as well: nothing is left to learn.

The cheapest models come first, for all groups. Deep networks, an hour and a half without, learn
from every fourth showing only; rows that are not thinned check that. Rows go to
``retina_scenes.json`` in the package. Needs the recording (``make data``, or ``MFVAE_DATA``).

    python book/results/retina_scenes.py                     # everything that is missing (hours)
    python book/results/retina_scenes.py --data recorded --model pairwise
    python book/results/retina_scenes.py --show              # the table, computing nothing
"""

from __future__ import annotations

import functools
import time
from typing import Any

import numpy as np
from _sweep import RESULTS, sweep_command
from retina_rivals import MODELS, N_IMPORTANCE, build

from mfvae.compare import IndependentModel
from mfvae.data import RetinaWords, load_retina

OUTPUT = RESULTS / "retina_scenes.json"
N_SCENES, N_GROUPS = 30, 10
SCORED = 3  # every third showing is scored: the error over showings is far below that over scenes
NAMES = ("data", "model", "thin", "group", "seed")
FILTERS = {name: name for name in NAMES}
#: By cost, as measured; of the deep networks a row costs ten minutes unless it is thinned.
CHEAP = (
    "tree",
    "mixture of 2",
    "linear VAE, 1 latent",
    "pairwise",
    "linear VAE, 2 latents",
    "linear VAE, 8 latents",
    "linear VAE, 4 latents",
    "mixture of 70",
    "linear VAE, 16 latents",
    "RBM, 64 hidden",
    "mixture of 200",
)
DEAR = ("K-pairwise", "RBM, 200 hidden")
CONTROLLED = ("pairwise", "linear VAE, 2 latents", "linear VAE, 8 latents")
CONTROLS = ("shifted", "shuffled", "scattered")
DEEP, THIN = "deep VAE, 8 latents", 4
ROWS = [
    *[("recorded", model, 1, group, 0) for model in CHEAP for group in range(N_GROUPS)],
    *[
        (data, model, 1, group, 0)
        for data in CONTROLS
        for model in CONTROLLED
        for group in range(N_GROUPS)
    ],
    *[("recorded", model, 1, group, 0) for model in DEAR for group in range(N_GROUPS)],
    # What thinning changes: a linear decoder, then the deep one.
    *[("recorded", "linear VAE, 8 latents", THIN, group, 0) for group in range(N_GROUPS)],
    *[("recorded", DEEP, THIN, group, 0) for group in range(N_GROUPS)],
    ("recorded", DEEP, 1, 0, 0),
]


@functools.cache
def recording() -> RetinaWords:
    """Return the recording; without it nothing is computed."""
    retina = load_retina()
    if retina.is_surrogate:
        raise SystemExit("the recording is not here (`make data` fetches it): nothing is computed")
    return retina


def changed(words: np.ndarray, data: str) -> np.ndarray:
    """Return the words (n_showings, n_bins, n_cells) of a control, or as they are recorded."""
    rng = np.random.default_rng(0)
    n_showings, n_bins, n_cells = words.shape
    if data == "recorded":
        return words
    if data == "shuffled":
        return rng.permuted(words, axis=0)
    if data == "shifted":  # lags as far apart as they can be
        lags = rng.permutation(n_cells) * n_bins // n_cells
        lags = np.broadcast_to(lags, (n_showings, n_cells))
    elif data == "scattered":
        lags = rng.integers(n_bins, size=(n_showings, n_cells))
    else:
        raise ValueError(f"data must be recorded, or one of {CONTROLS}, not {data!r}")
    source = (np.arange(n_bins)[:, None] + lags[:, None]) % n_bins
    return np.take_along_axis(words, source, axis=1)


def scene_of(n_bins: int, n_scenes: int = N_SCENES) -> np.ndarray:
    """Return the scene of every bin of the movie, (n_bins,)."""
    return np.arange(n_bins) * n_scenes // n_bins


def left_out(n_bins: int, group: int) -> np.ndarray:
    """Return the bins of the three consecutive scenes of a group."""
    return np.flatnonzero(scene_of(n_bins) // (N_SCENES // N_GROUPS) == group)


def compute_row(
    data: str, model: str, thin: int, group: int, seed: int, retina: RetinaWords | None = None
) -> dict[str, Any]:
    """Fit one model to all but three scenes, and score it, and independent cells, on those."""
    words = changed((retina or recording()).words, data)
    away = left_out(words.shape[1], group)
    train, test = np.delete(words[::thin], away, axis=1), words[::SCORED, away]
    train, flat = (part.reshape(-1, words.shape[2]) for part in (train, test))
    started = time.process_time()
    fitted = build(model, seed).fit(train)
    fitting = time.process_time()
    log_prob = fitted.score_samples(flat)
    scoring = time.process_time()
    alone = IndependentModel().fit(train).score_samples(flat)
    gains = (log_prob - alone).reshape(test.shape[:2]).sum(axis=0)
    kind = MODELS[model][0]
    annealed = kind in ("pairwise", "rbm")
    row = {
        "gain": round(float(gains.sum() / len(flat)), 5),
        "independent_nats": round(-float(alone.mean()), 5),
        "log_prob_stderr": round(float(getattr(fitted, "log_prob_stderr", 0.0)), 5),
        "method": "annealing" if annealed else getattr(fitted, "method", "exact"),
        "n_train": len(train),
        "n_showings": len(test),
        "scene_bins": np.bincount(scene_of(words.shape[1])[away])[-3:].tolist(),
        "gain_sums": [round(float(v), 2) for v in gains],
        "n_parameters": int(fitted.n_parameters),
        "settings": MODELS[model][1],
        "fit_processor_seconds": round(fitting - started, 1),
        "score_processor_seconds": round(scoring - fitting, 1),
    }
    if kind == "vae":
        row["validation_loss"] = [round(v, 4) for v in fitted.vae.history_["validation_loss"]]
    return row


def configuration() -> dict[str, Any]:
    """Return what all rows share."""
    retina = recording()
    return {
        "source": retina.source,
        "sha256": retina.sha256,
        "n_bins": retina.n_bins,
        "n_scenes": N_SCENES,
        "n_groups": N_GROUPS,
        "scored": SCORED,
        "n_importance": N_IMPORTANCE,
    }


def scene_gains(row: dict[str, Any]) -> list[float]:
    """Return the gain of each scene that a row left out, nats a word."""
    parts = np.split(np.array(row["gain_sums"]), np.cumsum(row["scene_bins"])[:-1])
    return [float(part.mean() / row["n_showings"]) for part in parts]


def show(rows: list[dict[str, Any]]) -> None:
    """Print a line a model: its gain on independent cells, with errors over scenes and groups."""
    models: dict[tuple, list[dict[str, Any]]] = {}
    for row in rows:
        models.setdefault((row["data"], row["model"], row["thin"]), []).append(row)
    print("\ngain on independent cells, nats a word: mean over scenes, standard errors over scenes")
    print("and over groups, how many scenes gain; processor seconds a row")
    for (data, model, thin), own in models.items():
        gains = np.concatenate([scene_gains(row) for row in own])
        groups = np.array([row["gain"] for row in own])
        over = [v.std(ddof=1) / len(v) ** 0.5 if len(v) > 1 else np.nan for v in (gains, groups)]
        cost = [row["fit_processor_seconds"] + row["score_processor_seconds"] for row in own]
        thinned = f", 1 of {thin}" if thin > 1 else ""
        print(
            f"{data:<10}{model + thinned:<32}{gains.mean():7.3f} ± {over[0]:.3f} ± {over[1]:.3f}"
            f"{np.sum(gains > 0):>5} of {len(gains):<3}{np.mean(cost):8.0f} s"
        )


def main(arguments: list[str] | None = None) -> None:
    """Compute the rows asked for and write each as soon as it is there."""
    sweep_command(globals(), arguments)


if __name__ == "__main__":
    main()
