"""How many samples it takes to read the patterns of a Hopfield model, against load and temperature.

A row is one draw of patterns and of samples. Three spans of the same samples, the leading
eigenvectors of their correlations, those of pseudo-likelihood couplings, and a trained linear
decoder, are unmixed as signs and polished; how many bits come out right goes to
``hopfield_phases.json`` in the package, beside the leading eigenvalues. Rows that are there
already are skipped; draws come in turn, so that a stopped sweep has fewer draws of every point.

    python book/results/hopfield_phases.py --sites 256 --draw 0    # a first picture
    python book/results/hopfield_phases.py                         # everything that is missing
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from _sweep import RESULTS, sweep_command
from hopfield_decoding import DECODERS, SHARED, draw_samples, train

from mfvae.decode import (
    align_patterns,
    correlation_spectrum,
    estimate_n_patterns,
    polish_patterns,
    pseudo_likelihood_couplings,
    recover_patterns,
    unmix,
)

OUTPUT = RESULTS / "hopfield_phases.json"
NAMES = ("n_sites", "n_patterns", "temperature", "n_samples", "draw")
FILTERS = {
    "sites": "n_sites",
    "patterns": "n_patterns",
    "temperature": "temperature",
    "samples": "n_samples",
    "draw": "draw",
}
#: Numbers of samples, each twice the one before, around where the patterns come out.
POINTS = {
    (256, 4): {0.7: (250, 4_000), 1.0: (250, 4_000), 1.4: (250, 4_000), 2.0: (500, 8_000)},
    (256, 8): {0.7: (1_000, 16_000), 1.0: (250, 4_000), 1.4: (250, 4_000), 2.0: (500, 8_000)},
    (256, 16): {0.7: (1_000, 16_000), 1.0: (500, 8_000), 1.4: (500, 8_000), 2.0: (500, 8_000)},
    (256, 32): {1.0: (1_000, 16_000), 1.4: (1_000, 16_000), 2.0: (1_000, 16_000)},
    (1024, 16): {1.4: (1_000, 8_000)},  # the loads of 4 and 8 patterns in 256
    (1024, 32): {1.4: (1_000, 8_000)},
}
N_DRAWS = 10
N_STEPS = 600


def doubled(first: int, last: int) -> list[int]:
    """Return first, 2 first, ... up to last."""
    return [first * 2**k for k in range(round(np.log2(last / first)) + 1)]


ROWS = sorted(
    (
        (n_sites, n_patterns, temperature, n_samples, draw)
        for (n_sites, n_patterns), ranges in POINTS.items()
        for temperature, ends in ranges.items()
        for n_samples in doubled(*ends)
        for draw in range(N_DRAWS)
    ),
    key=lambda row: (row[0], row[4], row[1:4]),
)


def configuration() -> dict[str, Any]:
    """Return what the rows share."""
    return {"n_steps": N_STEPS, "shared": SHARED, "decoder": DECODERS["linear decoder"]}


def right(found: Any, patterns: np.ndarray) -> list[float]:
    """Return the fraction of right bits and the number of patterns without an error."""
    aligned = align_patterns(found, patterns)
    return [round(aligned.bit_accuracy, 6), int(np.sum(aligned.bit_accuracies == 1.0))]


def compute_row(
    n_sites: int,
    n_patterns: int,
    temperature: float,
    n_samples: int,
    draw: int,
    *,
    n_steps: int = N_STEPS,
) -> dict[str, Any]:
    """Read the patterns off one set of samples in three ways."""
    key = "hopfield", n_sites, n_patterns, temperature, n_samples, draw
    patterns, x, _ = draw_samples(*key)
    row: dict[str, Any] = {"estimated_n_patterns": estimate_n_patterns(x)}
    for span in ("covariance", "pseudo-likelihood", "linear decoder"):
        started = time.process_time()
        if span == "covariance":
            values, vectors = correlation_spectrum(x)
            row["eigenvalues"] = [round(float(v), 4) for v in values[n_patterns - 1 :][:2]]
            found = unmix(vectors[:, :n_patterns])
        elif span == "pseudo-likelihood":
            couplings = pseudo_likelihood_couplings(x, ridge=n_sites / n_samples**1.5)
            found = unmix(np.linalg.eigh(couplings)[1][:, -n_patterns:])
        else:
            found = recover_patterns(train(x, n_patterns, span, n_steps), n_patterns)
        row[span] = {"unmixed": right(found, patterns), "is_reliable": found.is_reliable}
        row[span]["polished"] = right(polish_patterns(found, x), patterns)
        row[span]["cpu_seconds"] = round(time.process_time() - started, 2)
    return row


def main(arguments: list[str] | None = None) -> None:
    """Compute the rows asked for and write each as soon as it is there."""
    import torch

    torch.set_num_threads(1)  # the networks are small, and the bits do not depend on the cores
    sweep_command(globals(), arguments)


if __name__ == "__main__":
    main()
