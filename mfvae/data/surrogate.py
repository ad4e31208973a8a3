"""A stand-in for the retina recording, for machines that do not have it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from scipy.special import expit

__all__ = ["sample_surrogate"]

PARAMETERS = Path(__file__).with_name("retina_surrogate.npz")
LOGIT_STEP, LOGIT_LOWEST = 1 / 16, -12.0  # logits are stored in one byte
_BLOCK = 16384


def sample_surrogate(n_words: int, *, seed: int | np.random.SeedSequence = 0) -> np.ndarray:
    """Draw words of 160 cells, uint8 ``(n_words, 160)``, from a mixture of Bernoulli products.

    The mixture was fitted to the recorded words (``scripts/fit_surrogate.py``); its parameters,
    and no recorded word, are part of the package. It reproduces firing rates, pair correlations
    and the spike-count law approximately. Its words are independent of each other: trials, bins
    and movie carry no structure, so that the three ways of splitting are equivalent on it.

    >>> sample_surrogate(3, seed=0).shape
    (3, 160)
    """
    rng = np.random.default_rng(seed)
    weights, probabilities = mixture_parameters()
    cumulative = np.cumsum(weights)
    words = np.empty((n_words, probabilities.shape[1]), dtype=np.uint8)
    for i in range(0, n_words, _BLOCK):
        block = words[i : i + _BLOCK]
        component = np.searchsorted(cumulative[:-1], rng.random(len(block)), side="right")
        block[:] = rng.random(block.shape, dtype=np.float32) < probabilities[component]
    return words


@cache
def mixture_parameters() -> tuple[np.ndarray, np.ndarray]:
    """Return weights float64 ``(70,)`` and firing probabilities float32 ``(70, 160)``."""
    with np.load(PARAMETERS, allow_pickle=False) as stored:
        weights = stored["weights"].astype(np.float64)
        logits = LOGIT_LOWEST + LOGIT_STEP * stored["logits"].astype(np.float64)
    return weights / weights.sum(), expit(logits).astype(np.float32)
