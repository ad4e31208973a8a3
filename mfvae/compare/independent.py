"""The independent model: every cell fires on its own."""

from __future__ import annotations

import numpy as np

from mfvae._validation import check_count, check_number, check_seed, check_words

__all__ = ["IndependentModel"]


class IndependentModel:
    """A product of Bernoulli laws, one firing probability a cell: the model without correlations.

    Fitted by ``p_i = (c_i + a) / (n + 2a)``, with ``c_i`` the number of words in which cell i
    is 1 among n words and ``a`` the smoothing: the posterior mean under a Beta(a, a) prior
    (a = 1/2 is Jeffreys'), so that a cell silent in the training words keeps a finite
    log probability.

    Args:
        smoothing (float): Pseudo-count ``a > 0`` added to the ones and to the zeros of every cell.

    Attributes:
        probabilities_ (ndarray, float64 (n_cells,)): Probability of a 1 for each cell.

    >>> words = np.array([[0, 1], [0, 0], [0, 1], [0, 0]], dtype=np.uint8)
    >>> model = IndependentModel(smoothing=0.5).fit(words)
    >>> model.probabilities_
    array([0.1, 0.5])
    >>> model.score_samples(words[:1]).round(4)
    array([-0.7985])
    """

    def __init__(self, smoothing: float = 0.5) -> None:
        self.smoothing = check_number(smoothing, "smoothing", positive=True)

    def fit(self, X: np.ndarray, y: object = None) -> IndependentModel:
        """Estimate the firing probabilities from words ``X``, uint8 (n_words, n_cells).

        Raises ``ValueError`` unless every entry is 0 or 1.
        """
        X = check_words(X, name="X")
        ones = X.sum(axis=0, dtype=np.int64)
        self.probabilities_ = (ones + self.smoothing) / (len(X) + 2 * self.smoothing)
        return self

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        """Return ``ln p(x)`` of each word, float64 (n_words,), in nats."""
        p = self._fitted()
        X = check_words(X, len(p), "X")
        return X @ (np.log(p) - np.log1p(-p)) + np.log1p(-p).sum()

    def sample(self, n_samples: int, *, seed: int | np.random.SeedSequence) -> np.ndarray:
        """Draw independent words, uint8 (n_samples, n_cells)."""
        p = self._fitted()
        n_samples = check_count(n_samples, "n_samples")
        rng = np.random.default_rng(check_seed(seed))
        return (rng.random((n_samples, len(p))) < p).astype(np.uint8)

    @property
    def n_parameters(self) -> int:
        """Number of fitted parameters: one a cell."""
        return len(self._fitted())

    def _fitted(self) -> np.ndarray:
        if not hasattr(self, "probabilities_"):
            raise ValueError("this IndependentModel is not fitted yet: call fit(X) first")
        return self.probabilities_
