"""Patterns out of samples: every span, both ways of unmixing it, against load, temperature, data.

A row is one set of samples and one span that is to hold the patterns: the leading eigenvectors
of the samples' correlations ("covariance") or of pseudo-likelihood couplings, or the Jacobian of
a trained decoder. Rows with equal keys but for the span have the same samples. Both ways of
unmixing, as signs and by FastICA, are tried on every span, judged without a reference, and then
compared with the stored patterns. Rows go to ``hopfield_decoding.json`` in the package; those
that are there are skipped, ``--again`` computes them anew.

    python book/results/hopfield_decoding.py                       # all that is missing (an hour)
    python book/results/hopfield_decoding.py --span covariance --patterns 32
"""

from __future__ import annotations

import functools
import time
from typing import Any

import numpy as np
from _sweep import RESULTS, sweep_command

import mfvae
from mfvae.decode import (
    align_patterns,
    correlation_spectrum,
    estimate_n_patterns,
    polish_patterns,
    pseudo_likelihood_couplings,
    recover_patterns,
    unmix,
)
from mfvae.systems import Hopfield, Ising2D

OUTPUT = RESULTS / "hopfield_decoding.json"
NAMES = ("system", "n_sites", "n_patterns", "temperature", "n_samples", "draw", "span")
FILTERS = {
    "system": "system",
    "sites": "n_sites",
    "patterns": "n_patterns",
    "temperature": "temperature",
    "samples": "n_samples",
    "draw": "draw",
    "span": "span",
}
N_STEPS, BATCH_SIZE = 3_000, 256
N_UNMIXINGS = 5

#: Arguments of the estimator that decoders share, and those of each. Given the spins the
#: Hubbard-Stratonovich field is normal with a mean linear in them, at every temperature: an
#: encoder without hidden layers. The prior has a component for every well, of which there are 2P.
SHARED: dict[str, Any] = {
    "encoder": "mlp",
    "encoder_options": {"widths": ()},
    "prior": "mixture",
    "prior_options": {"n_components": 64},
    "learning_rate": 2e-2,
    "weight_decay": 0.0,
    "batch_size": BATCH_SIZE,
}
DECODERS: dict[str, dict[str, Any]] = {
    "linear decoder": {"decoder": "linear"},
    "MLP decoder": {"decoder": "mlp", "decoder_options": {"widths": (256,)}, "learning_rate": 6e-3},
    "CNN decoder": {
        "decoder": "cnn",
        "decoder_options": {"channels": (16, 32)},
        "learning_rate": 6e-3,
    },
}
TEMPERATURES = (0.6, 0.8, 1.0, 1.2, 1.4)


def hopfield(*spans: str, P: int, T: float, n: int, N: int = 256, draw: int = 0) -> list[tuple]:
    """Return the keys of one set of samples."""
    return [("hopfield", N, P, T, n, draw, span) for span in spans]


def keys() -> list[tuple]:
    """Return the keys of all rows, those with the same samples together."""
    both = ("covariance", "linear decoder")
    rows = []
    for P in (1, 4, 8, 16, 32):  # which temperatures are hard
        for T in TEMPERATURES:
            rows += hopfield(*both, P=P, T=T, n=40_000)
    for P in (24, 36, 48):
        rows += hopfield(*both, P=P, T=1.4, n=40_000)
    for draw in range(1, 10):  # beyond the load of retrieval: other patterns, other samples
        for P in (36, 48):
            rows += hopfield(*both, P=P, T=1.4, n=40_000, draw=draw)
    for P, T, n in ((56, 1.5, 40_000), (56, 1.5, 160_000), (64, 1.7, 160_000)):
        rows += hopfield(*both, P=P, T=T, n=n)
    for n in (2_000, 4_000, 10_000):
        rows += hopfield(*both, P=32, T=1.4, n=n)
    for span in ("MLP decoder", "CNN decoder"):  # does the Jacobian depend on the latent?
        rows += hopfield(span, P=8, T=0.8, n=40_000)
    for P, T in ((16, 1.0), (32, 1.4)):
        rows += hopfield("pseudo-likelihood", P=P, T=T, n=40_000)
    for P, T in ((32, 1.2), (144, 1.4)):
        rows += hopfield(*both, P=P, T=T, n=40_000, N=1024)
    rows += [("independent", 256, 8, 1.0, 40_000, 0, span) for span in both]  # negative controls
    rows += [("ising", 256, 8, 2.3, 40_000, 0, span) for span in both]
    return rows


