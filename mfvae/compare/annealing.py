"""Laws known up to a factor: their normaliser and their samples from annealed Gibbs chains."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.special import logsumexp
from sklearn.utils.validation import check_is_fitted

from mfvae._validation import check_seed
from mfvae.compare.independent import Rival
from mfvae.systems.base import Estimate

__all__ = ["AnnealedRival"]


class AnnealedRival(Rival):
    """A rival ``p(x) = f(x) / Z``: laws f_β lead from independent cells (β = 0) to f (β = 1).

    A subclass has the arguments ``n_annealing_chains`` and ``n_annealing_steps``; its ``_fit`` sets
    ``independent_`` first and ``log_normalizer_`` last. It defines ``_log_weight(X)``, ln f of each
    word; ``_log_ratio(x, low, high)``, ln f_high - ln f_low; and ``_sweep(x, beta, random)``, the
    words after a Gibbs sweep that leaves f_β invariant, ``random`` from ``_generator``.

    Attributes:
        independent_ (IndependentModel): The law at β = 0.
        log_normalizer_ (Estimate): ln Z with its standard error, nats; shared by all words.
        n_sweeps (int): Gibbs sweeps behind a sample: half of them on the way to the model, half at
            the model itself.
    """

    n_sweeps = 500
    n_hidden = 0  # binary units beside the cells, free at β = 0
    _generator = staticmethod(lambda seed, n_chains: np.random.default_rng(seed))

    @property
    def log_prob_stderr(self) -> float:
        """Standard error of ln Z, nats, which all log probabilities share."""
        check_is_fitted(self)
        return self.log_normalizer_.stderr

    def estimate_log_normalizer(self, *, seed: int | np.random.SeedSequence) -> Estimate:
        """Return ln Z of the fitted law by annealed importance sampling, nats.

        Each chain starts with a draw from the independent cells and takes one Gibbs sweep at every
        β while its weight collects ``ln f_β'(x) - ln f_β(x)``; the mean weight is unbiased for Z/Z₀
        (Neal, R. M. (2001), Statistics and Computing 11, 125), its log low by about half the
        squared standard error, the spread of the chains, which says nothing of modes not found.
        """
        check_is_fitted(self)
        n_chains = self.n_annealing_chains
        x, random = self._start(n_chains, check_seed(seed))
        log_weights = np.zeros(n_chains)
        for low, high in pairwise(np.linspace(0.0, 1.0, self.n_annealing_steps + 1)):
            log_weights += self._log_ratio(x, low, high)
            if high < 1.0:
                x = self._sweep(x, high, random)
        log_mean = logsumexp(log_weights) - np.log(n_chains)
        stderr = np.exp(log_weights - log_mean).std(ddof=1) / np.sqrt(n_chains)
        log_base = float(np.logaddexp(0, self._base_field).sum()) + self.n_hidden * np.log(2.0)
        return Estimate(log_base + log_mean, stderr=float(stderr), exact=False)

    @property
    def _base_field(self) -> np.ndarray:
        """Log odds of the independent cells, (n_cells,)."""
        rates = self.independent_.probabilities_
        return np.log(rates) - np.log1p(-rates)

    def _log_prob(self, X: np.ndarray) -> np.ndarray:
        return self._log_weight(X) - float(self.log_normalizer_)

    def _draw(self, n_samples: int, seed: np.random.SeedSequence) -> np.ndarray:
        x, random = self._start(n_samples, seed)
        rise = np.linspace(0.0, 1.0, self.n_sweeps // 2 + 1)[1:]
        for beta in np.concatenate([rise, np.ones(self.n_sweeps - len(rise))]):
            x = self._sweep(x, beta, random)
        return x

    def _start(self, n_chains: int, seed: np.random.SeedSequence) -> tuple[np.ndarray, object]:
        """Return exact draws at β = 0 and what the sweeps draw from."""
        base, moves = seed.spawn(2)
        return self.independent_.sample(n_chains, seed=base), self._generator(moves, n_chains)
