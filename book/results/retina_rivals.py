"""Rivals on the retina: held-out nats a word of every model, on three splits of the recording.

Fits one model after another to the training words of a split and writes what it finds on the
held-out words to ``retina_rivals.json`` in the package. A row keeps the sum of ln p over the
held-out words of every trial, so that any two rows of a split can be compared, paired, with
intervals that respect trials, without fitting again. Rows that are there already are skipped;
``--again`` computes them anew. Needs the recording (``make data``, or ``MFVAE_DATA``).

    python book/results/retina_rivals.py                     # everything that is missing (hours)
    python book/results/retina_rivals.py --short             # rows of a few minutes
    python book/results/retina_rivals.py --split bins --model "deep VAE, 16 latents"
    python book/results/retina_rivals.py --show              # the tables, computing nothing
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from _sweep import RESULTS, further, run_sweep, stored_rows

from mfvae import MeanFieldVAE, compare
from mfvae.data import RetinaWords, load_retina

OUTPUT = RESULTS / "retina_rivals.json"
SPLITS = ("bins", "trials", "movie")
N_IMPORTANCE = 256
N_ANNEALINGS = 3  # of each direction

DEEP = {
    "encoder": "mlp",
    "decoder": "mlp",
    "encoder_options": {"widths": (512, 512)},
    "decoder_options": {"widths": (512, 512)},
    "prior": "mixture",
    "prior_options": {"n_components": 512, "covariance": "full"},
    "n_epochs": 60,
    "batch_size": 256,
    "learning_rate": 3.5e-3,
    "precision": "bf16-mixed",
    # Norms of the gradient are 3 to 4.5; without a limit one freak batch undid the training
    # of two splits out of three (validation loss from 16.6 to 26 in one epoch).
    "trainer_options": {"gradient_clip_val": 5.0},
}
#: That of the chapters. What makes the two-latent model good is the mixture prior, which does not
#: factorise, with a large learning rate (2e-2 is unstable).
LINEAR = {
    "encoder": "mlp",
    "decoder": "linear",
    "prior": "mixture",
    "encoder_options": {"widths": (256, 128)},
    "prior_options": {"n_components": 32},
    "learning_rate": 1e-2,
    "batch_size": 512,
    "n_epochs": 12,
}

LONGER = "pairwise, four times as long"  # had the pairwise model converged?
UNLIMITED = "linear VAE, 8 latents, any gradient"  # what a limit on its norm is good for
BINS_ALONE = (LONGER, UNLIMITED)
EIGHT = {"n_latents": 8, **LINEAR, "prior_options": {"n_components": 128}}
#: Every model: its kind, its arguments, and whether a row takes a few minutes only. A mixture of 81
#: and twelve latents have as many parameters as the K-pairwise model, to two in a thousand.
MODELS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "independent": ("independent", {}, True),
    "mixture of 2": ("mixture", {"n_components": 2}, True),
    "mixture of 70": ("mixture", {"n_components": 70}, True),
    "mixture of 81": ("mixture", {"n_components": 81}, True),
    "mixture of 200": ("mixture", {"n_components": 200}, False),
    "tree": ("tree", {}, True),
    "pairwise": ("pairwise", {}, True),
    LONGER: ("pairwise", {"n_steps": 6000}, True),
    "K-pairwise": ("pairwise", {"count_potential": True, "n_steps": 3000}, True),
    "RBM, 64 hidden": ("rbm", {"n_hidden": 64}, True),
    "RBM, 200 hidden": ("rbm", {"n_hidden": 200, "n_epochs": 40}, False),
    "linear VAE, 1 latent": ("vae", {"n_latents": 1, **LINEAR}, True),
    "linear VAE, 2 latents": ("vae", {"n_latents": 2, **LINEAR}, True),
    "linear VAE, 4 latents": ("vae", {"n_latents": 4, **LINEAR}, True),
    "linear VAE, 8 latents": (
        "vae",
        {**EIGHT, "trainer_options": {"gradient_clip_val": 1.0}},
        True,
    ),
    UNLIMITED: ("vae", EIGHT, True),
    "linear VAE, 12 latents": (
        "vae",
        {"n_latents": 12, **LINEAR, "prior_options": {"n_components": 224}, "learning_rate": 3e-3},
        True,
    ),
    "linear VAE, 16 latents": (
        "vae",
        {"n_latents": 16, **LINEAR, "prior_options": {"n_components": 256}, "learning_rate": 3e-3},
        False,
    ),
    "deep VAE, 2 latents": ("vae", {"n_latents": 2, **DEEP}, False),
    "deep VAE, 4 latents": ("vae", {"n_latents": 4, **DEEP}, False),
    "deep VAE, 8 latents": ("vae", {"n_latents": 8, **DEEP}, False),
    "deep VAE, 16 latents": ("vae", {"n_latents": 16, **DEEP}, False),
}
ROWS = [(s, name) for s in SPLITS for name in MODELS if s == "bins" or name not in BINS_ALONE]
NAMES = ("split", "model")
FILTERS: dict[str, str] = {}
FURTHER = range(1, 5)  # seeds of the fit: the splits, and so the pairs of rows, stay
REPEATED = [row for row in ROWS if row[1] not in ("independent", "tree", LONGER)]


def build(model: str, seed: int = 0, checkpoint_path: Path | None = None) -> Any:
    """Return the untrained model of a name in ``MODELS``."""
    kind, arguments, _ = MODELS[model]
    if kind == "independent":
        return compare.IndependentModel()
    if kind == "tree":
        return compare.ChowLiuTree()
    if kind == "mixture":
        return compare.BernoulliMixture(**arguments, random_state=seed)
    if kind == "pairwise":
        return compare.PairwiseMaximumEntropy(**arguments, random_state=seed)
    if kind == "rbm":
        return compare.RestrictedBoltzmannMachine(**arguments, random_state=seed)
    shown = {"progress": False, "checkpoint_path": checkpoint_path}
    vae = MeanFieldVAE(**arguments, **shown, device="cpu", random_state=seed)
    exact = arguments["n_latents"] <= 2 and arguments["decoder"] == "linear"
    return compare.ScoredVAE(vae, "quadrature" if exact else "iwae", n_importance=N_IMPORTANCE)


def both_directions(model: Any, seed: int) -> dict[str, list[float]]:
    """Return ln Z of several annealings from independent cells, and to them: low and high."""
    seeds = np.random.SeedSequence([2, seed]).spawn(N_ANNEALINGS)
    return {
        name: [
            round(model.estimate_log_normalizer(seed=own, reverse=reverse).value, 4)
            for own in seeds
        ]
        for name, reverse in (("forward", False), ("reverse", True))
    }


def compute_row(
    retina: RetinaWords, split: str, name: str, seed: int = 0, checkpoints: Path | None = None
) -> dict[str, Any]:
    """Fit one model to one split and return what it does on the held-out words.

    The seed is that of the fit; the held-out words are those of the first.
    """
    rows = retina.split_rows(split, seed=0)
    train, test = (retina.flat()[part] for part in rows)
    trials = rows[1] // retina.n_bins
    started, processor = time.perf_counter(), time.process_time()
    kept = (
        checkpoints / f"{split}, {name}, {seed}"
        if checkpoints and MODELS[name][0] == "vae"
        else None
    )
    model = build(name, seed, kept).fit(train)
    fit_seconds, fit_processor = time.perf_counter() - started, time.process_time() - processor
    scored = time.perf_counter()
    log_prob = model.score_samples(test)
    score_seconds = time.perf_counter() - scored
    method = {"vae": getattr(model, "method", ""), "pairwise": "annealing", "rbm": "annealing"}
    method = method.get(MODELS[name][0], "exact")
    row = {
        "nats": round(-float(log_prob.mean()), 5),
        "log_prob_stderr": round(float(getattr(model, "log_prob_stderr", 0.0)), 5),
        "method": method,
        "n_importance": N_IMPORTANCE if method == "iwae" else None,
        "n_parameters": int(model.n_parameters),
        "settings": MODELS[name][1],
    }
    if isinstance(model, compare.ScoredVAE):
        bound = model.vae.score_samples(test, method="elbo", n_importance=8)
        row["elbo_nats"] = round(-float(bound.mean()), 5)
        row["validation_loss"] = [round(v, 4) for v in model.vae.history_["validation_loss"]]
    if method == "annealing":
        row["log_normalizer"] = both_directions(model, seed)
    samples = model.sample(len(test), seed=1)
    row["silence"] = [round(float((~x.any(axis=1)).mean()), 5) for x in (samples, test)]
    statistics = compare.compare_statistics({name: samples}, test)[name]
    row |= {
        "divergence of P(K)": round(statistics["spike_count"], 6),
        "divergence of P(q)": round(statistics["overlap"], 6),
        "correlation of covariances": round(float(statistics["covariance"]), 4),
        "correlation of triplets": round(float(statistics["triplet"]), 4),
    }
    sums = np.bincount(trials, weights=log_prob, minlength=retina.n_trials)
    row |= {
        "trial_sums": [round(v, 3) for v in sums],
        "fit_seconds": round(fit_seconds, 1),
        "fit_processor_seconds": round(fit_processor, 1),
        "score_seconds": round(score_seconds, 1),
    }
    return row


def trial_counts(retina: RetinaWords, split: str, seed: int = 0) -> list[int]:
    """Return how many held-out words of each trial a split has."""
    trials = retina.split_rows(split, seed=seed)[1] // retina.n_bins
    return np.bincount(trials, minlength=retina.n_trials).tolist()


def lead(
    first: dict[str, Any],
    second: dict[str, Any],
    counts: list[int],
    *,
    n_bootstrap: int = 4000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Return by how many nats a word ``first`` is ahead of ``second``, with its interval.

    Percentile bootstrap over trials; the errors of estimated normalisers are added.
    """
    sizes_ = np.array(counts)
    difference = np.array(first["trial_sums"]) - np.array(second["trial_sums"])
    there = sizes_ > 0
    sizes_, difference = sizes_[there], difference[there]
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(sizes_), size=(n_bootstrap, len(sizes_)))
    means = difference[drawn].sum(axis=1) / sizes_[drawn].sum(axis=1)
    shared = np.hypot(first["log_prob_stderr"], second["log_prob_stderr"])
    shared = 0.0 if first is second else shared
    means = means + shared * rng.standard_normal(n_bootstrap)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(difference.sum() / sizes_.sum()), float(low), float(high)


