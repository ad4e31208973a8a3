"""A stand-in for the retina recording, for machines that do not have it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from scipy.special import expit

from mfvae._validation import check_count, check_seed

__all__ = ["sample_surrogate"]

PARAMETERS = Path(__file__).with_name("retina_surrogate.npz")
LOGIT_STEP, LOGIT_LOWEST = 1 / 16, -12.0  # logits are stored in one byte
_BLOCK = 16384


def sample_surrogate(n_words: int, *, seed: int | np.random.SeedSequence = 0) -> np.ndarray:
    """Draw words of 160 cells from the committed mixture of Bernoulli products.

    The mixture was fitted to the recorded words (``scripts/fit_surrogate.py``); its
    parameters, and no recorded word, are part of the package. It reproduces firing rates,
    pair correlations and the spike-count law approximately. Its words are independent of
    each other: trials, bins and movie carry no structure, so that the three ways of
    splitting are equivalent on it.

    Args:
        n_words (int): Number of words.
        seed (int or numpy.random.SeedSequence): The same seed gives the same words.

    Returns:
        words : ndarray, uint8 (n_words, 160)

    >>> sample_surrogate(3, seed=0).shape
    (3, 160)
    """
    n_words = check_count(n_words, "n_words")
    rng = np.random.default_rng(check_seed(seed))
    weights, probabilities = _parameters()
    cumulative = np.cumsum(weights)
    words = np.empty((n_words, probabilities.shape[1]), dtype=np.uint8)
    for i in range(0, n_words, _BLOCK):
        block = words[i : i + _BLOCK]
        component = np.searchsorted(cumulative[:-1], rng.random(len(block)), side="right")
        block[:] = rng.random(block.shape, dtype=np.float32) < probabilities[component]
    return words


@cache
def _parameters() -> tuple[np.ndarray, np.ndarray]:
    with np.load(PARAMETERS, allow_pickle=False) as stored:
        weights = stored["weights"].astype(np.float64)
        logits = LOGIT_LOWEST + LOGIT_STEP * stored["logits"].astype(np.float64)
    return weights / weights.sum(), expit(logits).astype(np.float32)


def pack_parameters(weights: np.ndarray, probabilities: np.ndarray) -> dict[str, np.ndarray]:
    """Return the arrays that are stored: weights float32, logits rounded to one byte."""
    logits = np.log(probabilities) - np.log1p(-probabilities)
    codes = np.clip(np.rint((logits - LOGIT_LOWEST) / LOGIT_STEP), 0, 255)
    return {"weights": weights.astype(np.float32), "logits": codes.astype(np.uint8)}
