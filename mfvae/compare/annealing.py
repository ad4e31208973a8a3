"""Annealed importance sampling: normalisers of models that are known only up to a factor."""

from __future__ import annotations

from itertools import pairwise
from typing import Protocol

import numpy as np
from scipy.special import logsumexp

from mfvae._validation import check_count, check_seed, check_words
from mfvae.systems.base import Estimate

__all__ = ["AnnealedModel", "AnnealingPath", "IndependentStart", "annealed_log_normalizer"]


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

    Args:
        path (AnnealingPath): The laws in between.
        n_chains (int): Independent chains, at least 2; the error is their spread (delta method).
        n_temperatures (int): Steps from β = 0 to β = 1, evenly spaced.
        seed (int or numpy.random.SeedSequence): Source of the chains.

    Returns:
        Estimate: ln Z, nats. The error says nothing of modes that no chain found.
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


class IndependentStart:
    """The beginning of a path: independent cells that fire at the given rates.

    Args:
        rates (numpy.ndarray): Firing probabilities strictly between 0 and 1, (n_cells,).
    """

    def __init__(self, rates: np.ndarray) -> None:
        self.rates = rates
        self.base = np.log(rates) - np.log1p(-rates)
        self.log_base_normalizer = float(np.logaddexp(0, self.base).sum())

    def draw_base(self, n_chains: int, rng: np.random.Generator) -> np.ndarray:
        """Return exact draws of the law at β = 0, uint8 (n_chains, n_cells)."""
        return (rng.random((n_chains, len(self.rates))) < self.rates).astype(np.uint8)


class AnnealedModel:
    """What models of words share that are known up to a factor: ln Z by annealing, and samples.

    A subclass sets ``base_rates_`` (float64, (n_cells,)) and, at the end of ``fit``,
    ``log_normalizer_``; it has ``n_annealing_chains`` and ``n_annealing_steps``.
    """

    n_annealing_chains: int
    n_annealing_steps: int
    base_rates_: np.ndarray
    log_normalizer_: Estimate

    def _path(self) -> AnnealingPath:
        raise NotImplementedError

    def _log_weight(self, X: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def log_weight(self, X: np.ndarray) -> np.ndarray:
        """Return ln p(x) + ln Z of each word, float64 (n_words,) nats."""
        self._check_fitted()
        return self._log_weight(check_words(X, len(self.base_rates_), "X"))

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        """Return ``ln p(x)`` of each word, float64 (n_words,) nats, up to the error of ln Z."""
        return self.log_weight(X) - float(self.log_normalizer_)

    @property
    def log_prob_stderr(self) -> float:
        """Standard error, in nats, that all log probabilities share: that of ln Z."""
        self._check_fitted()
        return self.log_normalizer_.stderr

    def estimate_log_normalizer(
        self,
        *,
        n_chains: int | None = None,
        n_temperatures: int | None = None,
        seed: int | np.random.SeedSequence,
    ) -> Estimate:
        """Return ln Z by annealed importance sampling: see ``annealed_log_normalizer``."""
        self._check_fitted()
        return annealed_log_normalizer(
            self._path(),
            n_chains=n_chains or self.n_annealing_chains,
            n_temperatures=n_temperatures or self.n_annealing_steps,
            seed=seed,
        )

    def sample(
        self, n_samples: int, *, seed: int | np.random.SeedSequence, n_sweeps: int = 500
    ) -> np.ndarray:
        """Draw words, uint8 (n_samples, n_cells), each at the end of its own annealed chain.

        Half of the ``n_sweeps`` Gibbs sweeps lead from the independent model to this one,
        half are made at the model itself.
        """
        self._check_fitted()
        n_samples = check_count(n_samples, "n_samples")
        n_sweeps = check_count(n_sweeps, "n_sweeps", minimum=2)
        path = self._path()
        base, moves = check_seed(seed).spawn(2)
        x = path.draw_base(n_samples, np.random.default_rng(base))
        random = path.random_state(n_samples, moves)
        rise = np.linspace(0.0, 1.0, n_sweeps // 2 + 1)[1:]
        for beta in np.concatenate([rise, np.ones(n_sweeps - len(rise))]):
            x = path.sweep(x, beta, random)
        return x

    def _check_fitted(self) -> None:
        if not hasattr(self, "base_rates_"):
            raise ValueError(f"this {type(self).__name__} is not fitted yet: call fit(X) first")