def configuration(retina: RetinaWords) -> dict[str, Any]:
    """Return what all rows share."""
    return {
        "source": retina.source,
        "sha256": retina.sha256,
        "test": 0.1,
        "seed": 0,
        "trial_counts": {split: trial_counts(retina, split) for split in SPLITS},
    }


def show(kept: list[dict[str, Any]], counts: dict[str, list[int]]) -> None:
    """Print a table a split: nats a word, and how far behind the best, paired."""
    for split in SPLITS:
        rows = sorted((r for r in kept if r["split"] == split), key=lambda r: r["nats"])
        if not rows:
            continue
        print(f"\n{split}: held-out nats a word; behind the best, 95 % interval over trials")
        for row in rows:
            value, low, high = lead(rows[0], row, counts[split])
            print(
                f"{row['model']:<24}{row['nats']:9.3f}   {value:7.3f} [{low:.3f}, {high:.3f}]  "
                f"{row['method']:<11}{row['n_parameters']:>8}{row['fit_seconds']:>8.0f} s  "
                f"{row['divergence of P(K)']:.4f} {row['divergence of P(q)']:.4f} "
                f"{row['correlation of covariances']:.3f}"
            )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--split", choices=SPLITS)
    parser.add_argument("--model", nargs="*", choices=tuple(MODELS))
    parser.add_argument("--short", action="store_true", help="only rows of a few minutes")
    parser.add_argument("--further", action="store_true", help="other seeds instead")
    parser.add_argument("--again", action="store_true", help="compute rows that are there anew")
    parser.add_argument("--show", action="store_true", help="print the tables and stop")
    parser.add_argument("--output", type=Path)
    parser.add_argument(
        "--checkpoints", type=Path, help="folder from which an interrupted training goes on"
    )
    options = parser.parse_args(arguments)
    retina = load_retina()
    if retina.is_surrogate:
        print("the recording is not here (`make data` fetches it): nothing is computed")
        return
    shared = configuration(retina)

    def fit(split: str, model: str, seed: int = 0) -> dict[str, Any]:
        return compute_row(retina, split, model, seed, options.checkpoints)

    script = globals() | {"compute_row": fit}
    script = further(script) if options.further else script
    output = options.output or script["OUTPUT"]
    rows = stored_rows(output, shared)
    if not options.show:

        def wanted(key: tuple) -> bool:
            split, model, *_ = key
            return (
                options.split in (None, split)
                and (not options.model or model in options.model)
                and (not options.short or MODELS[model][2])
            )

        rows = run_sweep(
            output,
            shared,
            script["ROWS"],
            script["compute_row"],
            names=script["NAMES"],
            wanted=wanted,
            again=options.again,
        )
    show(rows, shared["trial_counts"])


if __name__ == "__main__":
    main()