ROWS = keys()
#: The other draws of ten, of patterns and samples; those of 1024 spins, which are dear, come last.
FURTHER = sorted(
    {(*row[:5], draw, row[6]) for draw in range(1, 10) for row in ROWS} - set(ROWS),
    key=lambda row: (row[1] > 256, row[5], *row[2:5], row[6], row[0]),
)


def configuration() -> dict[str, Any]:
    """Return what the rows share."""
    return {"n_steps": N_STEPS, "shared": SHARED, "decoders": DECODERS}


@functools.lru_cache(maxsize=1)
def draw_samples(
    name: str, n_sites: int, n_patterns: int, temperature: float, n_samples: int, draw: int
) -> tuple[np.ndarray | None, np.ndarray, float]:
    """Return patterns, if there are any, samples, and the seconds they took."""
    started = time.process_time()
    seed = np.random.SeedSequence([n_patterns, draw])
    if name == "independent":
        shape = (n_samples, n_sites)
        spins = np.random.default_rng(seed).choice(np.array([-1, 1], np.int8), shape)
        return None, spins, time.process_time() - started
    if name == "ising":
        x = Ising2D(round(n_sites**0.5)).sample(temperature, n_samples, seed=seed)
        return None, x, time.process_time() - started
    of_patterns, of_samples = seed.spawn(2)
    system = Hopfield.random(n_sites, n_patterns, seed=of_patterns)
    x = system.sample(temperature, n_samples, seed=of_samples)
    return system.patterns, x, time.process_time() - started


def train(x: np.ndarray, n_latents: int, decoder: str, n_steps: int) -> mfvae.MeanFieldVAE:
    """Train one decoder for about ``n_steps`` steps, whatever the number of samples."""
    options = {**SHARED, **DECODERS[decoder]}
    n_epochs = max(1, round(n_steps * BATCH_SIZE / len(x)))
    return mfvae.MeanFieldVAE(
        n_latents, **options, n_epochs=n_epochs, device="cpu", progress=False
    ).fit(x)


def compared_couplings(estimated: np.ndarray, patterns: np.ndarray) -> dict[str, float]:
    """Return how well couplings agree with Hebb's, the scale left free, over the pairs i < j."""
    pairs = np.triu_indices(len(patterns), 1)
    a, b = estimated[pairs], hebb(patterns)[pairs]
    scale = a @ b / (b @ b)
    error = np.linalg.norm(a / scale - b) / np.linalg.norm(b)
    return {
        "coupling_correlation": round(float(np.corrcoef(a, b)[0, 1]), 6),
        "coupling_error": round(float(error), 6),
    }


def hebb(patterns: np.ndarray) -> np.ndarray:
    """Return the couplings that patterns give, with the self-couplings."""
    return patterns.astype(float) @ patterns.T / len(patterns)


def judged(found: Any, patterns: np.ndarray | None) -> dict[str, Any]:
    """Return what is said of a recovery without a reference, and what the reference says."""
    row = {
        "residual": [round(float(v), 5) for v in (found.residuals.mean(), found.residuals.max())],
        "stability": [round(float(v), 5) for v in (found.stability.mean(), found.stability.min())],
        "score": [round(float(v), 5) for v in (found.scores.mean(), found.scores.min())],
        "runner_up": round(found.runner_up, 5),
        "null_residual": round(found.null_residual, 5),
        "n_reliable": int(found.reliable.sum()),
        "is_reliable": found.is_reliable,
    }
    if patterns is not None:
        aligned = align_patterns(found, patterns)
        row["bit_accuracy"] = round(aligned.bit_accuracy, 6)
        row["overlap"] = round(float(np.abs(np.diag(aligned.overlaps)).mean()), 6)
        row["n_exact"] = int(np.sum(aligned.bit_accuracies == 1.0))
        if len(patterns) > 256:  # enough for a picture of the large runs
            row["residuals"] = [round(float(v), 4) for v in found.residuals]
            row["overlaps"] = [round(float(abs(v)), 4) for v in np.diag(aligned.overlaps)]
        row |= compared_couplings(hebb(found.patterns), patterns)
    return row


