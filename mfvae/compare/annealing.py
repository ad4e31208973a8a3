"""Annealed importance sampling: normalisers of models that are known only up to a factor."""

from __future__ import annotations

from itertools import pairwise
from typing import Protocol

import numpy as np
from scipy.special import logsumexp

from mfvae._validation import check_count, check_seed
from mfvae.systems.base import Estimate

__all__ = ["AnnealingPath", "annealed_log_normalizer"]


class AnnealingPath(Protocol):
    """Unnormalised laws f_β of words, from a simple one (β = 0) to the model (β = 1)."""

    log_base_normalizer: float

    def draw_base(self, n_chains: int, rng: np.random.Generator) -> np.ndarray:
        """Return exact draws of the law at β = 0, uint8 (n_chains, n_cells)."""

    def log_ratio(self, x: np.ndarray, low: float, high: float) -> np.ndarray:
        """Return ln f_high(x) - ln f_low(x), (n_chains,) nats."""

    def sweep(self, x: np.ndarray, beta: float, random: object) -> np.ndarray:
        """Return words after one Gibbs sweep that leaves f_β invariant."""

    def random_state(self, n_chains: int, seed: np.random.SeedSequence) -> object:
        """Return the state that ``sweep`` draws from."""


def annealed_log_normalizer(
    path: AnnealingPath,
    *,
    n_chains: int = 500,
    n_temperatures: int = 2000,
    seed: int | np.random.SeedSequence,
) -> Estimate:
    """Return ln Z of the law at the end of a path, with its standard error, in nats.

    Each chain starts with an exact draw from the simple law and takes one Gibbs sweep at
    every β while its weight collects ``ln f_β'(x) - ln f_β(x)``; the mean weight is unbiased
    for Z / Z₀ (Neal, R. M. (2001), Statistics and Computing 11, 125), its log low by about
    half the squared standard error.

    Parameters
    ----------
    path : AnnealingPath
        The laws in between.
    n_chains : int
        Independent chains, at least 2; the error is their spread (delta method).
    n_temperatures : int
        Steps from β = 0 to β = 1, evenly spaced.
    seed : int or numpy.random.SeedSequence
        Source of the chains.

    Returns
    -------
    Estimate
        ln Z, nats. The error says nothing of modes that no chain found.
    """
    n_chains = check_count(n_chains, "n_chains", minimum=2)
    n_temperatures = check_count(n_temperatures, "n_temperatures")
    base, moves = check_seed(seed).spawn(2)
    x = path.draw_base(n_chains, np.random.default_rng(base))
    random = path.random_state(n_chains, moves)
    betas = np.linspace(0.0, 1.0, n_temperatures + 1)
    log_weights = np.zeros(n_chains)
    for low, high in pairwise(betas):
        log_weights += path.log_ratio(x, low, high)
        if high < 1.0:
            x = path.sweep(x, high, random)
    log_mean = logsumexp(log_weights) - np.log(n_chains)
    relative = np.exp(log_weights - log_mean)
    stderr = relative.std(ddof=1) / np.sqrt(n_chains)
    return Estimate(path.log_base_normalizer + log_mean, stderr=float(stderr), exact=False)