def over_seeds(vectors: np.ndarray, patterns: np.ndarray | None) -> dict[str, list[float]]:
    """Return what FastICA finds in one span from several seeds: mean residual, bit accuracy.

    Beyond the bound of ICA these scatter, and the last bits of a machine do what a seed does: the
    spread is the tolerance with which a row can be computed again. The columns of the span are
    turned at random as well, which changes nothing but the bits.
    """
    found = []
    for seed in range(N_UNMIXINGS):
        normal = np.random.default_rng(seed).standard_normal((vectors.shape[1],) * 2)
        turn = np.linalg.qr(normal)[0]
        found.append(unmix(vectors @ turn, method="ica", seed=seed))
    kept = {"residual": [round(float(one.residuals.mean()), 5) for one in found]}
    if patterns is not None:
        accuracies = [align_patterns(one, patterns).bit_accuracy for one in found]
        kept["bit_accuracy"] = [round(accuracy, 6) for accuracy in accuracies]
    return kept


def compute_row(
    name: str,
    n_sites: int,
    n_patterns: int,
    temperature: float,
    n_samples: int,
    draw: int,
    span: str,
    *,
    n_steps: int = N_STEPS,
) -> dict[str, Any]:
    """Recover patterns from one set of samples through one span, in both ways."""
    patterns, x, sampling = draw_samples(name, n_sites, n_patterns, temperature, n_samples, draw)
    started = time.process_time()
    row: dict[str, Any] = {"sampling_cpu_seconds": round(sampling, 2)}
    if span == "covariance":
        vectors = correlation_spectrum(x)[1][:, :n_patterns]
        row["estimated_n_patterns"] = estimate_n_patterns(x)
    elif span == "pseudo-likelihood":
        couplings = pseudo_likelihood_couplings(x)
        vectors = np.linalg.eigh(couplings)[1][:, -n_patterns:]
        if patterns is not None:
            row |= compared_couplings(couplings, patterns)
    else:
        vae = train(x, n_patterns, span, n_steps)
        row["validation_loss"] = [round(v, 3) for v in vae.history_["validation_loss"]]
    row["span_cpu_seconds"] = round(time.process_time() - started, 2)
    for method in ("binary", "ica"):
        started = time.process_time()
        if span in DECODERS:
            found = recover_patterns(vae, n_patterns, unmixing=method)
            row["jacobian_variation"] = round(found.jacobian_variation, 6)
            row["span_variation"] = round(found.span_variation, 6)
        else:
            found = unmix(vectors, method=method)
        row[method] = judged(found, patterns)
        if method == "ica" and span not in DECODERS:
            row[method]["over_seeds"] = over_seeds(vectors, patterns)
        row[method]["cpu_seconds"] = round(time.process_time() - started, 2)
        if method == "binary" and patterns is not None:
            started = time.process_time()
            polished = align_patterns(polish_patterns(found, x), patterns)
            row["polished"] = {
                "bit_accuracy": round(polished.bit_accuracy, 6),
                "n_exact": int(np.sum(polished.bit_accuracies == 1.0)),
                "cpu_seconds": round(time.process_time() - started, 2),
            }
    return row


def main(arguments: list[str] | None = None) -> None:
    """Compute the rows asked for and write each as soon as it is there."""
    sweep_command(globals(), arguments)


if __name__ == "__main__":
    main()
